"""Rules are kept at the door: no command obeys a pointer, a lock or a list of files that leads out of its artifact.

What each file may say is tested where it is parsed (tests/core/test_pointers.py, tests/sync/test_dir_listing.py). Here
each command meets one hostile file of each kind, whose objects DVC's cache has.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import copy
from support import repositories
from support.repositories import Run

Hostile = dict[str, Path]
EVIL = b"evil"
MD5 = repositories.md5(EVIL)
POINTER, LOCK = "datasets/pets/prepared.dvc", "models/pets/dvc.lock"


def _edit(root: Path, path: str, change: Callable[[dict[str, list[dict[str, object]]]], None]) -> None:
    data = yaml.safe_load((root / path).read_text())
    change(data if path == POINTER else data["stages"]["train"])
    repositories.write(root / path, data)


def put_lock(root: Path) -> None:
    """A stage whose output is a hook of Git."""
    entry = {"path": "../../.git/hooks/post-merge", "hash": "md5", "md5": MD5, "size": 4}
    _edit(root, LOCK, lambda stage: stage["outs"].append(dict(entry)))


def put_pointer(root: Path) -> None:
    """A pointer to the manifest beside it."""
    _edit(root, POINTER, lambda data: data.update(outs=[{"path": "README.md", "hash": "md5", "md5": MD5, "size": 4}]))


def put_listing(root: Path) -> None:
    """A version with a repository of DVC in it."""
    body = json.dumps([{"md5": MD5, "relpath": "train/.dvc/config"}], sort_keys=True).encode()
    repositories.keep(root, body, ".dir")
    md5 = f"{repositories.md5(body)}.dir"
    _edit(root, POINTER, lambda data: data["outs"][0].update(md5=md5, size=4, nfiles=1))


STATES = {"lock": put_lock, "pointer": put_pointer, "listing": put_listing}
FAULTS = {  # what is named, and what is wrong with it
    "lock": (f"{LOCK}:", "../../.git/hooks/post-merge: the output is not in models/pets"),
    "pointer": (f"{POINTER}:2: ", "points to README.md, expected prepared"),
    "listing": ("datasets/pets/prepared", "'train/.dvc/config' is a file that Git, DVC or Python obeys"),
}
BASE = ("--base", "HEAD~1")
REFUSING = {
    "check": ("check", "--all"),
    "check --base": ("check", *BASE),
    "check --remote": ("check", "--all", "--remote"),
    "checkout": ("checkout",),
    "pull": ("pull",),
    "pull of one": ("pull", "datasets/pets", "models/pets"),
    "push": ("push",),
    "publish": ("publish",),
}
TELLING = {  # the code, and what is said of each state; other artifacts are dealt with
    "report": (("report", *BASE, "--pictures", "none"), 0, dict.fromkeys(STATES, "blocked: ")),
    "judge": (("judge", "HEAD", *BASE, "--out", "build/judged"), 0, dict.fromkeys(STATES, "state=blocked")),
    "diff": (("diff", "HEAD~1"), 0, {name: FAULTS[name][1] for name in ("pointer", "listing")}),
    "compare": (("compare", *BASE), 0, {"lock": FAULTS["lock"][1]}),
    "train": (("train", "--dry-run"), 0, {"lock": FAULTS["lock"][1]}),
    "list": (("list",), 0, dict.fromkeys(("lock", "pointer"), "invalid files")),
    "the hook": (("checkout", "--hook"), 0, {}),
    "gc": (("gc", "--plan"), 1, {name: FAULTS[name][1] for name in ("lock", "pointer")}),
}


@pytest.fixture(scope="module")
def hostile(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """A clone for each state, whose main has the hostile file since its last commit."""
    found = {}
    for name, change in STATES.items():
        root = copy(_merged, tmp_path_factory.mktemp("doors"))
        repositories.keep(root, EVIL)
        change(root)
        repositories.merge(root, "evil")
        found[name] = root
    return found


def obeyed(root: Path) -> list[str]:
    """Where the hostile object was written to, stores aside."""
    files = (path for path in root.parent.rglob("*") if path.is_file() and path.stat().st_size == len(EVIL))
    return [path.as_posix() for path in files if path.read_bytes() == EVIL and path.name != MD5[2:]]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", REFUSING)
def test_a_command_that_needs_it_refuses_it(hostile: Hostile, run_registry: Run, state: str, command: str) -> None:
    done = run_registry(hostile[state], *REFUSING[command])
    said = done.out + done.err
    assert done.code == 1, said
    assert all(words in said for words in (*FAULTS[state], "hint: ")), said
    assert obeyed(hostile[state]) == []


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", TELLING)
def test_a_command_about_several_artifacts_tells_it(
    hostile: Hostile, run_registry: Run, state: str, command: str
) -> None:
    args, code, words = TELLING[command]
    done = run_registry(hostile[state], *args)
    said = done.out + done.err
    assert done.code == (code if state in words else 0), said
    assert words.get(state, "") in said
    assert obeyed(hostile[state]) == []
