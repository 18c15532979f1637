"""The shards of a release in production: found, verified, and erased with an image that they hold."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import copy
from registry.core import canonical_json, consuming, digests, schema
from registry.core.documents import Document
from registry.core.names import parse_tag
from registry.dataset import shards
from registry.dataset.shard_index import ShardFile, ShardIndex
from support import hints, pages, released_photos, repositories, sharded_registry
from support.dataset_builds import Desk, picture, uuid
from support.repositories import Run, git_in

TAG = released_photos.DATASET
FOLDER = f".registry/production/releases/{TAG.replace('@v', '/')}/shards"
CASE, ERASED = "DSR-1", 0
NAMES = {"index.json", "test-000000.tar", "train-000000.tar", "val-000000.tar"}


@pytest.fixture(scope="module")
def _exported(_released_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_released_photos, tmp_path_factory.mktemp("exported"))
    done = repositories.registry(root, "export", TAG, "--shards")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def exported(_exported: Path, tmp_path: Path, run_registry: Run) -> Desk:
    """`datasets/pets` 1.0.0 with its shards in production."""
    return Desk(copy(_exported, tmp_path), run_registry)


def names(desk: Desk) -> set[str]:
    return {path.name for path in (desk.root / FOLDER).iterdir()}


def damage(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)


def split_of(desk: Desk, number: int) -> str:
    return next(path.partition("/")[0] for path in desk.files() if uuid(number) in path)


def test_where_names_the_shard(exported: Desk) -> None:
    split = split_of(exported, 7)
    done = exported.run("where", uuid(7))
    assert f"{TAG}  {split}/dog, {split}-000000.tar" in done.out
    told = json.loads(exported.run("where", uuid(7), "--format", "json").out)
    assert told[0]["datasets"][0]["shard"] == f"{split}-000000.tar"
    shutil.rmtree(exported.root / FOLDER)
    assert ".tar" not in exported.run("where", uuid(7)).out
    (exported.root / FOLDER).mkdir()
    (exported.root / FOLDER / "index.json").write_text("{}")
    assert "warning: which shards have it is not known: " in exported.run("where", uuid(7)).err


def test_every_image_is_in_the_shard_that_its_hash_says() -> None:
    placed = sorted(shards.order(uuid(number)) for number in range(100))
    files = tuple(ShardFile(f"train-{number:06}.tar", 25, 1, "", "", placed[25 * number + 24]) for number in range(4))
    index = ShardIndex(parse_tag(TAG), "", None, (), {}, {"train": files})
    found = [index.find("train", uuid(number)) for number in range(100)]
    for number, file in enumerate(found):
        assert file is files[placed.index(shards.order(uuid(number))) // 25]
    assert index.find("val", uuid(0)) is None


def test_verify_proves_shards_by_the_release(exported: Desk, tmp_path: Path) -> None:
    got = tmp_path / "got"
    shutil.copytree(exported.root / FOLDER, got)
    done = exported.run("verify", TAG, str(got))
    assert done.out.splitlines()[-1] == f"{got} is {TAG} as shards: 3 shards with 40 images intact"
    one = exported.run("verify", TAG, str(got / "val-000000.tar"))
    assert one.out.endswith("is datasets/pets@v1.0.0 as shards: 1 shard with 9 images intact\n")
    damage(got / "val-000000.tar")
    (got / "train-000001.tar").write_bytes((got / "train-000000.tar").read_bytes())
    (got / "train-000000.tar").unlink()
    done = exported.run("verify", TAG, str(got))
    assert done.refused(
        f"{got} is not {TAG} as shards",
        "train-000001.tar: the release has no such shard",
        "val-000000.tar: other bytes than expected at 0",
        "train-000000.tar: is missing",
    ), done.err


def run_python(folder: Path, code: str) -> str:
    done = repositories.sh(folder, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_show_and_the_catalog_say_where_they_are_and_how_they_are_read(exported: Desk, tmp_path: Path) -> None:
    place = exported.root / FOLDER
    assert f"\nshards: 3, 146.4 kB, in {place}\n" in exported.run("show", TAG).out
    told = json.loads(exported.run("show", TAG, "--format", "json").out)["shards"]
    key = FOLDER.removeprefix(".registry/production/")
    size = sum(path.stat().st_size for path in place.glob("*.tar"))
    whole = {"index": f"{key}/index.json", "bytes": size, "splits": {"train": 1, "val": 1, "test": 1}, "missing": []}
    assert told == whole
    site = tmp_path / "site"
    assert exported.run("catalog", "build", "--out", str(site)).code == 0
    data = json.loads((site / "registry.json").read_bytes())
    assert [*schema.find_faults(Document("registry.json", data, {}), "catalog")] == []
    [dataset] = [one for one in data["artifacts"] if one["artifact"] == "datasets/pets"]
    assert dataset["releases"][0]["shards"] == whole
    for page in ("datasets/pets/index.html", "datasets/pets/v1.0.0/index.html"):
        assert f"place = &#34;{place}&#34;" in (site / page).read_text()
    (place / "val-000000.tar").unlink()
    assert f"\nshards: 2 of 3 shards left, which are not the whole, in {place}\n" in exported.run("show", TAG).out
    assert exported.run("catalog", "build", "--out", str(site)).code == 0
    assert "webdataset" not in (site / "datasets/pets/v1.0.0/index.html").read_text()
    data = json.loads((site / "registry.json").read_bytes())
    [dataset] = [one for one in data["artifacts"] if one["artifact"] == "datasets/pets"]
    assert dataset["releases"][0]["shards"] == {**whole, "missing": ["val-000000.tar"]}


def test_the_programs_of_the_catalog_and_of_the_consumers_page_read_them(exported: Desk, tmp_path: Path) -> None:
    place = str(exported.root / FOLDER)
    *_, snippet = consuming.snippets(parse_tag(TAG), "URL", sidecar=False, shards=place)
    count = "print({name: sum(1 for _ in split) for name, split in images.items()})\n"
    assert run_python(tmp_path, f"{snippet.text}\n{count}") == "{'test': 9, 'train': 22, 'val': 9}\n"
    [block] = re.findall(r"```python\n([^`]*load_dataset[^`]*)```", pages.read("docs/consumer.md"))
    code = block.replace("s3://acme-data/releases/datasets/birds/1.0.0/shards", place)
    assert place in code
    more = """
from datasets.distributed import split_dataset_by_node as share
shares = [len([*share(train, rank, 2)]) for rank in (0, 1)]
print(len([*train]), sample['json']['label'] == sample['cls'], *shares)
"""
    assert run_python(tmp_path, code + more) == "22 True 11 11\n"


IN_EACH_PROCESS = """
import json, os, sys
code, found = sys.stdin.read(), []
for rank in ("0", "1", "0"):
    os.environ |= {"RANK": rank, "WORLD_SIZE": "2"}
    names = {}
    exec(code, names)
    found.append([key for key, _ in names["mine"]])
print(json.dumps(found))
"""


def test_the_program_of_the_consumers_page_shares_them_between_processes(exported: Desk, tmp_path: Path) -> None:
    """22 images in shards of 6, 6, 6 and 4: one process could have 12, the other has 10."""
    with sharded_registry.small_shards():
        assert exported.run("export", TAG, "--shards", "--out", str(tmp_path / "shards")).code == 0
    [code] = re.findall(r"```python\n([^`]*import webdataset[^`]*)```", pages.read("docs/consumer.md"))
    code = code.replace('to_tuple("jpg;png;webp", "cls")', 'to_tuple("__key__", "jpg")')
    done = subprocess.run(
        [sys.executable, "-c", IN_EACH_PROCESS], input=code, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    first, second, again = json.loads(done.stdout)
    assert (len(first), len(second), first == again) == (10, 10, True)
    train = {path.rpartition("/")[2].partition(".")[0] for path in exported.files() if path.startswith("train/")}
    assert len({*first, *second} & train) == 20


def test_an_index_is_not_believed(exported: Desk) -> None:
    """Another label in a shard, and one shard less, each with an index that says the same."""
    folder = exported.root / FOLDER
    data = (folder / "train-000000.tar").read_bytes()
    other = data.replace(b'"label_name":"cat"', b'"label_name":"dog"', 1)
    index = json.loads((folder / "index.json").read_bytes())
    shard = index["splits"]["train"][0]
    shard |= {"md5": digests.md5(other), "sha256": hashlib.sha256(other).hexdigest()}
    index["splits"]["val"] = []
    for name, changed in (("train-000000.tar", other), ("index.json", f"{canonical_json.write(index)}\n".encode())):
        (folder / name).chmod(0o644)
        (folder / name).write_bytes(changed)
    assert exported.run("fsck").code == 0
    done = exported.run("fsck", "--deep")
    assert done.code == 1
    assert f"{TAG}: shard: {folder}/train-000000.tar: other bytes than expected at" in done.out
    assert f"{TAG}: shard: {folder}/index.json: does not name all shards of the release" in done.out


@pytest.mark.parametrize("deep", [False, True])
def test_fsck_names_what_is_missing_or_corrupt_and_its_next_step_works(
    exported: Desk, run_registry: Run, *, deep: bool
) -> None:
    args = ("fsck", *(["--deep"] if deep else []))
    before = exported.run(*args)
    assert (before.code, "hint" in before.out) == (0, False)
    folder = exported.root / FOLDER
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "val-000000.tar").unlink()
    if deep:
        damage(folder / "train-000000.tar")
    else:
        (folder / "train-000000.tar").chmod(0o644)
        (folder / "train-000000.tar").write_bytes(b"cut off")
    done = exported.run(*args)
    assert done.code == 1
    assert f"{TAG}: shard: {folder}/val-000000.tar: is missing" in done.out
    fault = "SHA-256 is not that of the index" if deep else f"has 7 bytes, expected {len(whole['train-000000.tar']):,}"
    assert f"{TAG}: shard: {folder}/train-000000.tar: {fault}" in done.out
    assert f"  rm -f {folder}/train-000000.tar\n" in done.out
    (folder / "train-000000.tar").unlink()
    [hint] = hints.in_output(done.out)
    assert hint == f"registry export {TAG} --shards"
    hints.run(exported.root, hint, {}, run_registry)
    assert exported.run(*args).code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_an_index_of_something_else_is_corrupt(exported: Desk) -> None:
    place = exported.root / FOLDER / "index.json"
    place.chmod(0o644)
    said = json.loads(place.read_bytes())
    for change in ({"commit": "0" * 40}, {"manifest": None}, {"tag": "datasets/pets@v2.0.0"}, {"more": 1}):
        place.write_text(json.dumps({**said, **change}, sort_keys=True, separators=(",", ":")) + "\n")
        done = exported.run("fsck")
        assert (done.code, f"shard: {place}: " in done.out) == (1, True), done.out


# --- erasure ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _merged(_exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_exported, tmp_path_factory.mktemp("merged"))
    done = repositories.registry(root, "erase", uuid(ERASED), "--case", CASE, "--approved-by", "@acme/privacy")
    assert done.returncode == 0, done.stderr
    repositories.merge(root, "Erase")
    git_in(root, "fetch", "--quiet")
    assert repositories.registry(root, "publish").returncode == 0
    return root


@pytest.fixture
def merged(_merged: Path, tmp_path: Path, run_registry: Run) -> Desk:
    """The same, where the erasure of an image of `train` is merged; its bytes are there still."""
    return Desk(copy(_merged, tmp_path), run_registry)


def delete(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("erase", uuid(ERASED), "--case", CASE, "--delete")
    plan = desk.run(*args, "--dry-run")
    assert plan.code == 0, plan.err
    count = sum(int(line.split()[-2]) for line in plan.out.splitlines()[1:])
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{CASE}\n{count}\n"))
    done = desk.run(*args)
    assert done.code == 0, done.err + done.out


def holding(desk: Desk) -> list[Path]:
    """Every file outside of Git with the bytes of the image in it, also as a part."""
    files = [
        path for path in desk.root.rglob("*") if path.is_file() and ".git" not in path.relative_to(desk.root).parts
    ]
    return [path for path in files if picture(ERASED) in path.read_bytes()]


def test_the_shard_with_an_erased_image_is_deleted_and_no_other(merged: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert merged.root / FOLDER / "train-000000.tar" in holding(merged)
    delete(merged, monkeypatch)
    assert holding(merged) == []
    assert names(merged) == NAMES - {"train-000000.tar"}
    for args in (("fsck", "--all-tags", "--deep"), ("fsck", "--all-tags")):
        done = merged.run(*args)
        assert (done.code, "shard" in done.out) == (0, False), done.out
    assert "train-000000.tar" not in merged.run("where", uuid(ERASED)).out
    assert merged.run("erase", uuid(ERASED), "--case", CASE, "--delete", "--dry-run").out.count(": 0 objects") > 3


def test_what_lost_an_image_is_not_exported_and_the_next_version_is(
    merged: Desk, monkeypatch: pytest.MonkeyPatch, run_registry: Run, tmp_path: Path
) -> None:
    fault = f"error: {TAG} lost 1 image to an erasure: shards of what is left would look whole"
    for place in ((), ("--out", str(tmp_path / "out"))):
        refused = merged.run("export", TAG, "--shards", *place)
        assert (refused.code, fault in refused.err) == (1, True), refused.err
    delete(merged, monkeypatch)
    refused = merged.run("export", TAG, "--shards")
    assert fault in refused.err
    [hint] = hints.in_output(refused.err)
    assert hint == "registry export datasets/pets@v1.0.1 --shards"
    hints.run(merged.root, hint, {}, run_registry)
    assert holding(merged) == []


def test_an_export_that_was_interrupted_is_erased_too(merged: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (merged.root / FOLDER / "index.json").unlink()
    delete(merged, monkeypatch)
    assert holding(merged) == []
    assert names(merged) == NAMES - {"index.json", "train-000000.tar"}
