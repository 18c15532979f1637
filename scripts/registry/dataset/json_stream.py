"""Rows from a JSON array of objects, or from one object a line, in bounded memory.

Numbers stay texts, with every digit that the file has. A million rows take a quarter of the memory that Polars' own
JSON reader takes.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from registry.core import progress

BATCH = 50_000  # rows
CHUNK = 1 << 20  # characters
MAX_ROW = 16 << 20  # characters that one row may take

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_GAP = re.compile(r"[\s,]*")


class NotRows(ValueError):
    """A text is not what this module reads; the message says from which row on."""


def read(path: Path) -> pl.DataFrame:
    """Every key of any row as a column of texts, in the order of their first appearance; null where a row lacks it.

    Raises NotRows, and OSError where the file cannot be read.
    """
    frames = []
    with path.open(encoding="utf-8-sig") as file, progress.counter("reading", "row") as advance:
        rows = _rows(file)
        while batch := list(islice(rows, BATCH)):
            heads = dict.fromkeys(key for row in batch for key in row)
            texts = {head: [_text(row.get(head)) for row in batch] for head in heads}
            frames.append(pl.DataFrame(texts, schema=dict.fromkeys(heads, pl.String)))
            advance(len(batch))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)  # true and false; a list or an object shows itself when it is refused


def _after_gap(text: str, place: int) -> int:
    gap = _GAP.match(text, place)
    return gap.end() if gap else place


def _rows(file: TextIO) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        text = file.read(CHUNK)
        start = _after_gap(text, 0)
        end = "]" if text.startswith("[", start) else ""
        place = start + len(end)
        while True:
            place = _after_gap(text, place)
            try:
                row, place = _DECODER.raw_decode(text, place)
            except ValueError:  # a fault, or only the end of what was read so far
                more = file.read(CHUNK) if len(text) - place < MAX_ROW else ""
                if not more:
                    break
                text, place = text[place:] + more, 0
                continue
            number += 1
            if not isinstance(row, dict):
                raise NotRows(f"row {number:,} is not an object")
            yield row
    except (UnicodeDecodeError, RecursionError) as error:
        raise NotRows(f"it is not UTF-8 or nested too deeply after row {number:,}") from error
    if text[place:].strip() != end:
        raise NotRows(f"it is not JSON, or breaks off, after row {number:,}")
