"""Putting into staging what commits refer to and neither staging nor production has: a push gate that tells the truth.

DVC's own cannot be one: `dvc push` in a clone without data succeeds, and looks at the working tree alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.core import layout
from registry.core.pointers import object_key
from registry.errors import InvalidData, InvalidDocument, Refused
from registry.integrations import git, git_trees
from registry.integrations.git_hooks import PushedRevisions
from registry.storage.base import Store
from registry.storage.stores import Stores
from registry.storage.transfer import Progress, transfer
from registry.sync import inventory
from registry.sync.inventory import Reached

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class Needed:
    """What a commit's artifacts reach."""

    commit: str
    reached: tuple[Reached, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which objects go to staging: rows of `objects.expand` with `size`, and `cache`, the number of who has it."""

    stores: Stores
    reached: int
    objects: "polars.DataFrame"

    @property
    def size(self) -> int:
        """All of them together, in bytes."""
        return int(self.objects["size"].sum())

    def __str__(self) -> str:
        if not self.objects.height:
            return f"nothing to push: staging and production have all {self.reached:,} objects"
        counts = self.objects["artifact"].value_counts(sort=True).rows()
        lines = (f"  {count:,} of {artifact}" for artifact, count in counts)
        return "\n".join([f"{self.objects.height:,} of {self.reached:,} objects → {self.stores.staging.url}", *lines])


def needed_by(root: Path, revisions: Iterable[str]) -> tuple[Needed, ...]:
    """What all artifacts of these revisions reach. Raises NotFound, Refused."""
    commits = dict.fromkeys(git.resolve_commit(root, revision) for revision in revisions)
    return tuple(_needed(root, commit, None) for commit in commits)


def needed_by_push(root: Path, pushed: PushedRevisions) -> tuple[Needed, ...]:
    """What the artifacts reach whose pointers a push changes, in each of its commits. Raises Refused."""
    known = [revision for revision in pushed.known if revision.startswith("--") or git.has_object(root, revision)]
    changes = git.changing_commits(root, pushed.tips, known, inventory.POINTERS) if pushed.tips else ()
    return tuple(_needed(root, change.commit, change.paths) for change in changes)


def _needed(root: Path, commit: str, paths: Iterable[str] | None) -> Needed:
    with git_trees.Revision(root, commit) as tree:
        changed = [entry.path for entry in tree.list()] if paths is None else paths
        owners = sorted({layout.owner_of(path) for path in changed if inventory.is_pointer(path)})
        try:
            return Needed(commit, tuple(one for owner in owners for one in inventory.reached(tree, owner)))
        except InvalidDocument as error:
            fix = f"{error.fix}, and put it right in that commit (git commit --amend, git rebase --interactive)"
            raise Refused(f"commit {commit[:10]}: {error.message}", fix=fix.removeprefix(", and ")) from error


def plan(needed: Sequence[Needed], stores: Stores) -> Plan:
    """What has to be pushed. Raises InvalidData when objects are nowhere, or are there with a wrong size."""
    import polars as pl

    reached = [one for commit in needed for one in commit.reached]
    found = inventory.expand(reached, [*stores.caches, stores.staging, stores.production])
    there = pl.concat(inventory.held(store, found["md5"]) for store in (stores.production, stores.staging))
    left = found.join(there, on="md5", how="anti").unique("md5", maintain_order=True)
    cached = _cached(left, stores.caches)
    _require_all(left.join(cached, on="md5", how="anti"), needed)
    sizes = pl.concat([there, cached.drop("cache")]).unique("md5", keep="first", maintain_order=True)
    if faults := tuple(inventory.misfits(found, sizes, [stores.staging, *stores.caches])):
        fix = "delete a corrupt object where it is; bring it back (registry build, dvc repro), then push again"
        raise InvalidData("objects that this push refers to are not whole", faults, fix=fix)
    rows = left.drop("size").join(cached.select("md5", "size", "cache"), on="md5", maintain_order="left")
    return Plan(stores, found["md5"].n_unique(), rows)


def _cached(left: "polars.DataFrame", caches: Sequence[Store]) -> "polars.DataFrame":
    """Columns md5, size and etag, and `cache`: the number of the first cache that has the object."""
    import polars as pl

    form = {"md5": pl.String, "size": pl.Int64, "etag": pl.String, "cache": pl.Int32}
    held = (inventory.held(store, left["md5"]).with_columns(cache=number) for number, store in enumerate(caches))
    return pl.concat([pl.DataFrame(schema=form), *held]).unique("md5", keep="first", maintain_order=True)


def _require_all(nowhere: "polars.DataFrame", needed: Sequence[Needed]) -> None:
    if not nowhere.height:
        return
    commits = {one.output.md5: commit.commit for commit in reversed(needed) for one in commit.reached}
    groups = nowhere.group_by("artifact", "root", maintain_order=True).agg("path").rows()
    problems = [
        f"{artifact} in commit {commits[root][:10]}: {len(paths):,}, such as {paths[0]}"
        for artifact, root, paths in groups
    ]
    raise InvalidData(
        "objects are nowhere: not in a cache of this machine, not in staging, not in production",
        problems,
        fix="make them again (registry build, dvc repro; git add what is not DVC's), or push where they are",
    )


def apply(plan: Plan, progress: Progress | None = None) -> int:
    """Copy the objects, the `.dir` last, each proven on the way; returns the bytes.

    Raises InvalidData when a cache holds other bytes than a name says, and StorageFailed.
    """
    import polars as pl

    moved = 0
    for is_dir in (False, True):
        for number, cache in enumerate(plan.stores.caches):
            rows = plan.objects.filter(pl.col("is_dir") == is_dir, pl.col("cache") == number)
            done = transfer(cache, plan.stores.staging, rows["md5"], asked=True, progress=progress)
            failed = done.filter(pl.col("state").is_in(["missing", "corrupt"])).select("md5", "state")
            _require_copied(rows.join(failed, on="md5"), cache)
            moved += int(done["size"].sum())
    return moved


def _require_copied(failed: "polars.DataFrame", cache: Store) -> None:
    rows = failed.select("path", "md5", "state").rows()
    if problems := [f"{path}: {cache.url}/{object_key(md5)} is {state}" for path, md5, state in rows]:
        fix = "delete a corrupt object where it is; bring it back (registry build, dvc repro), then push again"
        raise InvalidData("objects could not be pushed", problems, fix=fix)
