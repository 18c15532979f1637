"""Clones of every kind: what the hooks, a push and the checks do where a clone has not all of the repository."""

import shutil
from pathlib import Path

import pytest

from support import repositories
from support.git_shell import data_is_in_line, plain_git, succeed
from support.repositories import git_in, registry

LATER = repositories.md5(b"a cat that came later")
KINDS = {
    "no blobs": ("--filter=blob:none",),
    "no trees": ("--filter=tree:0",),
    "no large blobs": ("--filter=blob:limit=100",),
    "shallow": ("--depth=1",),
    "shallow, no blobs": ("--depth=1", "--filter=blob:none"),
    "nothing checked out": ("--no-checkout",),
    "one branch": ("--single-branch", "--branch=main"),
    "no tags, one branch": ("--single-branch", "--no-tags"),
    "Git's folder elsewhere": ("--separate-git-dir=../elsewhere.git",),
}


@pytest.fixture
def origin(hooked: Path) -> Path:
    """`hooked`, pushed; its `origin.git` serves parts."""
    bare = repositories.origin(hooked)
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git_in(bare, "config", setting, "true")
    git_in(hooked, "push", "--quiet", "--no-verify", "origin", "main")
    shutil.rmtree(repositories.staging(hooked))
    return hooked


def equip(clone: Path, root: Path) -> None:
    """Give a clone the stores of another one, and its cache and environment."""
    (clone / ".registry").symlink_to(root / ".registry")
    (clone / ".venv").symlink_to((root / ".venv").readlink())
    shutil.copytree(root / ".dvc/cache", clone / ".dvc/cache")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_follows_and_pushes(origin: Path, tmp_path: Path, kind: str) -> None:
    url = f"file://{repositories.origin(origin)}"
    git_in(tmp_path, "clone", "--quiet", *KINDS[kind], url, "clone")
    clone = tmp_path / "clone"
    done = registry(clone, "hooks", "install")
    assert done.returncode == 0, done.stderr
    if kind == "nothing checked out":
        done = registry(clone, "list")
        assert done.returncode == 1
        assert "registry.yaml is in the commit and not in the working tree" in done.stderr
        assert (
            "hint: git checkout HEAD -- registry.yaml; after `git clone --no-checkout`: git switch BRANCH"
            in done.stderr
        )
        git_in(clone, "switch", "--quiet", "main")
    equip(clone, origin)
    assert registry(clone, "checkout").returncode == 0
    data_is_in_line(clone)
    repositories.dataset(clone, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(clone, "more")
    assert "pushed" in succeed(clone, "push", "origin", "HEAD:refs/heads/side")
    assert repositories.place(repositories.staging(origin), LATER).exists()
    if "--depth=1" not in KINDS[kind]:
        succeed(clone, "reset", "--hard", "HEAD~1")
        data_is_in_line(clone)
        done = registry(clone, "check")
        assert (" wrong: " in done.stdout, done.stderr) == (False, "")


@pytest.mark.slow
def test_working_trees_of_a_bare_repository(origin: Path, tmp_path: Path) -> None:
    git_in(tmp_path, "clone", "--quiet", "--bare", f"file://{repositories.origin(origin)}", "bare.git")
    bare = tmp_path / "bare.git"
    done = registry(bare, "hooks", "install")
    assert done.returncode == 1
    assert f"{bare} is in a bare repository, which has no working tree" in done.stderr
    assert "hint: git worktree add ../NAME BRANCH; then cd there" in done.stderr
    git_in(bare, "worktree", "add", "--quiet", "../tree", "main")
    tree = tmp_path / "tree"
    equip(tree, origin)
    assert registry(tree, "hooks", "install").returncode == 0
    assert registry(tree, "checkout").returncode == 0
    repositories.dataset(tree, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(tree, "more")
    succeed(tree, "push", "origin", "HEAD:refs/heads/side")
    assert repositories.place(repositories.staging(origin), LATER).exists()
    succeed(tree, "reset", "--hard", "HEAD~1")
    data_is_in_line(tree)


def test_a_working_tree_without_its_settings(built_model: Path) -> None:
    (built_model / "registry.yaml").unlink()
    done = registry(built_model, "list")
    (command,) = [line.partition("hint: ")[2].partition(";")[0] for line in done.stderr.splitlines() if "hint" in line]
    assert repositories.sh(built_model, *command.split()).returncode == 0
    assert registry(built_model, "list").returncode == 0


def test_a_remote_that_has_more_than_the_clone(origin: Path, tmp_path: Path) -> None:
    """Another person pushed meanwhile, or forced: what the remote has and this clone has not is no reason to stop."""
    git_in(tmp_path, "clone", "--quiet", "origin.git", "other")
    other = tmp_path / "other"
    git_in(other, "commit", "--quiet", "--allow-empty", "--amend", "--message", "rewritten")
    git_in(other, "push", "--quiet", "--force", "origin", "HEAD:main", "HEAD:refs/heads/theirs")
    repositories.dataset(origin, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(origin, "more")
    assert "non-fast-forward" in plain_git(origin, "push", "origin", "main").err.replace(
        "fetch first", "non-fast-forward"
    )
    succeed(origin, "push", "--force", "origin", "main")
    assert repositories.place(repositories.staging(origin), LATER).exists()
    succeed(origin, "push", "--mirror", "origin")
    assert "theirs" not in git_in(repositories.origin(origin), "branch")
