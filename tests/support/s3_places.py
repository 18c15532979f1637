"""A lake, staging and production on an S3 server, and what tests put there."""

import re
from pathlib import Path
from typing import Any, TypeAlias

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.storage.ingest import ingest
from registry.storage.lake_objects import Ingest
from registry.storage.open import open_store
from registry.storage.transfer import transfer
from support.repositories import md5
from support.servers.fault_proxy import FaultProxy

S3Client: TypeAlias = Any  # botocore makes the methods of its clients at run time
OLD = b"an earlier version"
PART = 5 << 20  # bytes, the smallest part of an upload in parts


def body_of(number: int) -> bytes:
    """The body of an image of the lake."""
    return b"picture %02d" % number


def count_copies(proxy: FaultProxy) -> int:
    """How many copies the server made."""
    return sum(one.kind == "copy" and one.status == 200 for one in proxy.exchanges)


def put_multipart(client: S3Client, key: str, body: bytes) -> str:
    """Upload to staging in parts; returns the ETag, which is no MD5."""
    upload = {"Bucket": "staging", "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(body), PART), 1):
        etag = client.upload_part(PartNumber=number, Body=body[start : start + PART], **upload)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    return str(client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)["ETag"])


def hide_md5s(data: bytes) -> bytes:
    """A response in which each MD5 is replaced by another, as under SSE-KMS."""
    return re.sub(rb"\b[0-9a-f]{32}\b(?![/.])", lambda found: md5(b"kms" + found[0]).encode(), data)


class Places:
    """A lake, staging and production, through the proxy."""

    def __init__(self, folder: str, **options: str) -> None:
        self.folder = folder
        self.lake, self.staging, self.production = (
            open_store(Remote(f"s3://{bucket}/{folder}", options), Path())
            for bucket in ("lake", "staging", "production")
        )

    def stage(self, client: S3Client, name: str, body: bytes) -> str:
        """Put a body into staging under a name, right or wrong."""
        client.put_object(Bucket="staging", Key=f"{self.folder}/{object_key(name)}", Body=body)
        return name

    def use(self, client: S3Client) -> None:
        """Put an object into staging and production, as all but new ones have some."""
        for bucket in ("staging", "production"):
            client.put_object(Bucket=bucket, Key=f"{self.folder}/{object_key(md5(OLD))}", Body=OLD)

    def state(self, *names: str) -> list[str]:
        """Their states after a transfer, in their order."""
        done = dict(transfer(self.staging, self.production, names).select("md5", "state").rows())
        return [done[name] for name in names]

    def fill(self, client: S3Client, count: int) -> None:
        """Put that many images into the lake."""
        for number in range(count):
            client.put_object(Bucket="lake", Key=f"{self.folder}/{number:02}.jpg", Body=body_of(number))

    def ingest(self) -> list[tuple[str, str | None, bool, bool]]:
        """Ingest all of the lake: key, md5, whether it was inspected, whether it was copied."""
        job = Ingest(self.lake, self.staging, self.production, lambda _key, _data: None)
        return ingest(job, self.lake.list()).select("key", "md5", "inspected", "copied").rows()

    def staged(self, client: S3Client) -> dict[str, str]:
        """The MD5 of the content of each object in staging, by its name; without `OLD`."""
        found = client.list_objects_v2(Bucket="staging", Prefix=f"{self.folder}/").get("Contents", [])
        bodies = {one["Key"]: client.get_object(Bucket="staging", Key=one["Key"])["Body"].read() for one in found}
        named = {"".join(key.split("/")[-2:]): md5(body) for key, body in bodies.items()}
        return {name: content for name, content in named.items() if name != md5(OLD)}
