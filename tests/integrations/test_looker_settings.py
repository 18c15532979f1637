"""Addresses, certificates, proxies and keys as people set them."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.errors import InvalidDocument, Refused, ServiceFailed
from support import certificates
from support.looker_runs import rows_of, run_query
from support.servers.looker import CLIENT_ID, CLIENT_SECRET, Fault, LookerServer

# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    ["/", "//", "/api/4.0", "/api/4.0/", "/api/3.1", "/api", "/explore/photos/images?fields=images.uuid&limit=500",
     "/looks/42", "/x/AbCdEf", "/dashboards/7#tile", "/login", " \n"],
)  # fmt: skip
def test_an_address_of_a_page_or_of_the_api_is_as_good(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", f" {server.url}{end}")
    assert len(rows_of(run_query(tmp_path))) == 20


@pytest.mark.parametrize(
    ("address", "fault", "hint"),
    [
        ("acme.cloud.looker.com", "is not a URL", "write it as https://acme.cloud.looker.com"),
        ("ftp://acme.cloud.looker.com", "is not a URL", "write it as https://"),
        ("https://", "is not a URL", "write it as https://"),
        ("https://acme.cloud.looker.com:api", "is not a URL", "write it as https://"),
        ("https://[acme", "is not a URL", "write it as https://"),
        ("https://acme..com", "is not a URL", "write it as https://"),
        (f"https://{'a' * 64}.com", "is not a URL", "write it as https://"),
        ("https://ana:secret@acme.example/", "contains a login", "write it as https://acme.example$"),
        ("http://acme.cloud.looker.com/", "is http://acme.cloud.looker.com, expected https", "https://acme.cloud"),
        ("http://ACME.looker.app:80", "is http://acme.looker.app, expected https", "write it as https://acme"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_before_the_key_is_sent(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, fault: str, hint: str
) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", address)
    with pytest.raises(Refused, match=rf"^LOOKERSDK_BASE_URL {fault}\n  hint: .*{hint}") as error:
        run_query(tmp_path)
    assert "secret@" not in str(error.value)


def test_a_port_where_nothing_listens(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ServiceFailed, match=r"the connection to 127\.0\.0\.1 failed: \[Errno \d+\] Connection refused"):
        run_query(tmp_path)
    assert capsys.readouterr().err.count("trying again") == 4


def test_a_name_that_no_one_knows(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", "https://looker.invalid")
    with pytest.raises(
        ServiceFailed, match=r"the connection to looker\.invalid failed(.|\n)*network and LOOKERSDK_BASE"
    ):
        run_query(tmp_path)


# --- TLS --------------------------------------------------------------------------------------------------------------


@contextmanager
def answering(said: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that says the same to every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # closed at the end of the test
                    return
                try:
                    with tls.wrap_socket(connection, server_side=True) if tls else connection as open_:
                        open_.recv(1 << 16)
                        open_.sendall(said)
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def tls(path: Path, certificate: certificates.Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.write(path))
    return context


AUTHORITY = certificates.make(is_ca=True)


@pytest.mark.parametrize(
    ("certificate", "trusted", "hint"),
    [
        (certificates.make(), False, "set REQUESTS_CA_BUNDLE to a file with the certificate authority"),
        (certificates.make(AUTHORITY), False, "set REQUESTS_CA_BUNDLE to a file with the certificate authority"),
        (
            certificates.make(AUTHORITY, days=(-9, -2)),
            True,
            "renew the certificate of the server, or correct the clock",
        ),
        (certificates.make(AUTHORITY, host="127.0.0.2"), True, "check the scheme, host and port of LOOKERSDK_BASE_URL"),
    ],
    ids=["self-signed", "unknown authority", "expired", "other host"],
)
def test_a_certificate_that_is_not_good_is_told_at_once(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    certificate: certificates.Certificate, hint: str, *, trusted: bool,
) -> None:  # fmt: skip
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with answering(b"", tls(tmp_path / "server.pem", certificate)) as port:
        monkeypatch.setenv("LOOKERSDK_BASE_URL", f"https://127.0.0.1:{port}")
        with pytest.raises(ServiceFailed, match=rf"127.0.0.1 cannot be reached over TLS: (.|\n)*hint: .*{hint}"):
            run_query(tmp_path)
    assert "trying again" not in capsys.readouterr().err


@pytest.mark.parametrize("bundle", ["nowhere.pem", "garbage.pem", "empty.pem"])
def test_a_file_of_authorities_that_is_none(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str
) -> None:
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / bundle))
    with answering(b"", tls(tmp_path / "server.pem", certificates.make(AUTHORITY))) as port:
        monkeypatch.setenv("LOOKERSDK_BASE_URL", f"https://127.0.0.1:{port}")
        with pytest.raises(ServiceFailed, match=r"127\.0\.0\.1 cannot be reached over TLS: "):
            run_query(tmp_path)


def test_https_at_a_port_of_http(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKERSDK_BASE_URL", server.url.replace("http:", "https:"))
    with pytest.raises(
        ServiceFailed, match=r"over TLS: (.|\n)*hint: check the scheme, host and port of LOOKERSDK_BASE"
    ):
        run_query(tmp_path)


def test_tls_that_breaks_off_is_tried_again(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(b"") as port:
        monkeypatch.setenv("LOOKERSDK_BASE_URL", f"https://127.0.0.1:{port}")
        with pytest.raises(ServiceFailed, match=r"the connection to 127.0.0.1 failed: (.|\n)*hint: try again later"):
            run_query(tmp_path)
    assert capsys.readouterr().err.count("trying again") == 4


def test_http_at_a_port_of_https(server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b"", tls(tmp_path / "server.pem", certificates.make())) as port:
        monkeypatch.setenv("LOOKERSDK_BASE_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(ServiceFailed, match=r"the connection to 127.0.0.1 failed: (.|\n)*LOOKERSDK_BASE_URL$"):
            run_query(tmp_path)


# --- proxies ----------------------------------------------------------------------------------------------------------

REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", ["", "ana:p4ssw0rd%21@"])
def test_a_proxy_that_asks_for_a_login(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    scheme: str, login: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("LOOKERSDK_BASE_URL", f"{scheme}://looker.acme.example")
    with answering(REFUSAL) as port:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://{login}127.0.0.1:{port}")
        with pytest.raises(
            ServiceFailed, match=r"the proxy before looker.acme.example asks for a login: (.|\n)*HTTPS_P"
        ) as error:
            run_query(tmp_path)
    shown = str(error.value) + capsys.readouterr().err
    assert "p4ssw0rd" not in shown
    assert "trying again" not in shown


def test_a_proxy_that_is_not_there(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("LOOKERSDK_BASE_URL", "https://looker.acme.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://ana:p4ssw0rd@127.0.0.1:9")
    with pytest.raises(ServiceFailed, match=r"the proxy before looker.acme.example failed: .* Connection refused"):
        run_query(tmp_path)
    assert "p4ssw0rd" not in capsys.readouterr().err


@pytest.mark.parametrize("proxy", ["http://ana:p4ssw0rd@", "://ana:p4ssw0rd", "ana:p4ssw0rd@", "http://[ana:p4ssw0rd"])
def test_a_proxy_that_is_no_address(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(Refused, match=r"^HTTPS_PROXY is not the address of a proxy\n  hint: write") as error:
        run_query(tmp_path)
    assert "p4ssw0rd" not in str(error.value)


# --- keys -------------------------------------------------------------------------------------------------------------


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
    assert len(rows_of(run_query(tmp_path))) == 20


@pytest.mark.parametrize("line", [f"client_secret {CLIENT_SECRET}", f"client_secret=%{CLIENT_SECRET}", "[Looker]"])
def test_a_broken_file_is_not_quoted(server: LookerServer, tmp_path: Path, line: str) -> None:
    (tmp_path / "looker.ini").write_text(f"[Looker]\n{line}\n")
    with pytest.raises(InvalidDocument, match=r"looker\.ini: cannot be read") as error:
        run_query(tmp_path)
    assert CLIENT_SECRET not in str(error.value)
    assert error.value.__suppress_context__


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("timeout", value) for value in ("0", "-5", "soon", "3.5", "1e3", "86401", "9" * 30, "٣", "Zx81/Lm")]
    + [("verify_ssl", value) for value in ("maybe", "2", "off", "Zx81/Lm")],
)
def test_a_setting_that_is_none_is_named_and_not_shown(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv(f"LOOKERSDK_{name.upper()}", value)
    else:
        (tmp_path / "looker.ini").write_text(f"[Looker]\n{name}={value}\n", encoding="utf-8")
    with pytest.raises(Refused, match=rf"^LOOKERSDK_{name.upper()} is n\w+ .*\n  hint: set") as error:
        run_query(tmp_path)
    assert "Zx81" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark_is_told_as_that(server: LookerServer, tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding in {"utf-8-sig", "utf-16"} else "\ufeff"
    (tmp_path / "looker.ini").write_text(f"{mark}[Looker]\nclient_secret={CLIENT_SECRET}\n", encoding=encoding)
    with pytest.raises(InvalidDocument, match=r"looker\.ini: begins with a byte order mark") as error:
        run_query(tmp_path)
    assert CLIENT_SECRET not in str(error.value)


def test_a_variable_that_is_empty_is_not_set(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKERSDK_TIMEOUT", "")
    monkeypatch.setenv("LOOKERSDK_VERIFY_SSL", "")
    assert len(rows_of(run_query(tmp_path))) == 20


def test_a_key_that_was_pasted_with_a_line_end(
    server: LookerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKERSDK_CLIENT_ID", f" {CLIENT_ID}\n")
    monkeypatch.setenv("LOOKERSDK_CLIENT_SECRET", f"{CLIENT_SECRET}\r\n")
    server.faults = [Fault("/versions", 422, body=f"{CLIENT_SECRET} and {CLIENT_ID}".encode())]
    result = run_query(tmp_path)
    assert len(rows_of(result)) == 20
    assert CLIENT_SECRET not in str(result.unknown)
