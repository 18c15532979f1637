"""Values as downloads format them for people: times without a zone, grouped numbers, HTML, rows of totals."""

from pathlib import Path

import pytest

from registry.core.values import DatasetManifest
from registry.dataset import exports
from registry.dataset.exports import Zone
from registry.errors import InvalidData, Refused
from support.selections import COLUMNS, manifest, read_export

A, B, C = (f"0a8c7f6e-0000-4000-8000-00000000000{number}" for number in "abc")
PHOTOS = manifest()
WIDTHS = manifest(columns=COLUMNS | {"width": {"type": "number", "nullable": True}})
WHOLE = manifest(columns=COLUMNS | {"width": {"type": "integer", "nullable": True}})
HEAD = "uuid,label,camera,captured_at,width\n"


def write(path: Path, *lines: str) -> Path:
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return path


def refusal(path: Path, expected: DatasetManifest, timezone: str | None = "UTC") -> str:
    with pytest.raises((InvalidData, Refused)) as error:
        read_export(path, expected, timezone=timezone)
    return str(error.value)


# --- time zones -------------------------------------------------------------------------------------------------------


def test_times_without_a_zone_are_refused_that_is_not_said(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,,2024-03-01 10:00:09,", f"{B},cat,,2024-03-01T10:00:09Z,", f"{C},cat,,,")
    told = refusal(file, PHOTOS, None)
    assert "captured_at: 1 time is without an offset, in an unknown time zone; say which with --timezone" in told
    assert "row 2: '2024-03-01 10:00:09'" in told
    assert "row 3" not in told
    assert str(read_export(file, PHOTOS, timezone="Europe/Berlin")["captured_at"][0]) == "2024-03-01 09:00:09+00:00"


def test_times_that_say_their_offset_need_no_zone_and_ignore_one(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,,2024-03-01 10:00:09+05:30,", f"{B},cat,,2024-03-01T04:30:09Z,")
    for timezone in (None, "Asia/Tokyo", "UTC"):
        assert len(set(read_export(file, PHOTOS, timezone=timezone)["captured_at"])) == 1
    assert exports.read(file, PHOTOS, zone=Zone("Asia/Tokyo", "x")).notes == ()


def test_a_file_without_times_needs_no_zone(tmp_path: Path) -> None:
    assert read_export(write(tmp_path / "e.csv", f"{A},cat,,,"), PHOTOS, timezone=None).height == 1


def test_what_is_no_time_is_told_apart_from_a_time_without_a_zone(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,,2024-03-01 10:00:09,", f"{B},cat,,01.03.2024 10:00,")
    told = refusal(file, PHOTOS, None)
    assert "captured_at: 1 value is not a date and time" in told
    assert "row 3: '01.03.2024 10:00'" in told
    assert "captured_at: 1 time is without an offset" in told


def test_the_zone_that_was_used_is_told_with_who_said_it(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,,2024-03-01 10:00:09,")
    read = exports.read(file, PHOTOS, zone=Zone("Europe/Berlin", "source.export.timezone"))
    assert read.notes == ("captured_at: times without an offset were read in Europe/Berlin (source.export.timezone)",)


def test_an_unknown_zone_of_the_option_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,,,")
    with pytest.raises(Refused, match="--timezone: unknown time zone 'Mars/Base'"):
        exports.read(file, PHOTOS, zone=Zone("Mars/Base", "--timezone"))


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["1,234", "1.234.567", "1.234,5", "1 234", "1\u202f234", "1'234", "12%", "12.5 %", "$12", "€ 12", "(12)",
     "\u221212", "12k", "∅", "12px", "1,5"],
)  # fmt: skip
@pytest.mark.parametrize("expected", [WIDTHS, WHOLE], ids=["number", "integer"])
def test_a_formatted_number_is_never_another_number(tmp_path: Path, text: str, expected: DatasetManifest) -> None:
    file = write(tmp_path / "e.csv", f'{A},cat,,,"{text}"')
    told = refusal(file, expected)
    assert "width: 1 value is not" in told
    assert f"row 2: {text!r}" in told


def test_a_point_between_thousands_is_not_a_decimal_point(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,,,1.920", f"{B},cat,,,800", f"{C},cat,,,12.000")
    told = refusal(file, WIDTHS)
    assert "width: 2 numbers may be decimals, or have a point between thousands" in told
    assert "row 2: '1.920'\n      row 4: '12.000'" in told
    assert "row 4: '12.000'" in refusal(file, WHOLE)


@pytest.mark.parametrize(
    "texts", [("1.920", "0.5"), ("1.920", "0.125"), ("1920.125", "1.5"), ("1.92", "3.84"), ("-1.5", "2e-3"), ("7", "8")]
)
def test_numbers_that_can_only_be_decimals_are_read(tmp_path: Path, texts: tuple[str, ...]) -> None:
    lines = [f"{uuid},cat,,,{text}" for uuid, text in zip((A, B), texts, strict=True)]
    assert read_export(write(tmp_path / "e.csv", *lines), WIDTHS)["width"].to_list() == [float(one) for one in texts]


@pytest.mark.parametrize(("text", "value"), [("12.0", 12), ("12.00", 12), ("0.000", 0), ("1234.000", 1234), ("+7", 7)])
def test_a_whole_number_may_have_decimals_that_are_zero(tmp_path: Path, text: str, value: int) -> None:
    assert read_export(write(tmp_path / "e.csv", f"{A},cat,,,{text}"), WHOLE)["width"].to_list() == [value]


def test_a_number_of_json_has_no_separators(tmp_path: Path) -> None:
    row = '{{"uuid": "{}", "label": "cat", "camera": null, "captured_at": null, "width": {}}}'
    (tmp_path / "e.json").write_text(f"[{row.format(A, '1.920')}, {row.format(B, '800')}]")
    assert read_export(tmp_path / "e.json", WIDTHS)["width"].to_list() == [1.92, 800]
    (tmp_path / "f.json").write_text(f"""[{row.format(A, '"1.920"')}, {row.format(B, '"800"')}]""")
    assert "1 number may be decimals, or have a point" in refusal(tmp_path / "f.json", WIDTHS)


# --- texts and totals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Fuji &amp; Co", "X&#39;100", "<a href='x'>X100</a>", "a &lt; b", "<br/>x"])
def test_html_in_texts_is_told_and_kept(tmp_path: Path, text: str) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,{text},,", f"{B},cat,XT-3,,")
    read = exports.read(file, WIDTHS, zone=Zone("UTC", "x"))
    assert read.frame["camera"].to_list() == [text, "XT-3"]
    (note,) = read.notes
    assert note.startswith("warning: camera: 1 text with HTML, as formatted values have it")
    assert note.endswith(f"first in row 2: {text!r}")


@pytest.mark.parametrize("text", ["a & b", "AT&T;", "1 < 2", "<3", "R&D"])
def test_a_text_that_is_no_html_is_not_told(tmp_path: Path, text: str) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,{text},,")
    assert exports.read(file, WIDTHS, zone=Zone("UTC", "x")).notes == ()


@pytest.mark.parametrize("totals", [",,,,5", ',,,,"1,234.00"', " ,,,,5"])
def test_a_row_of_totals_at_the_end_is_left_out_and_told(tmp_path: Path, totals: str) -> None:
    file = write(tmp_path / "e.csv", f"{A},cat,c,,2", f"{B},dog,c,,3", totals)
    for expected in (WIDTHS, PHOTOS):
        read = exports.read(file, expected, zone=Zone("UTC", "x"))
        assert (read.frame.height, read.notes) == (
            2,
            ("row 4 has neither uuid nor label: Looker's totals, which were left out",),
        )


@pytest.mark.parametrize(
    "lines",
    [(",,,,5", f"{A},cat,,,1"), (f"{A},cat,,,1", ",cat,,,5"), (f"{A},cat,,,1", f"{B},,,,5"), (f"{A},cat,,,1", ",,c,,5"),
     (f"{A},cat,,,1", ",,,,5", ",,,,5"), (",,,,5",)],
    ids=["first", "label", "uuid", "camera", "twice", "alone"],
)  # fmt: skip
def test_any_other_row_without_a_value_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert "without a value" in refusal(write(tmp_path / "e.csv", *lines), WIDTHS)


def test_json_has_no_row_of_totals(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(f'[{{"uuid": "{A}", "label": "cat", "camera": 1, "captured_at": null}}, {{}}]')
    assert "uuid: 1 row is without a value" in refusal(tmp_path / "e.json", PHOTOS)
