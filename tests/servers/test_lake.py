"""New images are compared with a lake on real S3 servers, by its listing where the login may not read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from botocore.client import BaseClient

from registry.core.settings import Remote
from registry.dataset import lake_comparison
from registry.dataset.differences import LakeDifferences
from registry.demo.seaweedfs import S3Server
from registry.errors import StorageFailed
from registry.storage.open import open_store
from support import selections
from support.repositories import md5
from support.s3_places import PART
from support.servers import any_s3
from support.servers.any_s3 import AnyS3

LISTS = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::lake"}
READS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"}
POLICIES = {
    name: {"Version": "2012-10-17", "Statement": [statement]}
    for name, statement in {"lister": LISTS, "reader": READS}.items()
}
UUIDS = [f"0a8c7f6e-0000-4000-8000-{number:012x}" for number in range(12)]


@dataclass(frozen=True)
class Lake:
    """A lake with twelve images below the folder `photos`, and the version that was made of them."""

    server: S3Server | AnyS3
    client: BaseClient
    folder: Path

    def bodies(self) -> dict[str, bytes]:
        """The bytes of each image."""
        return {uuid: f"image {uuid}".encode() for uuid in UUIDS}

    def put(self, uuid: str, data: bytes, ending: str = "jpg") -> None:
        """Write one image, in parts if it is large."""
        where = {"Bucket": "lake", "Key": f"photos/{uuid}.{ending}"}
        if len(data) < PART:
            self.client.put_object(**where, Body=data)
            return
        upload = {**where, "UploadId": self.client.create_multipart_upload(**where)["UploadId"]}
        etag = self.client.upload_part(**upload, PartNumber=1, Body=data)["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        self.client.complete_multipart_upload(**upload, MultipartUpload=parts)

    def compare(
        self, changed: Mapping[str, bytes] | None = None, image: str = "photos/{uuid}.jpg", **options: str
    ) -> LakeDifferences:
        """How a version with these other bytes differs from the lake."""
        bodies = {**self.bodies(), **(changed or {})}
        rows = [(uuid, md5(data), f"train/cat/{uuid}.jpg") for uuid, data in bodies.items()]
        images = pl.DataFrame(rows, ["uuid", "md5", "relpath"], orient="row")
        manifest = replace(selections.manifest(), image=image)
        store = open_store(Remote("s3://lake", options, "staging", is_lake=True), self.folder)
        return lake_comparison.compare(manifest, images, store, self.folder / "cache", lambda *_: None)


@pytest.fixture(scope="module", params=["SeaweedFS", "rclone"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server | AnyS3]:
    folder = tmp_path_factory.mktemp("lake")
    made = S3Server(folder, policies=POLICIES) if request.param == "SeaweedFS" else any_s3.rclone(folder)
    with made as server:
        yield server


@pytest.fixture
def lake(server: S3Server | AnyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    made = Lake(server, server.client(), tmp_path)
    for one in made.client.list_objects_v2(Bucket="lake").get("Contents", []):
        made.client.delete_object(Bucket="lake", Key=one["Key"])
    for uuid, data in made.bodies().items():
        made.put(uuid, data)
    return made


def test_equal_images_pass_and_other_bytes_under_a_uuid_do_not(lake: Lake) -> None:
    assert lake.compare() == LakeDifferences()
    found = lake.compare({UUIDS[3]: b"another image"})
    assert (found.different, found.missing, found.unproven) == (1, 0, 0)
    assert found.examples == (f"train/cat/{UUIDS[3]}.jpg",)


def test_an_image_that_was_uploaded_in_parts_is_proven_by_its_etag_or_not_at_all(lake: Lake) -> None:
    """rclone hashes the file, so that its ETag is the MD5."""
    large = bytes(PART)
    lake.put(UUIDS[0], large)
    found = lake.compare({UUIDS[0]: large})
    assert (found.different, found.missing) == (0, 0)
    assert found.unproven == (1 if isinstance(lake.server, S3Server) else 0)


def test_any_ending_and_a_missing_image(lake: Lake) -> None:
    lake.client.delete_object(Bucket="lake", Key=f"photos/{UUIDS[1]}.jpg")
    lake.client.delete_object(Bucket="lake", Key=f"photos/{UUIDS[2]}.jpg")
    lake.put(UUIDS[1], lake.bodies()[UUIDS[1]], "png")
    found = lake.compare(image="photos/{uuid}.*")
    assert (found.different, found.missing, found.examples) == (0, 1, (f"train/cat/{UUIDS[2]}.jpg",))


def test_a_lake_elsewhere_that_is_not_reached(lake: Lake) -> None:
    with pytest.raises(StorageFailed, match="s3://lake: the connection was refused"):
        lake.compare(endpointurl="http://127.0.0.1:9")


# --- a login with few rights (SeaweedFS; rclone knows none) -----------------------------------------------------------


@pytest.fixture
def as_login(lake: Lake, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Lake:
    assert isinstance(lake.server, S3Server)
    for name, value in lake.server.env(request.param).items():
        monkeypatch.setenv(name, value)
    return lake


SEAWEEDFS = pytest.mark.parametrize("server", ["SeaweedFS"], indirect=True)


@SEAWEEDFS
@pytest.mark.parametrize("as_login", ["lister"], indirect=True)
@pytest.mark.parametrize("one_by_one", [1000, 0])
def test_listing_is_enough(as_login: Lake, one_by_one: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.storage.cloud_listing.ONE_BY_ONE", one_by_one)
    assert as_login.compare() == LakeDifferences()
    as_login.client.delete_object(Bucket="lake", Key=f"photos/{UUIDS[5]}.jpg")
    found = as_login.compare({UUIDS[3]: b"another image"})
    assert (found.missing, found.examples) == (1, (f"train/cat/{UUIDS[5]}.jpg",))
    assert "access denied (reading, " in found.unread, "an owner decides on the other image, which could be SSE-KMS"
    assert found.fix


@SEAWEEDFS
@pytest.mark.parametrize("as_login", ["reader"], indirect=True)
def test_without_the_right_to_list_it_is_not_compared(as_login: Lake) -> None:
    with pytest.raises(StorageFailed, match=r"s3://lake: access denied \(listing, ") as caught:
        as_login.compare()
    assert "dvc remote add lake s3://lake && dvc remote modify --local lake profile NAME" in caught.value.fix
