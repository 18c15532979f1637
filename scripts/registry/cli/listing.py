"""Artifacts and their releases as lines, for `registry list` and `registry show`."""

from collections.abc import Iterator, Mapping, Sequence

from registry.core import consuming
from registry.core.layout import SPLITS
from registry.core.values import ArtifactId, DatasetManifest, Manifest, ModelManifest
from registry.core.wording import abbreviate, join, plural, size, table
from registry.release.history import Release
from registry.release.notes import ReleasedVersion
from registry.release.overview import Overview
from registry.release.stored_shards import ReleasedShards

LISTED = 3  # releases of each artifact in the list; `show` has all
CLASSES = 12


def row(one: Overview) -> Iterator[str]:
    """An artifact in the list: what it is, and its latest releases."""
    title = f"  {one.manifest.title}" if one.manifest else ""
    owners = f"  {' '.join(one.manifest.owners)}" if one.manifest else ""
    yield f"{one.artifact}{title}{owners}"
    yield f"  {_current(one)}"
    yield from releases(one, LISTED, "    ")


def _current(one: Overview) -> str:
    version = f"{one.version} " if one.version else ""
    made_from = _made_from(one.manifest) if one.manifest else ""
    return f"{version}{one.state}{made_from}" + (
        f"; used by {join(list(map(str, one.used_by)))}" if one.used_by else ""
    )


def _made_from(manifest: Manifest) -> str:
    if not isinstance(manifest, ModelManifest):
        return ""
    verb = "measured on" if manifest.origin else "trained on"
    data = f"; {verb} {manifest.dataset}" if manifest.dataset else ""
    return data + (f"; builds on {join(list(map(str, manifest.builds_on)))}" if manifest.builds_on else "")


def releases(one: Overview, shown: int | None = None, indent: str = "  ") -> Iterator[str]:
    """Releases as aligned lines, the latest first; of a withdrawn or faulty one the reason below it."""
    rows = [_cells(release, one) for release in one.releases[:shown]]
    used = [any(row[column] for row in rows) for column in range(len(rows[0]))] if rows else []
    cells = [[cell for cell, is_used in zip(row, used, strict=True) if is_used] for row in rows]
    lines = table([""] * sum(used), cells, indent).splitlines()[1:] if rows else []
    for release, line in zip(one.releases, lines, strict=False):
        yield line
        if release.withdrawn:
            yield f"{indent}  withdrawn: {release.withdrawn}"
        if release.fault:
            yield f"{indent}  wrong: {release.fault}"
    if shown is not None and (rest := len(one.releases) - shown) > 0:
        yield f"{indent}and {plural(rest, 'older release')}: registry show {one.artifact}"


def _cells(release: Release, one: Overview) -> tuple[str, ...]:
    version, users = release.version, one.users[release.tag]
    sources = [f"{tag} (withdrawn)" if tag in one.withdrawn else str(tag) for tag in release.sources]
    return (
        f"v{release.tag.version}",
        release.date,
        " ".join(f"[{stage}]" for stage in release.stages),
        _amount(version),
        size(version.size) if version and version.size else "",
        f"from {join(sources)}" if sources else "",
        f"used by {abbreviate([str(tag) for tag in users])}" if users else "",
        ("" if release.reproduction.is_reproduced else "not ") + "reproduced" if release.reproduction else "",
    )


def _amount(version: ReleasedVersion | None) -> str:
    if version is None:
        return ""
    return plural(version.build.images, "image") if version.build else _headline(version)


def _headline(version: ReleasedVersion) -> str:
    """The first metric, which is what models are compared by."""
    return next((f"{name} {value:.4g}" for name, value in version.metrics.items() if isinstance(value, float)), "")


# --- one artifact -----------------------------------------------------------------------------------------------------


def artifact(one: Overview, url: str) -> Iterator[str]:
    """Everything of an artifact; `url` is the registry's repository, in the commands that fetch a version."""
    yield str(one.artifact) + (f": {one.manifest.title}" if one.manifest else "")
    yield _current(one)
    if one.manifest:
        yield from ("", one.manifest.description.strip(), "")
        yield f"owned by {' '.join(one.manifest.owners)}; license {one.manifest.license}"
    if isinstance(one.manifest, DatasetManifest):
        yield f"classes: {abbreviate(one.manifest.classes, CLASSES)}"
    if isinstance(one.manifest, ModelManifest):
        yield f"intended use: {one.manifest.intended_use.strip()}"
    yield ""
    if not one.releases:
        yield "no version is published yet"
        return
    yield "releases:"
    yield from releases(one)
    if latest := good(one):
        yield from (
            "",
            "fetch the latest with",
            *(f"  {line}" for line in consuming.commands(latest.tag, url, sidecar=latest.has_sidecar)),
        )


def good(one: Overview) -> Release | None:
    """The latest release that can be used: neither withdrawn nor faulty."""
    return next((each for each in one.releases if not (each.withdrawn or each.fault)), None)


def release(
    one: Overview, chosen: Release, url: str, erased: Mapping[str, int], files: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Everything of one release; of one that lost images by a case (`erased`), what to take instead.

    `files` are those of a model that a case erased.
    """
    version = chosen.version
    yield str(chosen.tag) + (f": {version.content.manifest.title}" if version else "")
    yield f"published {chosen.date} ({chosen.commit[:12]})"
    yield from (f"withdrawn: {chosen.withdrawn}",) if chosen.withdrawn else ()
    yield from (f"erased: {plural(images, 'image')} (case {case})" for case, images in sorted(erased.items()))
    yield from (f"erased: {join(paths)} (case {case})" for case, paths in sorted(files.items()))
    yield from (f"wrong: {chosen.fault}",) if chosen.fault else ()
    yield from (f"stage: {' '.join(chosen.stages)}",) if chosen.stages else ()
    yield from (f"made from {join([str(tag) for tag in chosen.sources])}",) if chosen.sources else ()
    yield from (str(one.withdrawn[tag]) for tag in chosen.sources if tag in one.withdrawn)
    yield from (f"training {chosen.reproduction}",) if chosen.reproduction else ()
    yield from (f"used by {join([str(tag) for tag in one.users[chosen.tag]])}",) if one.users[chosen.tag] else ()
    if version:
        yield from ("", version.content.manifest.description.strip(), "")
        yield from _facts(version)
    yield from _shards(one.shards[chosen.tag]) if chosen.tag in one.shards else ()
    if erased or chosen.fault:
        latest, why = good(one), "it is not whole any more, and cannot be fetched" if erased else "it is no release"
        yield why + (f": take {latest.tag}" if latest else "")
        return
    yield from (
        "fetch it with",
        *(f"  {line}" for line in consuming.commands(chosen.tag, url, sidecar=chosen.has_sidecar)),
    )


def _shards(shards: ReleasedShards) -> Iterator[str]:
    total = sum(shards.splits.values())
    left = f"{total - len(shards.missing):,} of {plural(total, 'shard')} left, which are not the whole"
    yield f"shards: {left if shards.missing else f'{total:,}, {size(shards.size)}'}, in {shards.place}"


def _facts(version: ReleasedVersion) -> Iterator[str]:
    if version.size:
        yield f"size: {size(version.size + version.sidecar)}"
    if version.build:
        counts = version.build.counts
        labels = sorted({label for split in counts.values() for label in split})
        cells = [[counts.get(split, {}).get(label, 0) for split in SPLITS] for label in labels]
        rows = [[label, *row, sum(row)] for label, row in zip(labels, cells, strict=True)]
        yield from (table(["images", *SPLITS, "all"], rows), "")
    elif version.metrics:
        numbers = [(name, f"{value:.4g}") for name, value in version.metrics.items() if _is_overall(name, value)]
        yield from (table(["metric", "on the test images"], numbers), "")


def _is_overall(name: str, value: object) -> bool:
    """Whether a metric is one number for the whole test set; those of classes have a dot in their names."""
    return isinstance(value, int | float) and "." not in name


def of(found: tuple[Overview, ...], wanted: ArtifactId) -> Overview | None:
    """The artifact with this id."""
    return next((one for one in found if one.artifact == wanted), None)
