"""The catalog's pages: one for all artifacts, one for each artifact, one for each release, and the same as data.

Everything is a pure function of what `release.overview` found, so the same registry gives the same bytes. No page loads
anything from elsewhere.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from registry.catalog import pictures
from registry.catalog.pictures import Lineage, Node, Sparkline
from registry.core import versioning
from registry.core.layout import SPLITS
from registry.core.values import ArtifactId, DatasetManifest, Kind, ModelManifest, Tag
from registry.core.wording import plural, size
from registry.release import consuming, overview
from registry.release.history import Release
from registry.release.overview import Overview
from registry.report import pages

FEED, DATA = "feed.xml", "registry.json"
STYLE, SCRIPT = "catalog.css", "catalog.js"
IN_FEED = 50  # releases
COMPARED = 6  # versions in a table of metrics
CLASSES = 100  # rows of a table of classes


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is shown: the registry's name, its artifacts, the address of its repository.

    `address` is the site's own, `objects` that of production for those without a login; empty where there is none.
    """

    name: str
    artifacts: tuple[Overview, ...]
    repository: str
    address: str = ""
    objects: str = ""

    @property
    def by_tag(self) -> Mapping[Tag, Release]:
        """Every release."""
        return {release.tag: release for one in self.artifacts for release in one.releases}


def build(catalog: Catalog) -> Iterator[tuple[str, bytes]]:
    """The site's files, by path; folders have an index.html."""
    environment = pages.environment("registry.catalog")
    environment.filters.update(size=size)
    environment.globals.update(site=catalog, SPLITS=SPLITS, artifact_path=artifact_path, release_path=release_path)
    nodes = [_node(release) for release in catalog.by_tag.values()]

    def render(template: str, path: str, **values: object) -> tuple[str, bytes]:
        top = "../" * path.count("/")
        return path, environment.get_template(template).render(top=top, **values).encode()

    yield render("home.html", "index.html", cards=[_card(one) for one in catalog.artifacts])
    for one in catalog.artifacts:
        yield render("artifact.html", artifact_path(one.artifact), **_artifact(one, nodes, catalog.repository))
        for release in one.releases:
            path = release_path(release.tag)
            yield render("release.html", path, **_release(one, release, catalog.repository))
    yield DATA, _json(to_json(catalog))
    yield FEED, environment.get_template("feed.xml").render(top="", **_feed(catalog)).encode()
    yield STYLE, environment.get_template(STYLE).render().encode()
    yield SCRIPT, resources.files("registry.catalog").joinpath("templates", SCRIPT).read_bytes()


def to_json(catalog: Catalog) -> dict[str, Any]:
    """The same for programs, as `schemas/catalog.schema.json` defines it."""
    return {
        "schema": 1,
        "name": catalog.name,
        "repository": catalog.repository,
        "objects": catalog.objects or None,
        "artifacts": [overview.to_json(one) for one in catalog.artifacts],
    }


def artifact_path(artifact: ArtifactId) -> str:
    """The page of an artifact."""
    return f"{artifact}/index.html"


def release_path(tag: Tag) -> str:
    """The page of a release."""
    return f"{tag.artifact}/v{tag.version}/index.html"


def _json(data: object) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _node(release: Release) -> Node:
    return Node(release.tag, release.sources, release.stages, bool(release.withdrawn))


# --- home -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Card:
    """An artifact on the first page: what is shown of it, what the search looks in, and what it is filtered by."""

    one: Overview
    latest: Release | None
    line: Sparkline | None
    amount: str
    words: str
    facets: Mapping[str, tuple[str, ...]]


def _card(one: Overview) -> Card:
    manifest, latest = one.manifest, latest_good(one)
    classes = manifest.classes if isinstance(manifest, DatasetManifest) else ()
    columns = tuple(column.name for column in manifest.columns) if isinstance(manifest, DatasetManifest) else ()
    stages = tuple(sorted({stage for release in one.releases for stage in release.stages}))
    owners = manifest.owners if manifest else ()
    words = [
        str(one.artifact),
        *((manifest.title, manifest.description) if manifest else ()),
        *classes,
        *columns,
        *owners,
    ]
    return Card(
        one,
        latest,
        _line(one),
        _amount(latest),
        " ".join(words).lower(),
        {
            "kind": (one.artifact.kind.value,),
            "owner": owners,
            "license": (manifest.license,) if manifest else (),
            "stage": stages,
            "state": (one.state,),
        },
    )


def latest_good(one: Overview) -> Release | None:
    """The latest release that is neither withdrawn nor faulty."""
    return next((release for release in one.releases if not (release.withdrawn or release.fault)), None)


def _amount(release: Release | None) -> str:
    """The number that says most of a release: its images, or the metric that models are compared by."""
    if release is None or release.version is None:
        return ""
    build = release.version.build
    return plural(build.images, "image") if build else " ".join(_headline(release)[:2])


def _headline(release: Release) -> tuple[str, str, float]:
    metrics = release.version.metrics if release.version else {}
    return next(
        ((name, f"{value:.4g}", value) for name, value in metrics.items() if isinstance(value, float)), ("", "", 0)
    )


def _line(one: Overview) -> Sparkline | None:
    """The images of a dataset, or the headline of a model, over its good releases, oldest first."""
    good = [
        release for release in reversed(one.releases) if release.version and not (release.withdrawn or release.fault)
    ]
    if one.artifact.kind is Kind.DATASET:
        values = [float(release.version.build.images) for release in good if release.version and release.version.build]
        what = "images"
    else:
        found = [_headline(release) for release in good]
        values, what = [value for name, _, value in found if name], next((name for name, _, _ in found if name), "")
    return pictures.sparkline(values, f"{what} over {plural(len(values), 'release')}") if values else None


# --- one artifact, one release ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A release in the table of an artifact."""

    release: Release
    amount: str
    users: tuple[Tag, ...]
    changes: str


def _artifact(one: Overview, nodes: Sequence[Node], repository: str) -> dict[str, Any]:
    latest = latest_good(one)
    rows = [Row(release, _amount(release), one.users[release.tag], _changes(one, release)) for release in one.releases]
    return {
        "one": one,
        "manifest": one.manifest,
        "classes": one.manifest.classes if isinstance(one.manifest, DatasetManifest) else (),
        "intended_use": one.manifest.intended_use if isinstance(one.manifest, ModelManifest) else "",
        "latest": latest,
        "rows": rows,
        "line": _line(one),
        "lineage": _lineage(one, nodes),
        "metrics": _metrics(one),
        "snippets": consuming.snippets(latest, repository) if latest else (),
    }


def _release(one: Overview, release: Release, repository: str) -> dict[str, Any]:
    build = release.version.build if release.version else None
    labels = sorted({label for split in build.counts.values() for label in split}) if build else []
    return {
        "one": one,
        "release": release,
        "manifest": release.version.content.manifest if release.version else None,
        "amount": _amount(release),
        "counts": [
            (label, [build.counts.get(split, {}).get(label, 0) for split in SPLITS]) for label in labels[:CLASSES]
        ]
        if build
        else [],
        "more_classes": max(0, len(labels) - CLASSES),
        "metrics": [(name, number) for name, number in _numbers(release).items()],
        "users": one.users[release.tag],
        "changes": _changes(one, release),
        "before": _before(one, release),
        "snippets": consuming.snippets(release, repository),
    }


def _before(one: Overview, release: Release) -> Release | None:
    return next((earlier for earlier in one.releases if earlier.tag < release.tag and earlier.version), None)


def _changes(one: Overview, release: Release) -> str:
    """What changed since the release before, as Git has it."""
    before = _before(one, release)
    if before is None or before.version is None or release.version is None:
        return "" if before else "the first release"
    found = versioning.required_bumps(before.version.content, release.version.content, None)
    was, now = before.version.build, release.version.build
    images = [f"{was.images:,} → {plural(now.images, 'image')}"] if was and now and was.images != now.images else []
    return ", ".join([*images, *(required.what for required in found)]) or "no change in Git"


def _numbers(release: Release) -> dict[str, str]:
    """The metrics of the whole test set; those of classes have a dot in their names."""
    metrics = release.version.metrics if release.version else {}
    return {
        name: f"{value:.4g}" for name, value in metrics.items() if isinstance(value, int | float) and "." not in name
    }


def _metrics(one: Overview) -> tuple[Sequence[Release], list[tuple[str, list[str]]]]:
    """The latest releases of a model, and their metrics side by side."""
    shown = [release for release in one.releases if _numbers(release)][:COMPARED]
    names = dict.fromkeys(name for release in shown for name in _numbers(release))
    return shown, [(name, [_numbers(release).get(name, "–") for release in shown]) for name in names]


def _lineage(one: Overview, nodes: Sequence[Node]) -> Lineage | None:
    return pictures.lineage(nodes, [release.tag for release in one.releases])


# --- feed -------------------------------------------------------------------------------------------------------------


def _feed(catalog: Catalog) -> dict[str, Any]:
    """The latest releases as an Atom feed (RFC 4287); ids are `tag:` URIs of the release's day (RFC 4151)."""
    releases = sorted(catalog.by_tag.values(), key=lambda one: (one.seconds, one.tag), reverse=True)[:IN_FEED]
    newest = releases[0].time if releases else datetime.fromtimestamp(0, UTC).isoformat()
    return {"releases": releases, "updated": newest}
