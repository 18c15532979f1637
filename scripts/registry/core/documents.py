"""Reading and writing YAML and JSON in one form; unsafe or ambiguous input is refused before any value is built.

YAML is read with the core schema of YAML 1.2: `no` and `on` are strings. Refused: duplicate keys, anchors and aliases
(a few lines of them expand to gigabytes), tags, directives, more than one document, nesting deeper than 32 levels, NaN
and infinity, files over 1 MiB, and characters that end a line for some readers. In files that DVC reads, too, whatever
it reads otherwise is refused (`core.dvc_reading`).
"""

import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any, NoReturn

import yaml

from registry.core import dvc_reading
from registry.errors import InvalidDocument

MAX_BYTES = 1 << 20
MAX_BYTES_OF_DVC = 1 << 17  # of what is read twice: ruamel.yaml takes up to 20 s for 1 MiB
MAX_VALUES = 100_000  # keys and values of a YAML file
MAX_DEPTH = 32
MAX_DIGITS = 40  # of an integer
CONFLICT = "unresolved merge conflict"
BOM, BOM_FIX = "starts with a byte order mark", "save the file as UTF-8 without a byte order mark"
_UTF_8 = "save the file as UTF-8"
MAX_FLOW = 100  # characters of a list or mapping that `edit_yaml` writes on one line
Location = tuple[str | int, ...]  # the keys and indices that lead to a value
# Files that DVC never reads; a class of a dataset may be called 1, and a commit need not wait for a second reader.
_READ_HERE_ONLY = ("dataset.yaml", "registry.yaml", "README.md")
# Unicode's line ends and the byte order mark, which readers of YAML 1.1 and 1.2 treat differently; a lone carriage
# return, which Python's text files turn into a line feed.
_AMBIGUOUS = re.compile("[\x85\u2028\u2029\ufeff]|\r(?!\n)")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its data, and the line (from 1) of each key or list item."""

    path: str
    data: Any
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int:
        """The line of a value, or of the nearest value that contains it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


# The base is libyaml's loader where PyYAML was built with it: ten times faster.
class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader with the core schema of YAML 1.2 instead of 1.1's types."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper; also quotes strings that only YAML 1.2 reads as numbers, such as the hash `12e45`."""


class _FastDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """libyaml's, four times as fast: other bytes in rare cases (an empty key, characters beyond U+FFFF)."""


# PyYAML and ruamel.yaml write these line breaks as they are, unless the text is in double quotes.
_BREAKS = re.compile("[\x85\u2028\u2029]")


def _quote_breaks(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else None)


for _class in (_Dumper, _FastDumper):
    _class.add_representer(str, _quote_breaks)
_CONFLICT = re.compile(rb"^(?:(?:<{7}|\|{7}|>{7})(?: |\r?$)|={7}\r?$)", re.MULTILINE)

_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    for _class in (_CoreLoader, _Dumper, _FastDumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
# Also quoted: what only other readers take for numbers, such as `7_e7`, `-_7` and `-0o7`.
_NUMBERS_ELSEWHERE = re.compile(r"(?=.*_)[-+]?[.0-9_][-+.0-9eE_]*\Z|[-+]?0[oOxXbB][0-9a-fA-F_]+\Z")
for _class in (_Dumper, _FastDumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:int", _NUMBERS_ELSEWHERE, list("-+.0123456789"))


def _int(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = node.value
    if len(text) > MAX_DIGITS:
        _reject(node, f"the number {text[:20]}… is too long")
    if text.startswith("0x"):
        return int(text, 16)
    return int(text, 8 if text.startswith("0o") else 10)


def _float(_: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    number = float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not isfinite(number):  # every comparison with NaN is false; `1e999` is infinite
        _reject(node, f"{node.value} is not allowed as a number")
    return number


def _reject(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _int)
_CoreLoader.add_constructor("tag:yaml.org,2002:float", _float)


def read_yaml(data: bytes, path: str) -> Document:
    """Parse one YAML document. Raises InvalidDocument with the line of the fault."""
    text = _decode(data, path)
    document = _parse(text, path)
    # What these dumpers write is read alike by all readers, which is faster to see than to read once more.
    if path.endswith(_READ_HERE_ONLY) or _dump(document.data, _FastDumper) == data:
        return document
    if len(data) > MAX_BYTES_OF_DVC:
        fault = f"file is {len(data):,} bytes; the limit for YAML that DVC reads is {MAX_BYTES_OF_DVC:,}"
        raise InvalidDocument(path, fault, fix="write JSON, or a smaller file")
    if found := dvc_reading.find_difference(text, document.data, path):
        raise InvalidDocument(path, found.fault, line=document.line(found.at), fix=found.fix)
    return document


def _parse(text: str, path: str) -> Document:
    try:
        _reject_unsafe(text, path)
        loader = _CoreLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise InvalidDocument(path, "the file is empty", fix="restore it, or delete it")
            lines = {(): 1, **dict(_lines(node, (), path))}
            return Document(path, loader.construct_document(node), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, text.rstrip("\n").count("\n") + 1) if mark else None  # not behind the last one
        raise InvalidDocument(path, f"not valid YAML: {error.problem}", line=line) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        fault = f"not valid YAML: the character U+{error.character:04X} is not allowed"
        raise InvalidDocument(path, fault, line=line, fix="remove it") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidDocument(path, f"not valid YAML: {error}") from error


def _decode(data: bytes, path: str) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidDocument(
            path,
            f"file is {len(data):,} bytes, the limit is {MAX_BYTES:,}",
            fix="keep it under 1 MiB; data belongs in DVC",
        )
    _reject_conflict(data, path)
    if data.startswith(BOM_UTF8):  # readers of YAML differ in whether it is a part of the first key
        raise InvalidDocument(path, BOM, line=1, fix=BOM_FIX)
    if b"\0" in data[:2]:  # UTF-16 without a byte order mark is valid UTF-8
        raise InvalidDocument(path, "not UTF-8 text", line=1, fix=_UTF_8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidDocument(path, "not UTF-8 text", line=line, fix=_UTF_8) from error
    if found := _AMBIGUOUS.search(text):
        fault = f"the character U+{ord(found[0]):04X} is read differently by different readers of YAML"
        fix = f'remove it, or write "\\u{ord(found[0]):04x}" in double quotes'
        raise InvalidDocument(path, fault, line=text.count("\n", 0, found.start()) + 1, fix=fix)
    return text


def _reject_conflict(data: bytes, path: str) -> None:
    """Raise InvalidDocument for the markers of a merge, in any of Git's styles; no YAML has them in column 1."""
    if found := _CONFLICT.search(data):
        raise InvalidDocument(path, CONFLICT, line=data[: found.start()].count(b"\n") + 1, fix=conflict_fix(path))


def find_conflict(data: bytes) -> int | None:
    """The line, from 1, at which the conflict of a merge begins in any text; None where there is none.

    All three markers count, in their order: a line of `=` alone is a heading in Markdown.
    """
    start, is_divided = 0, False
    for number, line in enumerate(data.split(b"\n") if b">>>>>>> " in data else (), 1):
        if line.startswith(b"<<<<<<< "):
            start, is_divided = number, False
        elif start and line.rstrip(b"\r") == b"=======":
            is_divided = True
        elif is_divided and line.startswith(b">>>>>>> "):
            return start
    return None


def conflict_fix(path: str) -> str:
    """What to do about a conflict: of what tools write, no mixture of both sides is right."""
    if path.endswith((".dvc", ".lock", "metrics.json")):
        return f"git checkout HEAD -- {path}; then follow CONTRIBUTING.md, Conflicts"
    return f"edit the file to what both sides want, then git add {path}"


def _reject_unsafe(text: str, path: str) -> None:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_CoreLoader)):
        line = event.start_mark.line + 1 if event.start_mark else None
        if number > MAX_VALUES:
            raise InvalidDocument(path, f"has more than {MAX_VALUES:,} values", line=line, fix="track data with DVC")
        if getattr(event, "anchor", None) or isinstance(event, yaml.AliasEvent):
            raise InvalidDocument(path, "anchors and aliases are not allowed", line=line, fix="write the value itself")
        if isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            raise InvalidDocument(path, "directives (%) are not allowed", line=1, fix="delete the line")
        if tag := getattr(event, "tag", None):
            raise InvalidDocument(path, f"the tag {tag} is not allowed", line=line, fix="write a plain value")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidDocument(path, f"nested deeper than {MAX_DEPTH} levels", line=line, fix="flatten it")


def _lines(node: yaml.Node, location: Location, path: str) -> Iterator[tuple[Location, int]]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                if isinstance(key, yaml.ScalarNode):
                    raise InvalidDocument(path, f"duplicate key {key.value!r}", line=line, fix="keep one of them")
                raise InvalidDocument(path, "a key must be a string", line=line, fix="write the key as plain text")
            seen.add(key.value)
            if key.tag != "tag:yaml.org,2002:str":
                key.tag = "tag:yaml.org,2002:str"  # every key is a string: a class may be called 1 or true
            yield (*location, key.value), line
            yield from _lines(value, (*location, key.value), path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*location, index), value.start_mark.line + 1
            yield from _lines(value, (*location, index), path)


def read_json(data: bytes, path: str, *, is_finite: bool = True) -> Any:
    """Parse JSON, refusing the same as in YAML but for its size. Raises InvalidDocument with the line of the fault.

    `is_finite=False` for what Python writes for itself, such as the thresholds of a curve: `Infinity` and NaN are read.
    """
    numbers: dict[str, Any] = {"parse_constant": _constant, "parse_float": _number} if is_finite else {}
    try:
        text = data.decode()
        found = json.loads(text, object_pairs_hook=_pairs, parse_int=_integer, **numbers)
    except json.JSONDecodeError as error:
        _reject_conflict(data, path)
        if data.startswith(BOM_UTF8):
            raise InvalidDocument(path, BOM, line=1, fix=BOM_FIX) from error
        raise InvalidDocument(path, f"not valid JSON: {error.msg}", line=error.lineno) from error
    except _InvalidToken as error:
        raise InvalidDocument(path, f"not valid JSON: {error}", line=error.line(text)) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidDocument(path, "not UTF-8 text", line=line, fix=_UTF_8) from error
    except RecursionError as error:
        raise InvalidDocument(path, f"nested deeper than {MAX_DEPTH} levels", fix="flatten it") from error
    require_shallow(found, path)
    if _SURROGATE.search(text):
        _require_characters(found, path)
    return found


def _require_characters(data: Any, path: str) -> None:
    """Raise InvalidDocument for half of a surrogate pair (`"\\ud800"`): no file and no message can have it."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        fault = "has half of a surrogate pair, which is no character"
        raise InvalidDocument(path, fault, fix="write the character itself") from error


class _InvalidToken(ValueError):
    """JSON that is valid by its grammar only. `json` tells no place, so `line` finds it: the first or the last one."""

    def __init__(self, message: str, token: str, *, is_last: bool = False) -> None:
        super().__init__(message)
        self._token = token
        self._is_last = is_last

    def line(self, text: str) -> int | None:
        """The line of the token, from 1."""
        place = text.rfind(self._token) if self._is_last else text.find(self._token)
        return text.count("\n", 0, place) + 1 if place >= 0 else None


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in items]
    if len(set(names)) != len(names):
        repeated = next(key for key, number in Counter(names).items() if number > 1)
        raise _InvalidToken(f"duplicate key {repeated!r}", json.dumps(repeated, ensure_ascii=False), is_last=True)
    return dict(items)


def _constant(name: str) -> NoReturn:
    raise _InvalidToken(f"{name} is not a JSON number", name)


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _InvalidToken(f"the number {text[:20]}… is too long", text)
    return int(text)


def _number(text: str) -> float:
    if not isfinite(value := float(text)):
        raise _InvalidToken(f"the number {text[:20]} is too large", text)
    return value


def require_shallow(data: Any, path: str) -> None:
    """Raise InvalidDocument for what is nested so deeply that going through it could exceed Python's stack."""
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise InvalidDocument(path, f"nested deeper than {MAX_DEPTH} levels", fix="flatten it")


def write_yaml(data: Mapping[str, Any]) -> bytes:
    """YAML in the form that DVC writes: block style, keys in the given order, no line folding."""
    return _dump(dict(data))


def _dump(data: Any, dumper: Any = _Dumper) -> bytes:
    return bytes(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True, width=10_000, encoding="utf-8"))


def write_json(data: Any) -> bytes:
    """JSON in one form: two spaces, keys in the given order, a newline at the end; NaN is an error."""
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def edit_yaml(data: bytes, changes: Mapping[Location, Any]) -> bytes:
    """Set values in a hand-written YAML file, keeping comments and order; missing mappings are created."""
    from ruamel.yaml import YAML  # only here: reading a document must be fast, and only commands edit

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 10_000
    document = editor.load(data)
    for (*parents, key), value in changes.items():
        place = document
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
        place[key] = _styled(value)
    out = BytesIO()
    editor.dump(document, out)
    return out.getvalue()


def _styled(value: Any) -> Any:
    """A value; a short list or mapping is written on one line, and breaks in a text are escaped."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # only here: see `edit_yaml`
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str) and _BREAKS.search(value):
        return DoubleQuotedScalarString(value)
    if not isinstance(value, dict | list):
        return value
    made = (
        CommentedMap((key, _styled(each)) for key, each in value.items())
        if isinstance(value, dict)
        else CommentedSeq(map(_styled, value))
    )
    if len(str(value)) <= MAX_FLOW:
        made.fa.set_flow_style()
    return made
