"""`registry build`: from a selection and a lake to a version, on real folders, with real DVC."""

import contextlib
import csv
import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
import yaml
from dvc.cli import main
from PIL import Image

from registry.dataset import build, exports, validation_cache
from registry.storage.local import INCOMING, Folder
from registry.sync import dir_listing
from support import repositories
from support.repositories import Outcome, Run, md5, place, snapshot

PETS = "datasets/pets"
POINTER = f"{PETS}/prepared.dvc"
MANIFEST = """\
schema: 1
name: pets
version: 1.0.0
title: Pets
description: Pets at home.
owners: ["@acme/vision"]
license: CC-BY-4.0
source: {export: by hand}
image: "photos/{uuid}.jpg"  # where the photo desk puts them
columns:
  uuid: {type: uuid}
  label: {type: string}
  camera: {type: string, nullable: true}
  size: {type: number, nullable: true}
  captured_at: {type: datetime, nullable: true}
classes: [cat, dog, "no"]
split:
  salt: pets
  ratios: {train: 0.6, val: 0.2, test: 0.2}
exclude: {}
"""
Row = Sequence[str]  # uuid, label, camera, size, captured_at


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012x}"


def row(number: int, label: str = "") -> Row:
    camera, size = ["", "a,b", 'the "big" one', f"cam {number % 3}"][number % 4], ["", "1.5", "2e3"][number % 3]
    return uuid(number), label or ["cat", "dog", "no"][number % 3], camera, size, ["", "2026-01-31 12:00"][number % 2]


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 9), (number % 256, 7, number // 256)).save(out, "JPEG", comment=b"%d" % number)
    return out.getvalue()


ROWS = tuple(map(row, range(40)))


class Desk:
    """A registry with a lake, and what a person does there."""

    def __init__(self, root: Path, run: Run) -> None:
        self.root, self._run = root, run
        self.lake, self.staging = root / ".registry/lake", root / ".registry/staging"
        self.production, self.pointer = root / ".registry/production", root / POINTER
        (root / PETS).mkdir(parents=True)
        (root / PETS / "dataset.yaml").write_text(MANIFEST)

    def photo(self, number: int) -> Path:
        return self.lake / "photos" / f"{uuid(number)}.jpg"

    def put(self, number: int, data: bytes | None = None) -> None:
        """A photo that has been there for a minute."""
        self.photo(number).parent.mkdir(parents=True, exist_ok=True)
        self.photo(number).write_bytes(picture(number) if data is None else data)
        os.utime(self.photo(number), (time.time() - 60,) * 2)

    def select(self, rows: Sequence[Row]) -> None:
        with (self.root / "export.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("uuid", "label", "camera", "size", "captured_at"), *rows])
        done = self._run(self.root, "select", PETS, "--from", "export.csv")
        assert done.code == 0, done.err
        (self.root / "export.csv").unlink()

    def build(self, *args: str) -> Outcome:
        return self._run(self.root, "build", PETS, *args)

    def built(self, *args: str) -> str:
        done = self.build(*args)
        assert done.code == 0, done.err
        return done.out

    def files(self) -> dict[str, str]:
        """The files of the version by path, as md5s, read by the formats alone."""
        listing = place(self.staging, yaml.safe_load(self.pointer.read_text())["outs"][0]["md5"])
        return {item["relpath"]: item["md5"] for item in json.loads(listing.read_bytes())}

    def table(self, split: str) -> list[dict[str, str]]:
        text = place(self.staging, self.files()[f"{split}/metadata.csv"]).read_text()
        return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def desk(registry_repo: Path, run_registry: Run) -> Desk:
    """A registry whose lake has 40 photos, all of them selected for `datasets/pets`."""
    made = Desk(registry_repo, run_registry)
    for number in range(40):
        made.put(number)
    made.select(ROWS)
    return made


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_a_version_is_what_the_formats_say(desk: Desk) -> None:
    desk.built()
    pointer = yaml.safe_load(desk.pointer.read_text())
    files = desk.files()
    images = {path: name for path, name in files.items() if not path.endswith("metadata.csv")}
    assert sorted(images.values()) == sorted(md5(picture(number)) for number in range(40))
    sizes = {path: place(desk.staging, name).stat().st_size for path, name in files.items()}
    out = {"size": sum(sizes.values()), "nfiles": 43, "hash": "md5", "path": "prepared"}
    assert list(pointer["outs"][0].items())[1:] == list(out.items())
    counts: dict[str, dict[str, int]] = {}
    for path in sorted(images, key=lambda path: (["train", "val", "test"].index(path.split("/")[0]), path)):
        split, label, _ = path.split("/")
        counts.setdefault(split, {}).setdefault(label, 0)
        counts[split][label] += 1
    raw = yaml.safe_load((desk.root / PETS / "raw.dvc").read_text())["outs"][0]["md5"]
    assert list(pointer["meta"]["build"]) == ["selection", "rule", "images", "counts"]
    assert pointer["meta"]["build"]["selection"] == raw
    assert (pointer["meta"]["build"]["images"], pointer["meta"]["build"]["counts"]) == (40, counts)


def test_what_was_built_is_counted_for_people(desk: Desk) -> None:
    assert desk.built() == (
        "40 images: 0 validated before, 40 validated now, 40 new in staging (25.5 kB)\n"
        "class      train    val    test    all\n"
        "cat           10      0       4     14\n"
        "dog            5      6       2     13\n"
        "no             7      3       3     13\n"
        "all           22      9       9     40\n"
        "hint: registry pull datasets/pets; then git add datasets/pets && git commit\n"
    )


def test_each_split_has_a_table_of_its_rows(desk: Desk) -> None:
    desk.built()
    files = desk.files()
    found = {}
    for split in ("train", "val", "test"):
        table = desk.table(split)
        assert list(table[0]) == ["file_name", "label", "uuid", "camera", "size", "captured_at"]
        assert [line["file_name"] for line in table] == sorted(
            path.removeprefix(f"{split}/") for path in files if path.startswith(f"{split}/") and "metadata" not in path
        )
        found |= {line["uuid"]: line for line in table}
    for name, label, camera, size, captured_at in ROWS:
        line = found.pop(name)
        assert (line["file_name"], line["label"], line["camera"]) == (f"{label}/{name}.jpg", label, camera)
        assert line["size"] == {"": "", "1.5": "1.5", "2e3": "2000.0"}[size]
        assert line["captured_at"] == (captured_at and "2026-01-31T12:00:00.000000Z")
    assert found == {}


def test_staging_has_what_the_pointers_reach_and_the_cache_what_was_made_here(desk: Desk) -> None:
    desk.built()
    raw = yaml.safe_load((desk.root / PETS / "raw.dvc").read_text())["outs"][0]["md5"]
    prepared = yaml.safe_load(desk.pointer.read_text())["outs"][0]["md5"]
    selection = md5((desk.root / PETS / "raw/selection.parquet").read_bytes())
    small = {name for path, name in desk.files().items() if path.endswith("metadata.csv")} | {raw, prepared, selection}
    assert {path.replace("/", "")[8:] for path in snapshot(desk.staging)} == {*desk.files().values(), *small}
    assert {path.replace("/", "")[8:] for path in snapshot(desk.root / ".dvc/cache")} == small
    assert not desk.production.exists()
    assert {path.stat().st_nlink for path in desk.staging.rglob("*") if path.is_file()} == {1}


def test_a_split_without_rows_has_no_table(desk: Desk) -> None:
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(MANIFEST.replace("{train: 0.6, val: 0.2, test: 0.2}", "{train: 1, val: 0, test: 0}"))
    desk.built()
    assert {path.split("/")[0] for path in desk.files()} == {"train"}
    assert list(yaml.safe_load(desk.pointer.read_text())["meta"]["build"]["counts"]) == ["train"]


def test_no_image_moves_when_a_dataset_grows_and_shrinks(desk: Desk) -> None:
    desk.built()
    before = {path.split("/")[2]: path for path in desk.files() if path.endswith("jpg")}
    for number in range(40, 80):
        desk.put(number)
    desk.select([*map(row, range(10, 80))])
    desk.built()
    after = {path.split("/")[2]: path for path in desk.files() if path.endswith("jpg")}
    assert len(after) == 70
    kept = before.keys() & after
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


# --- DVC --------------------------------------------------------------------------------------------------------------


def dvc(root: Path, *args: str) -> None:
    assert main(["--cd", str(root), *args]) == 0


def dvc_says(root: Path, *args: str) -> str:
    done = repositories.sh(root, sys.executable, "-m", "dvc", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dvc_sees_nothing_unusual(desk: Desk, tmp_path: Path) -> None:
    desk.built()
    (next(desk.staging.glob("files/md5/*")) / f"{INCOMING}0123456789abcdef").write_bytes(b"left by a killed writer")
    dvc(desk.root, "fetch", "--remote", "staging", POINTER)
    dvc(desk.root, "checkout", POINTER)
    assert dvc_says(desk.root, "status") == "Data and pipelines are up to date.\n"
    assert snapshot(desk.root / PETS / "prepared") == desk.files()
    (desk.root / PETS / ".gitignore").write_text("/raw\n/prepared\n")
    repositories.commit(desk.root, "pets")
    missing = ("data", "status", "--not-in-remote", "--remote", "staging", "--granular", "--json")
    assert json.loads(dvc_says(desk.root, *missing)) == {}
    other = tmp_path / "other"
    shutil.copytree(desk.root / PETS / "prepared", other / "prepared")
    repositories.git_in(tmp_path, "init", "--quiet", "other")
    dvc(other, "init", "--quiet")
    dvc(other, "add", "--quiet", "prepared")
    theirs = yaml.safe_load((other / "prepared.dvc").read_text())["outs"]
    assert theirs == yaml.safe_load(desk.pointer.read_text())["outs"]


# --- promise 4 --------------------------------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_bytes_on_another_machine_in_another_order(
    desk: Desk, tmp_path: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.built()
    elsewhere = Path(shutil.copytree(desk.root, tmp_path / "elsewhere"))
    for name in ("datasets", ".registry", ".dvc/tmp", ".dvc/cache"):
        shutil.rmtree(elsewhere / name, ignore_errors=True)
    there = Desk(elsewhere, run_registry)
    numbers = list(range(40))
    random.Random(3).shuffle(numbers)
    for number in numbers:
        there.put(number)
    there.select(sorted(ROWS, reverse=True))
    jitter, read, look = random.Random(4), Folder.read, Folder.find_many

    def late(self: Folder, key: str) -> Iterator[bytes]:
        time.sleep(jitter.random() / 100)
        yield from read(self, key)

    monkeypatch.setattr(Folder, "read", late)
    monkeypatch.setattr(
        Folder, "find_many", lambda self, keys: look(self, keys).sample(fraction=1, shuffle=True, seed=5)
    )
    there.built()
    assert there.pointer.read_bytes() == desk.pointer.read_bytes()
    assert snapshot(there.staging) == snapshot(desk.staging)
    there.pointer.unlink()
    there.built()  # now from memory
    assert there.pointer.read_bytes() == desk.pointer.read_bytes()


def test_building_again_changes_nothing(desk: Desk) -> None:
    desk.built()
    before = (snapshot(desk.staging), desk.pointer.read_bytes(), desk.pointer.stat().st_mtime_ns)
    desk.built()
    assert (snapshot(desk.staging), desk.pointer.read_bytes(), desk.pointer.stat().st_mtime_ns) == before


# --- images that cannot be used ---------------------------------------------------------------------------------------


def spoil(desk: Desk) -> None:
    """One image for each fault."""
    png = io.BytesIO()
    Image.new("RGB", (5, 5)).save(png, "PNG")
    desk.photo(1).unlink()
    desk.put(2, b"")
    desk.put(3, picture(3)[:-20])
    desk.put(4, png.getvalue())
    desk.put(9, picture(6))  # both are cats
    desk.put(8, picture(7))  # a "no" and a dog


FAULTS = {
    1: "missing from the lake",
    2: "empty file",
    3: "truncated",
    4: "expected JPEG, found PNG",
    7: f"identical to {uuid(8)}, whose label is no instead of dog",
    8: f"identical to {uuid(7)}, whose label is dog instead of no",
    9: f"identical to {uuid(6)}",
}


def test_images_that_cannot_be_used_are_named_and_no_version_is_made(desk: Desk) -> None:
    desk.built()
    before = desk.pointer.read_bytes()
    spoil(desk)
    done = desk.build()
    assert (done.code, done.out) == (1, "")
    _, *said = done.err.splitlines()
    assert said[0] == "error: datasets/pets: 7 of 40 images invalid; prepared.dvc is unchanged"
    assert said[1:-1] == [f"  {uuid(n)} (photos/{uuid(n)}.jpg): {reason}" for n, reason in FAULTS.items()]
    assert said[-1] == (
        "  hint: replace them in the lake, or exclude them: registry build datasets/pets --exclude-faulty"
    )
    assert desk.pointer.read_bytes() == before


def test_faulty_images_are_excluded_on_demand_each_with_its_reason(desk: Desk) -> None:
    spoil(desk)
    out = desk.built("--exclude-faulty")
    manifest = (desk.root / PETS / "dataset.yaml").read_text()
    assert yaml.safe_load(manifest)["exclude"] == {uuid(number): reason for number, reason in FAULTS.items()}
    assert manifest.startswith(MANIFEST.partition("exclude")[0])
    left = {path.split("/")[2].removesuffix(".jpg") for path in desk.files() if path.endswith("jpg")}
    assert left == {uuid(number) for number in range(40)} - {uuid(number) for number in FAULTS}
    assert out.startswith("datasets/pets/dataset.yaml: added 7 faulty images to exclude:, each with its reason\n")
    assert desk.built().startswith("33 images: 33 validated before, 0 validated now")


def test_more_are_added_to_what_is_excluded_already(desk: Desk) -> None:
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(MANIFEST.replace("exclude: {}", f"exclude:\n  {uuid(5)}: blurred  # says Ana"))
    desk.put(5, b"")
    desk.put(6, b"")
    desk.built("--exclude-faulty")
    assert f"  {uuid(5)}: blurred  # says Ana\n  {uuid(6)}: empty file\n" in manifest.read_text()


def test_an_image_that_is_deleted_between_listing_and_copying_is_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Folder.find_many

    def look_and_delete(self: Folder, keys: Sequence[str]) -> pl.DataFrame:
        found = look(self, keys)
        desk.photo(11).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Folder, "find_many", look_and_delete)
    done = desk.build()
    assert done.code == 1
    assert f"{uuid(11)} (photos/{uuid(11)}.jpg): missing" in done.err
    assert not desk.pointer.exists()


def test_an_image_of_too_many_bytes_is_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.image_validation, "MAX_BYTES", 2000)
    desk.put(3, picture(3) + bytes(2000))
    read = Folder.read

    def watched(self: Folder, key: str) -> Iterator[bytes]:
        assert uuid(3) not in key
        return read(self, key)

    monkeypatch.setattr(Folder, "read", watched)
    done = desk.build()
    assert f"photos/{uuid(3)}.jpg): file has {len(picture(3)) + 2000:,} bytes, the limit is 2,000" in done.err


def test_a_thousand_copies_of_one_placeholder_are_told_at_once(desk: Desk) -> None:
    for number in range(1040):
        desk.put(number, picture(0))
    desk.select([row(number, "cat") for number in range(1040)])
    done = desk.build()
    assert "1,039 of 1,040 images" in done.err
    assert "… and 1,029 more" in done.err


# --- memory -----------------------------------------------------------------------------------------------------------


def test_only_what_is_new_is_read(desk: Desk) -> None:
    desk.built()
    for number in (40, 41):
        desk.put(number)
    desk.select([*ROWS, row(40), row(41)])
    assert desk.built().startswith("42 images: 40 validated before, 2 validated now, 2 new in staging")


def test_a_changed_image_is_read_again_even_with_its_old_size_and_time(desk: Desk) -> None:
    desk.built()
    old = desk.photo(7).stat()
    data = bytearray(picture(7))
    data[data.index(b"\xff\xfe\x00\x03") + 4] ^= 1  # in the comment
    desk.photo(7).write_bytes(data)
    os.utime(desk.photo(7), ns=(old.st_atime_ns, old.st_mtime_ns))
    assert desk.built().startswith("40 images: 39 validated before, 1 validated now, 1 new")
    assert md5(bytes(data)) in desk.files().values()


def test_an_image_that_was_just_written_is_not_remembered(desk: Desk) -> None:
    desk.photo(3).touch()
    desk.built()
    assert desk.built().startswith("40 images: 39 validated before, 1 validated now, 0 new")


@pytest.mark.parametrize(
    "broken",
    [
        lambda path: path.write_bytes(b"PAR1 nonsense PAR1"),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.unlink(),
        lambda path: pl.DataFrame({"md5": ["0" * 32]}).write_parquet(path),
    ],
    ids=["nonsense", "cut", "gone", "another form"],
)
def test_a_broken_memory_is_ignored(desk: Desk, broken: Callable[[Path], object]) -> None:
    desk.built()
    before = desk.pointer.read_bytes()
    broken(desk.root / validation_cache.PATH)
    assert desk.built().startswith("40 images: 0 validated before, 40 validated now, 0 new")
    assert desk.pointer.read_bytes() == before


def test_what_staging_lost_is_brought_back(desk: Desk) -> None:
    desk.built()
    before = snapshot(desk.staging)
    for name in [md5(picture(3)), md5(picture(4))]:
        place(desk.staging, name).unlink()
    assert desk.built().startswith("40 images: 38 validated before, 2 validated now, 2 new")
    assert snapshot(desk.staging) == before


def test_another_lake_is_another_memory(desk: Desk) -> None:
    desk.built()
    shutil.copytree(desk.lake, desk.root / ".registry/lake2")
    settings = desk.root / "registry.yaml"
    settings.write_text(settings.read_text().replace(".registry/lake", ".registry/lake2"))
    assert desk.built().startswith("40 images: 0 validated before, 40 validated now, 0 new")


# --- where objects go -------------------------------------------------------------------------------------------------


def test_what_production_has_does_not_go_to_staging_again(desk: Desk) -> None:
    desk.built()
    desk.staging.rename(desk.production)
    desk.put(40)
    desk.select([*ROWS, row(40)])
    assert desk.built().startswith("41 images: 40 validated before, 1 validated now, 1 new")
    assert place(desk.staging, md5(picture(40))).exists()
    assert not place(desk.staging, md5(picture(3))).exists()
    shutil.rmtree(desk.root / ".dvc/tmp")
    assert desk.built().startswith("41 images: 0 validated before, 41 validated now, 0 new")


def test_a_damaged_object_in_a_store_is_told(desk: Desk) -> None:
    desk.built()
    repositories.overwrite(place(desk.staging, md5(picture(3))), b"half")
    before = desk.pointer.read_bytes()
    for forget in (False, True):
        if forget:
            shutil.rmtree(desk.root / ".dvc/tmp")
        done = desk.build()
        assert done.code == 1
        fault = f"size is 4 bytes, expected {len(picture(3))}"
        assert f"{place(desk.staging, md5(picture(3)))}: {fault}" in done.err
    assert desk.pointer.read_bytes() == before


# --- the selection ----------------------------------------------------------------------------------------------------


def test_a_dataset_without_a_selection_is_told(desk: Desk) -> None:
    (desk.root / PETS / "raw.dvc").unlink()
    done = desk.build()
    assert done.err == (
        "looking up the images of datasets/pets\n"
        "error: datasets/pets/raw.dvc does not exist: datasets/pets has no selection\n"
        "  hint: registry select datasets/pets\n"
    )


def test_a_selection_that_was_edited_by_hand_is_refused(desk: Desk) -> None:
    file = desk.root / PETS / "raw/selection.parquet"
    file.write_bytes(exports.write_selection(exports.read_selection(file.read_bytes(), "").head(10)))
    assert "raw/selection.parquet: the MD5 differs from the one in raw.dvc" in desk.build().err
    assert not desk.staging.exists()


@pytest.mark.parametrize("where", [".dvc/cache", ".registry/staging", ".registry/production"])
def test_a_selection_that_is_not_checked_out_is_taken_from_where_it_is(desk: Desk, where: str) -> None:
    shutil.rmtree(desk.root / PETS / "raw")
    if where != ".dvc/cache":
        (desk.root / where).parent.mkdir(exist_ok=True)
        (desk.root / ".dvc/cache").rename(desk.root / where)
    assert desk.built().startswith("40 images: 0 validated before, 40 validated now")


def test_a_selection_that_is_nowhere_is_told(desk: Desk) -> None:
    shutil.rmtree(desk.root / PETS / "raw")
    shutil.rmtree(desk.root / ".dvc/cache")
    assert "datasets/pets: no copy of the selection in DVC's cache, staging or production" in desk.build().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uuid": "../../../etc/passwd"}, "'../../../etc/passwd' is not a UUID"),
        ({"uuid": uuid(1)}, f"duplicate UUID {uuid(1)}"),
        ({"label": "../../x"}, f"{uuid(0)}: label '../../x' is not in classes"),
        ({"label": None}, f"{uuid(0)}: label None is not in classes"),
    ],
)
def test_a_hostile_selection_is_refused(desk: Desk, change: Mapping[str, str | None], words: str) -> None:
    file = desk.root / PETS / "raw/selection.parquet"
    good = exports.read_selection(file.read_bytes(), "")
    first = good.head(1).with_columns(**{name: pl.lit(value, pl.String) for name, value in change.items()})
    forge(desk, pl.concat([first, good[1:]]))
    done = desk.build()
    assert done.code == 1
    assert words in done.err
    assert not desk.staging.exists()


def test_a_selection_of_other_columns_is_refused(desk: Desk) -> None:
    file = desk.root / PETS / "raw/selection.parquet"
    forge(desk, exports.read_selection(file.read_bytes(), "").drop("camera"))
    assert "the selection has the columns uuid, label, size, captured_at, expected" in desk.build().err


def forge(desk: Desk, rows: pl.DataFrame) -> None:
    """A selection of any rows, its pointer to match."""
    data = exports.write_selection(rows)
    (desk.root / PETS / "raw/selection.parquet").unlink()
    (desk.root / PETS / "raw/selection.parquet").write_bytes(data)
    listing = dir_listing.md5_of(json.dumps([{"md5": md5(data), "relpath": "selection.parquet"}]).encode())
    path = desk.root / PETS / "raw.dvc"
    pointer = yaml.safe_load(path.read_text())
    pointer["outs"][0] |= {"md5": listing, "size": len(data)}
    path.write_text(yaml.safe_dump(pointer, sort_keys=False))


# --- the lake ---------------------------------------------------------------------------------------------------------


def test_a_lake_that_is_not_there_is_named(desk: Desk) -> None:
    shutil.rmtree(desk.lake)
    assert f"error: {desk.lake}: no such file or directory\n  hint: " in desk.build().err


def test_a_lake_that_has_none_of_the_images_is_not_forty_faults(desk: Desk) -> None:
    (desk.lake / "photos").rename(desk.lake / "photographs")
    done = desk.build("--exclude-faulty")
    assert done.err == (
        "looking up the images of datasets/pets\n"
        f"error: none of 40 images exists in the lake: {desk.lake}/photos/{uuid(0)}.jpg\n"
        "  hint: check lake: in registry.yaml and image: in dataset.yaml\n"
    )


def test_excluding_every_image_leaves_no_version(desk: Desk) -> None:
    lines = "".join(f"\n  {name}: blurred" for name, *_ in ROWS)
    (desk.root / PETS / "dataset.yaml").write_text(MANIFEST.replace("exclude: {}", f"exclude:{lines}"))
    assert "datasets/pets/dataset.yaml: exclude: removes every image" in desk.build().err


# --- plans, full disks, kills -----------------------------------------------------------------------------------------


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(desk: Desk) -> None:
    desk.photo(0).unlink()
    before = snapshot(desk.root)
    done = desk.build("--dry-run")
    assert done.code == 0
    kilobytes = sum(len(picture(number)) for number in range(1, 40)) / 1e3
    assert done.out.startswith(
        "datasets/pets: 40 rows selected, 0 excluded\n"
        f"39 of 40 images to ingest, {kilobytes:.1f} kB\n"
        "1 image missing from the lake\nclass"
    )
    assert snapshot(desk.root) == before


def test_a_full_disk_leaves_the_earlier_version_and_the_next_run_finishes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.built()
    before = desk.pointer.read_bytes()
    for number in range(40, 60):
        desk.put(number)
    desk.select([*map(row, range(60))])
    write, written = os.write, []

    def fill(file: int, data: bytes) -> int:
        written.append(file)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        done = desk.build()
    assert done.code == 1
    assert "no space left on device\n  hint: free space, then run the same command again" in done.err
    assert desk.pointer.read_bytes() == before
    assert not list(desk.staging.rglob(f"{INCOMING}*"))
    assert desk.built().startswith("60 images: 40 validated before, 20 validated now")


KILLED = """
import os, signal, sys
from pathlib import Path
from registry.cli import main

def second(step, steps=[]):
    steps.append(step)
    if len(steps) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

rename, replace = os.rename, Path.replace
os.rename = lambda *args: (second(args), rename(*args))
Path.replace = lambda *args: (second(args), replace(*args))
sys.exit(main.run(["build", "datasets/pets"]))
"""


def test_a_kill_at_any_step_leaves_the_earlier_version_and_the_next_run_finishes(desk: Desk, tmp_path: Path) -> None:
    desk.built()
    before = desk.pointer.read_bytes()
    desk.put(40)
    desk.select([*ROWS, row(40)])
    undisturbed = Path(shutil.copytree(desk.root, tmp_path / "undisturbed"))
    assert repositories.registry(undisturbed, "build", PETS).returncode == 0
    kills = 0
    while killed_at_its_second_step(desk.root):  # so that each run gets one step further
        assert desk.pointer.read_bytes() == before
        assert_whole(desk.staging)
        kills += 1
    assert kills >= 8  # image, memory, a table (twice: cache and staging), selection, lists of files, pointer
    assert desk.pointer.read_bytes() == (undisturbed / POINTER).read_bytes()
    assert snapshot(desk.staging) == snapshot(undisturbed / ".registry/staging")


def killed_at_its_second_step(root: Path) -> bool:
    """Whether a build had more than one file to put in place, and was killed before the second."""
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=root, capture_output=True)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def assert_whole(store: Path) -> None:
    """Every object is what its name says, and every list of files has its files."""
    for path in store.glob("files/md5/*/[!.]*"):
        name = path.parent.name + path.name
        assert md5(path.read_bytes()) == name.removesuffix(".dir")
        for item in json.loads(path.read_bytes()) if name.endswith(".dir") else ():
            assert place(store, item["md5"]).exists()


def test_it_is_run_from_any_folder_and_for_a_dataset_only(desk: Desk, run_registry: Run) -> None:
    with contextlib.chdir(desk.root):
        assert run_registry(desk.root / PETS, "build", PETS).code == 0
    assert "models/pets is not a dataset" in run_registry(desk.root, "build", "models/pets").err
    assert "datasets/dogs does not exist" in run_registry(desk.root, "build", "datasets/dogs").err
