"""Opening stores by their URL, with a remote's options."""

from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.storage.transfer import transfer
from support.object_folders import put_bodies


@pytest.mark.parametrize("url", ["lake", "{root}/lake", "file://{root}/lake"])
def test_a_folder_is_named_by_its_path(tmp_path: Path, url: str) -> None:
    store = open_store(Remote(url.format(root=tmp_path)), tmp_path)
    assert isinstance(store, Folder)
    assert store.url == str(tmp_path / "lake")


@pytest.mark.parametrize("url", ["ftp://host/a", "s3://", "lake://x", "http:///a"])
def test_a_url_of_no_store_is_reported(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageFailed, match="not the URL of a store"):
        open_store(Remote(url), tmp_path)


@pytest.mark.parametrize("url", ["s3://bucket/a", "gs://bucket/a", "azure://bucket/a", "https://host/a"])
def test_every_kind_of_url_opens_without_a_request(tmp_path: Path, url: str) -> None:
    remote = Remote(url, {"account_name": "us", "region": "eu-central-1", "jobs": "4"})
    assert open_store(remote, tmp_path).url == url


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    """A plain web server over the folder `public`; what is in `secret/` it refuses."""
    (tmp_path / "public").mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            return self.send_error(403) if "secret" in self.path else super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with serve(partial(Handler, directory=tmp_path / "public")) as address:
        yield address


class serve:  # noqa: N801 - reads as a function
    """A web server on 127.0.0.1 while the block runs."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        Thread(target=self.server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_plain_http_is_read_and_never_listed(tmp_path: Path, http: str, staging: Folder) -> None:
    [name] = put_bodies(Folder(tmp_path / "public"), b"body")
    store = open_store(Remote(f"http://me:hush@{http}?token=hush"), tmp_path)
    assert store.url == f"http://{http}"
    assert store.find_many([object_key(name), "none"])["size"].to_list() == [4]
    assert transfer(store, staging, [name, "0" * 32])["state"].to_list() == ["missing", "copied"]
    with pytest.raises(StorageFailed, match="cannot be listed"):
        store.list()
    with pytest.raises(StorageFailed) as caught:
        store.get("secret/a")
    assert str(caught.value).startswith(f"http://{http}/secret/a: access denied")
    assert "hush" not in str(caught.value)


def test_s3_requests_use_the_remotes_options_and_failures_show_no_secret(tmp_path: Path) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"<Error><AWSAccessKeyId>KEYID</AWSAccessKeyId><StringToSign>HUSH</StringToSign></Error>")

        def log_message(self, *_: object) -> None:
            pass

    with serve(Handler) as address:
        options = {
            "endpointurl": f"http://{address}",
            "access_key_id": "KEYID",
            "secret_access_key": "HUSH",
            "region": "r1",
        }
        store = open_store(Remote("s3://bucket/prefix", options), tmp_path)
        for ask in (partial(store.get, "key"), store.require_readable, partial(store.head, "key")):
            with pytest.raises(StorageFailed) as caught:
                ask()
            assert "access denied" in str(caught.value)
            assert "KEYID" not in str(caught.value)
            assert "HUSH" not in str(caught.value)
            assert caught.value.__suppress_context__
    assert asked[0][0] == "/bucket/prefix/key"
    assert "Credential=KEYID/" in asked[0][1]
    assert "/r1/s3/" in asked[0][1]
