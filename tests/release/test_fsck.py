"""fsck: missing, corrupt and invalid objects of releases are found and named; missing ones are restored."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from registry.demo.seaweedfs import S3Server
from support import model_files, release_auditor, repositories
from support.patience import PATIENCE
from support.repositories import Run, origin, production, staging

CAT, DOG, WEIGHTS = (
    repositories.md5(b"one cat"),
    repositories.md5(b"a dog"),
    repositories.md5(model_files.named(b"weights of 1.0.0")),
)
WHOLE = """\
tag                     objects    bytes    missing    corrupt    invalid
datasets/pets@v1.0.0         11    5,170          0          0          0
models/pets@v1.0.0           11    6,649          0          0          0
"""
MANIFESTS = "restored 2 of 2 missing release manifests\n"


def prepared(root: Path) -> str:
    return yaml.safe_load((root / "datasets/pets/prepared.dvc").read_text())["outs"][0]["md5"]


def place(root: Path, md5: str) -> Path:
    return repositories.place(production(root), md5)


def faults(root: Path, run_registry: Run, *args: str) -> list[tuple[str, str, str]]:
    """Each fault's tag, state and path, by way of the JSON."""
    done = run_registry(root, "fsck", "--format", "json", *args)
    report = json.loads(done.out)
    found = [(row["tag"], fault["state"], fault["path"]) for row in report["tags"] for fault in row["faults"]]
    assert (done.code, report["intact"]) == (int(bool(found)), not found)
    return found


# --- looking ----------------------------------------------------------------------------------------------------------


def test_intact_releases_have_no_faults(released_model: Path, run_registry: Run) -> None:
    before = repositories.snapshot(production(released_model))
    for args in ([], ["--deep"], ["--all-tags"], ["--repair", "staging"]):
        done = run_registry(released_model, "fsck", *args)
        assert (done.code, done.out) == (0, WHOLE), done.err
    assert repositories.snapshot(production(released_model)) == before


def test_before_anything_is_published(merged_model: Path, run_registry: Run) -> None:
    done = run_registry(merged_model, "fsck")
    assert (done.code, done.out) == (0, "no version is published yet: nothing to verify\n")
    assert json.loads(run_registry(merged_model, "fsck", "--format", "json").out)["tags"] == []


def test_only_the_latest_release_is_verified_without_all_tags(released_model: Path, run_registry: Run) -> None:
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.merge(released_model, "more pets")
    assert run_registry(released_model, "publish", "datasets/pets").code == 0
    old = repositories.git_in(released_model, "show", "HEAD~1:datasets/pets/raw.dvc")
    place(released_model, yaml.safe_load(old)["outs"][0]["md5"]).unlink()
    assert faults(released_model, run_registry) == []
    assert faults(released_model, run_registry, "--all-tags") == [
        ("datasets/pets@v1.0.0", "missing", "datasets/pets/raw")
    ]


def test_a_shallow_clone_verifies_the_tags_of_origin(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    url = f"file://{origin(released_model)}"
    repositories.git_in(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", url, "shallow")
    (tmp_path / "shallow/.registry").symlink_to(released_model / ".registry")
    assert run_registry(tmp_path / "shallow", "fsck").out == WHOLE
    repositories.git_in(tmp_path / "shallow", "remote", "remove", "origin")
    assert run_registry(tmp_path / "shallow", "fsck").refused("this clone is shallow and has no remote")


def test_a_missing_object_is_named_with_its_location(released_model: Path, run_registry: Run) -> None:
    place(released_model, WEIGHTS).unlink()
    done = run_registry(released_model, "fsck")
    assert done.code == 1
    assert done.out.splitlines()[2:] == [
        "models/pets@v1.0.0           11    6,099          1          0          0",
        f"models/pets@v1.0.0: models/pets/model.onnx: {place(released_model, WEIGHTS)} is missing",
        "hint: registry fsck --repair FROM (staging, cache, a remote, URL or folder) restores missing objects",
    ]


def test_the_first_ten_are_named(released_model: Path, run_registry: Run) -> None:
    shutil.rmtree(production(released_model))
    out = run_registry(released_model, "fsck").out
    assert out.count(f"{production(released_model)}/files/") == 4, (
        "without the lists of files, what they list is unknown"
    )
    assert "is missing (the list of 8 files)" in out
    for file in staging(released_model).glob("files/md5/*/*"):
        if file.suffix != ".dir":
            file.unlink()
    done = run_registry(released_model, "fsck", "--repair", "staging")
    assert done.code == 1
    assert done.err.startswith("restored 0 of 13 missing objects\n")
    assert (done.out.count(f"{production(released_model)}/files/"), "… and 5 more\n" in done.out) == (10, True)


@pytest.mark.parametrize(("body", "args"), [(b"A DOG", ["--deep"]), (b"a", []), (b"a dog and more", [])])
def test_a_corrupt_object_is_found_by_size_or_by_reading(
    body: bytes, args: list[str], released_model: Path, run_registry: Run
) -> None:
    file = place(released_model, DOG)
    repositories.overwrite(file, body)
    done = run_registry(released_model, "fsck", *args)
    assert done.code == 1
    assert f"{file}: checksum mismatch: content does not match its MD5" in done.out
    assert "hint: production is create-only; only an administrator can replace corrupt objects:\n" in done.out
    assert f"  # rm -f {file}  (first find an intact copy with registry fsck --repair FROM)\n" in done.out
    done = run_registry(released_model, "fsck", *args, "--repair", "staging")
    assert (done.code, file.read_bytes()) == (1, body), "nothing is ever overwritten"
    assert f"  rm -f {file}  # intact copy: {staging(released_model)}\n" in done.out
    file.unlink()  # what the administrator does
    assert run_registry(released_model, "fsck", "--deep", "--repair", "staging").out == WHOLE


@pytest.mark.parametrize("same_size", [True, False])
def test_a_corrupt_list_of_files_is_found_without_reading_all(
    same_size: bool, released_model: Path, run_registry: Run
) -> None:
    file = place(released_model, prepared(released_model))
    repositories.overwrite(file, file.read_bytes().replace(b"cat", b"CAT") if same_size else b"[]")
    place(released_model, CAT).unlink()
    lost = "datasets/pets/prepared/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
    corrupt = [(f"{kind}/pets@v1.0.0", "corrupt", "datasets/pets/prepared") for kind in ("datasets", "models")]
    assert faults(released_model, run_registry) == corrupt
    assert faults(released_model, run_registry, "--repair", "staging") == corrupt, "by staging's list"
    assert place(released_model, CAT).exists(), f"{lost} was put back"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../../home/me/.bashrc", "is not a file of its folder"),
        ("train/cat/run.sh", "the list names 'train/cat/run.sh', neither an image nor metadata.parquet"),
        (None, "datasets/pets/prepared: the list names 1 file, expected 2 by the pointer"),
    ],
)
def test_a_list_of_files_with_invalid_names(
    name: str | None, message: str, released_model: Path, run_registry: Run
) -> None:
    """Such a tag was made and pushed past all checks."""
    names = [name] if name else ["train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"]
    listing = json.dumps([{"md5": CAT, "relpath": one} for one in names], sort_keys=True).encode()
    md5 = f"{repositories.md5(listing)}.dir"
    place(released_model, md5).parent.mkdir(exist_ok=True)
    place(released_model, md5).write_bytes(listing)
    out = {"md5": md5, "size": 7, "nfiles": 1 if name else 2, "hash": "md5", "path": "prepared"}
    repositories.write(released_model / "datasets/pets/prepared.dvc", {"outs": [out]})
    manifest = released_model / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("1.0.0", "1.1.0"))
    repositories.commit(released_model, "odd")
    repositories.git_in(released_model, "tag", "-a", "-m", "odd", "datasets/pets@v1.1.0")
    repositories.git_in(released_model, "push", "--quiet", "origin", "datasets/pets@v1.1.0")
    done = run_registry(released_model, "fsck")
    assert done.code == 1
    assert message in done.out
    assert "hint: registry withdraw ID VERSION --why TEXT" in done.out


def test_tags_without_readable_pointers(released_model: Path, run_registry: Run) -> None:
    (released_model / "datasets/pets/raw.dvc").write_text("outs: []\n")
    repositories.commit(released_model, "broken")
    for name in ("datasets/pets@v1.1.0", "datasets/birds@v0.1.0"):
        repositories.git_in(released_model, "tag", "-a", "-m", "x", name)
        repositories.git_in(released_model, "push", "--quiet", "origin", name)
    out = run_registry(released_model, "fsck").out
    assert "datasets/pets@v1.1.0: datasets/pets/raw.dvc:1: outs: is empty" in out
    assert "datasets/birds@v0.1.0: datasets/birds: no pointer to data" in out


# --- repairing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["staging", "cache", "backup"])
def test_everything_is_restored_from(source: str, released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    before = repositories.published(released_model)
    shutil.rmtree(production(released_model))
    if source == "backup":
        shutil.move(staging(released_model), tmp_path / "backup")
        config = released_model / ".dvc/config"
        config.write_text(f"{config.read_text()}['remote \"backup\"']\n    url = {tmp_path / 'backup'}\n")
    done = run_registry(released_model, "fsck", "--repair", source)
    assert (done.code, done.out, done.err) == (0, WHOLE, f"restored 13 of 13 missing objects\n{MANIFESTS}")
    assert repositories.published(released_model) == before
    assert release_auditor.broken_promises(origin(released_model), production(released_model)) == []
    assert run_registry(released_model, "fsck", "--repair", source).err == ""


def test_a_corrupt_copy_is_not_restored_and_no_list_before_its_files(released_model: Path, run_registry: Run) -> None:
    shutil.rmtree(production(released_model))
    repositories.overwrite(repositories.place(staging(released_model), CAT), b"ONE CAT")
    done = run_registry(released_model, "fsck", "--repair", "staging")
    assert done.code == 1
    assert done.err.startswith("restored 11 of 13 missing objects\n")
    there = repositories.snapshot(production(released_model) / "files")
    assert not place(released_model, CAT).exists()
    assert f"md5/{prepared(released_model)[:2]}/{prepared(released_model)[2:]}" not in there
    assert run_registry(released_model, "fsck", "--repair", "cache").out == WHOLE


@pytest.mark.parametrize(("source", "words"), [("production", "repaired from itself"), ("nowhere", "nowhere")])
def test_places_that_cannot_repair(source: str, words: str, released_model: Path, run_registry: Run) -> None:
    assert run_registry(released_model, "fsck", "--repair", source).refused(words)


def test_killed_in_the_middle_of_an_object(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    before = repositories.published(released_model)
    shutil.rmtree(production(released_model))
    whole = shutil.copytree(staging(released_model), tmp_path / "whole")
    pipe = repositories.place(staging(released_model), CAT)  # reading it waits, in the middle, for who writes
    pipe.unlink()
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "registry", "fsck", "--repair", "staging"]
    process = subprocess.Popen(command, cwd=released_model, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end, writing = time.monotonic() + PATIENCE, None
    while writing is None and time.monotonic() < end and process.poll() is None:
        with suppress(OSError):  # there is no reader yet
            writing = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    assert writing is not None
    os.write(writing, b"one")
    process.kill()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    os.close(writing)
    there = repositories.snapshot(production(released_model) / "files")
    assert {name: before[0][name] for name in there} == there, "whatever is there is right"
    assert not place(released_model, CAT).exists()
    assert not place(released_model, prepared(released_model)).exists()
    done = run_registry(released_model, "fsck", "--deep", "--repair", str(whole))
    assert (done.code, done.out) == (0, WHOLE)
    assert repositories.published(released_model) == before


# --- on S3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.s3
def test_on_s3(merged_model: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(tmp_path / "s3") as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        config = (merged_model / ".dvc/config").read_text()
        for name in ("staging", "production"):
            config = config.replace(f"url = ../.registry/{name}", f"url = s3://{name}\n    endpointurl = {server.url}")
        (merged_model / ".dvc/config").write_text(config)
        repositories.commit(merged_model, "on S3")
        repositories.git_in(merged_model, "push", "--quiet", "origin", "main")
        for command in ("push", "publish"):
            assert run_registry(merged_model, command).code == 0
        client, key = server.client(), f"files/md5/{CAT[:2]}/{CAT[2:]}"
        client.delete_object(Bucket="production", Key=key)
        client.put_object(Bucket="production", Key=f"files/md5/{DOG[:2]}/{DOG[2:]}", Body=b"A DOG")
        place = f"s3://production/files/md5/{DOG[:2]}/{DOG[2:]}"
        removal = f"  aws --endpoint-url {server.url} s3 rm {place}  # intact copy: s3://staging\n"
        done = run_registry(merged_model, "fsck", "--deep", "--repair", "staging")
        assert (done.code, done.err) == (1, "restored 1 of 1 missing object\n")
        assert client.get_object(Bucket="production", Key=key)["Body"].read() == b"one cat"
        assert removal in done.out
        client.delete_object(Bucket="production", Key=f"files/md5/{DOG[:2]}/{DOG[2:]}")
        assert run_registry(merged_model, "fsck", "--deep", "--repair", "staging").out == WHOLE
