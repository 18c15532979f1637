"""Deliveries in JSON: json_detail, json_bi, pages of an API, and errors that were saved as a file."""

import json
from pathlib import Path

import pytest

from registry.dataset import exports
from registry.dataset.exports import Zone
from registry.errors import InvalidData, Refused
from support.selections import Row, manifest, read_export, rows, write_json

PHOTOS = manifest()


def detailed(some: list[Row]) -> list[dict[str, object]]:
    return [{name: {"value": value, "rendered": f"<b>{value}</b>"} for name, value in row.items()} for row in some]


def refusal(path: Path, data: object) -> str:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises((InvalidData, Refused)) as error:
        read_export(path, PHOTOS, name=path.name)
    return str(error.value)


@pytest.mark.parametrize("chunk", [1 << 20, 97, 1])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("key", "mark"), [("data", "fields"), ("rows", "metadata")])
def test_the_rows_of_json_detail_and_json_bi_are_those_of_plain_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, mark: str, *, is_first: bool, chunk: int
) -> None:
    monkeypatch.setattr("registry.dataset.json_text.CHUNK", chunk)
    some, rest = rows(9), {mark: {"dimensions": [{"name": "images.uuid"}]}, "sql": "SELECT 1", "runtime": 1.25}
    whole = {key: detailed(some)} | rest if is_first else rest | {key: detailed(some)}
    (tmp_path / "e.json").write_text(json.dumps(whole))
    assert read_export(tmp_path / "e.json", PHOTOS).equals(read_export(write_json(tmp_path / "p.json", some), PHOTOS))


def test_json_detail_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than what one value may take."""
    monkeypatch.setattr("registry.dataset.json_text.MAX_ROW", 4_000)
    monkeypatch.setattr("registry.dataset.json_text.CHUNK", 1_000)
    (tmp_path / "e.json").write_text(json.dumps({"fields": {}, "data": detailed(rows(100))}))
    assert read_export(tmp_path / "e.json", PHOTOS).height == 100


def test_json_detail_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"fields": {"dimensions": []}, "data": detailed(rows(2)), "timezone": "UTC"})
    for end in range(1, len(text)):
        assert refusal(tmp_path / "e.json", text[:end])


@pytest.mark.parametrize("facts", [{"truncated": True}, {"rows_truncated": "yes"}, {"has_more": True}])
def test_an_answer_that_says_it_is_cut_is_refused(tmp_path: Path, facts: dict[str, object]) -> None:
    told = refusal(tmp_path / "e.json", {"fields": {}, "data": detailed(rows(2))} | facts)
    assert told.startswith(f"e.json says {next(iter(facts))}: it does not have all rows")


def test_a_page_of_another_api_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    told = refusal(tmp_path / "e.json", {"data": rows(2), "next_page": "?page=2"})
    assert told.startswith("e.json is an object with rows in a list, and 'next_page' beside it")
    assert "'nothing'" not in refusal(tmp_path / "e.json", {"rows": rows(2)})


def test_a_row_may_have_a_column_called_data(tmp_path: Path) -> None:
    some = [{"data": [1, 2], **row} for row in rows(3)]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    assert read_export(tmp_path / "e.jsonl", PHOTOS).height == 3


# --- the zone of the file ---------------------------------------------------------------------------------------------


def test_the_zone_that_json_detail_names_is_that_of_its_times(tmp_path: Path) -> None:
    some = rows(3)
    (tmp_path / "e.json").write_text(json.dumps({"fields": {}, "data": detailed(some), "timezone": "Asia/Tokyo"}))
    tokyo = read_export(write_json(tmp_path / "p.json", some), PHOTOS, timezone="Asia/Tokyo")
    read = exports.read(tmp_path / "e.json", PHOTOS, zone=Zone())
    assert read.frame.equals(tokyo)
    assert read.notes == ("captured_at: times without an offset were read in Asia/Tokyo (as the file says)",)
    assert read_export(tmp_path / "e.json", PHOTOS, timezone="Asia/Tokyo").equals(tokyo)


def test_a_manifest_and_a_file_that_name_different_zones_are_not_chosen_between(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps({"fields": {}, "data": detailed(rows(3)), "timezone": "Asia/Tokyo"}))
    with pytest.raises(Refused) as error:
        exports.read(tmp_path / "e.json", PHOTOS, zone=Zone("UTC", "source.looker.timezone"), name="e.json")
    assert str(error.value) == (
        "e.json says that its times are in Asia/Tokyo, expected UTC (source.looker.timezone)\n"
        "  hint: say which is right: --timezone Asia/Tokyo"
    )
    decided = exports.read(tmp_path / "e.json", PHOTOS, zone=Zone("UTC", "--timezone"))
    assert decided.notes == ("captured_at: times without an offset were read in UTC (--timezone)",)


def test_a_zone_that_a_file_makes_up_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps({"fields": {}, "data": detailed(rows(1)), "timezone": "Mars"}))
    with pytest.raises(Refused, match=r"e\.json: unknown time zone 'Mars'"):
        exports.read(tmp_path / "e.json", PHOTOS, zone=Zone(), name="e.json")


# --- errors -----------------------------------------------------------------------------------------------------------

DENIED = {"message": "Not found", "documentation_url": "https://cloud.google.com/looker/docs/"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([{"looker_error": "Query killed after 120 seconds"}], "Query killed after 120 seconds"),
        ([*rows(3), {"looker_error": "the database hung up\x1b[31m"}], "the database hung up [31m"),
        ({"looker_error": "Something broke"}, "Something broke"),
        (DENIED, "Not found"),
        (DENIED | {"errors": []}, "Not found"),
        ({"fields": {}, "data": [], "errors": [{"title": "SQL Error", "message_details": "no table"}]}, "no table"),
        ({"fields": {}, "data": detailed(rows(2)), "errors": [{"message": "timed out"}]}, "timed out"),
    ],
    ids=["alone", "last", "object", "API", "API with errors", "json_detail", "json_detail with rows"],
)
def test_an_error_of_looker_s_in_a_file_is_told_as_what_it_is(tmp_path: Path, data: object, said: str) -> None:
    assert refusal(tmp_path / "e.json", data) == (
        f"e.json has an error of Looker's in place of rows: {said}\n"
        "  hint: run the query in Looker until it succeeds, then export it again"
    )


def test_rows_may_have_columns_that_are_called_like_an_error(tmp_path: Path) -> None:
    some = [row | {"message": "hi", "documentation_url": "", "looker_error": None} for row in rows(3)]
    assert read_export(write_json(tmp_path / "e.json", some), PHOTOS).height == 3
