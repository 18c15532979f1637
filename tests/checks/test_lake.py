"""Images that are new in a version are compared with the lake, as far as that is possible without reading them."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from registry.core import digests
from registry.dataset import lake_comparison
from registry.dataset.differences import LakeDifferences
from registry.storage.base import StoredObject, to_frame
from registry.storage.local import Folder
from support import repositories, selections
from support.repositories import Run

ID = "datasets/pets"
CAT = "0a8c7f6e-0000-4000-8000-000000000001"


def found(root: Path, run: Run, *args: str) -> list[str]:
    """What [lake] finds."""
    findings = json.loads(run(root, "check", "--remote", *args, "--format", "json").out)["findings"]
    return [f"{one['verdict']}: {one['message']}" for one in findings if one["check"] == "lake"]


def poison(root: Path) -> None:
    """Other bytes under an old UUID: a list of files and a pointer that agree with each other."""
    images = {path: b"poison" if CAT in path else data for path, data in repositories.PETS.items()}
    lake = {path: path.read_bytes() for path in (root / ".registry/lake").iterdir()}
    repositories.dataset(root, "pets", images, "2.0.0")
    repositories.stage(root)
    for path, data in lake.items():
        path.write_bytes(data)


def test_an_honest_version_passes(built_dataset: Path, run_registry: Run) -> None:
    assert found(built_dataset, run_registry) == []


def test_other_bytes_under_an_old_uuid_are_wrong(built_dataset: Path, run_registry: Run) -> None:
    poison(built_dataset)
    message = f"wrong: 1 image with other bytes than the lake has: train/cat/{CAT}.jpg"
    assert found(built_dataset, run_registry) == [message]
    assert found(built_dataset, run_registry, "--base=HEAD") == [message]


def test_an_image_that_the_lake_does_not_have_is_wrong(built_dataset: Path, run_registry: Run) -> None:
    (built_dataset / f".registry/lake/{CAT}.jpg").unlink()
    assert found(built_dataset, run_registry) == [f"wrong: 1 image missing from the lake: train/cat/{CAT}.jpg"]


def test_a_lake_that_cannot_be_read_is_told(built_dataset: Path, run_registry: Run) -> None:
    (built_dataset / ".registry/lake").rename(built_dataset / "elsewhere")
    [finding] = found(built_dataset, run_registry)
    assert finding.startswith("needs an owner: images were not compared with the lake: ")


def test_what_a_release_has_is_not_compared_again(released_model: Path, run_registry: Run) -> None:
    (released_model / f".registry/lake/{CAT}.jpg").write_bytes(b"replaced in the lake later")
    assert found(released_model, run_registry) == []


# --- a bucket ---------------------------------------------------------------------------------------------------------


class Bucket:
    """A bucket with these ETags; it counts what is read."""

    url, concurrency = "s3://lake", 4

    def __init__(self, folder: Path, etags: dict[str, str]) -> None:
        self._files, self._etags, self.read_keys = Folder(folder), etags, list[str]()

    def require_readable(self) -> None:
        pass

    def find_many(self, keys: Sequence[str]) -> pl.DataFrame:
        return to_frame(StoredObject(key, 5, self._etags[key], 0) for key in keys if key in self._etags)

    def get(self, key: str) -> bytes:
        self.read_keys.append(key)
        return self._files.get(key)


def images(count: int) -> pl.DataFrame:
    rows = [(f"0a8c7f6e-0000-4000-8000-{number:012d}", b"%05d" % number) for number in range(count)]
    return pl.DataFrame(
        [(uuid, digests.md5(data), f"train/cat/{uuid}.jpg") for uuid, data in rows],
        ["uuid", "md5", "relpath"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("case", "expected", "read"),
    [
        ("plain", LakeDifferences(), 0),
        ("kms", LakeDifferences(unproven=12), 8),
        ("parts", LakeDifferences(unproven=20), 0),
        ("poison", LakeDifferences(different=1), 1),
        ("much poison", LakeDifferences(different=20), 8),
        ("kms and poison", LakeDifferences(different=1, unproven=12), 8),
    ],
)
def test_etags_are_believed_where_they_are_md5s(
    case: str, expected: LakeDifferences, read: int, tmp_path: Path
) -> None:
    listed, etags = images(20), dict[str, str]()
    for number, (uuid, md5, _) in enumerate(listed.rows()):
        data = b"%05d" % number
        (tmp_path / f"{uuid}.jpg").write_bytes(data)
        etags[f"{uuid}.jpg"] = {"parts": f"{md5}-2", "kms": digests.md5(data + b"key")}.get(case.split()[0], md5)
    bucket = Bucket(tmp_path, etags)
    poisoned = {"poison": listed["uuid"][:1], "much poison": listed["uuid"]}.get(case, listed["uuid"][:0])
    if case == "kms and poison":
        poisoned = pl.Series([min(etags, key=lambda key: digests.md5(key.encode())).removesuffix(".jpg")])
    other = pl.col("uuid").is_in(poisoned.implode())
    listed = listed.with_columns(md5=pl.when(other).then(pl.lit("0" * 32)).otherwise("md5"))
    manifest = selections.manifest({"export": {"description": "by hand"}})
    result = lake_comparison.compare(manifest, listed, bucket, tmp_path / "cache", lambda *_: None)
    assert (result.different, result.missing, result.unproven) == (expected.different, 0, expected.unproven)
    assert len(bucket.read_keys) == read
