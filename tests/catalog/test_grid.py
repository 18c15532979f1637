"""The grid of images in a browser, from a folder: filters, far rows, one image, the keyboard."""

from pathlib import Path

import pytest

from registry.core.erasures import Erased, digest_of_item
from registry.core.settings import CatalogImages
from support import pictured_catalogs
from support.accessibility import ACCESSIBLE, CONTRAST
from support.browser import Browser, Page
from support.memory_registries import uuid

pytestmark = pytest.mark.browser
PAGE = "datasets/pets/v1.0.0/index.html"
# A promise that is kept when an expression is true: after each change of the page, and at once where it is already.
UNTIL = """
new Promise(done => {
  const look = () => { if (%s) { watching.disconnect(); done(true); return true; } };
  const watching = new MutationObserver(look);
  if (!look()) watching.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
})
"""
PAINTED = "document.querySelector('.cell') && !document.querySelector('.cell:not([data-painted])')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    erased = Erased(frozenset({digest_of_item(uuid(0))}))
    pictured_catalogs.made(600, 1).write(out, CatalogImages.ALL, erased)
    return out


@pytest.fixture
def page(browser: Browser, folder: Path) -> Page:
    opened = browser.open((folder / PAGE).as_uri(), 1100, "light")
    assert opened.evaluate(UNTIL % PAINTED)
    return opened


def choose(page: Page, name: str, value: str) -> None:
    find = f"[...document.querySelectorAll('.grid label')].find(one => one.firstChild.data.trim() === {name!r})"
    page.evaluate(
        f"(one => {{ one.value = [...one.options].find(option => option.text === {value!r}).value;"
        f" one.dispatchEvent(new Event('input', {{bubbles: true}})); }})({find}.querySelector('select'))"
    )


def found(page: Page, text: str) -> bool:
    wanted = f"document.querySelector('.grid [data-found]').textContent === {text!r}"
    return bool(page.evaluate(UNTIL % wanted))


def names(page: Page) -> list[str]:
    page.evaluate(UNTIL % PAINTED)
    script = (
        "[...document.querySelectorAll('.cell')].map(one => [Number(one.dataset.at), one.getAttribute('aria-label')])"
    )
    return [name for _, name in sorted(page.evaluate(script))]


def press(page: Page, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 375])
def test_it_fits_can_be_read_and_logs_nothing(browser: Browser, axe: str, folder: Path, width: int, theme: str) -> None:
    page = browser.open((folder / PAGE).as_uri(), width, theme)
    assert page.evaluate(UNTIL % PAINTED)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelector('.cell').click()")
    assert page.evaluate(UNTIL % "document.querySelector('dialog').open")
    assert page.evaluate(CONTRAST) >= 4.5
    assert page.errors == []
    assert page.evaluate(f"{axe}\n{ACCESSIBLE}") == []
    page.evaluate("document.querySelector('dialog').close()")
    assert page.evaluate(f"{axe}\n{ACCESSIBLE}") == []


def test_only_what_is_scrolled_to_is_loaded(page: Page) -> None:
    few = "document.querySelectorAll('.cell').length < 200"
    assert page.evaluate(few)
    page.evaluate("{ const known = registryCatalog; window.seen = [];"
                  " registryCatalog = data => { seen.push(data.at); known(data); }; }")  # fmt: skip
    page.evaluate("document.querySelector('.cells').scrollTop = 1e9")
    assert page.evaluate(UNTIL % f"({PAINTED}) && document.querySelector('[aria-label^=\"test dog\"]')")
    assert page.evaluate("seen") == ["rows-2"]
    assert page.evaluate(few)


def test_it_is_filtered_by_split_class_and_columns(page: Page) -> None:
    assert found(page, "1,200 of 1,200 images")
    choose(page, "split", "val")
    assert found(page, "120 of 1,200 images")
    choose(page, "class", "dog")
    assert found(page, "60 of 1,200 images")
    assert {name.rpartition(" ")[0] for name in names(page)} == {"val dog"}
    choose(page, "camera", "D850")
    assert page.evaluate(UNTIL % "/^[0-9] of/.test(document.querySelector('.grid [data-found]').textContent)")
    few = names(page)
    choose(page, "split", "all")
    choose(page, "class", "all")
    assert page.evaluate(UNTIL % "/^[0-9]{2,} of/.test(document.querySelector('.grid [data-found]').textContent)")
    page.evaluate("document.querySelector('.cells').scrollTop = 1e9")
    assert set(few) <= {*names(page), *few}
    page.evaluate("document.querySelector('.cell').click()")
    assert page.evaluate(UNTIL % "document.querySelector('dialog').open")
    assert page.evaluate("document.querySelector('dialog dl').innerText").count("D850") == 1


def test_one_image_is_opened_by_keyboard_and_what_is_erased_says_so(page: Page) -> None:
    page.evaluate("document.querySelector('.cell[tabindex=\"0\"]').focus()")
    at = "Number(document.activeElement.dataset.at)"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "train cat erased"
    assert page.evaluate("document.activeElement.style.backgroundImage") == ""
    press(page, "ArrowRight", 39)
    assert page.evaluate(at) == 1
    press(page, "ArrowDown", 40)
    down = page.evaluate(at)
    assert down > 5
    press(page, "ArrowUp", 38)
    assert page.evaluate(at) == 1
    press(page, "End", 35)
    assert page.evaluate(at) == 1199
    assert page.evaluate(UNTIL % "document.activeElement.dataset.painted === ''")
    press(page, "Enter", 13)
    page.evaluate("document.activeElement.click()")
    assert page.evaluate(UNTIL % "document.querySelector('dialog').open")
    shown = page.evaluate("document.querySelector('dialog dl').innerText")
    assert "dog" in shown
    assert "seen by" in shown
    assert "webp" in page.evaluate("document.querySelector('.large').style.backgroundImage")
    assert page.errors == []


def test_what_cannot_be_loaded_is_told(browser: Browser, tmp_path: Path) -> None:
    pictured_catalogs.made(20, 1).write(tmp_path, CatalogImages.ALL)
    for rows in tmp_path.rglob("rows-0.js"):
        rows.unlink()
    page = browser.open((tmp_path / PAGE).as_uri(), 1100, "light")
    assert found(page, "Could not be loaded: rows-0. Reload the page to try again.")
