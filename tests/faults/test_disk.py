"""A full disk, by a limit on the size of files: it fails in the same way, in the middle of a write."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from registry.storage.local import INCOMING, Folder
from support.patience import PATIENCE
from support.s3_registry import Scene, World

LIMIT = 1000  # bytes: enough for an image, not for the list of all


@pytest.mark.parametrize("command", ["build", "fetch", "pull"])
def test_a_full_disk(world: World, played: Mapping[str, Scene], command: str) -> None:
    scene = played[command]
    world.enter(scene.begin)
    process = world.start(*scene.args, largest=LIMIT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, out + err
    assert "file too large" in err.lower()
    assert "\n  hint: " in err
    assert world.wrong_objects() == []
    assert world.broken_promises() == []
    assert world.run(*scene.args).code == 0
    assert world.trace() == scene.end


def test_what_killed_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    place = tmp_path / "files/md5/00"
    place.mkdir(parents=True)
    day = 24 * 60 * 60
    for name, age in ((f"{INCOMING}old", day + 60), (f"{INCOMING}new", day - 60), ("an object", 2 * day)):
        (place / name).write_bytes(b"half")
        os.utime(place / name, (time.time() - age,) * 2)
    assert Folder(tmp_path).put("files/md5/00/1", b"whole")
    assert sorted(path.name for path in place.iterdir()) == [f"{INCOMING}new", "1", "an object"]
