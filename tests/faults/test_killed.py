"""SIGKILL at a few random moments; `make soak` runs such rounds for as long as wanted."""

import os
import time
from collections.abc import Mapping

import pytest

from support import killing
from support.s3_registry import Scene, World


@pytest.mark.parametrize("seed", [20261125, 20261131])
@pytest.mark.parametrize("command", killing.KILLED)
def test_nothing_is_lost(world: World, played: Mapping[str, Scene], command: str, seed: int) -> None:
    this = killing.make_round(seed, played, command)
    assert killing.run_round(world, played[command], this) == [], str(this)


def test_a_round_is_determined_by_its_seed(played: Mapping[str, Scene]) -> None:
    rounds = [killing.make_round(seed, played) for seed in range(200)]
    assert rounds == [killing.make_round(seed, played) for seed in range(200)]
    assert {one.command for one in rounds} == set(killing.KILLED)
    assert {len(one.moments) for one in rounds} == {1, 2}


def test_a_loss_is_reported(world: World, played: Mapping[str, Scene]) -> None:
    scene = played["publish"]
    wrong = Scene("publish", ("list",), scene.begin, scene.end, 0)  # a command that does not finish the work
    (*_, tags) = killing.run_round(world, wrong, killing.Round(0, "publish", ()))
    assert tags.startswith("run again, tags differs: ")


def test_a_git_that_was_killed_in_the_middle_of_a_tag(world: World, played: Mapping[str, Scene]) -> None:
    world.enter(played["publish"].begin)
    lock = world.root / ".git/refs/tags/datasets/pets@v1.0.0.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() - 60,) * 2)
    world.must("publish")
    assert world.trace() == played["publish"].end
