"""Builds the site of docs/ into build/site: python scripts/docs.py.

docs/ is read in two places, on GitHub and as this site. So its pages link to files of the repository as GitHub resolves
them; here the links are rewritten. Pages outside of docs/ that belong to the site are copied into it. A link to any
other file leads to GitHub if the environment variable REPOSITORY_URL names the repository; else its text stays.

zensical's strict mode fails for links to pages and headings that do not exist, and this program for pages that the
navigation (docs/site.toml) does not have, and the reverse.
"""

import os
import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Pages outside of docs/, and pages that have another name there → where they are on the site.
PLACES = {
    "docs/decisions/README.md": "decisions/index.md",
    "infra/README.md": "infra.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
UNLISTED = "decisions/0*.md"  # the page decisions/index.md lists them
START = {"README.md": "index.md"}  # for links: the site has a start page of its own
_FENCE = re.compile(r"^ *```")
_ITEM = re.compile(r"(?:-|\d+\.) ")
_TEXT = re.compile(r"[^\s#|<`]")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def sources(root: Path = ROOT) -> dict[str, str]:
    """Every file of the site: its path in the repository, and on the site."""
    inside = [path for path in (root / "docs").rglob("*") if path.suffix in {".md", ".png", ".svg", ".css"}]
    names = (path.relative_to(root).as_posix() for path in sorted(inside))
    return {name: name.removeprefix("docs/") for name in names} | PLACES


def rewrite(text: str, source: str, places: Mapping[str, str], root: Path, repository: str) -> str:
    """The Markdown of a page as the site has it: its links, and lists as Python-Markdown reads them; not in code.

    A link to a file that does not exist stays as it is, and is a fault.
    """
    here = places[source]

    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, _, fragment = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        end = f"#{fragment}" if fragment else ""
        if file in places:
            return f"{mark}[{words}]({posixpath.relpath(places[file], posixpath.dirname(here) or '.')}{end})"
        if not (root / file).exists():
            return found[0]
        return f"{mark}[{words}]({repository}/blob/HEAD/{file}{end})" if repository else words

    lines, in_code, in_text = [], False, False
    for line in text.splitlines(keepends=True):
        in_code ^= bool(_FENCE.match(line))
        if in_text and _ITEM.match(line):
            lines.append("\n")  # without it the item would be a part of the paragraph
        in_text = not in_code and bool(_TEXT.match(line)) and not _ITEM.match(line)
        lines.append(line if in_code else _LINK.sub(link, line))
    return "".join(lines)


def listed(nav: object) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from (page for entry in nav.values() for page in listed(entry))
    elif isinstance(nav, list):
        yield from (page for entry in nav for page in listed(entry))


def faults(settings: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    """How the navigation and the pages differ."""
    nav = list(listed(settings["project"]["nav"]))
    pages = {place for place in places.values() if place.endswith(".md") and not Path(place).match(UNLISTED)}
    yield from (f"docs/site.toml: {page} is not a page" for page in nav if page not in pages)
    yield from (f"docs/site.toml: nav has no {page}" for page in sorted(pages - {*nav}))


def build(root: Path, folder: Path) -> int:
    """Build the site of a checkout into a folder: `docs`, as they are rewritten, and `site`. Returns the exit code."""
    places = sources(root)
    settings = (root / "docs/site.toml").read_text(encoding="utf-8")
    if found := list(faults(tomllib.loads(settings), places)):
        sys.stderr.write("".join(f"{fault}\n" for fault in found))
        return 1
    shutil.rmtree(folder / "docs", ignore_errors=True)
    repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")
    for source, place in places.items():
        target = folder / "docs" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            text = (root / source).read_text(encoding="utf-8")
            target.write_text(rewrite(text, source, places | START, root, repository), encoding="utf-8")
        else:
            shutil.copy(root / source, target)
    (folder / "zensical.toml").write_text(settings, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(build(ROOT, ROOT / "build"))
