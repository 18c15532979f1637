"""Every time has its unit: the zone of the query, or the one that a column names, where Looker does not convert."""

from typing import Any

import pytest

from support import selections
from support.looker_datasets import COLUMNS, Select, of, served
from support.servers.looker_explores import ALL, Dimension, User

NOON = "2024-03-01 12:00:00"  # in the database
ROWS = [row | {"images.captured_at": NOON} for row in selections.rows(3)]
AT = "${images.captured_at}"
RECEIVED = Dimension("images.received_time", "date_time", AT, convert_tz=False)
RAW = Dimension("images.captured_raw", "date_raw", AT)
TEXT = Dimension("images.captured_text", "string", AT)


def of_time(field: str, **changes: object) -> dict[str, object]:
    return COLUMNS | {"at": {"from": field, "type": "datetime", **changes}}


def times(select: Select) -> set[str]:
    return set(select.rows()["at"].dt.to_string("%H:%M").to_list())


@pytest.mark.parametrize(
    ("database", "zone", "expected"),
    [("UTC", "UTC", "12:00"), ("UTC", "Europe/Berlin", "12:00"), ("Europe/Berlin", "Asia/Tokyo", "11:00")],
)
def test_converted_times_are_in_the_query_s_zone(select: Select, database: str, zone: str, expected: str) -> None:
    with served(ROWS, database_timezone=database).serve() as server:
        assert select(server, of(timezone=zone), of_time("images.captured_at")) == 0
    assert times(select) == {expected}


@pytest.mark.parametrize(
    ("fields", "name", "explore", "reason"),
    [
        ((RECEIVED,), "images.received_time", {}, "convert_tz: no"),
        ((RAW,), "images.captured_raw", {}, "a raw value"),
        ((TEXT,), "images.captured_text", {}, "a text"),
        ((), "images.captured_at", {"has_timezone_support": False}, "the connection has no time zone support"),
    ],
)
def test_times_that_looker_does_not_convert_need_a_zone(
    select: Select,
    capsys: pytest.CaptureFixture[str],
    fields: tuple[Dimension, ...],
    name: str,
    explore: dict[str, Any],
    reason: str,
) -> None:
    """The database keeps Berlin's time: 12:00 there is 11:00 UTC, whatever the zone of the query."""
    with served(ROWS, *fields, database_timezone="Europe/Berlin", **explore).serve() as server:
        for zone in ("UTC", "Asia/Tokyo"):
            assert select(server, of(timezone=zone), of_time(name)) == 1
            err = capsys.readouterr().err
            assert f"columns.at: Looker does not convert {name} to the query's time zone ({reason})" in err
            assert "hint: add the database's time zone to columns.at, for example timezone: UTC" in err
            assert not server.paths("/queries/run/json")
        assert select(server, of(timezone="Asia/Tokyo"), of_time(name, timezone="Europe/Berlin")) == 0
    assert times(select) == {"11:00"}


def test_without_the_description_of_the_explore_its_lack_is_told(
    select: Select, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(ROWS, RECEIVED).serve() as server:
        server.users = [User("1", "Ana", permissions=ALL - {"see_lookml"})]
        server._lookml_model_explore = lambda *_: server._explore("no", "no", server.users[0])
        assert select(server, of(), of_time("images.received_time")) == 0
    assert "not known from Looker: the description of the explore" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("zone", "hint"), [("Europe/Berln", "write Europe/Berlin"), ("CEST", "write"), ("Mars/Olympus", "write a name of")]
)
def test_a_zone_that_looker_does_not_know_is_found_before_the_query(
    select: Select, capsys: pytest.CaptureFixture[str], zone: str, hint: str
) -> None:
    with served(ROWS).serve() as server:
        assert select(server, of(timezone=zone)) == 1
        assert not server.paths("/queries/run/json")
        err = capsys.readouterr().err
        assert f"source.looker.timezone: Looker does not know the time zone {zone!r}" in err
        assert f"hint: {hint}" in err


@pytest.mark.parametrize("zone", ["user_timezone", "Europe/Berln"])
def test_so_is_that_of_a_look(select: Select, capsys: pytest.CaptureFixture[str], zone: str) -> None:
    query = {"id": "70", "model": "photos", "view": "images", "fields": ["images.uuid", "images.label"]}
    with served(ROWS).serve() as server:
        server.looks = {"42": {"id": "42", "deleted": False, "query": query | {"query_timezone": zone}}}
        assert select(server, {"look": 42}) == 1
        assert not server.paths("/queries/run/json")
    assert f"Look 42: Looker does not know the time zone {zone!r}" in capsys.readouterr().err


def test_a_look_s_own_zone_is_that_of_its_times(select: Select) -> None:
    fields = ["images.uuid", "images.label", "images.captured_at"]
    query = {"id": "70", "model": "photos", "view": "images", "fields": fields, "query_timezone": "Asia/Tokyo"}
    with served(ROWS, database_timezone="Europe/Berlin").serve() as server:
        server.looks = {"42": {"id": "42", "deleted": False, "query": query}}
        assert select(server, {"look": 42}, of_time("images.captured_at")) == 0
    assert times(select) == {"11:00"}


def test_an_unknown_zone_of_a_column_is_refused(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    with served(ROWS).serve() as server:
        assert select(server, of(), of_time("images.captured_at", timezone="Europe/Berln")) == 1
    assert "columns.at: unknown time zone 'Europe/Berln'" in capsys.readouterr().err
