"""Rules on a dataset's pointers and on the images that they list."""

from collections.abc import Iterator, Mapping

from registry.checks.context import DatasetSubject, Facts, Listing, Scope
from registry.checks.findings import Diagnostic, needs_owner, note, wrong
from registry.core import coverage, looker_query, manifests, wording
from registry.core.adoption import Adopted
from registry.core.artifact_files import ArtifactFiles
from registry.core.layout import prepared_pointer
from registry.core.manifests import build_rule
from registry.core.parts import is_part
from registry.core.values import Build, Counts, DatasetManifest, Export, LookerQuery, SplitExpectations, SplitRule
from registry.core.versioning import total
from registry.dataset import provenance


def pointers_are_valid(files: ArtifactFiles) -> Iterator[Diagnostic]:
    """`raw.dvc` and `prepared.dvc` match their closed schema, and each has one output: the folder of its name.

    With `layout`, `prepared.dvc` has the folders of each split instead (`prepared/train/0a`).

    Keys that make DVC download from elsewhere (`deps`, `repo`, `wdir`, `remote`) are not allowed.

    Why: `dvc pull` obeys these files. A pointer in another form could write outside the dataset's folder or fetch data
    that no check has read.

    How to fix: write the file again with `registry select` (`raw.dvc`) or `registry build` (`prepared.dvc`).
    """
    for pointer in filter(None, (files.raw, files.prepared)):
        for fault in pointer.faults:
            yield wrong(fault.message, pointer.path, fault.line, fault.fix)


def selection_is_current(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """`raw.dvc` has rows of the source that the manifest has now.

    The source is `source` (for a Looker query: model, view, filters, filter expression, sorts and time zone), and the
    name, the field (`from`) and the type of each column. `raw.dvc` records its hash under `meta.selection`, and for
    rows from Looker also the query as it was run, which must be the one of `source.looker`. A dataset that is not
    selected yet passes. So do rows that were read from a file in place of a query, with a note: no query was run for
    them. Hashes are compared, which anybody can edit: that the rows are what the query returns, only Looker proves
    (`registry select`, or the weekly refresh).

    Why: a reviewer reads the query in the manifest. Rows of an earlier query would be published under it.

    How to fix: run `registry select`, then `registry build`, and commit the pointers that they write. For an export,
    `registry select --from FILE`.
    """
    if subject.raw is None or subject.files.raw is None:
        return
    source, selection, raw = subject.manifest.source, subject.selection, subject.files.raw
    fix = f"registry select {subject.id}{' --from FILE' if isinstance(source, Export) else ''}"
    if isinstance(source, Adopted):
        fix = source.command(subject.id)
    if selection is None:
        line = raw.line("meta", provenance.KEY)
        yield wrong("meta.selection is missing, or not in the form that `registry select` writes", raw.path, line, fix)
    elif (expected := provenance.source_hash(subject.manifest)) != selection.source_hash:
        message = f"selected by the query {selection.source_hash[:10]}, expected {expected[:10]} (source and columns)"
        yield wrong(message, raw.path, raw.line("meta", provenance.KEY, "source_hash"), fix)
    elif isinstance(source, LookerQuery) and selection.query is not None and not _is_query_of(subject, source):
        message = "meta.selection.query is not the query of dataset.yaml"
        yield wrong(message, raw.path, raw.line("meta", provenance.KEY, "query"), fix)
    elif selection.query_hash is None and not isinstance(source, Export | Adopted):
        yield note(f"the rows are from the file {selection.origin}; the manifest's query was not run", raw.path, fix)


def _is_query_of(subject: DatasetSubject, source: LookerQuery) -> bool:
    query = subject.selection.query if subject.selection else None
    columns = manifests.asked_columns(subject.manifest)
    return query is not None and looker_query.is_same(query, looker_query.of_source(source, columns))


def build_is_current(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """`prepared.dvc` was built from the selection in `raw.dvc` by the rule that the manifest has now.

    The rule is `image`, `columns`, `classes`, `split`, `exclude` and `layout`. A dataset that is not selected or built
    yet passes, unless it has a release.

    Why: a reviewer reads the manifest and the selection; the images must be exactly what these two produce.

    How to fix: run `registry select` and `registry build`, and commit the pointers that they write.
    """
    raw, prepared = subject.raw, subject.prepared
    path, fix = prepared_pointer(subject.id), f"registry build {subject.id}"
    if raw is None or prepared is None:
        yield _not_built(subject)
    elif prepared.build is None:
        yield wrong("does not record what it was built from", path, fix=fix)
    elif prepared.build.selection != raw.md5:
        message = f"built from the selection {prepared.build.selection[:10]}, expected {raw.md5[:10]} (raw.dvc)"
        yield wrong(message, path, _build_line(subject, "selection"), fix)
    elif prepared.build.rule != build_rule(subject.manifest):
        message = "built before image, columns, classes, split, exclude or layout changed in dataset.yaml"
        yield wrong(message, path, _build_line(subject, "rule"), fix)


def _not_built(subject: DatasetSubject) -> Diagnostic:
    is_selected = subject.raw is not None
    fix = f"registry {'build' if is_selected else 'select'} {subject.id}"
    if subject.releases.latest or (subject.prepared and not is_selected):
        return wrong(f"{'prepared' if is_selected else 'raw'}.dvc is missing", subject.path, fix=fix)
    return note(f"not {'built' if is_selected else 'selected'} yet", subject.path, fix)


def _build_line(subject: DatasetSubject, key: str) -> int | None:
    """The line of a key under `meta.build` in `prepared.dvc`."""
    return subject.files.prepared.line("meta", "build", key) if subject.files.prepared else None


def items_match_pointer(subject: DatasetSubject, facts: Facts) -> Iterator[Diagnostic]:
    """The `.dir` object lists `<split>/<label>/<uuid>.<ext>` and a `metadata.parquet` per split, as `meta` counts them.

    With `layout` there is one for each folder of a split, with a `metadata.parquet` of its own. The objects are read
    from a cache, staging or production. Where none has one, an owner decides, except at a commit.

    Why: reports, release notes and expectations use the counts in `prepared.dvc`; they must be those of the images.

    How to fix: run `registry build`. If the list could not be read, run `registry pull` and check again.
    """
    if subject.prepared is None or subject.prepared.build is None:
        return
    build, nfiles, folders = subject.prepared.build, subject.prepared.nfiles, subject.prepared.outputs
    path, fix = prepared_pointer(subject.id), f"registry build {subject.id}"
    splits = {split for split, classes in build.counts.items() if sum(classes.values())}
    counted, number = total(build.counts), len(folders) if is_part(folders[0].path) else len(splits)
    if build.images != counted or nfiles != build.images + number:
        tables = wording.plural(number, "table")
        message = f"images ({build.images:,}), counts ({counted:,}) and nfiles ({nfiles:,} with {tables}) disagree"
        yield wrong(message, path, _build_line(subject, "images"), fix)
    if subject.listing is not None:
        yield from _listed(subject, subject.listing, build)
    if subject.unread and facts.scope is not Scope.STAGED:
        yield needs_owner(f"could not be verified: {subject.unread}", path, fix=f"registry pull {subject.id}")


def _listed(subject: DatasetSubject, listing: Listing, build: Build) -> Iterator[Diagnostic]:
    path, fix = prepared_pointer(subject.id), f"registry build {subject.id}"
    if listing.unexpected_files:
        count = wording.plural(len(listing.unexpected_files), "unexpected file")
        yield wrong(f"prepared has {count}: {wording.abbreviate(listing.unexpected_files)}", path, fix=fix)
    counts = _without_zeros(build.counts)
    if listing.counts != counts:
        listed = wording.plural(total(listing.counts), "image")
        message = f"counts ({total(counts):,}) do not match the list of {listed}"
        yield wrong(message, path, _build_line(subject, "counts"), fix)
    if listing.tables != counts.keys():
        found, expected = (wording.join(sorted(splits)) or "none" for splits in (listing.tables, counts))
        yield wrong(f"metadata.parquet is in {found}, expected in {expected}", path, fix=fix)


def classes_match(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """Every label of an image is a class of the manifest, and every class has an image or an owner's approval.

    Why: training code takes its classes from the manifest. A class that is missing there fails or is ignored; a class
    without images cannot be learned or measured.

    How to fix: add the label to `classes`, or remove the class that has no images.
    """
    build = _build(subject)
    if build is None:
        return
    path, line, classes = subject.path, subject.line("classes"), subject.manifest.classes
    counts = _per_class(build.counts)
    if unknown := sorted(counts.keys() - set(classes)):
        message = f"images have labels that are not in classes: {wording.abbreviate(unknown)}"
        yield wrong(message, path, line, "add them to classes")
    if empty := [name for name in classes if name not in counts]:
        nouns = "class has" if len(empty) == 1 else "classes have"
        fix = "select images of it, or remove it from classes"
        yield needs_owner(f"{len(empty):,} {nouns} no images: {wording.abbreviate(empty)}", path, line, fix)


def splits_cover_classes(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """Every split that has a share in `split.ratios` has an image, and one of each class.

    Train or test without any image is *wrong*; for val, for a class that has images elsewhere, and for a test split
    whose share is 0, an owner decides. A number under `expectations.splits` (also 0) is an owner's decision: then only
    that number counts.

    Why: a model that was trained for hours on it cannot be evaluated; a class without test images has no recall, and
    an average over all classes hides that.

    How to fix: select more images, or change `split.ratios` or `split.salt` (major). `group_by` with one large group,
    such as a marker for missing values, empties splits too.
    """
    build = _build(subject)
    for gap in coverage.find_gaps(subject.manifest, build.counts) if build else ():
        key = "min_per_class" if gap.classes else "min_images"
        line = subject.line("classes") if gap.classes else subject.line("split", "ratios", gap.split)
        decided = f"set expectations.splits.{gap.split}.{key}: 0"
        if gap.share and not gap.classes and gap.split != "val":
            fix = f"select more images, or change split.ratios or split.salt (major), or {decided}"
            yield wrong(str(gap), subject.path, line, fix)
        else:
            fix = f"select more images, or change split.salt (major), or {decided}"
            yield needs_owner(str(gap), subject.path, line, fix)


def expectations_hold(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """The images meet the manifest's `expectations`: number of images, per class, largest class, share of the latest
    release's images that were removed, and missing values; for single splits the number of images and per class.

    Counts come from `prepared.dvc`, removed images from a comparison with the release; shares of missing values come
    from the selection. What cannot be read is not judged.

    Why: a query can silently return fewer or other rows than before. Expectations stop such a version before it is
    released and trained on.

    How to fix: select other images, or change the expectation in `dataset.yaml`.
    """
    build, manifest = _build(subject), subject.manifest
    path, fix = subject.path, "select other images, or change the expectation"
    for key, message in _unmet(manifest, build.counts) if build else ():
        yield wrong(message, path, subject.line("expectations", key), fix)
    for split, limits in manifest.expectations.splits.items() if build else ():
        for key, message in _unmet_in_split(manifest, split, limits, build.counts.get(split, {}) if build else {}):
            yield wrong(message, path, subject.line("expectations", "splits", split, key), fix)
    if removed := _too_many_removed(subject):
        yield wrong(removed, path, subject.line("expectations", "max_removed_share"), fix)
    for name, share in (subject.null_shares or {}).items():
        if share > (limit := manifest.expectations.max_null_share[name]):
            line = subject.line("expectations", "max_null_share", name)
            message = f"{share:.1%} of the rows have no {name}, expected at most {limit:.4g} (max_null_share)"
            yield wrong(message, path, line, fix)


def _too_many_removed(subject: DatasetSubject) -> str:
    limit, latest, diff = subject.manifest.expectations.max_removed_share, subject.releases.latest, subject.diff
    if limit is None or latest is None or diff is None:
        return ""
    removed, before = total(diff.removed), total(diff.before)
    if removed <= limit * before:
        return ""
    found = f"{removed:,} of the {wording.plural(before, 'image')} of {latest.tag.version} are removed"
    return f"{found} ({removed / before:.1%}), expected at most {limit:.4g} (max_removed_share)"


def _unmet(manifest: DatasetManifest, counts: Counts) -> Iterator[tuple[str, str]]:
    """The key of each expectation that is not met, and the message."""
    expected, images, per_class = manifest.expectations, total(counts), _per_class(counts)
    found = wording.plural(images, "image")
    if expected.min_images is not None and images < expected.min_images:
        yield "min_images", f"{found}, expected at least {expected.min_images:,} (min_images)"
    if expected.max_images is not None and images > expected.max_images:
        yield "max_images", f"{found}, expected at most {expected.max_images:,} (max_images)"
    least = expected.min_per_class or 0
    if few := [f"{name} has {per_class.get(name, 0):,}" for name in manifest.classes if per_class.get(name, 0) < least]:
        yield (
            "min_per_class",
            f"{wording.abbreviate(few)}, expected at least {least:,} images per class (min_per_class)",
        )
    name, most = max(per_class.items(), key=lambda pair: pair[1], default=("", 0))
    if expected.max_class_share is not None and most > expected.max_class_share * images:
        limit = f"expected at most {expected.max_class_share:.4g} (max_class_share)"
        yield "max_class_share", f"{name} has {most / images:.1%} of the images, {limit}"


def _unmet_in_split(
    manifest: DatasetManifest, split: str, limits: SplitExpectations, counts: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """The key of each expectation of a split that is not met, and the message."""
    images, least = sum(counts.values()), limits.min_per_class or 0
    if limits.min_images is not None and images < limits.min_images:
        found = wording.plural(images, "image")
        yield "min_images", f"{split} has {found}, expected at least {limits.min_images:,} (splits.{split}.min_images)"
    if few := [f"{name} has {counts.get(name, 0):,}" for name in manifest.classes if counts.get(name, 0) < least]:
        limit = f"expected at least {least:,} images per class (splits.{split}.min_per_class)"
        yield "min_per_class", f"in {split}, {wording.abbreviate(few)}, {limit}"


def splits_are_stable(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """No image is in two splits or under two labels, and none moved since the latest release under the same split rule.

    Why: a metric means something only while test images stay test images. An image in train and test inflates it.

    How to fix: restore the group of the images that moved, exclude them, or change `split.salt`, which assigns all
    images to splits again and is a major change. For an image that is listed twice, correct the selection.
    """
    path = prepared_pointer(subject.id)
    if subject.listing and (repeated := subject.listing.repeated):
        count, places = wording.plural(repeated.count, "image"), wording.join(repeated.places)
        message = f"{count} listed more than once: {repeated.uuid} is in {places}"
        yield wrong(message, path, fix=f"registry build {subject.id}")
    if subject.diff is None or subject.manifest.split != _released_split(subject):
        return
    if moved := total(subject.diff.moved):
        fix = "restore their group, exclude them, or change split.salt (major)"
        message = f"{wording.plural(moved, 'image')} moved to another split, but the split rule did not change"
        yield wrong(message, path, fix=fix)


def _released_split(subject: DatasetSubject) -> SplitRule | None:
    content = subject.releases.latest.content if subject.releases.latest else None
    return content.manifest.split if content and isinstance(content.manifest, DatasetManifest) else None


def images_are_valid(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """Every image can be decoded, has the format of its file name, and has a plausible size.

    Only `--images` runs this check, and it reads only images that were not validated before: on this machine or, with
    `--base`, in the latest release.

    Why: a build copies images inside the bucket where it can, without reading them. One truncated file stops a training
    after hours.

    How to fix: run `registry build --exclude-faulty`, or replace the images in the lake and build again.
    """
    if faults := subject.invalid_images:
        message = f"{wording.plural(len(faults), 'image')} failed validation: {'; '.join(faults[:3])}"
        yield wrong(message, prepared_pointer(subject.id), fix=f"registry build {subject.id} --exclude-faulty")


def _build(subject: DatasetSubject) -> Build | None:
    return subject.prepared.build if subject.prepared else None


def _without_zeros(counts: Counts) -> Counts:
    kept = {split: {name: count for name, count in classes.items() if count} for split, classes in counts.items()}
    return {split: classes for split, classes in kept.items() if classes}


def _per_class(counts: Counts) -> dict[str, int]:
    found: dict[str, int] = {}
    for classes in _without_zeros(counts).values():
        for name, count in classes.items():
            found[name] = found.get(name, 0) + count
    return found
