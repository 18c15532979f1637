"""`registry get`: proven files of a release, from a Git repository and its storage, and nothing else changed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.storage import cloud_config
from support import model_files, repositories
from support.patience import PATIENCE
from support.repositories import PETS, Run, git_in, overwrite, place, production
from support.servers import static_files
from support.servers.static_files import StaticFiles

TAG = "datasets/pets@v1.0.0"
MODEL = "models/pets@v1.0.0"
DOG = "train/dog/0a8c7f6e-0000-4000-8000-000000000003.jpg"


@pytest.fixture
def got(tmp_path: Path) -> Path:
    """Where a consumer's files will lie."""
    return tmp_path / "got"


@pytest.fixture
def public(released_model: Path) -> Iterator[StaticFiles]:
    """A web server over production, which the committed configuration names as `public`."""
    with static_files.serving(production(released_model)) as server:
        config = released_model / ".dvc/config"
        config.write_text(f"{config.read_text()}['remote \"public\"']\n    url = {server.url}\n")
        repositories.merge(released_model, "a public remote")
        yield server


def files(folder: Path) -> dict[str, bytes]:
    """The files below a folder that no table is."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith(".parquet")}


def repo(registry: Path) -> tuple[str, str]:
    return "--repo", str(registry)


# --- what arrives -----------------------------------------------------------------------------------------------------


def test_a_dataset_arrives_whole_and_only_what_is_missing_is_fetched_again(
    released_model: Path, got: Path, run_registry: Run, tmp_path: Path
) -> None:
    first = run_registry(tmp_path, "get", TAG, *repo(released_model), "--out", "got")
    assert (first.code, first.out.startswith("got has datasets/pets@v1.0.0: 8 files fetched, ")) == (0, True), first.err
    assert files(got) == PETS
    assert run_registry(tmp_path, "verify", TAG, "got", *repo(released_model)).code == 0
    (got / DOG).unlink()
    again = run_registry(tmp_path, "get", TAG, *repo(released_model), "--out", "got")
    assert again.out == "got has datasets/pets@v1.0.0: 1 file fetched, 5 bytes, 7 were there\n"
    assert files(got) == PETS
    (got / DOG).write_bytes(b"a log")  # what may be read may be changed


def test_one_split_is_fetched_and_another_one_beside_it(released_model: Path, got: Path, run_registry: Run) -> None:
    for split in ("test", "train"):
        done = run_registry(released_model, "get", TAG, "--split", split, "--out", str(got))
        assert (done.code, f"{TAG} ({split})" in done.out) == (0, True), done.err
    assert files(got) == {path: data for path, data in PETS.items() if not path.startswith("val/")}


def test_a_model_is_put_beside_other_files(released_model: Path, tmp_path: Path, run_registry: Run) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/notes.txt").write_text("mine")
    done = run_registry(tmp_path, "get", MODEL, *repo(released_model))
    assert done.code == 0, done.err
    assert files(tmp_path / "pets") == {"notes.txt": b"mine", "model.onnx": model_files.named(b"weights of 1.0.0")}
    refused = run_registry(tmp_path, "get", MODEL, "--split", "test", *repo(released_model))
    assert refused.refused("models/pets@v1.0.0 has no images")


def test_a_consumer_without_a_clone_reads_the_public_remote(
    public: StaticFiles, released_model: Path, tmp_path: Path, run_registry: Run
) -> None:
    url = repositories.origin(released_model).as_uri()
    assert run_registry(tmp_path, "get", TAG, "--repo", url, "--out", "got").code == 0
    assert files(tmp_path / "got") == PETS
    assert len(public.paths) == len(set(public.paths)) == 9  # the list of files, and each file once


def test_what_the_public_remote_lacks_comes_from_production(
    public: StaticFiles, released_model: Path, tmp_path: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cloud_config.RETRIES, "max_retries", 1)
    public.held = "nothing"
    config = released_model / ".dvc/config"
    config.write_text(config.read_text().replace(public.url, "http://127.0.0.1:1"))
    repositories.merge(released_model, "the public remote is down")
    done = run_registry(tmp_path, "get", TAG, *repo(released_model), "--out", "got")
    assert (done.code, files(tmp_path / "got")) == (0, PETS), done.err


def test_a_storage_that_cannot_be_read_is_named_with_the_reason(
    released_model: Path, got: Path, run_registry: Run
) -> None:
    config = released_model / ".dvc/config"
    config.write_text(config.read_text().replace("url = ../.registry/production", "url = s3://acme"))
    repositories.merge(released_model, "a bucket")
    done = run_registry(released_model, "get", TAG, "--out", str(got))
    assert done.refused("s3://acme", "no valid credentials", "log in to that cloud"), done.err
    assert "no intact copy" not in done.err
    assert not got.exists()


# --- which version ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_versions(released_model: Path, run_registry: Run) -> Path:
    """`released_model`, and `datasets/pets@v1.1.0`, which is withdrawn."""
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.merge(released_model, "datasets/pets 1.1.0")
    assert run_registry(released_model, "publish").code == 0
    assert run_registry(released_model, "withdraw", "datasets/pets", "v1.1.0", "--why", "labels swapped").code == 0
    repositories.merge(released_model, "withdraw")
    return released_model


def test_the_latest_version_is_one_that_is_not_withdrawn(two_versions: Path, got: Path, run_registry: Run) -> None:
    assert run_registry(two_versions, "get", "datasets/pets@latest", "--out", str(got)).code == 0
    assert files(got) == PETS


def test_a_withdrawn_version_is_told_with_the_reason(two_versions: Path, got: Path, run_registry: Run) -> None:
    done = run_registry(two_versions, "get", "datasets/pets@v1.1.0", "--out", str(got))
    assert (done.code, files(got)) == (0, repositories.MORE_PETS)
    assert "warning: datasets/pets@v1.1.0 is withdrawn: labels swapped" in done.err
    assert "\n  hint: use datasets/pets@v1.0.0\n" in done.err


def test_a_version_of_a_stage(two_versions: Path, got: Path, run_registry: Run) -> None:
    git_in(two_versions, "tag", "-a", "-m", "x", "datasets/pets#prod#1", f"{TAG}^{{commit}}")
    assert run_registry(two_versions, "get", "datasets/pets#prod", "--out", str(got)).code == 0
    assert files(got) == PETS
    unknown = run_registry(two_versions, "get", "datasets/pets#dev", "--out", str(got))
    assert unknown.refused("datasets/pets#dev is no stage", "#prod is datasets/pets@v1.0.0")


def test_what_is_no_release_lists_what_there_is(two_versions: Path, got: Path, run_registry: Run) -> None:
    done = run_registry(two_versions, "get", "datasets/pets@v2.0.0", "--out", str(got))
    assert done.refused(
        "is no release", "\n  datasets/pets@v1.1.0 (withdrawn: labels swapped)\n  datasets/pets@v1.0.0\n"
    )
    assert run_registry(two_versions, "get", "datasets/cats@latest").refused("has no release of datasets/cats")
    assert run_registry(two_versions, "get", "datasets/pets").refused("names no version")
    assert run_registry(got.parent, "get", TAG).refused("not in a Git repository", "--repo URL")
    assert not got.exists()


def test_a_tag_on_a_commit_with_another_version_is_refused(two_versions: Path, got: Path, run_registry: Run) -> None:
    git_in(two_versions, "tag", "-a", "-m", "by hand", "datasets/pets@v3.0.0")
    done = run_registry(two_versions, "get", "datasets/pets@v3.0.0", "--out", str(got))
    assert done.refused("the manifest of its commit says 1.1.0")
    assert not got.exists()


# --- what is damaged, and what is there -------------------------------------------------------------------------------


def test_a_damaged_object_is_named_and_leaves_nothing(released_model: Path, got: Path, run_registry: Run) -> None:
    kept = place(production(released_model), repositories.md5(PETS[DOG]))
    overwrite(kept, b"a hog")
    done = run_registry(released_model, "get", TAG, "--out", str(got))
    assert done.refused(f"{DOG} has a checksum mismatch", repositories.md5(PETS[DOG]))
    assert files(got) == {path: data for path, data in PETS.items() if path != DOG}
    kept.unlink()
    assert run_registry(released_model, "get", TAG, "--out", str(got)).refused(f"{DOG} is missing")
    kept.write_bytes(PETS[DOG])
    assert run_registry(released_model, "get", TAG, "--out", str(got)).code == 0
    assert files(got) == PETS


def test_a_list_of_files_that_is_damaged_or_missing_makes_no_folder(
    released_model: Path, got: Path, run_registry: Run
) -> None:
    [kept] = [file for file in production(released_model).rglob("*.dir") if b"train/" in file.read_bytes()]
    for change in (lambda: overwrite(kept, b"[]"), kept.unlink):
        change()
        done = run_registry(released_model, "get", TAG, "--out", str(got))
        assert done.refused("no intact copy in", "its list of files")
        assert not got.exists()


def test_nothing_that_is_there_is_overwritten_or_joined(released_model: Path, got: Path, run_registry: Run) -> None:
    other = got / "train/cat/0a8c7f6e-0000-4000-8000-0000000000ff.jpg"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of another version")
    assert run_registry(released_model, "get", TAG, "--out", str(got)).refused(
        str(other), "is not in datasets/pets@v1.0.0"
    )
    other.rename(got / DOG.replace("dog", "cat").replace("03.jpg", "01.jpg"))
    assert run_registry(released_model, "get", TAG, "--out", str(got)).refused("has another content than in")
    assert files(got) == {"train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg": b"of another version"}
    (got.parent / "file").write_bytes(b"mine")
    assert run_registry(released_model, "get", TAG, "--out", str(got.parent / "file")).refused("is a file")
    elsewhere, linked = got.parent / "elsewhere", got.parent / "linked"
    elsewhere.mkdir()
    linked.mkdir()
    (linked / "train").symlink_to(elsewhere)
    assert run_registry(released_model, "get", TAG, "--out", str(linked)).refused(str(linked / "train"))
    assert list(elsewhere.iterdir()) == []


def test_a_second_run_completes_one_that_was_killed(
    public: StaticFiles, released_model: Path, got: Path, run_registry: Run
) -> None:
    name = repositories.md5(PETS[DOG])
    public.held = name[2:]
    command = [sys.executable, "-m", "registry", "get", TAG, *repo(released_model), "--out", str(got)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        assert public.reached.wait(PATIENCE)
        killed.kill()
        killed.wait()
    public.released.set()
    assert not (got / DOG).exists()
    public.held = ""
    assert run_registry(released_model, "get", TAG, "--out", str(got)).code == 0
    assert {path: data for path, data in files(got).items() if "/.incoming-" not in path} == PETS
