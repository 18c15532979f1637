import csv
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.dataset import exports
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused, RegistryError
from support.selections import COLUMNS, Row, manifest, read_export, rows, write_csv, write_json

PHOTOS = manifest()
HEAD = "images.uuid,images.label,images.camera,images.captured_at\n"
CAT = "0a8c7f6e-0000-4000-8000-00000000000f,cat,,\n"
EVERY_TYPE = {
    "uuid": {"type": "uuid"},
    "label": {"type": "string"},
    "n": {"type": "integer", "nullable": True},
    "x": {"type": "number", "nullable": True},
    "sharp": {"type": "boolean", "nullable": True},
    "day": {"type": "date", "nullable": True},
    "at": {"type": "datetime", "nullable": True},
}


def hash_of(frame: pl.DataFrame) -> str:
    """What `rows_hash` has to say of the columns that most tests have, by Python's own means."""
    rows = ((*texts, at and f"{at:%Y-%m-%dT%H:%M:%S.%fZ}") for *texts, at in frame.rows())
    lines = (",".join(f'"{cell}"' if cell is not None else "" for cell in row) for row in (frame.columns, *rows))
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def write_lines(path: Path, some: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in some))


def write_parquet(path: Path, some: list[Row]) -> None:
    pl.DataFrame(some).with_columns(pl.col("images.captured_at").str.to_datetime()).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("e.csv", write_csv), ("e.json", write_json), ("e.ndjson", write_lines), ("e.parquet", write_parquet)],
)
def test_every_kind_of_export_gives_the_same_selection(
    tmp_path: Path, name: str, write: Callable[[Path, list[Row]], object]
) -> None:
    some = rows(50)
    write(tmp_path / name, some)
    read = read_export(tmp_path / name, PHOTOS)
    assert read.schema == {
        "uuid": pl.String,
        "label": pl.String,
        "camera": pl.String,
        "captured_at": pl.Datetime("us", "UTC"),
    }
    assert read["uuid"].to_list() == sorted(row["images.uuid"] for row in some)
    assert read["camera"].to_list() == [
        row["images.camera"] for row in sorted(some, key=lambda row: row["images.uuid"])
    ]
    assert exports.rows_hash(read) == hash_of(read)


def test_an_export_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """A byte order mark, CRLF, Looker's labels as heads, another order, a column too many, capitals, empty lines."""
    file = tmp_path / "export.csv"
    text = (
        "\ufeffImages Label,Images Captured At,Images UUID,Images Camera,Rank\r\n"
        'dog,2024-01-02T03:04:05Z,0A8C7F6E-0000-4000-8000-00000000000F,"Nikon, ""old""\r\nand worn",1\r\n'
        "cat,,0a8c7f6e-0000-4000-8000-00000000000e,,2\r\n"
        ",,,,\r\n\r\n\r\n"
    )
    file.write_bytes(text.encode())
    assert read_export(file, PHOTOS).drop("captured_at").rows() == [
        ("0a8c7f6e-0000-4000-8000-00000000000e", "cat", None),
        ("0a8c7f6e-0000-4000-8000-00000000000f", "dog", 'Nikon, "old"\r\nand worn'),
    ]


def test_json_with_a_byte_order_mark_and_rows_of_other_keys_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.dataset.json_files.BATCH", 2)
    some = [{name: value for name, value in row.items() if value is not None} for row in rows(9)]
    (tmp_path / "export.json").write_text("\ufeff\n" + json.dumps(some, indent=2) + "\n\n")
    assert exports.rows_hash(read_export(tmp_path / "export.json", PHOTOS)) == exports.rows_hash(
        read_export(write_csv(tmp_path / "export.csv", rows(9)), PHOTOS)
    )


def test_the_field_s_own_head_goes_before_the_column_s_name(tmp_path: Path) -> None:
    some = [{"label": "?", "Images UUID": "?", **row} for row in rows(3)]
    assert read_export(write_csv(tmp_path / "export.csv", some), PHOTOS)["label"].is_in(["cat", "dog"]).all()


def test_the_order_of_the_rows_does_not_matter_and_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    some = rows(500)
    written = [
        exports.write_selection(read_export(write_csv(tmp_path / "export.csv", order), PHOTOS))
        for order in (some, some[::-1], some)
    ]
    assert written[0] == written[1] == written[2]


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    frame = read_export(write_csv(tmp_path / "export.csv", rows(3000)), PHOTOS)
    (tmp_path / "rows.parquet").write_bytes(data := exports.write_selection(frame))
    again = (
        "import sys; from pathlib import Path; from registry.dataset import exports; "
        "data = Path(sys.argv[1]).read_bytes(); "
        "sys.stdout.buffer.write(exports.write_selection(exports.read_selection(data, 'rows')))"
    )
    command = [sys.executable, "-c", again, str(tmp_path / "rows.parquet")]
    assert subprocess.run(command, env={"POLARS_MAX_THREADS": "1"}, capture_output=True, check=True).stdout == data


def test_a_selection_is_plain_parquet(tmp_path: Path) -> None:
    data = exports.write_selection(read_export(write_csv(tmp_path / "export.csv", rows(10)), PHOTOS))
    (tmp_path / "selection.parquet").write_bytes(data)
    group = pq.ParquetFile(tmp_path / "selection.parquet").metadata.row_group(0)
    assert [group.column(index).compression for index in range(group.num_columns)] == ["ZSTD"] * 4
    assert not any(group.column(index).is_stats_set for index in range(group.num_columns))
    assert pq.read_table(tmp_path / "selection.parquet").column_names == ["uuid", "label", "camera", "captured_at"]


def test_the_hash_of_rows_never_changes(tmp_path: Path) -> None:
    """Another release of Polars must give the same one: `raw.dvc` of every registry holds it."""
    some: list[Row] = [
        {"uuid": "0a8c7f6e-0000-4000-8000-00000000000f", "label": "cat", "n": "-1", "x": "1e16", "sharp": "yes",
         "day": "2024-01-31", "at": "2024-01-31 12:00:00.5"},
        {"uuid": "0a8c7f6e-0000-4000-8000-00000000000e", "label": "dog", "n": "", "x": "0.1", "sharp": "no",
         "day": "", "at": ""},
    ]  # fmt: skip
    frame = read_export(write_csv(tmp_path / "export.csv", some), manifest(columns=EVERY_TYPE))
    text = (
        b'"uuid","label","n","x","sharp","day","at"\n'
        b'"0a8c7f6e-0000-4000-8000-00000000000e","dog",,"0.1","false",,\n'
        b'"0a8c7f6e-0000-4000-8000-00000000000f","cat","-1","1e+16","true","2024-01-31","2024-01-31T12:00:00.500000Z"\n'
    )
    assert exports.rows_hash(frame) == sha256(text).hexdigest()
    assert exports.rows_hash(frame[::-1]) != exports.rows_hash(frame)


def test_the_hash_of_rows_does_not_depend_on_how_they_are_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame = read_export(write_csv(tmp_path / "export.csv", rows(25)), PHOTOS)
    whole = exports.rows_hash(frame)
    monkeypatch.setattr(exports, "ROWS_PER_GROUP", 10)
    assert exports.rows_hash(frame) == whole


def test_every_kind_of_fault_is_told_at_once_with_its_first_ten(tmp_path: Path) -> None:
    uuids = [str(row["images.uuid"]) for row in rows(20)]
    lines = [
        *(f"{uuid},bird,,2024-01-01 00:00:00" for uuid in uuids[:12]),
        f"{uuids[0].upper()},cat,,31/12/2024 10:00",
        "../../etc/passwd,dog,,",
        "\x1b[31mred,cat,,",
        f"{uuids[18]},,,",
        f"{uuids[19]}, dog,,",
    ]
    (tmp_path / "export.csv").write_text(HEAD + "\n".join(lines) + "\n")
    with pytest.raises(InvalidData) as error:
        read_export(tmp_path / "export.csv", PHOTOS, name="export.csv")
    assert str(error.value) == (
        "export.csv does not match datasets/photos/dataset.yaml; nothing was written\n"
        "  uuid: 2 values are not a UUID (8-4-4-4-12 hex digits)\n"
        "      row 15: '../../etc/passwd'\n"
        "      row 16: '\\x1b[31mred'\n"
        "  label: 1 row is without a value\n"
        "      row 17\n"
        "  captured_at: 1 value is not a date and time (2024-01-31T12:00:00Z; "
        "a local time that is skipped or repeated needs an offset)\n"
        "      row 14: '31/12/2024 10:00'\n"
        "  uuid: 1 duplicate UUID, whose rows differ in label (images.label) and captured_at (images.captured_at)\n"
        f"      {uuids[0]}: rows 2, 14\n"
        "  label: 2 labels are not in classes\n"
        "      'bird': 12 rows, first in row 2\n"
        "      ' dog': 1 row, first in row 18\n"
        "  hint: correct the rows at their source, or columns and classes in the manifest; then select again"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [("caf\u00e9", "cafe\u0301"), ("a dog", "a\u00a0dog"), ("\u212bngstr\u00f6m", "A\u030angstro\u0308m")],
    ids=["NFC and NFD", "no-break space", "a sign and a letter"],
)
def test_labels_that_look_alike_are_told_apart(tmp_path: Path, one: str, other: str) -> None:
    labels = [one, other, "cat"]
    write_json(tmp_path / "export.json", [row | {"images.label": labels[at % 3]} for at, row in enumerate(rows(9))])
    with pytest.raises(InvalidData) as error:
        read_export(tmp_path / "export.json", PHOTOS, name="export.json")
    assert "2 labels are not in classes" in str(error.value)
    for label in (one, other):
        assert f"(in ASCII: {label!a}): 3 rows" in str(error.value)


def test_of_many_faults_of_a_kind_ten_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    write_json(tmp_path / "export.json", [row | {"images.uuid": f"no-{index}"} for index, row in enumerate(rows(25))])
    with pytest.raises(InvalidData, match=r"uuid: 25 values are not a UUID(.|\n)*row 10: 'no-9'\n +… and 15 more"):
        read_export(tmp_path / "export.json", PHOTOS)


def test_missing_columns_are_named_with_what_is_there(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "export.csv", rows(1), ("id", "Images Label", "Camera", "taken"))
    with pytest.raises(InvalidData) as error:
        read_export(file, PHOTOS)
    (problem,) = error.value.problems
    assert problem.splitlines() == [
        "2 columns are missing; found 'id', 'Images Label', 'Camera', 'taken'",
        "      images.uuid or uuid",
        "      images.captured_at or captured_at",
    ]


def test_two_columns_that_could_be_meant_are_not_chosen_between(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text(
        "images.uuid,images.uuid,Label,images-label,camera,captured_at\n,,,,,\n" + "x,,,,,\n"
    )
    with pytest.raises(InvalidData) as error:
        read_export(tmp_path / "export.csv", PHOTOS)
    assert "uuid matches several columns: 'images.uuid', 'images.uuid'" in error.value.problems


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("e.csv", b"", "the first line is empty"),
        ("e.csv", HEAD, "the table has no rows"),
        ("e.csv", HEAD + ",,,\n\n", "the table has no rows"),
        ("e.csv", HEAD + CAT.replace("cat", "caf\xe9"), "row 2: images.label: byte 0xe9 is not UTF-8"),
        ("e.csv", HEAD + CAT.replace("\n", ",more\n"), "row 2: 5 values, expected 4"),
        ("e.csv", HEAD + CAT.replace(",cat", ',"cat'), "row 2: a quote is opened and never closed"),
        ("e.csv", (HEAD + CAT).replace(",", ";"), "has semicolons between its values, expected commas"),
        ("e.csv", (HEAD + CAT).encode("utf-16"), "is UTF-16 text"),
        ("e.json", "[]", "the table has no rows"),
        ("e.json", "", "the table has no rows"),
        ("e.json", '[{"uuid": 1},\n{"uui', "invalid or truncated JSON after row 1"),
        ("e.json", '[{"uuid": 1},', "after row 1"),
        ("e.json", '[{"uuid": 1}', "after row 1"),
        ("e.json", '[{"uuid": 1}] {"uuid": 2}', "after row 1"),
        ("e.json", '{"uuid": 1} ]', "after row 1"),
        ("e.json", "[[1, 2]]", "row 1: a list, expected an object"),
        ("e.json", "[" * 100_000, "nested too deeply"),
        ("e.json", bytes(range(128, 256)), "byte 0x80 is not UTF-8"),
        ("e.json", '[{"uuid": {"a": [1]}, "label": "cat", "camera": "", "captured_at": ""}]', "row 1: an object"),
        ("e.parquet", b"PAR1 nonsense PAR1", "it has no footer at its end"),
        ("e.dat", b"x", r"unsupported file type\n  hint: export it as .csv, .tsv, .txt, .json"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, data: str | bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode("latin-1"))
    with pytest.raises((InvalidData, Refused), match=fault):
        read_export(tmp_path / name, PHOTOS)


def test_a_row_without_end_is_refused_before_memory_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.dataset.json_text.MAX_ROW", 3 << 20)
    (tmp_path / "export.json").write_text('[{"uuid": "' + "a" * (6 << 20) + '"}]')
    with pytest.raises(Refused, match="after row 0"):
        read_export(tmp_path / "export.json", PHOTOS)


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("nowhere.csv", NotFound, "nowhere.csv does not exist"),
        ("no/folder/export.csv", NotFound, "no/folder/export.csv does not exist"),
        (".", Refused, "is not a file"),
        ("/dev/null", Refused, "/dev/null is not a file"),
        (f"{'a' * 300}.csv", Refused, "cannot be read: File name too long"),
    ],
)
def test_a_path_that_leads_to_no_file_is_refused(
    tmp_path: Path, place: str, error: type[RegistryError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_export(tmp_path / place, PHOTOS)


def test_parquet_keeps_its_types_apart(tmp_path: Path) -> None:
    """Whole floats are integers, categories are texts, times with a zone keep their moment, lists are shown."""
    frame = pl.DataFrame(
        {"uuid": ["0a8c7f6e-0000-4000-8000-00000000000f"], "label": ["cat"], "n": [3.0], "x": [2], "sharp": [True],
         "day": ["2024-01-31"], "at": ["2024-01-31 13:00:00"]}
    ).with_columns(
        pl.col("label").cast(pl.Categorical),
        pl.col("day").str.to_date(),
        pl.col("at").str.to_datetime().dt.replace_time_zone("Europe/Berlin"),
    )  # fmt: skip
    frame.write_parquet(tmp_path / "export.parquet")
    read = read_export(tmp_path / "export.parquet", manifest(columns=EVERY_TYPE))
    assert str(read.drop("uuid").rows()[0]) == (
        "('cat', 3, 2.0, True, datetime.date(2024, 1, 31), "
        "datetime.datetime(2024, 1, 31, 12, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')))"
    )
    frame.with_columns(pl.concat_list("label").alias("label")).write_parquet(tmp_path / "export.parquet")
    with pytest.raises(InvalidData, match=r"label: the column has values of type List\(Categorical\), expected a text"):
        read_export(tmp_path / "export.parquet", manifest(columns=EVERY_TYPE))


def test_a_time_zone_that_does_not_exist_is_the_manifest_s_fault(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "export.csv", rows(1))
    with pytest.raises(InvalidDocument, match=r"datasets/photos/dataset.yaml: source: unknown time zone 'Mars/Base'"):
        read_export(file, PHOTOS, timezone="Mars/Base")


def test_what_is_no_selection_is_refused() -> None:
    with pytest.raises(Refused, match=r"raw/selection\.parquet is not a valid Parquet file"):
        exports.read_selection(b"nothing", "raw/selection.parquet")


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip), min_size=1, max_size=8)
)
def test_texts_come_out_as_they_went_in(tmp_path: Path, texts: list[str]) -> None:
    some = [row | {"images.camera": text} for row, text in zip(rows(len(texts)), texts, strict=True)]
    expected = {row["images.uuid"]: row["images.camera"] for row in some}
    with (tmp_path / "e.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([some[0].keys(), *(row.values() for row in some)])
    write_json(tmp_path / "e.json", some)
    any_text = manifest(columns=COLUMNS | {"camera": COLUMNS["camera"] | {"null_values": []}})
    for name in ("e.csv", "e.json"):
        frame = read_export(tmp_path / name, any_text)
        assert dict(frame.select("uuid", "camera").rows()) == expected
        assert exports.read_selection(exports.write_selection(frame), name).equals(frame)
