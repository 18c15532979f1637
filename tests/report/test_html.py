"""The HTML page: every text is escaped, whatever a template does."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import registry.report
from registry.report import html
from registry.report.blocks import Code, Detail, Line, Lines, Mark, Para, Section, Strong, Table, Tone
from support import report_situations

PACKAGE = Path(registry.report.__file__).parent
HOSTILE = "<script>alert(1)</script>\"'&{{ 1 + 1 }}"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;{{ 1 + 1 }}"


def test_no_template_can_forget_to_escape() -> None:
    environment = html.environment("registry.report")
    assert environment.autoescape is True
    assert environment.from_string("{{ text }}").render(text=HOSTILE) == ESCAPED
    assert environment.from_string('<a title="{{ text }}">').render(text=HOSTILE) == f'<a title="{ESCAPED}">'


def test_a_text_is_one_line_of_visible_characters() -> None:
    template = html.environment("registry.report").from_string("{{ text }}")
    assert template.render(text="cat\n\u202edog\x00") == "cat \\u202edog\\x00"


def test_a_misspelled_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        html.environment("registry.report").from_string("{{ report.headlin }}").render(report=report_situations.grown())


@pytest.mark.parametrize("file", [*PACKAGE.glob("*.py"), *PACKAGE.glob("templates/*")], ids=lambda file: file.name)
def test_nothing_is_marked_as_safe(file: Path) -> None:
    assert not re.search(r"\bMarkup\b|\|\s*safe\b|autoescape (false|off)|autoescape=False", file.read_text())


def test_every_kind_of_block_is_escaped() -> None:
    pieces: Line = (HOSTILE, Code(HOSTILE), Strong(HOSTILE), Mark(Tone.BAD, HOSTILE))
    blocks = (Para(pieces), Lines("sh", (HOSTILE,)), Table((HOSTILE,), "l", ((pieces,),)))
    section = Section(HOSTILE, pieces, (*blocks, Detail("counts", HOSTILE, blocks)))
    report = replace(report_situations.blocked(), headline=HOSTILE, sections=(section, section))
    page = html.render(report)
    assert "<script" not in page
    # Once in the header; each section: its title twice, the headline, and the blocks and the detail twice.
    assert page.count(ESCAPED) == 1 + 2 * (2 + 4 + 1 + 2 * (4 + 1 + 5))
