"""Every check is documented in three parts, and every name that the package prints is documented."""

import ast
from pathlib import Path

import pytest

import registry
from registry.checks import documentation
from registry.checks.documentation import CheckDocumentation
from registry.core.check_names import CheckName
from registry.errors import NotFound

PACKAGE = Path(registry.__path__[0])


@pytest.mark.parametrize("check", documentation.document_checks(), ids=lambda check: check.name)
def test_every_check_says_what_it_checks_why_and_how_to_fix(check: CheckDocumentation) -> None:
    for text in (check.what, check.why, check.how_to_fix):
        first, last = text[0], text[-1]
        assert first == first.upper()
        assert last == "."
        assert "\n" not in text.replace("\n\n", "")


def test_every_name_is_documented_once() -> None:
    assert sorted(check.name for check in documentation.document_checks()) == sorted(CheckName)


@pytest.mark.parametrize("name", CheckName)
def test_every_name_can_be_explained(name: str) -> None:
    text = documentation.explain(name)
    title, *rest = text.split("\n\n")
    assert title == name
    assert [part.partition("\n")[0] for part in rest if not part.startswith(" ")] == [
        "What it checks", "Why", "How to fix",
    ]  # fmt: skip


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(NotFound) as caught:
        documentation.explain("nope")
    assert "settings, secrets" in caught.value.fix


def test_the_package_spells_no_name_of_a_check_by_hand() -> None:
    """Findings and outcomes take their name from CheckName, so that each can be explained."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Finding", "Outcome"} and node.args:
                assert not isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
