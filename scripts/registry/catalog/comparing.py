"""Writes the page that says how a release differs from the one before, as a report does, where it is not there yet.

Which page it is follows from the two commits, so one that is there is not made again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Template

from registry.catalog import releases
from registry.catalog.options import Options
from registry.core import digests
from registry.core.atomic_write import write_atomically
from registry.core.progress import counter
from registry.core.settings import CatalogImages
from registry.core.tree import DictTree, Tree
from registry.core.values import DatasetManifest, Kind, Tag
from registry.dataset import diff, query_text
from registry.dataset.changes import DatasetChange, QueryChange
from registry.dataset.diff import DiffOptions
from registry.errors import RegistryError
from registry.model import recorded
from registry.release.history import Release
from registry.release.overview import Overview
from registry.report import dataset_section, html, model_section, origin_table, summary
from registry.report.blocks import Block, Detail, Lines, Para

RECORDED = "By the predictions that were recorded when each was measured, on the test images that both were measured on"
FORMAT = 2  # changes with what a page contains, so that an old one is not taken for a new one


@dataclass(frozen=True, slots=True)
class Compared:
    """The page of a release's comparison in the site, and its result in one line."""

    path: str
    headline: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A release, the one before it if any, and the page without its ending."""

    release: Release
    before: Release | None
    path: str


def prepare(out: Path, site: str, artifacts: Iterable[Overview], options: Options) -> dict[Tag, Compared]:
    """The comparisons of all releases that can be used, after writing those that `out` lacks.

    `site` is the registry's name. One that cannot be made is left out, and told.
    """
    wanted = [
        _want(one, release, options) for one in artifacts for release in one.releases if releases.is_good(release)
    ]
    found = {one.release.tag: known for one in wanted if (known := _read(out, one.path))}
    missing = [one for one in wanted if one.release.tag not in found]
    template = html.environment("registry.catalog").get_template("changes.html")
    with counter("comparing releases", "release", len(missing)) as advance:
        for one in missing:
            if made := _write(out, site, one, options, template):
                found[one.release.tag] = made
            advance(1)
    return found


def _want(one: Overview, release: Release, options: Options) -> _Wanted:
    before = next((other for other in one.releases if other.tag < release.tag and releases.is_good(other)), None)
    parts = [FORMAT, before.commit if before else "", release.commit, _pictures(options), options.erased_key]
    name = digests.md5(json.dumps(parts).encode())[:16]
    return _Wanted(release, before, f"{release.tag.artifact}/v{release.tag.version}/changes/{name}")


def _pictures(options: Options) -> bool:
    return options.images is not CatalogImages.NONE and not options.erased_key


def _read(out: Path, path: str) -> Compared | None:
    """A comparison that is complete: its line is written last."""
    try:
        headline = json.loads((out / f"{path}.json").read_bytes())["headline"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Compared(f"{path}.html", str(headline)) if (out / f"{path}.html").is_file() else None


@dataclass(frozen=True, slots=True)
class _Section:
    headline: str
    blocks: tuple[Block, ...]
    is_complete: bool


def _write(out: Path, site: str, one: _Wanted, options: Options, template: Template) -> Compared | None:
    try:
        new = options.tree(one.release.commit)
        old = options.tree(one.before.commit) if one.before else DictTree({})
        found = _compare(old, new, one.release, options)
    except RegistryError as error:
        options.warn(f"{one.release.tag}: what changed is not shown: {error.message}")
        return None
    if found is None:
        return None
    page = template.render(
        top="../" * one.path.count("/"), site=site, tag=one.release.tag, before=one.before, section=found
    )
    write_atomically(out / f"{one.path}.html", page.encode())
    if found.is_complete:  # else it is made again by the next build, which may be able to read more
        write_atomically(out / f"{one.path}.json", json.dumps({"headline": found.headline}).encode())
    return Compared(f"{one.path}.html", found.headline)


def _compare(old: Tree, new: Tree, release: Release, options: Options) -> _Section | None:
    artifact = release.tag.artifact
    if artifact.kind is Kind.MODEL:
        model = recorded.compare(old, new, artifact, options.read)
        blocks = model_section.section(model).blocks
        shown = blocks if _pictures(options) else _without_images(blocks)
        if model.comparison:
            shown = (Para((RECORDED,)), *shown)
        return _Section(summary.model(model), shown, not model.unknown)
    read = DiffOptions(options.read, options.hash_cache, pictures=_pictures(options))
    for change in diff.compare(old, new, read, artifact):
        blocks = (*dataset_section.section(change).blocks, *_origin(change, release))
        return _Section(summary.dataset(change), blocks, not change.unknown)
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
