"""The catalog's pages: one for all artifacts, one for each artifact, one for each release, and the same as data.

Everything is a pure function of what `release.overview` found, so the same registry gives the same bytes, and a page
that is there from the same inputs need not be rendered again. No page loads anything from elsewhere.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from registry.catalog import artifact_page, croissant, home, release_page, releases
from registry.catalog.comparing import Compared
from registry.catalog.pictures import Node
from registry.catalog.release_page import Pieces
from registry.catalog.showing import Shown
from registry.catalog.trying import Tried
from registry.core import digests, layout, tombstones
from registry.core.tombstones import Tombstone
from registry.core.values import ArtifactId, DatasetManifest, Tag
from registry.core.wording import size
from registry.release import erased_items, overview
from registry.release.history import Release
from registry.release.overview import Overview
from registry.report import pages

FEED, DATA, CROISSANT = "feed.xml", "registry.json", "croissant.json"
STYLE, SCRIPTS = "catalog.css", ("catalog.js", "grid.js", "try.js")
IN_FEED = 50  # releases


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is shown: the registry's name, its artifacts, the address of its repository.

    `address` is the site's own, `objects` that of production for those without a login; empty where there is none.
    `shown` is what its folder has of the images of releases (`showing.prepare`),
    `compared` of how they differ from those before (`comparing.prepare`), `tried` of models (`trying.prepare`).
    `tombstones` are of what was erased, and `erased` says how many images of a release each case erased
    (`erased_items.count`).
    """

    name: str
    artifacts: tuple[Overview, ...]
    repository: str
    address: str = ""
    objects: str = ""
    shown: Mapping[Tag, Shown] = field(default_factory=dict)
    compared: Mapping[Tag, Compared] = field(default_factory=dict)
    tombstones: tuple[Tombstone, ...] = ()
    erased: Mapping[Tag, Mapping[str, int]] = field(default_factory=dict)
    tried: Mapping[Tag, Tried] = field(default_factory=dict)

    @property
    def releases(self) -> Iterator[Release]:
        """Every release."""
        return (release for one in self.artifacts for release in one.releases)

    def erased_files(self, release: Release) -> Mapping[str, tuple[str, ...]]:
        """The files of a model's release that were erased, by case."""
        return erased_items.find_files(release, tombstones.by_case(self.tombstones))


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the site. One program renders the same bytes wherever `key` is the same."""

    path: str
    key: str
    render: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class About:
    """What every page may say of the site: the fields of Catalog."""

    name: str
    repository: str
    address: str


def build(catalog: Catalog) -> Iterator[Page]:
    """The site's files, registry.json first; folders have an index.html."""
    about = About(catalog.name, catalog.repository, catalog.address)
    environment = pages.environment("registry.catalog")
    environment.filters.update(size=size)
    environment.globals.update(
        site=about, SPLITS=layout.SPLITS, artifact_path=artifact_path, release_path=layout.release_page
    )
    whole = {one.artifact: digests.md5(repr(one).encode()) for one in catalog.artifacts}

    def page(path: str, write: Callable[..., bytes], *inputs: object) -> Page:
        """A page that is `write(about, *inputs)`. An artifact takes part in many, so its digest stands for it."""
        parts = [whole[one.artifact] if isinstance(one, Overview) else repr(one) for one in (about, *inputs)]
        return Page(path, digests.md5("\n".join(parts).encode()), lambda: write(about, *inputs))

    def render(path: str, template: str, values: Callable[..., Mapping[str, Any]], *inputs: object) -> Page:
        """A page of a template, which sees `values(about, *inputs)`."""

        def write(*given: Any) -> bytes:
            return environment.get_template(template).render(top="../" * path.count("/"), **values(*given)).encode()

        return page(path, write, *inputs)

    erased = [_erased_to_json(one) for one in catalog.tombstones]
    yield page(DATA, _write_data, catalog.objects, erased, *catalog.artifacts)
    yield render("index.html", "home.html", lambda _, *artifacts: {"home": home.home(artifacts)}, *catalog.artifacts)
    by_tag = {release.tag: release for release in catalog.releases}
    for one in catalog.artifacts:
        compared = {release.tag: catalog.compared.get(release.tag) for release in one.releases}
        latest = releases.latest_good(one)
        shown = catalog.shown.get(latest.tag) if latest else None
        near = tuple(_node(by_tag[tag]) for tag in _near(one) if tag in by_tag)
        yield render(artifact_path(one.artifact), "artifact.html", _artifact, one, near, compared, shown)
        for release in one.releases:
            tag = release.tag
            pieces = Pieces(
                catalog.shown.get(tag),
                catalog.compared.get(tag),
                catalog.erased.get(tag, {}),
                catalog.erased_files(release),
                catalog.tried.get(tag),
            )
            yield render(layout.release_page(tag), "release.html", _release, one, release, pieces)
            if _described(release):
                yield page(layout.release_page(tag).replace("index.html", CROISSANT), _write_croissant, release)
    yield render(FEED, FEED, lambda _, *artifacts: _feed(artifacts), *catalog.artifacts)
    yield render(STYLE, STYLE, lambda _: {})
    for script in SCRIPTS:
        yield Page(script, "", resources.files("registry.catalog").joinpath("templates", script).read_bytes)


def _artifact(
    about: About, one: Overview, near: Sequence[Node], compared: Mapping[Tag, Compared | None], shown: Shown | None
) -> Mapping[str, Any]:
    return artifact_page.values(one, near, about.repository, compared, shown)


def _release(about: About, one: Overview, release: Release, pieces: Pieces) -> Mapping[str, Any]:
    values = release_page.values(one, release, about.repository, pieces)
    return {**values, "croissant": _describe(about, release)}


def _near(one: Overview) -> Iterator[Tag]:
    """The releases of an artifact, with what they were made from and what was made from them."""
    for release in one.releases:
        yield from (release.tag, *release.sources, *one.users[release.tag])


def _write_data(about: About, objects: str, erased: Sequence[Mapping[str, Any]], *artifacts: Overview) -> bytes:
    """`registry.json`, the same for programs, as `schemas/catalog.schema.json` defines it."""
    data = {
        "schema": 1,
        "name": about.name,
        "repository": about.repository,
        "objects": objects or None,
        "erased": erased,
        "artifacts": [overview.to_json(one) for one in artifacts],
    }
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _erased_to_json(tombstone: Tombstone) -> dict[str, Any]:
    """A tombstone for those who fetch without Git; who approved it stays in the repository."""
    return {
        "case": tombstone.case,
        "date": tombstone.date,
        "items": sorted(tombstone.items),
        "objects": sorted(tombstone.objects),
    }


def _described(release: Release) -> DatasetManifest | None:
    """The manifest of a dataset's release that is described as Croissant; None for what no one should use."""
    manifest = release.version.content.manifest if release.version else None
    return manifest if isinstance(manifest, DatasetManifest) and releases.is_good(release) else None


def _describe(about: About, release: Release) -> dict[str, Any] | None:
    if manifest := _described(release):
        page = f"{about.address}{layout.release_page(release.tag)}" if about.address else ""
        return croissant.describe(release, manifest, page, about.repository)
    return None


def _write_croissant(about: About, release: Release) -> bytes:
    return json.dumps(_describe(about, release), indent=1).encode() + b"\n"


def artifact_path(artifact: ArtifactId) -> str:
    """The page of an artifact."""
    return f"{artifact}/index.html"


def _node(release: Release) -> Node:
    return Node(release.tag, release.sources, release.stages, bool(release.withdrawn))


# --- feed -------------------------------------------------------------------------------------------------------------


def _feed(artifacts: Iterable[Overview]) -> dict[str, Any]:
    """The latest releases as an Atom feed (RFC 4287); ids are `tag:` URIs of the release's day (RFC 4151)."""
    every = (release for one in artifacts for release in one.releases)
    latest = sorted(every, key=lambda one: (one.seconds, one.tag), reverse=True)[:IN_FEED]
    newest = latest[0].time if latest else datetime.fromtimestamp(0, UTC).isoformat()
    return {"releases": latest, "updated": newest}
