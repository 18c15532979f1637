"""Sessions that end, keys that are wrong, and permissions that are missing."""

import html
import json
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from looker_sdk.sdk.api40.models import WriteQuery

from registry.errors import ServiceFailed
from registry.integrations.looker_connection import connect
from support.looker_runs import by_uuid, rows_of, run_query
from support.servers.looker import CLIENT_ID, CLIENT_SECRET, TOKEN, Fault, LookerServer
from support.servers.looker_explores import ALL, User

PATHS = ["/versions", "/queries", "/run/sql", "/run/json"]


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_a_session_that_ends_is_begun_again(
    server: LookerServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    server.faults = [Fault(path, ends_session=True)]
    result = run_query(tmp_path)
    assert (rows_of(result), result.unknown, server.logins) == (by_uuid(server.rows), (), 2)
    assert capsys.readouterr().err.count("the session with Looker ended; logging in again") == 1


def test_a_session_that_ends_at_the_last_query_is_begun_again(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/run/json", delay=0.01), Fault("/run/json", ends_session=True)]
    result = run_query(tmp_path)
    assert (len(rows_of(result)), server.logins) == (20, 2)
    assert server.sessions == {}


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_session_that_ends_between_two_tries_is_begun_again(
    server: LookerServer, tmp_path: Path, status: int
) -> None:
    server.faults = [Fault("/run/json", status, ends_session=True)]
    assert len(rows_of(run_query(tmp_path))) == 20
    assert server.logins == 2


def test_a_token_that_lasts_a_second_is_renewed_in_time(server: LookerServer, tmp_path: Path) -> None:
    server.expires_in = 1
    assert len(rows_of(run_query(tmp_path))) == 20
    assert server.logins > 1
    assert not server.calls[-1].path.endswith("/login")


@pytest.mark.parametrize("path", ["/run/json", "/looks/17"])
def test_a_session_that_always_ends_is_told_after_one_login_more(
    server: LookerServer, tmp_path: Path, path: str
) -> None:
    server.faults = [Fault(path, ends_session=True, times=99)]
    source = {"looker": {"model": "photos", "view": "images"}} if path == "/run/json" else {"look": "17"}
    with pytest.raises(ServiceFailed) as error:
        run_query(tmp_path, source)
    assert error.value.message == (
        "Looker at 127.0.0.1 refused the session of the API key, also a new one: Requires authentication."
    )
    assert (
        error.value.fix == "ask a Looker admin whether the user of the API key is disabled, or its sessions are ended"
    )
    assert server.logins == 2


def test_a_key_that_is_deleted_midway_is_told_as_that(server: LookerServer, tmp_path: Path) -> None:
    server.faults = [Fault("/run/json", ends_session=True), Fault("/login", times=1), Fault("/login", 404)]
    with pytest.raises(ServiceFailed, match=r"127.0.0.1 refused the API key: told to fail\n  hint: set LOOKERSDK_"):
        run_query(tmp_path)


def test_a_session_that_cannot_be_closed_spoils_nothing(server: LookerServer, tmp_path: Path) -> None:
    for fault in (Fault("/logout", 500, times=9), Fault("/logout", ends_session=True), Fault("/logout", cut=0)):
        server.faults, server.calls = [fault], []
        assert len(rows_of(run_query(tmp_path))) == 20
        assert len(server.paths("/logout")) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_key_that_looker_does_not_know(server: LookerServer, tmp_path: Path, status: int) -> None:
    server.faults = [Fault("/login", status)]
    hint = "ask a Looker admin whether" if status == 403 else "set LOOKERSDK_"
    with pytest.raises(ServiceFailed, match=rf"127.0.0.1 refused the API key: told to fail\n  hint: {hint}"):
        run_query(tmp_path)
    assert [call.path for call in server.calls] == ["/api/4.0/login"]


@pytest.mark.parametrize("said", [b"Invalid IAP credentials: empty token", b"Forbidden", b"", b"{}"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_login_that_is_refused_by_another_server(
    server: LookerServer, tmp_path: Path, status: int, said: bytes
) -> None:
    server.faults = [Fault("/login", status, body=said)]
    with pytest.raises(
        ServiceFailed, match=rf"does not respond like Looker's API but with {status}: \S.*\n  hint: check"
    ):
        run_query(tmp_path)


# --- permissions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lacks", "names"),
    [
        ("access_data", "permissions access_data, explore and download_without_limit there"),
        ("explore", "permissions access_data, explore and download_without_limit there"),
    ],
)
def test_a_permission_that_is_missing_is_named(server: LookerServer, tmp_path: Path, lacks: str, names: str) -> None:
    server.users = [User("1", "Ana", permissions=ALL - {lacks})]
    with pytest.raises(ServiceFailed, match=rf"403 for (.|\n)*hint: ask a Looker admin for the .*{names}$"):
        run_query(tmp_path)


def test_a_look_that_may_not_be_seen(server: LookerServer, tmp_path: Path) -> None:
    server.users = [User("1", "Ana", permissions=ALL - {"see_looks"})]
    with pytest.raises(
        ServiceFailed, match=r"403 for Look 17: .*\n  hint: ask a Looker admin for the permission see_l"
    ):
        run_query(tmp_path, {"look": "17"})


@pytest.mark.parametrize(
    ("lacks", "what"),
    [("see_sql", ["the generated SQL"]), ("see_queries", []), ("see_lookml", None), ("see_user_dashboards", [])],
)
def test_what_a_selection_does_not_need_may_be_forbidden(
    server: LookerServer, tmp_path: Path, lacks: str, what: list[str] | None
) -> None:
    server.users = [User("1", "Ana", permissions=ALL - {lacks})]
    result = run_query(tmp_path)
    assert len(rows_of(result)) == 20
    assert what is None or [line.partition(":")[0] for line in result.unknown] == what


CUSTOM = json.dumps([{"dimension": "half", "expression": "${images.rank} / 2", "label": "Half"}])


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (403, "for the permissions access_data, explore, download_without_limit and create_custom_fields there$"),
        (400, "or ask a Looker admin for the permission create_custom_fields$"),
        (422, "or ask a Looker admin for the permission create_custom_fields$"),
    ],
)
def test_a_refused_custom_field_may_be_a_missing_permission(
    server: LookerServer, tmp_path: Path, status: int, hint: str
) -> None:
    server.faults = [Fault("/run/json", status)]
    query = WriteQuery(model="photos", view="images", fields=["images.uuid"], dynamic_fields=CUSTOM)
    with (
        connect(tmp_path / "looker.ini", tmp_path, "Look 17") as looker,
        pytest.raises(ServiceFailed, match=hint),
    ):
        looker.sdk.run_inline_query("json", query)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("", 403, times=99),
        Fault("", 400, times=99),
        Fault("", 500, times=99),
        Fault("", 302, {"Location": "/login"}, times=99),
        Fault("", body=b"<html><title>Sign in</title></html>", times=99),
        Fault("", body=b"", times=99),
        Fault("", body=b"[5]", times=99),
        Fault("", body=b"\xff", times=99),
        Fault("", drop=True, times=99),
        Fault("", ends_session=True, times=99),
    ],
    ids=lambda fault: f"{fault.status} {fault.body!r} {fault.drop} {fault.ends_session}",
)
def test_nothing_but_the_login_and_the_query_is_needed(server: LookerServer, tmp_path: Path, fault: Fault) -> None:
    server.commits["acme_lookml"] = "4f2a"
    source = {"looker": {"model": "photos", "view": "images", "timezone": "Asia/Tokyo"}}
    run_query(tmp_path, source)
    optional = {call.path for call in server.calls if not call.path.endswith(("/login", "/logout", "/run/json"))}
    assert {path.rpartition("/")[2] for path in optional} >= {"user", "session", "images", "queries", "sql", "versions"}
    server.faults = [Fault(**{**vars(fault), "path": path}) for path in optional]
    result = run_query(tmp_path, source)
    assert len(rows_of(result)) == 20
    assert result.unknown
    assert all(": " in line and "\n" not in line for line in result.unknown)


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 301, 401, 407, 422, 503])
@pytest.mark.parametrize("path", ["/login", "/run/json"])
def test_a_server_that_repeats_our_secrets_does_not_make_us_tell_them(
    server: LookerServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, status: int
) -> None:
    said = f"who is {CLIENT_ID}/{quote_plus(CLIENT_SECRET)} with {TOKEN}?\x1b[2J{' ' * 140}{CLIENT_SECRET}"
    url = f"https://{CLIENT_ID}:{quote_plus(CLIENT_SECRET)}@acme.example/login/{TOKEN}?back={quote_plus(CLIENT_SECRET)}"
    small = re.sub("%..", lambda found: found[0].lower(), quote(CLIENT_SECRET, safe=""))
    other = {"detail": CLIENT_SECRET, "page": html.escape(CLIENT_SECRET), "url": small}
    escaped = json.dumps(other).replace("/", "\\/")
    bodies = [
        escaped,
        escaped.replace("&", "\\u0026").replace("+", "\\u002b"),
        json.dumps({"message": said}),
        said,
        f"<title>{said}</title>",
        json.dumps([{"looker_error": said}]),
    ]
    for body in bodies:
        server.faults, server.logins = [Fault(path, status, {"Location": url}, body=body.encode(), times=9)], 0
        with pytest.raises(ServiceFailed) as error:
            run_query(tmp_path)
        shown = str(error.value) + capsys.readouterr().err
        assert not any(part in shown for part in (CLIENT_ID, CLIENT_SECRET[:4], "Lm", "\x1b"))
        assert path == "/login" or TOKEN not in shown


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("https://acme.example{path}", "set LOOKERSDK_BASE_URL to https://acme.example$"),
        ("https://acme.example:19999{path}", "set LOOKERSDK_BASE_URL to https://acme.example:19999$"),
        ("https://sso.acme.example/login?to={path}", "check LOOKERSDK_BASE_URL: it may lead to another server, or"),
        ("/login", "check LOOKERSDK_BASE_URL: it may lead to another server, or through a proxy"),
        ("http://acme.example{path}", "check LOOKERSDK_BASE_URL"),
        ("", "check LOOKERSDK_BASE_URL"),
    ],
)
@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/4.0/login", 301), ("/api/4.0/login", 307), ("/api/4.0/queries/run/json", 302)],
)
def test_a_redirect_is_told_and_not_followed(
    server: LookerServer, tmp_path: Path, path: str, status: int, location: str, hint: str
) -> None:
    target = location.format(path=path)
    server.faults = [Fault(path, status, {"Location": target}, body=b"", times=99)]
    host = re.escape(target.partition("?")[0]) if target.startswith("http") else "http://127.0.0.1:"
    with pytest.raises(ServiceFailed, match=rf"127.0.0.1 redirects to {host}[^?]*\n  hint: {hint}"):
        run_query(tmp_path)
    assert len(server.paths(path)) == 1


@pytest.mark.parametrize("status", [300, 303, 304, 305, 308, 399])
def test_no_redirect_is_followed(server: LookerServer, tmp_path: Path, status: int) -> None:
    server.faults = [Fault("/run/json", status, {"Location": f"{server.url}/other"}, body=b"", times=99)]
    with pytest.raises(ServiceFailed, match=r"127.0.0.1 redirects to http://127.0.0.1:\d+/other"):
        run_query(tmp_path)
    assert server.paths("/other") == []
