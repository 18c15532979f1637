"""`registry select` from a bucket or a web server: deliveries are found, read whole, recorded, and not read twice."""

import gzip
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from botocore.client import BaseClient

from registry.cli import main
from registry.release import refresh
from registry.storage import cloud_config, deliveries
from support import certificates, repositories, selections
from support.selections import rows, write_csv
from support.servers.fault_proxy import FaultProxy

DATASET = "datasets/photos"


class Registry:
    """A registry with datasets/photos, and the bucket `lake` in which a folder of the test has deliveries."""

    def __init__(self, root: Path, client: Any, folder: str) -> None:
        self.root, self.client, self.folder = root, client, folder

    @property
    def url(self) -> str:
        return f"s3://lake/{self.folder}"

    def deliver(self, name: str, count: int, seed: int = 1) -> bytes:
        data = write_csv(self.root.parent / "delivery.csv", rows(count, seed)).read_bytes()
        self.put(name, data)
        return data

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket="lake", Key=f"{self.folder}/{name}", Body=data)

    def etag(self, name: str) -> str:
        return str(self.client.head_object(Bucket="lake", Key=f"{self.folder}/{name}")["ETag"].strip('"'))

    def manifest(self, **export: str) -> None:
        source = {"export": {"description": "weekly", "timezone": "UTC"} | export}
        (self.root / DATASET / "dataset.yaml").write_bytes(selections.text(source))

    def origin(self) -> dict[str, Any]:
        return yaml.safe_load((self.root / DATASET / "raw.dvc").read_text())["meta"]["selection"]

    def select(self, *args: str) -> int:
        return main.run(["select", DATASET, *args])


@pytest.fixture
def registry(
    registry_repo: Path, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy, client: BaseClient, folder: str
) -> Registry:
    made = Registry(registry_repo, client, folder)
    (registry_repo / DATASET).mkdir(parents=True)
    made.manifest()
    repositories.commit(registry_repo, "a manifest")
    monkeypatch.chdir(registry_repo)
    return made


# --- from a bucket ----------------------------------------------------------------------------------------------------


@pytest.mark.s3
@pytest.mark.parametrize("name", ["latest.csv", "Pets & Co – März.csv", "pets.2024-01-31.csv", "a+b=c%20d.csv"])
def test_a_delivery_is_read_and_recorded(registry: Registry, capsys: pytest.CaptureFixture[str], name: str) -> None:
    registry.deliver(name, 30)
    assert registry.select("--from", f"{registry.url}/{name}") == 0
    origin = registry.origin()
    assert origin["origin"] == f"{registry.url}/{name}"
    assert origin["delivery"]["url"] == origin["origin"]
    assert origin["delivery"]["etag"] == registry.etag(name)
    assert origin["delivery"]["modified"].endswith("Z")
    out = capsys.readouterr().out
    assert f"30 rows from {registry.url}/{name}" in out
    assert f"delivered {origin['delivery']['modified'].replace('T', ' ').replace('Z', ' UTC')}" in out


@pytest.mark.s3
def test_the_same_delivery_is_not_read_again(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.manifest(**{"from": f"{registry.url}/latest.csv"})
    registry.deliver("latest.csv", 30)
    assert registry.select() == 0
    before = (registry.root / DATASET / "raw.dvc").read_bytes()
    capsys.readouterr()
    assert registry.select() == 0
    out = capsys.readouterr().out
    assert "nothing new: " in out
    assert "hint:" not in out
    assert (registry.root / DATASET / "raw.dvc").read_bytes() == before
    registry.deliver("latest.csv", 31)
    assert registry.select() == 0
    assert "rows changed" in capsys.readouterr().out
    assert registry.origin()["rows"] == 31


@pytest.mark.s3
def test_another_manifest_reads_the_same_delivery_again(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.deliver("latest.csv", 30)
    for zone in ("UTC", "Asia/Tokyo"):
        registry.manifest(**{"from": f"{registry.url}/latest.csv", "timezone": zone})
        assert registry.select() == 0
        assert f"read in {zone} (source.export.timezone)" in capsys.readouterr().out
    assert registry.select("--timezone", "Europe/Berlin") == 0
    assert "read in Europe/Berlin (--timezone)" in capsys.readouterr().out


@pytest.mark.s3
def test_a_delivery_of_as_many_rows_as_a_limit_is_confirmed_once(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.manifest(**{"from": f"{registry.url}/latest.csv"})
    registry.deliver("latest.csv", 500)
    assert registry.select() == 1
    assert f"{registry.url}/latest.csv has exactly 500 rows" in capsys.readouterr().err
    assert registry.select("--complete") == 0
    assert registry.select() == 0
    assert "nothing new" in capsys.readouterr().out


@pytest.mark.s3
def test_the_newest_of_a_folder_is_taken(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.manifest(**{"from": f"{registry.url}/"})
    for number, day in enumerate(("2024-01-08", "2024-01-01")):  # the newest is not the last by name
        registry.deliver(f"pets_{day}T0600.csv", 20 + number)
        registry.put(f"older/pets_{day}.csv", b"not here")
        registry.put("manifest.txt.sha256", b"not a table")
        assert registry.select() == 0
        assert registry.origin()["origin"] == f"{registry.url}/pets_{day}T0600.csv"
        assert registry.origin()["rows"] == 20 + number
        wait_for_the_next_second(registry)
    assert "the newest of 2 files" in capsys.readouterr().out


def wait_for_the_next_second(registry: Registry) -> None:
    """S3 keeps the time of an object in seconds."""
    first = None
    while True:
        registry.put("clock", b"")
        now = registry.client.head_object(Bucket="lake", Key=f"{registry.folder}/clock")["LastModified"]
        first = first or now
        if now > first:
            return


@pytest.mark.s3
def test_deliveries_of_several_kinds_in_a_folder_are_not_chosen_between(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.deliver("pets_2024-01-01.csv", 20)
    registry.deliver("birds_2024-01-01.csv", 30)
    assert registry.select("--from", f"{registry.url}/") == 1
    err = capsys.readouterr().err
    assert f"{registry.url}/ has files of several deliveries: birds_*-*-*.csv, pets_*-*-*.csv" in err
    assert f"hint: say which is meant, such as {registry.url}/birds_*-*-*.csv" in err
    assert registry.select("--from", f"{registry.url}/pets_*.csv") == 0
    assert registry.origin()["rows"] == 20


@pytest.mark.s3
def test_two_deliveries_of_one_moment_are_not_chosen_between(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.deliver("pets_1.csv", 20)
    registry.deliver("pets_2.csv", 30)
    listed = deliveries._list
    monkeypatch.setattr(deliveries, "_list", lambda *args: [one._replace(modified=7) for one in listed(*args)])
    assert registry.select("--from", f"{registry.url}/") == 1
    assert "pets_1.csv, pets_2.csv were written at the same time" in capsys.readouterr().err


@pytest.mark.s3
@pytest.mark.parametrize(
    ("place", "told"),
    [("nothing.csv", "nothing.csv does not exist"), ("none/", "no delivery is there, of 0 files in and below"),
     ("x_*.csv", "no delivery is there"), ("../other/", "the path has an empty or invalid part")],
)  # fmt: skip
def test_what_is_not_there_is_told(
    registry: Registry, capsys: pytest.CaptureFixture[str], place: str, told: str
) -> None:
    assert registry.select("--from", f"{registry.url}/{place}") == 1
    assert told in capsys.readouterr().err


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_told(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert registry.select("--from", "s3://no-such-bucket-at-all/a.csv") == 1
    assert "bucket does not exist" in capsys.readouterr().err


@pytest.mark.s3
@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv", b"<!DOCTYPE html><html>Log in", "answers with a web page, expected a table"),
        ("a.xlsx", b"PK\x03\x04", "is an Excel workbook, expected a table"),
        ("a.json", b'[{"looker_error": "Query killed"}]', "has an error of Looker's in place of rows: Query killed"),
        ("a.csv", b"", "the first line is empty"),
        ("a.csv.gz", gzip.compress(b"uuid,label\n", mtime=0)[:-4], "is damaged, or cut off"),
    ],
)
def test_a_delivery_that_is_no_table_is_named_by_its_url(
    registry: Registry, capsys: pytest.CaptureFixture[str], name: str, data: bytes, told: str
) -> None:
    registry.put(name, data)
    assert registry.select("--from", f"{registry.url}/{name}") == 1
    err = capsys.readouterr().err
    assert f"error: {registry.url}/{name}" in err.replace("\n", " ")
    assert told in err


@pytest.mark.s3
def test_a_compressed_delivery_is_read(registry: Registry) -> None:
    registry.put("latest.csv.gz", gzip.compress(registry.deliver("plain.csv", 12)))
    assert registry.select("--from", f"{registry.url}/latest.csv.gz") == 0
    assert registry.origin()["rows"] == 12


@pytest.mark.s3
def test_a_delivery_that_is_replaced_while_it_is_read_is_refused(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.deliver("latest.csv", 30)
    unchanged = deliveries._require_unchanged

    def replaced(*args: Any) -> None:
        registry.deliver("latest.csv", 31)
        unchanged(*args)

    monkeypatch.setattr(deliveries, "_require_unchanged", replaced)
    assert registry.select("--from", f"{registry.url}/latest.csv") == 1
    assert "latest.csv was replaced while it was read" in capsys.readouterr().err
    assert not (registry.root / DATASET / "raw.dvc").exists()


@pytest.mark.s3
def test_a_delivery_that_is_too_large_is_not_downloaded(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_SIZE", 1000)
    registry.deliver("latest.csv", 30)
    assert registry.select("--from", f"{registry.url}/latest.csv") == 1
    assert "bytes, expected at most 1,000" in capsys.readouterr().err


@pytest.mark.s3
def test_a_refresh_of_the_same_delivery_changes_nothing(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.manifest(**{"from": f"{registry.url}/latest.csv"})
    registry.deliver("latest.csv", 30)
    assert registry.select() == 0
    before = (registry.root / DATASET / "raw.dvc").read_bytes()
    assert main.run(["refresh", DATASET]) == 0
    assert "nothing new: " in capsys.readouterr().out
    assert (registry.root / DATASET / "raw.dvc").read_bytes() == before


@pytest.mark.s3
def test_datasets_of_deliveries_are_refreshed(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    from registry.cli.workspace import here

    assert refresh.find_queries(here().tree) == ()
    registry.manifest(**{"from": f"{registry.url}/latest.csv"})
    assert [str(one) for one in refresh.find_queries(here().tree)] == [DATASET]
    assert main.run(["ci", "queries"]) == 0
    assert json.loads(capsys.readouterr().out.partition("=")[2]) == [DATASET]


# --- from a web server ------------------------------------------------------------------------------------------------


class _Site:
    """A web server with one answer for every path."""

    def __init__(self) -> None:
        self.body, self.headers, self.status = b"", dict[str, str](), 200
        self.says_length, self.answers_head = True, True
        self.sent: int | None = None  # bytes of the body after which the connection is closed


@contextmanager
def serve(folder: Path, site: _Site, beside: Path | None = None) -> Iterator[str]:
    """The address of the site; its CA's certificate is in `ca.pem` of the folder, or joins those in `beside`."""
    ca = certificates.make(is_ca=True)
    with (beside or folder).joinpath("ca.pem").open("ab") as trusted:
        trusted.write(ca.pem)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(site.status if site.answers_head else 405)
            for name, value in ({"Last-Modified": "Wed, 31 Jan 2024 06:00:00 GMT"} | site.headers).items():
                if value:
                    self.send_header(name, value)
            if site.says_length:
                self.send_header("Content-Length", str(len(site.body)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(site.body[: site.sent])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.make(ca).write(folder / "server.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.fixture
def photos(registry_repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    made = Registry(registry_repo, None, "")
    (registry_repo / DATASET).mkdir(parents=True)
    made.manifest()
    monkeypatch.chdir(registry_repo)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return made


def test_a_file_of_a_web_server_is_read_and_not_read_again(
    photos: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = _Site()
    site.body, site.headers = write_csv(tmp_path / "e.csv", rows(12)).read_bytes(), {"ETag": '"v1"'}
    with serve(tmp_path, site) as url:
        place = f"{url}/weekly/Pets%20%26%20co.csv"
        assert photos.select("--from", place) == 0
        assert photos.origin()["delivery"] == {"url": place, "etag": "v1", "modified": "2024-01-31T06:00:00Z"}
        assert photos.select("--from", place) == 0
    assert f"nothing new: {place}" in capsys.readouterr().out


def test_a_server_that_says_no_time_is_read(
    photos: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = _Site()
    site.body, site.headers = write_csv(tmp_path / "e.csv", rows(12)).read_bytes(), {"Last-Modified": ""}
    with serve(tmp_path, site) as url:
        assert photos.select("--from", f"{url}/e.csv") == 0
    assert photos.origin()["delivery"]["modified"] == ""
    assert "delivered at a time that its server does not say" in capsys.readouterr().out


def test_a_server_without_etags_is_read_each_time(
    photos: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = _Site()
    site.body = write_csv(tmp_path / "e.csv", rows(12)).read_bytes()
    with serve(tmp_path, site) as url:
        assert photos.select("--from", f"{url}/e.csv") == photos.select("--from", f"{url}/e.csv") == 0
    assert "rows unchanged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"body": b"<!DOCTYPE html><title>Log in</title>"}, "answers with a web page, expected a table"),
        ({"status": 404}, "does not exist, or its server answers no HEAD request"),
        ({"answers_head": False}, "does not exist, or its server answers no HEAD request"),
        ({"says_length": False}, "the server does not say how large the file is"),
        ({"status": 500}, "the server responded with 500"),
        ({"status": 403}, "access denied"),
        ({"body": b""}, "the first line is empty"),
    ],
)
def test_what_a_web_server_says_instead_is_told(
    photos: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.setitem(cloud_config.RETRIES, "max_retries", 0)
    site = _Site()
    vars(site).update(change)
    with serve(tmp_path, site) as url:
        assert photos.select("--from", f"{url}/e.csv") == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("size", [300, 12_000_000])
def test_a_file_that_is_cut_off_on_its_way_is_refused(
    photos: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setitem(cloud_config.RETRIES, "max_retries", 0)
    site = _Site()
    site.body = write_csv(tmp_path / "e.csv", rows(12)).read_bytes().ljust(size, b"\n")
    site.sent = len(site.body) - 7
    with serve(tmp_path, site) as url:
        assert photos.select("--from", f"{url}/e.csv") == 1
    assert f"error: {url}/e.csv" in capsys.readouterr().err
    assert not (photos.root / DATASET / "raw.dvc").exists()


def test_a_redirect_to_a_login_is_told(photos: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    login, site = _Site(), _Site()
    login.body = b"<html><head><title>Sign in</title></head></html>"
    folder = tmp_path / "login"
    folder.mkdir()
    with serve(tmp_path, login) as other:
        site.status, site.headers = 302, {"Location": f"{other}/login"}
        with serve(folder, site, tmp_path) as url:
            assert photos.select("--from", f"{url}/e.csv") == 1
    assert "answers with a web page, expected a table" in capsys.readouterr().err


def test_an_untrusted_certificate_is_told(
    photos: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with serve(tmp_path, _Site()) as url:
        assert photos.select("--from", f"{url}/e.csv") == 1
    assert "the server's certificate is not trusted" in capsys.readouterr().err
