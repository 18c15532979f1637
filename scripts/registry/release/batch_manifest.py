"""The copies of a publish as a manifest of AWS's S3 Batch Operations: what S3 copies by itself, before the publish.

A job of it proves nothing and overwrites what it finds, so it is given what production lacks, and the publish after it
proves what arrived. Lists of files (`.dir`) stay with the publish, which stores them when production has the rest.
"""

from dataclasses import dataclass
from urllib.parse import quote

from polars import Series, col

from registry.core.digests import object_key
from registry.errors import Refused
from registry.release.publish import Plan, Step
from registry.storage.base import Store
from registry.storage.cloud import Bucket
from registry.storage.s3_signing import S3Location

FORMAT = "S3BatchOperations_CSV_20180820"  # of the columns Bucket and Key, without a header
_FIX = "leave --plan-csv out: a publish copies by itself"
MAX_BYTES = 5 * 10**9  # of an object that such a job copies


@dataclass(frozen=True, slots=True)
class BatchManifest:
    """`text` has a line for each of `count` objects; the job's target is a bucket and a prefix.

    The key of a copy is the prefix, a slash, and the key of the original; without a prefix the same key.
    """

    text: str
    count: int
    bucket: str
    prefix: str

    @property
    def operation(self) -> str:
        """What `aws s3control create-job --operation` is given."""
        prefix = f',"TargetKeyPrefix":"{self.prefix}"' if self.prefix else ""
        return f'{{"S3PutObjectCopy":{{"TargetResource":"arn:aws:s3:::{self.bucket}"{prefix}}}}}'


def make(plan: Plan, staging: Store, production: Store) -> BatchManifest:
    """The manifest of what a publish would copy. Raises Refused for places that no such job can copy between."""
    source, target = _locate(staging, "staging"), _locate(production, "production")
    prefix = _prefix(source, target)
    folder = f"{source.prefix}/" if source.prefix else ""
    md5s = [md5 for step in plan.steps for md5 in _files(step)]
    lines = [f"{source.bucket},{quote(f'{folder}{object_key(md5)}')}\n" for md5 in md5s]
    return BatchManifest("".join(lines), len(lines), target.bucket, prefix)


def _files(step: Step) -> Series:
    files = step.found.filter(~col("is_dir"), col("size").fill_null(0) <= MAX_BYTES)
    return step.copy.filter(step.copy.is_in(files["md5"].implode())).sort()


def _locate(store: Store, name: str) -> S3Location:
    if isinstance(store, Bucket) and store.location:
        return store.location
    raise Refused(f"{name} ({store.url}) is not in S3, whose Batch Operations take a manifest", fix=_FIX)


def _prefix(source: S3Location, target: S3Location) -> str:
    """What a job puts before the keys of staging, to get those of production."""
    if target.prefix == source.prefix or not source.prefix:
        return "" if target.prefix == source.prefix else target.prefix
    if target.prefix.endswith(f"/{source.prefix}"):
        return target.prefix.removesuffix(f"/{source.prefix}")
    raise Refused(f"a job can put a prefix before keys, and not take {source.prefix}/ of staging away", fix=_FIX)
