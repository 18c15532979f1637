"""The table of a split, read as the commands read it, and refused where it is not one."""

from contextlib import suppress
from io import BytesIO

import polars as pl
import pytest

from registry.core.values import Column
from registry.dataset import metadata_tables
from registry.errors import Refused

KNOWN, OTHER = (f"0a8c7f6e-0000-4000-8000-{number:012}" for number in range(2))
ROWS = pl.DataFrame(
    {
        "file_name": [f"null/{OTHER}.jpg", f"cat/{KNOWN}.jpg"],
        "label": ["null", "cat"],
        "camera": [None, "Z"],
        "size": [None, 2000.0],
        "sharp": [True, None],
    }
)
CLASSES = ("null", "cat")
COLUMNS = tuple(
    Column(name, name, kind, nullable=True)
    for name, kind in {
        "uuid": "uuid", "label": "string", "camera": "string", "size": "number", "sharp": "boolean", "later": "date",
    }.items()
)  # fmt: skip


def test_what_was_written_is_read_typed_and_sorted_by_file_name() -> None:
    found = metadata_tables.read(metadata_tables.write(ROWS, CLASSES), COLUMNS)
    assert found.rows(named=True) == [
        {"uuid": KNOWN, "label": "cat", "camera": "Z", "size": 2000.0, "sharp": None},
        {"uuid": OTHER, "label": "null", "camera": None, "size": None, "sharp": True},
    ]


def test_the_order_of_rows_changes_nothing_and_that_of_classes_the_numbers() -> None:
    data = metadata_tables.write(ROWS, CLASSES)
    assert metadata_tables.write(ROWS.reverse(), CLASSES) == data
    numbers = [
        pl.read_parquet(BytesIO(metadata_tables.write(ROWS, order)))["label"].to_list()
        for order in (CLASSES, CLASSES[::-1])
    ]
    assert numbers == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("camera", ["Z", None]),
        ("size", ["2000.0", None]),
        ("sharp", [None, "true"]),
        ("label", ["cat", "null"]),
        ("label_name", ["cat", "null"]),
    ],
)
def test_a_column_as_texts(name: str, values: list[str | None]) -> None:
    found = metadata_tables.read_texts(metadata_tables.write(ROWS, CLASSES), name)
    assert found is not None
    assert found.rows() == list(zip([KNOWN, OTHER], values, strict=True))


def test_a_column_that_is_not_there() -> None:
    assert metadata_tables.read_texts(metadata_tables.write(ROWS, CLASSES), "place") is None


def parquet(frame: pl.DataFrame) -> bytes:
    out = BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


GOOD = {"file_name": [f"cat/{KNOWN}.jpg"], "label": [0], "label_name": ["cat"]}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "metadata.parquet is not a valid Parquet file"),
        (b"file_name,label\n", "metadata.parquet is not a valid Parquet file"),
        (metadata_tables.write(ROWS, CLASSES)[:-9] + b"PAR1", "metadata.parquet is not a valid Parquet file"),
        (b"PAR1" + b"\xff" * 64 + b"\x40\0\0\0PAR1", "metadata.parquet is not a valid Parquet file"),
        (parquet(pl.DataFrame({"a": [1]})), "metadata.parquet: no column file_name of texts"),
        (parquet(pl.DataFrame({**GOOD, "label_name": [1]})), "metadata.parquet: no column label_name of texts"),
        (parquet(pl.DataFrame({**GOOD, "camera": [["Z"]]})), "metadata.parquet: column camera has values of type List"),
        (
            parquet(pl.DataFrame({**GOOD, "camera": [{"z": 1}]})),
            "metadata.parquet: column camera has values of type Struct",
        ),
        (parquet(pl.DataFrame({**GOOD, "camera": [7]})), "metadata.parquet: column camera has the type Int64"),
    ],
)
def test_a_table_that_is_none_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(Refused) as caught:
        metadata_tables.read(data, COLUMNS)
    assert str(caught.value).startswith(fault)


@pytest.mark.parametrize("values", [[["Z"]], [{"z": 1}], [b"Z"]])
def test_a_nested_value_is_no_text(values: list[object]) -> None:
    with pytest.raises(Refused, match=r"column camera has (values of type|binary)"):
        metadata_tables.read_texts(parquet(pl.DataFrame({**GOOD, "camera": values})), "camera")


def test_random_damage_ends_in_a_refusal_or_a_table() -> None:
    data = metadata_tables.write(ROWS, CLASSES)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        with suppress(Refused):
            metadata_tables.read(bytes(damaged), COLUMNS)
