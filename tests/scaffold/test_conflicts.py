"""Clones with other line ends, and merges that conflict: what is named, and what `registry check --fix` resolves."""

import shutil
from pathlib import Path

import pytest

from registry.scaffold import generated_files
from support import repositories
from support.repositories import Run

DERIVED = ("CODEOWNERS", "README.md", "dvc.yaml")
ATTRIBUTES = Path(__file__).parents[2] / ".gitattributes"


@pytest.fixture
def listed(built_dataset: Path, run_registry: Run) -> Path:
    """A registry with a dataset, all of whose generated files are committed."""
    (built_dataset / "README.md").write_text(f"# Ours\n\n{generated_files.BEGIN}{generated_files.END}\nMore.\n")
    assert run_registry(built_dataset, "check", "--fix").code == 0
    repositories.commit(built_dataset, "pets")
    return built_dataset


def status(root: Path) -> str:
    return repositories.git_in(root, "status", "--porcelain")


@pytest.mark.parametrize("attributes", [True, False], ids=["with attributes", "without"])
@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.autocrlf=input", "core.eol=crlf"])
def test_an_untouched_clone_is_current(
    built_model: Path, run_registry: Run, tmp_path: Path, setting: str, attributes: bool
) -> None:
    if attributes:
        (built_model / ".gitattributes").write_bytes(ATTRIBUTES.read_bytes())
    assert run_registry(built_model, "check", "--fix").code in {0, 1}
    repositories.commit(built_model, "all")
    repositories.git_in(tmp_path, "-c", setting, "clone", "--quiet", str(built_model), "there")
    there = tmp_path / "there"
    repositories.git_in(there, "config", *setting.split("="))
    if attributes:
        assert b"\r" not in (there / "CODEOWNERS").read_bytes()
    done = run_registry(there, "check", "--all")
    assert "does not match the manifests" not in done.out
    before = {path: path.read_bytes() for path in there.rglob("*.md")}
    run_registry(there, "check", "--fix")
    assert {path: path.read_bytes() for path in there.rglob("*.md")} == before
    assert status(there) == ""


def test_a_file_that_an_editor_saved_with_crlf_is_current(listed: Path, run_registry: Run) -> None:
    for path in (*DERIVED, "datasets/pets/README.md", "datasets/pets/dataset.yaml"):
        file = listed / path
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    before = {path: (listed / path).read_bytes() for path in (*DERIVED, "datasets/pets/README.md")}
    assert "does not match" not in run_registry(listed, "check").out
    run_registry(listed, "check", "--fix")
    assert {path: (listed / path).read_bytes() for path in before} == before


@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
@pytest.mark.parametrize("command", ["merge", "rebase", "cherry-pick"])
def test_generated_files_in_conflict_are_made_again(listed: Path, run_registry: Run, style: str, command: str) -> None:
    root = listed
    repositories.git_in(root, "config", "merge.conflictStyle", style)
    main = repositories.git_in(root, "branch", "--show-current")
    for name in ("birds", "fish"):
        repositories.git_in(root, "switch", "--quiet", "--create", name, main)
        repositories.dataset(root, name, repositories.PETS, "1.0.0")
        run_registry(root, "check", "--fix")
        repositories.commit(root, name)
        for folder in ("raw", "prepared"):  # of no use on another branch
            shutil.rmtree(root / f"datasets/{name}/{folder}")
    repositories.sh(root, "git", command, "birds")
    conflicted = [path for path in DERIVED if b"<<<<<<<" in (root / path).read_bytes()]
    assert conflicted
    assert run_registry(root, "check", "--fix").code == 0
    repositories.git_in(root, "add", *conflicted)
    for path in DERIVED:
        text = (root / path).read_text()
        assert "<<<<" not in text
        assert "====" not in text
        assert {name for name in ("birds", "fish", "pets") if f"datasets/{name}" in text} == {"birds", "fish", "pets"}
    assert repositories.git_in(root, "diff", "--name-only", "--diff-filter=U") == ""


def test_a_pointer_in_conflict_is_called_one(built_dataset: Path, run_registry: Run) -> None:
    file = built_dataset / "datasets/pets/prepared.dvc"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(
        "".join([lines[0], "<<<<<<< HEAD\n", *lines[1:2], "=======\n", *lines[1:2], ">>>>>>> x\n", *lines[2:]])
    )
    done = run_registry(built_dataset, "check")
    assert done.code == 1
    assert "datasets/pets/prepared.dvc:2: wrong: unresolved merge conflict" in done.out
    assert "hint: git checkout --ours -- datasets/pets/prepared.dvc" in done.out


def test_line_ends_are_no_difference() -> None:
    assert generated_files.is_current(b"a\r\nb\r\n", b"a\nb\n")
    assert not generated_files.is_current(b"a\r\nc\r\n", b"a\nb\n")


def test_a_registry_in_a_folder_of_a_repository_is_told(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    outer = tmp_path / "mono"
    outer.mkdir()
    repositories.git_in(tmp_path, "init", "--quiet", "mono")
    inner = outer / "data/registry"
    inner.mkdir(parents=True)
    (inner / "registry.yaml").write_bytes((registry_repo / "registry.yaml").read_bytes())
    done = run_registry(inner, "list")
    assert done.refused(f"{inner} is a folder of the Git repository {outer}, expected its root")
