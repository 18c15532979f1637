"""Certificates, proxies and timeouts, for obstore's client and for our own: a copy inside S3 uses both."""

import os
import pickle
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.core.settings import Remote
from registry.demo.seaweedfs import S3Server
from registry.errors import StorageFailed
from registry.storage import connection
from registry.storage.connection import find_connection
from registry.storage.open import open_store
from support import certificates
from support.certificates import Certificate
from support.repositories import md5
from support.s3_places import Places, body_of
from support.servers.fault_proxy import Fault, FaultProxy, Page, always
from support.servers.relay import Proxy, TlsFront

pytestmark = pytest.mark.s3

CA = certificates.make(is_ca=True, host="ca.test")
LEAF = certificates.make(CA)
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture
def trusted(tmp_path: Path) -> str:
    """A file with the CA's certificate."""
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    return str(tmp_path / "ca.pem")


@pytest.fixture
def serve(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Certificate], str]]:
    """The S3 server behind TLS with a certificate; its URL is what botocore has in the environment."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)
    fronts = []

    def start(certificate: Certificate) -> str:
        front = TlsFront(server.url, certificate.write(tmp_path / "server.pem")).__enter__()
        fronts.append(front)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", front.url)
        return front.url

    yield start
    for front in fronts:
        front.__exit__()


def copy_one(places: Places, client: BaseClient) -> None:
    """List, write and read through obstore, and copy through our own client."""
    places.fill(client, 1)
    copier = places.staging.copier_from(places.lake)
    assert copier
    assert copier.copy("00.jpg", "copy", md5(body_of(0))) == md5(body_of(0))
    assert places.staging.write("own", lambda: iter([b"own"]))
    assert [one.key for page in places.staging.scan() for one in page] == ["copy", "own"]
    assert places.staging.get("copy") == body_of(0)


@pytest.mark.parametrize("way", ["ssl_verify", "folder", "profile", *BUNDLES])
def test_a_private_ca_is_trusted_in_every_way_that_dvc_and_its_libraries_know(
    serve: Callable[[Certificate], str], trusted: str, client: BaseClient, folder: str, way: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    serve(LEAF)
    options = {}
    if way == "ssl_verify":
        options = {"ssl_verify": trusted}
    elif way == "folder":
        (tmp_path / "certs").mkdir()
        (tmp_path / "certs/README").write_text("not a certificate")
        (tmp_path / "certs/acme.crt").write_bytes(CA.pem)
        options = {"ssl_verify": str(tmp_path / "certs")}
    elif way == "profile":
        keys = "\n".join(f"{name.lower()} = {os.environ[name]}" for name in KEYS)
        (tmp_path / "config").write_text(f"[profile acme]\nca_bundle = {trusted}\n{keys}\n")
        options = {"profile": "acme", "configpath": str(tmp_path / "config")}
        monkeypatch.delenv("AWS_CONFIG_FILE", raising=False)
    else:
        monkeypatch.setenv(way, trusted)
    places = Places(folder, **options)
    copy_one(places, client)


def test_a_certificate_that_signs_itself_is_trusted_by_itself(
    serve: Callable[[Certificate], str], client: BaseClient, folder: str, tmp_path: Path
) -> None:
    own = certificates.make()
    serve(own)
    (tmp_path / "own.pem").write_bytes(own.pem)
    copy_one(Places(folder, ssl_verify=str(tmp_path / "own.pem")), client)


@pytest.mark.parametrize("flag", ["false", "False"])
def test_ssl_verify_false_accepts_every_certificate(
    serve: Callable[[Certificate], str], client: BaseClient, folder: str, flag: str
) -> None:
    serve(certificates.make(host="elsewhere.test", days=(-9, -1)))
    copy_one(Places(folder, ssl_verify=flag), client)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (LEAF, "no CA that this machine trusts has signed it"),
        (certificates.make(CA, host="elsewhere.test"), "it is for another host name"),
        (certificates.make(CA, days=(-9, -1)), "it has expired"),
        (certificates.make(CA, days=(2, 9)), "it is not valid yet"),
        (CA, "it is a CA's own certificate; the server needs one with CA:FALSE"),
    ],
    ids=["unknown CA", "host", "expired", "future", "CA as leaf"],
)
def test_a_certificate_that_is_not_trusted_is_said_to_be_so(
    serve: Callable[[Certificate], str], trusted: str, folder: str, certificate: Certificate, reason: str
) -> None:
    serve(certificate)
    places = Places(folder, **({} if certificate is LEAF else {"ssl_verify": trusted}))
    with pytest.raises(StorageFailed) as caught:
        places.staging.require_readable()
    assert f"the server's certificate is not trusted: {reason}" in str(caught.value)
    assert "ssl_verify" in caught.value.fix
    if certificate is not CA:  # OpenSSL takes it
        copier = places.staging.copier_from(places.lake)
        with pytest.raises(StorageFailed, match="the server's certificate is not trusted"):
            copier.copy("00.jpg", "copy", "0" * 32)


@pytest.mark.parametrize(
    "content", [None, b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_bundle_that_has_no_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageFailed, match=rf"^CA bundle {path}: "):
        open_store(Remote("s3://bucket", {"ssl_verify": str(path)}), tmp_path)


def test_an_option_goes_before_variables(trusted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    assert find_connection({"ssl_verify": trusted}).bundle == trusted
    assert find_connection({"ssl_verify": "true"}).bundle == ""
    assert find_connection({}, trusted).bundle == trusted


def test_timeouts_are_those_of_the_remote_and_of_both_clients(trusted: str) -> None:
    found = find_connection({"connect_timeout": "2", "read_timeout": "7.5", "ssl_verify": trusted})
    assert pickle.loads(pickle.dumps(found)) == found
    options = found.client_options("https://x", 30)
    assert [options[name].total_seconds() for name in ("connect_timeout", "read_timeout")] == [2, 7.5]
    assert find_connection({"connection_timeout": "2", "timeout": "3"}).read_timeout == 3


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("user", ["", "ana:hush%40"])
@pytest.mark.usefixtures("no_exceptions")
def test_https_goes_through_a_proxy_in_a_tunnel(
    serve: Callable[[Certificate], str], trusted: str, client: BaseClient, folder: str, user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = serve(LEAF)
    login = f"Basic {b64encode(b'ana:hush@').decode()}" if user else ""
    with Proxy(login) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{user}{'@' if user else ''}127.0.0.1:{proxy.port}")
        copy_one(Places(folder, ssl_verify=trusted), client)
        assert {line.split(" ")[1] for line in proxy.seen} == {url.removeprefix("https://")}
        tunnels = len(proxy.seen)
        assert tunnels >= 2  # obstore's, and our own
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        Places(f"{folder}-direct", ssl_verify=trusted).staging.require_readable()
        assert len(proxy.seen) == tunnels


@pytest.mark.usefixtures("no_exceptions")
def test_the_region_of_a_bucket_is_asked_for_as_everything_else(
    server: S3Server, trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the remote's certificates, and through the proxy."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    moved = b"<Error><Code>PermanentRedirect</Code><Message>use another endpoint</Message></Error>"
    with (
        FaultProxy(server.url) as faulty,
        TlsFront(faulty.url, LEAF.write(tmp_path / "server.pem")) as front,
        Proxy() as proxy,
    ):
        faulty.add(Fault(Page(301, moved, {"x-amz-bucket-region": "eu-west-1"}), always, times=None))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        for options in ({"ssl_verify": trusted}, {"ssl_verify": "false"}):
            faulty.clear()
            faulty.add(Fault(Page(301, moved, {"x-amz-bucket-region": "eu-west-1"}), always, times=None))
            tunnels = len(proxy.seen)
            store = open_store(Remote("s3://staging", {"endpointurl": front.url, **options}, "staging"), tmp_path)
            with pytest.raises(StorageFailed, match="the bucket is in the region eu-west-1"):
                store.list()
            asked = [(one.kind, one.key) for one in faulty.exchanges]
            assert asked[-1] == ("other", ""), "a HEAD of the bucket"
            assert len(proxy.seen) >= tunnels + 2, "obstore's tunnel, and our own"


@pytest.mark.usefixtures("no_exceptions")
def test_plain_http_goes_through_a_proxy_with_whole_urls(
    server: S3Server, client: BaseClient, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    with Proxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        copy_one(Places(folder), client)
        assert all(line.split(" ")[1].startswith(server.url) for line in proxy.seen)
        assert {"PUT", "GET"} <= {line.split(" ")[0] for line in proxy.seen}


def test_python_does_not_go_where_a_proxy_wants_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for proxy, reachable in (("socks5://h:1", False), ("https://h:1", False), ("http://h:1", True), ("h:1", True)):
        monkeypatch.setenv("https_proxy", proxy)
        assert connection.is_reachable_by_python("https://s3.acme.example") == reachable
