"""Numbers in a pull request's files that no code can hold, or that are none: told with their line, never a bug."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.core import bounds, documents, schema
from registry.errors import InvalidDocument
from support import repositories
from support.repositories import Run

pytestmark = pytest.mark.slow

PLACES = (  # file, what stands before the number
    ("datasets/pets/raw.dvc", "  size: "),
    ("datasets/pets/raw.dvc", "  nfiles: "),
    ("datasets/pets/prepared.dvc", "  size: "),
    ("datasets/pets/prepared.dvc", "  nfiles: "),
    ("datasets/pets/prepared.dvc", "    images: "),
    ("datasets/pets/prepared.dvc", "        cat: "),
    ("models/pets/dvc.lock", "      size: "),
)
VALUES = ("1e3", "1.0", "-1", "true", "9" * 30, "9" * 5000, ".nan", ".inf", "1e999", "'5'", "null", "[1]", "1_000")
COMMANDS = (
    ("check", "--all"),
    ("check", "--all", "--remote"),
    ("checkout",),
    ("pull",),
    ("push",),
    ("list",),
    ("diff", "HEAD"),
    ("publish", "--dry-run"),
    ("gc", "--dry-run"),
    ("report", "--base", "HEAD~1"),
    ("build", "datasets/pets"),
    ("train", "--dry-run"),
)


def set_number(root: Path, file: str, before: str, value: str) -> int:
    """Write a value in the place of the first number after `before`; the line of that place."""
    path = root / file
    text = path.read_text()
    assert before in text, text
    place = text.index(before)
    path.write_text(text[:place] + re.sub(r".*", lambda _: f"{before}{value}", text[place:], count=1))
    return _line(text, before)


def _line(text: str, part: str) -> int:
    return text[: max(text.find(part), 0)].count("\n") + 1


@pytest.mark.parametrize(("number", "file", "before"), [(number, *place) for number, place in enumerate(PLACES)])
def test_a_number_that_is_none_is_told_with_its_line(
    built_model: Path, run_registry: Run, number: int, file: str, before: str
) -> None:
    original = (built_model / file).read_text()
    for value in VALUES[number % 3 :: 3]:  # every value in one place of each three, which one grammar reads
        line = set_number(built_model, file, before, value)
        done = run_registry(built_model, "check", "--all")
        assert done.code == 1, (value, done.out, done.err)
        told = set(re.findall(rf"{re.escape(file)}:(\d+)", done.out + done.err))
        assert told & {str(line), str(_line(original, "  build:"))}, (value, done.out)
        (built_model / file).write_text(original)


@pytest.mark.parametrize(
    ("file", "before", "value"), [(*place, ("9" * 30, "1e3")[number % 2]) for number, place in enumerate(PLACES)]
)
def test_no_command_calls_such_a_number_a_bug(
    built_model: Path, run_registry: Run, file: str, before: str, value: str
) -> None:
    set_number(built_model, file, before, value)
    repositories.commit(built_model, "a number")
    for command in COMMANDS:
        done = run_registry(built_model, *command)
        assert done.code in {0, 1, 2}, (command, done.out, done.err)
        assert "bug in registry" not in done.err, (command, done.err)


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ('{\n "a": NaN}', 2, "NaN is not a JSON number"),
        ('{\n "a": -Infinity}', 2, "-Infinity is not a JSON number"),
        ('{"b": 1,\n\n "a": 1e999}', 3, "the number 1e999 is too large"),
        (f'{{"a":\n{"9" * 5000}}}', 2, "is too long"),
        ('{"a": 1,\n "b": 2,\n "a": 3}', 3, "duplicate key 'a'"),
        ('{"a": \n"caf\udce9"}', 2, "not UTF-8"),
        ("[" * 100_000, None, "nested deeper than 32 levels"),
        ('{"a":' * 100_000, None, "nested deeper than 32 levels"),
        ("[" * 40 + "]" * 40, None, "nested deeper than 32 levels"),
        ('{"a":' * 40 + "1" + "}" * 40, None, "nested deeper than 32 levels"),
    ],
)  # fmt: skip
def test_json_that_no_code_can_hold_is_told_with_its_line(text: str, line: int | None, fault: str) -> None:
    with pytest.raises(InvalidDocument, match=re.escape(fault)) as error:
        documents.read_json(text.encode("utf-8", "surrogateescape"), "metrics.json")
    assert error.value.line == line


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "[" * 500_000, "{a: " * 10_000, "- " * 10_000, "? " * 10_000])
def test_yaml_that_is_nested_deeply_is_told(text: str) -> None:
    with pytest.raises(InvalidDocument, match=r"nested deeper than 32 levels|maximum nesting depth"):
        documents.read_yaml(text.encode(), "dataset.yaml")


@pytest.mark.parametrize("number", ["1e999", "-1e999", ".inf", "-.INF", ".nan"])
def test_a_number_of_yaml_that_is_not_finite_is_told(number: str) -> None:
    with pytest.raises(InvalidDocument, match=r"dataset\.yaml:2: not valid YAML: .*not allowed as a number"):
        documents.read_yaml(f"a: 1\nb: {number}\n".encode(), "dataset.yaml")


def test_every_integer_of_a_schema_has_a_maximum() -> None:
    def integers(node: Any, place: str) -> Iterator[tuple[str, Any]]:
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        if isinstance(node, dict) and "integer" in (node.get("type") or ()):
            yield place, node
        for key, child in children:
            yield from integers(child, f"{place}/{key}")

    found = [
        (place, node)
        for file in sorted(schema.folder().glob("*.json"))
        for place, node in integers(json.loads(file.read_bytes()), file.name)
    ]
    assert found
    assert [place for place, node in found if "maximum" not in node] == []
    sizes = {node["maximum"] for place, node in found if place.endswith("/size")}
    assert sizes == {bounds.MAX_SIZE}
    assert {node["maximum"] for place, node in found if place.endswith("/nfiles")} == {bounds.MAX_COUNT}
