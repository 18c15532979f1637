import json
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from registry.errors import InvalidDocument, NotFound, Refused, RegistryError, ServiceFailed, StorageFailed
from registry.integrations import looker, looker_transport
from support.patience import FOR_EVER
from support.selections import LOOKER, Row, manifest, rows
from support.servers.looker import CLIENT_ID, CLIENT_SECRET, TOKEN, Fault, LookerServer
from support.servers.looker_explores import ALL, User

PHOTOS = manifest()
FIELDS = ["images.uuid", "images.label", "images.camera", "images.captured_at"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LookerServer]:
    """A Looker with 20 rows, to which the environment leads; waiting takes no time; nothing else is on the network."""

    def nowhere(*_: object, **__: object) -> None:
        raise AssertionError("a request went to another server")

    monkeypatch.setattr("requests.get", nowhere)
    monkeypatch.setattr(looker_transport, "PAUSES", (0, 0, 0, 0))
    for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET", "TIMEOUT", "VERIFY_SSL"):
        monkeypatch.delenv(f"LOOKERSDK_{name}", raising=False)
    with LookerServer(rows(20)).serve() as served:
        for name, value in served.env().items():
            monkeypatch.setenv(name, value)
        yield served


def run_query(tmp_path: Path, source: dict[str, object] = LOOKER) -> looker.QueryResult:
    (tmp_path / "results").mkdir()
    return looker.run_query(manifest(source).source, PHOTOS.columns, root=tmp_path, folder=tmp_path / "results")


def in_order(result: looker.QueryResult) -> list[Row]:
    """The rows of a result, as they came."""
    found: list[Row] = json.loads(result.rows.read_bytes())
    return found


def by_uuid(some: Sequence[Row]) -> list[Row]:
    return sorted(some, key=lambda row: str(row["images.uuid"]))


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
    assert in_order(result) == by_uuid(server.rows)
    assert result.images == 20
    assert result.timezone == "UTC"
    assert result.query == {
        "model": "photos",
        "view": "images",
        "fields": FIELDS,
        "filters": {"images.label": "cat,dog"},
        "sorts": ["images.uuid"],
        "query_timezone": "UTC",
    }
    assert result.share_url == f"{server.url}/x/{next(iter(server.queries))}"
    assert result.release == "26.22.7"
    assert result.sql_hash == sha256(server.sql(dict(result.query)).encode()).hexdigest()


def test_all_rows_are_asked_for_past_the_cache_and_the_session_is_closed(server: LookerServer, tmp_path: Path) -> None:
    server.rows = rows(6000)
    assert run_query(tmp_path).images == 6000
    run, count = server.paths("/queries/run/json")
    assert run.params == count.params == {"limit": "-1", "cache": "false", "apply_formatting": "false"}
    assert count.body["fields"] == ["registry_images"]
    assert (run.body["filters"], run.body["query_timezone"]) == (count.body["filters"], count.body["query_timezone"])
    assert server.calls[-1].method == "DELETE"


def test_a_session_that_cannot_be_closed_spoils_nothing(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/logout", 500, times=9)]
    assert run_query(tmp_path).images == 20
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
    assert result.images == len(dogs) == result.rows.read_text().count('"dog"')
    assert result.timezone == "Europe/Berlin"
    assert set(result.query) == {"model", "view", "fields", "filters", "query_timezone", "dynamic_fields"}
    run, count = (json.loads(call.body["dynamic_fields"]) for call in server.paths("/queries/run/json"))
    assert run == [custom, calculation]
    assert count[0] == custom
    assert (count[1]["type"], count[1]["based_on"], len(count)) == ("count_distinct", "images.uuid", 2)


def test_a_look_by_its_address_is_the_same_look(server: LookerServer, tmp_path: Path) -> None:
    server.looks[17] = saved(fields=FIELDS)
    assert run_query(tmp_path, {"look": f"{server.url}/looks/17?toggle=vis"}).images > 0


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


def test_looker_s_own_count_shows_that_it_cut_its_answer_short(server: LookerServer, tmp_path: Path) -> None:
    server.cap = 7
    result = run_query(tmp_path)
    assert (len(json.loads(result.rows.read_bytes())), result.images) == (7, 20)


def test_no_rows_are_an_answer_too(server: LookerServer, tmp_path: Path) -> None:
    server.rows = []
    result = run_query(tmp_path)
    assert (json.loads(result.rows.read_bytes()), result.images) == ([], 0)


def test_a_key_that_may_not_see_sql_may_still_select(server: LookerServer, tmp_path: Path) -> None:
    server.users = [User("1", "Ana", permissions=ALL - {"see_sql"})]
    result = run_query(tmp_path)
    assert (result.images, result.sql_hash) == (20, None)
    [line] = result.unknown
    assert line.startswith("the generated SQL: Looker responded with 403")


@pytest.mark.parametrize("status", [400, 403, 404, 422, 500])
@pytest.mark.parametrize(("path", "what"), [
    ("/queries", "the share link"), ("/run/sql", "the generated SQL"), ("/versions", "Looker's release"),
])  # fmt: skip
def test_what_no_row_depends_on_never_ends_a_run(
    server: LookerServer, tmp_path: Path, path: str, what: str, status: int
) -> None:
    server.faults = [Fault(path, status, times=99)]
    result = run_query(tmp_path)
    assert result.images == 20
    assert [line.partition(":")[0] for line in result.unknown] == [what]


def test_an_optional_answer_that_is_not_looker_s_never_ends_a_run(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = [Fault("/queries", body=b"[1]")]
    assert run_query(tmp_path).unknown == ("the share link: the response is not as Looker describes it",)


# --- transient failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/versions", "/queries", "/run/sql", "/run/json"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("", 429, {"Retry-After": "0"}),
        Fault("", 429, {"Retry-After": "soon"}),
        Fault("", 500, times=2),
        Fault("", 502, body=b"<html>Bad Gateway</html>", times=4),
        Fault("", cut=11),
        Fault("", cut=0, times=2),
    ],
    ids=lambda fault: f"{fault.status} {fault.cut}",
)
def test_what_passes_is_waited_out(
    server: LookerServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, fault: Fault
) -> None:
    server.faults = [Fault(**{**vars(fault), "path": path})]
    assert in_order(run_query(tmp_path)) == by_uuid(server.rows)
    assert server.faults[0].times == 0
    assert capsys.readouterr().err.count("; trying again in 0 s") == fault.times


def test_an_answer_without_a_length_that_breaks_off_is_asked_for_again(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/run/json", cut=400, whole=False)]
    assert in_order(run_query(tmp_path)) == by_uuid(server.rows)


@pytest.mark.parametrize("when", ["2", formatdate(usegmt=True)], ids=["seconds", "date"])
def test_looker_says_how_long_to_wait(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    server.faults = [Fault("/run/json", 429, {"Retry-After": when})]
    run_query(tmp_path)
    assert waits == [2.0 if when == "2" else 0.0]


def test_tries_are_limited(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/run/json", 503, times=99)]
    with pytest.raises(
        ServiceFailed, match=r"Looker responded with 503: told to fail \(explore images of model photos\)"
    ):
        run_query(tmp_path)
    assert len(server.paths("/run/json")) == 5


def test_no_wait_of_an_hour(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/run/json", 429, {"Retry-After": "3600"})]
    with pytest.raises(ServiceFailed, match="Retry-After is 3,600 seconds"):
        run_query(tmp_path)
    assert len(server.paths("/run/json")) == 1


# --- permanent failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/login", 404), ("/login", 401), ("/run/json", 401)])
def test_a_key_that_looker_does_not_know(server: LookerServer, tmp_path: Path, path: str, status: int) -> None:
    server.faults = [Fault(path, status)]
    with pytest.raises(ServiceFailed, match=r"127.0.0.1 refused the API key: told to fail\n  hint: set LOOKERSDK_"):
        run_query(tmp_path)
    assert len(server.paths(path)) == 1


def test_a_model_that_does_not_exist(server: LookerServer, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="Looker responded with 404 for explore images of model cars: Not found"):
        run_query(tmp_path, {"looker": {"model": "cars", "view": "images"}})


def test_a_field_that_does_not_exist(server: LookerServer, tmp_path: Path) -> None:
    server.rows = [{"images.uuid": "x"}]
    with pytest.raises(ServiceFailed, match=r"422 for .*: Validation Failed; fields: unknown field images\.label"):
        run_query(tmp_path)


def test_a_permission_that_is_missing(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/run/json", 403)]
    with pytest.raises(
        ServiceFailed, match=r"403(.|\n)*ask a Looker admin for the permissions access_data, explore and"
    ):
        run_query(tmp_path)


@pytest.mark.parametrize("padding", [0, 200_000])
def test_what_the_database_says_in_a_row_of_a_good_answer_is_an_error(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padding: int
) -> None:
    row = {"looker_error": 'SQL Error: column "rank" does not exist\n'}
    said = [{"images.uuid": "x" * padding}] * bool(padding) + [row]
    server.faults = [Fault("/run/json", body=json.dumps(said).encode(), times=9)]
    with pytest.raises(ServiceFailed, match='could not run the query: SQL Error: column "rank" does not exist'):
        run_query(tmp_path)


def test_a_server_that_is_too_slow(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKERSDK_TIMEOUT", "3")
    server.faults = [Fault("/run/json", delay=FOR_EVER)]
    with pytest.raises(ServiceFailed, match=r"did not respond within 3 seconds\n  hint: set LOOKERSDK_TIMEOUT to more"):
        run_query(tmp_path)
    assert len(server.paths("/run/json")) == 1


def test_a_server_that_is_not_there(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ServiceFailed, match=r"the connection to 127\.0\.0\.1 failed: \[Errno \d+\] Connection refused"):
        run_query(tmp_path)


@pytest.mark.parametrize("said", ["<html>Please log in</html>", [1, 2], {"access_token": 7}])
def test_a_server_that_is_no_looker(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: object
) -> None:
    server.faults = [Fault("", body=(said if isinstance(said, str) else json.dumps(said)).encode(), times=99)]
    with pytest.raises(
        ServiceFailed, match=r"127\.0\.0\.1 does not respond like Looker's API\n  hint: check LOOKERSDK_BASE"
    ):
        run_query(tmp_path)


def test_a_count_that_is_none(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults = [Fault("/run/json", times=1), Fault("/run/json", body=b'[{"images.uuid": "x"}]')]
    with pytest.raises(ServiceFailed, match="Looker returned no number of images"):
        run_query(tmp_path)


def test_a_folder_that_cannot_hold_the_rows(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/result-1.json").mkdir()
    with pytest.raises(StorageFailed, match="the rows cannot be written: Is a directory"):
        looker.run_query(PHOTOS.source, PHOTOS.columns, root=tmp_path, folder=tmp_path / "results")


# --- credentials ------------------------------------------------------------------------------------------------------


def test_variables_that_are_missing_are_named(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOOKERSDK_CLIENT_SECRET")
    monkeypatch.setenv("LOOKERSDK_BASE_URL", "")
    with pytest.raises(Refused, match="LOOKERSDK_BASE_URL and LOOKERSDK_CLIENT_SECRET are not set\n  hint: set"):
        run_query(tmp_path)


def test_the_file_at_the_root_is_read_and_no_other(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in server.env():
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ini = f"[Looker]\nbase_url={server.url}/\nclient_id={CLIENT_ID}\nclient_secret={CLIENT_SECRET}\nverify_ssl=True\n"
    (elsewhere / "looker.ini").write_text(ini)
    monkeypatch.chdir(elsewhere)
    (tmp_path / "root").mkdir()
    with pytest.raises(Refused, match="LOOKERSDK_CLIENT_SECRET are not set"):
        run_query(tmp_path / "root")
    (tmp_path / "looker.ini").write_text(ini)
    assert run_query(tmp_path).images == 20


@pytest.mark.parametrize("line", [f"client_secret {CLIENT_SECRET}", f"client_secret=%{CLIENT_SECRET}", "timeout=soon"])
def test_a_broken_file_is_not_quoted(server: LookerServer, tmp_path: Path, line: str) -> None:
    (tmp_path / "looker.ini").write_text(f"[Looker]\n{line}\n")
    with pytest.raises(InvalidDocument, match=r"looker\.ini: cannot be read") as error:
        run_query(tmp_path)
    assert CLIENT_SECRET not in str(error.value)
    assert error.value.__suppress_context__


def test_an_address_without_a_scheme(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", "acme.cloud.looker.com")
    with pytest.raises(Refused, match="LOOKERSDK_BASE_URL is not a URL"):
        run_query(tmp_path)


@pytest.mark.parametrize("status", [404, 422, 503])
@pytest.mark.parametrize("path", ["/login", "/run/json"])
def test_a_server_that_repeats_our_secrets_does_not_make_us_tell_them(
    server: LookerServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, status: int
) -> None:
    said = f"who is {CLIENT_ID}/{quote_plus(CLIENT_SECRET)} with {TOKEN}?\x1b[2J{' ' * 140}{CLIENT_SECRET}"
    for body in (json.dumps({"message": said}).encode(), said.encode()):
        server.faults, server.logins = [Fault(path, status, body=body, times=9)], 0
        (tmp_path / "results").mkdir(exist_ok=True)
        with pytest.raises(ServiceFailed) as error:
            looker.run_query(PHOTOS.source, PHOTOS.columns, root=tmp_path, folder=tmp_path / "results")
        shown = str(error.value) + capsys.readouterr().err
        assert "who is ***/***" in shown
        assert not any(secret in shown for secret in (CLIENT_ID, CLIENT_SECRET[:4], quote_plus(CLIENT_SECRET), "\x1b"))
        assert path == "/login" or TOKEN not in shown
