"""The page of a release: what it holds, what changed, how to fetch it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from registry.catalog import browser_runtime, pictures, releases, sheets
from registry.catalog.columns import Distribution
from registry.catalog.comparing import Compared
from registry.catalog.pictures import Histogram
from registry.catalog.showing import Shown
from registry.catalog.trying import Tried
from registry.core import consuming
from registry.core.layout import SPLITS
from registry.core.reproductions import Reproduction
from registry.core.values import ModelManifest
from registry.release.history import Release
from registry.release.overview import Overview

CLASSES = 100  # rows of a table of classes
VALUES = 8  # of a column, as rows


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is known of a release beside what its commit says; `erased` are numbers of images, and files, by case."""

    shown: Shown | None = None
    compared: Compared | None = None
    erased: Mapping[str, int] = field(default_factory=dict)
    erased_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tried: Tried | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A value of a column: how many images have it, and their share in percent of those of the most frequent one."""

    value: str
    images: int
    width: float


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A column as a histogram, or as its most frequent values; `more` values are not shown."""

    name: str
    distinct: int
    histogram: Histogram | None = None
    shares: tuple[Share, ...] = ()
    more: int = 0


def values(one: Overview, release: Release, repository: str, pieces: Pieces) -> dict[str, Any]:
    """What the page of a release shows."""
    shown, compared = pieces.shown, pieces.compared
    build = release.version.build if release.version else None
    labels = sorted({label for split in build.counts.values() for label in split}) if build else []
    return {
        "one": one,
        "release": release,
        "manifest": release.version.content.manifest if release.version else None,
        "amount": releases.amount(release),
        "counts": [
            (label, [build.counts.get(split, {}).get(label, 0) for split in SPLITS]) for label in labels[:CLASSES]
        ]
        if build
        else [],
        "more_classes": max(0, len(labels) - CLASSES),
        "metrics": [(name, number) for name, number in releases.numbers(release).items()],
        "users": one.users[release.tag],
        "changes": releases.changes(one, release),
        "before": releases.before(one, release),
        "snippets": consuming.snippets(
            release.tag, repository, sidecar=release.has_sidecar, shards=one.whole_shards(release.tag)
        ),
        "columns": [_column(column) for column in shown.items.columns] if shown else [],
        "grid": _grid(release, shown) if shown and shown.items.rows else None,
        "headline": compared.headline if compared else "",
        "changes_page": compared.path if compared else "",
        "is_known": shown is not None,
        "training": _training(release),
        "erased": pieces.erased,
        "erased_files": pieces.erased_files,
        "latest_good": releases.latest_good(one),
        "trial": _trial(release, pieces.tried) if pieces.tried else None,
    }


@dataclass(frozen=True, slots=True)
class Trial:
    """Where the script finds the model and what runs it, relative to the page; or `why` it cannot be tried."""

    model: str = ""
    runtime: str = ""
    classes: tuple[str, ...] = ()
    input: Mapping[str, object] = field(default_factory=dict)
    why: str = ""


def _trial(release: Release, tried: Tried) -> Trial:
    if tried.declared is None:
        return Trial(why=tried.why)
    model = tried.model.removeprefix(f"{release.tag.artifact}/v{release.tag.version}/")
    runtime = f"../../../{browser_runtime.FOLDER}/"
    return Trial(model, runtime, tried.declared.classes, asdict(tried.declared.input))


@dataclass(frozen=True, slots=True)
class Training:
    """How to repeat the training of a release, within what its metrics have to agree, and the last time that was done.

    `origin` is where it was trained, if that was not here; it cannot be repeated then.
    """

    command: str
    within: str
    origin: str
    last: Reproduction | None


def _training(release: Release) -> Training | None:
    manifest = release.version.content.manifest if release.version else None
    if not isinstance(manifest, ModelManifest):
        return None
    limits = ", ".join(f"{metric} within {limit:g}" for metric, limit in manifest.tolerance.items())
    return Training(
        f"registry reproduce {release.tag}",
        limits or "every metric identical",
        manifest.origin.url if manifest.origin else "",
        release.reproduction,
    )


def _column(column: Distribution) -> ColumnView:
    if column.is_ordered:
        words = f"{column.column}: images by value, from {column.values[0]} to {column.values[-1]}"
        return ColumnView(
            column.column, column.distinct, pictures.histogram(column.values, column.counts, words)
        )  # fmt: skip
    most = max(column.counts[:VALUES], default=1)
    shares = tuple(
        Share(value, images, round(100 * images / most, 1))
        for value, images in zip(column.values, column.counts, strict=True)
    )
    return ColumnView(column.column, column.distinct, None, shares[:VALUES], max(0, column.distinct - VALUES))


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the script of the grid finds its data, relative to the page, and what is said of it."""

    data: str
    sheets: str
    side: int
    across: int
    rows: int
    total: int


def _grid(release: Release, shown: Shown) -> Grid:
    place = f"{release.tag.artifact}/v{release.tag.version}/"
    items = shown.items
    return Grid(
        f"{shown.folder.removeprefix(place)}/", "../sheets/", sheets.SIDE, sheets.ACROSS, items.rows, items.total
    )  # fmt: skip
