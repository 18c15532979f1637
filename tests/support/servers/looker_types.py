"""Looker's API as its official SDK publishes it: which operations there are, and whether a request or an answer fits.

The SDK's methods and models are generated from Looker's API description: each method stands below a comment with its
HTTP method, path and type, its parameters are those of the query, and its models have every key with its type.
"""

import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any
from urllib.parse import unquote

import attr
from looker_sdk.rtl.model import DelimSequence, Model
from looker_sdk.sdk.api40 import methods, models

_OPERATION = re.compile(r"# (GET|POST|PUT|PATCH|DELETE) (/\S+) -> .+\n    def (\w+)\(")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `query` has the types of its query parameters, `body` and `answer` those of its JSON."""

    name: str
    method: str
    path: re.Pattern[str]
    query: Mapping[str, Any]
    body: Any
    answer: Any


@dataclass
class Call:
    """A request as it came, and what it asks: `values` are those in the path."""

    method: str
    path: str
    params: dict[str, str]
    body: dict[str, Any]  # JSON
    headers: dict[str, str]
    operation: str = ""
    values: dict[str, str] = field(default_factory=dict)


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation of Looker's API 4.0."""
    return tuple(_operation(*found) for found in _OPERATION.findall(inspect.getsource(methods)))


def _operation(method: str, path: str, name: str) -> Operation:
    hints = typing.get_type_hints(getattr(methods.Looker40SDK, name))
    in_path = set(re.findall(r"\{(\w+)\}", path))
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
    query = {key: hint for key, hint in hints.items() if key not in {*in_path, "body", "return", "transport_options"}}
    return Operation(name, method, pattern, query, hints.get("body"), hints["return"])


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation of a path below `/api/4.0`, and the values in the path; paths without variables come first."""
    fitting = [(one, found) for one in operations() if one.method == method and (found := one.path.fullmatch(path))]
    chosen = min(fitting, key=lambda one: len(one[1].groups()), default=None)
    return (chosen[0], {name: unquote(value) for name, value in chosen[1].groupdict().items()}) if chosen else None


def judge_request(operation: Operation, call: Call, text: str) -> Iterator[str]:
    """What in a request Looker's description does not allow; `text` is its body."""
    for name, value in call.params.items():
        if name not in operation.query:
            yield f"{operation.name} has no query parameter {name}"
        elif not _fits_text(value, operation.query[name]):
            yield f"{operation.name}: query parameter {name} is {value!r}"
    if operation.name == "login":
        return
    if operation.body is None:
        if text:
            yield f"{operation.name} takes no body"
        return
    if (call.headers.get("Content-Type") or "").split(";")[0] != "application/json":
        yield f"{operation.name}: Content-Type is {call.headers.get('Content-Type')}"
    yield from misfits(call.body, operation.body, operation.name)


def judge_answer(operation: Operation, said: object) -> Iterator[str]:
    """What in the answer of this stand-in Looker's description does not allow."""
    yield from misfits(said, operation.answer, f"the answer of {operation.name}")


def misfits(value: object, hint: Any, where: str) -> Iterator[str]:
    """Where a JSON value is not of a type of the SDK."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return
    if origin in {typing.Union, types.UnionType}:
        if all(list(misfits(value, one, where)) for one in arguments):
            inner = [one for one in arguments if one is not type(None)]
            yield from misfits(value, inner[0], where)
    elif origin in {DelimSequence, Sequence} or hint in {Sequence, list}:
        yield from _misfits_of_list(value, arguments, where)
    elif origin in {MutableMapping, Mapping, dict}:
        if not isinstance(value, dict):
            yield f"{where} is {value!r}, expected an object"
        else:
            for key, one in value.items():
                yield from misfits(one, arguments[1], f"{where}.{key}")
    elif isinstance(hint, type) and issubclass(hint, Model):
        yield from _misfits_of_model(value, hint, where)
    elif not _is_of(value, hint):
        yield f"{where} is {value!r}, expected {getattr(hint, '__name__', hint)}"


def _misfits_of_list(value: object, arguments: tuple[Any, ...], where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} is {value!r}, expected a list"
        return
    for number, one in enumerate(value):
        yield from misfits(one, arguments[0], f"{where}[{number}]")


def _misfits_of_model(value: object, hint: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is {value!r}, expected an object"
        return
    known = fields_of(hint)
    for key, one in value.items():
        if key not in known:
            yield f"{where} has no key {key}"
        elif one is not None or known[key].is_required:
            yield from misfits(one, known[key].type, f"{where}.{key}")
    yield from (f"{where} lacks {key}" for key, one in known.items() if one.is_required and key not in value)


@dataclass(frozen=True, slots=True)
class Key:
    """The type of a key of a model."""

    type: Any
    is_required: bool


@cache
def fields_of(model: Any) -> dict[str, Key]:
    """The keys of a model as they are in JSON; the SDK appends `_` to those that are words of Python."""
    hints = typing.get_type_hints(model, vars(models))
    return {one.name.rstrip("_"): Key(hints[one.name], one.default is attr.NOTHING) for one in attr.fields(model)}


def _is_of(value: object, hint: Any) -> bool:
    if hint is datetime:
        try:
            return isinstance(value, str) and bool(datetime.fromisoformat(value))
        except ValueError:
            return False
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in {one.value for one in hint} - {"invalid_api_enum_value"}
    if hint in {float, int}:
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return value is None if hint is type(None) else isinstance(value, hint) and not isinstance(value, bytes)


def _fits_text(text: str, hint: Any) -> bool:
    """Whether the text of a query parameter is of a type; lists come as texts with commas."""
    kinds = {one for one in (*typing.get_args(hint), hint) if one in {str, int, bool, float}}
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return not kinds or str in kinds or any(type(value) is kind for kind in kinds)


def chosen(whole: Mapping[str, Any], names: str) -> dict[str, Any]:
    """The part of an object that a `fields` parameter asks for, such as `id,query(model,view),joins(name)`."""
    wanted, rest = _parse_names(names)
    if rest:
        raise ValueError(f"fields {names!r} cannot be read")
    return {name: _part(whole[name], inner) for name, inner in wanted.items() if name in whole}


def _part(whole: Any, wanted: Mapping[str, Any]) -> Any:
    if isinstance(whole, list):
        return [_part(one, wanted) for one in whole]
    if not wanted or not isinstance(whole, Mapping):
        return whole
    return {name: _part(whole[name], inner) for name, inner in wanted.items() if name in whole}


def _parse_names(text: str) -> tuple[dict[str, Any], str]:
    names: dict[str, Any] = {}
    while found := re.match(r"\s*([\w]+)\s*", text):
        inner: dict[str, Any] = {}
        text = text[found.end() :]
        if text.startswith("("):
            inner, text = _parse_names(text[1:])
            text = text.removeprefix(")").lstrip()
        names[found[1]] = inner
        if not text.startswith(","):
            break
        text = text[1:]
    return names, text


def unknown_names(names: str, hint: Any, where: str) -> Iterator[str]:
    """What a `fields` parameter asks for that the model of an answer does not have."""
    yield from _unknown(_parse_names(names)[0], hint, where)


def _unknown(wanted: Mapping[str, Any], hint: Any, where: str) -> Iterator[str]:
    while not (isinstance(hint, type) and issubclass(hint, Model)):
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        if not inner:
            return
        hint = inner[0]
    model: Any = hint
    known = fields_of(model)
    for name, deeper in wanted.items():
        if name not in known:
            yield f"{where} has no field {name}"
        elif deeper:
            yield from _unknown(deeper, known[name].type, f"{where}.{name}")
