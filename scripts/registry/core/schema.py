"""Validating documents against the closed JSON Schemas in `schemas/`, with messages that say what to write instead.

A schema's own `x-fix` is the hint for what fails at it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from registry.core import wording
from registry.core.documents import Document, Location
from registry.errors import InvalidDocument

SCHEMAS = ("dataset", "model", "pointer", "pipeline", "lock", "registry", "denied", "erased")
MAX_CHOICES = 8  # values of an enumeration that a message lists
MAX_SHOWN = 80  # characters of a value that a message shows
MAX_MESSAGE = 300  # characters of a message that jsonschema wrote
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a document breaks its schema; `line` counts from 1."""

    message: str
    line: int
    fix: str


def folder() -> Path:
    """Where the schemas are: at the top of a checkout, inside the package when it was installed elsewhere."""
    inside = Path(__file__).parents[1] / "skeleton/schemas"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "schemas"


def find_faults(document: Document, schema: str) -> Iterator[Fault]:
    """Every fault of a document, by line; `schema` is the name of a file in `schemas/`, such as one of SCHEMAS."""
    faults = {_fault(error, document) for error in _validator(schema).iter_errors(document.data)}
    yield from sorted(faults, key=lambda fault: (fault.line, fault.message))


def require(document: Document, schema: str) -> None:
    """Raise InvalidDocument for the first fault."""
    for fault in find_faults(document, schema):
        raise InvalidDocument(document.path, fault.message, line=fault.line, fix=fault.fix)


def fit(value: Any, schema: str) -> Any:  # as `json.loads` gives it
    """A value whose texts and lists are cut to the maxima of a schema; the last character of a cut text is `…`."""
    return _fit(value, {"$ref": f"{schema}.schema.json"}, {})


def _fit(value: Any, part: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    part, whole = _resolve(part, whole)
    options = [_resolve(one, whole)[0] for one in (*part.get("anyOf", ()), *part.get("oneOf", ()))]
    part = next((option for option in options if _is_about(option, value)), part)
    if isinstance(value, str):
        longest = part.get("maxLength")
        return value if longest is None or len(value) <= longest else f"{value[: longest - 1]}…"
    if isinstance(value, list):
        rows = part.get("items", {})
        return [_fit(one, rows, whole) for one in value[: part.get("maxItems")]]
    if isinstance(value, Mapping):
        known, other = part.get("properties", {}), part.get("additionalProperties") or {}
        kept = list(value.items())[: part.get("maxProperties")]
        return {key: _fit(one, known.get(key, other), whole) for key, one in kept}
    return value


def _resolve(part: Mapping[str, Any], whole: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A part of a schema without `$ref`, and the schema that it belongs to."""
    while name := part.get("$ref"):
        if not name.startswith("#"):
            whole = json.loads((folder() / name).read_bytes())
        part = whole["$defs"][name.rpartition("/")[2]] if name.startswith("#") else whole
    return part, whole


def _is_about(option: Mapping[str, Any], value: Any) -> bool:
    """Whether an option of a schema is the one for a value: by its type, and by the constants of its keys."""
    types = option.get("type", ())
    if not any(_Validator.TYPE_CHECKER.is_type(value, name) for name in ([types] if isinstance(types, str) else types)):
        return False
    constants = {key: one["const"] for key, one in option.get("properties", {}).items() if "const" in one}
    return all(value.get(key) == expected for key, expected in constants.items())


def is_valid(value: object, definition: str) -> bool:
    """Whether a value is what a definition in `common.schema.json` says, such as `class` or `column_name`."""
    return _definition(definition).is_valid(value)


def _match_pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """JSON Schema's `pattern`: in Python, `$` also matches before a newline at the end; in JSON Schema it does not."""
    strict = pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern
    if isinstance(instance, str) and not re.search(strict, instance):
        yield ValidationError(f"{instance!r} does not match {pattern}")


# jsonschema does not annotate `extend`.
_Validator: type[Draft202012Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _match_pattern},
    # In JSON Schema 1.0 and 1e3 are integers; DVC and this code expect Python's.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)


# Keywords beside a `$ref` that decide nothing.
_ANNOTATIONS = {"$comment", "default", "deprecated", "description", "examples", "title"}


@cache
def _file(name: str) -> Mapping[str, Any]:
    """A schema with each `$ref` in it replaced by what it refers to: jsonschema resolves one again for every value.

    Without `$schema`, for which jsonschema would go back to its own `pattern`.
    """
    contents = json.loads((folder() / name).read_bytes())
    bundled: Mapping[str, Any] = _bundle({key: part for key, part in contents.items() if key != "$schema"}, contents)
    return bundled


def _bundle(part: Any, whole: Mapping[str, Any], inside: frozenset[str] = frozenset()) -> Any:
    """A part of a schema without `$ref`; one to a definition that it is `inside` of stays, or there would be no end."""
    if isinstance(part, list):
        return [_bundle(one, whole, inside) for one in part]
    if not isinstance(part, dict):
        return part
    rest = {key: _bundle(one, whole, inside) for key, one in part.items() if key != "$ref"}
    if "$ref" not in part:
        return rest
    name, _, definition = part["$ref"].partition("#/$defs/")
    if not name and definition in inside:
        return part
    target = _file(name) if name else whole
    target = target["$defs"][definition] if definition else target
    target = target if name else _bundle(target, whole, inside | {definition})
    return target if rest.keys() <= _ANNOTATIONS else {"allOf": [target], **rest}


@cache
def _validator(schema: str) -> Draft202012Validator:
    return _Validator(_file(f"{schema}.schema.json"))


@cache
def _definition(name: str) -> Draft202012Validator:
    return _Validator(_file("common.schema.json")["$defs"][name])


def _fault(error: ValidationError, document: Document) -> Fault:
    fix = _fix(error)
    while error.validator in ("anyOf", "propertyNames") and error.context:
        error = best_match(error.context) or error
    location: Location = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        location = (*location, _unknown_keys(error)[0])
    where = ".".join(map(str, error.absolute_path))
    message = _message(error)
    fix = _fix(error) or fix or _hint(error)
    return Fault(f"{where}: {message}" if where else message, document.line(location), fix)


def _message(error: ValidationError) -> str:
    limit: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "additionalProperties":
            return _keys("unknown", _unknown_keys(error))
        case "required":
            return _keys("missing required", [key for key in limit if key not in instance])
        case "type":
            return f"expected {_expected(limit)}, found {_shown(instance)}"
        case "const":
            return f"expected {_shown(limit)}, found {_shown(instance)}"
        case "enum" if len(limit) <= MAX_CHOICES:
            return f"expected {wording.join([_shown(choice) for choice in limit], 'or')}, found {_shown(instance)}"
        case "pattern":
            return f"{_shown(instance)} does not have the required format"
        case "enum" | "not":
            return f"{_shown(instance)} is not allowed"
    return _limit_message(error, limit, instance)


def _limit_message(error: ValidationError, limit: Any, instance: Any) -> str:
    match error.validator:
        case "minItems" | "minProperties" | "minLength" if not instance:
            return "is empty"
        case "minItems" | "maxItems":
            noun = "item"
        case "minProperties" | "maxProperties":
            noun = "key"
        case "minLength" | "maxLength":
            noun = "character"
        case "uniqueItems":
            return "contains duplicate items"
        case "minimum" | "maximum":
            bound = "least" if error.validator == "minimum" else "most"
            return f"expected at {bound} {limit:,}, found {_shown(instance)}"
        case "exclusiveMinimum" | "exclusiveMaximum":
            bound = "greater" if error.validator == "exclusiveMinimum" else "less"
            return f"{instance} must be {bound} than {limit}"
        case _:
            return error.message if len(error.message) < MAX_MESSAGE else f"{error.message[:MAX_MESSAGE]}…"
    bound = "least" if error.validator.startswith("min") else "most"
    return f"must have at {bound} {wording.plural(limit, noun)}, has {len(instance):,}"


def _keys(what: str, keys: list[str]) -> str:
    return f"{what} key{'s' * (len(keys) > 1)} {', '.join(map(repr, keys))}"


def _known_keys(error: ValidationError) -> list[str]:
    return list(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else []


def _unknown_keys(error: ValidationError) -> list[str]:
    known, instance = set(_known_keys(error)), error.instance
    return [key for key in instance if key not in known] if isinstance(instance, Mapping) else []


def _hint(error: ValidationError) -> str:
    """What to write instead, where the schema has no `x-fix`."""
    if error.validator == "pattern":
        return f"write a string that matches {error.validator_value}"
    if error.validator != "additionalProperties":
        return ""
    from difflib import get_close_matches  # only here: it takes 5 ms to import, and a valid document does not need it

    known = _known_keys(error)
    near = get_close_matches(_unknown_keys(error)[0], known, 1)
    return f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)  # ASCII, so that a look-alike letter is visible
    return text if len(text) < MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _expected(types: str | list[str]) -> str:
    return wording.join([_TYPES[name] for name in ([types] if isinstance(types, str) else types)], "or")


def _fix(error: ValidationError) -> str:
    """The `x-fix` of the schema that failed, or of the nearest one around it."""
    if isinstance(error.schema, Mapping) and "x-fix" in error.schema:
        return str(error.schema["x-fix"])
    return _fix(error.parent) if isinstance(error.parent, ValidationError) else ""
