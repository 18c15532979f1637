"""report.html in a real browser: in light and dark, on a screen and on a phone."""

from pathlib import Path

import pytest

from registry.report import html
from registry.report.blocks import Code, Para, Section, Table
from registry.report.values import Report
from support import report_situations
from support.accessibility import ACCESSIBLE, CONTRAST
from support.browser import Browser, Page

SIZES = {"screen": 1100, "phone": 375}


def shown(browser: Browser, report: Report, folder: Path, width: int, theme: str) -> Page:
    """The report, with everything in it unfolded and every picture decoded."""
    (folder / "report.html").write_text(html.render(report))
    page = browser.open((folder / "report.html").as_uri(), width, theme)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate("Promise.all([...document.images].map(one => one.decode().catch(() => {}))).then(() => 0)")
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["relabelled", "trained", "blocked"])
def test_a_report_fits_its_pictures_show_and_nothing_is_logged(
    browser: Browser, axe: str, tmp_path: Path, name: str, size: str, theme: str
) -> None:
    page = shown(browser, report_situations.SITUATIONS[name](), tmp_path, SIZES[size], theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]
    broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.alt)"
    assert page.evaluate(broken) == []
    assert page.evaluate("document.images.length") == {"relabelled": 27, "trained": 19, "blocked": 0}[name]
    small = "[...document.querySelectorAll('figure img')].filter(one => Math.max(one.width, one.height) < 96)"
    assert page.evaluate(f"{small}.length") == 0
    assert page.evaluate(CONTRAST) >= 4.5
    assert page.evaluate(f"{axe}\n{ACCESSIBLE}") == []
    assert page.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_are_those_of_the_theme(browser: Browser, tmp_path: Path, theme: str) -> None:
    page = shown(browser, report_situations.trained(), tmp_path, 1100, theme)
    source = "atob(document.querySelector('picture img').currentSrc.split(',')[1])"
    assert page.evaluate(f"{source}.includes('{'#0d1117' if theme == 'dark' else '#ffffff'}')")


@pytest.mark.parametrize("text", ["x" * 500, "<img src=https://evil.example/x onerror=alert(1)>", "لون القطة " * 20])
def test_hostile_texts_neither_run_nor_widen_the_page(browser: Browser, tmp_path: Path, text: str) -> None:
    line = (text, " ", Code(text))
    blocks = (Para(line), Table((text, "n"), "lr", ((line, ("1",)),)))
    report = report_situations.replace(
        report_situations.blocked(), headline=text, sections=(Section(text, line, blocks),)
    )
    page = shown(browser, report, tmp_path, 375, "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("document.images.length") == 0
    assert page.errors == []


def test_a_sentence_keeps_its_order_around_words_from_right_to_left(browser: Browser, tmp_path: Path) -> None:
    caption = "label قطة; predicted قطة سوداء 0.81 → كلب 0.62"
    report = report_situations.replace(
        report_situations.blocked(), sections=(Section("models/pets", ("",), (Para((caption,)),)),)
    )
    page = shown(browser, report, tmp_path, 1100, "light")
    place = """(word => {
      const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (words.nextNode()) {
        const start = words.currentNode.data.indexOf(word), range = document.createRange();
        if (start < 0) continue;
        range.setStart(words.currentNode, start); range.setEnd(words.currentNode, start + word.length);
        return range.getBoundingClientRect().left;
      }
    })"""
    assert "u200e" not in page.evaluate("document.body.innerText")
    words = ("label", "قطة;", "predicted", "سوداء", "0.81", "→", "كلب", "0.62")
    places = [page.evaluate(f"{place}({word.rstrip(';')!r})") for word in words]
    assert places == sorted(places)


def test_paper_shows_what_is_folded(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(html.render(report_situations.relabelled()))
    page = browser.open((tmp_path / "report.html").as_uri(), 1100, "light")
    folded = "[...document.querySelectorAll('details:not([open]) table')].map(one => one.checkVisibility())"
    assert set(page.evaluate(folded)) == {False}
    page.call("Emulation.setEmulatedMedia", media="print")
    assert set(page.evaluate(folded)) == {True}


def test_a_broken_page_would_be_detected(browser: Browser, axe: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(
        '<body><div style="width:2000px">x</div><img src="none.png"><script>nope()</script>'
    )
    page = browser.open((tmp_path / "report.html").as_uri(), 375, "light")
    assert page.evaluate("document.documentElement.scrollWidth") > 375
    assert page.evaluate("document.images[0].naturalWidth") == 0
    found = page.evaluate(f"{axe}\n{ACCESSIBLE}")
    assert {"image-alt", "html-has-lang", "document-title"} <= {one.partition(":")[0] for one in found}
    assert any("Uncaught" in error for error in page.errors)
