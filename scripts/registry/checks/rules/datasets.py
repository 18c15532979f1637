"""Rules on a dataset's pointers and on the images that they name."""

from collections.abc import Iterator

from registry.checks.context import Facts, Scope, Subject
from registry.checks.findings import ask, note, number, some, wrong
from registry.core.layout import prepared_pointer
from registry.core.manifests import build_rule
from registry.core.values import Build, Counts, DatasetManifest, Finding
from registry.core.versioning import total

RAW, PREPARED = "raw.dvc", "prepared.dvc"


def pointers_are_closed(subject: Subject, _: Facts) -> Iterator[Finding]:
    """A dataset has the pointers `raw.dvc` and `prepared.dvc`, each to the folder of that name, in the form of DVC 3.

    A pointer holds one output beside itself with `hash: md5`, and nothing that makes DVC fetch from elsewhere (`deps`,
    `repo`, `wdir`, `remote`).
    """
    for name in (RAW, PREPARED):
        part = subject.pointers.get(name)
        if part is None:
            continue
        for fault in part.faults:
            yield wrong(fault.message, part.path, fault.line, fault.fix)
        output, folder = part.value and part.value.output, f"{subject.id}/{name.removesuffix('.dvc')}"
        if output and (output.path != folder or not output.is_dir or output.nfiles is None):
            fix = "write it with `registry select` (raw) or `registry build` (prepared)"
            yield wrong(f"does not point to the folder {folder}", part.path, part.line("outs", 0, "path"), fix)


def build_is_current(subject: Subject, _: Facts) -> Iterator[Finding]:
    """`prepared.dvc` was built from the selection in `raw.dvc`, by the rule that the manifest has now.

    The rule is the image key, the columns, the classes, the split and what is excluded. A dataset that is not selected
    or built yet passes, unless it was released before.
    """
    raw, prepared, build = subject.pointers.get(RAW), subject.pointers.get(PREPARED), _build(subject)
    if raw is None or prepared is None:
        name, command = (
            ("raw", f"registry select {subject.id}") if raw is None else ("prepared", f"registry build {subject.id}")
        )
        if subject.latest or (raw is None and prepared):
            yield wrong(f"{name}.dvc is missing", subject.manifest.path, fix=command)
        else:
            yield note(f"has no {'selection' if raw is None else 'images'} yet", subject.manifest.path, command)
    elif build is None:
        yield wrong("does not say what it was built from", prepared.path, fix=f"registry build {subject.id}")
    elif build.selection != raw.value.output.md5:
        line = prepared.line("meta", "build", "selection")
        yield wrong(
            "was built from another selection than raw.dvc", prepared.path, line, f"registry build {subject.id}"
        )
    elif build.rule != build_rule(subject.manifest.value):
        message = "was built by another rule: image, columns, classes, split or exclude of dataset.yaml changed since"
        yield wrong(message, prepared.path, prepared.line("meta", "build", "rule"), f"registry build {subject.id}")


def items_are_what_the_pointer_says(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """The `.dir` object lists `<split>/<label>/<uuid>.<ext>` and each split's `metadata.csv`, as many as `meta` counts.

    It is read where a store at hand has it; where none has, an owner is asked, except at a commit.
    """
    prepared, build = subject.pointers.get(PREPARED), _build(subject)
    if prepared is None or build is None:
        return
    path, fix = prepared.path, f"registry build {subject.id}"
    splits = {split for split, classes in build.counts.items() if sum(classes.values())}
    if build.images != total(build.counts) or prepared.value.output.nfiles != build.images + len(splits):
        yield wrong("images, counts and nfiles do not agree", path, prepared.line("meta", "build", "images"), fix)
    if subject.items is not None:
        yield from _listed(subject, build, splits)
    if subject.unread and facts.scope is not Scope.STAGED:
        fix = f"registry pull {subject.id}, and check again"
        yield ask(f"not everything could be judged: {subject.unread}", path, fix=fix)


def _listed(subject: Subject, build: Build, splits: set[str]) -> Iterator[Finding]:
    from registry.dataset import items

    part, fix = subject.pointers[PREPARED], f"registry build {subject.id}"
    if strays := subject.items.unexpected_files:
        what = "a file that is" if len(strays) == 1 else f"{len(strays):,} files that are"
        yield wrong(f"prepared has {what} neither an image of a class nor a table: {some(strays)}", part.path, fix=fix)
    if items.count(subject.items.frame) != _without_zeros(build.counts):
        message = f"counts do not agree with the list of images, which has {subject.items.frame.height:,}"
        yield wrong(message, part.path, part.line("meta", "build", "counts"), fix)
    if set(subject.items.tables) != splits:
        yield wrong("not every split has its metadata.csv", part.path, fix=fix)


def classes_match(subject: Subject, _: Facts) -> Iterator[Finding]:
    """Every label that occurs is one of the manifest's classes; a class without an image needs an owner's word."""
    build = _build(subject)
    if build is None:
        return
    path, line, classes = subject.manifest.path, subject.manifest.line("classes"), subject.manifest.value.classes
    there = _per_class(build.counts)
    if unknown := sorted(there.keys() - set(classes)):
        yield wrong(
            f"the images have classes that are not named here: {some(unknown)}", path, line, "add them to classes"
        )
    if empty := [name for name in classes if name not in there]:
        yield ask(f"no image has the class {some(empty)}", path, line, "remove it from classes, or select images of it")


def expectations_hold(subject: Subject, _: Facts) -> Iterator[Finding]:
    """The manifest's expectations hold of the images: how many, per class, the largest class, and values left out.

    Numbers come from `prepared.dvc`; shares of empty values from the selection, where it can be read.
    """
    build, manifest = _build(subject), subject.manifest.value
    path, fix = subject.manifest.path, "select other images, or change what is expected"
    for key, message in _broken(manifest, build.counts) if build else ():
        yield wrong(message, path, subject.manifest.line("expectations", key), fix)
    for name, share in (subject.nulls or {}).items():
        if share > (limit := manifest.expectations.max_null_share[name]):
            line = subject.manifest.line("expectations", "max_null_share", name)
            yield wrong(f"max_null_share is {limit:g} but {share:.1%} of the rows have no {name}", path, line, fix)


def _broken(manifest: DatasetManifest, counts: Counts) -> Iterator[tuple[str, str]]:
    """The key of each expectation that does not hold, and why."""
    expected, images, there = manifest.expectations, total(counts), _per_class(counts)
    has = f"but the dataset has {number(images, 'image')}"
    if expected.min_images is not None and images < expected.min_images:
        yield "min_images", f"min_images is {expected.min_images:,} {has}"
    if expected.max_images is not None and images > expected.max_images:
        yield "max_images", f"max_images is {expected.max_images:,} {has}"
    per_class = {name: there.get(name, 0) for name in manifest.classes}
    if few := [f"{name} has {count:,}" for name, count in per_class.items() if count < (expected.min_per_class or 0)]:
        yield "min_per_class", f"min_per_class is {expected.min_per_class:,} but {some(few)}"
    name, most = max(there.items(), key=lambda pair: pair[1], default=("", 0))
    if expected.max_class_share is not None and most > expected.max_class_share * images:
        share = f"but {name} has {most / images:.1%} of the images"
        yield "max_class_share", f"max_class_share is {expected.max_class_share:g} {share}"


def splits_are_stable(subject: Subject, _: Facts) -> Iterator[Finding]:
    """No image is in two splits (or under two labels), and none moved since the last release unless the rule changed.

    A metric is worth something only while test images stay test images.
    """
    path, part = prepared_pointer(subject.id), subject.items
    if part is None:
        return
    from registry.dataset import items

    twice = items.find_repeated(part)
    if twice.height:
        uuid = twice["uuid"][0]
        places = " and ".join(
            f"{row['split']}/{row['label']}" for row in twice.filter(twice["uuid"] == uuid).iter_rows(named=True)
        )
        count = number(twice["uuid"].n_unique(), "image")
        yield wrong(f"{count} in two places: {uuid} is in {places}", path, fix=f"registry build {subject.id}")
    if subject.diff is None or subject.manifest.value.split != subject.latest.content.manifest.split:
        return
    if moved := total(subject.diff.moved):
        fix = "give them their old group, exclude them, or deal all items anew with another split.salt (major)"
        yield wrong(f"{number(moved, 'image')} moved to another split although the rule is the same", path, fix=fix)


def images_are_sound(subject: Subject, _: Facts) -> Iterator[Finding]:
    """Every image can be decoded whole, is of the type that its name says, and of a sane size.

    Only `--images` looks at them, and only at those that nobody looked at before: on this machine, or, with `--base`,
    for the latest release. A build proves what it reads, but it need not read what a store could copy.
    """
    if faults := subject.unsound:
        fix = f"registry build {subject.id} --exclude-faulty, or put them right in the lake and build again"
        what = "an image is" if len(faults) == 1 else f"{len(faults):,} images are"
        yield wrong(f"{what} not sound: {'; '.join(faults[:3])}", prepared_pointer(subject.id), fix=fix)


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
