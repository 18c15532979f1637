"""The Parquet that we write is read back as it was by Polars, PyArrow and pandas, and has always the same bytes."""

import hashlib
from datetime import UTC, date, datetime
from io import BytesIO

import pandas
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset import parquet_writer

SCHEMA = {
    "text": pl.String, "integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean, "day": pl.Date,
    "moment": pl.Datetime("us", "UTC"),
}  # fmt: skip
ROWS = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.booleans(),
        st.none() | st.dates(),
        st.none() | st.datetimes(timezones=st.just(UTC)),
    ),
    max_size=40,
)
EXAMPLE = pl.DataFrame(
    [
        ("None", 7, 0.5, True, date(2024, 2, 29), datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("", None, None, None, None, None),
        (None, -(2**63), -0.0, False, date(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
    SCHEMA,
    orient="row",
)


@given(ROWS)
def test_every_reader_has_the_rows_and_types_that_were_written(rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, SCHEMA, orient="row")
    data = parquet_writer.write(frame, {"greeting": "héllo"})
    assert pl.read_parquet(BytesIO(data)).equals(frame)
    assert pl.read_parquet(BytesIO(data)).schema == frame.schema
    table = pq.read_table(BytesIO(data))
    assert table.to_pylist() == frame.to_dicts()
    assert list(map(str, table.schema.types)) == [
        "string", "int64", "double", "bool", "date32[day]", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert table.schema.metadata[b"greeting"].decode() == "héllo"


def test_the_bytes_are_these_on_any_machine_and_with_any_release() -> None:
    data = parquet_writer.write(EXAMPLE, {"greeting": "héllo"})
    assert hashlib.sha256(data).hexdigest() == "e5120c82ab7f929ecc20abc9e0e6443b87bac5bde9e1e3ec5f5ebb2c38f80e85"
    assert data.count(b"Polars") == 0


@pytest.mark.parametrize("rows", [EXAMPLE, EXAMPLE.head(1), EXAMPLE.slice(1, 1), EXAMPLE.clear()])
def test_pandas_has_the_same_types_with_nulls_and_without(rows: pl.DataFrame) -> None:
    types = pandas.read_parquet(BytesIO(parquet_writer.write(rows))).dtypes
    assert list(map(str, types)) == ["str", "Int64", "float64", "boolean", "object", "datetime64[us, UTC]"]


def test_large_integers_stay_exact_beside_nulls_in_pandas() -> None:
    table = pandas.read_parquet(BytesIO(parquet_writer.write(pl.DataFrame({"id": [2**62 + 1, None]}))))
    assert table["id"][0] == 2**62 + 1


def test_many_rows_and_long_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_writer, "ROWS_PER_GROUP", 7)
    frame = pl.DataFrame({"text": [None if row % 3 else "x" * row * 1000 for row in range(50)], "flag": [True] * 50})
    data = parquet_writer.write(frame)
    assert pl.read_parquet(BytesIO(data)).equals(frame)
    assert pq.ParquetFile(BytesIO(data)).num_row_groups == 8
    assert pq.read_table(BytesIO(data)).to_pylist() == frame.to_dicts()


@pytest.mark.parametrize("dtype", [pl.List(pl.String), pl.Int32, pl.Datetime("ms"), pl.Categorical, pl.Binary])
def test_a_type_that_no_manifest_has_is_no_column(dtype: pl.DataType) -> None:
    with pytest.raises(TypeError, match="column odd is"):
        parquet_writer.write(pl.DataFrame({"odd": []}, {"odd": dtype}))
