"""`registry build --dry-run`, and builds that a full disk or a kill interrupts."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest

from registry.errors import StorageFailed
from registry.storage.local import INCOMING, Folder
from support import repositories
from support.dataset_builds import PETS, POINTER, ROWS, Desk, picture, row
from support.patience import PATIENCE
from support.repositories import Run, md5, place, snapshot

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


def test_the_parts_of_a_version_are_stored_side_by_side_and_one_that_fails_leaves_the_earlier_version(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.built()
    before, put = desk.pointer.read_bytes(), Folder.put
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(manifest.read_text() + "layout: {folders: 16}\n")
    selection = (desk.root / PETS / "raw/selection.parquet").read_bytes()
    tables, meeting = count(), Barrier(3)

    def meet(store: Folder, key: str, data: bytes) -> bool:
        is_table = data.startswith(b"PAR1") and data != selection
        if store.path == desk.staging and is_table and next(tables) < 3:
            meeting.wait(PATIENCE)
            raise StorageFailed(f"{key}: no space left on device", fix="free space")
        return put(store, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "put", meet)
        done = desk.build()
    assert (done.code, "no space left on device" in done.err) == (1, True)
    assert desk.pointer.read_bytes() == before
    assert desk.built().startswith("40 images: 40 validated before, 0 validated now")


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


@pytest.mark.slow
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
