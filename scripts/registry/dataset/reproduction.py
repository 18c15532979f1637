"""What the selection and the rule of a manifest make of a dataset, compared with what its `.dir` objects list.

No image is needed for it: an item's UUID, label and split, its file name and the metadata tables follow from the
selection and the manifest alone.
"""

from collections.abc import Iterable, Iterator, Mapping

import polars as pl
from polars import DataFrame, col

from registry.core import adoption, digests, item_paths, manifests, parts
from registry.core.artifact_files import Reader
from registry.core.parts import Parts
from registry.core.values import Build, Counts, DatasetManifest, Selection
from registry.dataset import exports, items, loaded_selection, parquet_footer, version_files, version_rows
from registry.dataset.differences import Difference, DifferenceKind
from registry.dataset.version_rows import Folder
from registry.errors import Refused
from registry.storage.reader import require_object
from registry.sync import dir_listing

SHOWN = 3  # examples of each kind of difference


def read_rows(manifest: DatasetManifest, md5: str, read: Reader, origin: Selection | None) -> DataFrame:
    """The rows of the selection with this `.dir` object, which has no more of them than `origin` says.

    Raises NotFound where no store has it, Refused and InvalidData where it is no selection by this manifest.
    """
    files = dir_listing.read(require_object(read, md5, f"{manifest.id}/raw"), md5)
    if files["relpath"].to_list() != [loaded_selection.FILE]:
        fault = f"lists {', '.join(files['relpath'].head(SHOWN)) or 'nothing'}, expected {loaded_selection.FILE} alone"
        raise Refused(f"{manifest.id}/raw {fault}", fix=f"registry select {manifest.id}")
    name = f"{manifest.id}/raw/{loaded_selection.FILE}"
    at_most = origin.rows if origin else parquet_footer.MAX_ROWS
    rows = exports.read_selection(require_object(read, files["md5"][0], name), name, rows=at_most)
    loaded_selection.require_rows(manifest, rows)
    return rows


def compare_facts(rows: DataFrame, selection: Selection) -> Iterator[Difference]:
    """How `meta.selection` in raw.dvc differs from the rows that it describes."""
    facts = {"rows": len(rows), "rows_hash": exports.rows_hash(rows)}
    wrong = tuple(name for name, fact in facts.items() if getattr(selection, name) != fact)
    if wrong:
        yield Difference(DifferenceKind.ROWS, len(wrong), wrong)


def compare_version(
    manifest: DatasetManifest, selection: DataFrame, listed: Parts, read: Reader, built: Build | None
) -> Iterator[Difference]:
    """How a version differs from what a build of the selection would write.

    `listed` are its lists of files, which are read prefix by prefix; `built` is `meta.build`. Counts are compared where
    the images are the same. Raises NotFound where no store has a list, Refused, InvalidData for no image at all.
    """
    different, tables, counts = list[Difference](), list[Difference](), list[Counts]()
    version_rows.require_images(manifest, selection)
    for prefix, rows, group in _groups(manifest, selection, listed):
        files = version_files.read(group, read, f"{manifest.id}/prepared")
        expected = _with_extensions(manifest, version_rows.items_of(manifest, rows), files)
        expected = expected.with_columns(version_rows.folder_column(manifest, expected, prefix))
        different += _compare_items(manifest, rows, expected, files)
        tables += _compare_tables(version_rows.tables(manifest, rows, expected), items.tables(files))
        counts.append(items.count(expected))
    yield from _join(different)
    yield from _join(tables)
    if not different and built and (wrong := tuple(_wrong_counts(built, items.add_counts(counts)))):
        yield Difference(DifferenceKind.COUNTS, len(wrong), wrong)


def _groups(manifest: DatasetManifest, selection: DataFrame, listed: Parts) -> Iterator[tuple[str, DataFrame, Parts]]:
    """Each prefix, its rows, and the parts with it; all at once, with no prefix, for another layout."""
    groups, digits = parts.groups(listed), parts.DIGITS.get(manifest.folders or 0, 0)
    if not digits or any(len(prefix) != digits for prefix in groups):
        yield "", selection, listed
        return
    rows = {one.path: one.rows for one in version_rows.group(version_rows.prefixes(selection["uuid"], digits))}
    for prefix in sorted({*rows, *groups}):
        yield prefix, selection[rows[prefix]] if prefix in rows else selection.clear(), groups.get(prefix, {})


def _join(found: Iterable[Difference]) -> Iterator[Difference]:
    """One difference of each kind."""
    by_kind: dict[DifferenceKind, list[Difference]] = {}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one)
    for kind, those in by_kind.items():
        examples = sorted(example for one in those for example in one.examples)
        yield Difference(kind, sum(one.count for one in those), tuple(examples[:SHOWN]))


def compare_whole(listed: Parts, built: Build | None, read: Reader) -> Iterator[Difference]:
    """How `meta.build` differs from the md5 that DVC gives the folder of several parts. Raises NotFound."""
    if built and built.whole != ("" if "" in listed else version_files.md5(listed, read)):
        yield Difference(DifferenceKind.WHOLE, 1, ("whole",))


def _with_extensions(manifest: DatasetManifest, expected: DataFrame, files: DataFrame) -> DataFrame:
    """The expected images; where the manifest leaves the extension to the lake, their keys have the listed one."""
    if manifest.is_adopted:
        return expected
    keys = manifests.lake_keys(manifest)
    if keys.extension != item_paths.ANY_EXTENSION:
        return expected
    parts = col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("uuid", "extension")
    listed = files.select(parts).filter(col("extension").is_in(keys.extensions)).unique("uuid")
    extension = col("extension").fill_null(keys.extensions[0])
    key = pl.concat_str(pl.lit(keys.folder), "uuid", pl.lit(f"{keys.suffix}."), extension)
    return expected.join(listed, on="uuid", how="left", maintain_order="left").with_columns(key=key).drop("extension")


# --- images -----------------------------------------------------------------------------------------------------------


def _compare_items(
    manifest: DatasetManifest, selection: DataFrame, expected: DataFrame, files: DataFrame
) -> Iterator[Difference]:
    wanted = expected.select("uuid", col("split").cast(pl.String), "label", relpath=version_rows.item_path())
    # A path has the split, the label and the UUID: what is listed where it is expected needs no further look.
    listed = _parse(files.join(wanted, on="relpath", how="anti"))
    unlisted = wanted.join(files, on="relpath", how="anti")
    selected = col("uuid").is_in(listed.join(selection, on="uuid", how="semi")["uuid"].implode())
    excluded = selected & col("uuid").is_in(list(manifest.exclude))
    both = listed.join(wanted, on="uuid", suffix="_expected")
    other_bytes = listed.clear()
    if manifest.is_adopted:  # for others, the lake has the bytes
        known = selection.select("uuid", adopted=col(adoption.MD5))
        other_bytes = _parse(files).join(known, on="uuid").filter(col("md5") != col("adopted"))
    differs = {name: col(name) != col(f"{name}_expected") for name in ("label", "split", "relpath")}
    for kind, rows in (
        (DifferenceKind.NOT_SELECTED, listed.filter(~selected)),
        (DifferenceKind.EXCLUDED, listed.filter(excluded)),
        (DifferenceKind.MISSING, unlisted.join(listed, on="uuid", how="anti")),
        (DifferenceKind.LABEL, both.filter(differs["label"])),
        (DifferenceKind.SPLIT, both.filter(differs["split"])),
        (DifferenceKind.BYTES, other_bytes),
        (DifferenceKind.FILE_NAME, both.filter(differs["relpath"] & ~differs["label"] & ~differs["split"])),
    ):
        if len(rows):
            yield Difference(kind, len(rows), tuple(rows["relpath"].sort().head(SHOWN)))


def _parse(files: DataFrame) -> DataFrame:
    """The images among files: columns uuid, split, label, relpath and md5."""
    found = col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("uuid", "split", "label")
    return files.select(found, "relpath", "md5").filter(col("uuid").is_not_null())


# --- metadata tables, and counts --------------------------------------------------------------------------------------


def _compare_tables(expected: Iterator[tuple[Folder, bytes]], found: Mapping[str, str]) -> Iterator[Difference]:
    """Byte for byte: `metadata_tables` writes the same rows always the same, and readers believe the footer too."""
    tables = {folder.path: digests.md5(data) for folder, data in expected}
    wrong = [folder for folder, md5 in tables.items() if found.get(folder) != md5]
    wrong += sorted(found.keys() - tables.keys())
    if wrong:
        paths = tuple(f"{folder}/{item_paths.METADATA}" for folder in wrong[:SHOWN])
        yield Difference(DifferenceKind.TABLE, len(wrong), paths)


def _wrong_counts(built: Build, counts: Counts) -> Iterator[str]:
    """The splits and classes whose number in `meta.build` is not that of the selection's images."""
    splits = dict.fromkeys([*counts, *built.counts])
    for split in splits:
        expected, found = counts.get(split, {}), built.counts.get(split, {})
        for label in dict.fromkeys([*expected, *found]):
            if expected.get(label, 0) != found.get(label, 0):
                yield f"{split}/{label}"
