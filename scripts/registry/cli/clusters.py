"""`--scheduler`: the one option of commands whose work can be spread over a Dask cluster."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from registry.cli.workspace import Workspace
from registry.core import schedulers, settings
from registry.core.schedulers import Scheduler
from registry.errors import Refused, RegistryError
from registry.integrations import git, git_trees

Command = TypeVar("Command", bound=Callable[..., Any])

option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Spread the work over a Dask cluster: tcp://HOST:PORT, tls://HOST:PORT or local:N; none: over threads.  "
    "[default: scheduler: in registry.yaml]",
)


def join(space: Workspace, address: str | None) -> Workspace:
    """The workspace whose stores are those of a cluster, until the command ends; the same one where none is named.

    Raises Refused for an address that is none, or may not be used, and ClusterFailed where it is of no use.
    """
    scheduler = _of_file(space) if address is None else _parse(address)
    if scheduler is None:
        return space
    from registry.storage import cluster  # Dask takes half a second to import

    return replace(space, cluster=click.get_current_context().with_resource(cluster.connect(scheduler)))


def _parse(address: str) -> Scheduler | None:
    return None if address == schedulers.NONE else schedulers.parse(address)


def _of_file(space: Workspace) -> Scheduler | None:
    """The scheduler in registry.yaml. Raises Refused for one that only a branch has.

    A client of Dask unpickles what a scheduler sends: it could run anything here, with this user's credentials. So a
    pull request must not be able to name one.
    """
    address = space.registry_file.scheduler
    scheduler = _parse(address) if address else None
    if scheduler is None or scheduler.is_here or address in _known(space):
        return scheduler
    fix = f"merge it first; or, if it is yours, use --scheduler {address}"
    message = f"{settings.PATH}: scheduler {address} is not on the default branch, and could run anything here"
    raise Refused(message, fix=fix)


def _known(space: Workspace) -> set[str]:
    found = set[str]()
    for revision in git.known_default_branches(space.root):
        with git_trees.Revision(space.root, revision) as tree:
            try:
                found.add(settings.read(tree).scheduler)
            except RegistryError:
                continue  # of another version of the tooling
    return found
