"""Writes the site into its folder: what differs, and nothing of what is there already."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from registry.catalog import comparing, folder, releases, showing, site, trying
from registry.catalog.folder import Changed, Folder
from registry.catalog.options import Options
from registry.catalog.showing import Shown
from registry.catalog.site import Catalog
from registry.core import digests, tombstones
from registry.core.progress import counter
from registry.core.values import Kind, Tag
from registry.release import erased_items


def write(out: Path, catalog: Catalog, options: Options) -> Changed:
    """Write the site. A build that was stopped is finished by the next one."""
    with folder.opened(out) as opened:
        shown = dict[Tag, Shown]()
        for one in catalog.artifacts:
            if one.artifact.kind is Kind.DATASET:
                shown |= showing.prepare(opened, [*filter(releases.is_good, reversed(one.releases))], options)
        erased = dict(_count_erased(opened, catalog, options))
        compared = comparing.prepare(opened, catalog.name, catalog.artifacts, options)
        tried = trying.prepare(opened, catalog.artifacts, options)
        complete = replace(catalog, shown=shown, compared=compared, erased=erased, tried=tried)
        pages = site.build(complete)
        missing = [page for page in pages if not opened.has(page.path, key=page.key)]
        with counter("rendering pages", "page", len(missing)) as advance:
            for page in missing:
                opened.write(page.path, page.render(), page.key)
                advance(1)
        lost = sum(bool(complete.erased.get(one.tag) or complete.erased_files(one)) for one in complete.releases)
        return replace(opened.finish(), erased=lost)


def _count_erased(opened: Folder, catalog: Catalog, options: Options) -> Iterator[tuple[Tag, dict[str, int]]]:
    """How many images of a release each case erased. Lists that were counted are not read again."""
    cases = tombstones.by_case(catalog.tombstones)
    said = digests.md5(repr([(name, sorted(one.items)) for name, one in sorted(cases.items())]).encode())
    for release in erased_items.find_candidates(catalog.artifacts) if cases else ():
        name = f"erased {release.tag} {release.commit} {said}"
        counts, told = opened.recall(name), list[str]()
        if counts is None:
            counts = erased_items.count(release, cases, options.read, told.append)
        for warning in told:
            options.warn(warning)
        if not told:
            opened.remember(name, counts)
        if counts:
            yield release.tag, counts
