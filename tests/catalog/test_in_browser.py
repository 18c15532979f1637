"""The catalog in a real browser: light and dark, on a screen and on a phone, by keyboard."""

from pathlib import Path

import pytest

from registry.catalog import home
from registry.catalog.site import Catalog
from registry.core.tree import DictTree
from registry.release import overview
from support import catalogs, memory_registries, repositories
from support.accessibility import ACCESSIBLE, CONTRAST
from support.browser import Browser
from support.memory_registries import Registry

pytestmark = pytest.mark.browser
SIZES = {"screen": 1100, "phone": 375}
PAGES = ("index.html", "datasets/pets/index.html", "models/pets/index.html", "datasets/pets/v1.0.0/index.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("site")
    for path, data in catalogs.rendered(catalogs.made(2, 3)).items():
        repositories.write_bytes(top / path, data)
    return top


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_can_be_read_and_logs_nothing(
    browser: Browser, axe: str, folder: Path, path: str, size: str, theme: str
) -> None:
    page = browser.open((folder / path).as_uri(), SIZES[size], theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]
    assert page.evaluate(CONTRAST) >= 4.5
    assert page.errors == []
    assert page.evaluate(f"{axe}\n{ACCESSIBLE}") == []  # it fetches the stylesheet, which the page forbids


def test_the_search_finds_words_and_facets_by_keyboard(browser: Browser, folder: Path) -> None:
    page = browser.open((folder / "index.html").as_uri(), 1100, "light")
    shown = "[...document.querySelectorAll('.cards li:not([hidden]) h2')].map(one => one.innerText)"
    everything = page.evaluate(shown)
    assert everything == ["datasets/pets", "datasets/pets1", "datasets/unreleased", "models/pets", "models/pets1"]
    for key in ("/", "P", "e", "t", "s", "1"):
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=key)
    assert page.evaluate("document.activeElement.id") == "search"
    assert page.evaluate(shown) == ["datasets/pets1", "models/pets1"]
    choose = "(facet => { facet.value = 'model'; facet.dispatchEvent(new Event('input', {bubbles: true})); })"
    page.evaluate(f"{choose}(document.querySelector('[data-facet=kind]'))")
    assert page.evaluate(shown) == ["models/pets1"]
    assert page.evaluate("document.querySelector('[data-found]').innerText") == "1 of 5"


def test_a_class_leads_to_its_dataset_and_the_models_on_it(browser: Browser, tmp_path: Path) -> None:
    for path, data in catalogs.rendered(many_classes()).items():
        repositories.write_bytes(tmp_path / path, data)
    page = browser.open((tmp_path / "index.html").as_uri(), 1100, "light")
    facet = "document.querySelector('[data-facet=class]')"
    names = page.evaluate(f"[...{facet}.options].map(one => one.text)")
    assert names[:3] == ["all", "cat", "dog"]  # of two datasets
    assert names[3:-1] == [f"bird {at:02}" for at in range(home.CLASSES - 2)]
    assert (names[-1], page.evaluate(f"{facet}.options[{len(names) - 1}].disabled")) == (
        "3 more classes: search for them", True
    )  # fmt: skip
    page.evaluate(f"{facet}.value = 'bird 01'; {facet}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    shown = "[...document.querySelectorAll('.cards li:not([hidden]) h2')].map(one => one.innerText)"
    assert page.evaluate(shown) == ["datasets/birds", "models/birds"]


def many_classes() -> Catalog:
    """Two datasets with cats and dogs, of which one has more classes than can be listed, and models on both."""
    registry = Registry()
    for name in ("birds", "pets"):
        memory_registries.put_dataset(registry, name)
        memory_registries.put_model(registry, name)
    birds = [f"bird {at:02}" for at in range(home.CLASSES + 1)]
    registry.edit("datasets/birds/dataset.yaml", classes=["cat", "dog", *birds])
    return Catalog("acme-data", overview.find(DictTree(registry.files), ()), catalogs.REPOSITORY)


def test_a_version_is_picked_and_the_lineage_leads_on(browser: Browser, folder: Path) -> None:
    page = browser.open((folder / "models/pets/index.html").as_uri(), 1100, "light")
    links = "[...document.querySelectorAll('.lineage a')].map(one => one.href.baseVal)"
    assert "../../datasets/pets/v1.2.0/index.html" in page.evaluate(links)
    options = "[...document.querySelectorAll('[data-go] option')].map(one => one.value)"
    assert page.evaluate(options) == ["", *(f"v1.{at}.0/index.html" for at in (2, 1, 0))]


def test_without_scripts_everything_is_there_but_the_search(folder: Path) -> None:
    home = (folder / "index.html").read_text()
    assert '<form class="search" role="search" hidden>' in home
    assert home.count("<li data-words=") == 5
