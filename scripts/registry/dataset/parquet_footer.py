"""What the footer of a Parquet file says of its rows and columns, read before any of them is.

A few hundred kilobytes can hold a hundred million rows, and Polars reads what the pages hold, whatever the footer
says. So the footer is parsed by itself (https://parquet.apache.org/docs/file-format/metadata/, in Thrift's compact
protocol; no library but pyarrow reads it, which is larger than all others of this package), its numbers must agree
with each other, and they are bounded.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from registry.core import wording
from registry.errors import Refused

MAX_ROWS = 20_000_000  # measured with 10,000,000, which take 4 GB (benchmarks/README.md)
MAX_CELLS = 200_000_000  # values of the columns that are read; one takes up to 16 bytes even where it is missing
MAX_FOOTER = 64 << 20  # bytes
MAX_COLUMN = 2 << 30  # bytes of one column, before compression
_DEPTH = 16  # of the structures in a footer; Parquet's own have eight
_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Footer:
    """The number of rows, and the size of each column in bytes before compression, by its name at the top level."""

    rows: int
    sizes: Mapping[str, int]


def read(file: BinaryIO, name: str) -> Footer:
    """The footer of the file `name`. Raises Refused where it has none, or its numbers contradict each other."""
    fix = "export it again"
    try:
        metadata = _Compact(_bytes(file)).structure()
        footer = _parse(metadata)
        if footer.rows <= MAX_ROWS:
            for group in metadata.get(4, []):
                for chunk in group[1]:
                    _require_true_pages(file, chunk[3])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"{name} is not a valid Parquet file, or is cut off: {error}", fix=fix) from error
    if footer.rows > MAX_ROWS:
        raise Refused(f"{name} has {footer.rows:,} rows, expected at most {MAX_ROWS:,}", fix="select fewer rows")
    return footer


def require_columns(footer: Footer, wanted: Collection[str], name: str) -> None:
    """Raise Refused where reading these columns would fill the memory."""
    if (cells := footer.rows * len(wanted)) > MAX_CELLS:
        fault = f"{name} has {cells:,} values in {len(wanted):,} columns, expected at most {MAX_CELLS:,}"
        raise Refused(fault, fix="use fewer columns or rows")
    for column in wanted:
        require_size(column, footer.sizes.get(column, 0), name)


def require_size(column: str, size: int, name: str) -> None:
    """Raise Refused for a column of too many bytes."""
    if size > MAX_COLUMN:
        fault = f"{name}: column {column} is {wording.size(size)}, expected at most {wording.size(MAX_COLUMN)}"
        raise Refused(fault, fix="export the columns of the manifest only, with shorter values")


def _bytes(file: BinaryIO) -> bytes:
    end = file.seek(0, 2)
    file.seek(max(end - 8, 0))
    tail = file.read(8)
    size = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < size <= min(end - 12, MAX_FOOTER):
        raise ValueError("it has no footer at its end")
    file.seek(end - 8 - size)
    return file.read(size)


def _parse(metadata: Mapping[int, Any]) -> Footer:
    """A `FileMetaData`; numbers are the ids of fields in `parquet.thrift`."""
    rows, sizes = metadata[3], dict[str, int]()
    groups = metadata.get(4, [])
    if rows < 0 or rows != sum(group[3] for group in groups) or any(group[3] < 0 for group in groups):
        raise ValueError("its numbers of rows contradict each other")
    flat = {element[4].decode() for element in metadata[2] if 5 not in element and element.get(3) != _REPEATED}
    for group in groups:
        for chunk in group[1]:
            path, values, size = chunk[3][3], chunk[3][5], chunk[3][6]
            column = path[0].decode()
            if size < 0 or (len(path) == 1 and column in flat and values != group[3]):
                raise ValueError(f"column {column} has {values:,} values in a group of {group[3]:,} rows")
            sizes[column] = sizes.get(column, 0) + size
    return Footer(rows, sizes)


def _require_true_pages(file: BinaryIO, chunk: Mapping[int, Any]) -> None:
    """Raise ValueError where the heads of a column's pages claim more than its `ColumnMetaData`.

    Polars reserves the memory that a page claims, and ends the process where there is none.
    """
    values, unpacked, packed = chunk[5], chunk[6], chunk[7]
    place = min(start for start in (chunk[9], chunk.get(11)) if start)
    end, found = place + packed, 0
    while place < end and found < values:
        file.seek(place)
        reader = _Compact(file.read(min(_MAX_HEAD, end - place)))
        head = reader.structure()
        data = head.get(5) or head.get(8)
        size, claimed = head[3], (data or head.get(7) or {1: 0})[1]
        place += reader.at + size
        if not (0 <= head[2] <= unpacked and size >= 0 and place <= end and claimed >= 0):
            raise ValueError("a page contradicts the footer")
        found += claimed if data else 0
    if found != values:
        raise ValueError(f"a column has {found:,} values, its footer says {values:,}")


_REPEATED = 2  # FieldRepetitionType
_MAX_HEAD = 1 << 18  # bytes of the head of a page, which may hold its smallest and largest value


class _Compact:
    """Thrift's compact protocol: structures as mappings from the ids of their fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def structure(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEPTH:
            raise ValueError("its footer is nested too deeply")
        fields: dict[int, Any] = {}
        last = 0
        while head := self._byte():
            last = last + (head >> 4) if head >> 4 else self._number()
            kind = head & 15
            fields[last] = kind == 1 if kind in {1, 2} else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2 | 3:  # booleans in a list, and bytes
                return self._byte()
            case 4 | 5 | 6:
                return self._number()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                head = self._byte()
                size = head >> 4 if head >> 4 < 15 else self._varint()
                if size > len(self._data) - self.at:
                    raise ValueError("a list in its footer is too long")
                return [self._value(head & 15, depth + 1) for _ in range(size)]
            case 12:
                return self.structure(depth + 1)
        raise ValueError("its footer has an unknown type")

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self._data):
            raise ValueError("its footer is cut off")
        return self._data[self.at - size : self.at]

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number in its footer is too long")

    def _number(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
