"""`registry check --remote`: is everything that a change refers to where others can get it?"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from registry.demo.seaweedfs import S3Server
from registry.integrations import dvc
from support import model_files, repositories
from support.repositories import MORE_PETS, PETS, Run, md5

POINTER = "datasets/pets/prepared.dvc"
LOST = "train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
PUSH = "run `registry push` on the machine that has the data"


def judge(run: Run, root: Path, *options: str) -> list[tuple[str, str, str]]:
    """The path, message and fix of what is wrong with objects."""
    done = run(root, "check", "--remote", "--format", "json", *options)
    found = [one for one in json.loads(done.out)["findings"] if one["check"] == "remote-objects"]
    assert not found or (done.code, {one["verdict"] for one in found}) == (1, {"wrong"})
    return [(one["path"], one["message"], one["fix"]) for one in found]


def lose(store: Path, data: bytes) -> None:
    repositories.place(store, md5(data)).unlink()


def dir_of(root: Path) -> Path:
    """The list of the files of `datasets/pets/prepared`, in staging."""
    return repositories.place(
        repositories.staging(root), yaml.safe_load((root / POINTER).read_text())["outs"][0]["md5"]
    )


def point_staging_at(root: Path, place: str) -> None:
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace("url = ../.registry/staging", f"url = {place}"))


# --- the command ------------------------------------------------------------------------------------------------------


def test_what_is_there_passes_and_is_spoken_of_only_when_asked_for(built_model: Path, run_registry: Run) -> None:
    run_registry(built_model, "check", "--fix")
    asked, silent = (run_registry(built_model, "check", *option) for option in (["--remote"], []))
    passed = int(re.findall(r"(\d+) checks passed\n$", silent.out)[0])
    both = silent.out.replace(f"{passed} checks passed\n", f"{passed + 2} checks passed\n")
    assert (asked.code, asked.out) == (0, both)
    passed = json.loads(run_registry(built_model, "check", "--remote", "--format", "json").out)["passed"]
    assert {"check": "remote-objects", "artifact": None} in passed


def test_what_is_missing_is_counted_and_named_in_every_format(built_model: Path, run_registry: Run) -> None:
    lose(repositories.staging(built_model), b"one cat")
    message = f"1 of 9 objects is missing in staging and production: prepared/{LOST}"
    assert judge(run_registry, built_model) == [(POINTER, message, PUSH)]
    text = run_registry(built_model, "check", "--remote").out
    assert f"{POINTER}: wrong: {message} [remote-objects]\n  hint: {PUSH}\n" in text
    github = run_registry(built_model, "check", "--remote", "--format", "github").out
    assert f"::error file={POINTER},line=1,title=registry check%3A remote-objects::{message}%0Ahint: {PUSH}\n" in github


def test_it_makes_no_sense_of_a_commit_that_is_not_made_yet(built_model: Path, run_registry: Run) -> None:
    done = run_registry(built_model, "check", "--remote", "--staged")
    assert (done.code, "use it with --base or --all" in done.err) == (1, True)


def test_dvc_does_not_say_what_this_says(merged_model: Path, run_registry: Run, tmp_path: Path) -> None:
    shutil.rmtree(repositories.staging(merged_model))
    clone = repositories.other_clone(merged_model, tmp_path)
    # Both exit with 0, or this would raise; of folders, status says nothing.
    assert "Everything is up to date" in dvc.dvc(clone, "push", "--remote", "staging", quiet=True)
    status = json.loads(dvc.dvc(clone, "status", "--cloud", "--remote", "staging", "--json", quiet=True))
    assert status == {f"models/pets/{name}": "missing" for name in ("model.onnx", "predictions.parquet")}
    assert [message for _, message, _ in judge(run_registry, clone)] == [
        "2 of 2 objects are missing in staging and production: prepared, raw",
        "2 of 2 objects are missing in staging and production: model.onnx, predictions.parquet",
    ]


# --- where objects may be ---------------------------------------------------------------------------------------------


def test_an_object_may_be_in_either_place(built_model: Path, run_registry: Run) -> None:
    for body in (b"one cat", model_files.named(b"weights of 1.0.0")):
        place = repositories.place(repositories.production(built_model), md5(body))
        place.parent.mkdir(parents=True)
        shutil.move(repositories.place(repositories.staging(built_model), md5(body)), place)
    assert judge(run_registry, built_model) == []


def test_an_object_of_another_size_is_damaged(built_model: Path, run_registry: Run) -> None:
    damaged = repositories.place(repositories.staging(built_model), md5(b"one cat"))
    repositories.overwrite(damaged, b"cut o")
    image = f"datasets/pets/prepared/{LOST}: {damaged}"
    assert judge(run_registry, built_model) == [
        (
            POINTER,
            f"objects are damaged: {image}: checksum mismatch: content does not match its MD5",
            f"delete the damaged objects, then {PUSH}",
        )
    ]


def test_a_pointer_that_adds_up_to_something_else(built_dataset: Path, run_registry: Run) -> None:
    pointer = built_dataset / POINTER
    pointer.write_text(pointer.read_text().replace("size: ", "size: 1"))
    ((_, message, _),) = judge(run_registry, built_dataset)
    assert "its objects have" in message
    assert "expected 1" in message


@pytest.mark.parametrize("data", [None, b"[]", b'[{"md5": "', b""])
def test_a_list_of_files_that_is_lost_or_corrupt_is_a_finding(
    built_dataset: Path, run_registry: Run, data: bytes | None
) -> None:
    listing = dir_of(built_dataset)
    listing.unlink()
    if data is not None:
        listing.write_bytes(data)
    for cached in (True, False):  # the machine that built it can still name the files
        if not cached:
            shutil.rmtree(built_dataset / ".dvc/cache")
        ((path, message, _),) = judge(run_registry, built_dataset)
        lost = f"1 of {9 if cached else 1} object"
        assert path == POINTER
        assert (lost if data is None else "datasets/pets/prepared: list of files ") in message


def test_a_list_that_leads_out_of_its_folder_is_a_finding(built_dataset: Path, run_registry: Run) -> None:
    listing = b'[{"md5": "%s", "relpath": "../x"}]' % md5(b"one cat").encode()
    pointer = built_dataset / POINTER
    repositories.place(repositories.staging(built_dataset), f"{md5(listing)}.dir").parent.mkdir(exist_ok=True)
    repositories.place(repositories.staging(built_dataset), f"{md5(listing)}.dir").write_bytes(listing)
    right = yaml.safe_load(pointer.read_text())["outs"][0]["md5"]
    pointer.write_text(pointer.read_text().replace(right, f"{md5(listing)}.dir"))
    ((_, message, _),) = judge(run_registry, built_dataset)
    assert message.startswith("objects are damaged: ")
    assert "'../x' is not a file of its folder" in message


# --- how much is judged -----------------------------------------------------------------------------------------------


def test_every_commit_of_a_branch_is_judged_and_a_push_of_it_helps(merged_model: Path, run_registry: Run) -> None:
    repositories.dataset(merged_model, "pets", MORE_PETS, "1.1.0")
    grown = repositories.commit(merged_model, "more pets")
    repositories.dataset(merged_model, "pets", PETS, "1.1.0")
    repositories.commit(merged_model, "fewer again")
    assert judge(run_registry, merged_model, "--all") == []
    ((path, message, fix),) = judge(run_registry, merged_model, "--base", "origin/main")
    assert message.startswith(f"commit {grown[:10]}: 5 of 12 objects are missing in staging and production: ")
    assert (path, fix) == (POINTER, f"run `registry push {grown[:10]}` on the machine that has the data")
    assert run_registry(merged_model, "push", grown).code == 0
    assert judge(run_registry, merged_model, "--base", "origin/main") == []


def test_a_branch_answers_for_the_artifacts_that_it_touches(merged_model: Path, run_registry: Run) -> None:
    lose(repositories.staging(merged_model), b"one cat")
    assert judge(run_registry, merged_model, "--base", "origin/main") == []
    (merged_model / "models/pets/model.yaml").open("a").write("\n")
    ((path, message, _),) = judge(run_registry, merged_model, "--base", "origin/main")
    assert path == "models/pets/dvc.lock"
    assert message == f"1 of 9 objects is missing in staging and production: datasets/pets/prepared/{LOST}"


def test_a_pointer_that_cannot_be_read_could_not_be_judged(merged_model: Path, run_registry: Run) -> None:
    (merged_model / POINTER).write_text("outs: [")
    broken = repositories.commit(merged_model, "broken")
    in_commit, in_tree = judge(run_registry, merged_model, "--base", "origin/main")
    assert (in_commit[0], in_tree[0]) == (POINTER, POINTER)
    assert in_commit[1].startswith(f"could not be verified: in commit {broken[:10]}: not valid YAML")
    assert in_tree[1].startswith("could not be verified: not valid YAML")
    repositories.git_in(merged_model, "checkout", "HEAD~1", POINTER)
    repositories.commit(merged_model, "mended")
    assert judge(run_registry, merged_model, "--base", "origin/main") == [in_commit]


def test_a_shallow_clone_does_not_know_all_commits(merged_model: Path, run_registry: Run, tmp_path: Path) -> None:
    url = f"file://{repositories.origin(merged_model)}"
    repositories.git_in(tmp_path, "clone", "--quiet", "--depth=1", url, "shallow")
    ((_, message, fix),) = judge(run_registry, tmp_path / "shallow", "--base", "HEAD")
    assert message.startswith("could not be verified: this clone is shallow")
    assert fix == "git fetch --unshallow"


# --- places that do not answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["ftp://host/x", "../.registry/loop"])
def test_a_place_that_cannot_be_asked_is_never_a_pass(built_model: Path, run_registry: Run, place: str) -> None:
    (built_model / ".registry/loop").symlink_to("loop")
    point_staging_at(built_model, place)
    ((path, message, _),) = judge(run_registry, built_model)
    assert path == ".dvc/config"
    assert message.startswith("could not be verified: the objects of this change: ")


@pytest.mark.s3
def test_buckets_are_judged_like_folders(
    built_model: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with S3Server(tmp_path / "s3") as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        point_staging_at(built_model, "s3://staging/objects")
        ((_, message, _), _) = judge(run_registry, built_model)
        assert message.startswith("11 of 11 objects are missing in staging and production: prepared, ")
        assert run_registry(built_model, "push").code == 0
        assert judge(run_registry, built_model) == []
        key = os.path.relpath(repositories.place(Path(), md5(b"one cat")))
        server.client().put_object(Bucket="staging", Key=f"objects/{key}", Body=b"cut o")
        ((_, message, _),) = judge(run_registry, built_model)
        assert message.startswith(f"objects are damaged: datasets/pets/prepared/{LOST}: s3://staging/objects/{key}: ")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        ((_, message, _),) = judge(run_registry, built_model)
        assert message == (
            "could not be verified: objects of datasets/pets, models/pets: s3://staging/objects: "
            "the signature does not match: the secret key is not that of this access key"
        )
        # What the other place has needs no answer of this one.
        shutil.copytree(repositories.staging(built_model), repositories.production(built_model))
        assert judge(run_registry, built_model) == []
