"""Interrupted hooks, and hooks that did not run: the next check names data that is not that of the commit."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support import hints, repositories
from support.branches import BIRDS, NEW, OFF, has_birds, has_more
from support.git_shell import data_is_in_line, succeed
from support.repositories import git_in

pytestmark = pytest.mark.slow

OTHER = "warning: not the data of this commit: "


def other_data(root: Path) -> str:
    """What `registry check` says of data that is not what the pointers say; its next step is run."""
    done = repositories.registry(root, "check")
    told = [line.removeprefix(OTHER) for line in done.stderr.splitlines() if line.startswith(OTHER)]
    if told:
        hints.run(root, done.stderr.split("hint: ")[-1].strip(), {})
        assert OTHER not in repositories.registry(root, "check").stderr
    return told[0] if told else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_hook_says_what_is_left_to_do(root: Path, number: signal.Signals) -> None:
    images = {f"train/cat/{count:08x}-0000-4000-8000-000000000000.jpg": os.urandom(1000) for count in range(1000)}
    repositories.dataset(root, "pets", images, "2.0.0")
    git_in(root, "add", "--all")
    git_in(root, *OFF, "commit", "--quiet", "-m", "many")
    git_in(root, *OFF, "branch", "many")
    git_in(root, *OFF, "reset", "--quiet", "--hard", "HEAD~1")
    assert repositories.registry(root, "checkout").returncode == 0
    git = subprocess.Popen(
        ["git", "switch", "--quiet", "many"], cwd=root, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    while git.poll() is None and sum(len(names) for *_, names in os.walk(root / "datasets/pets")) < 60:
        pass
    os.killpg(git.pid, number)
    told = git.communicate()[1]
    assert git_in(root, "branch", "--show-current") == "many", "Git was done"
    if number is signal.SIGINT:
        assert told.endswith("registry: interrupted before all data was linked\n  hint: registry checkout\n")
    assert other_data(root).startswith("datasets/pets/")  # prepared, or raw, whichever was not reached
    data_is_in_line(root)


def test_data_of_another_commit_is_told_by_the_next_check(root: Path) -> None:
    """The hooks did not run; what is here is compared with the pointers, also where only the content differs."""
    assert other_data(root) == ""
    git_in(root, *OFF, "switch", "--quiet", "more")
    data = ("datasets/pets/prepared", "datasets/pets/raw", "models/pets/model.onnx", "models/pets/predictions.parquet")
    assert other_data(root) == ", ".join(data)
    data_is_in_line(root)
    git_in(root, *OFF, "switch", "--quiet", "birds")
    repositories.registry(root, "checkout")
    git_in(root, *OFF, "switch", "--quiet", "main")
    assert "datasets/birds/prepared" in other_data(root)
    data_is_in_line(root)
    repositories.dataset(root, "pets", {**repositories.PETS, next(iter(repositories.PETS)): b"ONE cat"}, "2.0.0")
    git_in(root, "add", "--all")
    assert other_data(root) == "", "built here: the data is new, as its pointer"
    git_in(root, *OFF, "reset", "--quiet", "--hard")
    assert other_data(root).startswith("datasets/pets/prepared"), "the same names and sizes"


def test_data_that_is_not_here_is_not_told(root: Path) -> None:
    git_in(root, "clean", "--quiet", "-fdx", "datasets", "models")
    assert other_data(root) == ""
    succeed(root, "switch", "--quiet", "more")
    data_is_in_line(root)


def test_the_data_of_a_dataset_that_was_never_added_is_told_when_it_is_stashed(root: Path) -> None:
    """Git runs no hook that could know of its pointers: it never had them in its index."""
    repositories.dataset(root, "fish", BIRDS, "1.0.0")
    succeed(root, "stash", "--include-untracked")
    assert other_data(root) == "datasets/fish/prepared, datasets/fish/raw"
    assert not (root / "datasets/fish").exists()
    succeed(root, "stash", "pop")
    assert repositories.registry(root, "checkout").returncode == 0
    data_is_in_line(root)


@pytest.mark.parametrize("command", ["rm -r --quiet --cached", "rm -r --quiet", "mv"])
def test_what_is_taken_out_of_git(root: Path, command: str) -> None:
    succeed(root, "switch", "--quiet", "birds")
    names = ("datasets/birds",) if command == "mv" else NEW
    succeed(root, *command.split(), *names, *(["datasets/fowl"] if command == "mv" else []))
    told = succeed(root, "commit", "--quiet", "--no-verify", "-m", "gone")
    assert told == "", "metrics of a model whose lock is here, and untracked, are not left over"
    data_is_in_line(root)


def test_resets_that_leave_the_working_tree(root: Path) -> None:
    succeed(root, "switch", "--quiet", "more")
    for command in ("commit --amend --quiet --no-verify -m amended", "reset --soft HEAD~1", "reset --mixed HEAD"):
        succeed(root, *command.split())
        data_is_in_line(root)
        assert has_more(root), command
    succeed(root, "checkout", "--quiet", "--", ".")
    data_is_in_line(root)
    assert not has_more(root)
    succeed(root, "switch", "--quiet", "birds")
    succeed(root, "reset", "--quiet", "--mixed", "main")
    assert has_birds(root), "its pointers are here, untracked"
    succeed(root, "clean", "--quiet", "-fd")
    assert "datasets/birds/prepared" in other_data(root)
    assert not has_birds(root)
