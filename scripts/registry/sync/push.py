"""Uploads to staging what commits refer to and neither staging nor production has; it fails if an object is missing.

`dvc push` cannot be such a gate: in a clone without data it succeeds, and it considers the working tree alone. Damaged
objects in staging are replaced: only bytes with the MD5 that is the name of the object are ever written there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars import DataFrame, col

from registry.core import digests
from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.core.wording import plural
from registry.errors import InvalidData, InvalidDocument, Refused
from registry.integrations import git, git_history, git_trees
from registry.integrations.git_hooks import Push
from registry.storage.base import Store
from registry.storage.states import STORED, ObjectState
from registry.storage.stores import Stores
from registry.storage.transfer import replace, transfer
from registry.storage.verify import audit_corrupt, find_corrupt
from registry.sync import inventory
from registry.sync.inventory import Reached

_CACHED = pl.Schema({"md5": pl.String, "size": pl.Int64, "etag": pl.String, "cache": pl.Int32})
_REPAIR = (
    "`registry pull` sets damaged ones in the cache aside; recreate them (registry build, dvc repro), then push again"
)


@dataclass(frozen=True, slots=True)
class Needed:
    """The outputs that a commit's artifacts need."""

    commit: str
    reached: tuple[Reached, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which objects go to staging: rows of `inventory.expand` with `size`, and `cache`, an index of `stores.caches`.

    `reached` is the number of objects that are needed in all; `damaged` the md5s of those that staging has, corrupt.
    """

    stores: Stores
    reached: int
    objects: DataFrame
    damaged: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """All of them together, in bytes."""
        return int(self.objects["size"].sum())

    def __str__(self) -> str:
        reached = plural(self.reached, "object")
        if not self.objects.height:
            return f"nothing to push: staging and production have all {reached}"
        counts = self.objects["artifact"].value_counts(sort=True).iter_rows()
        lines = (f"  {count:,} of {artifact}" for artifact, count in counts)
        damaged = [f"  {plural(len(self.damaged), 'corrupt object')} there will be replaced"] if self.damaged else []
        return "\n".join([f"{self.objects.height:,} of {reached} → {self.stores.staging.url}", *lines, *damaged])


def needed_by(root: Path, revisions: Iterable[str]) -> tuple[Needed, ...]:
    """What all artifacts of these revisions need. Raises NotFound, Refused."""
    commits = dict.fromkeys(git.resolve_commit(root, revision) for revision in revisions)
    with git_trees.Commits(root) as trees:
        return tuple(_read_needed(trees.tree(commit), None) for commit in commits)


def needed_by_push(root: Path, pushed: Push) -> tuple[Needed, ...]:
    """What the artifacts need whose pointers a push changes, in each commit that the remote lacks. Raises Refused.

    The remote has the commits that its refs had before, as Git tells, and those of its remote-tracking branches.
    """
    tips = git.find_commits(root, pushed.tips)  # a tag may be one of a file
    remotes = (name for name in git.remotes(root) if name == pushed.remote or pushed.url in git.urls(root, name))
    known = [commit for name in remotes for commit in git.tracked_commits(root, name)]
    known += git.find_commits(root, pushed.before)
    changes = git_history.changing_commits(root, tips, known, inventory.POINTERS) if tips else ()
    with git_trees.Commits(root) as trees:
        return tuple(_read_needed(trees.tree(change.commit), change.paths) for change in changes)


def _read_needed(tree: git_trees.Snapshot, paths: Iterable[str] | None) -> Needed:
    changed = [entry.path for entry in tree.list()] if paths is None else paths
    try:
        return Needed(tree.commit, inventory.reached_by(tree, changed))
    except InvalidDocument as error:
        first = f"{error.fix}; " if error.fix else ""
        fix = f"{first}correct that commit (git commit --amend, git rebase --interactive)"
        raise Refused(f"commit {tree.commit[:10]}: {error.message}", fix=fix) from error


def plan(needed: Sequence[Needed], stores: Stores, *, deep: bool = False, progress: Progress | None = None) -> Plan:
    """What has to be pushed. Raises InvalidData when no store has an object intact.

    Objects that staging alone has are taken for intact as far as their sizes and ETags tell; with `deep`, all objects
    in staging that no ETag proves are read.
    """
    reached = [one for commit in needed for one in commit.reached]
    found = inventory.expand(reached, [*stores.caches, stores.staging, stores.production])
    held, staged = (inventory.find_stored(store, found["md5"]) for store in (stores.production, stores.staging))
    alone = staged.join(held, on="md5", how="anti")
    if deep:
        damaged = _read_damaged(held, staged, stores, progress)
    else:
        damaged = _find_damaged(found, held, alone, stores, progress=progress)
    stored = pl.concat([held, alone]).filter(~col("md5").is_in(list(damaged)))
    absent = found.filter(~col("erased")).join(stored, on="md5", how="anti").unique("md5", maintain_order=True)
    cached = _find_cached(absent, stores.caches)
    _require_all(absent.join(cached, on="md5", how="anti"), needed)
    sizes = pl.concat([stored, cached.drop("cache")]).unique("md5", keep="first", maintain_order=True)
    if faults := tuple(inventory.find_size_mismatches(found, sizes, [stores.production, *stores.caches])):
        raise InvalidData("objects that this push refers to are damaged", faults, fix=_REPAIR)
    rows = absent.drop("size").join(cached.select("md5", "size", "cache"), on="md5", maintain_order="left")
    return Plan(stores, found["md5"].n_unique(), rows, damaged)


def _read_damaged(held: DataFrame, staged: DataFrame, stores: Stores, progress: Progress | None) -> frozenset[str]:
    """The corrupt objects in staging, read where no ETag proves them.

    Also those that production has (`held`), whose copy may be corrupt and is replaced by staging's: as far as a cache
    here can replace them.
    """
    doubtful = staged.filter(col("etag") != col("md5").str.strip_suffix(".dir"))
    corrupt = audit_corrupt(stores.staging, doubtful["md5"], progress)
    both = held.filter(col("md5").is_in(list(corrupt)))
    return corrupt - frozenset(both.join(_find_cached(both, stores.caches), on="md5", how="anti")["md5"])


def _find_damaged(
    found: DataFrame, held: DataFrame, staged: DataFrame, stores: Stores, *, progress: Progress | None
) -> frozenset[str]:
    """The corrupt objects among those that staging alone has (`staged`); `held` are production's."""
    stored = pl.concat([held, staged])
    cached = _find_cached(found.join(stored, on="md5", how="anti"), stores.caches)
    wrong = inventory.find_mismatched(found, pl.concat([stored, cached.drop("cache")]).unique("md5", keep="first"))
    doubtful = staged.join(found.join(wrong, on="root", how="semi"), on="md5", how="semi")["md5"]
    return find_corrupt(stores.staging, staged, progress) | audit_corrupt(stores.staging, doubtful, progress)


def _find_cached(absent: DataFrame, caches: Sequence[Store]) -> DataFrame:
    """Columns md5, size and etag, and `cache`: the index of the first cache that has the object."""
    found = (
        inventory.find_stored(store, absent["md5"]).with_columns(cache=pl.lit(number, pl.Int32))
        for number, store in enumerate(caches)
    )
    return pl.concat([DataFrame(schema=_CACHED), *found]).unique("md5", keep="first", maintain_order=True)


def _require_all(missing: DataFrame, needed: Sequence[Needed]) -> None:
    if not missing.height:
        return
    commits = {one.output.md5: commit.commit for commit in reversed(needed) for one in commit.reached}
    groups = missing.group_by("artifact", "root", maintain_order=True).agg("path").iter_rows()
    problems = [
        f"{artifact} in commit {commits[root][:10]}: {len(paths):,}, such as {paths[0]}"
        for artifact, root, paths in groups
    ]
    raise InvalidData(
        "objects are missing: not in a cache of this machine, nor intact in staging or production",
        problems,
        fix="recreate them (registry build, dvc repro; git add what DVC does not track), or push where they are",
    )


def apply(plan: Plan, progress: Progress | None = None) -> int:
    """Copy the objects, the `.dir` last, each verified on the way; returns the bytes.

    What one cache does not deliver intact is tried in the next. Raises InvalidData when no cache has an object intact,
    and StorageFailed.
    """
    moved = 0
    for is_dir in (False, True):
        left, faults = plan.objects.filter(col("is_dir") == is_dir), list[str]()
        for number, cache in enumerate(plan.stores.caches):
            here = left.filter(col("cache") <= number)
            is_damaged = col("md5").is_in(list(plan.damaged))
            new, damaged = here.filter(~is_damaged)["md5"], here.filter(is_damaged)["md5"]
            done = transfer(cache, plan.stores.staging, new, known_absent=True, progress=progress)
            done = pl.concat([done, replace(cache, plan.stores.staging, damaged, progress)])
            moved += int(done["moved"].sum())
            left = left.join(done.filter(col("state").is_in(STORED)), on="md5", how="anti", maintain_order="left")
            faults += _describe_corrupt(left, done, cache)
        if left.height:
            raise InvalidData("objects could not be pushed", faults or left["path"].to_list(), fix=_REPAIR)
    return moved


def _describe_corrupt(rows: DataFrame, done: DataFrame, cache: Store) -> Iterator[str]:
    corrupt = rows.join(done.filter(col("state") == ObjectState.CORRUPT), on="md5", how="semi", maintain_order="left")
    for path, md5 in corrupt.select("path", "md5").iter_rows():
        yield digests.describe_mismatch(f"{path}: {cache.url}/{object_key(md5)}")
