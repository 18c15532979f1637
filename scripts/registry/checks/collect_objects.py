"""Which objects that a change refers to are in staging or production, and whole: the gate that DVC lacks.

Both are listed rather than asked for each object, and only what does not add up is read.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from registry.checks.context import Absent, Stored
from registry.core import layout, settings
from registry.core.artifact_files import Parsed
from registry.core.progress import Progress
from registry.core.schema import Fault
from registry.core.tree import Tree
from registry.errors import InvalidDocument, Refused, RegistryError
from registry.integrations import git, git_trees
from registry.storage.base import Store
from registry.sync import inventory
from registry.sync.inventory import Reached

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class Needed:
    """An output that is needed, by the pointer at `path` in a commit (empty: in the working tree)."""

    reached: Reached
    path: str
    commit: str


@dataclass(frozen=True, slots=True)
class NeededOutputs:
    """The outputs that a change refers to, each once; and the files that cannot be read, whose objects are unknown."""

    outputs: tuple[Needed, ...]
    unread: tuple[Parsed[None], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """An output's objects: rows of `objects.expand`; `fault` says what is wrong with the list of its files."""

    needed: Needed
    rows: "polars.DataFrame"
    fault: str


def find_needed(root: Path, tree: Tree, paths: Collection[str], before: str) -> NeededOutputs:
    """What the artifacts of the changed `paths` need in a tree, and in each commit from `before` (empty: none) to HEAD.

    In a commit it is the artifacts whose pointers it changes. What several need is counted where it comes first.
    """
    found = [_find_needed(tree, paths, "")]
    for change in git.changing_commits(root, ["HEAD"], [before], inventory.POINTERS) if before else ():
        with git_trees.Revision(root, change.commit) as revision:
            found.append(_find_needed(revision, filter(inventory.is_pointer, change.paths), change.commit))
    once: dict[tuple[str, int], Needed] = {}
    for one in (one for part in found for one in part.outputs):
        once.setdefault((one.reached.output.md5, one.reached.output.size), one)
    unread = [fault for part in found for fault in part.unread]
    if before and git.is_shallow(root):
        fault = Fault("this clone is shallow, and what lies behind its end is unknown", 1, "git fetch --unshallow")
        unread.append(Parsed(settings.DVC_CONFIG, faults=(fault,)))
    return NeededOutputs(tuple(once.values()), tuple(unread))


def _find_needed(tree: Tree, paths: Iterable[str], commit: str) -> NeededOutputs:
    needed, unread = [], []
    for artifact in sorted({owner for owner in map(layout.owner_of, paths) if owner}):
        try:
            reached = inventory.reached(tree, artifact)
            needed += [Needed(one, _pointer(tree, one), commit) for one in reached]
        except InvalidDocument as error:
            unread.append(_unread(error, commit))
    return NeededOutputs(tuple(needed), tuple(unread))


def _pointer(tree: Tree, one: Reached) -> str:
    path = f"{one.output.path}.dvc"
    is_own = layout.owner_of(path) == one.artifact and tree.has(path)
    return path if is_own else layout.lock_path(one.artifact)


def _unread(error: InvalidDocument, commit: str) -> Parsed[None]:
    if not commit:
        return Parsed(error.path, faults=(Fault(error.fault, error.line or 1, error.fix),))
    fix = "put it right in that commit (git commit --amend, git rebase --interactive)"
    return Parsed(error.path, faults=(Fault(f"in commit {commit[:10]} it cannot be read: {error.fault}", 1, fix),))


def unknown(error: RegistryError) -> Stored:
    """Nothing is known, because staging and production could not be asked."""
    return Stored(unknown=(_unknown(error, "the objects of this change"),))


def _unknown(error: RegistryError, what: str) -> Parsed[None]:
    return Parsed(settings.DVC_CONFIG, faults=(Fault(f"{what}: {error.message}", 1, error.fix),))


# --- what staging and production have ---------------------------------------------------------------------------------


def verify(needed: NeededOutputs, remotes: Sequence[Store], caches: Sequence[Store], progress: Progress) -> Stored:
    """What `remotes` lack, and what could not be judged. Where they lack a list of files, `caches` may name these.

    An object that one remote has is fine, though another cannot be reached.
    """
    asked, failed = _answering(remotes) if needed.outputs else ((), ())
    try:
        absent = _absent(needed.outputs, asked, caches, progress) if asked else ()
    except RegistryError as error:
        return Stored(unknown=(*needed.unread, *unknown(error).unknown))
    if not failed:
        return Stored(absent, needed.unread)
    lost = (
        {layout.owner_of(one.path) for one in absent if one.missing}
        if asked
        else {one.reached.artifact for one in needed.outputs}
    )
    what = f"objects of {', '.join(sorted(map(str, lost)))}"
    reasons = tuple(_unknown(error, what) for error in failed) if lost else ()
    return Stored(tuple(_without_missing(absent)), (*needed.unread, *reasons))


def _without_missing(absent: Iterable[Absent]) -> Iterator[Absent]:
    """The damaged ones: what one remote lacks may be in the one that could not be asked."""
    return (Absent(one.path, one.commit, one.total, faults=one.faults) for one in absent if one.faults)


def _answering(remotes: Sequence[Store]) -> tuple[tuple[Store, ...], tuple[RegistryError, ...]]:
    """The remotes that answer, and why others do not. A folder that is not there yet is an empty one."""
    asked, failed = [], []
    for remote in remotes:
        try:
            next(remote.scan("files"), None)
            asked.append(remote)
        except RegistryError as error:
            failed.append(error)
    return tuple(asked), tuple(failed)


def _absent(
    needed: Sequence[Needed], remotes: Sequence[Store], caches: Sequence[Store], progress: Progress
) -> tuple[Absent, ...]:
    import polars as pl

    listed = []
    for one in needed:
        listed.append(_list(one, remotes, caches))
        progress(1, 0)
    held = _held(pl.concat([one.rows["md5"] for one in listed]), remotes)
    found = [absent for one in listed if (absent := _lacking(one, held, remotes))]
    # One for each artifact and commit.
    groups = groupby(found, key=lambda one: (one.commit, layout.owner_of(one.path)))
    return tuple(_joined(list(group)) for _, group in groups)


def _list(one: Needed, remotes: Sequence[Store], caches: Sequence[Store]) -> _Listed:
    rows, fault = _rows(one.reached, remotes)
    if one.reached.output.is_dir and rows.height <= 1:
        local, _ = _rows(one.reached, caches)
        rows = local if local.height else inventory.expand([one.reached], [])
    return _Listed(one, rows, fault)


def _rows(one: Reached, stores: Sequence[Store]) -> tuple["polars.DataFrame", str]:
    """The objects of an output; none where its list of files is corrupt, and what is wrong with it."""
    try:
        return inventory.expand([one], stores), ""
    except Refused as error:
        return inventory.expand([], []), error.message


def _held(md5s: "polars.Series", remotes: Sequence[Store]) -> "polars.DataFrame":
    """Columns md5, size and etag: each object in the first remote that has it."""
    import polars as pl

    frames, left = [], pl.DataFrame({"md5": md5s.unique()})
    for remote in remotes:
        frames.append(inventory.find_stored(remote, left["md5"]))
        left = left.join(frames[-1], on="md5", how="anti")
    return pl.concat(frames)


def _lacking(one: _Listed, held: "polars.DataFrame", remotes: Sequence[Store]) -> Absent | None:
    missing = one.rows.join(held, on="md5", how="anti", maintain_order="left")["path"].to_list()
    faults = [one.fault] if one.fault else [] if missing else inventory.find_size_mismatches(one.rows, held, remotes)
    absent = Absent(one.needed.path, one.needed.commit, one.rows.height, tuple(missing), tuple(faults))
    return absent if absent.missing or absent.faults else None


def _joined(found: Sequence[Absent]) -> Absent:
    missing = tuple(path for one in found for path in one.missing)
    faults = tuple(fault for one in found for fault in one.faults)
    return Absent(found[0].path, found[0].commit, sum(one.total for one in found), missing, faults)
