"""The same rows come of a query or Look through the API and of its own downloads, in whatever format and time zone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.cli import main
from registry.integrations import looker_transport
from support import repositories, selections
from support.selections import Row, rows
from support.servers.looker import LookerServer
from support.servers.looker_explores import Dimension, Explore, View

DATASET = "datasets/photos"
BERLIN = "Europe/Berlin"
COLUMNS = {
    **selections.COLUMNS,
    "blurry": {"from": "images.is_blurry", "type": "boolean"},
    "width": {"from": "images.width", "type": "integer"},
    "score": {"from": "images.score", "type": "number"},
    "day": {"from": "images.received_date", "type": "date"},
}
FIELDS = [column["from"] for column in COLUMNS.values()]
QUERY: Row = {"model": "photos", "view": "images", "fields": FIELDS, "sorts": ["images.uuid"], "query_timezone": BERLIN}


def photos(count: int = 40) -> list[Row]:
    """Rows as the warehouse has them; times are UTC."""
    return [
        row
        | {"images.is_blurry": number % 2 == 0, "images.width": 640 + number, "images.score": number / 7 + 0.01}
        | {"images.received_date": f"2024-03-{number % 28 + 1:02}"}
        for number, row in enumerate(rows(count))
    ]


class Desk:
    """A registry, and a Looker of which it has the API key."""

    def __init__(self, root: Path, server: LookerServer) -> None:
        self.root, self.server = root, server

    def manifest(self, source: dict[str, Any], columns: dict[str, Any] = COLUMNS) -> None:
        (self.root / DATASET / "dataset.yaml").write_bytes(selections.text(source, columns))

    def select(self, *args: str) -> int:
        return main.run(["select", DATASET, *args])

    def rows_hash(self) -> str:
        selection = yaml.safe_load((self.root / DATASET / "raw.dvc").read_text())["meta"]["selection"]
        return str(selection["rows_hash"])

    def download(self, kind: str, limit: int = -1, **changes: object) -> Path:
        file = self.root.parent / f"download.{kind.partition('_')[0]}"
        file.write_bytes(self.server.download(QUERY | changes, kind, limit=limit))
        return file

    def forget(self) -> None:
        (self.root / DATASET / "raw.dvc").unlink()


@pytest.fixture
def desk(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (registry_repo / DATASET).mkdir(parents=True)
    repositories.commit(registry_repo, "an empty registry")
    monkeypatch.chdir(registry_repo)
    monkeypatch.setattr(looker_transport, "PAUSES", (0, 0, 0, 0))
    explore = Explore("photos", "images", View("images", photos(), (Dimension("images.uuid", label="Photo ID"),)))
    look = {"id": "42", "deleted": False, "query": {"id": "1", **QUERY}}
    with LookerServer(explores=[explore], looks={"42": look}).serve() as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield Desk(registry_repo, server)


LISTED = COLUMNS | {"uuid": {"from": ["images.uuid", "Images Photo ID"], "type": "uuid"}}
SOURCES = {
    "look": {"look": 42},
    "looker": {"looker": {"model": "photos", "view": "images", "timezone": BERLIN}},
}


@pytest.mark.parametrize("kind", ["csv", "txt", "json", "json_label", "json_detail"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_download_has_the_rows_of_the_api(desk: Desk, source: dict[str, Any], kind: str) -> None:
    desk.manifest(source, LISTED)
    assert desk.select() == 0
    by_api = desk.rows_hash()
    desk.forget()
    assert desk.select("--from", str(desk.download(kind))) == 0
    assert desk.rows_hash() == by_api


def test_a_download_in_another_zone_has_the_rows_of_the_api_where_it_is_said(desk: Desk) -> None:
    """The person who downloads may live elsewhere than the Look."""
    desk.manifest(SOURCES["look"], LISTED)
    assert desk.select() == 0
    by_api = desk.rows_hash()
    file = str(desk.download("csv", query_timezone="America/New_York"))
    for arguments, same in (((), False), (("--timezone", "America/New_York"), True)):
        desk.forget()
        assert desk.select("--from", file, *arguments) == 0
        assert (desk.rows_hash() == by_api) is same


def test_a_field_with_a_label_of_its_own_needs_it_listed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.manifest(SOURCES["look"])
    assert desk.select("--from", str(desk.download("csv"))) == 1
    err = capsys.readouterr().err
    assert "1 column is missing; found 'Images Photo ID'" in err
    assert "images.uuid or uuid" in err
    assert desk.select("--from", str(desk.download("json"))) == 0


# --- the zone of a Look -----------------------------------------------------------------------------------------------


def without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"LOOKERSDK_{name}")


def test_a_look_s_zone_is_asked_and_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.manifest(SOURCES["look"], LISTED)
    assert desk.select("--from", str(desk.download("csv"))) == 0
    assert "times without an offset were read in Europe/Berlin (Look 42)" in capsys.readouterr().out


def test_without_a_key_the_zone_of_a_look_has_to_be_said(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_a_key(monkeypatch)
    desk.manifest(SOURCES["look"], LISTED)
    file = str(desk.download("csv"))
    assert desk.select("--from", file) == 1
    assert "40 times are without an offset, in an unknown time zone" in capsys.readouterr().err
    assert desk.select("--from", file, "--timezone", BERLIN) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"query_timezone": None}, "the time zone of Look 42: it is the zone of each user"),
        (None, "the time zone of Look 42: "),
    ],
)
def test_a_zone_that_looker_does_not_tell_is_not_utc(
    desk: Desk, capsys: pytest.CaptureFixture[str], change: dict[str, Any] | None, told: str
) -> None:
    desk.manifest(SOURCES["look"], LISTED)
    file = str(desk.download("csv"))
    look = desk.server.looks.pop("42")
    if change is not None:
        desk.server.looks["42"] = look | {"query": look["query"] | change}
    assert desk.select("--from", file) == 1
    err = capsys.readouterr().err
    assert "40 times are without an offset, in an unknown time zone" in err
    assert f"not known from Looker: {told}" in err


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("may_download", [True, False])
def test_a_download_of_as_many_rows_as_a_limit_is_compared_with_looker(
    desk: Desk, capsys: pytest.CaptureFixture[str], source: dict[str, Any], *, may_download: bool
) -> None:
    desk.manifest(source, LISTED)
    desk.server.explores[0].base.rows = photos(501)
    if not may_download:
        desk.server.cap = 500
    assert desk.select("--from", str(desk.download("csv", 500))) == 1
    err = capsys.readouterr().err
    assert "download.csv has exactly 500 rows, at which Looker cuts downloads off; Looker has 1 image at least" in err
    assert "hint: registry select datasets/photos, which reads Looker itself" in err
    desk.server.explores[0].base.rows = photos(500)
    assert desk.select("--from", str(desk.download("csv", 500))) == 0
    assert "500 rows: a limit of downloads; Looker has no other rows" in capsys.readouterr().out


@pytest.mark.parametrize("place", [0, 250, 500])
def test_the_row_that_was_cut_off_is_found_wherever_it_is(desk: Desk, place: int) -> None:
    """A download is in the order of its sorts, not of the UUIDs."""
    desk.manifest(SOURCES["look"], LISTED)
    desk.server.cap = 500
    rows = sorted(photos(501), key=lambda row: str(row["images.uuid"]))
    desk.server.explores[0].base.rows = rows[:place] + rows[place + 1 :]
    file = str(desk.download("csv", 500))
    desk.server.explores[0].base.rows = rows
    assert desk.select("--from", file) == 1


def test_what_looker_cannot_tell_is_confirmed(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.manifest(SOURCES["look"], LISTED)
    desk.server.explores[0].base.rows = photos(500)
    file = str(desk.download("csv", 500))
    monkeypatch.setenv("LOOKERSDK_CLIENT_SECRET", "wrong")
    assert desk.select("--from", file, "--timezone", BERLIN) == 1
    assert "at which Looker cuts downloads off; Looker could not be asked: " in capsys.readouterr().err
    without_a_key(monkeypatch)
    assert desk.select("--from", file, "--timezone", BERLIN) == 1
    assert "if it has all of them, add --complete" in capsys.readouterr().err
    assert desk.select("--from", file, "--timezone", BERLIN, "--complete") == 0
    assert "500 rows: a limit of downloads; confirmed with --complete" in capsys.readouterr().out


# --- formatted values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "told"), [("#,##0", "row 2: '1,640'"), ("$0.00", "row 2: '$1640.00'"), ("0.0%", "%'")]
)
def test_formatted_numbers_of_a_download_are_refused(
    desk: Desk, capsys: pytest.CaptureFixture[str], form: str, told: str
) -> None:
    desk.manifest(SOURCES["look"], LISTED)
    view = desk.server.explores[0].base
    view.rows = [row | {"images.width": 1640} for row in photos(3)]
    assert desk.select() == 0
    by_api = desk.rows_hash()
    view.fields = (*view.fields, Dimension("images.width", "number", value_format=form))
    assert desk.select("--from", str(desk.download("csv"))) == 1
    err = capsys.readouterr().err
    assert "width: 3 values are not an integer" in err
    assert told in err
    detail = desk.download("json_detail")  # which has the values beside their form
    desk.forget()
    assert desk.select("--from", str(detail)) == 0
    assert desk.rows_hash() == by_api
