"""Two commands at the same time, objects and tags that exist already, and incomplete clones."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import repositories
from support.patience import PATIENCE
from support.s3_registry import PETS, Scene, World

DATASET = f"{PETS}@v1.0.0"


@pytest.fixture
def merged(world: World, played: Mapping[str, Scene]) -> World:
    """Everything is pushed, nothing published."""
    world.enter(played["publish"].begin)
    return world


def clone(world: World, *options: str) -> Path:
    """Another machine: its own clone, the same buckets, no data."""
    repositories.git_in(world.root.parent, "clone", "--quiet", *options, f"file://{world.origin}", "other")
    return world.root.parent / "other"


def finish(*started: "subprocess.Popen[str]") -> list[tuple[int, str]]:
    ends = [(process.communicate(timeout=PATIENCE), process) for process in started]
    return [(process.returncode, out + err) for (out, err), process in ends]


def test_two_publishes_at_once(merged: World, played: Mapping[str, Scene]) -> None:
    other = clone(merged)
    ends = finish(merged.start("publish"), merged.start("publish", root=other))
    assert [code for code, _ in ends] == [0, 0], ends
    assert merged.broken_promises() == []
    now = merged.trace()
    end = played["publish"].end
    assert (now["production"], now["tags"]) == (end["production"], end["tags"])
    assert repositories.git_in(other, "rev-parse", DATASET) == repositories.git_in(merged.root, "rev-parse", DATASET)


def test_two_contributors_push_the_same_objects(merged: World, played: Mapping[str, Scene]) -> None:
    merged.enter(played["push"].begin)
    other = clone(merged)
    (other / ".dvc/cache").symlink_to(merged.root / ".dvc/cache")
    ends = finish(merged.start("push"), merged.start("push", root=other))
    assert [code for code, _ in ends] == [0, 0], ends
    assert merged.trace()["staging"] == played["push"].end["staging"]


@pytest.mark.parametrize("annotated", [True, False])
def test_a_tag_that_exists_at_the_remote_with_other_data(merged: World, annotated: bool) -> None:
    other = clone(merged)
    pointer = other / PETS / "prepared.dvc"
    pointer.write_text(pointer.read_text().replace("size: ", "size: 1"))
    repositories.commit(other, "not what was reviewed")
    repositories.git_in(other, "tag", *(["--annotate", "--message", "mine"] if annotated else []), DATASET)
    repositories.git_in(other, "push", "--quiet", "origin", DATASET)
    done = merged.run("publish")
    words = "with different data from main" if annotated else "is a lightweight tag"
    assert done.refused(DATASET, words)
    assert merged.contents("production") == {}
    assert repositories.git_in(merged.root, "tag") == ""


def test_a_shallow_clone(merged: World) -> None:
    shallow = clone(merged, "--depth", "1")
    assert merged.run("publish", root=shallow).refused("this clone is shallow")
    assert merged.run("gc", "--apply", root=shallow).refused("shallow")
    assert merged.contents("production") == {}
    assert merged.run("pull", "--rev", "HEAD", root=shallow).code == 0
    assert repositories.snapshot(shallow / ".dvc/cache") == repositories.snapshot(merged.root / ".dvc/cache")
