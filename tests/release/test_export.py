"""`registry export --shards`: a release as tar files, which is continued, proven and never overwritten."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import pytest
from polars import DataFrame

from registry.core import digests, schema
from registry.core.documents import Document
from registry.core.names import parse_tag
from registry.core.progress import bar
from registry.dataset import shard_index, shards
from registry.dataset.shard_index import ShardIndex
from registry.release import export
from registry.release.export import Plan
from registry.storage.local import Folder
from support import killed_at, released_photos
from support.dataset_builds import Desk, picture, uuid

TAG = released_photos.DATASET
FOLDER = f"releases/{TAG.replace('@v', '/')}/shards"
NAMES = ["index.json", "test-000000.tar", "train-000000.tar", "val-000000.tar"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_index(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "index.json").read_bytes()))


@pytest.fixture
def exported(desk: Desk) -> Path:
    """The shards of a release in production."""
    done = desk.run("export", TAG, "--shards")
    assert done.code == 0, done.err
    return desk.production / FOLDER


def test_production_and_a_folder_get_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    first = desk.run("export", TAG, "--shards")
    assert first.out == f"{desk.production}/{FOLDER} has {TAG} as 3 shards: 40 images, 146.4 kB\n"
    again = desk.run("export", "datasets/pets@latest", "--shards")
    assert again.out == f"{desk.production}/{FOLDER} has {TAG} as 3 shards, 3 were there: 40 images, 146.4 kB\n"
    elsewhere = desk.run("export", TAG, "--shards", "--out", str(tmp_path / "out"))
    assert elsewhere.out == f"{tmp_path}/out has {TAG} as 3 shards: 40 images, 146.4 kB\n"
    assert content(tmp_path / "out") == content(desk.production / FOLDER)
    assert [*content(tmp_path / "out")] == NAMES


def test_the_index_says_what_the_shards_are(exported: Path) -> None:
    index = read_index(exported)
    assert [*schema.find_faults(Document("index.json", index, {}), "shards")] == []
    assert index["tag"] == TAG
    listed = [shard for split in ("test", "train", "val") for shard in index["splits"][split]]
    files = content(exported)
    assert [
        {"name": name, "size": len(data), "md5": digests.md5(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != "index.json"
    ] == [{name: shard[name] for name in ("name", "size", "md5", "sha256")} for shard in listed]
    assert sum(shard["images"] for shard in listed) == 40


def test_hugging_face_reads_them_as_they_are(exported: Path, tmp_path: Path) -> None:
    index = read_index(exported)
    files = {split: str(exported / f"{split}-*.tar") for split in index["splits"]}
    features = datasets.Features.from_dict(index["features"])
    for types in (None, features):
        found = datasets.load_dataset(
            "webdataset", data_files=files, features=types, streaming=True, cache_dir=str(tmp_path)
        )
        samples = [sample for split in files for sample in found[split]]
        numbers = [int(sample["__key__"][-12:], 16) for sample in samples]
        assert sorted(numbers) == list(range(40))
        for number, sample in zip(numbers, samples, strict=True):
            assert sample["cls"] == number % 2 == sample["json"]["label"]
            assert sample["json"]["label_name"] == ("cat", "dog")[number % 2]
            assert sample["jpg"].getpixel((3, 3))[0] in range(number - 2, number + 3)
    assert features["cls"].names == ["cat", "dog"]


def test_a_killed_export_is_continued_and_ends_with_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    def run(last: int, out: Path) -> int:
        command = (killed_at.__file__, str(last), str(tmp_path / "steps"), "export", TAG, "--shards", "--out", str(out))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, *command], cwd=desk.root, env=env, capture_output=True, check=False
        ).returncode

    assert run(0, tmp_path / "whole") == run(0, tmp_path / "again") == 0
    whole, steps = content(tmp_path / "again"), int((tmp_path / "steps").read_text())
    left = set[int]()
    for before in (0, 3, 6):  # of the last steps: to open and rename each of four files
        out = tmp_path / f"out-{before}"
        assert run(steps - before, out) < 0
        there = content(out)
        assert {name: data for name, data in there.items() if not name.startswith(".")}.items() < whole.items()
        left.add(len(there))
        done = desk.run("export", TAG, "--shards", "--out", str(out))
        assert done.code == 0, done.err
        assert {name: data for name, data in content(out).items() if not name.startswith(".")} == whole
    assert len(left) == 3


@pytest.mark.parametrize("name", ["train-000000.tar", "index.json"])
def test_other_bytes_in_production_are_named_and_left(desk: Desk, exported: Path, name: str) -> None:
    place = exported / name
    place.chmod(0o644)
    data = place.read_bytes()
    place.write_bytes(data[:-700] + b"?" + data[-699:])
    done = desk.run("export", TAG, "--shards")
    assert done.code == 1
    assert f"{place}: " in done.err
    assert f"hint: delete that file (rm -f {place}), then run the same command again" in done.err
    place.unlink()
    assert desk.run("export", TAG, "--shards").code == 0
    assert place.read_bytes() == data


def test_a_folder_with_other_files_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train-000007.tar").write_bytes(b"of another release")
    done = desk.run("export", TAG, "--shards", "--out", str(tmp_path / "out"))
    assert (done.code, done.out) == (1, "")
    assert f"{tmp_path}/out has other files: train-000007.tar" in done.err
    assert [*content(tmp_path / "out")] == ["train-000007.tar"]


def test_an_image_that_is_damaged_or_lost_everywhere_is_no_shard(desk: Desk, tmp_path: Path) -> None:
    for photo in (3, 4):
        md5 = digests.md5(picture(photo))
        for place in (desk.production, desk.staging, desk.root / ".dvc/cache"):
            found = place / f"files/md5/{md5[:2]}/{md5[2:]}"
            if found.exists():
                found.chmod(0o644)
                found.write_bytes(b"other" if photo == 3 else picture(photo))
    done = desk.run("export", TAG, "--shards", "--out", str(tmp_path / "out"))
    assert done.code == 1
    assert f"{uuid(3)}.jpg ({digests.md5(picture(3))}): no intact copy" in done.err
    assert not (tmp_path / "out/index.json").exists()


def test_what_has_no_images_is_refused_and_a_withdrawn_release_told(desk: Desk, tmp_path: Path) -> None:
    model = desk.run("export", released_photos.MODEL, "--shards", "--out", str(tmp_path / "out"))
    assert f"{released_photos.MODEL} is a model: it has no images" in model.err
    absent = desk.run("export", "datasets/pets@v9.0.0", "--shards")
    assert (absent.code, "datasets/pets@v1.0.0" in absent.err) == (1, True)
    bare = desk.run("export", TAG)
    assert (bare.code, "Missing option '--shards'" in bare.err) == (1, True)
    assert desk.run("withdraw", "datasets/pets", "1.0.0", "--why", "blurred").code == 0
    done = desk.run("export", TAG, "--shards", "--out", str(tmp_path / "out"))
    assert (done.code, f"warning: {TAG} is withdrawn: blurred" in done.err) == (0, True)


def test_one_shard_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big, at_most, count = 30 << 20, 8 << 20, 300
    monkeypatch.setattr(shards, "BYTES", at_most)
    sizes = [big, *(1 << 18 for _ in range(count))]
    images = {digests.md5(one.to_bytes(2) * (size // 2)): (one, size) for one, size in enumerate(sizes)}
    rows = [(f"train/cat/{uuid(one)}.jpg", md5, size) for md5, (one, size) in images.items()]
    files = DataFrame(rows, ["path", "md5", "size"], orient="row")
    table = files.select(file_name=files["path"].str.strip_prefix("train/"), label=files["size"] * 0)
    features = shards.features(["cat"], ["jpg"], table.schema)
    empty = ShardIndex(parse_tag(TAG), "0" * 40, None, ("cat",), features, {})
    plan = Plan(empty, shards.plan("train", files, table))

    def read(md5: str) -> bytes:
        one, size = images[md5]
        return one.to_bytes(2) * (size // 2)

    tracemalloc.start()
    with bar("exporting", plan.images, plan.size) as progress:
        done = export.apply(plan, read, Folder(tmp_path), "", progress)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.index.size > 70 << 20
    assert peak < 3.5 * big, peak
    assert shard_index.parse((tmp_path / "index.json").read_bytes(), "index.json", parse_tag(TAG)) == done.index
