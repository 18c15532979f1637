"""`registry build`: from a selection and a lake to a version, on real folders, with real DVC."""

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from dvc.cli import main

from registry.dataset import validation_cache
from registry.storage.local import INCOMING, Folder
from support import repositories
from support.dataset_builds import MANIFEST, PETS, POINTER, ROWS, Desk, picture, row
from support.repositories import Run, md5, place, snapshot

# --- the version ------------------------------------------------------------------------------------------------------


def test_a_version_is_what_the_formats_say(desk: Desk) -> None:
    desk.built()
    pointer = yaml.safe_load(desk.pointer.read_text())
    files = desk.files()
    images = {path: name for path, name in files.items() if not path.endswith("metadata.parquet")}
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
        "warning: val has no image of cat (0 of 14)\n"
        "hint: registry pull datasets/pets; then git add datasets/pets && git commit\n"
    )


def test_each_split_has_a_table_of_its_rows(desk: Desk) -> None:
    desk.built()
    files = desk.files()
    found = {}
    for split in ("train", "val", "test"):
        table = desk.table(split)
        assert table.columns == ["file_name", "label", "label_name", "uuid", "camera", "size", "captured_at"]
        assert table["file_name"].to_list() == sorted(
            path.removeprefix(f"{split}/") for path in files if path.startswith(f"{split}/") and "metadata" not in path
        )
        found |= {line["uuid"]: line for line in table.iter_rows(named=True)}
    for name, label, camera, size, captured_at in ROWS:
        line = found.pop(name)
        assert (line["file_name"], line["label_name"]) == (f"{label}/{name}.jpg", label)
        assert line["label"] == ["cat", "dog", "no"].index(label)
        assert line["camera"] == (camera or None)
        assert line["size"] == {"": None, "1.5": 1.5, "2e3": 2000.0}[size]
        assert line["captured_at"] == (datetime(2026, 1, 31, 12, tzinfo=UTC) if captured_at else None)
    assert found == {}


def test_staging_has_what_the_pointers_reach_and_the_cache_what_was_made_here(desk: Desk) -> None:
    desk.built()
    raw = yaml.safe_load((desk.root / PETS / "raw.dvc").read_text())["outs"][0]["md5"]
    prepared = yaml.safe_load(desk.pointer.read_text())["outs"][0]["md5"]
    selection = md5((desk.root / PETS / "raw/selection.parquet").read_bytes())
    tables = {name for path, name in desk.files().items() if path.endswith("metadata.parquet")}
    small = {*tables, raw, prepared, selection}
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


# --- determinism ------------------------------------------------------------------------------------------------------


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


# --- validation cache -------------------------------------------------------------------------------------------------


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


def test_an_image_that_was_just_written_is_not_cached(desk: Desk) -> None:
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
def test_a_damaged_cache_is_ignored(desk: Desk, broken: Callable[[Path], object]) -> None:
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


def test_the_cache_is_separate_for_each_lake(desk: Desk) -> None:
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


@pytest.mark.parametrize("forgets", [False, True], ids=["validated before", "validated again"])
def test_a_damaged_object_in_staging_is_replaced(desk: Desk, forgets: bool) -> None:
    desk.built()
    file = place(desk.staging, md5(picture(3)))
    repositories.overwrite(file, b"half")
    before = desk.pointer.read_bytes()
    if forgets:
        shutil.rmtree(desk.root / ".dvc/tmp")
    assert "1 new in staging" in desk.built()
    assert (file.read_bytes(), desk.pointer.read_bytes()) == (picture(3), before)
