"""Deletes objects from staging that nothing refers to.

Kept are the objects that `references.survey` finds; those that are young, because a push may be under way, and those in
a young list of files; and those that production has under that name, so that nothing is lost where staging is
production by another name. Where this cannot be determined, nothing is deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import polars as pl
from polars import DataFrame, Series, col

from registry.core import digests, wording
from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.errors import SHOWN, NotFound, Refused
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.sync import dir_listing, inventory
from registry.sync.references import References

BATCH = 1000  # keys in one request to delete
MAX_CLOCK_SKEW = timedelta(hours=1)  # between this machine and staging


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to delete from staging, which has `objects` objects.

    `unreferenced` are rows of `Store.list` with the column md5, oldest first; `young` is the number of those that are
    kept for their age alone.
    """

    staging: Store
    objects: int
    young: int
    older_than: timedelta
    now: datetime
    unreferenced: DataFrame

    @property
    def size(self) -> int:
        """Bytes to delete."""
        return int(self.unreferenced["size"].sum())

    def __str__(self) -> str:
        rows = self.unreferenced.select("size", "modified", "key").head(SHOWN).iter_rows()
        lines = [f"  {size:>15,} bytes  {(self.now - modified).days:>5} days  {key}" for size, modified, key in rows]
        lines += [f"  … and {self.unreferenced.height - SHOWN:,} more"] * (self.unreferenced.height > SHOWN)
        count = f"{self.unreferenced.height:,} of {wording.plural(self.objects, 'object')}"
        young = f"; {self.young:,} more are younger than {self.older_than.days} days" if self.young else ""
        return "\n".join([f"{self.staging.url}: {count} unreferenced, {self.size:,} bytes{young}", *lines])


def plan(
    references: References,
    staging: Store,
    production: Store,
    caches: Sequence[Store],
    older_than: timedelta,
    now: datetime,
    progress: Progress | None = None,
) -> Plan:
    """What in staging is unreferenced. Raises Refused where a required list of files cannot be read; StorageFailed."""
    _require_apart(staging, production)
    listed = staging.list()
    listed = listed.with_columns(md5=Series([digests.object_md5(key) for key in listed["key"]], dtype=pl.String))
    listed = listed.drop_nulls("md5")  # other files are not the registry's
    is_young = col("modified") > now - older_than
    young_lists = listed.filter(is_young, col("md5").str.ends_with(".dir"))["md5"]
    required = {md5: f"the young object {staging.url}/{object_key(md5)}" for md5 in young_lists}
    required |= references.lists
    referenced = _expand(references.md5s, required, [staging, production, *caches], progress)
    free = listed.join(referenced, on="md5", how="anti")
    free = free.join(inventory.find_stored(production, free["md5"]), on="md5", how="anti")
    unreferenced = free.filter(~is_young).sort("modified", "key")
    return Plan(staging, listed.height, free.filter(is_young).height, older_than, now, unreferenced)


def _require_apart(staging: Store, production: Store) -> None:
    """Raise Refused where both are one place; `plan` also keeps all that production has."""
    if _locate(staging) == _locate(production):
        fault = f"staging and production are the same place ({production.url}), where nothing may be deleted"
        raise Refused(fault, fix="dvc remote modify staging url URL")


def _locate(store: Store) -> str:
    return str((store.path / "files").resolve()) if isinstance(store, Folder) else store.url.rstrip("/")


def _expand(
    md5s: Iterable[str], required: Mapping[str, str], stores: Sequence[Store], progress: Progress | None
) -> DataFrame:
    """The column md5: `md5s`, and all files in the `.dir` objects among them.

    Raises Refused where a `.dir` object of `required` is missing or corrupt.
    """
    names = Series("md5", sorted({*md5s, *required}), dtype=pl.String)
    parts = [names]
    for md5 in names.filter(names.str.ends_with(".dir")):
        files = _read_listing(md5, stores)
        if files is None and md5 in required:
            state = "is missing, corrupt or no list of a folder's files in every store"
            fault = f"the files of {required[md5]} are unknown: {md5} {state}"
            raise Refused(fault, fix="run `registry push` where the data is, or delete what refers to it")
        parts += [] if files is None else [files]
        if progress:
            progress(1, 0)
    return pl.concat(parts).unique().to_frame()


def _read_listing(md5: str, stores: Sequence[Store]) -> Series | None:
    for store in stores:
        with suppress(NotFound, Refused):
            return dir_listing.read_foreign(store.get(object_key(md5)), md5)["md5"]
    return None


def apply(plan: Plan, progress: Progress | None = None) -> None:
    """Delete what the plan names, `.dir` objects first: none is left without its files. Raises StorageFailed."""
    _require_clock(plan)
    for is_dir in (True, False):
        rows = plan.unreferenced.filter(col("md5").str.ends_with(".dir") == is_dir)
        for part in rows.iter_slices(BATCH):
            plan.staging.delete(part["key"].to_list())
            if progress:
                progress(part.height, int(part["size"].sum()))


def _require_clock(plan: Plan) -> None:
    """Raise Refused where the clocks of this machine and of staging differ: ages would be wrong."""
    key = f"files/clock-{token_hex(8)}"
    plan.staging.put(key, b"registry gc\n")
    try:
        theirs = datetime.fromtimestamp(plan.staging.head(key).modified / 1e6, UTC)
    finally:
        plan.staging.delete([key])
    if abs(theirs - plan.now) > MAX_CLOCK_SKEW:
        fault = f"the clock of this machine ({plan.now:%Y-%m-%d %H:%M}) differs from staging's"
        raise Refused(f"{fault} ({theirs:%Y-%m-%d %H:%M}): ages are unknown", fix="set this machine's clock")
