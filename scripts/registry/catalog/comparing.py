"""Writes the page that says how a release differs from the one before, as a report does, where it is not there yet."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jinja2 import Environment

from registry.catalog import releases
from registry.catalog.folder import INCOMPLETE, Folder
from registry.catalog.options import Options
from registry.core import digests
from registry.core.artifact_files import Reader
from registry.core.progress import counter
from registry.core.settings import CatalogImages
from registry.core.tree import DictTree, Tree
from registry.core.values import DatasetManifest, Kind, Tag
from registry.dataset import diff, query_text
from registry.dataset.changes import DatasetChange, QueryChange
from registry.dataset.diff import DiffOptions
from registry.errors import NotFound, RegistryError
from registry.model import recorded
from registry.release.history import Release
from registry.release.overview import Overview
from registry.report import dataset_section, html, model_section, origin_table, summary
from registry.report.blocks import Block, Detail, Lines, Para

RECORDED = "By the predictions that were recorded when each was measured, on the test images that both were measured on"


@dataclass(frozen=True, slots=True)
class Compared:
    """The page of a release's comparison in the site, and its result in one line."""

    path: str
    headline: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A release, the one before it if any, the page, and what this is made from."""

    release: Release
    before: Release | None
    path: str
    key: str


def prepare(folder: Folder, site: str, artifacts: Iterable[Overview], options: Options) -> dict[Tag, Compared]:
    """The comparisons of all releases that can be used, after writing those that the site lacks.

    `site` is the registry's name. One that cannot be made is left out, and told.
    """
    wanted = [
        _want(site, one, release, options) for one in artifacts for release in one.releases if releases.is_good(release)
    ]
    found = {one.release.tag: known for one in wanted if (known := _find(folder, one))}
    missing = [one for one in wanted if one.release.tag not in found]
    environment = html.environment("registry.catalog")
    with counter("comparing releases", "release", len(missing)) as advance:
        for one in missing:
            if made := _write(folder, site, one, options, environment):
                found[one.release.tag] = made
            advance(1)
    return found


def _want(site: str, one: Overview, release: Release, options: Options) -> _Wanted:
    before = next((other for other in one.releases if other.tag < release.tag and releases.is_good(other)), None)
    parts = [site, before.commit if before else "", release.commit, _pictures(options), options.erased_key]
    key = digests.md5(json.dumps(parts).encode())
    return _Wanted(release, before, f"{release.tag.artifact}/v{release.tag.version}/changes/{key[:16]}.html", key)


def _pictures(options: Options) -> bool:
    return options.images is not CatalogImages.NONE and not options.erased_key


def _find(folder: Folder, one: _Wanted) -> Compared | None:
    return Compared(one.path, folder.note(one.path)) if folder.has(one.path, key=one.key) else None


@dataclass(frozen=True, slots=True)
class _Section:
    headline: str
    blocks: tuple[Block, ...]


@dataclass(slots=True)
class _Watched:
    """Reads objects, and knows whether one was `missing`, which may be there another time, unlike an erased one."""

    options: Options
    missing: bool = False

    def read(self, md5: str) -> bytes | None:
        if self.options.erased.has_object(md5):
            raise NotFound(f"object {md5} was erased")
        data = self.options.read(md5)
        self.missing = self.missing or data is None
        return data


def _write(folder: Folder, site: str, one: _Wanted, options: Options, environment: Environment) -> Compared | None:
    watched = _Watched(options)
    try:
        new = options.tree(one.release.commit)
        old = options.tree(one.before.commit) if one.before else DictTree({})
        found = _compare(old, new, one.release, options, watched.read)
    except RegistryError as error:
        options.warn(f"{one.release.tag}: what changed is not shown: {error.message}")
        return None
    if found is None:
        return None
    page = environment.get_template("changes.html").render(
        top="../" * one.path.count("/"), site=site, tag=one.release.tag, before=one.before, section=found
    )
    folder.write(one.path, page.encode(), INCOMPLETE if watched.missing else one.key, found.headline)
    return Compared(one.path, found.headline)


def _compare(old: Tree, new: Tree, release: Release, options: Options, read: Reader) -> _Section | None:
    artifact = release.tag.artifact
    if artifact.kind is Kind.MODEL:
        model = recorded.compare(old, new, artifact, read)
        blocks = model_section.section(model).blocks
        shown = blocks if _pictures(options) else _without_images(blocks)
        if model.comparison:
            shown = (Para((RECORDED,)), *shown)
        return _Section(summary.model(model), shown)
    reading = DiffOptions(read, options.hash_cache, pictures=_pictures(options))
    for change in diff.compare(old, new, reading, artifact):
        blocks = (*dataset_section.section(change).blocks, *_origin(change, release))
        return _Section(summary.dataset(change), blocks)
    return None


def _without_images(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks without images of the data, and without the images that are named one by one."""
    return tuple(one for one in blocks if not (isinstance(one, Detail) and one.kind in {"pictures", "flips"}))


def _origin(change: DatasetChange, release: Release) -> Iterator[Block]:
    """Where the rows are from, where the section does not say it, and the query."""
    manifest, selection = release.version.content.manifest if release.version else None, change.selections[1]
    if change.query_change is QueryChange.UNCHANGED:
        yield from origin_table.blocks(None, selection, is_open=True)
    if isinstance(manifest, DatasetManifest):
        text = query_text.render(manifest, selection)
        yield Detail("query", "Query", (Lines("yaml", tuple(text.splitlines())),))
