"""The catalog's pages: one for all artifacts, one for each artifact, one for each release, and the same as data.

Everything is a pure function of what `release.overview` found, so the same registry gives the same bytes. No page loads
anything from elsewhere.
"""

import json
from collections.abc import Iterator, Mapping
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
from registry.core.erasures import Tombstone
from registry.core.layout import SPLITS
from registry.core.values import ArtifactId, DatasetManifest, Tag
from registry.core.wording import size
from registry.release import overview
from registry.release.history import Release
from registry.release.overview import Overview
from registry.report import pages

FEED, DATA, CROISSANT = "feed.xml", "registry.json", "croissant.json"
STYLE, SCRIPTS = "catalog.css", ("catalog.js", "grid.js", "try.js")
TOP = ("index.html", DATA, FEED, STYLE, *SCRIPTS)  # the files at the top of a site
IN_FEED = 50  # releases


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is shown: the registry's name, its artifacts, the address of its repository.

    `address` is the site's own, `objects` that of production for those without a login; empty where there is none.
    `shown` is what its folder has of the images of releases (`showing.prepare`),
    `compared` of how they differ from those before (`comparing.prepare`), `tried` of models (`trying.prepare`).
    `tombstones` are of what was erased, and `erased` says how many images of a release each case erased
    (`erased_items.count_all`).
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

    yield render("home.html", "index.html", home=home.home(catalog.artifacts))
    for one in catalog.artifacts:
        values = artifact_page.values(one, nodes, catalog.repository, catalog.compared)
        yield render("artifact.html", artifact_path(one.artifact), **values)
        for release in one.releases:
            tag = release.tag
            pieces = Pieces(
                catalog.shown.get(tag), catalog.compared.get(tag), catalog.erased.get(tag, {}), catalog.tried.get(tag)
            )
            values, path = release_page.values(one, release, catalog.repository, pieces), release_path(tag)
            described = _describe(catalog, release)
            yield render("release.html", path, **values, croissant=described)
            if described:
                yield path.replace("index.html", CROISSANT), json.dumps(described, indent=1).encode() + b"\n"
    yield DATA, write_data(catalog)
    yield FEED, environment.get_template("feed.xml").render(top="", **_feed(catalog)).encode()
    yield STYLE, environment.get_template(STYLE).render().encode()
    for script in SCRIPTS:
        yield script, resources.files("registry.catalog").joinpath("templates", script).read_bytes()


def write_data(catalog: Catalog) -> bytes:
    """`registry.json`, the same for programs, as `schemas/catalog.schema.json` defines it."""
    data = {
        "schema": 1,
        "name": catalog.name,
        "repository": catalog.repository,
        "objects": catalog.objects or None,
        "erased": [_erased_to_json(one) for one in catalog.tombstones],
        "artifacts": [overview.to_json(one) for one in catalog.artifacts],
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


def _describe(catalog: Catalog, release: Release) -> dict[str, Any] | None:
    """A dataset's release as Croissant; None for what no one should use."""
    manifest = release.version.content.manifest if release.version else None
    if not isinstance(manifest, DatasetManifest) or not releases.is_good(release):
        return None
    page = f"{catalog.address}{release_path(release.tag)}" if catalog.address else ""
    return croissant.describe(release, manifest, page, catalog.repository)


def artifact_path(artifact: ArtifactId) -> str:
    """The page of an artifact."""
    return f"{artifact}/index.html"


def release_path(tag: Tag) -> str:
    """The page of a release."""
    return f"{tag.artifact}/v{tag.version}/index.html"


def _node(release: Release) -> Node:
    return Node(release.tag, release.sources, release.stages, bool(release.withdrawn))


# --- feed -------------------------------------------------------------------------------------------------------------


def _feed(catalog: Catalog) -> dict[str, Any]:
    """The latest releases as an Atom feed (RFC 4287); ids are `tag:` URIs of the release's day (RFC 4151)."""
    releases = sorted(catalog.by_tag.values(), key=lambda one: (one.seconds, one.tag), reverse=True)[:IN_FEED]
    newest = releases[0].time if releases else datetime.fromtimestamp(0, UTC).isoformat()
    return {"releases": releases, "updated": newest}
