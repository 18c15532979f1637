"""Adopting from buckets: images are copied inside the service, from a folder as from the remote of a DVC repository."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.demo.seaweedfs import S3Server
from support import adoption, repositories
from support.adoption import PETS, picture
from support.repositories import Run, md5
from support.s3_places import count_copies
from support.s3_registry import CONFIG
from support.servers.fault_proxy import FaultProxy

WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
DATASET = "datasets/pets"
READ = 8  # images that are read as a sample, whatever the ETags say


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(autouse=True)
def proxy(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The server's address in the environment: requests of the registry and of DVC pass through it."""
    with FaultProxy(server.url) as made:
        for name, value in server.env(url=made.url).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def client(server: S3Server) -> BaseClient:
    return server.client()


@pytest.fixture
def registry(registry_repo: Path, client: BaseClient) -> Path:
    """A registry on the server, whose staging and production have an object already."""
    (registry_repo / ".dvc/config").write_text(CONFIG)
    settings = {"schema": 1, "name": "acme-data", "owners": ["@acme/data"], "lake": "s3://lake"}
    repositories.write(registry_repo / "registry.yaml", settings)
    empty(client, "lake", "staging", "production")
    for bucket in ("staging", "production"):
        client.put_object(Bucket=bucket, Key=key(b"an earlier version"), Body=b"an earlier version")
    return registry_repo


def key(data: bytes) -> str:
    return f"files/md5/{md5(data)[:2]}/{md5(data)[2:]}"


def keys(client: BaseClient, bucket: str) -> set[str]:
    return {one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", [])}


def staged(client: BaseClient) -> set[str]:
    """The MD5s of the bodies in staging that are images."""
    found = client.list_objects_v2(Bucket="staging").get("Contents", [])
    bodies = (client.get_object(Bucket="staging", Key=one["Key"])["Body"].read() for one in found)
    return {md5(body) for body in bodies if body.startswith(b"\xff\xd8")}


def empty(client: BaseClient, *buckets: str) -> None:
    for bucket in buckets:
        for one in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=one["Key"])


def test_a_bucket_s_folder_is_copied_inside_the_service(
    registry: Path, run_registry: Run, proxy: FaultProxy, client: BaseClient
) -> None:
    for path, data in PETS.items():
        client.put_object(Bucket="lake", Key=f"team a/pets/{path}", Body=data)
    client.put_object(Bucket="lake", Key="team a/pets/notes.txt", Body=b"x")
    done = run_registry(registry, "adopt", DATASET, "--from", "s3://lake/team a/pets/", *WORDS)
    assert done.code == 0, done.err
    assert staged(client) == {md5(data) for data in PETS.values()}
    assert count_copies(proxy) == len(PETS) - READ
    assert "not adopted: 1 file, no image by its name: notes.txt" in done.out
    assert f"{len(PETS) - READ} images were taken as they are and not validated" in done.out
    checked = run_registry(registry, "check", "--all", "--remote", "--images")
    assert checked.code == 0, checked.out + checked.err


def test_a_bucket_s_folder_is_published_and_consumed(
    registry: Path, run_registry: Run, client: BaseClient, tmp_path: Path
) -> None:
    for path, data in PETS.items():
        client.put_object(Bucket="lake", Key=f"team a/pets/{path}", Body=data)
    (registry / "README.md").write_text("# Ours\n\n<!-- artifacts -->\n<!-- /artifacts -->\n")
    repositories.add_origin(registry)
    for args in (
        ("adopt", DATASET, "--from", "s3://lake/team a/pets/", *WORDS),
        ("check", "--all", "--remote", "--images"),
        ("push",),
        ("publish",),
    ):
        if args == ("push",):
            repositories.commit(registry, "pets")
            repositories.git_in(registry, "push", "--quiet", "origin", "HEAD:main")
        done = run_registry(registry, *args)
        assert done.code == 0, done.out + done.err
    tag = f"{DATASET}@v1.0.0"
    assert repositories.git_in(repositories.origin(registry), "tag", "--list") == tag
    assert {key(data) for data in PETS.values()} <= keys(client, "production")
    empty(client, "lake", "staging")  # what a release is made of is not needed again
    adoption.dvc(tmp_path, "get", str(repositories.origin(registry)), f"{DATASET}/prepared", "--rev", tag)
    fetched = {
        (path.parts[-3], path.parts[-2], md5(path.read_bytes())) for path in (tmp_path / "prepared").glob("*/*/*.jpg")
    }
    assert fetched == {(*path.split("/")[:2], md5(data)) for path, data in PETS.items()}


def test_a_dvc_repository_s_remote_is_copied_inside_the_service(
    registry: Path, run_registry: Run, proxy: FaultProxy, client: BaseClient, tmp_path: Path
) -> None:
    old = adoption.dvc_repository(tmp_path / "old", PETS, "s3://lake/dvc")
    repositories.git_in(old, "clone", "--quiet", "--bare", ".", "../old.git")
    shutil.rmtree(old)
    before = count_copies(proxy)
    url = f"file://{tmp_path / 'old.git'}"
    done = run_registry(registry, "adopt", DATASET, "--from", url, "--path", "data/pets", *WORDS)
    assert done.code == 0, done.err
    assert "to take from s3://lake/dvc" in done.out
    assert staged(client) == {md5(data) for data in PETS.values()}
    assert count_copies(proxy) - before == len(PETS) - READ
    assert run_registry(registry, "check", "--all", "--remote").code == 0


def test_a_bucket_that_may_not_be_read_is_named(
    registry: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = run_registry(registry, "adopt", DATASET, "--from", "s3://lake/pets", *WORDS)
    assert done.refused("s3://lake/pets"), done.err
    assert not (registry / DATASET).exists()


def test_a_folder_on_this_machine_is_uploaded(
    registry: Path, run_registry: Run, client: BaseClient, tmp_path: Path
) -> None:
    files = {**PETS, "train/cat/torn.jpg": picture(90)[:300]}
    done = run_registry(registry, "adopt", DATASET, "--from", str(adoption.fill(tmp_path / "p", files)), *WORDS)
    assert done.code == 0, done.err
    assert staged(client) == {md5(data) for data in PETS.values()}
    assert "excluded: 1 image, truncated" in done.out
