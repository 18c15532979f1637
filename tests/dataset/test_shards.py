"""Shards: which images are in which, and their bytes, which any reader of tar files reads and no clock decides."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from datetime import UTC, date, datetime

import polars as pl
import pytest
from polars import DataFrame

from registry.dataset import shards
from registry.dataset.shards import Sample
from registry.errors import Refused

NAMES = ("cat", "Old dog + 1.5")


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012x}"


def image(number: int) -> bytes:
    return b"%d " % number * (number % 700)


def split(numbers: range, sizes: int | None = None) -> tuple[DataFrame, DataFrame]:
    """The images of `train` and its table; images have their bytes, or `sizes` bytes that no one has."""
    names = [f"{NAMES[number % 2]}/{uuid(number)}.jpg" for number in numbers]
    md5s = [hashlib.md5(image(number)).hexdigest() for number in numbers]
    size = [len(image(number)) if sizes is None else sizes for number in numbers]
    files = DataFrame({"path": [f"train/{name}" for name in names], "md5": md5s, "size": size})
    rows = {"file_name": names, "label": [number % 2 for number in numbers], "note": [f"№ {one}" for one in numbers]}
    schema = {"file_name": pl.String, "label": pl.Int64, "note": pl.String}
    return files.cast({"path": pl.String, "md5": pl.String, "size": pl.Int64}), DataFrame(rows, schema)


def written(samples: list[Sample]) -> bytes:
    return b"".join(shards.write(samples, [image(int(one.uuid[-12:], 16)) for one in samples]))


def test_the_same_images_are_the_same_bytes_on_any_machine_and_in_any_order() -> None:
    files, table = split(range(30))
    [shard] = shards.plan("train", files, table)
    [other] = shards.plan("train", files.reverse(), table.sample(fraction=1, shuffle=True, seed=3))
    data = written(shard.samples())
    assert data == written(other.samples())
    # Other bytes need another folder in production: shards that are there are not overwritten.
    assert hashlib.sha256(data).hexdigest() == "4b52ddfa798c57fa048926308a7e7525bb842aef3e11511fd2f6a459326fde87"


def test_a_tar_file_has_image_class_and_row_of_each_sample_together() -> None:
    files, table = split(range(30))
    extra = {"on": pl.lit(date(2026, 2, 1)), "at": pl.lit(datetime(2026, 1, 31, 12, tzinfo=UTC)), "none": pl.lit(None)}
    [shard] = shards.plan("train", files, table.with_columns(**extra))
    with tarfile.open(fileobj=io.BytesIO(written(shard.samples()))) as tar:
        members = tar.getmembers()
        content = {one.name: file.read() for one in members if (file := tar.extractfile(one))}
    stems = [one.name.partition(".")[0] for one in members]
    assert stems == [one.uuid for one in shard.samples() for _ in range(3)]
    assert {(one.mtime, one.uid, one.gid, one.uname, one.mode, one.isreg()) for one in members} == {
        (0, 0, 0, "", 0o644, True)
    }
    for number in range(30):
        name = uuid(number)
        assert content[f"{name}.jpg"] == image(number)
        assert content[f"{name}.cls"] == str(number % 2).encode()
        row = {"file_name": f"{NAMES[number % 2]}/{name}.jpg", "label": number % 2, "note": f"№ {number}"}
        row |= {"on": "2026-02-01", "at": "2026-01-31T12:00:00+00:00", "none": None}
        assert json.loads(content[f"{name}.json"]) == row


def test_shards_have_equal_numbers_of_mixed_images() -> None:
    made = shards.plan("train", *split(range(2001), sizes=10))
    assert [(shard.name, shard.rows.height) for shard in made] == [
        ("train-000000.tar", 667),
        ("train-000001.tar", 667),
        ("train-000002.tar", 667),
    ]
    every = [row for shard in made for row in shard.rows["uuid"]]
    assert sorted(every) == [uuid(number) for number in range(2001)]
    for shard in made:
        counts = Counter(sample.label for sample in shard.samples())
        assert min(counts.values()) > 250, counts


@pytest.mark.parametrize(
    ("number", "size", "sizes"),
    [
        (0, 1, []),
        (1, 1, [1]),
        (1000, 1, [1000]),
        (1001, 1, [501, 500]),
        (20, 30 << 20, [8, 8, 4]),  # 256 MiB at most
        (3, 300 << 20, [1, 1, 1]),
    ],
)
def test_a_shard_fits_in_memory(number: int, size: int, sizes: list[int]) -> None:
    made = shards.plan("train", *split(range(number), sizes=size))
    assert [shard.rows.height for shard in made] == sizes


def test_images_without_a_row_and_rows_without_an_image_are_refused() -> None:
    files, table = split(range(5))
    for some, rows in ((files, table.head(4)), (files.head(4), table)):
        with pytest.raises(Refused, match=r"train/metadata.parquet and the images of train differ, as in '.*4.jpg'"):
            shards.plan("train", some, rows)


def test_any_other_byte_is_found() -> None:
    [shard] = shards.plan("train", *split(range(3)))
    samples = shard.samples()
    data = written(samples)
    assert shards.find_fault(samples, data) == ""
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert shards.find_fault(samples, changed), at
    for other in (b"", data[:-512], data[:-1], data + bytes(512)):
        assert shards.find_fault(samples, other) == f"has {len(other):,} bytes, expected {len(data):,}"
