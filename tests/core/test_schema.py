"""Every file in tests/examples: valid ones pass, invalid ones have the fault that their first line names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        document = documents.read_yaml(path.read_bytes(), f"{form}.yaml")
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


# --- descriptions, which editors show and the reference is made of ----------------------------------------------------


def resolve(node: dict[str, Any], document: str) -> dict[str, Any]:
    """The definition that a `$ref` names."""
    file, _, pointer = node["$ref"].partition("#")
    found = json.loads((schema.folder() / (file or document)).read_bytes())
    for part in pointer.strip("/").split("/") if pointer else ():
        found = found[part]
    return found


def undescribed_keys(node: object, document: str, where: str = "") -> Iterator[str]:
    if isinstance(node, list):
        for place, item in enumerate(node):
            yield from undescribed_keys(item, document, f"{where}/{place}")
    if not isinstance(node, dict):
        return
    for name, key in node.get("properties", {}).items() if "dependentSchemas" not in where else ():
        described = key if "description" in key or "$ref" not in key else resolve(key, document)
        if not {"description", "title"} & described.keys():
            yield f"{where}/{name}"
    for name, value in node.items():
        yield from undescribed_keys(value, document, f"{where}/{name}")


@pytest.mark.parametrize("file", sorted(path.name for path in schema.folder().glob("*.schema.json")))
def test_every_key_has_a_description(file: str) -> None:
    assert list(undescribed_keys(json.loads((schema.folder() / file).read_bytes()), file)) == []
