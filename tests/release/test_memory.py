"""What is remembered of releases: they are as Git has them, whatever becomes of the file."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.integrations import git_trees
from registry.release import history, memory
from support import repositories
from support.repositories import Run


def releases(root: Path) -> tuple[history.Release, ...]:
    return history.read(root, git_trees.WorkTree(root))


def rows(root: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(root / memory.PATH) as database:
        return database.execute("SELECT reader, artifact, name FROM files").fetchall()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The revisions of which files are read."""
    revisions: list[str] = []
    read = git_trees.History.read

    def note(self: git_trees.History, revision: str, path: str) -> bytes | None:
        revisions.append(revision)
        return read(self, revision, path)

    monkeypatch.setattr(git_trees.History, "read", note)
    return revisions


def test_a_release_is_read_from_git_once(released_model: Path, asked: list[str]) -> None:
    first = releases(released_model)
    commits = {one.commit for one in first}
    assert commits <= set(asked)
    asked.clear()
    assert releases(released_model) == first
    assert not commits & set(asked)
    assert [str(one.tag) for one in first] == ["datasets/pets@v1.0.0", "models/pets@v1.0.0"]
    assert all(one.version for one in first)


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def another_table(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE files")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [garbage, cut, another_table, a_folder, Path.unlink])
def test_whatever_becomes_of_the_file(harm: Callable[[Path], None], released_model: Path, asked: list[str]) -> None:
    first = releases(released_model)
    harm(released_model / memory.PATH)
    for _ in range(2):
        assert releases(released_model) == first
    assert harm is a_folder or rows(released_model)


def test_other_code_or_another_schema_reads_again(
    released_model: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = releases(released_model)
    before = rows(released_model)
    asked.clear()
    monkeypatch.setattr(memory, "_reader", lambda: "another")
    assert releases(released_model) == first
    assert {one.commit for one in first} <= set(asked)
    assert rows(released_model) == [("another", *row[1:]) for row in before]


def test_what_has_a_fault_is_not_remembered(released_model: Path, run_registry: Run) -> None:
    """A newer tooling may understand it, and `registry check` says what is wrong."""
    (released_model / "datasets/pets/raw.dvc").write_text("outs: []\n")
    repositories.commit(released_model, "broken")
    repositories.git_in(released_model, "tag", "-a", "-m", "x", "datasets/pets@v1.1.0")
    first = releases(released_model)
    assert releases(released_model) == first
    assert len([row for row in rows(released_model) if row[1:] == ("datasets/pets", "dataset.yaml")]) == 1


def test_without_a_right_to_write(released_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory, "_write", refuse)
    assert releases(released_model)
    assert not (released_model / memory.PATH).exists()
