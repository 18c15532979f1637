"""What is tried again, what is not, and how often the database works for it."""

import json
import signal
import threading
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import pytest

from registry.errors import RegistryError, ServiceFailed, StorageFailed
from registry.integrations import looker_transport
from support.looker_runs import by_uuid, rows_of, run_query
from support.patience import FOR_EVER
from support.selections import LOOKER
from support.servers.looker import Fault, LookerServer
from support.servers.looker_explores import ALL, User

MAY_NOT_SEE_QUERIES = User("1", "Ana", permissions=ALL - {"see_queries"})
QUERIES = "/queries/run/json"


def runs(server: LookerServer) -> int:
    """How often all rows were queried; the last ones are another query."""
    return sum(call.params["limit"] == "-1" for call in server.paths(QUERIES))


# --- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/versions", "/queries", "/run/sql", QUERIES])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("", 408),
        Fault("", 429, {"Retry-After": "0"}, times=4),
        Fault("", 429, {"Retry-After": "soon"}),
        Fault("", 500),
        Fault("", 502, body=b"<html>Bad Gateway</html>"),
        Fault("", 503, times=4),
        Fault("", cut=11),
        Fault("", drop=True, delay=0.01),
    ],
    ids=lambda fault: f"{fault.status} {fault.cut}",
)
def test_what_passes_is_waited_out(
    server: LookerServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, fault: Fault
) -> None:
    server.faults = [Fault(**{**vars(fault), "path": path})]
    result = run_query(tmp_path)
    assert (rows_of(result), result.unknown) == (by_uuid(server.rows), ())
    assert server.faults[0].times == 0
    assert capsys.readouterr().err.count("; trying again in 0 s") == fault.times


@pytest.mark.parametrize("path", ["/login", "/versions", "/queries", "/run/sql"])
@pytest.mark.parametrize("fault", [Fault("", 504, times=4), Fault("", 524, times=4), Fault("", 500, times=4)])
def test_what_is_no_query_is_asked_five_times(server: LookerServer, tmp_path: Path, path: str, fault: Fault) -> None:
    server.faults = [Fault(**{**vars(fault), "path": path})]
    assert run_query(tmp_path).unknown == ()
    assert len(server.paths(path)) == 5


def test_a_network_that_asks_for_a_login_is_told_at_once(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/login", 511, body=PAGE, times=99)]
    with pytest.raises(
        ServiceFailed, match=r"but with 511 and an HTML page, «Sign in – acme»\n  hint: check LOOKERSDK_B"
    ):
        run_query(tmp_path)
    assert len(server.calls) == 1


@pytest.mark.parametrize("cut", [0, 1, 400])
@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_that_breaks_off_is_asked_for_again(
    server: LookerServer, tmp_path: Path, cut: int, *, whole: bool
) -> None:
    server.faults = [Fault(QUERIES, cut=cut, whole=whole)]
    assert rows_of(run_query(tmp_path)) == by_uuid(server.rows)
    assert runs(server) == 2


@pytest.mark.parametrize(
    "said",
    [
        "Query killed after waiting in queue for 600 seconds",
        "Sequel::PoolTimeout: timeout: 5.0, elapsed: 5.01",
        "Exceeded rate limits: too many concurrent queries for this project",
        "The warehouse is temporarily unavailable. Try again.",
    ],
)
@pytest.mark.parametrize("form", ["row", "object"])
def test_a_full_queue_is_waited_out(server: LookerServer, tmp_path: Path, said: str, form: str) -> None:
    body = json.dumps([{"looker_error": said}] if form == "row" else {"looker_error": said}).encode()
    server.faults = [Fault(QUERIES, body=body, times=3)]
    assert rows_of(run_query(tmp_path)) == by_uuid(server.rows)


@pytest.mark.parametrize("when", ["2", formatdate(usegmt=True)], ids=["seconds", "date"])
def test_looker_says_how_long_to_wait(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    server.faults = [Fault(QUERIES, 429, {"Retry-After": when})]
    run_query(tmp_path)
    assert waits == [2.0 if when == "2" else 0.0]


def test_tries_are_limited(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault(QUERIES, 503, times=99)]
    with pytest.raises(
        ServiceFailed, match=r"Looker responded with 503: told to fail \(explore images of model photos\)"
    ):
        run_query(tmp_path)
    assert runs(server) == 5


def test_no_wait_of_an_hour(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault(QUERIES, 429, {"Retry-After": "3600"})]
    with pytest.raises(ServiceFailed, match="Retry-After is 3,600 seconds"):
        run_query(tmp_path)
    assert runs(server) == 1


# --- the database does not work twice at the same time ----------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault("", 500, times=99), Fault("", 502, times=99), Fault("", cut=400, times=99)])
def test_a_query_that_always_fails_runs_twice(server: LookerServer, tmp_path: Path, fault: Fault) -> None:
    server.faults = [Fault(**{**vars(fault), "path": QUERIES})]
    with pytest.raises(ServiceFailed, match="hint: try again later"):
        run_query(tmp_path)
    assert runs(server) == 2


GONE = [
    Fault(QUERIES, drop=True),
    Fault(QUERIES, 504),
    Fault(QUERIES, 522),
    Fault(QUERIES, 202, body=b""),
    Fault(QUERIES, 204, body=b""),
]


@pytest.mark.parametrize("fault", GONE, ids=lambda fault: fault.status)
def test_a_query_that_may_still_run_is_not_run_again(server: LookerServer, tmp_path: Path, fault: Fault) -> None:
    server.users = [MAY_NOT_SEE_QUERIES]
    server.faults = [Fault(**{**vars(fault), "times": 99})]
    with pytest.raises(ServiceFailed, match=r"the query may still be running (.|\n)*hint: wait until the query has"):
        run_query(tmp_path)
    assert runs(server) == 1


@pytest.mark.parametrize("fault", GONE, ids=lambda fault: fault.status)
def test_a_query_that_still_runs_is_stopped_and_run_again(server: LookerServer, tmp_path: Path, fault: Fault) -> None:
    server.faults = [Fault(**{**vars(fault), "delay": 0.01})]
    assert rows_of(run_query(tmp_path)) == by_uuid(server.rows)
    [killed] = server.killed
    assert (killed.user, killed.query["view"], runs(server)) == (server.users[0], "images", 2)


def test_a_query_of_another_user_or_another_question_is_not_stopped(server: LookerServer, tmp_path: Path) -> None:
    ours = {"model": "photos", "view": "images", "fields": ["images.uuid"]}
    server.start(ours, server.users[0])
    server.faults = [Fault(QUERIES, 504)]
    with pytest.raises(ServiceFailed, match="may still be running"):
        run_query(tmp_path)
    server.faults = [Fault(QUERIES, 504, delay=0.01)]
    server.users.insert(0, User("1", "Ben"))  # the same key, and another user for the next one
    server.running.clear()
    run_query(tmp_path)
    assert [one.query["fields"] == ["images.uuid"] for one in server.killed] == [False]


def test_of_two_equal_queries_none_is_stopped(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault(QUERIES, 504, delay=0.01)]
    run_query(tmp_path)
    server.start(server.paths(QUERIES)[0].body, server.users[0])
    server.faults, server.killed = [Fault(QUERIES, 504, delay=0.01)], []
    with pytest.raises(ServiceFailed, match="may still be running"):
        run_query(tmp_path)
    assert server.killed == []


def test_a_query_that_takes_too_long_is_stopped(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKERSDK_TIMEOUT", "3")
    server.faults = [Fault(QUERIES, delay=FOR_EVER)]
    with pytest.raises(ServiceFailed, match=r"did not respond within 3 seconds \(explore (.|\n)*hint: set LOOKERSDK_T"):
        run_query(tmp_path)
    assert (runs(server), len(server.killed)) == (1, 1)
    assert "the query was stopped in Looker" in capsys.readouterr().err


def test_a_query_may_take_an_hour_and_everything_else_two_minutes(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: dict[str, tuple[float, float]] = {}
    request = looker_transport.requests.Session.request

    def asked(self: object, method: str, url: str, **options: object) -> object:
        waits[url.rpartition("/")[2]] = options["timeout"]  # type: ignore[assignment]
        return request(self, method, url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("requests.Session.request", asked)
    run_query(tmp_path)
    assert waits == {"json": (10, 3600), "logout": (5, 5)} | dict.fromkeys(
        ("login", "images", "user", "session", "git_branch", "versions", "queries", "sql"), (10, 120)
    )


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)]
)
def test_a_query_that_is_interrupted_is_stopped(
    server: LookerServer, tmp_path: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    handlers = [signal.getsignal(one) for one in signal.Signals]
    server.faults = [Fault(QUERIES, delay=FOR_EVER)]
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        waiting = threading.Event()
        while not server.running:
            waiting.wait(0.01)
        signal.pthread_kill(main, number)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(error):
        run_query(tmp_path)
    assert [signal.getsignal(one) for one in signal.Signals] == handlers
    assert len(server.killed) == 1
    assert server.sessions == {}  # logged out


# --- what is no answer ------------------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><html><head><title>\n Sign in \xe2\x80\x93 acme</title></head></html>"


@pytest.mark.parametrize("path", ["/login", QUERIES, ""])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\n  "], ids=["plain", "BOM", "blanks"])
@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_page_of_a_proxy_is_told_at_once(
    server: LookerServer, tmp_path: Path, path: str, start: bytes, status: int
) -> None:
    server.faults = [Fault(path, status, {"Content-Type": "text/html"}, body=start + PAGE, times=99)]
    expected = rf"127.0.0.1 does not respond like Looker's API but with {status} and an HTML page, «Sign in – acme»"
    with pytest.raises(ServiceFailed, match=rf"{expected}\n  hint: check LOOKERSDK_BASE_URL: it may lead to another"):
        run_query(tmp_path)
    assert len(server.paths(path or "/login")) == 1


@pytest.mark.parametrize("path", ["/versions", "/queries", "/run/sql"])
def test_a_page_in_the_place_of_an_optional_answer_is_told_and_no_end(
    server: LookerServer, tmp_path: Path, path: str
) -> None:
    server.faults = [Fault(path, body=PAGE)]
    [line] = run_query(tmp_path).unknown
    assert "HTML page" in line


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"looker_error": "Something broke"}, "Something broke"),
        ({"message": "Something broke", "documentation_url": ""}, "Something broke"),
        ({"errors": [{"field": "sql", "message": "Something broke"}]}, "sql: Something broke"),
        ({"rows": 5}, '{"rows": 5}'),
        ("done", '"done"'),
        (None, "null"),
        ([{"looker_error": "Something broke"}], "Something broke"),
        ([{"images.uuid": "x" * 200_000}, {"looker_error": "Something broke"}], "Something broke"),
        ([{"looker_error": "Something broke"}, {"images.uuid": "x" * 200_000}], "Something broke"),
    ],
)
def test_what_looker_says_instead_of_rows_is_told(
    server: LookerServer, tmp_path: Path, said: object, shown: str
) -> None:
    server.faults = [Fault(QUERIES, body=json.dumps(said).encode(), times=99)]
    with pytest.raises(ServiceFailed) as error:
        run_query(tmp_path)
    assert error.value.message == f"Looker could not run the query: {shown}"
    assert error.value.fix.startswith("correct source in the manifest; if it is about the connection")
    assert runs(server) == 1


def test_a_value_that_quotes_an_error_is_a_value(server: LookerServer, tmp_path: Path) -> None:
    server.rows = [row | {"images.camera": '{"looker_error": "queue"}'} for row in server.rows]
    assert len(rows_of(run_query(tmp_path))) == 20


def test_a_login_that_is_none(server: LookerServer, tmp_path: Path) -> None:
    for said in (
        b'{"access_token": "a\\nb", "expires_in": 60}',
        b"[1, 2]",
        b'{"access_token": 7}',
        b'{"access_token": "x"}',
        b"OK",
    ):
        server.faults = [Fault("/login", body=said)]
        with pytest.raises(ServiceFailed, match=r"127\.0\.0\.1 does not respond like Looker's API\n  hint: check LOOK"):
            run_query(tmp_path)


@pytest.mark.parametrize(
    "said",
    [b"null", b"5", b'"x"', b"[]", b"{}", b"[1]", b"{", b"\xff\xfe", b"\x00", b'{"model": 5, "query": 5}',
     b'{"query": {}}', b'{"looker_release_version": [1]}', b"[[[[", b"\xef\xbb\xbf{}"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["", "/login", "/versions", QUERIES, "/looks/17"])
def test_no_answer_of_another_form_is_a_bug_of_ours(
    server: LookerServer, tmp_path: Path, path: str, said: bytes
) -> None:
    server.faults = [Fault(path, body=said, times=99)]
    with suppress(RegistryError):
        run_query(tmp_path, {"look": "17"} if path == "/looks/17" else LOOKER)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_empty_answer_is_asked_for_again(server: LookerServer, tmp_path: Path, status: int) -> None:
    server.faults = [Fault(path, status, body=b"") for path in ("/login", "/versions", "/queries", "/run/sql")]
    assert run_query(tmp_path).unknown == ()
    server.faults = [Fault("/run/sql", status, body=b" ", times=99)]
    result = run_query(tmp_path)
    assert result.origin.sql_hash is None
    assert f"Looker responded with {status} and nothing else" in result.unknown[0]


@pytest.mark.parametrize("when", ["²", "9" * 400, "-5", "Mon, 99 Foo 2026", "Mon, 01 Jan 0001 00:00:00 +9999", ""])
def test_a_retry_after_that_is_none(server: LookerServer, tmp_path: Path, when: str) -> None:
    server.faults = [Fault(QUERIES, 429, {"Retry-After": when})]
    with suppress(ServiceFailed):
        assert len(rows_of(run_query(tmp_path))) == 20
    assert runs(server) == (1 if when.startswith("999") else 2)


def test_a_folder_that_cannot_hold_the_rows(server: LookerServer, tmp_path: Path) -> None:
    (tmp_path / "results/result-1.json").mkdir(parents=True)
    with pytest.raises(StorageFailed, match="the rows cannot be written: Is a directory"):
        run_query(tmp_path)
