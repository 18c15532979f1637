"""`registry refresh`."""

from collections.abc import Sequence

import click

from registry.cli import preparing, proposing, raising
from registry.cli.proposing import Proposal
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import layout, manifests, names
from registry.core.values import ArtifactId
from registry.dataset import provenance
from registry.integrations import github
from registry.release import refresh


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--propose", is_flag=True, help="Push the result as a branch, and open or update a pull request.")
def command(dataset: str, *, propose: bool) -> None:
    """Get a dataset's rows again (query, Look or delivery) and, if they changed, prepare the next version.

    That is: select, build, the version that the change requires, and the generated files. --propose needs a clean
    checkout of the default branch, which stays what it is; the working tree then has the files of the pull request.
    """
    space, artifact = here(), names.parse_id(dataset)
    if propose:
        proposing.require_clean(space)
    raw = layout.raw_pointer(artifact)
    before = space.tree.read(raw) if space.tree.has(raw) else b""
    plan = preparing.select(space, artifact, fetch=True)
    if (space.root / raw).read_bytes() == before:
        say(f"{artifact}: the query's result has not changed")
        return
    say(str(preparing.build(Workspace(space.root), artifact)))
    raising.raise_version(Workspace(space.root), artifact)
    if propose:
        _propose(Workspace(space.root), artifact, plan.summary if plan else ())


def _propose(space: Workspace, artifact: ArtifactId, told: Sequence[str]) -> None:
    """Commit on top of HEAD, upload the commit's objects, then push it to the branch of this command."""
    github.connect(space.root)
    manifest = manifests.load_dataset(space.tree, artifact)
    title = refresh.title(manifest)
    commit = proposing.commit(space, title)
    pointer = layout.raw_pointer(artifact)
    origin = provenance.read(space.tree.read(pointer), pointer)
    summary = [f"{artifact} {manifest.version}", *told, *proposing.describe(space, commit)]
    body = refresh.body(manifest, summary, origin)
    proposing.open_pull_request(space, commit, Proposal(refresh.BRANCH.format(artifact.name), title, body))
