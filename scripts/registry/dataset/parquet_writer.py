"""Writes a frame as Parquet whose bytes depend on nothing but its rows: no library's release, compressor or thread.

The bytes of a table are part of a version's hash, and `registry check` recomputes that hash on other machines and with
later releases. Polars and PyArrow write their release into the footer, and change encodings and compression levels from
release to release. What this module writes is the plainest form of the format's specification, which every reader has:
https://github.com/apache/parquet-format (version 2.11): one data page (v1) per column and row group, PLAIN values,
RLE definition levels, no compression, no statistics. The footer is in Thrift's compact protocol.

A column has one type for every reader, whether it has nulls or not: all are optional, and pandas, which would make
numbers of integers with nulls, is told to read them as its nullable types.

| Polars type         | Parquet                                    | pandas              |
|---------------------|--------------------------------------------|---------------------|
| String              | BYTE_ARRAY, STRING                         | str                 |
| Int64               | INT64                                      | Int64               |
| Float64             | DOUBLE                                     | float64             |
| Boolean             | BOOLEAN                                    | boolean             |
| Date                | INT32, DATE                                | object              |
| Datetime(us, UTC)   | INT64, TIMESTAMP (UTC, microseconds)       | datetime64[us, UTC] |
"""

import json
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain

import polars as pl

MAGIC = b"PAR1"
CREATED_BY = "registry version 1 (build 0)"  # of this format, not of the package; in the form that readers parse
ROWS_PER_GROUP = 131_072

Fields = Mapping[int, tuple[int, bytes]]  # of a Thrift struct: by field id, the type and the encoded value

# Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
_TRUE, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 5, 6, 8, 9, 12
# parquet.thrift
_OPTIONAL, _PLAIN, _RLE, _DATA_PAGE, _UNCOMPRESSED = 1, 0, 3, 0, 0
# Lengths in four bytes that are UTF-8 too, so that Polars can put them before its texts, ten times as fast as Python.
_SHORT = [f"{chr(length)}\0\0\0" for length in range(128)]


@dataclass(frozen=True, slots=True)
class _Form:
    """How the values of a Polars type are stored: numbers of parquet.thrift, and the encoder of the values."""

    physical: int
    encode: Callable[[pl.Series], bytes]
    converted: int | None = None
    logical: bytes | None = None
    pandas: str | None = None  # pandas' name of the type, where it would choose another one for a column with nulls


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One column of a row group: its name and form, where it begins in the file, and its page with the header."""

    name: str
    form: _Form
    offset: int
    rows: int
    size: int


def write(frame: pl.DataFrame, key_values: Mapping[str, str] | None = None) -> bytes:
    """A frame as Parquet; `key_values` go into the footer, where readers find them as the schema's metadata.

    Raises TypeError for a column of another type than those above.
    """
    forms = {name: _form(name, dtype) for name, dtype in frame.schema.items()}
    out, groups = BytesIO(), []
    out.write(MAGIC)
    for rows in frame.iter_slices(ROWS_PER_GROUP) if len(frame) else ():
        chunks = []
        for name, form in forms.items():
            page = _page(rows[name], form)
            chunks.append(_Chunk(name, form, out.tell(), len(rows), len(page)))
            out.write(page)
        groups.append(_row_group(chunks))
    footer = _footer(forms, len(frame), groups, {"pandas": _for_pandas(forms), **(key_values or {})})
    out.write(footer + struct.pack("<I", len(footer)) + MAGIC)
    return out.getvalue()


# --- values -----------------------------------------------------------------------------------------------------------


def _form(name: str, dtype: pl.DataType) -> _Form:
    form = next((form for known, form in _FORMS if known == dtype), None)
    if form is None:
        raise TypeError(f"column {name} is {dtype}, which has no form in Parquet here")
    return form


def _page(values: pl.Series, form: _Form) -> bytes:
    """A data page with its header."""
    levels = _levels(values)
    body = struct.pack("<I", len(levels)) + levels + form.encode(values.drop_nulls())
    data = {1: _i32(len(values)), 2: _i32(_PLAIN), 3: _i32(_RLE), 4: _i32(_RLE)}
    return _struct({1: _i32(_DATA_PAGE), 2: _i32(len(body)), 3: _i32(len(body)), 5: _nested(data)}) + body


def _levels(values: pl.Series) -> bytes:
    """The definition levels (1: a value, 0: null) as runs of the RLE hybrid encoding, with a bit width of 1."""
    runs = values.is_not_null().rle().struct.unnest()
    pairs = zip(runs["len"].to_list(), runs["value"].to_list(), strict=True)
    return b"".join(_varint(length << 1) + (b"\x01" if value else b"\x00") for length, value in pairs)


def _texts(values: pl.Series) -> bytes:
    """Each text after its length in four bytes."""
    lengths = values.str.len_bytes()
    if len(values) and (lengths < len(_SHORT)).all():
        prefixes = lengths.replace_strict(range(len(_SHORT)), _SHORT, return_dtype=pl.String)
        return str(pl.select(pl.concat_str(prefixes, values).str.join("")).item()).encode()
    data = [text.encode() for text in values.to_list()]
    return b"".join(chain.from_iterable((len(text).to_bytes(4, "little"), text) for text in data))


def _numbers(code: str) -> Callable[[pl.Series], bytes]:
    def encode(values: pl.Series) -> bytes:
        numbers = array(code, values.to_physical().to_list())
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()

    return encode


def _bits(values: pl.Series) -> bytes:
    """One bit per value, the lowest first."""
    flags = values.to_list()
    eights = (flags[start : start + 8] for start in range(0, len(flags), 8))
    return bytes(sum(flag << place for place, flag in enumerate(eight)) for eight in eights)


# --- the footer -------------------------------------------------------------------------------------------------------


def _footer(forms: Mapping[str, _Form], rows: int, groups: Sequence[bytes], key_values: Mapping[str, str]) -> bytes:
    root = _struct({4: _text("schema"), 5: _i32(len(forms))})
    leaves = (_leaf(name, form) for name, form in forms.items())
    pairs = [_struct({1: _text(key), 2: _text(value)}) for key, value in key_values.items()]
    return _struct(
        {
            1: _i32(1),
            2: _list(_STRUCT, [root, *leaves]),
            3: _i64(rows),
            4: _list(_STRUCT, groups),
            5: _list(_STRUCT, pairs),
            6: _text(CREATED_BY),
        }
    )


def _leaf(name: str, form: _Form) -> bytes:
    """A SchemaElement."""
    return _struct(
        {
            1: _i32(form.physical),
            3: _i32(_OPTIONAL),
            4: _text(name),
            **({} if form.converted is None else {6: _i32(form.converted)}),
            **({} if form.logical is None else {10: (_STRUCT, form.logical)}),
        }
    )


def _for_pandas(forms: Mapping[str, _Form]) -> str:
    """https://pandas.pydata.org/docs/development/developer.html: the types that pandas would choose otherwise."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": form.pandas.lower(), "numpy_type": form.pandas}
        for name, form in forms.items()
        if form.pandas
    ]
    return json.dumps({"index_columns": [], "column_indexes": [], "columns": columns})


def _row_group(chunks: Sequence[_Chunk]) -> bytes:
    total, rows = sum(chunk.size for chunk in chunks), chunks[0].rows if chunks else 0
    return _struct({1: _list(_STRUCT, map(_column_chunk, chunks)), 2: _i64(total), 3: _i64(rows)})


def _column_chunk(chunk: _Chunk) -> bytes:
    metadata = {
        1: _i32(chunk.form.physical),
        2: _list(_I32, [_zigzag(_PLAIN), _zigzag(_RLE)]),
        3: _list(_BINARY, [_text(chunk.name)[1]]),
        4: _i32(_UNCOMPRESSED),
        5: _i64(chunk.rows),
        6: _i64(chunk.size),
        7: _i64(chunk.size),
        9: _i64(chunk.offset),
    }
    return _struct({2: _i64(chunk.offset), 3: _nested(metadata)})


# --- Thrift -----------------------------------------------------------------------------------------------------------


def _struct(fields: Fields) -> bytes:
    """The fields in the order of their ids, each after its distance from the one before; the distances are below 16."""
    return b"".join(_headed(fields)) + b"\x00"


def _headed(fields: Fields) -> Iterator[bytes]:
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        yield bytes([(number - before) << 4 | kind]) + value
        before = number


def _list(kind: int, items: Iterable[bytes]) -> tuple[int, bytes]:
    found = list(items)
    head = bytes([len(found) << 4 | kind]) if len(found) < 15 else bytes([0xF0 | kind]) + _varint(len(found))
    return _LIST, head + b"".join(found)


def _nested(fields: Fields) -> tuple[int, bytes]:
    return _STRUCT, _struct(fields)


def _text(text: str) -> tuple[int, bytes]:
    data = text.encode()
    return _BINARY, _varint(len(data)) + data


def _i32(number: int) -> tuple[int, bytes]:
    return _I32, _zigzag(number)


def _i64(number: int) -> tuple[int, bytes]:
    return _I64, _zigzag(number)


def _zigzag(number: int) -> bytes:
    """A number that is not negative; the others are not needed."""
    return _varint(number << 1)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_EMPTY: Fields = {}
_MICROSECONDS = _nested({2: _nested(_EMPTY)})
_FORMS: tuple[tuple[pl.DataType, _Form], ...] = (
    (pl.String(), _Form(6, _texts, converted=0, logical=_struct({1: _nested(_EMPTY)}))),
    (pl.Int64(), _Form(2, _numbers("q"), pandas="Int64")),
    (pl.Float64(), _Form(5, _numbers("d"))),
    (pl.Boolean(), _Form(0, _bits, pandas="boolean")),
    (pl.Date(), _Form(1, _numbers("i"), converted=6, logical=_struct({6: _nested(_EMPTY)}))),
    (
        pl.Datetime("us", "UTC"),
        _Form(2, _numbers("q"), converted=10, logical=_struct({8: _nested({1: (_TRUE, b""), 2: _MICROSECONDS})})),
    ),
)
