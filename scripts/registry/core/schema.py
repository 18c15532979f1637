"""Judging documents against the closed JSON Schemas in `schemas/`, in words that say what to write instead.

A schema's own `x-fix` is the next step for what fails at it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from registry.core.documents import Document, Location
from registry.errors import InvalidDocument

FORMS = ("dataset", "model", "pointer", "pipeline", "lock", "registry")


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a document breaks its schema."""

    message: str
    line: int
    fix: str


def folder() -> Path:
    """Where the schemas are: at the top of a checkout, inside the package when it was installed elsewhere."""
    inside = Path(__file__).parents[1] / "schemas"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "schemas"


def judge(document: Document, form: str) -> Iterator[Fault]:
    """Every fault of a document of one of the FORMS, in the order of its lines."""
    faults = {_fault(error, document) for error in _validator(form).iter_errors(document.data)}
    yield from sorted(faults, key=lambda fault: (fault.line, fault.message))


def require(document: Document, form: str) -> None:
    """Raise InvalidDocument for the first fault."""
    for fault in judge(document, form):
        raise InvalidDocument(document.path, fault.message, line=fault.line, fix=fault.fix)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """`$` in Python also matches before a newline at the end; in JSON Schema it does not."""
    if isinstance(instance, str) and not re.search(
        pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, instance
    ):
        yield ValidationError(f"{instance!r} is not allowed here")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})


@cache
def _registry() -> Registry:
    # Without `$schema`, or jsonschema goes back to its own `pattern` at every $ref into another file.
    files = ((file.name, json.loads(file.read_bytes())) for file in folder().glob("*.schema.json"))
    return Registry().with_resources(
        (name, Resource.from_contents({key: part for key, part in contents.items() if key != "$schema"}, DRAFT202012))
        for name, contents in files
    )


@cache
def _validator(form: str) -> Draft202012Validator:
    return _Validator({"$ref": f"{form}.schema.json"}, registry=_registry())


def _fault(error: ValidationError, document: Document) -> Fault:
    fix = _fix(error)
    while error.validator in ("anyOf", "propertyNames") and error.context:
        error = best_match(error.context) or error
    location: Location = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        location = (*location, _unknown(error)[0])
    where = ".".join(map(str, error.absolute_path))
    next_step = _fix(error) or fix or _nearest(error)
    return Fault(f"{where}: {_words(error)}" if where else _words(error), document.line(location), next_step)


def _words(error: ValidationError) -> str:
    match error.validator:
        case "additionalProperties":
            return f"unknown key {', '.join(map(repr, _unknown(error)))}"
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        case "type":
            return f"{_short(error.instance)} is not {_article(error.validator_value)}"
        case "enum" | "const" | "pattern" | "not":
            return f"{_short(error.instance)} is not allowed here"
        case "minItems" | "minProperties" | "minLength":
            return "is empty" if not error.instance else "too little is said"
        case "maxItems" | "maxProperties":
            return f"more than {error.validator_value:,} {'is' if error.validator_value == 1 else 'are'} given"
        case "maxLength":
            return f"is longer than {error.validator_value:,} characters"
        case "uniqueItems":
            return "says the same twice"
        case "exclusiveMinimum" | "exclusiveMaximum":
            return (
                f"{error.instance} must be {'above' if 'Min' in error.validator else 'below'} {error.validator_value}"
            )
    return error.message if len(error.message) < 300 else f"{error.message[:300]}…"


def _unknown(error: ValidationError) -> list[str]:
    known = error.schema.get("properties", {})
    return [key for key in error.instance if key not in known]


def _nearest(error: ValidationError) -> str:
    if error.validator != "additionalProperties":
        return ""
    from difflib import get_close_matches

    known = list(error.schema.get("properties", {}))
    near = get_close_matches(_unknown(error)[0], known, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)  # in ASCII, so that a letter that only looks right is seen
    return text if len(text) < 80 else f"{text[:80]}…"


def _article(types: str | list[str]) -> str:
    names = {
        "object": "a mapping",
        "array": "a list",
        "string": "a text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
    }
    return " or ".join(names.get(name, name) for name in ([types] if isinstance(types, str) else types))


def _fix(error: ValidationError) -> str:
    while error is not None:
        if isinstance(error.schema, dict) and "x-fix" in error.schema:
            return error.schema["x-fix"]
        error = error.parent
    return ""
