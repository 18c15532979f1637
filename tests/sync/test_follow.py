"""The data follows HEAD: after each command of Git it is what the pointers say, or a line says what is not."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import hints, model_files, repositories
from support.branches import BIRDS, LATER, OFF, has_birds, has_more
from support.git_shell import data_here, data_is_in_line, plain_git, succeed
from support.repositories import git_in, md5

pytestmark = pytest.mark.slow

# --- every command that moves HEAD ------------------------------------------------------------------------------------


def on(branch: str, *commands: str) -> Callable[[Path], None]:
    """First, past the hooks' notice, be on a branch with its data; then run the commands."""

    def act(root: Path) -> None:
        succeed(root, "switch", "--quiet", branch)
        data_is_in_line(root)
        for command in commands:
            succeed(root, *command.split())

    return act


COMMANDS = {
    "switch": (on("main", "switch more"), True, False),
    "switch and back": (on("main", "switch more", "switch -"), False, False),
    "switch to a new branch": (on("main", "switch -c side birds"), False, True),
    "switch --detach": (on("main", "switch --detach birds"), False, True),
    "checkout a branch": (on("birds", "checkout more"), True, False),
    "checkout a commit": (on("more", "checkout v1"), False, False),
    "checkout a path": (on("main", "checkout more -- datasets/pets models/pets"), True, False),
    "restore a path": (on("main", "restore --source=more datasets/pets models/pets"), True, False),
    "restore what was changed": (
        on("main", "checkout more -- datasets/pets models/pets", "restore --staged --worktree ."),
        False,
        False,
    ),
    "merge, fast-forward": (on("more", "switch -c side v1", "merge --quiet more"), True, False),
    "merge": (on("main", "merge --quiet --no-edit birds"), False, True),
    "merge --squash": (on("main", "merge --quiet --squash birds"), False, True),
    "merge, not committed, then committed": (
        on("main", "merge --quiet --no-commit birds", "commit --quiet --no-verify -m merged"),
        False,
        True,
    ),
    "an octopus": (on("main", "merge --quiet --no-edit birds more"), True, True),
    "pull, fast-forward": (on("main", "switch -c side v1", "pull --quiet --ff-only origin more"), True, False),
    "pull, merge": (on("main", "pull --quiet --no-rebase --no-edit origin birds"), False, True),
    "pull --rebase": (on("main", "pull --quiet --rebase origin birds"), False, True),
    "rebase": (on("more", "rebase --quiet birds"), True, True),
    "rebase, nothing of one's own": (on("main", "switch -c side v1", "rebase --quiet birds"), False, True),
    "reset --hard": (on("main", "reset --quiet --hard more"), True, False),
    "reset --hard to before": (on("more", "reset --hard HEAD~1"), False, False),
    "reset --keep": (on("main", "reset --keep birds"), False, True),
    "reset --merge": (on("main", "reset --merge birds"), False, True),
    "an alias of reset": (on("main", "back birds"), False, True),
    "cherry-pick": (on("main", "cherry-pick more"), True, False),
    "cherry-pick, fast-forward": (on("main", "switch -c side v1", "cherry-pick --ff more"), True, False),
    "cherry-pick of a range": (on("main", "cherry-pick v1..birds v1..more"), True, True),
    "revert": (on("birds", "revert --no-edit HEAD"), False, False),
    "revert --no-commit": (on("more", "revert --no-commit HEAD"), False, False),
    "commit": (
        on("main", "checkout more -- datasets/pets models/pets", "commit --quiet --no-verify -m more"),
        True,
        False,
    ),
    "read-tree": (on("main", "read-tree -m -u HEAD birds"), False, True),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_after_each_command_the_data_is_that_of_the_commit(root: Path, name: str) -> None:
    act, more, birds = COMMANDS[name]
    succeed(root, "config", "alias.back", "reset --hard")
    act(root)
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (more, birds)
    if not birds:
        assert not (root / "datasets/birds").exists(), "nothing is left of it"


def conflicting(root: Path) -> None:
    """A branch `words` whose second commit conflicts with main, and whose first and third bring data."""
    git_in(root, *OFF, "switch", "--quiet", "--create", "words", "v1")
    git_in(root, *OFF, "cherry-pick", "more")
    (root / "words.md").write_text("other words\n")
    repositories.commit(root, "other words")
    git_in(root, *OFF, "cherry-pick", "birds")
    git_in(root, *OFF, "switch", "--quiet", "main")
    succeed(root, "switch", "--quiet", "words")


def test_a_rebase_that_stops_in_the_middle(root: Path) -> None:
    conflicting(root)
    assert plain_git(root, "rebase", "main").code == 1
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (True, False), "the commits that are through"
    (root / "words.md").write_text("both\n")
    git_in(root, "add", "words.md")
    succeed(root, "rebase", "--continue")
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (True, True)


@pytest.mark.parametrize(
    ("how", "left"), [("--abort", (True, True)), ("--skip", (True, True)), ("--quit", (True, False))]
)
def test_a_rebase_that_is_given_up(root: Path, how: str, left: tuple[bool, bool]) -> None:
    conflicting(root)
    plain_git(root, "rebase", "main")
    if how == "--quit":
        git_in(root, "reset", "--quiet", "--hard")
    else:
        succeed(root, "rebase", how)
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == left


def test_a_rebase_that_stops_to_edit(root: Path) -> None:
    conflicting(root)
    git_in(root, *OFF, "reset", "--quiet", "--hard", "HEAD")
    succeed(root, "rebase", "-i", "HEAD~3", GIT_SEQUENCE_EDITOR="sed -i 1s/pick/edit/")
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (True, False)
    succeed(root, "rebase", "--continue")
    data_is_in_line(root)
    assert has_birds(root)


@pytest.mark.parametrize("command", ["merge", "cherry-pick", "rebase"])
def test_a_conflict_is_given_up(root: Path, command: str) -> None:
    conflicting(root)
    succeed(root, "switch", "main")
    assert plain_git(root, command, "words" if command == "merge" else "words~1").code == 1
    succeed(root, command, "--abort")
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (False, False)


def test_a_merge_conflict_is_resolved_and_committed(root: Path) -> None:
    conflicting(root)
    succeed(root, "switch", "main")
    assert plain_git(root, "merge", "words").code == 1
    (root / "words.md").write_text("both\n")
    git_in(root, "add", "words.md")
    succeed(root, "commit", "--no-verify", "--no-edit")
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (True, True)


def test_stash_and_pop(root: Path) -> None:
    for stage in (False, True):
        repositories.dataset(root, "pets", repositories.MORE_PETS, "1.1.0")
        if stage:
            git_in(root, "add", "--all")
        succeed(root, "stash")
        data_is_in_line(root)
        assert LATER not in data_here(root).values()
        succeed(root, "stash", "pop")
        data_is_in_line(root)
        assert LATER in data_here(root).values()
        succeed(root, "reset", "--hard")
        data_is_in_line(root)


def test_a_new_dataset_that_was_only_staged_is_stashed(root: Path) -> None:
    repositories.dataset(root, "fish", BIRDS, "1.0.0")
    succeed(root, "add", "datasets/fish")
    succeed(root, "stash")
    data_is_in_line(root)
    assert not (root / "datasets/fish").exists()
    succeed(root, "stash", "pop")
    data_is_in_line(root)
    assert (root / "datasets/fish/prepared").exists()


def test_a_new_dataset_that_is_untracked_stays(root: Path) -> None:
    repositories.dataset(root, "fish", BIRDS, "1.0.0")
    succeed(root, "switch", "birds")
    data_is_in_line(root)
    assert (root / "datasets/fish/prepared").exists()


def test_am_and_its_end(root: Path) -> None:
    for branch in ("more", "birds"):
        git_in(root, "format-patch", "--quiet", "-1", "-o", "../patches", branch)
    patches = sorted(map(str, (root.parent / "patches").glob("*")))
    succeed(root, "am", *patches)
    data_is_in_line(root)
    assert (has_more(root), has_birds(root)) == (True, True)
    assert plain_git(root, "am", *patches).code == 128
    succeed(root, "am", "--abort")
    data_is_in_line(root)


def test_bisect(root: Path) -> None:
    conflicting(root)
    succeed(root, "bisect", "start", "words", "v1")
    data_is_in_line(root)
    succeed(root, "bisect", "good")
    data_is_in_line(root)
    succeed(root, "bisect", "reset")
    data_is_in_line(root)
    assert has_birds(root)


def test_a_branch_without_a_registry(root: Path) -> None:
    """An orphan branch, such as pages: nothing ignores what stays there."""
    git_in(root, *OFF, "switch", "--quiet", "--orphan", "pages")
    git_in(root, *OFF, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", "pages")
    git_in(root, *OFF, "switch", "--quiet", "main")
    succeed(root, "checkout", "--quiet", "--force", "main")
    succeed(root, "switch", "pages")
    assert data_here(root) == {}
    succeed(root, "switch", "main")
    data_is_in_line(root)
    succeed(root, "switch", "--orphan", "unborn")
    assert data_here(root) == {}


def test_a_linked_worktree_has_its_data_out_of_the_same_cache(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "with spaces"
    succeed(root, "worktree", "add", str(linked), "birds")
    assert has_birds(linked)
    assert not (linked / ".dvc/cache").exists()
    image = "datasets/pets/prepared/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
    cached = repositories.place(root / ".dvc/cache", md5(b"one cat"))
    assert (linked / image).samefile(cached)
    succeed(linked, "switch", "--detach", "more")
    assert has_more(linked)
    assert not (linked / "datasets/birds").exists()
    data_is_in_line(root)
    done = repositories.sh(linked, sys.executable, "-m", "dvc", "status", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sparse_checkout_has_the_data_of_its_part(root: Path) -> None:
    succeed(root, "switch", "birds")
    # Git deletes what it ignores outside of these folders: without `.dvc`, DVC's cache.
    succeed(root, "sparse-checkout", "set", ".dvc", "datasets/birds", "models/birds")
    assert {path.split("/")[1] for path in data_here(root)} == {"birds"}
    succeed(root, "switch", "more")
    assert data_here(root) == {}
    succeed(root, "sparse-checkout", "disable")
    data_is_in_line(root)
    assert has_more(root)


# --- what cannot be brought in line -----------------------------------------------------------------------------------


def test_what_is_missing_is_told_and_the_next_step_mends_it(root: Path) -> None:
    repositories.place(root / ".dvc/cache", LATER).unlink()
    told = succeed(root, "switch", "more")
    assert "registry: still the data of another commit: datasets/pets/prepared\n" in told
    assert "not in the cache: datasets/pets/prepared\n" in told
    (command,) = re.findall(r"hint: (.*)", told)
    hints.run(root, command, {})
    data_is_in_line(root)
    assert "not in the cache" not in succeed(root, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "words")


def test_a_clone_without_data_hears_nothing(root: Path, tmp_path: Path) -> None:
    git_in(tmp_path, "clone", "--quiet", "origin.git", "reviewer")
    clone = tmp_path / "reviewer"
    assert repositories.registry(clone, "hooks", "install").returncode == 0
    for command in (
        "switch --quiet more",
        "switch --quiet birds",
        "reset --quiet --hard origin/main",
        "merge --quiet --no-edit birds",
    ):
        assert succeed(clone, *command.split()) == ""
    assert data_here(clone) == {}
    assert not (clone / ".dvc/cache").exists()


def test_a_persons_own_files_are_kept_and_told(root: Path) -> None:
    succeed(root, "switch", "birds")
    mine = root / "datasets/birds/prepared/train/notes.txt"
    mine.write_text("mine")
    edited = root / "datasets/birds/prepared/test/dog/0a8c7f6e-0000-4000-8000-00000000000c.jpg"
    edited.unlink()
    edited.write_bytes(b"edited")
    told = succeed(root, "switch", "main")
    assert "kept datasets/birds/prepared, which this commit does not have: 2 files that the cache does not hold" in told
    assert {path.name for path in (root / "datasets/birds/prepared").rglob("*.*")} == {mine.name, edited.name}
    assert "datasets/birds" not in git_in(root, "status", "--porcelain"), "what stays is ignored all the same"
    assert "kept" not in succeed(root, "switch", "more"), "it is told once"
    succeed(root, "switch", "birds")
    assert mine.read_text() == "mine"


def test_what_the_cache_has_lost_is_kept(root: Path) -> None:
    succeed(root, "switch", "birds")
    repositories.place(root / ".dvc/cache", md5(b"a bird")).unlink()
    told = succeed(root, "switch", "main")
    assert "kept datasets/birds/prepared" in told
    assert md5(b"a bird") in data_here(root).values()


def test_one_edit_keeps_only_its_artifact_back(root: Path) -> None:
    image = root / "datasets/pets/prepared/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
    repositories.overwrite(image, b"mine")
    told = succeed(root, "switch", "more")
    assert "registry: data was not linked: 1 file would be lost" in told
    assert image.read_bytes() == b"mine"
    assert (root / "models/pets/model.onnx").read_bytes() == model_files.named(b"weights of 1.1.0")


def test_a_killed_hook_is_completed_by_the_next_event(root: Path) -> None:
    """Also by going back, where the pointers are those that the data was last in line with."""
    images = {f"train/cat/{number:08x}-0000-4000-8000-000000000000.jpg": os.urandom(1000) for number in range(300)}
    repositories.dataset(root, "pets", images, "2.0.0")
    git_in(root, "add", "--all")
    git_in(root, *OFF, "commit", "--quiet", "-m", "many")
    git_in(root, *OFF, "branch", "many")
    git_in(root, *OFF, "reset", "--quiet", "--hard", "HEAD~1")
    assert repositories.registry(root, "checkout").returncode == 0
    data_is_in_line(root)
    git = subprocess.Popen(["git", "switch", "--quiet", "many"], cwd=root, start_new_session=True)
    while git.poll() is None and sum(len(names) for *_, names in os.walk(root / "datasets/pets")) < 60:
        pass
    os.killpg(git.pid, signal.SIGKILL)
    git.wait()
    succeed(root, "switch", "--quiet", "--force", "main")
    data_is_in_line(root)
    succeed(root, "switch", "--quiet", "many")
    data_is_in_line(root)


def test_an_output_outside_of_its_artifact_is_not_written(root: Path) -> None:
    """The pointer of an untrusted branch; the cache happens to have the object."""
    repositories.keep(root, b"evil")
    for number, path in enumerate(
        ("../../.git/hooks/post-merge", "../../.venv-x/bin/python", "../dogs/x", ".git/hooks/x", "a/../../../x")
    ):
        git_in(root, *OFF, "switch", "--quiet", "--create", f"evil-{number}", "v1")
        lock = root / "models/pets/dvc.lock"
        text = (
            lock.read_text()
            .replace("path: model.onnx", f"path: {path}")
            .replace(md5(model_files.named(b"weights of 1.0.0")), md5(b"evil"))
        )
        lock.write_text(text)
        repositories.commit(root, "evil")
        git_in(root, *OFF, "switch", "--quiet", "main")
        told = succeed(root, "switch", f"evil-{number}")
        assert "the output " in told
        assert not [
            file
            for file in root.rglob("*")
            if file.is_file()
            and ".dvc/cache" not in str(file)
            and file.stat().st_size == 4
            and file.read_bytes() == b"evil"
        ]
        succeed(root, "switch", "--quiet", "main")
