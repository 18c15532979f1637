"""Verifies that production has every object that release tags reach, intact, and restores missing objects.

Production is create-only: missing objects can be restored, each verified on the way and the `.dir` last; corrupt ones
cannot be replaced, so the output names the steps for an administrator. A repair that was interrupted is completed by
the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl
from polars import DataFrame, Series

from registry.core import layout
from registry.core.digests import describe_mismatch, object_key
from registry.core.progress import Progress
from registry.core.tree import under
from registry.core.values import Output, Tag
from registry.core.wording import plural
from registry.dataset import items
from registry.errors import Refused
from registry.release.fsck_versions import Fault, FaultState, Result, TaggedVersion
from registry.storage.base import Store
from registry.storage.sha256 import hash_objects
from registry.storage.states import STORED, ObjectState
from registry.storage.transfer import transfer
from registry.storage.verify import audit
from registry.sync import dir_listing, inventory
from registry.sync.inventory import Reached


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """The objects of some versions, as production's listing has them.

    `objects` are all that they reach, in the columns of `inventory.expand`; `held` those that production has, and those
    that were erased (without a size), which is no fault. `corrupt`
    and `invalid` are outputs (by md5) whose list of files in production is corrupt, or intact and not what the pointer
    says (with the reason).
    """

    objects: DataFrame
    held: DataFrame
    corrupt: frozenset[str]
    invalid: Mapping[str, str]

    def without(self, md5s: Iterable[str]) -> "Inspection":
        """The same, where production lacks these objects: a server may list what it does not give."""
        return replace(self, held=self.held.filter(~pl.col("md5").is_in(list(md5s))))


class Audit(NamedTuple):
    """Objects (by md5) that were read: those that are corrupt, and those that production did not give.

    `hashed` has the SHA-256 of the intact ones: columns md5 and sha256.
    """

    corrupt: frozenset[str]
    absent: frozenset[str]
    hashed: DataFrame


# --- inspect ----------------------------------------------------------------------------------------------------------


class _Listed(NamedTuple):
    objects: DataFrame
    is_corrupt: bool
    is_absent: bool
    invalid: str


def inspect(versions: Iterable[TaggedVersion], production: Store, others: Sequence[Store] = ()) -> Inspection:
    """List these versions' objects in production; lists of files that it lacks are read from `others`.

    Raises StorageFailed.
    """
    once = {reached.output.md5: reached for version in versions for reached in version.reached}
    lists = dir_listing.map_lists(lambda one: _list(one, production, others), once.values(), inventory.is_short)
    listed = dict(zip(once, lists, strict=True))
    objects = pl.concat([pl.DataFrame(schema=inventory.SCHEMA), *(output.objects for output in listed.values())])
    held = inventory.find_stored_surely(production, objects["md5"])
    gone = objects.filter("erased").join(held, on="md5", how="anti").unique("md5")
    found = Inspection(
        objects,
        pl.concat([held, gone.select("md5", size=pl.lit(None, pl.Int64), etag=pl.lit(""))]),
        frozenset(md5 for md5, output in listed.items() if output.is_corrupt),
        {md5: output.invalid for md5, output in listed.items() if output.invalid},
    )
    return found.without(md5 for md5, output in listed.items() if output.is_absent)


def _list(reached: Reached, production: Store, others: Sequence[Store]) -> _Listed:
    is_corrupt, is_absent, invalid = False, False, ""
    for stores in ([production], others) if others else ([production],):
        try:
            objects = inventory.expand([reached], stores)
        except Refused as error:
            if stores[0] is production:
                is_corrupt = _is_corrupt(reached.output, production)
                invalid = "" if is_corrupt else error.message
            continue
        if not reached.output.is_dir or objects["size"][0] is not None:
            return _Listed(objects, is_corrupt, is_absent, invalid or _find_invalid(reached.output, objects))
        is_absent = is_absent or stores[0] is production
    return _Listed(inventory.expand([reached], []), is_corrupt, is_absent, invalid)


def _is_corrupt(out: Output, production: Store) -> bool:
    return audit(production, [out.md5])["state"].to_list() == [ObjectState.CORRUPT]


def _find_invalid(out: Output, objects: DataFrame) -> str:
    """What is wrong with an intact list of files, or an empty string."""
    if not out.is_dir:
        return ""
    if out.nfiles not in {None, objects.height - 1}:
        return (
            f"{out.path}: the list names {plural(objects.height - 1, 'file')}, expected {out.nfiles:,} by the pointer"
        )
    owner = layout.owner_of(out.path)
    if not owner or not under(out.path, layout.product_path(owner)):
        return ""
    start = f"{layout.product_path(owner)}/"
    files = objects.filter(~pl.col("is_dir")).select("md5", relpath=pl.col("path").str.strip_prefix(start))
    strays = items.parse(files).unexpected_files
    return f"{out.path}: the list names {strays[0]!r}, neither an image nor metadata.parquet" if strays else ""


def suspects(inspection: Inspection, *, deep: bool) -> Series:
    """The md5s of objects that have to be read: all, or those of outputs whose sizes do not match their pointers."""
    if deep:
        return inspection.held.drop_nulls("size")["md5"]
    mismatched = _sizes(inspection).filter("mismatch")
    rows = inspection.objects.join(mismatched, on="root", how="semi")
    return inspection.held.drop_nulls("size").join(rows, on="md5", how="semi")["md5"]


def _sizes(inspection: Inspection) -> DataFrame:
    """Columns root, path, total (by the pointer) and have (in production), both in bytes, and mismatch."""
    have, is_file = pl.col("have"), ~pl.col("is_dir")
    complete, differs = have.is_not_null().all(), pl.col("total").sum() != have.filter(is_file).sum()
    held = inspection.held.select("md5", have="size")
    return (
        inspection.objects.join(held, on="md5", how="left", maintain_order="left")
        .group_by("root", maintain_order=True)
        .agg(
            pl.col("path").first(),
            pl.col("total").sum(),
            have.filter(is_file).sum(),
            mismatch=(pl.col("size") != have).any() | (complete & differs),
        )
    )


def read(production: Store, md5s: Iterable[str], progress: Progress | None = None) -> Audit:
    """Read all of these objects. Raises StorageFailed."""
    states = hash_objects(production, md5s, progress)
    corrupt, absent = (
        frozenset(states.filter(pl.col("state") == state)["md5"])
        for state in (ObjectState.CORRUPT, ObjectState.MISSING)
    )
    return Audit(corrupt, absent, states.select("md5", "sha256").drop_nulls())


def intact(inspection: Inspection, corrupt: frozenset[str]) -> DataFrame:
    """The rows of `held` that are not known to be corrupt."""
    return inspection.held.filter(~pl.col("md5").is_in(list(corrupt | inspection.corrupt)))


# --- evaluate ---------------------------------------------------------------------------------------------------------


def evaluate(
    versions: Iterable[TaggedVersion],
    inspection: Inspection,
    corrupt: frozenset[str],
    production: Store,
    of_manifests: Mapping[Tag, tuple[Fault, ...]],
) -> tuple[Result, ...]:
    """The result of each version; `corrupt` are the md5s of objects that were read and do not match.

    `of_manifests` are the faults of the release manifests.
    """
    corrupt |= inspection.corrupt
    found = (_evaluate(version, inspection, corrupt, production) for version in versions)
    return tuple(replace(one, faults=(*one.faults, *of_manifests.get(one.version.tag, ()))) for one in found)


def _evaluate(version: TaggedVersion, inspection: Inspection, corrupt: frozenset[str], production: Store) -> Result:
    if version.fault:
        return Result(version, 0, 0, (Fault(FaultState.INVALID, str(version.tag.artifact), "", version.fault),))
    roots = [reached.output.md5 for reached in version.reached]
    own = inspection.objects.filter(pl.col("root").is_in(roots))
    once = own.unique("md5", maintain_order=True)
    held = inspection.held.join(once, on="md5", how="semi")
    faults = [
        *_missing(version, once.join(held, on="md5", how="anti"), own, production),
        *_corrupt(once, corrupt, production),
        *_invalid(roots, own, inspection, corrupt),
    ]
    gone = int(once["erased"].sum())
    return Result(version, once.height - gone, int(held["size"].sum()), tuple(faults), gone)


def _missing(version: TaggedVersion, missing: DataFrame, own: DataFrame, production: Store) -> Iterator[Fault]:
    alone = {root for root, count in own["root"].value_counts().rows() if count == 1}
    files = {reached.output.md5: reached.output.nfiles for reached in version.reached if reached.output.is_dir}
    for path, md5 in missing.select("path", "md5").rows():
        count = files.get(md5) if md5 in alone else None
        unknown = f" (the list of {plural(count, 'file')})" if count else ""
        message = f"{path}: {production.url}/{object_key(md5)} is missing{unknown}"
        yield Fault(FaultState.MISSING, path, md5, message)


def _corrupt(once: DataFrame, corrupt: frozenset[str], production: Store) -> Iterator[Fault]:
    for path, md5 in once.filter(pl.col("md5").is_in(list(corrupt))).select("path", "md5").rows():
        message = describe_mismatch(f"{path}: {production.url}/{object_key(md5)}")
        yield Fault(FaultState.CORRUPT, path, md5, message)


def _invalid(roots: Sequence[str], own: DataFrame, inspection: Inspection, corrupt: frozenset[str]) -> Iterator[Fault]:
    invalid = inspection.invalid
    yield from (Fault(FaultState.INVALID, "", root, invalid[root]) for root in roots if root in invalid)
    explained = {*invalid, *own.filter(pl.col("md5").is_in(list(corrupt)))["root"]}
    unexplained = [root for root in roots if root not in explained]
    sizes = _sizes(inspection).filter("mismatch", pl.col("root").is_in(unexplained)).sort("path")
    for root, path, total, have in sizes.select("root", "path", "total", "have").rows():
        message = f"{path}: its objects have {plural(have, 'byte')}, expected {total:,} by the pointer"
        yield Fault(FaultState.INVALID, path, root, message)


def is_intact(results: Iterable[Result]) -> bool:
    """Whether no version has a fault."""
    return not any(result.faults for result in results)


# --- repair -----------------------------------------------------------------------------------------------------------


def find_missing(inspection: Inspection) -> DataFrame:
    """The rows of `inspection.objects` that production lacks, each object once."""
    return inspection.objects.join(inspection.held, on="md5", how="anti").unique("md5", maintain_order=True)


def repair(
    inspection: Inspection, sources: Sequence[Store], production: Store, progress: Progress | None = None
) -> int:
    """Restore missing objects that a source has intact; a `.dir` only when production has all that it lists.

    Returns how many objects were restored. Raises StorageFailed.
    """
    missing = find_missing(inspection)
    count = _restore(missing.filter(~pl.col("is_dir"))["md5"].to_list(), sources, production, progress)
    dirs = missing.filter("is_dir")["md5"].to_list()
    rows = inspection.objects.filter(~pl.col("is_dir"), pl.col("root").is_in(dirs))
    incomplete = set(rows.join(inventory.find_stored(production, rows["md5"]), on="md5", how="anti")["root"])
    readable = set(inspection.objects.filter("is_dir", pl.col("size").is_not_null())["root"])
    return count + _restore([md5 for md5 in dirs if md5 in readable - incomplete], sources, production, progress)


def _restore(md5s: Sequence[str], sources: Sequence[Store], production: Store, progress: Progress | None) -> int:
    count, left = 0, md5s
    for source in sources:
        done = transfer(source, production, left, progress=progress)
        count += done.filter(pl.col("state") == ObjectState.COPIED).height
        left = done.filter(~pl.col("state").is_in(STORED))["md5"].to_list()
    return count


def find_intact_copies(results: Iterable[Result], sources: Sequence[Store]) -> dict[str, str]:
    """Where there is an intact copy of each corrupt object of DVC's: its key → the URL of the source."""
    faults = (fault for result in results for fault in result.faults)
    corrupt = {fault.md5 for fault in faults if fault.md5 and fault.state is FaultState.CORRUPT}
    intact = (
        (audit(source, corrupt).filter(pl.col("state") == ObjectState.PRESENT)["md5"], source) for source in sources
    )
    return {object_key(md5): source.url for md5s, source in intact for md5 in md5s}
