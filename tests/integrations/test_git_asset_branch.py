import subprocess
from pathlib import Path

import pytest

from registry.errors import ToolFailed
from registry.integrations import git_asset_branch
from support import repositories
from support.repositories import git_in


@pytest.fixture
def clone(registry_repo: Path) -> Path:
    """A registry whose bare origin has its main, and whose checkout has something staged and something unsaved."""
    repositories.add_origin(registry_repo)
    git_in(registry_repo, "push", "--quiet", "origin", "main")
    (registry_repo / "staged.txt").write_text("staged")
    git_in(registry_repo, "add", "staged.txt")
    (registry_repo / "unsaved.txt").write_text("unsaved")
    return registry_repo


def origin_tip(root: Path) -> str:
    return git_in(root, "ls-remote", "origin", "refs/heads/reports").split("\t")[0]


def test_files_lie_in_a_commit_that_the_branch_reaches_and_nothing_else_is_touched(clone: Path) -> None:
    before = git_in(clone, "status", "--porcelain"), git_in(clone, "rev-parse", "HEAD")
    commit = git_asset_branch.publish_files(clone, "reports", {"a.png": b"\x89PNG a", "b.webp": b"RIFF"}, "models/pets")
    assert (git_in(clone, "status", "--porcelain"), git_in(clone, "rev-parse", "HEAD")) == before
    assert git_in(clone, "branch", "--list").split() == ["*", "main"]
    origin = clone.parent / "origin.git"
    assert subprocess.run(["git", "show", f"{commit}:a.png"], cwd=origin, capture_output=True).stdout == b"\x89PNG a"
    assert git_in(origin, "ls-tree", "--name-only", commit).split() == ["a.png", "b.webp"]
    assert git_in(origin, "rev-list", "--parents", "reports").splitlines() == [f"{origin_tip(clone)} {commit}", commit]
    assert git_in(origin, "ls-tree", "--name-only", "reports") == "README.md"


def test_the_same_files_are_the_same_commit_and_move_nothing(clone: Path) -> None:
    first = git_asset_branch.publish_files(clone, "reports", {"a.png": b"a"}, "one")
    tip = origin_tip(clone)
    assert git_asset_branch.publish_files(clone, "reports", {"a.png": b"a"}, "one") == first
    assert origin_tip(clone) == tip


def test_the_oldest_fall_off_and_are_really_freed(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_asset_branch, "MAX_COMMITS", 2)
    commits = [
        git_asset_branch.publish_files(clone, "reports", {"a.png": f"picture {number}".encode()}, "x")
        for number in range(3)
    ]
    origin = clone.parent / "origin.git"
    assert git_in(origin, "rev-list", "--no-walk", "--parents", "reports").split()[1:] == commits[:0:-1]
    git_in(origin, "reflog", "expire", "--expire=now", "--all")
    git_in(origin, "gc", "--quiet", "--prune=now")
    there = [repositories.sh(origin, "git", "cat-file", "-e", commit).returncode == 0 for commit in commits]
    assert there == [False, True, True]


def test_a_push_that_lost_a_race_is_made_again_and_keeps_the_winner(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_in(tmp_path, "clone", "--quiet", str(clone.parent / "origin.git"), "other")
    raced = []
    kept = git_asset_branch._kept_commits

    def slow(root: Path, tip: str, remote: str) -> tuple[str, ...]:
        if not raced:
            raced.append("winner")
            raced.append(git_asset_branch.publish_files(tmp_path / "other", "reports", {"b.png": b"the winner's"}, "b"))
        return kept(root, tip, remote)

    monkeypatch.setattr(git_asset_branch, "_kept_commits", slow)
    loser = git_asset_branch.publish_files(clone, "reports", {"a.png": b"the loser's"}, "a")
    parents = git_in(clone.parent / "origin.git", "rev-list", "--no-walk", "--parents", "reports").split()[1:]
    assert parents == [loser, raced[1]]


def test_a_remote_that_refuses_is_an_error_at_once(clone: Path) -> None:
    hook = clone.parent / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no reports here >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(ToolFailed, match="no reports here"):
        git_asset_branch.publish_files(clone, "reports", {"a.png": b"a"}, "a")
