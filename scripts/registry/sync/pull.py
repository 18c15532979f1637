"""Downloads objects from staging and production into DVC's cache: what `dvc pull` fetches, from more than one remote.

An object appears in the cache only complete and verified, and the `.dir` of a folder after all of its files, so that a
run that was killed at any point is completed by the next one, which fetches only what is missing. What the cache had
before is believed only where it was read on this machine; a damaged object is set aside, and fetched again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars import DataFrame, Expr, Series, col

from registry.core import layout, manifests, names, parts, wording
from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, Kind, Output
from registry.errors import SHOWN, InvalidData, NotFound
from registry.storage import results
from registry.storage.base import Store
from registry.storage.cache import DamagedObject, heading
from registry.storage.states import STORED, ObjectState
from registry.storage.stores import Stores
from registry.storage.transfer import transfer
from registry.sync import dir_listing, inventory
from registry.sync.checkout import Placement
from registry.sync.inventory import Reached

_LOCATED = pl.Schema({"md5": pl.String, "size": pl.Int64, "remote": pl.Int64})


@dataclass(frozen=True, slots=True)
class Want:
    """An output to fetch: all of it (`path` is its own), or what lies at `path` inside it.

    `folder` is wanted whole: the output's path, or that of several outputs which are wanted together.
    """

    reached: Reached
    path: str
    folder: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all of the output is wanted."""
        return self.path == self.reached.output.path


class Wanted(NamedTuple):
    """The outputs to fetch, and a message for each artifact that has none yet."""

    wants: tuple[Want, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to fetch. All frames have rows of `inventory.expand`.

    `found` is everything wanted, with a row for each file. `fetch` and `missing` have a row for each object that the
    cache lacks; those of `fetch` have the number of a remote in `stores.downloads`, and the object's size there.
    `cached` are the objects that the cache has intact (md5, size); `damaged` those that it has with another content,
    which are among `fetch` and `missing`. `erased` are those that no store may have, in no other frame but `found`.
    """

    stores: Stores
    wants: tuple[Want, ...]
    found: DataFrame
    fetch: DataFrame
    missing: DataFrame
    cached: DataFrame
    damaged: tuple[DamagedObject, ...]
    erased: DataFrame

    def __str__(self) -> str:
        count = wording.plural(self.found["md5"].n_unique(), "object")
        damaged = tuple(_describe_damaged(self.damaged, self.found, self.stores.root))
        if not self.fetch.height:
            reason = "the missing objects are in no remote" if self.missing.height else f"the cache has all {count}"
            return "\n".join([*damaged, f"nothing to fetch: {reason}"])
        size = f"{self.fetch['size'].sum():,} bytes"
        lines = (f"  {number:,} of {artifact}" for artifact, number in _count_by_artifact(self.fetch))
        return "\n".join([*damaged, f"{self.fetch.height:,} of {count}, {size} → {self.stores.cache.url}", *lines])


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """What was fetched: objects, bytes, and rows of `inventory.expand` for what was not, each with its `state`.

    `kept` is where damaged objects of the cache are now.
    """

    count: int
    size: int
    lost: DataFrame
    kept: tuple[Path, ...] = ()


# --- planning ---------------------------------------------------------------------------------------------------------


def wanted(tree: Tree, targets: Sequence[str]) -> Wanted:
    """The outputs at `targets`: artifacts, outputs or parts of them; by default all artifacts.

    Raises NotFound for a target that is no data of the tree, InvalidName, InvalidDocument.
    """
    wants: dict[Want, None] = {}
    skipped = []
    for target in [text.rstrip("/") for text in targets] or map(str, layout.find(tree)):
        artifact = names.parse_id("/".join(target.split("/")[:2]))
        if not (outputs := inventory.outputs(tree, artifact)):
            manifests.read_document(tree, artifact)  # NotFound where the artifact does not exist
            skipped.append(f"{artifact}: not {'built' if artifact.kind is Kind.DATASET else 'trained'} yet")
            continue
        matched = [
            _want(Reached(artifact, out), target)
            for out in outputs
            if under(out.path, target) or (out.is_dir and under(target, out.path))
        ]
        if not matched:
            raise _unknown(artifact, target, [out.path for out in outputs])
        wants.update(dict.fromkeys(matched))
    return Wanted(tuple(wants), tuple(skipped))


def _want(reached: Reached, target: str) -> Want:
    path, folder = reached.output.path, parts.folder_of(reached.output.path)
    return Want(reached, max(path, target, key=len), max(folder, target, key=len))


def _unknown(artifact: ArtifactId, target: str, known: Sequence[str]) -> NotFound:
    return NotFound(f"{target} is no data of {artifact}", fix=f"name {', '.join(known[:SHOWN])} or a part of it")


def plan(wants: Sequence[Want], stores: Stores) -> Plan:
    """What the cache lacks, and which remote has it. Raises NotFound for a part that its output does not have."""
    places = [stores.cache, *stores.downloads]
    frames = dir_listing.map_lists(
        lambda want: _expand(want, places), wants, lambda want: inventory.is_short(want.reached)
    )
    found = pl.concat([DataFrame(schema=inventory.SCHEMA), *frames]).unique(["root", "path"], maintain_order=True)
    once = found.unique("md5", maintain_order=True)
    cached = inventory.find_stored(stores.cache, once["md5"])
    gone, absent = once.filter("erased"), once.filter(~col("erased"))
    absent = absent.join(cached, on="md5", how="anti", maintain_order="left")
    located = pl.concat([DataFrame(schema=_LOCATED), *_locate(absent["md5"], stores.downloads)])
    fetch = absent.drop("size").join(located, on="md5", maintain_order="left")
    missing = absent.join(located, on="md5", how="anti", maintain_order="left")
    damaged = stores.cache.find_damaged(absent["md5"])
    return Plan(stores, tuple(wants), found, fetch, missing, cached.select("md5", "size"), damaged, gone)


def _describe_damaged(damaged: Sequence[DamagedObject], found: DataFrame, root: Path) -> Iterator[str]:
    """A heading, and a line for each of the first: the file of an artifact, its object, and how it came about."""
    if damaged:
        yield f"{heading(damaged)}:"
    paths = dict(found.filter(col("md5").is_in([one.md5 for one in damaged])).select("md5", "path").iter_rows())
    for one in damaged[:SHOWN]:
        file = root / paths[one.md5]
        is_linked = file.exists() and Path(one.path).exists() and file.samefile(one.path)
        cause = "; the two are one file, which was changed in place" if is_linked else ""
        yield f"  {paths[one.md5]}: {one.fault}{cause}"
    if (rest := len(damaged) - SHOWN) > 0:
        yield f"  … and {rest:,} more"


def _expand(want: Want, stores: Sequence[Store]) -> DataFrame:
    """The rows of an output, or those of a part of it and the output's own."""
    found = inventory.expand([want.reached], stores)
    if want.is_complete:
        return found
    path = col("path")
    part = found.filter(path.is_in([want.path, want.reached.output.path]) | path.str.starts_with(f"{want.path}/"))
    if part.height == 1 < found.height:
        raise _unknown(want.reached.artifact, want.path, [want.reached.output.path])
    return part


def _locate(md5s: Series, remotes: Sequence[Store]) -> Iterator[DataFrame]:
    """Columns md5, size (bytes) and the number of the first remote that has it; later ones are asked for the rest."""
    for number, store in enumerate(remotes):
        found = inventory.find_stored(store, md5s)
        yield found.select("md5", "size", remote=pl.lit(number, pl.Int64))
        md5s = md5s.filter(~md5s.is_in(found["md5"].implode()))


# --- fetching ---------------------------------------------------------------------------------------------------------


def apply(plan: Plan, progress: Progress | None = None) -> Fetched:
    """Fetch what a remote has, after setting aside what is damaged in the cache.

    An output that lacks a file afterwards does not get its `.dir` either. Raises InvalidData when pointers do not match
    their objects, and StorageFailed.
    """
    kept = plan.stores.cache.set_aside_damaged(one.md5 for one in plan.damaged)
    files, lists = plan.fetch.filter(~col("is_dir")), plan.fetch.filter(col("is_dir"))
    fetched = _fetch(files, plan.stores, progress)
    missing = plan.missing.select("md5", state=pl.lit(ObjectState.MISSING.value, results.SCHEMA["state"]))
    lost = pl.concat([missing, _find_lost(files, fetched)])
    incomplete = plan.found.filter(col("md5").is_in(lost["md5"].implode()) | col("erased"))["root"].unique()
    lists = lists.filter(~col("root").is_in(incomplete.implode()))
    fetched_lists = _fetch(lists, plan.stores, progress)
    lost = pl.concat([lost, _find_lost(lists, fetched_lists)])
    stored = pl.concat([fetched, fetched_lists]).filter(_is_stored())
    _require_sizes(plan, lost, stored)
    arrived = stored.filter(col("state") == ObjectState.COPIED)
    rows = plan.found.unique("md5", maintain_order=True).join(lost, on="md5", maintain_order="left")
    return Fetched(arrived.height, int(arrived["moved"].sum()), rows, kept)


def _fetch(rows: DataFrame, stores: Stores, progress: Progress | None) -> DataFrame:
    """The results of `transfer`, one for each attempt: what one remote does not deliver intact is tried at the next."""
    attempts = [DataFrame(schema=results.SCHEMA)]
    for number, remote in enumerate(stores.downloads):
        md5s = rows.filter(col("remote") <= number)["md5"]
        attempts.append(transfer(remote, stores.cache, md5s, known_absent=True, progress=progress))
        stores.cache.record(attempts[-1].filter(col("state") == ObjectState.COPIED)["md5"])
        rows = rows.join(attempts[-1].filter(_is_stored()), on="md5", how="anti", maintain_order="left")
    return pl.concat(attempts)


def _is_stored() -> Expr:
    return col("state").is_in(STORED)


def _find_lost(rows: DataFrame, attempts: DataFrame) -> DataFrame:
    """Columns md5 and state of the rows that no attempt delivered: `corrupt` where any copy was corrupt."""
    failed = rows.select("md5").join(attempts.filter(_is_stored()), on="md5", how="anti")
    is_corrupt = (col("state") == ObjectState.CORRUPT).any()
    states = pl.when(is_corrupt).then(pl.lit(ObjectState.CORRUPT.value)).otherwise(pl.lit(ObjectState.MISSING.value))
    found = attempts.join(failed, on="md5", how="semi").group_by("md5", maintain_order=True)
    return found.agg(state=states.cast(results.SCHEMA["state"]))


def _require_sizes(plan: Plan, lost: DataFrame, fetched: DataFrame) -> None:
    """Raise InvalidData when the sizes of objects, which are intact, do not add up to what their pointer says."""
    complete = [want.reached.output.md5 for want in plan.wants if want.is_complete]
    incomplete = plan.found.join(lost, on="md5", how="semi")["root"]
    found = plan.found.filter(col("root").is_in(complete) & ~col("root").is_in(incomplete.implode()))
    sizes = pl.concat([plan.cached, fetched.select("md5", size="moved")])
    if faults := tuple(inventory.find_size_mismatches(found, sizes, [])):
        fix = "restore the pointer from Git, or write it again (`registry build`, `dvc commit`)"
        raise InvalidData("pointers do not match their objects, which are intact", faults, fix=fix)


def placements(plan: Plan) -> tuple[Placement, ...]:
    """What was wanted, for `checkout.place`. A part of an output that is wanted completely is not repeated."""
    complete = {want.path for want in plan.wants if want.is_complete}
    groups: dict[str, dict[str, Output]] = {}
    for want in plan.wants:
        if want.is_complete or want.reached.output.path not in complete:
            groups.setdefault(want.folder or want.path, {})[want.reached.output.path] = want.reached.output
    inner = {path for path in groups for other in groups if path != other and under(path, other)}
    wanted = ((path, [*outputs.values()]) for path, outputs in groups.items() if path not in inner)
    return tuple(inventory.placement(outputs, path, plan.found) for path, outputs in wanted)


def require_all(plan: Plan, fetched: Fetched) -> None:
    """Raise InvalidData when objects were not fetched: it names the first, and counts them by output."""
    if not (count := fetched.lost.height):
        _require_none_erased(plan)
        return
    dataset, output = col("path").str.extract(parts.FILE_OF_PART), col("root").cast(pl.String)
    output = pl.coalesce(dataset, output).alias("output")  # one line for all parts
    groups = fetched.lost.group_by(output, "state", maintain_order=True).agg("artifact", "path", "md5").iter_rows()
    problems = [
        f"{artifacts[0]}: {len(paths):,} {state}, such as {paths[0]} ({object_key(md5s[0])})"
        for _, state, artifacts, paths, md5s in groups
    ]
    deep = " --deep" if ObjectState.CORRUPT in fetched.lost["state"] else ""  # which replaces what staging has
    places = wording.join([store.url for store in plan.stores.downloads], "or")
    raise InvalidData(
        f"{wording.plural(count, 'object')} could not be fetched from {places}",
        problems,
        fix=f"run `registry push{deep}` where the data is; for released versions, run `registry fsck`",
    )


def _require_none_erased(plan: Plan) -> None:
    """Raise InvalidData where objects were erased: what is left of their outputs is not linked."""
    if plan.erased.height:
        groups = plan.erased.group_by("artifact", maintain_order=True).agg("path").iter_rows()
        problems = [f"{artifact}: {len(paths):,}, such as {paths[0]}" for artifact, paths in groups]
        count = wording.plural(plan.erased.height, "object was", "objects were")
        fault = f"{count} erased, and no store may have {'it' if plan.erased.height == 1 else 'them'}"
        raise InvalidData(fault, problems, fix="use a later version: registry list")


def _count_by_artifact(rows: DataFrame) -> Iterator[tuple[str, int]]:
    yield from rows.group_by("artifact", maintain_order=True).len().iter_rows()
