import json
from hashlib import sha256
from pathlib import Path

import pytest

from registry.errors import NotFound, Refused, RegistryError, ServiceFailed
from support.looker_runs import by_uuid, rows_of, run_query
from support.selections import rows
from support.servers.looker import Fault, LookerServer
from support.servers.looker_explores import ALL, User

FIELDS = ["images.uuid", "images.label", "images.camera", "images.captured_at"]


def saved(**changes: object) -> dict[str, object]:
    """A Look as Looker describes it."""
    query = {
        "id": "70", "model": "photos", "view": "images", "fields": [*FIELDS, "images.rank"], "pivots": None,
        "filters": {"images.label": "dog"}, "filter_config": {"images.label": [{"type": "="}]}, "sorts": None,
        "limit": "500", "total": True, "query_timezone": "Europe/Berlin", "dynamic_fields": None,
    }  # fmt: skip
    return {"id": "17", "title": "Dogs", "deleted": False, "query": query | changes}


# --- queries and results --------------------------------------------------------------------------------------------


def test_a_query_brings_every_row_and_where_it_came_from(server: LookerServer, tmp_path: Path) -> None:
    result = run_query(tmp_path)
    assert rows_of(result) == by_uuid(server.rows)
    assert result.timezone == "UTC"
    assert result.query == {
        "model": "photos",
        "view": "images",
        "fields": FIELDS,
        "filters": {"images.label": "cat,dog"},
        "sorts": ["images.uuid"],
        "query_timezone": "UTC",
    }
    assert result.origin.share_url == f"{server.url}/x/{next(iter(server.queries))}"
    assert result.origin.release == "26.22.7"
    assert result.origin.sql_hash == sha256(server.sql(dict(result.query)).encode()).hexdigest()


def test_all_rows_are_asked_for_past_the_cache_and_the_session_is_closed(server: LookerServer, tmp_path: Path) -> None:
    server.rows = rows(6000)
    assert len(rows_of(run_query(tmp_path))) == 6000
    run, control = server.paths("/queries/run/json")
    assert run.params == {"limit": "-1", "cache": "false", "apply_formatting": "false"}
    assert control.params == {**run.params, "limit": "100"}
    assert control.body == {**run.body, "sorts": ["images.uuid desc"]}
    assert server.calls[-1].method == "DELETE"


def test_a_session_that_cannot_be_closed_spoils_nothing(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/logout", 500, times=9)]
    assert len(rows_of(run_query(tmp_path))) == 20
    assert len(server.paths("/logout")) == 1


def test_filters_joined_by_or_go_along(server: LookerServer, tmp_path: Path) -> None:
    expression = '${images.label} = "cat" OR ${images.camera} = "XT-3"'
    run_query(
        tmp_path,
        {"looker": {"model": "photos", "view": "images", "filter_expression": expression, "timezone": "Asia/Tokyo"}},
    )
    for call in server.paths("/queries/run/json"):
        assert call.body["filter_expression"] == expression
        assert call.body["query_timezone"] == "Asia/Tokyo"


def test_a_look_is_run_as_it_is_now_without_its_limit(server: LookerServer, tmp_path: Path) -> None:
    server.rows = [row | {"images.rank": rank} for rank, row in enumerate(rows(6000))]
    custom = {"dimension": "half", "expression": "${images.rank} / 2", "label": "Half"}
    calculation = {"table_calculation": "twice", "expression": "2 * ${images.rank}", "label": "Twice"}
    server.looks["17"] = saved(dynamic_fields=json.dumps([custom, calculation]))
    result = run_query(tmp_path, {"look": 17})
    dogs = [row for row in server.rows if row["images.label"] == "dog"]
    assert len(dogs) == result.rows.read_text().count('"dog"')
    assert (result.timezone, result.limit) == ("Europe/Berlin", 500)
    assert set(result.query) == {"model", "view", "fields", "filters", "sorts", "query_timezone"}
    assert result.query["fields"] == FIELDS
    assert result.notes == (
        "Look 17: not part of the query: field images.rank, which no column names; table calculation twice; totals",
    )


def test_a_look_by_its_address_is_the_same_look(server: LookerServer, tmp_path: Path) -> None:
    server.looks[17] = saved(fields=FIELDS)
    assert rows_of(run_query(tmp_path, {"look": f"{server.url}/looks/17?toggle=vis"}))


def test_a_look_of_another_looker_is_not_asked_for(server: LookerServer, tmp_path: Path) -> None:
    server.looks[17] = saved(fields=FIELDS)
    with pytest.raises(Refused, match=r"the address is one of other\.looker\.com, but the API key is one of 127"):
        run_query(tmp_path, {"look": "https://other.looker.com/looks/17"})
    assert not server.paths("/looks/17")


@pytest.mark.parametrize(
    ("look", "error", "message"),
    [
        (saved(fields=FIELDS[1:]), NotFound, "Look 17 has no field images.uuid; it has images.label, images.camera"),
        (saved(pivots=["images.label"]), Refused, "Look 17 is pivoted"),
        (saved() | {"deleted": True}, NotFound, "Look 17 was deleted"),
        (
            None,
            ServiceFailed,
            r"404 for Look 17: Not found\n  hint: correct source in the manifest",
        ),
    ],
)
def test_a_look_that_is_no_table_of_images_is_refused(
    server: LookerServer, tmp_path: Path, look: dict[str, object] | None, error: type[RegistryError], message: str
) -> None:
    server.looks = {"17": look} if look else {}
    with pytest.raises(error, match=message):
        run_query(tmp_path, {"look": 17})


def test_the_last_rows_by_uuid_are_not_in_a_result_that_was_cut_off(server: LookerServer, tmp_path: Path) -> None:
    server.cap = 7
    result = run_query(tmp_path)
    found, last = (json.loads(file.read_bytes()) for file in (result.rows, result.last))
    ordered = sorted(str(row["images.uuid"]) for row in server.rows)
    assert [row["images.uuid"] for row in found] == ordered[:7]
    assert [row["images.uuid"] for row in last] == ordered[:-8:-1]


def test_no_rows_are_an_answer_too(server: LookerServer, tmp_path: Path) -> None:
    server.rows = []
    assert rows_of(run_query(tmp_path)) == []


def test_a_key_that_may_not_see_sql_may_still_select(server: LookerServer, tmp_path: Path) -> None:
    server.users = [User("1", "Ana", permissions=ALL - {"see_sql"})]
    result = run_query(tmp_path)
    assert (len(rows_of(result)), result.origin.sql_hash) == (20, None)
    [line] = result.unknown
    assert line.startswith("the generated SQL: Looker responded with 403")


@pytest.mark.parametrize("status", [400, 403, 404, 422, 500])
@pytest.mark.parametrize(("path", "what"), [
    ("/queries", "the share link"), ("/run/sql", "the generated SQL"), ("/versions", "Looker's release"),
    ("/user", "the user of the API key"), ("/session", "the workspace"), ("/git_branch", "the LookML commit"),
    ("/explores/images", "the description of the explore"),
])  # fmt: skip
def test_what_no_row_depends_on_never_ends_a_run(
    server: LookerServer, tmp_path: Path, path: str, what: str, status: int
) -> None:
    server.faults = [Fault(path, status, times=99)]
    result = run_query(tmp_path)
    assert len(rows_of(result)) == 20
    assert [line.partition(":")[0] for line in result.unknown] == [what]


def test_an_optional_answer_that_is_not_looker_s_never_ends_a_run(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = [Fault("/queries", body=b"[1]")]
    assert run_query(tmp_path).unknown == ("the share link: the response is not as Looker describes it",)


def test_a_model_that_does_not_exist(server: LookerServer, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="Looker responded with 404 for explore images of model cars: Not found"):
        run_query(tmp_path, {"looker": {"model": "cars", "view": "images"}})


def test_a_field_that_does_not_exist(server: LookerServer, tmp_path: Path) -> None:
    server.rows = [{"images.uuid": "x"}]
    with pytest.raises(ServiceFailed, match=r"422 for .*: Validation Failed; fields: unknown field images\.label"):
        run_query(tmp_path)
