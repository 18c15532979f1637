"""Which column of an exported file is which column of a manifest.

Looker's JSON has a field's name (`images.captured_time`), its other downloads have a label: the view's and the field's
(`Photos Captured Time`), or the field's alone, with ` (Yes / No)` after that of a yesno. Both labels can be set in
LookML, so the label of a view is only believed where two columns of that view have it.
"""

import html
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.core.values import Column
from registry.core.wording import join, plural
from registry.errors import SHOWN

_MAX_LISTED = 50  # headers that a message lists
_YES_NO = re.compile(r"\s*\([^()/]+/[^()/]+\)\s*$")

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """`headers`: column name → its header in the file; `problems`: a text for each fault of the others."""

    headers: Mapping[str, str]
    problems: tuple[str, ...]


def match(headers: Sequence[str], columns: Sequence[Column]) -> Match:
    """The header of each column.

    It is one of the names under `from`, exactly; else the column's own name, or one of all these in other words
    (`_words`); else the field's label, alone or after a label of its view, where another column of the view agrees.
    """
    found = {column.name: _named(headers, column) for column in columns}
    left = [column for column in columns if not found[column.name]]
    known = {_view(column) for column in columns if any(_is_called(one, column) for one in found[column.name])}
    for view in dict.fromkeys(_view(column) for column in left if _view(column) not in known):
        found |= _labelled(headers, [column for column in left if _view(column) == view])
    chosen = {name: headers[0] for name, headers in found.items() if len(headers) == 1}
    return Match(chosen, (*_problems(headers, columns, found), *_shared(columns, chosen)))


def _named(headers: Sequence[str], column: Column) -> tuple[str, ...]:
    """The headers that are called as the column is."""
    names = (column.source, *column.headers)
    if exact := tuple(header for header in headers if header in names):
        return exact
    wanted = {_words(name, column) for name in (*names, column.name)}
    return tuple(header for header in headers if header == column.name or _words(header, column) in wanted)


def _is_called(header: str, column: Column) -> bool:
    """Whether a header has the name of the field with that of its view, so that the view has no other label."""
    return "." in column.source and _words(header, column) == _words(column.source, column)


def _labelled(headers: Sequence[str], columns: Sequence[Column]) -> dict[str, tuple[str, ...]]:
    """The headers of columns of one view: a label that two of them share, then the field's name."""
    labels = [_labels(headers, column) for column in columns]
    counts = Counter(label for found in labels for label in found)
    shared = sorted(label for label, count in counts.items() if count > 1)
    return {
        column.name: tuple(header for label in shared for header in found.get(label, ()))
        for column, found in zip(columns, labels, strict=True)
    }


def _labels(headers: Sequence[str], column: Column) -> dict[Words, list[str]]:
    """What may be the label of the column's view → the headers in which it is."""
    field, found = _field(column), dict[Words, list[str]]()
    for header in headers:
        words = _words(header, column)
        if field and words[-len(field) :] == field:
            found.setdefault(words[: -len(field)], []).append(header)
    return found


def _view(column: Column) -> str:
    return column.source.rpartition(".")[0]


def _field(column: Column) -> Words:
    """The words of a field's name without its view."""
    return _words(column.source.rpartition(".")[2], column)


def _words(text: str, column: Column) -> Words:
    """A name without its case, punctuation and escapes; of a yesno also without its ` (Yes / No)`."""
    plain = unicodedata.normalize("NFKC", html.unescape(text)).casefold()
    if column.type == "boolean":
        plain = _YES_NO.sub("", plain)
    return tuple(re.findall(r"[^\W_]+", plain))


# --- problems ---------------------------------------------------------------------------------------------------------


def _problems(headers: Sequence[str], columns: Sequence[Column], found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for column in columns:
        if len(found[column.name]) > 1:
            names = dict.fromkeys(found[column.name])
            hint = f"; write the right one as in from: {_suggest(column, *names)}" if len(names) > 1 else ""
            yield f"{column.name} matches several columns: {_quoted(found[column.name])}{hint}"
    if missing := [column for column in columns if not found[column.name]]:
        verb = "is" if len(missing) == 1 else "are"
        heading = f"{plural(len(missing), 'column')} {verb} missing; found {_quoted(headers)}"
        wanted = [_describe_missing(column, headers) for column in missing[:SHOWN]]
        rest = [f"… and {len(missing) - SHOWN:,} more"] if len(missing) > SHOWN else []
        yield "\n      ".join([heading, *wanted, *rest])


def _describe_missing(column: Column, headers: Sequence[str]) -> str:
    wanted = join(list(dict.fromkeys((column.source, *column.headers, column.name))), "or")
    near = [header for found in _labels(headers, column).values() for header in found]
    hint = f"; if {near[0]!r} is it, write from: {_suggest(column, near[0])}" if len(near) == 1 else ""
    return wanted + hint


def _suggest(column: Column, header: str, *_: str) -> str:
    return f"[{column.source}, {json.dumps(header, ensure_ascii=False)}]"


def _shared(columns: Sequence[Column], chosen: Mapping[str, str]) -> Iterator[str]:
    """A header that would be the value of two fields."""
    for header in dict.fromkeys(chosen.values()):
        takers = [column for column in columns if chosen.get(column.name) == header]
        if len({column.source for column in takers}) > 1:
            names = join([f"{column.name} ({column.source})" for column in takers])
            yield f"{header!r} matches several columns of the manifest: {names}"


def _quoted(texts: Sequence[str]) -> str:
    shown = [repr(text if len(text) <= 60 else f"{text[:60]}…") for text in texts[:_MAX_LISTED]]
    return ", ".join(shown) + (", …" if len(texts) > _MAX_LISTED else "")
