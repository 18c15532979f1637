"""Writes the site into its folder: what differs, and nothing of what is there already."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from registry.catalog import browser_runtime, comparing, releases, showing, site, trying
from registry.catalog.comparing import Compared
from registry.catalog.options import Options
from registry.catalog.showing import Shown
from registry.catalog.site import Catalog
from registry.core import erasures
from registry.core.atomic_write import write_atomically
from registry.core.layout import FOLDERS
from registry.core.values import Kind, Tag
from registry.release import erased_items

OURS = (
    "*/index.html",
    "*/v*/index.html",
    "*/v*/croissant.json",
    "*/sheets/*.webp",
    "*/v*/items/*/*.js",
    "*/v*/changes/*.*",
    "*/v*/try/*.*",
)  # below the folders of artifacts


@dataclass(frozen=True, slots=True)
class Changed:
    """How many files the site has, how many of them were written now, and how many were removed."""

    kept: int
    written: int
    removed: int


def write(out: Path, catalog: Catalog, options: Options) -> Changed:
    """Write the site. A build that was stopped is finished by the next one."""
    before = _find(out)
    _put(out, site.DATA, site.write_data(catalog))  # first: it marks the folder as a site
    shown: dict[Tag, Shown] = {}
    for one in catalog.artifacts:
        if one.artifact.kind is Kind.DATASET:
            shown |= showing.prepare(out, [*filter(releases.is_good, reversed(one.releases))], options)
    cases = erasures.by_case(catalog.tombstones)
    erased = erased_items.count_all(catalog.artifacts, cases, options.read, options.warn)
    compared = comparing.prepare(out, catalog.name, catalog.artifacts, options)
    kept = {path for tag, one in shown.items() for path in _data_files(out, tag, one)}
    kept |= {path for one in compared.values() for path in _page_files(out, one)}
    tried = trying.prepare(out, catalog.artifacts, options)
    kept |= {path for one in tried.values() for path in one.paths} | {*trying.runtime_paths(tried)}
    new = kept - before
    extended = replace(catalog, shown=shown, compared=compared, erased=erased, tried=tried)
    for path, data in site.build(extended):
        kept.add(path)
        if _put(out, path, data) or path not in before:
            new.add(path)
    gone = _find(out) - kept  # of earlier builds, and what this one wrote before it found that it cannot be shown
    for path in gone:
        (out / path).unlink()
        _remove_empty((out / path).parent)
    return Changed(len(kept), len(new), len(gone))


def _put(out: Path, path: str, data: bytes) -> bool:
    """Write a file unless it is there with these bytes."""
    if (out / path).is_file() and (out / path).read_bytes() == data:
        return False
    write_atomically(out / path, data)
    return True


def _remove_empty(folder: Path) -> None:
    """Remove a folder without files, and those above it that have none then; a site's own has registry.json."""
    while not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _find(out: Path) -> set[str]:
    """The files of a site that are there: those at its top, and those of artifacts. Others are not a site's."""
    top = (out / name for name in site.TOP if (out / name).is_file())
    found = (path for folder in FOLDERS for pattern in OURS for path in (out / folder).glob(pattern))
    runtimes = (path for name in browser_runtime.FILES for path in out.glob(f"{browser_runtime.ANY}/{name}"))
    return {path.relative_to(out).as_posix() for path in (*top, *found, *runtimes)}


def _data_files(out: Path, tag: Tag, one: Shown) -> Iterator[str]:
    yield from (path.relative_to(out).as_posix() for path in (out / one.folder).glob("*.js"))
    yield from (showing.sheet_path(tag.artifact, name) for name in one.items.sheets)


def _page_files(out: Path, one: Compared) -> Iterator[str]:
    yield one.path
    line = f"{one.path.removesuffix('.html')}.json"
    if (out / line).is_file():
        yield line
