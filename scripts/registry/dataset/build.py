"""How a selection becomes a version: validated and stored images, splits, tables, `.dir` objects, `prepared.dvc`.

Images are in staging before `version_writing` writes. So a killed build leaves the previous version, and running it
again finishes. The bytes depend on no time, host or order: the same manifest, selection and lake give the same pointer
on any machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
from polars import col

from registry.core import adoption, coverage, layout, parts
from registry.core.adoption import Adopted
from registry.core.erasures import Erased
from registry.core.progress import Progress
from registry.core.values import Build, Counts, DatasetManifest
from registry.core.wording import abbreviate, plural, size, table
from registry.dataset import (
    exclusions,
    image_formats,
    image_validation,
    intake,
    items,
    lake_lookup,
    loaded_selection,
    validation_cache,
    version_rows,
    version_writing,
)
from registry.dataset.intake import Places, with_stored
from registry.dataset.loaded_selection import LoadedSelection
from registry.errors import InvalidData, NotFound, Refused

GONE = "its bytes were erased under another UUID"
TOO_LARGE = "too large"  # stands for the reason, which names the size
SHOWN = 10  # UUIDs that are named
MOST_IN_ONE_FOLDER = 1_000_000  # images: the list of their files has 110 MB, and DVC takes six times that to read it


@dataclass(frozen=True, slots=True)
class ImageFault:
    """Why an image is invalid; `reason` is one line."""

    uuid: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.uuid} ({self.key}): {self.reason}"


class InvalidImages(InvalidData):
    """Images that a version may not contain."""

    def __init__(self, manifest: DatasetManifest, faults: Sequence[ImageFault], total: int) -> None:
        self.faults = tuple(faults)
        fix = f"replace them in the lake, or exclude them: registry build {manifest.id} --exclude-faulty"
        if any(fault.reason.startswith(lake_lookup.OTHER_EXTENSION) for fault in faults):
            fix = f'set image: "{lake_lookup.suggest(manifest)}" in dataset.yaml to use every ending; {fix}'
        super().__init__(
            f"{manifest.id}: {len(faults):,} of {plural(total, 'image')} invalid; prepared.dvc is unchanged",
            [str(fault) for fault in faults],
            fix=fix,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a build will do: `rows` has one row for each image, sorted by uuid.

    Its columns: uuid, label, split; `key` in the lake, and `size`, `etag` and `modified` there (null where it is
    missing); `problem`, why an image cannot be looked up; `md5`, where the validation cache has it; `stored`, whether
    staging or production has that object.
    """

    manifest: DatasetManifest
    selection: LoadedSelection
    rows: pl.DataFrame

    @property
    def pending(self) -> pl.DataFrame:
        """The rows whose images have to be ingested from the lake."""
        return self.rows.filter(~col("stored") & col("size").is_between(1, image_formats.MAX_BYTES))

    def __str__(self) -> str:
        selected, problems = len(self.selection.rows), self.rows["problem"].drop_nulls()
        missing = int(problems.str.starts_with(lake_lookup.MISSING).sum())
        several = len(problems) - missing
        lines = [
            f"{self.manifest.id}: {plural(selected, 'row')} selected, {selected - len(self.rows):,} excluded",
            f"{len(self.pending):,} of {plural(len(self.rows), 'image')} to ingest, {size(_sum(self.pending['size']))}",
            *([f"{plural(missing, 'image')} missing from the lake"] if missing else []),
            *([f"{plural(several, 'UUID')} with several images in the lake"] if several else []),
        ]
        counts = items.count(self.rows)
        return "\n".join([*lines, _count_table(counts), *_warnings(self.manifest, counts)])


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A version: its facts, how many images were read for it and stored in staging, and their bytes.

    `not_validated` counts the images that were not read on this machine: the stores copied them, or had them. `valid`
    are images that an earlier build excluded and that this one would have accepted.
    """

    manifest: DatasetManifest
    build: Build
    read: int
    not_validated: int
    stored: int
    stored_bytes: int
    valid: tuple[str, ...] = ()

    def __str__(self) -> str:
        cached = self.build.images - self.read - self.not_validated
        is_adopted = self.manifest.is_adopted  # then images were read and stored as they were taken
        counts = [f"{cached:,} validated {'as they were taken' if is_adopted else 'before'}"]
        counts += [f"{self.read:,} validated now"] if self.read or not is_adopted else []
        counts += [f"{self.not_validated:,} not validated"] if self.not_validated else []
        counts += (
            [f"{self.stored:,} new in staging ({size(self.stored_bytes)})"] if self.stored or not is_adopted else []
        )
        lines = [f"{plural(self.build.images, 'image')}: {', '.join(counts)}"]
        if self.not_validated:
            how = "taken as they are" if self.manifest.is_adopted else "copied server-side"
            images = plural(self.not_validated, "image was", "images were")
            lines.append(f"{images} {how} and not validated; run `registry check --images`")
        lines += [self._describe_valid()] if self.valid else []
        return "\n".join([*lines, _count_table(self.build.counts), *_warnings(self.manifest, self.build.counts)])

    def _describe_valid(self) -> str:
        manifest, shown = layout.manifest_path(self.manifest.id), ", ".join(self.valid[:SHOWN])
        more = f" and {len(self.valid) - SHOWN:,} more" if len(self.valid) > SHOWN else ""
        excluded = plural(len(self.valid), "excluded image is", "excluded images are")
        return f"{excluded} valid now: {shown}{more}; to use them, delete their lines below exclude: in {manifest}"


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan(manifest: DatasetManifest, places: Places) -> Plan:
    """Compares the selection with the lake, the stores and the validation cache; no image is read.

    Raises as `loaded_selection.read`; Refused for too many images for one folder; NotFound when the lake has none of
    the images; StorageFailed.
    """
    selection = loaded_selection.read(manifest, places.root, (places.cache, places.staging, places.production))
    version_rows.require_images(manifest, selection.rows)
    rows = version_rows.items_of(manifest, selection.rows)
    if len(rows) > MOST_IN_ONE_FOLDER and not manifest.folders:
        fault = f"{len(rows):,} images are too many for one folder; the limit is {MOST_IN_ONE_FOLDER:,}"
        fix = f"write layout: {{folders: {max(parts.DIGITS)}}} in {layout.manifest_path(manifest.id)}"
        raise Refused(f"{manifest.id}: {fault}", fix=fix)
    if isinstance(manifest.source, Adopted):
        return Plan(manifest, selection, _find_adopted(manifest, manifest.source, selection.rows, rows, places))
    places.lake.require_readable()
    rows = lake_lookup.find(manifest, rows, places.lake)
    listed = rows.filter(col("problem").is_null()).select("key", "size", "etag", "modified")
    known = with_stored(_validated(manifest, listed, places), places)
    rows = rows.join(known.select("key", "md5", "stored"), on="key", how="left", maintain_order="left")
    return Plan(manifest, selection, rows.with_columns(col("stored").fill_null(value=False)))


def _find_adopted(
    manifest: DatasetManifest, source: Adopted, selection: pl.DataFrame, rows: pl.DataFrame, places: Places
) -> pl.DataFrame:
    """The rows of adopted images, all of which are objects of the registry. Raises NotFound for those that are not."""
    facts = selection.select("uuid", md5=col(adoption.MD5), size=col(adoption.BYTES))
    found = with_stored(rows.join(facts, on="uuid", maintain_order="left"), places)
    lost = found.filter(~col("stored"))["key"]
    if len(lost):
        fault = f"{plural(len(lost), 'image')} in neither staging nor production: {abbreviate(lost.to_list())}"
        raise NotFound(f"{manifest.id}: {fault}", fix=source.command(manifest.id))
    never = pl.lit(None, pl.Datetime("us", "UTC"))
    return found.with_columns(etag=pl.lit(""), modified=never, problem=pl.lit(None, pl.String))


def _validated(manifest: DatasetManifest, listed: pl.DataFrame, places: Places) -> pl.DataFrame:
    cache, lake = places.validation_cache, places.lake.url
    return validation_cache.lookup(cache, lake, listed, lenient=manifest.lenient)


# --- applying ---------------------------------------------------------------------------------------------------------


def apply(plan: Plan, places: Places, progress: Progress | None = None, *, validate_all: bool = False) -> BuildResult:
    """Store the images, then write the version. `validate_all` also reads the images that stores could copy.

    Raises InvalidImages and StorageFailed; prepared.dvc is unchanged then.
    """
    results = _take(plan, places, progress, validate_all=validate_all)
    rows = plan.rows.join(results, on="key", how="left", maintain_order="left", suffix="_read").with_columns(
        md5=pl.coalesce("md5_read", "md5"), size=pl.coalesce("size_read", "size"), missing=col("size").is_null()
    )
    if faults := _faults(rows, places.staging.erased):
        raise InvalidImages(plan.manifest, faults, len(rows))
    build = version_writing.write(plan.manifest, plan.selection, rows, places)
    new, read = results.filter("copied"), results.filter("inspected")
    not_validated = _find_unvalidated(plan, results, places)
    valid = exclusions.find_valid(plan.manifest, plan.selection.rows, places.lake, rows["md5"])
    return BuildResult(plan.manifest, build, len(read), len(not_validated), len(new), _sum(new["size"]), valid)


def _sum(sizes: pl.Series) -> int:
    return int(sizes.sum())


def _take(plan: Plan, places: Places, progress: Progress | None, *, validate_all: bool) -> pl.DataFrame:
    """The results of the images that were read or copied now."""
    lenient = plan.manifest.lenient
    if not plan.manifest.is_adopted:
        return intake.take(plan.pending, places, progress, lenient=lenient, validate_all=validate_all)
    images = plan.rows if validate_all else plan.rows.clear()
    return intake.validate_stored(images, places, progress, lenient=lenient)


def _find_unvalidated(plan: Plan, results: pl.DataFrame, places: Places) -> pl.DataFrame:
    """The images that were not read on this machine."""
    unread = plan.rows if plan.manifest.is_adopted else results.filter(~col("inspected"))
    if unread.is_empty():
        return unread
    known = validation_cache.validated(places.validation_cache)
    return validation_cache.find_new(unread.select("md5", path="key"), known, lenient=plan.manifest.lenient)


def _faults(rows: pl.DataFrame, erased: Erased) -> tuple[ImageFault, ...]:
    """The invalid images, sorted by uuid, and those whose bytes were erased under another name."""
    too_large = col("size") > image_formats.MAX_BYTES
    empty = pl.when(col("size") == 0).then(pl.lit(image_validation.EMPTY))
    gone = pl.when("missing").then(pl.lit(lake_lookup.MISSING))
    reason = pl.coalesce("problem", gone, "fault", empty)
    judged = rows.with_columns(reason=pl.when(too_large).then(pl.lit(TOO_LARGE)).otherwise(reason))
    forbidden = erased.find_objects(judged["md5"].drop_nulls())
    judged = judged.with_columns(reason=pl.when(col("md5").is_in(forbidden)).then(pl.lit(GONE)).otherwise("reason"))
    invalid = judged.filter(col("reason").is_not_null())
    faults = [
        ImageFault(uuid, key, image_formats.describe_too_large(size) if reason == TOO_LARGE else reason)
        for uuid, key, reason, size in invalid.select("uuid", "key", "reason", "size").rows()
    ]
    faults += _duplicates(judged)
    return tuple(sorted(faults, key=lambda fault: fault.uuid))


def _duplicates(judged: pl.DataFrame) -> Iterator[ImageFault]:
    """Identical images: all but the first of those with one label, and all of those whose labels differ."""
    identical = judged.filter(col("reason").is_null() & col("md5").is_duplicated()).sort("md5", "uuid")
    for group in identical.partition_by("md5", maintain_order=True):
        firsts = dict(group.unique("label", keep="first", maintain_order=True).select("label", "uuid").rows())
        for uuid, key, label in group.select("uuid", "key", "label").rows():
            other = next((name for name in firsts if name != label), None)
            if other:
                yield ImageFault(uuid, key, f"identical to {firsts[other]}, whose label is {other} instead of {label}")
            elif uuid != firsts[label]:
                yield ImageFault(uuid, key, f"identical to {firsts[label]}")


# --- summary ----------------------------------------------------------------------------------------------------------


def _warnings(manifest: DatasetManifest, counts: Counts) -> Iterator[str]:
    """A line for each split or class without an image."""
    return (f"warning: {gap}" for gap in coverage.find_gaps(manifest, counts))


def _count_table(counts: Counts) -> str:
    """A table of images by class and split."""
    labels = sorted({label for classes in counts.values() for label in classes})
    rows = {label: [classes.get(label, 0) for classes in counts.values()] for label in labels}
    rows["all"] = [sum(classes.values()) for classes in counts.values()]
    return table(["class", *counts, "all"], [[label, *numbers, sum(numbers)] for label, numbers in rows.items()])
