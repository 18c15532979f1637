"""The S3 server of tests and demo: it starts and stops cleanly, several at a time, and enforces policies."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from obstore.exceptions import PermissionDeniedError
from obstore.store import from_url

from registry.demo import seaweedfs as s3
from registry.demo.seaweedfs import BUCKETS, Credentials, S3Server
from registry.errors import NotFound, ToolFailed
from registry.integrations import process

READ_LAKE = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::lake"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"},
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3"), policies={"reader": READ_LAKE}) as server:
        server.client().put_object(Bucket="lake", Key="image", Body=b"pixels")
        yield server


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


def test_it_listens_on_loopback_only(server: S3Server) -> None:
    assert {bucket["Name"] for bucket in server.client().list_buckets()["Buckets"]} == set(BUCKETS)
    assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection(("127.0.0.2", urlsplit(server.url).port), timeout=5)


def test_an_identity_may_do_what_its_policy_permits(server: S3Server) -> None:
    reader = server.client("reader")
    assert reader.get_object(Bucket="lake", Key="image")["Body"].read() == b"pixels"
    for refused in (
        lambda: reader.put_object(Bucket="lake", Key="image", Body=b"other"),
        lambda: reader.delete_object(Bucket="lake", Key="image"),
        lambda: reader.list_objects_v2(Bucket="staging"),
        lambda: reader.create_bucket(Bucket="mine"),
    ):
        with pytest.raises(ClientError) as caught:
            refused()
        assert code_of(caught) == "AccessDenied"


@pytest.mark.parametrize("unknown", ["key", "secret"])
def test_unknown_credentials_are_refused(server: S3Server, unknown: str) -> None:
    known = server.credentials()
    wrong = {
        "key": Credentials("AKIAUNKNOWN", known.secret_key),
        "secret": Credentials(known.access_key, "guessed"),
    }[unknown]
    with pytest.raises(ClientError) as caught:
        server.client(wrong).list_buckets()
    assert code_of(caught) == {"key": "InvalidAccessKeyId", "secret": "SignatureDoesNotMatch"}[unknown]


def test_the_environment_is_all_that_obstore_needs(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another session")
    for name, value in server.env("reader").items():
        monkeypatch.setenv(name, value)
    assert bytes(obstore.get(from_url("s3://lake"), "image").bytes()) == b"pixels"
    with pytest.raises(PermissionDeniedError):
        obstore.put(from_url("s3://staging"), "image", b"pixels")


def test_secrets_stay_in_files_of_ours(server: S3Server) -> None:
    keys = server.credentials()
    assert keys.secret_key not in repr(keys)
    assert keys.secret_key not in server.log.read_text()
    holding = [path for path in server.folder.iterdir() if path.is_file() and keys.secret_key in path.read_text()]
    assert [(path.name, path.stat().st_mode & 0o077) for path in holding] == [("identities.json", 0)]


def test_what_publishing_stands_on(server: S3Server) -> None:
    """A copy happens inside the store, of the very bytes that were checked, and never onto something."""
    client, source = server.client(), {"Bucket": "staging", "Key": "checked"}
    client.put_object(**source, Body=b"checked bytes")
    etag = client.head_object(**source)["ETag"]
    assert etag.strip('"') == hashlib.md5(b"checked bytes").hexdigest()
    create = {"Bucket": "production", "Key": "published", "IfNoneMatch": "*"}
    client.copy_object(**create, CopySource=source, CopySourceIfMatch=etag)
    for again in (
        lambda: client.copy_object(**create, CopySource=source, CopySourceIfMatch=etag),
        lambda: client.put_object(**create, Body=b"other bytes"),
    ):
        with pytest.raises(ClientError) as caught:
            again()
        assert code_of(caught) == "PreconditionFailed"
    client.put_object(**source, Body=b"swapped since")
    with pytest.raises(ClientError) as caught:
        client.copy_object(Bucket="production", Key="next", CopySource=source, CopySourceIfMatch=etag)
    assert code_of(caught) == "PreconditionFailed"
    assert client.get_object(Bucket="production", Key="published")["Body"].read() == b"checked bytes"


def test_a_second_one_beside_it_is_killed_and_started_again_where_it_was(server: S3Server, tmp_path: Path) -> None:
    with S3Server(tmp_path / "other", buckets=["lake"]) as other:
        client, url = other.client(), other.url
        assert url != server.url
        client.put_object(Bucket="lake", Key="written", Body=b"kept")
        other.kill()
        with pytest.raises(EndpointConnectionError):
            client.list_buckets()
        other.start()
        assert other.url == url
        assert client.get_object(Bucket="lake", Key="written")["Body"].read() == b"kept"
        client.put_object(Bucket="lake", Key="more", Body=b"kept")
    assert list(Path("/tmp").glob(f"seaweedfs-*-{urlsplit(url).port}.sock")) == []
    with pytest.raises(EndpointConnectionError):
        client.list_buckets()
    assert server.client().list_objects_v2(Bucket="lake")["KeyCount"] == 1


def test_a_port_that_is_taken_first_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = s3.free_ports()["filer.port"]
    with socket.create_server(("127.0.0.1", taken)):
        choices = iter([s3.free_ports() | {"filer.port": taken}, s3.free_ports()])
        monkeypatch.setattr(s3, "free_ports", lambda: next(choices))
        with S3Server(tmp_path, buckets=["lake"]) as server:
            assert f"port {taken} for Filer" in server.log.read_text()
            assert server.client().list_buckets()["Buckets"][0]["Name"] == "lake"


@pytest.mark.parametrize(
    ("program", "error", "said"),
    [(None, NotFound, "make venv WITH=s3"), ("#!/bin/sh\necho no disk; exit 1\n", ToolFailed, "no disk")],
    ids=["absent", "failing"],
)
def test_a_server_that_does_not_start_is_an_error_with_its_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str | None,
    error: type[Exception],
    said: str,
) -> None:
    if program:
        (tmp_path / "weed").write_text(program)
        (tmp_path / "weed").chmod(0o755)
    monkeypatch.setattr(process, "tool_path", lambda: str(tmp_path))
    with pytest.raises(error, match=said):
        S3Server(tmp_path / "server").start()
