"""Exports that are cut off, ragged, in another encoding or another form: nothing that could be wrong is read."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from registry.core.values import DatasetManifest
from registry.errors import InvalidData, Refused
from support.selections import COLUMNS, manifest, read_export, rows, write_csv

UUIDS = [f"0a8c7f6e-0000-4000-8000-{number:012}" for number in range(12)]
PHOTOS = manifest()
HEAD = "uuid,label,camera,captured_at\n"
ROWS = [
    f"{uuid},{'cat' if number % 2 else 'dog'},cam-{number},2024-01-02 03:04:05\n" for number, uuid in enumerate(UUIDS)
]
WHOLE = HEAD + "".join(ROWS)


def read(path: Path, text: str | bytes, expected: DatasetManifest = PHOTOS) -> pl.DataFrame:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_export(path, expected, name=path.name)


def refusal(path: Path, text: str | bytes, expected: DatasetManifest = PHOTOS) -> str:
    with pytest.raises((InvalidData, Refused)) as error:
        read(path, text, expected)
    return str(error.value)


def with_column(name: str, column: Mapping[str, object]) -> DatasetManifest:
    return manifest(columns=COLUMNS | {name: column})


# --- cut off and ragged -----------------------------------------------------------------------------------------------


def test_a_csv_that_is_cut_off_anywhere_is_refused_or_gives_whole_rows(tmp_path: Path) -> None:
    whole = set(read(tmp_path / "e.csv", WHOLE).rows())
    for end in range(len(HEAD), len(WHOLE)):
        try:
            found = read(tmp_path / "e.csv", WHOLE[:end])
        except (InvalidData, Refused):
            continue
        assert set(found.rows()) <= whole, WHOLE[:end][-60:]
        assert WHOLE[:end].endswith("\n")


def test_a_csv_with_quotes_that_is_cut_off_anywhere_is_refused_or_gives_whole_rows(tmp_path: Path) -> None:
    text = WHOLE.replace("cam-", '"Nikon, ""old""\r\nand worn ').replace(",2024", '",2024')
    whole = set(read(tmp_path / "e.csv", text).rows())
    for end in range(len(HEAD), len(text)):
        try:
            assert set(read(tmp_path / "e.csv", text[:end]).rows()) <= whole, text[:end][-60:]
        except (InvalidData, Refused):
            continue


@pytest.mark.parametrize("classes_first", [False, True])
def test_a_last_row_without_a_line_break_is_read_where_it_must_be_whole(tmp_path: Path, *, classes_first: bool) -> None:
    """Google Sheets writes no line break at the end; a label that is no other's beginning cannot be cut off."""
    text = (
        f"camera,captured_at,uuid,label\nc,,{UUIDS[0]},cat"
        if classes_first
        else f"uuid,label,camera,captured_at,n\n{UUIDS[0]},cat,c,,1"
    )
    assert read(tmp_path / "e.csv", text)["label"].to_list() == ["cat"]


def test_a_last_row_that_may_be_cut_off_is_told_with_its_number(tmp_path: Path) -> None:
    assert refusal(tmp_path / "e.csv", WHOLE[:-1]) == (
        "e.csv is damaged; nothing was written\n"
        "  1 row is damaged\n"
        "      row 13: no line break at its end; the file may have been cut off there\n"
        "  hint: export it again; if nothing but the last line break is missing, add it"
    )


def test_ragged_rows_are_told_by_line_several_at_a_time(tmp_path: Path) -> None:
    lines = [
        HEAD,
        ROWS[0],
        f"{UUIDS[1]},cat\n",
        "\n",
        f'{UUIDS[2]},cat,"a\nb",\n',
        f"{UUIDS[3]},cat,c,,,\n",
        ROWS[4],
        "x",
    ]
    assert refusal(tmp_path / "e.csv", "".join(lines)) == (
        "e.csv is damaged; nothing was written\n"
        "  3 rows are damaged\n"
        "      row 3: 2 values, expected 4\n"
        "      row 7: 6 values, expected 4\n"
        "      row 9: no line break at its end; the file may have been cut off there\n"
        "  hint: export it again; if nothing but the last line break is missing, add it"
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('u,"cat"s,,', "row 3: text follows a closing quote; a quote inside of a value must be doubled"),
        ('u,"cat,,', "row 3: a quote is opened and never closed"),
        (f"u,{'a' * 200_000},,", "row 3: a value is longer than 131,072 characters"),
        ("caf\udce9,cat,,", r"row 3: uuid: byte 0xe9 is not UTF-8 ('é' in Windows-1252)"),
        ("u,c\udcc3,,", "row 3: label: byte 0xc3 is not UTF-8 ('Ã' in Windows-1252)"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_by_line(tmp_path: Path, line: str, fault: str) -> None:
    text = f"{HEAD}{ROWS[0]}{line}\n".encode("utf-8", "surrogateescape")
    told = refusal(tmp_path / "e.csv", text)
    assert fault in told
    assert ("hint: save it as UTF-8" in told) == ("UTF-8" in fault)


def test_faults_are_found_in_every_batch_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.dataset.delimited_files.BATCH", 3)
    text = "".join([HEAD, *ROWS[:5], "short\n", *ROWS[5:10], f'{UUIDS[10]},"cat"s,,\n', *ROWS[11:]])
    told = refusal(tmp_path / "e.csv", text)
    assert "row 7: 1 value, expected 4" in told
    assert "row 13: text follows a closing quote" in told


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read_and_counted(tmp_path: Path, end: str) -> None:
    assert read(tmp_path / "e.csv", WHOLE.replace("\n", end)).height == len(UUIDS)
    assert "row 13: 'x'" in refusal(tmp_path / "e.csv", WHOLE.replace(UUIDS[11], "x").replace("\n", end))


# --- separators and encodings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "separator"), [(".tsv", "\t"), (".txt", "\t"), (".txt", ",")])
def test_tab_separated_text_is_read(tmp_path: Path, suffix: str, separator: str) -> None:
    expected = read(tmp_path / "e.csv", WHOLE)
    assert read(tmp_path / f"e{suffix}", WHOLE.replace(",", separator)).equals(expected)


@pytest.mark.parametrize(
    ("name", "separator", "told"),
    [
        ("e.csv", ";", "e.csv has semicolons between its values, expected commas\n  hint: export it with commas"),
        ("e.csv", "\t", "e.csv has tabs between its values, expected commas\n  hint: name it .tsv"),
        ("e.csv", "|", "e.csv has vertical bars between its values, expected commas"),
        ("e.tsv", ",", "e.tsv has commas between its values, expected tabs"),
        ("e.txt", ";", "e.txt has semicolons between its values, expected tabs or commas"),
    ],
)
def test_another_separator_is_named(tmp_path: Path, name: str, separator: str, told: str) -> None:
    assert told in refusal(tmp_path / name, WHOLE.replace(",", separator))


def test_a_decimal_comma_does_not_hide_a_semicolon(tmp_path: Path) -> None:
    text = WHOLE.replace(",", ";").replace("cam-", "1,")
    assert "has semicolons between its values" in refusal(tmp_path / "e.csv", text)


def test_semicolons_in_a_header_are_no_separator(tmp_path: Path) -> None:
    text = WHOLE.replace("captured_at", "captured_at,a;b;c;d;e;f").replace(":05\n", ":05,1\n")
    assert read(tmp_path / "e.csv", text).height == len(UUIDS)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (WHOLE.encode("utf-16"), "e.csv is UTF-16 text, expected text in UTF-8\n  hint: save it as UTF-8"),
        (WHOLE.encode("utf-16-be"), "e.csv is UTF-16 text"),
        (WHOLE.encode("utf-16-le"), "e.csv is UTF-16 text"),
        (WHOLE.encode("utf-32"), "e.csv is UTF-32 text"),
        (b"PAR1\0\0\0", "e.csv is a Parquet file, expected text in UTF-8\n  hint: name it .parquet"),
        (b"<!DOCTYPE html><title>Log in", "e.csv is an HTML or XML page"),
        (b"uuid,label\n" + bytes(20), "e.csv has a NUL byte at position 11"),
        (f"sep=,\n{WHOLE}".encode(), "the first line is 'sep=', which only Excel knows"),
        (f"\n{WHOLE}".encode(), "the first line is empty, expected the columns' names"),
        ("uuid,label,größe\n".encode("latin-1"), "invalid column name 'gr\\udcf6\\udcdfe': byte 0xf6 is not UTF-8"),
        (f'uuid,"label\n{WHOLE}'.encode(), "row 1: a quote is opened and never closed"),
    ],
)
def test_what_is_no_text_in_utf_8_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in refusal(tmp_path / "e.csv", data)
    if not told.startswith(("the first", "row 1", "invalid")):
        assert told.partition(" ")[2].split(",")[0] in refusal(tmp_path / "e.json", data)


def test_a_nul_in_a_value_is_told_by_row(tmp_path: Path) -> None:
    text = "".join(f"{uuid[:-8]}{number:08},cat,{'c' * 40},\n" for number in range(100) for uuid in UUIDS[:1])
    assert "row 102: 'cam\\x00'" in refusal(tmp_path / "e.csv", f"{HEAD}{text}{UUIDS[0][:-1]}f,cat,cam\0,\n")
    some = [{"uuid": uuid, "label": "cat", "camera": "c\0", "captured_at": None} for uuid in UUIDS]
    assert "camera: 12 values are not a text without NUL characters" in refusal(tmp_path / "e.json", json.dumps(some))


# --- null markers -----------------------------------------------------------------------------------------------------

MARKERS = ["NULL", "null", "∅", r"\N", "N/A", "n/a", "NA", "None", "nan", "NaN", "-", "—", "#N/A", "(null)", "[NULL]",
           "<NA>", "nil", "NaT", "#REF!", "undefined", "(blank)", "?", ".", "\u200b", " NULL "]  # fmt: skip


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_null_marker_is_no_value_of_a_text_column(tmp_path: Path, marker: str, suffix: str) -> None:
    some = [row | {"images.camera": marker} for row in rows(3)]
    file = tmp_path / f"e{suffix}"
    if suffix == ".parquet":
        pl.DataFrame(some).write_parquet(file)
    else:
        (write_csv(file, some) if suffix == ".csv" else file.write_text(json.dumps(some)))
    with pytest.raises(InvalidData) as error:
        read_export(file, manifest(), name="e")
    first = 2 if suffix == ".csv" else 1
    (problem,) = error.value.problems
    assert problem == (
        "camera: 1 text may stand for a missing value; set columns.camera.null_values to those that do, or to []\n"
        f"      {marker!r}: 3 rows, first in row {first}"
    )


@pytest.mark.parametrize(
    "text", ["NULLARBOR", "NAN-1", "n", "a-b", "no", "none of these", "0", "Nil Desperandum", "..."]
)
def test_a_text_that_merely_resembles_a_marker_is_a_value(tmp_path: Path, text: str) -> None:
    file = write_csv(tmp_path / "e.csv", [row | {"images.camera": text} for row in rows(2)])
    assert read_export(file, manifest())["camera"].to_list() == [text] * 2


def test_the_manifest_says_which_texts_stand_for_a_missing_value(tmp_path: Path) -> None:
    texts = ["NULL", "-", "NA", " - ", ""]
    file = write_csv(
        tmp_path / "e.csv", [row | {"images.camera": text} for row, text in zip(rows(5), texts, strict=True)]
    )
    column = COLUMNS["camera"]
    for null_values, expected in (
        (["NULL", "-"], {"NA", None}),
        (["NULL"], {"NA", "-", " - ", None}),
        ([], {"NULL", "NA", "-", " - ", None}),
    ):
        frame = read_export(file, with_column("camera", column | {"null_values": null_values}))
        assert set(frame["camera"]) == expected


def test_null_values_are_those_of_every_type(tmp_path: Path) -> None:
    some = [row | {"images.captured_at": "0000-00-00"} for row in rows(2)]
    file = write_csv(tmp_path / "e.csv", some)
    assert "not a date and time" in refusal(tmp_path / "f.csv", file.read_bytes())
    column = COLUMNS["captured_at"] | {"null_values": ["0000-00-00"]}
    assert read_export(file, with_column("captured_at", column))["captured_at"].null_count() == 2


def test_a_class_may_be_called_none(tmp_path: Path) -> None:
    named = replace(manifest(), classes=("None", "NA", "null"))
    labels = ["None", "NA", "null"]
    file = write_csv(
        tmp_path / "e.csv", [row | {"images.label": text} for row, text in zip(rows(3), labels, strict=True)]
    )
    assert set(read_export(file, named)["label"]) == set(labels)
    with pytest.raises(InvalidData, match="'NA': 1 row, first in row 3"):
        read_export(file, replace(manifest(), classes=("None", "null")))


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    text = json.dumps(rows(3), indent=1)
    for end in range(1, len(text)):
        with pytest.raises((InvalidData, Refused)):
            read(tmp_path / "e.json", text[:end])


def test_json_lines_that_are_cut_off_anywhere_are_refused_or_give_whole_rows(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows(3))
    whole = set(read(tmp_path / "e.jsonl", text).rows())
    for end in range(1, len(text)):
        try:
            assert set(read(tmp_path / "e.jsonl", text[:end]).rows()) <= whole
        except (InvalidData, Refused):
            continue


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"uuid": "a", "label": "cat", "label": "dog"}, {"uuid": 1, "uuid": 2}]',
         "2 rows are damaged\n      row 1: duplicate key 'label'\n      row 2: duplicate key 'uuid'"),
        ('[{"uuid": "a"}, null, [1], 7]',
         "row 2: null, expected an object\n      row 3: a list, expected an object\n      row 4: a single value"),
        ('[{"uuid": "a"} {"uuid": "b"}]', "invalid or truncated JSON after row 1"),
        ('[{"uuid": "a"},, {"uuid": "b"}]', "invalid or truncated JSON after row 1"),
        ('[{"uuid": "a"},]', "invalid or truncated JSON after row 1"),
        ('[, {"uuid": "a"}]', "invalid or truncated JSON after row 0"),
        ('[{"uuid": "a"}] trailing', "invalid or truncated JSON after row 1"),
        ('{"uuid": "a"},\n{"uuid": "b"}', "invalid or truncated JSON after row 1"),
        ('[{"a\\ud800": 1}]', "invalid column name"),
        ('[{"\\u0000row": 1}]', "invalid column name"),
        ("[" + ",".join(f'{{"k{n}": 1}}' for n in range(3000)) + "]", "has 3,000 columns, expected at most 2,000"),
    ],
)  # fmt: skip
def test_json_that_is_no_list_of_rows_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path / "e.json", text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('{"a": 1}', "an object"),
        ("[1, 2]", "a list"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('"caf\udce9"', "byte 0xe9 is not UTF-8 ('é' in Windows-1252)"),
    ],
)
def test_a_value_of_json_that_is_no_text_is_told_by_row(tmp_path: Path, value: str, told: str) -> None:
    lines = [f'{{"uuid": "{uuid}", "label": "cat", "camera": {value}, "captured_at": null}}\n' for uuid in UUIDS]
    text = "".join(lines).encode("utf-8", "surrogateescape")
    said = refusal(tmp_path / "e.jsonl", text)
    assert "camera: 12 values are not a text without NUL characters\n      row 1: " + told in said
    assert "… and 2 more" in said


def test_numbers_of_json_are_texts_as_they_stand(tmp_path: Path) -> None:
    values = ["9007199254740993", "1e400", "-0", "1.50", "true"]
    lines = [
        f'{{"uuid": "{uuid}", "label": "cat", "camera": {value}, "captured_at": ""}}\n'
        for uuid, value in zip(UUIDS, values, strict=False)
    ]
    assert read(tmp_path / "e.ndjson", "".join(lines))["camera"].to_list() == values


# --- Parquet ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([{"a": 1}, {"a": 2}], "values of type Struct"),
        ([[1], [2]], "values of type List"),
        ([b"a", b"b"], "binary values"),
    ],
)
@pytest.mark.parametrize("name", ["images.camera", "images.uuid", "images.label"])
def test_a_column_of_parquet_that_has_no_text_is_refused_as_a_whole(
    tmp_path: Path, name: str, values: list[object], told: str
) -> None:
    pl.DataFrame(rows(2)).with_columns(pl.Series(name, values)).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InvalidData) as error:
        read_export(tmp_path / "e.parquet", manifest())
    (problem,) = error.value.problems
    assert problem.startswith(f"{name.removeprefix('images.')}: the column has {told}")


def test_a_nested_column_that_is_not_in_the_manifest_does_not_matter(tmp_path: Path) -> None:
    pl.DataFrame(rows(2)).with_columns(other=pl.Series([[1], [2]])).write_parquet(tmp_path / "e.parquet")
    assert read_export(tmp_path / "e.parquet", manifest()).height == 2
