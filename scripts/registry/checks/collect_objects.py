"""Finds the objects of a change that neither staging nor production has intact. DVC has no such check.

Both remotes are listed instead of asked for each object, and objects are read only where sizes do not add up.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars import DataFrame, Series

from registry.checks.context import Absent, Stored
from registry.core import layout, settings
from registry.core.artifact_files import Parsed
from registry.core.progress import Progress
from registry.core.schema import Fault
from registry.core.tree import Tree
from registry.errors import SHOWN, InvalidDocument, Refused, RegistryError
from registry.integrations import git, git_history, git_trees
from registry.storage.base import Store
from registry.sync import inventory
from registry.sync.inventory import Reached


@dataclass(frozen=True, slots=True)
class Needed:
    """An output that the pointer at `path` names, in a commit (empty: in the working tree)."""

    reached: Reached
    path: str
    commit: str


@dataclass(frozen=True, slots=True)
class NeededOutputs:
    """The outputs that a change refers to, each once, and the pointers that cannot be parsed."""

    outputs: tuple[Needed, ...]
    unread: tuple[Parsed[None], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """An output's objects: rows of `inventory.expand`; `fault` is what is wrong with its list of files."""

    needed: Needed
    rows: DataFrame
    fault: str


class _Remotes(NamedTuple):
    """The remotes that can be listed, and the errors of the others."""

    available: tuple[Store, ...]
    errors: tuple[RegistryError, ...]


# --- what a change needs ----------------------------------------------------------------------------------------------


def find_needed(root: Path, tree: Tree, paths: Collection[str], before: str, tip: str = "HEAD") -> NeededOutputs:
    """What the artifacts of changed `paths` need in a tree, and in each commit from `before` (empty: none) to `tip`.

    Of a commit these are the artifacts whose pointers it changes. An output that several need is counted for the first.
    """
    found = [_find_in_tree(tree, paths, "")]
    with git_trees.Commits(root) as trees:
        for change in git_history.changing_commits(root, [tip], [before], inventory.POINTERS) if before else ():
            pointers = filter(inventory.is_pointer, change.paths)
            found.append(_find_in_tree(trees.tree(change.commit), pointers, change.commit))
    distinct: dict[tuple[str, int], Needed] = {}
    for needed in (needed for part in found for needed in part.outputs):
        distinct.setdefault((needed.reached.output.md5, needed.reached.output.size), needed)
    unread = [file for part in found for file in part.unread]
    if before and git.is_shallow(root):
        fault = Fault("this clone is shallow: earlier commits cannot be checked", 1, "git fetch --unshallow")
        unread.append(Parsed(settings.DVC_CONFIG, faults=(fault,)))
    return NeededOutputs(tuple(distinct.values()), tuple(unread))


def _find_in_tree(tree: Tree, paths: Iterable[str], commit: str) -> NeededOutputs:
    needed: list[Needed] = []
    unread: list[Parsed[None]] = []
    for artifact in sorted({owner for owner in map(layout.owner_of, paths) if owner}):
        try:
            reached = inventory.reached(tree, artifact)
            needed += [Needed(output, _pointer_path(tree, output), commit) for output in reached]
        except InvalidDocument as error:
            unread.append(_unread(error, commit))
    return NeededOutputs(tuple(needed), tuple(unread))


def _pointer_path(tree: Tree, reached: Reached) -> str:
    path = f"{reached.output.path}.dvc"
    is_own = layout.owner_of(path) == reached.artifact and tree.has(path)
    return path if is_own else layout.lock_path(reached.artifact)


def _unread(error: InvalidDocument, commit: str) -> Parsed[None]:
    fault = Fault(error.fault, error.line or 1, error.fix)
    if commit:
        fix = "correct the file in that commit (`git rebase --interactive`)"
        fault = Fault(f"in commit {commit[:10]}: {error.fault}", 1, fix)
    return Parsed(error.path, faults=(fault,))


def unknown(error: RegistryError) -> Stored:
    """Nothing could be verified, because staging and production could not be opened."""
    return Stored(unknown=(_unverified(error, "the objects of this change"),))


def _unverified(error: RegistryError, what: str) -> Parsed[None]:
    return Parsed(settings.DVC_CONFIG, faults=(Fault(f"{what}: {error.message}", 1, error.fix),))


# --- what staging and production have ---------------------------------------------------------------------------------


def verify(needed: NeededOutputs, remotes: Sequence[Store], caches: Sequence[Store], progress: Progress) -> Stored:
    """What `remotes` lack, and what could not be verified.

    Where they lack a list of files, the one in `caches` gives the names of the files. An object that one remote has is
    there, even if another remote cannot be reached.
    """
    if not needed.outputs:
        return Stored((), needed.unread)
    available, errors = _open_remotes(remotes)
    try:
        absent = _find_absent(needed.outputs, available, caches, progress) if available else ()
    except RegistryError as error:
        return Stored(unknown=(*needed.unread, *unknown(error).unknown))
    if not errors:
        return Stored(absent, needed.unread)
    # What one remote lacks may be in the one that could not be listed.
    damaged = tuple(Absent(one.path, one.commit, one.total, faults=one.faults) for one in absent if one.faults)
    unverified = sorted(set(_unverified_owners(needed, absent if available else None)))
    what = f"objects of {', '.join(unverified)}"
    reasons = tuple(_unverified(error, what) for error in errors) if unverified else ()
    return Stored(damaged, (*needed.unread, *reasons))


def _unverified_owners(needed: NeededOutputs, absent: Iterable[Absent] | None) -> Iterator[str]:
    """The artifacts of missing objects; of all needed ones where no remote could be listed (None)."""
    if absent is None:
        yield from (str(one.reached.artifact) for one in needed.outputs)
    else:
        yield from (str(layout.owner_of(one.path)) for one in absent if one.missing)


def _open_remotes(remotes: Sequence[Store]) -> _Remotes:
    """A folder that does not exist yet counts as an empty remote."""
    available: list[Store] = []
    errors: list[RegistryError] = []
    for remote in remotes:
        try:
            next(remote.scan("files"), None)
            available.append(remote)
        except RegistryError as error:
            errors.append(error)
    return _Remotes(tuple(available), tuple(errors))


def _find_absent(
    needed: Sequence[Needed], remotes: Sequence[Store], caches: Sequence[Store], progress: Progress
) -> tuple[Absent, ...]:
    """One value for each artifact and commit that lacks something."""
    listed: list[_Listed] = []
    for output in needed:
        listed.append(_list(output, remotes, caches))
        progress(1, 0)
    stored = _find_stored(pl.concat([output.rows["md5"] for output in listed]), remotes)
    found = [absent for output in listed if (absent := _compare(output, stored, remotes))]
    groups = groupby(found, key=lambda absent: (absent.commit, layout.owner_of(absent.path)))
    return tuple(_merge(list(group)) for _, group in groups)


def _list(needed: Needed, remotes: Sequence[Store], caches: Sequence[Store]) -> _Listed:
    listed = _expand(needed, remotes)
    if not needed.reached.output.is_dir or listed.rows.height > 1:
        return listed
    rows = _expand(needed, caches).rows
    return _Listed(needed, rows if rows.height else inventory.expand([needed.reached], []), listed.fault)


def _expand(needed: Needed, stores: Sequence[Store]) -> _Listed:
    """The objects of an output; none where its list of files is corrupt."""
    try:
        return _Listed(needed, inventory.expand([needed.reached], stores), "")
    except Refused as error:
        return _Listed(needed, inventory.expand([], []), error.message)


def _find_stored(md5s: Series, remotes: Sequence[Store]) -> DataFrame:
    """Columns md5, size and etag: each object in the first remote that has it."""
    frames: list[DataFrame] = []
    remaining = pl.DataFrame({"md5": md5s.unique()})
    for remote in remotes:
        frames.append(inventory.find_stored_surely(remote, remaining["md5"]))
        remaining = remaining.join(frames[-1], on="md5", how="anti")
    return pl.concat(frames)


def _compare(listed: _Listed, stored: DataFrame, remotes: Sequence[Store]) -> Absent | None:
    needed_rows = listed.rows.filter(~pl.col("erased"))
    missing = needed_rows.join(stored, on="md5", how="anti", maintain_order="left")["path"]
    faults: Iterable[str] = [listed.fault] if listed.fault else []
    if not listed.fault and missing.is_empty():
        faults = inventory.find_size_mismatches(listed.rows, stored, remotes)
    needed = listed.needed
    examples = tuple(missing.head(SHOWN))
    absent = Absent(needed.path, needed.commit, listed.rows.height, len(missing), examples, tuple(faults))
    return absent if absent.missing or absent.faults else None


def _merge(found: Sequence[Absent]) -> Absent:
    missing, total = (sum(counts) for counts in zip(*((one.missing, one.total) for one in found), strict=True))
    examples = tuple(path for absent in found for path in absent.examples)[:SHOWN]
    faults = tuple(fault for absent in found for fault in absent.faults)
    return Absent(found[0].path, found[0].commit, total, missing, examples, faults)
