"""What each check is documented as, read from the docstring of its rule: what it checks, why, and how to fix."""

import re
from dataclasses import dataclass
from inspect import getdoc
from textwrap import fill

from registry.checks.table import CHECKS, Check
from registry.core.check_names import CheckName
from registry.errors import NotFound

_WHY, _HOW_TO_FIX = "Why:", "How to fix:"
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class CheckDocumentation:
    """A check in three texts; each is one or more paragraphs without line breaks, an empty line between two."""

    name: CheckName
    what: str
    why: str
    how_to_fix: str


def document_checks() -> tuple[CheckDocumentation, ...]:
    """The documentation of every check, in the table's order."""
    return tuple(_document(check) for check in CHECKS)


def _document(check: Check) -> CheckDocumentation:
    paragraphs = re.split(r"\n\s*\n", getdoc(check.rule) or "")
    parts: dict[str, list[str]] = {"": [], _WHY: [], _HOW_TO_FIX: []}
    part = ""
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        part = next((label for label in (_WHY, _HOW_TO_FIX) if text.startswith(label)), part)
        parts[part].append(text.removeprefix(part).lstrip())
    what, why, how_to_fix = ("\n\n".join(texts) for texts in parts.values())
    return CheckDocumentation(check.name, what, _capitalized(why), _capitalized(how_to_fix))


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def explain(name: str) -> str:
    """A check's documentation as text for a terminal. Raises NotFound."""
    for check in document_checks():
        if check.name == name:
            parts = (("What it checks", check.what), ("Why", check.why), ("How to fix", check.how_to_fix))
            return "\n\n".join([check.name, *(f"{title}\n{_indented(text)}" for title, text in parts)])
    names = ", ".join(check.name for check in CHECKS)
    raise NotFound(f"there is no check {name!r}", fix=f"name one of {names}")


def _indented(text: str) -> str:
    paragraphs = (fill(part, _WIDTH, initial_indent="  ", subsequent_indent="  ") for part in text.split("\n\n"))
    return "\n\n".join(paragraphs)
