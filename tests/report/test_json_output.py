"""report.json: its closed schema, and what is shown of a report from it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from registry.core import documents, schema
from registry.core.check_names import CheckName
from registry.core.values import Finding, Verdict
from registry.errors import InvalidDocument
from registry.report import json_blocks, json_input, json_output, markdown
from registry.report.blocks import Code, Detail, Para, Section
from registry.report.json_blocks import KINDS
from registry.report.pictures import PictureFiles
from registry.report.values import Page, Report, State
from support import report_situations

SCHEMA = json.loads((schema.folder() / "report.schema.json").read_text())
each_situation = pytest.mark.parametrize(
    "make", report_situations.SITUATIONS.values(), ids=report_situations.SITUATIONS
)


def faults(report: object) -> list[str]:
    return [fault.message for fault in schema.find_faults(documents.Document("report.json", report, {}), "report")]


def shown(report: Report) -> Page:
    """What is left of a report in the job that posts it."""
    values = {field.name: getattr(report, field.name) for field in fields(Page)}
    return Page(**{**values, "sections": json_blocks.without_sources(report.sections)})


@each_situation
def test_every_report_keeps_its_closed_schema_and_is_shown_from_it_as_it_is(make: Callable[[], Report]) -> None:
    report = make()
    files = [PictureFiles("models-pets-curves", "a-light.png", "a-dark.png", 400)]
    text = json_output.render(report, files)
    assert faults(json.loads(text)) == []
    assert b"NaN" not in text
    assert b"Infinity" not in text
    read = json_input.parse(text)
    assert read == json_input.ReadReport(shown(report), tuple(files))
    links = markdown.links(files, "https://github.com/acme/data/raw/1")
    assert markdown.render(read.page, links) == markdown.render(report, links)


def test_a_number_that_is_not_finite_is_null() -> None:
    report = json.loads(json_output.render(report_situations.blocked()))
    assert [one["new"] for one in report["models"][0]["metrics"]] == [0.8276, None]


def test_the_schema_is_closed() -> None:
    report = json.loads(json_output.render(report_situations.trained()))
    report["models"][0]["surprise"] = 1
    assert faults(report) == ["models.0: unknown key 'surprise'"]


def parts(part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part of a schema that has a type, with the place where it stands."""
    if isinstance(part, dict):
        if "type" in part:
            yield place, part
        for key, value in part.items():
            yield from parts(value, f"{place}/{key}")
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from parts(value, f"{place}/{number}")


def test_every_text_list_and_mapping_has_a_maximum() -> None:
    endless = []
    for place, part in parts(SCHEMA):
        types = {part["type"]} if isinstance(part["type"], str) else set(part["type"])
        if "string" in types and not part.keys() & {"maxLength", "pattern", "enum", "const"}:
            endless.append(place)
        if "array" in types and "maxItems" not in part:
            endless.append(place)
        if "object" in types and part.get("additionalProperties", True) is not False and "maxProperties" not in part:
            endless.append(place)
    assert endless == []


def test_the_schema_knows_each_kind_of_block_with_its_parts() -> None:
    for name, kind in KINDS.items():
        own = {field.name for field in fields(kind)} - {"source"}
        assert SCHEMA["$defs"][name]["properties"].keys() == {"is", *own}


# --- whatever a change holds ------------------------------------------------------------------------------------------

NASTY = "<!-- registry report --> @acme/everyone \u202e\ud800\x1b[31m::add-mask::x\n![x](https://e.example/p.png)\u2028"


def nasty(text: str = NASTY) -> Report:
    report = report_situations.trained()
    finding = Finding(CheckName.VERSION, None, Verdict.WRONG, text, text, 3, text)
    return replace(
        report,
        state=State.BLOCKED,
        headline=text,
        findings=(finding,),
        sections=(Section(text, (text, Code(text))),),
    )


def test_texts_are_data_and_no_character_hides_in_the_file() -> None:
    text = json_output.render(nasty())
    assert [one for one in text.decode() if not one.isprintable() and one != "\n"] == []
    page = json_input.parse(text).page
    written = NASTY.replace("\ud800", r"\ud800")  # JSON has no half of a surrogate pair
    assert page == shown(nasty(written))
    rendered = re.sub(r"`[^`]*`", "", markdown.render(page, {}))  # code is shown as it is
    assert "@acme" not in rendered
    assert "![x]" not in rendered
    assert rendered.count("<!-- registry report -->") == 1


def test_what_is_too_long_is_cut_so_that_the_report_is_valid() -> None:
    report = nasty()
    long = Section("t" * 999, ("x" * 9999, *["y"] * 999), (Detail("metadata", "z", (Para(("w" * 5000,)),)),) * 999)
    many = replace(report, headline="h" * 9999, findings=report.findings * 5000, sections=(long,))
    read = json_input.parse(json_output.render(many))
    assert read.page.headline == "h" * 1999 + "…"
    assert len(read.page.findings) == 1000
    assert len(markdown.render(read.page, {})) <= markdown.LIMIT


TRAINED = json.loads(json_output.render(report_situations.trained()))


def forged(**changes: object) -> bytes:
    return json.dumps({**TRAINED, **changes}).encode()


def nested(levels: int) -> Any:
    block: Any = {"is": "para", "line": ["x"]}
    for _ in range(levels):
        block = {"is": "detail", "kind": "flips", "title": "t", "blocks": [block], "is_open": False}
    return [{"is": "section", "title": "t", "headline": [], "blocks": [block]}]


PASSED = re.search(rb'"passed": \d+,', forged())[0]
FORGED = {
    "nothing": b"",
    "no JSON": b"<script>",
    "a list": b"[]",
    "too large": b" " * (json_input.MAX_BYTES + 1),
    "a key twice": b'{"verdict": "ready", "verdict": "blocked"}',
    "NaN": forged().replace(PASSED, b'"passed": NaN,'),
    "another verdict": forged(verdict="approved"),
    "a verdict that its findings do not make": forged(verdict="blocked"),
    "an unknown check": forged(not_run=[{"check": "mine", "artifact": None, "because": "x"}]),
    "an unknown artifact": forged(not_run=[{"check": "version", "artifact": "../x", "because": "x"}]),
    "a raw block": forged(sections=[{"is": "html", "text": "<script>"}]),
    "a section of another shape": forged(sections=[{"is": "section", "title": 3, "headline": [], "blocks": []}]),
    "a block with markup of its own": forged(
        sections=[{"is": "section", "title": "t", "headline": [{"is": "code", "text": "x", "html": "y"}], "blocks": []}]
    ),
    "a headline that never ends": forged(headline="x" * 2001),
    "too deep": forged(sections=nested(40)),
    "a picture elsewhere": forged(pictures=[{"name": "a", "light": "../a.png", "dark": "a.png", "width": 1}]),
    "a picture with markup": forged(pictures=[{"name": 'a" onload="x', "light": "a.png", "dark": "a.png", "width": 1}]),
    "a huge picture": forged(pictures=[{"name": "a", "light": "a.png", "dark": "a.png", "width": 10**12}]),
    "a number of a hundred digits": forged().replace(PASSED, b'"passed": 1' + b"0" * 100 + b","),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_report_is_refused(what: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        json_input.parse(FORGED[what])
    assert caught.value.path == "report.json"
    assert caught.value.fix


# --- the job that posts -----------------------------------------------------------------------------------------------

DECODERS = {"polars", "pyarrow", "PIL", "altair", "vl_convert", "onnx", "onnxruntime", "simplejpeg", "numpy", "dvc"}


def test_the_commands_that_write_to_github_load_nothing_that_decodes_data() -> None:
    program = "import sys, registry.cli.commands.ci; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert DECODERS & {name.partition(".")[0] for name in done.stdout.split()} == set()
