"""Options of remotes: encryption, endpoints, logins to Azure, Google and web servers; places without a store."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from registry.core.settings import RegistryFile, Remote, Settings
from registry.errors import StorageFailed
from registry.storage import remote_options
from registry.storage.open import open_store
from registry.storage.stores import Stores

KEY = b64encode(b"k" * 32).decode()
KEYS = {"access_key_id": "id", "secret_access_key": "secret", "region": "eu-central-1"}


class Recorder:
    """A server that takes everything, and remembers the requests: method, path and headers in lower case."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.seen.append((self.command, self.path, headers))
                if self.command == "PUT":
                    body = b"<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>"
                else:
                    is_listing = "list-type" in self.path
                    body = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>" if is_listing else b"x"
                self.send_response(404 if self.command == "HEAD" else 200)
                self.send_header("ETag", '"e"')
                self.send_header("Last-Modified", "Sat, 28 Nov 2026 20:00:00 GMT")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            do_GET = do_PUT = do_HEAD = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_PROFILE",
        "AWS_CONFIG_FILE",
        "HTTP_PROXY",
        "http_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    found = Recorder()
    Thread(target=found.server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


CUSTOMER = {
    "-customer-algorithm": "AES256",
    "-customer-key": KEY,
    "-customer-key-md5": b64encode(md5(b"k" * 32, usedforsecurity=False).digest()).decode(),
}


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"sse": "AES256"}, {"": "AES256"}),
        ({"sse": "aws:kms", "sse_kms_key_id": "arn:k"}, {"": "aws:kms", "-aws-kms-key-id": "arn:k"}),
        ({"sse_kms_key_id": "arn:k"}, {"": "aws:kms", "-aws-kms-key-id": "arn:k"}),
        ({"sse_customer_key": KEY}, CUSTOMER),
        ({"sse_customer_key": KEY, "sse_customer_algorithm": "AES256"}, CUSTOMER),
        ({}, {}),
    ],
)  # fmt: skip
def test_what_is_written_and_copied_is_encrypted_as_the_remote_says(
    recorder: Recorder, tmp_path: Path, options: Mapping[str, str], headers: Mapping[str, str]
) -> None:
    staging = open_store(Remote("s3://staging", {**KEYS, **options, "endpointurl": recorder.url}, "staging"), tmp_path)
    assert staging.write("own", lambda: iter([b"own"]))
    copier = staging.copier_from(staging)
    copier.copy("own", "copy", "e")
    prefix = "x-amz-server-side-encryption"
    writes = [headers for method, _, headers in recorder.seen if method == "PUT"]
    assert len(writes) >= 2
    for sent in writes:
        assert {name: value for name, value in sent.items() if name.startswith(prefix)} == {
            f"{prefix}{name}": value for name, value in headers.items()
        }
        assert all(name in sent["authorization"] for name in (f"{prefix}{name}" for name in headers))
    source = "x-amz-copy-source-server-side-encryption-customer-key"
    assert (writes[-1].get(source) == KEY) == ("sse_customer_key" in options)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"sse": "rot13"}, "sse must be one of AES256"), ({"sse_customer_key": "short"}, "is not a key of 32 bytes"),
        ({"sse_customer_key": KEY, "sse_kms_key_id": "k"}, "cannot be combined"),
        ({"sse": "AES256", "sse_kms_key_id": "k"}, "needs sse to be aws:kms"),
        ({"sse_customer_key": KEY, "sse_customer_algorithm": "DES"}, "must be AES256"),
        ({"version_aware": "true"}, "version_aware cannot be used"), ({"worktree": "True"}, "worktree cannot be used"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used(tmp_path: Path, options: Mapping[str, str], fault: str) -> None:
    with pytest.raises(StorageFailed, match=f"^remote staging: .*{fault}"):
        open_store(Remote("s3://bucket", options, "staging"), tmp_path)


@pytest.mark.parametrize("url", ["staging", "gs://staging", "azure://staging"])
def test_a_remote_with_versions_of_its_own_is_refused_everywhere(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageFailed, match="version_aware cannot be used"):
        open_store(Remote(url, {"version_aware": "true"}, "staging"), tmp_path)


PROFILE = "[profile acme]\naws_access_key_id = id\naws_secret_access_key = secret\n"


@pytest.mark.parametrize(
    "config",
    [
        PROFILE + "endpoint_url = {url}\n",
        PROFILE + "services = acme\n[services acme]\ns3 =\n  endpoint_url = {url}\n",
        PROFILE + "endpoint_url = http://wrong\nservices = acme\n[services acme]\ns3 =\n  endpoint_url = {url}\n",
    ],
    ids=["profile", "services", "both"],
)
def test_the_endpoint_of_a_profile(recorder: Recorder, tmp_path: Path, config: str) -> None:
    (tmp_path / "config").write_text(config.format(url=recorder.url))
    options = {"profile": "acme", "configpath": str(tmp_path / "config")}
    assert open_store(Remote("s3://bucket", options), tmp_path).get("key") == b"x"
    assert recorder.seen[0][1] == "/bucket/key"


def test_variables_go_before_a_profile_unless_they_are_to_be_ignored(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(PROFILE + "endpoint_url = http://wrong\n")
    options = {"profile": "acme", "configpath": str(tmp_path / "config")}
    monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url)
    assert open_store(Remote("s3://bucket", options), tmp_path).get("key") == b"x"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert open_store(Remote("s3://bucket", options), tmp_path).location.endpoint == ""


@pytest.mark.parametrize("endpoint", ["http://x.test:80", ""])
def test_a_bucket_with_a_host_name_of_its_own(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (tmp_path / "config").write_text(PROFILE + "s3 =\n  addressing_style = virtual\n")
    options = {"profile": "acme", "configpath": str(tmp_path / "config"), "region": "cn-north-1"}
    location = open_store(
        Remote("s3://my.bucket/a", options | ({"endpointurl": endpoint} if endpoint else {})), tmp_path
    ).location
    host = "http://my.bucket.x.test:80" if endpoint else "https://my.bucket.s3.cn-north-1.amazonaws.com.cn"
    assert (location.server, location.request_path("k"), location.path("k")) == (host, "/a/k", "/my.bucket/a/k")


def test_without_tls(tmp_path: Path) -> None:
    options = {**KEYS, "use_ssl": "false"}
    assert open_store(Remote("s3://b", options), tmp_path).location.server == "http://s3.eu-central-1.amazonaws.com"


# --- web servers, Azure, Google ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"auth": "basic", "user": "ana", "password": "hush"}, ("authorization", "Basic YW5hOmh1c2g=")),
        ({"auth": "custom", "custom_auth_header": "X-Key", "password": "hush"}, ("x-key", "hush")),
    ],
)
def test_web_servers_are_logged_in_to_as_by_dvc(
    recorder: Recorder, tmp_path: Path, options: Mapping[str, str], header: tuple[str, str]
) -> None:
    assert open_store(Remote(recorder.url, options, "public"), tmp_path).get("key") == b"x"
    assert recorder.seen[0][2][header[0]] == header[1]


@pytest.mark.parametrize("options", [{"auth": "basic", "user": "ana"}, {"auth": "custom"}, {"auth": "digest"}])
def test_a_login_that_is_not_complete_is_named(tmp_path: Path, options: Mapping[str, str]) -> None:
    with pytest.raises(StorageFailed, match=r"^remote public: auth "):
        open_store(Remote("https://x.test", options, "public"), tmp_path)


@pytest.mark.parametrize("variable", ["", "AZURE_STORAGE_CONNECTION_STRING"])
@pytest.mark.parametrize(
    "text",
    [
        "DefaultEndpointsProtocol=http;AccountName=acme;AccountKey=a2V5;BlobEndpoint={url}/acme;",
        "BlobEndpoint={url}/acme;SharedAccessSignature=sv=2026&sig=x%3D",
        "AccountName=acme;BlobEndpoint={url}/acme/ ; AccountKey=a2V5",
    ],
    ids=["key", "signature", "spaces"],
)
def test_a_connection_string_of_azure(
    recorder: Recorder, tmp_path: Path, text: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    options = {} if variable else {"connection_string": text.format(url=recorder.url)}
    if variable:
        monkeypatch.setenv(variable, text.format(url=recorder.url))
    assert open_store(Remote("azure://data/a", options, "staging"), tmp_path).get("key") == b"x"
    assert recorder.seen[0][1].partition("?")[0] == "/acme/data/a/key"


@pytest.mark.parametrize("options", [{}, {"connection_string": "AccountKey=a2V5"}, {"account_key": "a2V5"}])
def test_azure_without_an_account(tmp_path: Path, options: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StorageFailed, match=r"^remote staging: .*(account_name|no account)"):
        open_store(Remote("azure://data", options, "staging"), tmp_path)


@pytest.mark.parametrize("variable", ["", "STORAGE_EMULATOR_HOST"])
def test_the_endpoint_of_google(
    recorder: Recorder, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"allow_anonymous_login": "true"} | ({} if variable else {"endpointurl": recorder.url})
    if variable:
        monkeypatch.setenv(variable, recorder.url.removeprefix("http://"))
    store = open_store(Remote("gs://data/a", options), tmp_path)
    assert store.get("key") == b"x"
    assert store.write("own", lambda: iter([b"own"]))
    assert recorder.seen[0][1].startswith("/data/a")


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("az://data", "write azure:// instead of az://"), ("AZ://data", "write azure://"), ("abfs://data", "write azure://"),
        ("gcs://data", "write gs:// instead of gcs://"), ("s3a://data", "write s3:// instead"),
        ("ssh://host/data", "use a folder, or s3://"), ("hdfs://host/data", "use a folder"),
        ("webdavs://host/data", "use a folder"), ("gdrive://id", "use a folder"), ("oss://data", "use a folder"),
        ("lake://x", "use a folder"),
    ],
)  # fmt: skip
def test_places_without_a_store(tmp_path: Path, url: str, fix: str) -> None:
    for refuse in (remote_options.require_dvc, lambda url: open_store(Remote(url), tmp_path)):
        with pytest.raises(StorageFailed) as caught:
            refuse(url)
        assert fix in caught.value.fix


@pytest.mark.parametrize("scheme", ["gs", "azure"])
def test_a_plug_in_that_dvc_lacks_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_options, "find_spec", lambda _: None)
    with pytest.raises(StorageFailed, match=f"^{scheme}://data: DVC needs dvc-{scheme} to open {scheme}://") as caught:
        remote_options.require_dvc(f"{scheme}://data")
    assert caught.value.fix == f"make venv WITH={scheme}"
    remote_options.require_dvc("s3://data")


def test_what_is_not_honoured_is_said_once_when_the_remote_is_opened(tmp_path: Path) -> None:
    said: list[str] = []
    options = {**KEYS, "acl": "private", "grant_read": "x", "jobs": "4"}
    remotes = (
        Remote("lake"),
        Remote("s3://b", options, "staging"),
        Remote("production", {"shared": "group"}, "production"),
    )
    stores = Stores(tmp_path, Settings(RegistryFile("acme", ("@a",), "lake"), *remotes), said.append)
    assert [stores.staging, stores.staging, stores.production]
    assert [line.partition(" is not honoured")[0] for line in said] == [
        "remote staging: option acl", "remote staging: option grant_read", "remote production: option shared",
    ]  # fmt: skip
