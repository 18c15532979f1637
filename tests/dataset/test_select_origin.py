"""How rows were queried is recorded and compared: by whom, on which LookML, as which SQL; a file claims no query."""

import json
from pathlib import Path

import pytest

from registry.core.values import Asker, Lookml
from support import selections
from support.looker_datasets import Select, of, served
from support.servers.looker import LookerServer
from support.servers.looker_explores import ALL, User

ROWS = [row | {"images.tenant": ("acme", "globex", "initech", "acme")[place % 4]}
        for place, row in enumerate(selections.rows(40))]  # fmt: skip
ANA = User("7", "Ana Silva", attributes={"tenant": "acme,globex,initech"})
BEN = User("8", "Ben", attributes={"tenant": "acme"}, is_service_account=True)
BLIND = ALL - {"see_sql"}


def tenants() -> LookerServer:
    server = served(ROWS, access_filters={"images.tenant": "tenant"})
    server.users = [ANA, BEN]
    return server


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The line on what changed."""
    return capsys.readouterr().out.splitlines()[1]


def test_what_looker_tells_of_a_query_is_recorded(select: Select) -> None:
    with tenants().serve() as server:
        assert select(server, user=BEN) == 0
        origin = select.origin()
        assert origin.share_url == f"{server.url}/x/{next(iter(server.queries))}"
    assert origin.asked_by == Asker("8", "Ben", service_account=True)
    assert origin.lookml == Lookml("acme_lookml", "5f1d" * 10)
    assert (origin.workspace, origin.looker_release, origin.rows) == ("production", "26.22.7", 20)
    assert None not in {origin.sql_hash, origin.query_hash}
    assert origin.file_hash is None


def test_a_result_that_is_narrowed_by_rights_is_not_the_same_query(
    select: Select, capsys: pytest.CaptureFixture[str]
) -> None:
    with tenants().serve() as server:
        select(server, user=ANA)
        capsys.readouterr()
        assert select(server, user=BEN) == 0
    line = told(capsys)
    assert (
        "query unchanged in the manifest, but Looker's SQL changed (asked by Ben (service account 8) instead of "
        in line
    )
    assert "Ana Silva (user 7)); rows changed since" in line
    assert line.endswith(": 0 added, 20 removed, 0 changed")


def test_other_lookml_is_told_whether_rows_changed_or_not(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    with tenants().serve() as server:
        select(server)
        pointer = (select.root / "datasets/photos/raw.dvc").read_bytes()
        server.commits["acme_lookml"] = "a0c3" * 10
        server.explores[0].sql_always_where = "${images.tenant} <> 'hooli'"
        capsys.readouterr()
        select.again()
        assert "changed (LookML of acme_lookml changed from 5f1d5f1d5f to a0c3a0c3a0); rows unchanged" in told(capsys)
        assert (select.root / "datasets/photos/raw.dvc").read_bytes() == pointer
        server.explores[0].sql_always_where = "${images.tenant} <> 'globex'"
        select.again()
        assert "changed (LookML of acme_lookml changed from 5f1d5f1d5f to a0c3a0c3a0); rows changed" in told(capsys)


@pytest.mark.parametrize("which", [0, 1])
def test_without_the_sql_nothing_is_said_to_be_the_same(
    select: Select, capsys: pytest.CaptureFixture[str], which: int
) -> None:
    with served(ROWS).serve() as server:
        for turn, rows in enumerate((ROWS, ROWS[:30])):
            server.rows = rows
            server.users = [User("7", "Ana", permissions=BLIND if turn == which else ALL)]
            capsys.readouterr()
            assert select(server) == 0
    assert told(capsys).startswith(
        "query unchanged in the manifest; whether Looker's SQL is the same is not known; rows"
    )


def test_new_rows_of_the_same_query_are_called_that(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    with served(ROWS[:30]).serve() as server:
        select(server)
        server.rows = ROWS
        capsys.readouterr()
        select.again()
    assert told(capsys).startswith("query and SQL unchanged; rows changed since")


def test_a_relative_date_is_a_reason_for_other_sql(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    with served(ROWS).serve() as server:
        server.now = server.now.replace(year=2024, month=3, day=20)
        filters = {"filters": {"images.captured_at": "30 days"}}
        select(server, of(**filters))
        server.now = server.now.replace(day=28)
        capsys.readouterr()
        select.again()
    assert "changed (same user and LookML: a relative date or a user attribute changes it too)" in told(capsys)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [of(), {"look": 17}])
def test_a_file_in_place_of_a_query_claims_none(
    select: Select, capsys: pytest.CaptureFixture[str], tmp_path: Path, source: dict[str, object]
) -> None:
    file = selections.write_csv(tmp_path / "other.csv", [{name: row[name] for name in ("images.uuid", "images.label")}
                                                         for row in selections.rows(40, seed=9)])  # fmt: skip
    with served(ROWS).serve() as server:
        server.looks = {"17": look()}
        assert select(server, source) == 0
        capsys.readouterr()
        assert select.again("--from", str(file)) == 0
    assert told(capsys).startswith("rows from a file; no query was run; rows changed since")
    origin = select.origin()
    assert (origin.origin, origin.query, origin.query_hash, origin.sql_hash) == ("other.csv", None, None, None)
    assert (origin.asked_by, origin.share_url, origin.lookml) == (None, None, None)
    assert origin.file_hash is not None


def look(**changes: object) -> dict[str, object]:
    query = {
        "id": "70", "model": "photos", "view": "images", "fields": ["images.uuid", "images.label"],
        "filters": {}, "limit": "500", "query_timezone": "UTC", **changes,
    }  # fmt: skip
    return {"id": "17", "title": "Photos", "deleted": False, "query": query}


def test_a_look_that_was_edited_is_another_query(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    with served(ROWS).serve() as server:
        server.looks = {"17": look()}
        select(server, {"look": 17})
        server.looks = {"17": look(filters={"images.label": "cat"})}
        capsys.readouterr()
        select.again()
    assert told(capsys).startswith("query changed; rows changed")


# --- fewer images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "code"), [(0.5, 0), (0.49, 1), (0, 1), (None, 0)])
def test_a_result_that_lacks_too_many_images_stops(
    select: Select, capsys: pytest.CaptureFixture[str], limit: float | None, code: int
) -> None:
    expectations = {} if limit is None else {"expectations": {"max_removed_share": limit}}
    with tenants().serve() as server:
        select(server, user=ANA, **expectations)
        before = (select.root / "datasets/photos/raw.dvc").read_bytes()
        capsys.readouterr()
        assert select(server, user=BEN, **expectations) == code
    assert ((select.root / "datasets/photos/raw.dvc").read_bytes() == before) is bool(code)
    if code:
        err = capsys.readouterr().err
        assert "20 of 40 images (50.0%) of the previous selection are missing, expected at most " in err
        assert "asked by Ben (service account 8) instead of Ana Silva (user 7)" in err


@pytest.mark.parametrize("is_here", [True, False])
def test_also_where_the_previous_rows_are_not_here(select: Select, *, is_here: bool) -> None:
    expectations = {"expectations": {"max_removed_share": 0.2}}
    with served(ROWS).serve() as server:
        select(server, **expectations)
        if not is_here:
            (select.root / "datasets/photos/raw/selection.parquet").unlink()
        server.rows = ROWS[:31]
        assert select.again() == 1


def test_another_query_may_remove_images(select: Select) -> None:
    expectations = {"expectations": {"max_removed_share": 0}}
    with served(ROWS).serve() as server:
        select(server, **expectations)
        assert select(server, of(filters={"images.label": "cat"}), **expectations) == 0


def test_no_secret_is_recorded(select: Select) -> None:
    with served(ROWS).serve() as server:
        server.users = [User("7", f"Ana {User('7', '').client_secret}")]
        select(server)
        pointer = (select.root / "datasets/photos/raw.dvc").read_text()
    assert User("7", "").client_secret not in pointer
    assert json.dumps("Ana ***")[1:-1] in pointer
