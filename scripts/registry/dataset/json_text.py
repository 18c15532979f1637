"""The rows in a JSON text, whatever they are: of a list, of lines, or of the list in an answer of Looker's.

Looker's forms json_detail and json_bi are one object with the rows in a list; its other keys are the `Envelope`.
"""

import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from registry.dataset.export_files import invalid_bytes
from registry.errors import Refused

CAREFUL = 10_000  # rows in which numbers are told from texts of numbers; it takes a fifth more time
CHUNK = 1 << 20  # characters
MAX_ROW = 16 << 20  # characters that one row may take
AGAIN = "export it again, as a complete list of objects, or as one object per line"
SIMPLE = "in Looker choose JSON – Simple, or CSV"

_AFTER = {*" \t\r\n,:]}"}  # what ends a number, of which a chunk may have the first digits
_SPACE = re.compile(r"[ \t\r\n]*")
_ROWS = ("data", "rows")  # the key of the rows: in json_detail, in json_bi
_MARKS = ("fields", "metadata")  # keys that only these forms have


_Pairs = list[tuple[str, Any]]


class Number(str):
    """A number with a decimal point or an exponent, as its text stands, in one of the first CAREFUL rows."""

    __slots__ = ()


class Repeated(dict[str, Any]):
    """An object with the duplicate key `key`."""

    key = ""


def _object(pairs: _Pairs) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    repeated, names = Repeated(row), [name for name, _ in pairs]
    repeated.key = next(name for name in names if names.count(name) > 1)
    return repeated


def _decoder(parse_float: type[str]) -> json.JSONDecoder:
    return json.JSONDecoder(parse_int=str, parse_float=parse_float, parse_constant=str, object_pairs_hook=_object)


_CAREFUL, _FAST = _decoder(Number), _decoder(str)


@dataclass(slots=True)
class Envelope:
    """What an object says beside its rows; complete when all rows were read."""

    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def timezone(self) -> str | None:
        """The time zone of the rows, where the object says it."""
        found = self.facts.get("timezone")
        return found if isinstance(found, str) and found else None


@dataclass(slots=True)
class _Text:
    """A text that is read in chunks: what is at hand of it, and the place that has been reached there."""

    file: TextIO
    text: str = ""
    offset: int = 0
    decoder: json.JSONDecoder = _CAREFUL

    def skip(self) -> str:
        """Go to the next character that is not white space, and return it; nothing at the end."""
        while True:
            self.offset = _SPACE.match(self.text, self.offset).end()  # type: ignore[union-attr]  # it always matches
            if self.offset < len(self.text):
                return self.text[self.offset]
            self.text, self.offset = self.file.read(CHUNK), 0
            if not self.text:
                return ""

    def take(self, character: str) -> bool:
        """Go past a character if it is the next one."""
        found = self.skip() == character
        self.offset += found
        return found

    def require(self, character: str) -> None:
        """Go past a character. Raises ValueError where another is next."""
        if not self.take(character):
            raise ValueError(f"{character} is missing")

    def decode(self) -> Any:
        """The JSON value that begins here. Raises ValueError and RecursionError."""
        self.skip()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.offset)
            except ValueError:  # invalid, or cut off at the end of the chunk
                if not self._read_more():
                    raise
            else:
                is_whole = self.text[end - 1] in '"}]' or self.text[end : end + 1] in _AFTER
                if is_whole or not self._read_more():
                    self.offset = end
                    return value

    def _read_more(self) -> bool:
        more = self.file.read(CHUNK) if len(self.text) - self.offset < MAX_ROW else ""
        if more:
            self.text, self.offset = self.text[self.offset :] + more, 0
        return bool(more)


def rows(file: TextIO, name: str, envelope: Envelope) -> Iterator[Any]:
    """The items of the list, or the values of the lines, whatever they are; for Looker's forms the rows' values.

    Raises Refused where the text is not JSON, is cut off, or an object says that its rows are not all.
    """
    text, number = _Text(file), 0
    try:
        for value in _values(text, name, envelope):
            number += 1
            if number == CAREFUL:
                text.decoder = _FAST
            yield value
        if text.skip():
            raise ValueError("text after the end")
    except RecursionError as error:
        raise Refused(f"{name} is nested too deeply after row {number:,}", fix=AGAIN) from error
    except ValueError as error:
        there = error.doc[error.pos : error.pos + 1] if isinstance(error, json.JSONDecodeError) else ""
        fault = invalid_bytes(there) or "invalid or truncated JSON"
        raise Refused(f"{name}: {fault} after row {number:,}", fix=AGAIN) from error
    _require_complete(envelope.facts, name)


def _values(text: _Text, name: str, envelope: Envelope) -> Iterator[Any]:
    if text.take("["):
        yield from _items(text)
    elif text.skip() == "{":
        pairs = yield from _first_object(text, name, envelope)
        if pairs is None:
            return
        yield _object(pairs)
        while text.skip():
            yield text.decode()
    else:
        while text.skip():
            yield text.decode()


def _items(text: _Text) -> Iterator[Any]:
    """The items of a list after its `[`."""
    if text.take("]"):
        return
    sign = ","
    while sign == ",":
        yield text.decode()
        sign = text.skip()
        text.offset += 1
    if sign != "]":
        raise ValueError("the list is not closed")


def _first_object(text: _Text, name: str, envelope: Envelope) -> Generator[Any, None, _Pairs | None]:
    """The rows in an object; returns its pairs where it is a row itself, else None."""
    pairs, is_row = _Pairs(), True
    text.require("{")
    while not text.take("}"):
        if pairs or not is_row:
            text.require(",")
        key = text.decode()
        text.require(":")
        if key in _ROWS and is_row and text.take("["):
            if text.skip() in {"{", "]"}:
                is_row = False
                yield from map(_plain, _items(text))
            else:
                pairs.append((key, [*_items(text)]))
        else:
            pairs.append((key, text.decode()))
    if is_row:
        return pairs
    envelope.facts = _object(pairs)
    if not any(isinstance(envelope.facts.get(mark), Mapping) for mark in _MARKS):
        known = ", ".join(map(repr, envelope.facts)) or "nothing"
        fault = f"{name} is an object with rows in a list, and {known} beside it; it may be one page of several"
        raise Refused(fault, fix=AGAIN)
    return None


def _plain(row: Any) -> Any:
    """A row of json_detail or json_bi, whose cells are objects with a `value`."""
    if not isinstance(row, dict) or isinstance(row, Repeated):
        return row
    return {key: cell["value"] if isinstance(cell, dict) and "value" in cell else cell for key, cell in row.items()}


def _require_complete(facts: Mapping[str, Any], name: str) -> None:
    """Raises Refused where an object says that its rows are not all, or that there was an error."""
    if errors := facts.get("errors"):
        first = errors[0] if isinstance(errors, list) else errors
        said = next((first[key] for key in ("message_details", "message", "title") if first.get(key)), first) \
            if isinstance(first, dict) else first  # fmt: skip
        raise looker_error(name, said)
    cut = [key for key in ("truncated", "rows_truncated", "has_more") if str(facts.get(key)).lower() in {"true", "yes"}]
    if cut:
        raise Refused(f"{name} says {cut[0]}: it does not have all rows", fix="export all results, without a limit")


def looker_error(name: str, said: object) -> Refused:
    """The refusal of a file in which Looker wrote an error."""
    text = "".join(sign if sign.isprintable() else " " for sign in str(said))[:500]
    return Refused(
        f"{name} has an error of Looker's in place of rows: {text}",
        fix="run the query in Looker until it succeeds, then export it again",
    )
