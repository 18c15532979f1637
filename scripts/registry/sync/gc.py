"""What in staging nothing refers to any more, and deleting it there, and only there.

Kept is what any commit of any branch or tag refers to, here or at a remote, merged or not, tip or history; what a pull
request's branch does (open or closed: Git cannot tell); what lies uncommitted in a checkout of this repository; what is
young, because a push may be under way, and what a young list of files lists; and what production has under that name,
so that a staging that is production by another name loses nothing. Where this cannot be told, nothing is deleted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from registry.core import layout, pointers
from registry.core.pointers import object_key
from registry.core.tree import Tree
from registry.errors import SHOWN, InvalidDocument, NotFound, Refused
from registry.integrations import git, git_trees
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.storage.transfer import Progress
from registry.sync import dir_listing, inventory

if TYPE_CHECKING:
    import polars

    from registry.storage.cloud import Bucket

# Requests are kept here by `_require_fetched`'s command; a stranger's broken one must not stop everything for ever.
OWN = ("--exclude=refs/registry/*", "--all")  # branches, tags, stashes, and the HEAD of every checkout
POINTERS = ("*.dvc", "*dvc.lock")  # wherever they are: a pointer outside any artifact refers to its objects too
REQUESTS = re.compile(r"refs/(?:pull|merge-requests)/\d+/head")  # where GitHub and GitLab keep pull requests' commits
AT_ONCE = 1000  # keys in one request to delete
CLOCKS = timedelta(hours=1)  # how far this machine's clock may be from staging's
_MD5 = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?:\.dir)?")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is referred to: `md5s` by any pointer, `lists` those `.dir` that have to be read, each with who needs it."""

    md5s: frozenset[str]
    lists: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """`unneeded` are rows of `Store.list` with the column md5, oldest first; `young` would be but for their age."""

    staging: "Folder | Bucket"
    objects: int
    young: int
    older_than: timedelta
    now: datetime
    unneeded: "polars.DataFrame"

    @property
    def size(self) -> int:
        """Bytes of what is not needed."""
        return int(self.unneeded["size"].sum())

    def __str__(self) -> str:
        rows = self.unneeded.select("size", "modified", "key").head(SHOWN).rows()
        lines = [f"  {size:>15,} bytes  {(self.now - modified).days:>5} days  {key}" for size, modified, key in rows]
        lines += [f"  … and {self.unneeded.height - SHOWN:,} more"] * (self.unneeded.height > SHOWN)
        head = f"{self.unneeded.height:,} of {self.objects:,} objects not needed, {self.size:,} bytes"
        young = f"; {self.young:,} more younger than {self.older_than.days} days" if self.young else ""
        return "\n".join([f"{self.staging.url}: {head}{young}", *lines])


# --- what Git refers to -----------------------------------------------------------------------------------------------


def survey(root: Path, progress: Progress | None = None) -> Kept:
    """What is referred to by any commit that anybody can have. Raises Refused where that cannot be told, ToolFailed."""
    if git.is_shallow(root):
        raise Refused("this clone is shallow, so what older commits refer to is unknown", fix="git fetch --unshallow")
    here = git.refs(root)
    for remote in git.remotes(root):
        _require_fetched(here, remote, git.refs(root, remote))
    md5s, lists = set(_mentioned(root)), {}
    for commit, paths in _to_read(root, here):
        with git_trees.Revision(root, commit) as tree:
            lists |= _needed(tree, commit, paths)
        if progress:
            progress(1, 0)
    for checkout in git.worktrees(root):
        if (checkout / ".git").exists():  # neither removed nor bare
            md5s.update(md5 for tree in _uncommitted(checkout) for md5 in _mentioned_in(tree))
    return Kept(frozenset(md5s), lists)


def _require_fetched(here: Mapping[str, str], remote: str, there: Mapping[str, str]) -> None:
    branches = f"refs/remotes/{remote}/"
    theirs = dict(filter(None, (_as_here(remote, ref, commit) for ref, commit in there.items())))
    behind = [ref for ref, commit in theirs.items() if here.get(ref) != commit]
    gone = [ref for ref in here if ref.startswith(branches) and ref != f"{branches}HEAD" and ref not in theirs]
    if behind or gone:
        asked = f"+refs/pull/*/head:refs/registry/{remote}/pull/*/head"
        if any("/merge-requests/" in ref for ref in theirs):
            asked = asked.replace("pull", "merge-requests")
        fix = f"git fetch --prune --tags {remote} '+refs/heads/*:{branches}*' '{asked}'"
        state = "is not here as it is there" if behind else "is no longer there"
        raise Refused(f"{remote} was not just fetched: {(behind or gone)[0]} {state}", fix=fix)


def _as_here(remote: str, ref: str, commit: str) -> tuple[str, str] | None:
    """The name that a remote's ref has here."""
    if ref.startswith("refs/heads/"):
        return f"refs/remotes/{remote}/{ref.removeprefix('refs/heads/')}", commit
    if ref.startswith("refs/tags/"):
        return ref, commit
    return (f"refs/registry/{remote}/{ref.removeprefix('refs/')}", commit) if REQUESTS.fullmatch(ref) else None


def _mentioned(root: Path) -> Iterator[str]:
    """Every md5 that stands in any version of any pointer, also in those that can no longer be read."""
    with git_trees.History(root) as history:
        for change in git.changing_commits(root, ["--all"], [], POINTERS):
            for path in change.paths:
                yield from _md5s(_read(history, change.commit, path))


def _read(history: git_trees.History, commit: str, path: str) -> bytes:
    if path.isascii() and path.isprintable():
        return history.read(commit, path) or b""
    with git_trees.Revision(history.root, commit) as tree:  # by its blob: a line break in a name would be two questions
        return tree.read(path) if tree.has(path) else b""


def _mentioned_in(tree: Tree) -> Iterator[str]:
    for entry in tree.list():
        if entry.path.endswith((".dvc", "dvc.lock")) and not entry.is_link:
            yield from _md5s(tree.read(entry.path))


def _md5s(data: bytes) -> Iterator[str]:
    return (md5.decode() for md5 in _MD5.findall(data))


def _uncommitted(checkout: Path) -> tuple[Tree, Tree]:
    return git_trees.WorkTree(checkout), git_trees.Index(checkout)


def _to_read(root: Path, here: Mapping[str, str]) -> Iterator[tuple[str, Sequence[str] | None]]:
    """Commits whose pointers have to be readable, and which of them: all of every tip, those that others change."""
    remote = "origin" if git.has_remote(root) else None
    main = git.main_branch(root, remote)
    main = f"refs/remotes/{remote}/{main}" if remote else f"refs/heads/{main}"
    tips = git.tips(root, OWN)
    yield from ((commit, None) for commit in tips)
    changes = git.changing_commits(root, OWN, [main] if main in here else [], POINTERS)
    yield from ((change.commit, change.paths) for change in changes if change.commit not in set(tips))


def _needed(tree: Tree, commit: str, paths: Sequence[str] | None) -> dict[str, str]:
    """The `.dir` objects that artifacts need, each with who needs it."""
    paths = [entry.path for entry in tree.list()] if paths is None else paths
    owners = sorted({layout.owner_of(path) for path in paths if inventory.is_pointer(path)})
    try:
        reached = [one for owner in owners for one in inventory.reached(tree, owner)]
    except InvalidDocument as error:
        fix = f"git branch --all --contains {commit[:10]}, and put that branch right or delete it"
        raise Refused(f"commit {commit[:10]}: {error.message}, so what it refers to is unknown", fix=fix) from error
    return {one.output.md5: f"{one.output.path} of commit {commit[:10]}" for one in reached if one.output.is_dir}


# --- what the stores have ---------------------------------------------------------------------------------------------


def plan(
    kept: Kept,
    staging: "Folder | Bucket",
    production: Store,
    caches: Sequence[Store],
    older_than: timedelta,
    now: datetime,
    progress: Progress | None = None,
) -> Plan:
    """What in staging is not needed. Raises Refused where a list of files that is needed is nowhere, StorageFailed."""
    import polars as pl

    _require_apart(staging, production)
    listed = staging.list()
    listed = listed.with_columns(md5=pl.Series([pointers.object_md5(key) for key in listed["key"]], dtype=pl.String))
    listed = listed.drop_nulls("md5")  # what is no object is not ours
    is_young = pl.col("modified") > now - older_than
    young_lists = listed.filter(is_young, pl.col("md5").str.ends_with(".dir"))["md5"]
    needed = {md5: f"the young object {staging.url}/{object_key(md5)}" for md5 in young_lists} | dict(kept.lists)
    referred = _referred(kept.md5s, needed, [staging, production, *caches], progress)
    free = listed.join(referred, on="md5", how="anti")
    free = free.join(inventory.held(production, free["md5"]), on="md5", how="anti")
    unneeded = free.filter(~is_young).sort("modified", "key")
    return Plan(staging, listed.height, free.filter(is_young).height, older_than, now, unneeded)


def _require_apart(staging: Store, production: Store) -> None:
    """Raises Refused where the two are one place; `plan` also keeps all that production has."""
    places = [_place(store) for store in (staging, production)]
    if places[0] == places[1]:
        fault = f"staging and production are the same place ({production.url}), where nothing is ever deleted"
        raise Refused(fault, fix="dvc remote modify staging url URL")


def _place(store: Store) -> str:
    return str((store.path / "files").resolve()) if isinstance(store, Folder) else store.url.rstrip("/")


def _referred(
    md5s: Iterable[str], needed: Mapping[str, str], stores: Sequence[Store], progress: Progress | None
) -> "polars.DataFrame":
    """The column md5: these, and all that the `.dir` among them list. Raises Refused for one of `needed` not found."""
    import polars as pl

    names = pl.Series("md5", sorted({*md5s, *needed}), dtype=pl.String)
    parts = [names]
    for md5 in names.filter(names.str.ends_with(".dir")):
        files = _listed(md5, stores)
        if files is None and md5 in needed:
            fault = f"what {needed[md5]} lists is unknown: {md5} is nowhere, or is not what its name says"
            raise Refused(fault, fix="registry push, where it is; or delete what refers to it")
        parts += [] if files is None else [files]
        if progress:
            progress(1, 0)
    return pl.concat(parts).unique().to_frame()


def _listed(md5: str, stores: Sequence[Store]) -> "polars.Series | None":
    for store in stores:
        with suppress(NotFound, Refused):
            return dir_listing.read(store.get(object_key(md5)), md5)["md5"]
    return None


# --- doing it ---------------------------------------------------------------------------------------------------------


def apply(plan: Plan, progress: Progress | None = None) -> None:
    """Delete what the plan names, lists of files first: none is left whose files are gone. Raises StorageFailed."""
    import polars as pl

    _require_clock(plan)
    for is_dir in (True, False):
        rows = plan.unneeded.filter(pl.col("md5").str.ends_with(".dir") == is_dir)
        for part in rows.iter_slices(AT_ONCE):
            plan.staging.delete(part["key"].to_list())
            if progress:
                progress(part.height, int(part["size"].sum()))


def _require_clock(plan: Plan) -> None:
    """Raises Refused where this machine's clock is not staging's: ages would be wrong."""
    key = f"files/clock-{token_hex(8)}"
    plan.staging.put(key, b"registry gc\n")
    try:
        there = datetime.fromtimestamp(plan.staging.head(key).modified / 1e6, UTC)
    finally:
        plan.staging.delete([key])
    if abs(there - plan.now) > CLOCKS:
        fault = f"the clock here says {plan.now:%Y-%m-%d %H:%M}, staging's {there:%Y-%m-%d %H:%M}: ages are unknown"
        raise Refused(fault, fix="set this machine's clock")
