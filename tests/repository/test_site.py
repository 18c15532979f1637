"""The site of docs/: strict, complete, the same as on GitHub, without anything from elsewhere, and usable by all."""

import functools
import http.server
import importlib.util
import json
import re
import sys
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cmarkgfm
import pytest

from support.browser import Browser, started
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = ("", "ten-minutes/")
COUNTED = re.compile(r"<(h[1-6]|li|tr|pre|img)\b")
ACCESSIBLE = """
axe.run().then(found => found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html)}`))
"""
SELECTED = """
(() => {
  const code = [...document.querySelectorAll("pre code")].find(one => one.innerText.includes("$ registry init"));
  getSelection().selectAllChildren(code);
  return getSelection().toString().trim();
})()
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = load("docs")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY_URL", "https://github.com/acme/template")
        assert docs.build(ROOT, folder) == 0
    return folder


def article(built: Path, place: str) -> str:
    path = built / "site" / place.removesuffix("index.md").removesuffix(".md") / "index.html"
    return re.search(r"<article.*?</article>", path.read_text(), re.DOTALL)[0]


def test_a_page_has_the_same_parts_as_on_github(built: Path) -> None:
    different = {}
    for source, place in docs.sources().items():
        if place.endswith(".md"):
            github = Counter(COUNTED.findall(cmarkgfm.github_flavored_markdown_to_html((ROOT / source).read_text())))
            if (here := Counter(COUNTED.findall(article(built, place)))) != github:
                different[source] = (here, github)
    assert different == {}


def test_every_page_of_the_navigation_is_in_it(built: Path) -> None:
    start = (built / "site/index.html").read_text()
    for page in docs.listed(tomllib.loads((ROOT / "docs/site.toml").read_text())["project"]["nav"]):
        assert f'href="./{page.removesuffix("index.md").removesuffix(".md").rstrip("/") or ""}' in start, page


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    tag = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")
    found = {one for path in built.rglob("*.html") for one in tag.findall(path.read_text())}
    assert {one for one in found if "rel=canonical" not in one} == set()


def test_a_link_out_of_the_site_leads_to_github_or_is_text() -> None:
    places = {"docs/a.md": "a.md", "docs/b/README.md": "b/index.md", "infra/README.md": "infra.md"}
    text = "[one](b/README.md#x) [two](../infra/README.md) [`three`](../Makefile) [four](#y) [five](https://a.org)\n"
    expected = "[one](b/index.md#x) [two](infra.md) {} [four](#y) [five](https://a.org)\n"
    assert docs.rewrite(text, "docs/a.md", places, ROOT, "") == expected.format("`three`")
    there = "[`three`](https://github.com/acme/data/blob/HEAD/Makefile)"
    assert docs.rewrite(text, "docs/a.md", places, ROOT, "https://github.com/acme/data") == expected.format(there)
    assert docs.rewrite("[one](../a.md)\n", "docs/b/README.md", places, ROOT, "") == "[one](../a.md)\n"
    code = "```sh\n[one](b/README.md)\n```\n"
    assert docs.rewrite(code, "docs/a.md", places, ROOT, "") == code


@pytest.mark.parametrize(
    ("text", "fault"),
    [("[x](gone.md)", "page does not exist"), ("[x](#gone)", "anchor does not exist"), (None, "nav has no index.md")],
)
def test_a_fault_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None, fault: str) -> None:
    for source in docs.PLACES:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_text("# A page\n")
    (tmp_path / "docs/index.md").write_text(f"# Start\n\n{text}\n")
    nav = ", ".join(f'{{"{place}" = "{place}"}}' for place in ["index.md", *docs.PLACES.values()][text is None :])
    (tmp_path / "docs/site.toml").write_text(f'[project]\nsite_name = "x"\nnav = [{nav}]\n')
    assert docs.build(tmp_path, tmp_path / "build") != 0
    assert fault in re.sub(r"\x1b\[[0-9;]*m", "", "".join(capfd.readouterr()))


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(built / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (375, "light")])
def test_axe_finds_nothing(browser: Browser, address: str, name: str, width: int, theme: str) -> None:
    page = browser.open(address + name, width, theme)
    axe = (Path(sys.prefix) / "axe/node_modules/axe-core/axe.min.js").read_text()
    assert page.evaluate(f"{axe}\n{ACCESSIBLE}") == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.errors == []


def test_what_is_copied_from_a_console_can_be_pasted(browser: Browser, address: str) -> None:
    page = browser.open(f"{address}ten-minutes/", 1280, "light")
    assert re.fullmatch(r"registry init acme-data [^\n]*", page.evaluate(SELECTED))


def test_the_search_finds_a_command_without_a_network(address: str) -> None:
    with started() as browser:  # of its own: a page gets what is typed only where it is in front
        page = browser.open(address, 1280, "light")
        page.evaluate("document.querySelector('.md-search__button').click()")
        ends, shown = time.monotonic() + PATIENCE, ""
        while "registry withdraw" not in shown:
            assert time.monotonic() < ends
            for words in ("withdraw", "withdrawn"):  # typed again: what came before the index is not searched for
                page.call("Input.dispatchKeyEvent", type="keyDown", commands=["selectAll"])
                page.call("Input.insertText", text=words)
                page.evaluate("new Promise(done => setTimeout(done, 300))")  # without a break the page does no work
            shown = json.dumps(page.call("DOM.getDocument", depth=-1, pierce=True))
        assert page.errors == []
