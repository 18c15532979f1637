"""Every file in tests/examples: valid ones pass, invalid ones have the fault that their first line names."""

import re
from pathlib import Path

import pytest

from registry.core import documents, manifests, schema
from registry.core.names import parse_id
from registry.errors import InvalidDocument

EXAMPLES = Path(__file__).parents[1] / "examples"
ARTIFACTS = {"dataset": parse_id("datasets/pets"), "model": parse_id("models/pets")}


def find_faults(path: Path) -> list[str]:
    """Every fault of an example, as `line: message`."""
    form = path.parent.name
    try:
        document = documents.read_yaml(path.read_bytes(), path.name)
        if faults := [f"{fault.line}: {fault.message}" for fault in schema.find_faults(document, form)]:
            return faults
        if artifact := ARTIFACTS.get(form):
            manifests.parse(
                document,
                parse_id(f"{artifact.kind.folder}/{document.data['name']}") if "valid" in path.parts else artifact,
            )
    except InvalidDocument as error:
        return [f"{error.line or 1}: {error.fault}"]
    return []


def examples(folder: str) -> list[object]:
    found = sorted((EXAMPLES / folder).rglob("*.yaml"))
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in found]


@pytest.mark.parametrize("path", examples("valid"))
def test_a_valid_example_has_no_fault(path: Path) -> None:
    assert find_faults(path) == []


@pytest.mark.parametrize("path", examples("invalid"))
def test_an_invalid_example_has_the_fault_that_its_first_line_names(path: Path) -> None:
    expected = re.fullmatch(r"# fault: (.+)", path.read_text().splitlines()[0])
    assert expected, "the first line must be `# fault: LINE: MESSAGE`"
    assert find_faults(path)[0] == expected[1]


def test_every_form_has_examples() -> None:
    assert {path.name for path in (EXAMPLES / "valid").iterdir()} == set(schema.SCHEMAS)
    assert {path.name for path in (EXAMPLES / "invalid").iterdir()} == set(schema.SCHEMAS)
