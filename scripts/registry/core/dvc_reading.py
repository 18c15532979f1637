"""DVC's reading of a YAML file, compared with ours: bytes that the two read differently are refused.

DVC (3.67) loads YAML with `ruamel.yaml`, in Python. Asked here is that reader itself, because libyaml and it differ in
more than a list could name: which characters end a line, where tabs may stand, which texts are numbers, dates or merges
(`1_000`, `0b1`, `=`, `<<`), what a flow mapping may contain. A ruamel.yaml with its C extension splits text as libyaml
does, which is the first reading (`core.documents`), and takes values as the one in Python does.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from registry.errors import InvalidDocument

_FORM = "write it as DVC does: one key a line, indented by spaces, without `{}` and `[]` over several lines"


class Difference(NamedTuple):
    """Where two readings part (the keys and indices that lead there), in words, and what to do about it."""

    at: tuple[str | int, ...]
    fault: str
    fix: str = _FORM


def find_difference(text: str, data: Any, path: str) -> Difference | None:
    """The first place where DVC reads another value than `data`, or one of another type; None where there is none.

    Raises InvalidDocument where DVC cannot read the text.
    """
    return next(_differences(data, _load(text, path), ()), None)


def _load(text: str, path: str) -> Any:
    from ruamel.yaml import YAML  # only here: the import takes 0.1 s, and most files need none
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "context", None) or "not valid YAML"
        line = min(mark.line, text.count("\n")) + 1 if mark else None
        raise InvalidDocument(path, f"DVC cannot read it: {problem}", line=line, fix=_FORM) from error
    except Exception as error:  # whatever else it raises ends DVC, too: ValueError for a month 13, for example
        raise InvalidDocument(path, f"DVC cannot read it: {error}", fix=_FORM) from error


def _differences(ours: Any, theirs: Any, at: tuple[str | int, ...]) -> Iterator[Difference]:
    """The places at which two readings have other values, or values of other types: 1, 1.0 and true are three."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        yield from _different_keys(ours, theirs, at)
        for key in ours:
            yield from _differences(ours[key], theirs[key], (*at, key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (item, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(item, other, (*at, index))
    elif isinstance(ours, dict | list) or isinstance(theirs, dict | list):
        yield Difference(at, "DVC reads other data here than libyaml")
    elif type(ours) is not type(theirs) or ours != theirs:
        fault = f"a value is {_name(ours)} here, and {_name(theirs)} for DVC"
        yield Difference(at, fault, "put the value in quotes")


def _different_keys(
    ours: Mapping[Any, Any], theirs: Mapping[Any, Any], at: tuple[str | int, ...]
) -> Iterator[Difference]:
    texts = {key for key in theirs if isinstance(key, str)}
    others = (key for key in theirs if not isinstance(key, str))  # in the order of the file, as ours are
    for key in (key for key in ours if key not in texts):
        other = next(others, "")
        fault = f"DVC reads no key {key!r} here" if other == "" else f"the key {key!r} is {_name(other)} for DVC"
        yield Difference((*at, key), fault, "put the key in quotes")
    if len(ours) != len(theirs):
        yield Difference(at, "DVC reads other data here than libyaml")


def _name(value: Any) -> str:
    """`the number 1000`, shortened."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"[:60]
        case date():
            return f"the date {value}"
    return f"the text {value!r}"[:60]
