"""`registry recall`."""

import re

import click

from registry.cli import locating, preparing, proposing, raising
from registry.cli.proposing import Proposal
from registry.cli.workspace import Workspace, here, warn
from registry.console import say
from registry.core import item_paths, layout, manifests, tombstones
from registry.core.atomic_write import write_atomically
from registry.core.values import ArtifactId, Kind
from registry.core.wording import abbreviate, plural
from registry.errors import Refused, RegistryError
from registry.integrations import github
from registry.release import recall
from registry.release.where import Found


@click.command()
@click.argument("uuids", metavar="UUID...", nargs=-1, required=True)
@click.option(
    "--why", metavar="TEXT", required=True, help="The reason, in one line. It stays in Git: nothing personal."
)
@click.option("--propose", is_flag=True, help="Push the result as a branch, and open or update a pull request.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and write nothing.")
def command(uuids: tuple[str, ...], why: str, *, propose: bool, dry_run: bool) -> None:
    """Take images out of every dataset, and keep them out: a deny list that no selection passes.

    Each image gets a file in denied/ with the reason, and is excluded in every dataset that selected it; these are
    built, with the version that the change requires. Models that saw an image are named: they have to be trained again.
    Versions that are published keep it: `registry withdraw` marks them, and `registry erase` deletes an image where
    the law demands it. --propose needs a clean checkout of the default branch, which stays what it is.
    """
    space = here()
    wanted = [_parse(text) for text in uuids]
    _require_none_erased(space, wanted)
    if propose:
        proposing.require_clean(space)
        github.connect(space.root)
    plan = _plan(space, wanted, why)
    say(str(plan))
    if dry_run:
        say(preparing.NOT_WRITTEN, err=True)
        return
    for path, data in plan.files.items():
        (space.root / path).parent.mkdir(exist_ok=True)
        write_atomically(space.root / path, data)
    for dataset, missing in plan.datasets.items():
        if missing:
            preparing.exclude(Workspace(space.root), dataset, missing, why)
        say(str(preparing.build(Workspace(space.root), dataset)))
        raising.raise_version(Workspace(space.root), dataset)
    if propose:
        made = proposing.commit(Workspace(space.root), plan.title)
        body = plan.body(proposing.describe(space, made))
        proposing.open_pull_request(Workspace(space.root), made, Proposal(plan.branch, plan.title, body))
    else:
        say(f"hint: git switch -c {plan.branch} && git add --all && git commit -m '{plan.title}'; registry push; "
            "git push -u origin HEAD; then open a pull request")  # fmt: skip


def _parse(text: str) -> str:
    if not re.fullmatch(item_paths.UUID, uuid := text.lower()):
        raise RegistryError(f"{text!r} is not a UUID", fix="registry where FILE finds the UUID of an image")
    return uuid


def _require_none_erased(space: Workspace, uuids: list[str]) -> None:
    """Raise Refused for an erased image: its file in denied/ would bring its UUID back into the repository."""
    found = {one.case: one.erased.find_items(uuids) for one in space.tombstones.values()}
    if gone := {uuid for those in found.values() for uuid in those}:
        cases = tombstones.name_cases(case for case, those in found.items() if those)
        fault = f"{plural(len(gone), 'image was', 'images were')} erased ({cases}), and no dataset can have it again"
        raise Refused(f"{fault}; nothing was written", fix="recall the others alone" if len(gone) < len(uuids) else "")


def _plan(space: Workspace, uuids: list[str], why: str) -> recall.Plan:
    datasets = [one for one in layout.find(space.tree) if one.kind is Kind.DATASET and _is_selected(space, one)]
    selected = {
        one: set(preparing.selected(space, manifests.load_dataset(space.tree, one))["uuid"]) for one in datasets
    }
    excluded = {one: manifests.load_dataset(space.tree, one).exclude for one in datasets}
    models = [one for one in layout.find(space.tree) if one.kind is Kind.MODEL]
    with locating.search(space) as searched:
        found = searched.find(uuids)
        duplicates = {place.uuid for place in searched.find((), {place.md5 for place in found.places}).places}
    _warn_of_absent(found)
    return recall.plan(space.tree, uuids, why, selected, excluded, found, models, duplicates)


def _is_selected(space: Workspace, dataset: ArtifactId) -> bool:
    return space.tree.has(layout.raw_pointer(dataset))


def _warn_of_absent(found: Found) -> None:
    if found.absent:
        names = abbreviate(list(map(str, found.absent)))
        warn(f"no store has the lists of files of {names}: whether these have the images is not known")
