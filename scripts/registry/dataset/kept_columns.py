"""Columns that a source is not asked for: a row keeps the value that it had in the selection before.

So a dataset that was adopted with its splits, and is selected from Looker from then on, keeps them. A row is found by
its uuid, else by its md5, if the source has that column. What is new has no value: of `split.given`, the rule assigns.
"""

from dataclasses import replace

import polars as pl
from polars import DataFrame, col

from registry.core import manifests
from registry.core.adoption import MD5
from registry.core.layout import manifest_path
from registry.core.values import Column, DatasetManifest
from registry.core.wording import join, plural
from registry.dataset import column_types, exports, provenance
from registry.dataset.select import Current, SelectedRows
from registry.errors import Refused


def asked(manifest: DatasetManifest) -> DatasetManifest:
    """The manifest with the columns that its source is asked for."""
    return replace(manifest, columns=manifests.asked_columns(manifest))


def add(manifest: DatasetManifest, rows: SelectedRows, current: Current) -> SelectedRows:
    """The rows of a source with the columns of the manifest. Raises Refused where values before would be lost."""
    kept = [column for column in manifest.columns if column.kept]
    if not kept:
        return rows
    before = _before(manifest, kept, current)
    names = [column.name for column in kept]
    matched = _match(rows.frame, before, names)
    had = len(before.filter(pl.any_horizontal(col(names).is_not_null())))
    found = {way: int((matched["_by"] == way).sum()) for way in ("uuid", MD5)}
    if had and not any(found.values()):
        ways = "by uuid or md5" if MD5 in rows.frame.columns else "by uuid, and the source has no column md5"
        fault = f"{manifest.id}: none of {plural(had, 'row')} of the selection before is found {ways}"
        fix = f"add the column md5 to columns in {manifest_path(manifest.id)}, from: the field with the MD5 of the file"
        raise Refused(f"{fault}: their values of {join(names)} would be lost", fix=fix)
    frame = matched.select(column.name for column in manifest.columns)
    ways = join([f"{number:,} by {way}" for way, number in found.items() if number]) or "none"
    note = f"{join(names)}: kept for {plural(sum(found.values()), 'row')} ({ways})"
    if (new := len(frame) - sum(found.values())) and manifest.split.given in names:
        note += f"; {plural(new, 'row')} without a value, to be assigned by split.salt and ratios"
    origin = replace(rows.origin, rows_hash=exports.rows_hash(frame), source_hash=provenance.source_hash(manifest))
    return replace(rows, frame=frame, origin=origin, notes=(note, *rows.notes))


def _before(manifest: DatasetManifest, kept: list[Column], current: Current) -> DataFrame:
    """The rows of the selection before, with the columns that are kept; null where it had none. Raises Refused."""
    empty = DataFrame(schema={"uuid": pl.String, **{one.name: column_types.dtype(one.type) for one in kept}})
    if current.previous is None:
        return empty
    rows = current.previous.rows
    if rows is None:
        fault = (
            f"{manifest.id}: the rows of the selection before are not here, and have {join([one.name for one in kept])}"
        )
        raise Refused(fault, fix=f"registry pull {manifest.id}")
    if wrong := [
        one.name for one in kept if rows.schema.get(one.name, empty.schema[one.name]) != empty.schema[one.name]
    ]:
        fault = f"{manifest.id}: {wrong[0]} had the type {rows.schema[wrong[0]]} in the selection before"
        raise Refused(fault, fix="write the type that it had, or leave kept out")
    return pl.concat([empty, rows.select({"uuid", MD5, *empty.columns} & set(rows.columns))], how="diagonal")


def _match(rows: DataFrame, before: DataFrame, names: list[str]) -> DataFrame:
    """The rows with these columns of the rows before, and `_by`: the column by which each was found, or null."""
    found = rows.join(before.select("uuid", *names, _by=pl.lit("uuid")), on="uuid", how="left", maintain_order="left")
    if MD5 not in rows.columns or MD5 not in before.columns:
        return found
    unmatched = before.join(rows, on="uuid", how="anti").with_columns(_key=col(MD5).str.to_lowercase())
    unmatched = unmatched.filter(col("_key").is_not_null()).unique("_key", keep="none")
    renamed = unmatched.select("_key", *(col(name).alias(f"_{name}") for name in names), _md5=pl.lit(MD5))
    found = found.with_columns(_key=col(MD5).str.to_lowercase())
    found = found.join(renamed, on="_key", how="left", maintain_order="left")
    is_new = col("_by").is_null()
    return found.with_columns(
        *(pl.when(is_new).then(col(f"_{name}")).otherwise(col(name)).alias(name) for name in names),
        _by=pl.coalesce("_by", "_md5"),
    )
