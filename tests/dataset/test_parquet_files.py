"""Parquet files that are small and hold too much, or whose footer does not tell the truth."""

import subprocess
import sys
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.dataset import exports, parquet_files, parquet_footer
from registry.errors import InvalidData, Refused
from support.selections import manifest, read_export, rows

N = 150_000


def written(frame: pl.DataFrame, **options: object) -> bytes:
    out = BytesIO()
    pq.write_table(frame.to_arrow(), out, compression="zstd", write_statistics=False, **options)
    return out.getvalue()


def varint(number: int) -> bytes:
    """A number as a footer has it."""
    number, out = number << 1, b""
    while number > 127:
        number, out = number >> 7, out + bytes([number & 127 | 128])
    return out + bytes([number])


def test_the_footer_is_what_pyarrow_reads() -> None:
    frame = pl.DataFrame(rows(5_000)).with_columns(other=pl.Series([[1, 2]] * 5_000), number=pl.lit(1.5))
    for data in (written(frame), written(frame, row_group_size=999), exports.write_selection(frame.drop("other"))):
        footer, metadata = parquet_footer.read(BytesIO(data), "x"), pq.ParquetFile(BytesIO(data)).metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
        sizes = dict.fromkeys((chunk.path_in_schema.removesuffix(".list.element") for chunk in chunks), 0)
        for chunk in chunks:
            sizes[chunk.path_in_schema.removesuffix(".list.element")] += chunk.total_uncompressed_size
        assert footer == parquet_footer.Footer(metadata.num_rows, sizes)


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 million rows without a value, in a megabyte."""
    path = tmp_path_factory.mktemp("bomb") / "selection.parquet"
    table = pa.table({name: pa.nulls(4_000_000, pa.string()) for name in ("uuid", "label", "camera", "captured_at")})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(30):
            writer.write_table(table)
    assert path.stat().st_size < 2_000_000
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "read",
    [
        "exports.read_selection(path.read_bytes(), 'x')",
        "exports.read_selection(path.read_bytes(), 'x', rows=10)",
        "read_export(path, manifest())",
        "classification.read(path.read_bytes(), pl.DataFrame({'uuid': ['a']}), 'x')",
    ],
)
def test_a_hundred_million_rows_are_refused_before_they_fill_the_memory(bomb: Path, read: str) -> None:
    code = (
        "import resource, sys; from pathlib import Path; import polars as pl\n"
        "from registry.dataset import exports; from registry.model import classification\n"
        "from registry.errors import Refused; from support.selections import manifest, read_export\n"
        "path, before = Path(sys.argv[1]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try:\n    {read}\nexcept Refused as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, 'MB')"
    )
    command = [sys.executable, "-c", code, str(bomb)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert "120,000,000 rows, expected " in done.stdout
    assert int(done.stdout.split()[-2]) < 100


def test_each_number_of_rows_that_contradicts_the_others_is_refused() -> None:
    frame = pl.DataFrame({"uuid": ["a"] * N, "label": pl.Series([None] * N, dtype=pl.String)})
    data = written(frame)
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    places = [place for place in range(start, len(data)) if data.startswith(varint(N), place)]
    assert len(places) >= 4  # of the file, the group, and each column
    for lie in (N - 1, N + 1, 120_000):
        refused = 0
        for place in places:
            forged = data[:place] + varint(lie) + data[place + len(varint(N)) :]
            try:
                assert parquet_files.read_table(forged, "x").equals(frame)  # the number is of something else
            except Refused:
                refused += 1
        assert refused >= 4
        forged = data[:start] + data[start:].replace(varint(N), varint(lie))  # all tell the same lie
        try:
            assert parquet_files.read_table(forged, "x").height == lie
        except (Refused, pl.exceptions.PolarsError):
            continue


@pytest.mark.parametrize("number", [-1, 1 << 40, 1 << 62])
def test_numbers_of_rows_that_no_file_has_are_refused(number: int) -> None:
    data = written(pl.DataFrame({"uuid": ["a"] * N}))
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    bare = varint(number) if number >= 0 else b"\x01"
    forged = data[start:-8].replace(varint(N), bare)
    with pytest.raises(Refused):
        parquet_files.read_table(data[:start] + forged + len(forged).to_bytes(4, "little") + b"PAR1", "x")


def test_a_file_that_is_cut_off_or_damaged_in_its_footer_is_refused() -> None:
    data = exports.write_selection(pl.DataFrame({"uuid": ["a", "b"], "label": ["cat", None]}))
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for end in (0, 4, 8, 12, start, len(data) - 4, len(data) - 1):
        with pytest.raises(Refused, match="is not a valid Parquet file, or is cut off"):
            parquet_footer.read(BytesIO(data[:end]), "x")
    for place in range(start, len(data)):
        for byte in (0, 0x19, 0x1C, 0x7F, 0xFF):
            try:
                exports.read_selection(data[:place] + bytes([byte]) + data[place + 1 :], "x")
            except Refused:
                continue


def test_a_file_that_is_damaged_anywhere_is_no_bug(tmp_path: Path) -> None:
    pl.DataFrame(rows(3)).write_parquet(tmp_path / "e.parquet")
    data = (tmp_path / "e.parquet").read_bytes()
    for place in range(0, len(data), 7):
        (tmp_path / "e.parquet").write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            read_export(tmp_path / "e.parquet", manifest())
        except (InvalidData, Refused):
            continue


def test_a_text_that_a_dictionary_holds_once_and_a_column_a_million_times_is_refused(tmp_path: Path) -> None:
    table = pl.DataFrame(rows(200)).with_columns(pl.lit("a" * 2_000_000).alias("images.camera"))
    data = written(table, use_dictionary=["images.camera"])
    assert len(data) < 200_000
    (tmp_path / "e.parquet").write_bytes(data)
    for read in (lambda: read_export(tmp_path / "e.parquet", manifest()), lambda: parquet_files.read_table(data, "x")):
        with pytest.raises(Refused, match=r"column images\.camera has a value of 2,000,000 bytes, expected at most"):
            read()


def test_many_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pl.DataFrame({f"score_{index}": [0.5] for index in range(2_001)}))
    with pytest.raises(Refused, match="x has 2,001 columns, expected at most 2,000"):
        parquet_files.read_table(data, "x")
    monkeypatch.setattr(parquet_footer, "MAX_CELLS", 100)
    with pytest.raises(Refused, match="x has 1,000 values in 1,000 columns, expected at most 100"):
        parquet_files.read_table(data, "x", wanted=lambda name: len(name) < 10)


def test_only_the_columns_of_the_manifest_are_read_from_an_export(tmp_path: Path) -> None:
    table = pl.DataFrame(rows(20)).with_columns(note=pl.lit("a" * 200_000), other=pl.Series([[b"1"]] * 20))
    table.write_parquet(tmp_path / "e.parquet")
    assert read_export(tmp_path / "e.parquet", manifest()).height == 20


@pytest.mark.parametrize("kind", [pl.Categorical(), pl.Enum(["cat", "dog"])])
def test_categories_are_texts(tmp_path: Path, kind: pl.DataType) -> None:
    table = pl.DataFrame(rows(20)).with_columns(pl.col("images.label").cast(kind))
    table.write_parquet(tmp_path / "e.parquet")
    assert read_export(tmp_path / "e.parquet", manifest())["label"].dtype == pl.String


def test_decimals_and_times_of_other_zones_are_values(tmp_path: Path) -> None:
    columns = {"uuid": {"type": "uuid"}, "label": {"type": "string"}, "n": {"type": "integer"}, "x": {"type": "number"}}
    table = pl.DataFrame(
        {"uuid": ["0a8c7f6e-0000-4000-8000-00000000000f"], "label": ["cat"], "n": [9_007_199_254_740_993]}
    ).with_columns(x=pl.Series([Decimal("1.50")]))
    table.write_parquet(tmp_path / "e.parquet")
    assert read_export(tmp_path / "e.parquet", manifest(columns=columns)).row(0)[2:] == (9_007_199_254_740_993, 1.5)
    table.with_columns(n=pl.lit(1.5)).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InvalidData, match=r"n: 1 value is not an integer"):
        read_export(tmp_path / "e.parquet", manifest(columns=columns))
