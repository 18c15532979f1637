"""`registry where`: the releases that have an image, and the models that saw it."""

import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageDraw

from conftest import copy
from registry.core.digests import object_key
from registry.core.names import parse_tag
from registry.release import where
from registry.release.history import Release
from registry.release.item_index import FOLDER, ItemIndex
from registry.release.notes import Lineage
from support import repositories
from support.repositories import Run, git_in

CAT, DOG, SLEEPING, RUNNING, LATER = (f"0a8c7f6e-0000-4000-8000-00000000000{number}" for number in (1, 3, 4, 5, 6))
SHA256 = {repositories.md5(b"one cat"): hashlib.sha256(b"one cat").hexdigest()}
LIKE = "0a8c7f6e-0000-4000-8000-000000000007"


def picture(quality: int) -> bytes:
    """A drawing with edges, so that it has a perceptual hash, as JPEG of this quality."""
    image = Image.new("RGB", (96, 96), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((8, 20, 60, 80), fill="black")
    pen.rectangle((50, 5, 90, 40), fill="gray")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


@pytest.fixture(scope="module")
def _world(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_merged, tmp_path_factory.mktemp("world"))

    def publish() -> None:
        repositories.merge(root, "a release")
        done = repositories.registry(root, "publish")
        assert done.returncode == 0, done.stderr

    publish()
    images = {path: data for path, data in repositories.MORE_PETS.items() if CAT not in path}
    drawn = {f"test/cat/{LATER}.jpg": picture(90), f"train/cat/{LIKE}.jpg": picture(60)}
    repositories.dataset(root, "pets", {**images, **drawn}, "2.0.0")
    repositories.model(root, "pets", b"weights of 2.0.0", "2.0.0")
    publish()
    git_in(root, "tag", "-m", "stage", "models/pets#prod#1", "models/pets@v1.0.0^{}")
    done = repositories.registry(root, "withdraw", "datasets/pets", "1.0.0", "--why", "a person in a picture")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def world(_world: Path, tmp_path: Path) -> Path:
    """Two releases: the second lacks the first cat, and has two pictures that look alike."""
    return copy(_world, tmp_path)


def test_every_release_and_model_that_saw_an_image(world: Path, run_registry: Run) -> None:
    done = run_registry(world, "where", CAT.upper(), DOG, SLEEPING, RUNNING)
    data = {CAT: b"one cat", DOG: b"a dog", SLEEPING: b"a cat that sleeps", RUNNING: b"a dog that runs"}
    md5s = {uuid: repositories.md5(one) for uuid, one in data.items()}
    why = "withdrawn: a person in a picture"
    assert (done.code, done.out) == (
        0,
        f"""\
{CAT.upper()}: {CAT}, MD5 {md5s[CAT]}
  datasets/pets@v1.0.0  train/cat      {why}
  models/pets@v1.0.0    trained on it  [prod]

{DOG}: {DOG}, MD5 {md5s[DOG]}
  datasets/pets@v1.0.0  train/dog      {why}
  datasets/pets@v2.0.0  train/dog
  models/pets@v1.0.0    trained on it  [prod]
  models/pets@v2.0.0    trained on it

{SLEEPING}: {SLEEPING}, MD5 {md5s[SLEEPING]}
  datasets/pets@v1.0.0  val/cat                         {why}
  datasets/pets@v2.0.0  val/cat
  models/pets@v1.0.0    validated on it while training  [prod]
  models/pets@v2.0.0    validated on it while training

{RUNNING}: {RUNNING}, MD5 {md5s[RUNNING]}
  datasets/pets@v1.0.0  test/dog        {why}
  datasets/pets@v2.0.0  test/dog
  models/pets@v1.0.0    measured on it  [prod]
  models/pets@v2.0.0    measured on it
""",
    )


def test_an_image_by_its_bytes(world: Path, run_registry: Run, tmp_path: Path) -> None:
    file = tmp_path / "picture of a cat.jpg"
    file.write_bytes(b"one cat")
    by_file, by_md5 = (
        json.loads(run_registry(world, "where", one, "--format", "json").out)[0]
        for one in (str(file), repositories.md5(b"one cat"))
    )
    assert by_file | {"query": ""} == by_md5 | {"query": ""}
    assert [(row["tag"], row["uuid"], row["split"], row["label"]) for row in by_md5["datasets"]] == [
        ("datasets/pets@v1.0.0", CAT, "train", "cat")
    ]
    assert by_md5["models"] == [
        {"tag": "models/pets@v1.0.0", "stages": ["prod"], "withdrawn": None, "saw": "trained on it"}
    ]


def test_what_looks_like_it(world: Path, run_registry: Run, tmp_path: Path) -> None:
    file = tmp_path / "new.jpg"
    file.write_bytes(picture(30))
    known, new = json.loads(run_registry(world, "where", LATER, str(file), "--near", "--format", "json").out)
    assert [row["uuids"] for row in known["near_duplicates"]] == [[LIKE]]
    assert (new["datasets"], new["models"]) == ([], [])
    assert sorted(row["uuids"][0] for row in new["near_duplicates"]) == [LATER, LIKE]
    text = run_registry(world, "where", str(file), "--near").out
    assert text.startswith(f"{file}: no dataset release has it\n  near-duplicate (")


def test_what_was_listed_once_is_found_without_a_store(world: Path, run_registry: Run) -> None:
    first = run_registry(world, "where", CAT).out
    tables = sorted((world / FOLDER).iterdir())
    assert len(tables) == 2
    for folder in (world / ".dvc/cache", world / ".registry"):
        folder.rename(folder.with_name("away"))
    assert run_registry(world, "where", CAT).out == first
    tables[0].write_bytes(tables[0].read_bytes()[:20])
    done = run_registry(world, "where", CAT)
    assert done.code == 1
    assert "were not searched\n  hint: registry fsck --all-tags\n" in done.err
    (world / ".dvc/away").rename(world / ".dvc/cache")
    assert run_registry(world, "where", CAT).out == first


def test_a_list_that_is_lost_is_named_and_the_others_are_searched(world: Path, run_registry: Run) -> None:
    pointer = repositories.git_in(world, "show", "datasets/pets@v1.0.0:datasets/pets/prepared.dvc")
    (md5,) = [line.split()[-1] for line in pointer.splitlines() if "md5: " in line and line.endswith(".dir")][:1]
    for copy_of in world.rglob(object_key(md5).removeprefix("files/md5/")):
        copy_of.unlink()
    done = run_registry(world, "where", DOG)
    assert done.code == 1
    assert "error: no store has the lists of files of datasets/pets@v1.0.0, models/pets@v1.0.0: " in done.err
    assert "\n  datasets/pets@v2.0.0  train/dog\n" in done.out


@pytest.mark.parametrize("line", [CAT, repositories.md5(b"one cat"), hashlib.sha256(b"one cat").hexdigest()])
def test_a_model_from_elsewhere_saw_what_it_lists(line: str, tmp_path: Path) -> None:
    listing = {"one.txt": f"{line}\n".encode(), "other.txt": f"{DOG}\n{'0' * 64}\n".encode()}
    releases = [_from_elsewhere(f"models/{name[:-4]}@v1.0.0", name) for name in listing]
    found = where.find(
        releases, ItemIndex(tmp_path, lambda _: None), (), (CAT,), (repositories.md5(b"one cat"),),
        lambda _, path: listing[path.rpartition("/")[2]], SHA256.get,
    )  # fmt: skip
    assert [(str(use.release.tag), use.sight) for use in found.uses] == [("models/one@v1.0.0", where.Sight.LISTED)]


def _from_elsewhere(tag: str, listing: str) -> Release:
    origin = SimpleNamespace(training_images=listing)
    version: Any = SimpleNamespace(content=SimpleNamespace(objects={}, manifest=SimpleNamespace(origin=origin)))
    return Release(parse_tag(tag), "", 0, version, Lineage(), (), "", "")


def test_what_is_no_image_is_refused(world: Path, run_registry: Run) -> None:
    done = run_registry(world, "where", "cat")
    fault, fix = "neither a UUID nor an MD5, and no file", "name a UUID, the MD5 of an image, or a file"
    expected = f"error: 'cat' is {fault}: No such file or directory\n  hint: {fix}\n"
    assert (done.code, done.err) == (1, expected)
    assert run_registry(world, "where", "0" * 32).out == f"{'0' * 32}: no dataset release has it\n"
