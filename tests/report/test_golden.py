"""Whole reports for typical situations; `pytest --update-goldens tests/report` updates them."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from registry.report import files, html, json_output, markdown
from registry.report.blocks import Detail
from registry.report.values import Report
from support import report_situations

Golden = Callable[[str, str], None]
ADDRESS = "https://github.com/acme/data/raw/0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def crowd() -> Report:
    """Forty artifacts of thirty classes."""
    return report_situations.many(datasets=37, models=3, classes=30)


@pytest.fixture(params=report_situations.SITUATIONS, scope="module")
def situation(request: pytest.FixtureRequest) -> tuple[str, Report]:
    return request.param, report_situations.SITUATIONS[request.param]()


def linked(report: Report) -> dict[str, markdown.Link]:
    """Links as `pictures` makes them, without drawing anything."""
    found = files._pictures(block for section in report.sections for block in section.blocks)
    return {
        one.name: markdown.Link(f"{ADDRESS}/{one.name}-light.png", f"{ADDRESS}/{one.name}-dark.png", 400)
        for one in found
    }


def test_markdown(situation: tuple[str, Report], golden: Golden) -> None:
    name, report = situation
    golden(f"{name}.md", markdown.render(report, linked(report)))


def test_markdown_of_many_artifacts_in_few_characters(golden: Golden) -> None:
    report = report_situations.many()
    golden("many_in_4000.md", markdown.render(report, linked(report), 4_000))


def test_page(situation: tuple[str, Report], golden: Golden) -> None:
    name, report = situation
    golden(f"{name}.html", re.sub(r"base64,[A-Za-z0-9+/=]+", "base64,…", html.render(report)))


def test_json(situation: tuple[str, Report], golden: Golden) -> None:
    name, report = situation
    if name != "many":  # JSON is never shortened, so the other situations show all that it has
        golden(f"{name}.json", json_output.render(report).decode())


# --- what fits --------------------------------------------------------------------------------------------------------


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize("limit", [60_000, 30_000, 15_000, 8_000, 4_000, 2_000])
def test_a_comment_keeps_its_limit_and_no_table_is_cut(limit: int, crowd: Report) -> None:
    text = markdown.render(crowd, linked(crowd), limit)
    assert utf16(text) <= limit
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    assert text.count("<details") == text.count("</details>")
    assert "`report.html` is complete." in text


def test_details_are_omitted_in_the_documented_order() -> None:
    report = report_situations.trained()
    everything = markdown.render(report, {})
    fewer = markdown.render(report, {}, len(everything) - 1)
    shorter = markdown.render(report, {}, len(fewer) - 1)
    assert "Omitted" not in everything
    assert "and 8 more in `report.html`" in fewer
    assert "Omitted to fit GitHub's limit of 65,536 characters: pictures beyond 4 of a kind." in fewer
    assert "Changed parameters" in fewer
    assert (
        "Omitted to fit GitHub's limit of 65,536 characters: metadata, params, pictures beyond 4 of a kind." in shorter
    )
    assert "Changed parameters" not in shorter


def test_beyond_a_number_findings_are_folded_and_then_counted(crowd: Report) -> None:
    text = markdown.render(crowd, {}, 10**9)
    shown, _, folded = text.partition("<summary>More findings</summary>")
    assert shown.count("\n- ⚠️") == 20
    assert folded.count("\n- ⚠️") == 80
    assert "- and 640 more findings in `report.html`" in folded


def test_every_detail_has_its_place_in_that_order() -> None:
    kinds = {
        block.kind
        for make in report_situations.SITUATIONS.values()
        for section in make().sections
        for block in section.blocks
        if isinstance(block, Detail)
    }
    assert kinds <= set(markdown.OMITTED_FIRST)


def test_astral_characters_count_twice_as_github_may_count_them(crowd: Report) -> None:
    loud = replace(crowd, findings=tuple(replace(one, message="🦊" * 600) for one in crowd.findings))
    assert utf16(markdown.render(loud, {})) <= markdown.LIMIT


# --- one direction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render", [html.render, lambda report: markdown.render(report, {})])
def test_no_number_has_a_direction_where_the_headline_has_none(render: Callable[[Report], str]) -> None:
    assert "no significant difference" in render(report_situations.undecided())
    assert not re.search("better|worse|[▲▼]", render(report_situations.undecided()))
    assert "▲ better" in render(report_situations.trained())
