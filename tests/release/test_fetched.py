"""`registry verify`: whatever tool fetched it, wherever it lies, and whatever is wrong with it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main

from support import damage, repositories
from support.repositories import Run, git_in, production, staging

TAG = "datasets/pets@v1.0.0"
PREPARED = "datasets/pets/prepared"
TRAIN = f"{PREPARED}/train"
OTHER = "0a8c7f6e-0000-4000-8000-0000000000ff"
IMAGE = "cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
CAT = f"train/{IMAGE}"
ONE = f"{TRAIN}/{IMAGE}"


@pytest.fixture
def consumer(released_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, without a registry in it, that uses DVC; `origin.git` beside it is the registry's."""
    folder = tmp_path / "consumer"
    folder.mkdir()
    git_in(folder, "init", "--quiet")
    monkeypatch.chdir(folder)
    assert dvc_main(["init", "--quiet"]) == 0
    return folder


@pytest.fixture
def copied(released_model: Path) -> Path:
    """The data of `datasets/pets@v1.0.0`, copied to another folder by hand, where nothing is a link."""
    return shutil.copytree(released_model / PREPARED, released_model.parent / "copied")


def origin(consumer: Path) -> str:
    return str(consumer.parent / "origin.git")


# --- what is intact ---------------------------------------------------------------------------------------------------

FETCHED = {
    "get": (["get", "{repo}", PREPARED, "--rev", TAG, "-o", "out"], "out", PREPARED, 8),
    "get of a part": (["get", "{repo}", TRAIN, "--rev", TAG, "-o", "out"], "out", TRAIN, None),
    "get of a file": (["get", "{repo}", ONE, "--rev", TAG, "-o", "x.jpg"], "x.jpg", ONE, 1),
    "get of all": (["get", "{repo}", "datasets/pets", "--rev", TAG, "-o", "out"], "out", "datasets/pets", None),
    "import": (["import", "{repo}", PREPARED, "--rev", TAG], "prepared", PREPARED, 8),
    "the pointer of an import": (["import", "{repo}", PREPARED, "--rev", TAG, "-o", "x"], "x.dvc", PREPARED, 8),
    "raw": (["get", "{repo}", "datasets/pets/raw", "--rev", TAG], "raw", "datasets/pets/raw", 1),
}  # fmt: skip


@pytest.mark.parametrize(("command", "path", "place", "count"), FETCHED.values(), ids=FETCHED)
def test_what_dvc_fetched_is_intact(
    released_model: Path,
    consumer: Path,
    run_registry: Run,
    command: list[str],
    path: str,
    place: str,
    count: int | None,
) -> None:
    assert dvc_main([word.format(repo=released_model) for word in command]) == 0
    done = run_registry(consumer, "verify", TAG, path, "--repo", str(released_model))
    assert done.code == 0, done.err
    assert f"\n{path} is {TAG}: {place}: " in done.out
    assert count is None or f"{count} file" in done.out


def test_a_model_and_its_file(released_model: Path, tmp_path: Path, run_registry: Run) -> None:
    shutil.copy(released_model / "models/pets/model.onnx", tmp_path / "weights")
    done = run_registry(released_model, "verify", "models/pets@v1.0.0", str(tmp_path / "weights"))
    assert done.out.endswith("models/pets/model.onnx: 1 file intact, SHA-256 of 1 file as in the manifest\n")


def test_a_whole_folder_needs_no_storage(released_model: Path, consumer: Path, copied: Path, run_registry: Run) -> None:
    """Its list of files follows from the files, and its MD5 is in Git."""
    for store in (staging(released_model), production(released_model), released_model / ".dvc"):
        shutil.rmtree(store, ignore_errors=True)
    done = run_registry(consumer, "verify", TAG, str(copied), "--repo", origin(consumer))
    assert (done.code, done.err) == (0, "")
    (copied / CAT).chmod(0o644)
    (copied / CAT).write_bytes(b"ONE cat")
    done = run_registry(consumer, "verify", TAG, str(copied), "--repo", origin(consumer))
    assert done.refused("its list of files", "could not be read from a cache or the storage")


# --- what is not ------------------------------------------------------------------------------------------------------


def swap(folder: Path) -> None:
    """Each of two files has the other's content: both are in the release."""
    one, two = folder / CAT, next((folder / "train/dog").glob("*.jpg"))
    one.rename(folder / "aside")
    two.rename(one)
    (folder / "aside").rename(two)


def lose(folder: Path) -> None:
    (folder / CAT).unlink()


def add(folder: Path) -> None:
    shutil.copy(folder / CAT, folder / "test/cat-0.jpg")


def lose_a_split(folder: Path) -> None:
    shutil.rmtree(folder / "test")


FAULTS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    **{
        name: (lambda folder, way=way: way(folder / CAT), (f"{CAT}: checksum mismatch",))
        for name, way in damage.WAYS.items()
        if name not in {"a_folder", "a_dangling_link", "a_link_elsewhere", "emptied"}
    },
    "emptied": (lambda folder: damage.emptied(folder / CAT), (f"1 changed\n  {CAT}: is empty",)),
    "a link elsewhere": (lambda folder: damage.a_link_elsewhere(folder / CAT), (f"{CAT}: checksum mismatch",)),
    "a dangling link": (lambda folder: damage.a_dangling_link(folder / CAT), (f"{CAT}: is no file: a link",)),
    "a folder": (lambda folder: damage.a_folder(folder / CAT), (f"{CAT}: is missing", f"{CAT}/inside: is not in")),
    "swapped": (swap, ("2 changed\n", f"{CAT}: has the content of train/dog/", f": has the content of {CAT}\n")),
    "renamed": (
        lambda folder: (folder / CAT).rename(folder / "train/cat/IMG_1.JPG") and None,
        ("1 missing", f"{CAT}: is missing (its content is in train/cat/IMG_1.JPG)", "IMG_1.JPG: is not in the release"),
    ),
    "another class": (
        lambda folder: (folder / CAT).rename(folder / CAT.replace("cat/", "dog/")) and None,
        (f"{CAT}: is missing (its content is in train/dog/",),
    ),
    "a table edited": (
        lambda folder: damage.longer(folder / "train/metadata.parquet"),
        ("1 changed\n  train/metadata.parquet: checksum mismatch",),
    ),
    "a table of another split": (
        lambda folder: shutil.copyfile(folder / "test/metadata.parquet", folder / "val/metadata.parquet") and None,
        ("val/metadata.parquet: has the content of test/metadata.parquet",),
    ),
    "a pipe": (lambda folder: (folder / CAT).unlink() or os.mkfifo(folder / CAT), (f"{CAT}: is no file",)),
    "lost": (lose, (f"1 missing\n  {CAT}: is missing",)),
    "added": (add, ("1 unexpected\n  test/cat-0.jpg: is not in the release",)),
    "a split lost": (lose_a_split, ("test/metadata.parquet: is missing",)),
    "empty": (lambda folder: [shutil.rmtree(one) for one in folder.iterdir()] and None, ("8 missing",)),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "words"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_named(
    released_model: Path, copied: Path, run_registry: Run, fault: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    fault(copied)
    done = run_registry(released_model, "verify", TAG, str(copied))
    assert done.refused(f"{copied} is not {TAG}: {PREPARED}: ", *words, "registry fsck --deep"), done.out


MODES = {
    "read-only": lambda folder: (folder / CAT).chmod(0o444),
    "executable": lambda folder: (folder / CAT).chmod(0o755),
    "older": lambda folder: os.utime(folder / CAT, (0, 0)),
    "a link to the same bytes": lambda folder: (
        shutil.copyfile(folder / CAT, folder.parent / "same"),
        (folder / CAT).unlink(),
        (folder / CAT).symlink_to(folder.parent / "same"),
    ),
    "empty folders": lambda folder: (folder / "train/bird").mkdir(),
}


@pytest.mark.parametrize("change", MODES.values(), ids=MODES)
def test_what_does_not_change_a_byte_is_intact(
    released_model: Path, copied: Path, run_registry: Run, change: Callable[[Path], object]
) -> None:
    change(copied)
    done = run_registry(released_model, "verify", TAG, str(copied))
    assert (done.code, f"{copied} is {TAG}: {PREPARED}: 8 files intact, " in done.out) == (0, True), done.err


def test_one_file_with_the_content_of_another(released_model: Path, copied: Path, run_registry: Run) -> None:
    swap(copied)
    done = run_registry(released_model, "verify", TAG, str(copied / CAT))
    assert done.refused("1 changed", f"has the content of {TRAIN}/dog/")


def test_hidden_files_are_told(released_model: Path, copied: Path, run_registry: Run) -> None:
    (copied / ".DS_Store").write_bytes(b"x")
    done = run_registry(released_model, "verify", TAG, str(copied))
    assert (done.code, "8 files intact (1 hidden file beside them)" in done.out) == (0, True)


def test_a_forged_list_of_files_in_the_consumers_cache(released_model: Path, consumer: Path, run_registry: Run) -> None:
    """An import trusts its cache; the list there, and the pointer beside the data, are no evidence."""
    assert dvc_main(["import", "--quiet", str(released_model), PREPARED, "--rev", TAG]) == 0
    [listing] = (consumer / ".dvc/cache").rglob("*.dir")
    entries = json.loads(listing.read_bytes())
    listing.chmod(0o644)
    listing.write_text(json.dumps([{**entry, "md5": repositories.md5(b"x")} for entry in entries]))
    (consumer / "prepared" / CAT).unlink()
    (consumer / "prepared" / CAT).write_bytes(b"x")
    done = run_registry(consumer, "verify", TAG, "prepared.dvc", "--repo", str(released_model))
    assert done.refused("1 changed", f"{CAT}: checksum mismatch")
    assert "the copy was skipped" in done.err


MISTAKES = {
    "another version": (["datasets/pets@v9.0.0", "."], "v9.0.0"),
    "no tag": (["datasets/pets", "."], "'datasets/pets' is not a tag"),
    "no such path": ([TAG, "nowhere"], "nowhere does not exist"),
    "an option as a repository": ([TAG, ".", "--repo=--upload-pack=touch x"], "strange pathname"),
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(released_model: Path, run_registry: Run, arguments: list[str], words: str) -> None:
    assert run_registry(released_model, "verify", *arguments).refused(words)
    assert not (released_model / "x").exists()


def test_outside_a_registry_the_repository_is_asked_for(consumer: Path, run_registry: Run) -> None:
    assert run_registry(consumer, "verify", TAG, ".").refused("is not a registry", "name the registry: --repo URL")


# --- which version ----------------------------------------------------------------------------------------------------


@pytest.fixture
def second(released_model: Path) -> Path:
    """`released_model` with datasets/pets 1.1.0, which has one image more, released in Git."""
    repositories.dataset(released_model, "pets", repositories.PETS | {f"train/cat/{OTHER}.jpg": b"a cat more"}, "1.1.0")
    repositories.commit(released_model, "datasets/pets 1.1.0")
    git_in(released_model, "tag", "--annotate", "--message=x", "datasets/pets@v1.1.0")
    git_in(released_model, "push", "--quiet", "origin", "HEAD", "datasets/pets@v1.1.0")
    return released_model


@pytest.mark.parametrize("place", ["clone", "url"])
def test_another_version_is_named(copied: Path, second: Path, run_registry: Run, place: str) -> None:
    repo = [] if place == "clone" else ["--repo", f"file://{second.parent}/origin.git"]
    folder = second if place == "clone" else second.parent
    done = run_registry(folder, "verify", "datasets/pets@v1.1.0", str(copied), *repo)
    assert done.refused(f"{copied} is not datasets/pets@v1.1.0: it is {TAG}, complete and unchanged")
    assert done.refused("hint: fetch it again with --rev datasets/pets@v1.1.0; or use it as what it is")
    damage.in_place(copied / CAT)
    done = run_registry(folder, "verify", "datasets/pets@v1.1.0", str(copied), *repo)
    assert done.refused("2 changed, 1 missing" if place == "clone" else "its list of files")


def withdraw(root: Path, run: Run, why: str) -> None:
    assert run(root, "withdraw", "datasets/pets", "1.0.0", "--why", why).code == 0
    repositories.commit(root, "Withdraw datasets/pets 1.0.0")
    git_in(root, "push", "--quiet", "origin", "HEAD")


@pytest.mark.parametrize("place", ["clone", "url", "clone of the clone"])
def test_a_withdrawn_version_is_told_with_the_reason(
    released_model: Path, copied: Path, run_registry: Run, place: str
) -> None:
    withdraw(released_model, run_registry, "labels: were swapped")
    folder, repo = released_model.parent, ["--repo", f"file://{released_model.parent}/origin.git"]
    if place == "clone":
        folder, repo = released_model, []
    elif place != "url":
        repo = ["--repo", str(released_model)]
    done = run_registry(folder, "verify", TAG, str(copied), *repo)
    assert done.err == f"warning: {TAG} is withdrawn: labels: were swapped\n"
    assert (done.code, f"{copied} is {TAG}: {PREPARED}: 8 files intact, " in done.out) == (0, True)
    damage.emptied(copied / CAT)
    done = run_registry(folder, "verify", TAG, str(copied), *repo)
    assert done.refused(f"warning: {TAG} is withdrawn: labels: were swapped\n", "" if place == "url" else "is empty")


def test_a_withdrawal_is_told_where_an_older_commit_is_checked_out(
    released_model: Path, copied: Path, run_registry: Run
) -> None:
    """The release itself cannot know of it."""
    withdraw(released_model, run_registry, "bad")
    git_in(released_model, "switch", "--quiet", "--detach", TAG)
    done = run_registry(released_model, "verify", TAG, str(copied))
    assert (done.code, done.err) == (0, f"warning: {TAG} is withdrawn: bad\n")


def test_an_artifact_that_was_removed_since_was_not_withdrawn(
    released_model: Path, copied: Path, run_registry: Run
) -> None:
    git_in(released_model, "rm", "-r", "--quiet", "datasets/pets", "models/pets")
    repositories.commit(released_model, "no pets any more")
    git_in(released_model, "push", "--quiet", "origin", "HEAD")
    done = run_registry(released_model, "verify", TAG, str(copied))
    assert (done.code, done.err) == (0, "")


def test_a_manifest_that_cannot_be_read_is_told(released_model: Path, copied: Path, run_registry: Run) -> None:
    """Such as one of a later schema."""
    manifest = released_model / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("schema: 1", "schema: 2"))
    repositories.commit(released_model, "schema 2")
    git_in(released_model, "push", "--quiet", "origin", "HEAD")
    done = run_registry(released_model, "verify", TAG, str(copied))
    assert (done.code, "8 files intact" in done.out) == (0, True)
    assert done.err.startswith(f"warning: whether {TAG} is withdrawn is not known: datasets/pets/dataset.yaml")
