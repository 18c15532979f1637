"""Rules on a dataset's pointers and on the images that they list."""

from collections.abc import Iterator

from registry.checks.context import Facts, Scope, Subject
from registry.checks.findings import Diagnostic, needs_owner, note, wrong
from registry.core import wording
from registry.core.layout import prepared_pointer
from registry.core.manifests import build_rule
from registry.core.values import Build, Counts, DatasetManifest
from registry.core.versioning import total

RAW, PREPARED = "raw.dvc", "prepared.dvc"


def pointers_are_valid(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """`raw.dvc` and `prepared.dvc` match their closed schema, and each has one output: the folder of its name.

    Keys that make DVC download from elsewhere (`deps`, `repo`, `wdir`, `remote`) are not allowed.

    Why: `dvc pull` obeys these files. A pointer in another form could write outside the dataset's folder or fetch data
    that no check has read.

    How to fix: write the file again with `registry select` (`raw.dvc`) or `registry build` (`prepared.dvc`).
    """
    for name, command in ((RAW, "select"), (PREPARED, "build")):
        part = subject.pointers.get(name)
        if part is None:
            continue
        for fault in part.faults:
            yield wrong(fault.message, part.path, fault.line, fault.fix)
        output, folder = part.value and part.value.output, f"{subject.id}/{name.removesuffix('.dvc')}"
        if output and (output.path != folder or not output.is_dir or output.nfiles is None):
            message = f"does not point to the folder {folder}"
            yield wrong(message, part.path, part.line("outs", 0, "path"), f"registry {command} {subject.id}")


def build_is_current(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """`prepared.dvc` was built from the selection in `raw.dvc` by the rule that the manifest has now.

    The rule is `image`, `columns`, `classes`, `split` and `exclude`. A dataset that is not selected or built yet
    passes, unless it has a release.

    Why: a reviewer reads the manifest and the selection; the images must be exactly what these two produce.

    How to fix: run `registry select` and `registry build`, and commit the pointers that they write.
    """
    raw, prepared, build = subject.pointers.get(RAW), subject.pointers.get(PREPARED), _build(subject)
    select_command, build_command = f"registry select {subject.id}", f"registry build {subject.id}"
    if raw is None or prepared is None:
        name, command = ("raw", select_command) if raw is None else ("prepared", build_command)
        if subject.latest or (raw is None and prepared):
            yield wrong(f"{name}.dvc is missing", subject.manifest.path, fix=command)
        else:
            state = "selected" if raw is None else "built"
            yield note(f"not {state} yet", subject.manifest.path, command)
    elif build is None:
        yield wrong("does not record what it was built from", prepared.path, fix=build_command)
    elif build.selection != raw.value.output.md5:
        line = prepared.line("meta", "build", "selection")
        message = f"built from the selection {build.selection[:10]}, expected {raw.value.output.md5[:10]} (raw.dvc)"
        yield wrong(message, prepared.path, line, build_command)
    elif build.rule != build_rule(subject.manifest.value):
        line = prepared.line("meta", "build", "rule")
        message = "built before image, columns, classes, split or exclude changed in dataset.yaml"
        yield wrong(message, prepared.path, line, build_command)


def items_match_pointer(subject: Subject, facts: Facts) -> Iterator[Diagnostic]:
    """The `.dir` object lists `<split>/<label>/<uuid>.<ext>` and each split's `metadata.csv`, as many as `meta` counts.

    The object is read from a cache, staging or production. Where none has it, an owner decides, except at a commit.

    Why: reports, release notes and expectations use the counts in `prepared.dvc`; they must be those of the images.

    How to fix: run `registry build`. If the list could not be read, run `registry pull` and check again.
    """
    prepared, build = subject.pointers.get(PREPARED), _build(subject)
    if prepared is None or build is None:
        return
    path, fix = prepared.path, f"registry build {subject.id}"
    splits = {split for split, classes in build.counts.items() if sum(classes.values())}
    counted, nfiles = total(build.counts), prepared.value.output.nfiles
    if build.images != counted or nfiles != build.images + len(splits):
        tables = wording.plural(len(splits), "table")
        message = f"images ({build.images:,}), counts ({counted:,}) and nfiles ({nfiles:,} with {tables}) disagree"
        yield wrong(message, path, prepared.line("meta", "build", "images"), fix)
    if subject.items is not None:
        yield from _listed(subject, build, splits)
    if subject.unread and facts.scope is not Scope.STAGED:
        fix = f"registry pull {subject.id}"
        yield needs_owner(f"could not be verified: {subject.unread}", path, fix=fix)


def _listed(subject: Subject, build: Build, splits: set[str]) -> Iterator[Diagnostic]:
    from registry.dataset import items

    part, fix = subject.pointers[PREPARED], f"registry build {subject.id}"
    if unexpected := subject.items.unexpected_files:
        count = wording.plural(len(unexpected), "unexpected file")
        message = f"prepared has {count}: {wording.abbreviate(unexpected)}"
        yield wrong(message, part.path, fix=fix)
    if items.count(subject.items.frame) != _without_zeros(build.counts):
        listed = wording.plural(subject.items.frame.height, "image")
        message = f"counts ({total(build.counts):,}) do not match the list of {listed}"
        yield wrong(message, part.path, part.line("meta", "build", "counts"), fix)
    if set(subject.items.tables) != splits:
        found, expected = (wording.join(sorted(names)) or "none" for names in (subject.items.tables, splits))
        yield wrong(f"metadata.csv is in {found}, expected in {expected}", part.path, fix=fix)


def classes_match(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """Every label of an image is a class of the manifest, and every class has an image or an owner's approval.

    Why: training code takes its classes from the manifest. A class that is missing there fails or is ignored; a class
    without images cannot be learned or measured.

    How to fix: add the label to `classes`, or remove the class that has no images.
    """
    build = _build(subject)
    if build is None:
        return
    path, line, classes = subject.manifest.path, subject.manifest.line("classes"), subject.manifest.value.classes
    counts = _per_class(build.counts)
    if unknown := sorted(counts.keys() - set(classes)):
        message = f"images have labels that are not in classes: {wording.abbreviate(unknown)}"
        yield wrong(message, path, line, "add them to classes")
    if empty := [name for name in classes if name not in counts]:
        nouns = "class has" if len(empty) == 1 else "classes have"
        fix = "select images of it, or remove it from classes"
        yield needs_owner(f"{len(empty):,} {nouns} no images: {wording.abbreviate(empty)}", path, line, fix)


def expectations_hold(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """The images meet the manifest's `expectations`: number of images, per class, largest class, and missing values.

    Counts come from `prepared.dvc`; shares of missing values come from the selection, where it can be read.

    Why: a query can silently return fewer or other rows than before. Expectations stop such a version before it is
    released and trained on.

    How to fix: select other images, or change the expectation in `dataset.yaml`.
    """
    build, manifest = _build(subject), subject.manifest.value
    path, fix = subject.manifest.path, "select other images, or change the expectation"
    for key, message in _unmet(manifest, build.counts) if build else ():
        yield wrong(message, path, subject.manifest.line("expectations", key), fix)
    for name, share in (subject.nulls or {}).items():
        if share > (limit := manifest.expectations.max_null_share[name]):
            line = subject.manifest.line("expectations", "max_null_share", name)
            message = f"{share:.1%} of the rows have no {name}, expected at most {limit:.4g} (max_null_share)"
            yield wrong(message, path, line, fix)


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


def splits_are_stable(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """No image is in two splits or under two labels, and none moved since the latest release under the same split rule.

    Why: a metric means something only while test images stay test images. An image in train and test inflates it.

    How to fix: restore the group of the images that moved, exclude them, or change `split.salt`, which assigns all
    images to splits again and is a major change. For an image that is listed twice, correct the selection.
    """
    path, part = prepared_pointer(subject.id), subject.items
    if part is None:
        return
    from registry.dataset import items

    twice = items.find_repeated(part)
    if twice.height:
        uuid = twice["uuid"][0]
        rows = twice.filter(twice["uuid"] == uuid).iter_rows(named=True)
        places = " and ".join(f"{row['split']}/{row['label']}" for row in rows)
        count = wording.plural(twice["uuid"].n_unique(), "image")
        message = f"{count} listed more than once: {uuid} is in {places}"
        yield wrong(message, path, fix=f"registry build {subject.id}")
    if subject.diff is None or subject.manifest.value.split != subject.latest.content.manifest.split:
        return
    if moved := total(subject.diff.moved):
        fix = "restore their group, exclude them, or change split.salt (major)"
        message = f"{wording.plural(moved, 'image')} moved to another split, but the split rule did not change"
        yield wrong(message, path, fix=fix)


def images_are_valid(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """Every image can be decoded, has the format of its file name, and has a plausible size.

    Only `--images` runs this check, and it reads only images that were not validated before: on this machine or, with
    `--base`, in the latest release.

    Why: a build copies images inside the bucket where it can, without reading them. One truncated file stops a training
    after hours.

    How to fix: run `registry build --exclude-faulty`, or replace the images in the lake and build again.
    """
    if faults := subject.unsound:
        message = f"{wording.plural(len(faults), 'image')} failed validation: {'; '.join(faults[:3])}"
        yield wrong(message, prepared_pointer(subject.id), fix=f"registry build {subject.id} --exclude-faulty")


def _build(subject: Subject) -> Build | None:
    part = subject.pointers.get(PREPARED)
    return part.value.build if part and part.value else None


def _without_zeros(counts: Counts) -> Counts:
    kept = {split: {name: count for name, count in classes.items() if count} for split, classes in counts.items()}
    return {split: classes for split, classes in kept.items() if classes}


def _per_class(counts: Counts) -> dict[str, int]:
    found: dict[str, int] = {}
    for classes in _without_zeros(counts).values():
        for name, count in classes.items():
            found[name] = found.get(name, 0) + count
    return found
