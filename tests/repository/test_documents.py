"""What people read: links lead somewhere, commands exist, lists are complete."""

import re
import shlex
import subprocess
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import cmarkgfm
import pytest

from registry.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
DOCUMENTS = [
    name for name in TRACKED if name.endswith(".md") and not name.startswith(("tests/", "scripts/registry/scaffold/"))
]
DECISIONS = sorted(ROOT.glob("docs/decisions/0*.md"))


class Page(HTMLParser):
    """The addresses that a page links to, the anchors of its headings as GitHub makes them, and its code."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.code: list[str] = []
        self._open = ""
        self.feed(cmarkgfm.github_flavored_markdown_to_html((ROOT / name).read_text()))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for key, value in attrs if key in {"href", "src"} and value]
        if re.fullmatch(r"h[1-6]|code", tag):
            self._open = tag
            (self.code if tag == "code" else self.anchors).append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = "" if tag == self._open else self._open

    def handle_data(self, data: str) -> None:
        if self._open == "code":
            self.code[-1] += data
        elif self._open:
            self.anchors[-1] += re.sub(r"[^\w\- ]", "", data.lower()).replace(" ", "-")


PAGES = {name: Page(name) for name in DOCUMENTS}
LINKS = sorted({(name, link) for name, page in PAGES.items() for link in page.links if not urlsplit(link).scheme})


@pytest.mark.parametrize(("name", "link"), LINKS, ids=[f"{name}: {link}" for name, link in LINKS])
def test_a_link_leads_to_a_tracked_file_and_a_heading(name: str, link: str) -> None:
    address = urlsplit(link)
    target = (ROOT / name).parent / unquote(address.path) if address.path else ROOT / name
    file = target.resolve().relative_to(ROOT).as_posix()
    assert file in TRACKED or any(path.startswith(f"{file}/") for path in TRACKED)
    if address.fragment:
        assert address.fragment in PAGES[file].anchors


def commands(name: str) -> list[str]:
    """Every call of `registry` in a page's code, up to the end of its line, comments cut off."""
    lines = (line.split("  #")[0].strip() for code in PAGES[name].code for line in code.splitlines())
    return [line for line in lines if re.match(r"registry [a-z]", line)]


CALLS = sorted({(name, call) for name in DOCUMENTS for call in commands(name)})


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[f"{name}: {call}" for name, call in CALLS])
def test_a_command_and_its_options_exist(name: str, call: str) -> None:
    words = re.split(r"[;|]|&&", call)[0].replace("…", "").split()[1:]
    command: click.Command | None = cli
    while isinstance(command, click.Group) and words:
        command = command.get_command(click.Context(command), words.pop(0))
    assert command
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_a_target_of_make_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for code in PAGES[name].code for line in code.splitlines() if line.startswith("make ")]
    called = {shlex.split(line, comments=True)[1] for line in lines}
    assert called
    assert called <= targets


def test_every_command_says_what_it_does_in_one_line() -> None:
    assert [name for name, summary in COMMANDS if not re.fullmatch(r"[A-Z][^\n]{10,90}\.", summary)] == []


def test_the_table_of_packages_is_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [name for layer in contracts[0]["layers"] for name in layer.split(" | ")]
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| package | owns |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == layers


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_form_and_is_listed(path: Path) -> None:
    text = path.read_text()
    number, title = re.match(r"# (\d+)\. (.+)\n", text).groups()
    assert int(number) == int(path.name[:4])
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert f"| {number} | [{title}]({path.name}) |" in (ROOT / "docs/decisions/README.md").read_text()
    assert len(text.splitlines()) <= 40


def test_the_changelog_is_newest_first() -> None:
    versions = re.findall(
        r"^## \[?(\S+?)\]?(?: - \d{4}-\d\d-\d\d)?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert versions[0] == "Unreleased"
    released = [tuple(map(int, version.split("."))) for version in versions[1:]]
    assert released == sorted(released, reverse=True)
