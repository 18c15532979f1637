"""What Git makes of files in a working tree, asked of Git itself."""

from pathlib import Path

import pytest

from support import repositories
from support.repositories import Run

PETS = "datasets/pets"


def wrongs(text: str) -> list[str]:
    return [line for line in text.splitlines() if "[attributes]" in line]


@pytest.mark.parametrize(
    ("line", "named", "path"),
    [
        ("* filter=print", "filter=print", ".dvc/config"),
        ("*.dvc filter=lfs diff=lfs merge=lfs -text", "filter=lfs", f"{PETS}/prepared.dvc"),
        ("dataset.yaml ident", "ident", f"{PETS}/dataset.yaml"),
        ("*.yaml working-tree-encoding=UTF-16", "working-tree-encoding=UTF-16", f"{PETS}/dataset.yaml"),
        ("*.py text eol=crlf", "eol=crlf", "models/pets/train.py"),
        ("/models/**/train.py eol=crlf", "eol=crlf", "models/pets/train.py"),
        ("*.lock export-subst", "export-subst", "models/pets/dvc.lock"),
        ("[attr]odd filter=odd\nmetrics.json odd", "filter=odd", "models/pets/metrics.json"),
        ("registry.yaml filter=clean ident", "filter=clean and ident", "registry.yaml"),
    ],
)
@pytest.mark.parametrize("scope", ["--all", "--staged", "--base=HEAD"])
def test_an_attribute_that_converts_what_dvc_reads_is_refused(
    built_model: Path, run_registry: Run, line: str, named: str, path: str, scope: str
) -> None:
    (built_model / ".gitattributes").write_text(f"{line}\n")
    repositories.git_in(built_model, "add", ".gitattributes")
    done = run_registry(built_model, "check", scope)
    assert done.code == 1
    (found,) = wrongs(done.out)
    assert found.startswith(f"{path}: wrong: Git converts it by the attribute {named}, expected no conversion")


@pytest.mark.parametrize("folder", ["datasets/pets", "datasets", ".git/info"])
def test_attributes_of_any_folder_count(built_model: Path, run_registry: Run, folder: str) -> None:
    file = built_model / folder / ("attributes" if folder == ".git/info" else ".gitattributes")
    repositories.write_bytes(file, b"prepared.dvc filter=other\n")
    repositories.git_in(built_model, "add", "--all")
    (found,) = wrongs(run_registry(built_model, "check").out)
    assert found.startswith(f"{PETS}/prepared.dvc: wrong: ")


@pytest.mark.parametrize(
    "line",
    ["* text=auto eol=lf", "*.dvc -text -filter !ident", "*.py diff=python", "docs/** filter=lfs", "*.bat eol=crlf"],
)
def test_other_attributes_are_allowed(built_model: Path, run_registry: Run, line: str) -> None:
    (built_model / ".gitattributes").write_text(f"{line}\n")
    (built_model / "run.bat").write_text("echo\n")
    repositories.git_in(built_model, "add", ".gitattributes")
    assert wrongs(run_registry(built_model, "check").out) == []


def test_a_commit_that_adds_no_attribute_asks_for_its_own_files_only(built_model: Path, run_registry: Run) -> None:
    (built_model / ".gitattributes").write_text("model.yaml filter=odd\n")
    repositories.commit(built_model, "attributes")
    (built_model / "datasets/pets/notes.md").write_text("notes\n")
    repositories.git_in(built_model, "add", "--all")
    assert wrongs(run_registry(built_model, "check", "--staged").out) == []
    (built_model / "models/pets/model.yaml").write_text("name: pets\n")
    repositories.git_in(built_model, "add", "--all")
    assert len(wrongs(run_registry(built_model, "check", "--staged").out)) == 1


def test_the_executable_bit_makes_no_difference(built_model: Path, run_registry: Run) -> None:
    before = run_registry(built_model, "check").out
    for file in built_model.rglob("*.*"):
        if file.is_file() and "cache" not in file.parts and file.suffix in (".yaml", ".dvc", ".py", ".lock"):
            file.chmod(0o755)
    assert run_registry(built_model, "check").out == before
