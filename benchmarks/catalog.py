"""The catalog of 200 artifacts with 20 releases each, and of a dataset with 100,000 images: from nothing, and again.

    python benchmarks/catalog.py [--releases 20] [--images 100000]

The registry is in memory, so what is measured is the site: pages, distributions, rows, contact sheets, comparisons.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from registry.catalog import writing
from registry.catalog.folder import Changed
from registry.catalog.options import Options
from registry.core.settings import CatalogImages
from registry.core.tree import DictTree

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import catalogs, pictured_catalogs

FIRST_PAGE = ("index.html", "catalog.css", "catalog.js")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=20)
    parser.add_argument("--images", type=int, default=100_000)
    args = parser.parse_args()
    print("| | time | processor time | written |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        many(Path(name), args.releases)
        large(Path(name), args.images)


def measure(what: str, build: Callable[[], Changed]) -> None:
    start, used = time.perf_counter(), time.process_time()
    done = build()
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    print(f"| {what} | {seconds:.1f} s | {cpu:.1f} s | {done.written:,} of {done.kept:,} files |", flush=True)


def many(folder: Path, releases: int) -> None:
    """200 artifacts, first without the last release of one of them."""
    catalog, out = catalogs.made(100, releases), folder / "many"
    first, *others = catalog.artifacts
    before = replace(catalog, artifacts=(replace(first, releases=first.releases[1:]), *others))
    options = Options(lambda _: None, lambda _: DictTree({}), folder / "none", CatalogImages.NONE, lambda _: None)
    measure(f"200 artifacts × {releases} releases, from nothing", lambda: writing.write(out, before, options))
    measure("the same, one dataset has one release more", lambda: writing.write(out, catalog, options))
    measure("the same, nothing changed", lambda: writing.write(out, catalog, options))
    size = sum((out / name).stat().st_size for name in FIRST_PAGE)
    print(f"| first page with style and script | {size:,} bytes | | |", flush=True)


def large(folder: Path, images: int) -> None:
    """A dataset, and then a release with a tenth more."""
    pictured, out = pictured_catalogs.made(images // 2, 2), folder / "large"
    [one] = pictured.catalog.artifacts
    first = pictured_catalogs.with_releases(pictured, one.releases[1:])
    measure(f"{images:,} images, from nothing", lambda: first.write(out, CatalogImages.ALL))
    measure(f"a release with {images // 10:,} more", lambda: pictured.write(out, CatalogImages.ALL))
    measure("the same, nothing changed", lambda: pictured.write(out, CatalogImages.ALL))
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    print(f"| the site of the dataset | {sum(sizes) / 1e6:,.1f} MB in {len(sizes):,} files | | |")


if __name__ == "__main__":
    main()
