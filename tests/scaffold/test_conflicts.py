"""Clones with other line ends, and merges that conflict: what is named, and what `registry check --fix` resolves."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.scaffold import generated_files
from support import repositories, trainable_registry
from support.dataset_builds import PETS, ROWS, Desk, row
from support.repositories import Run

DERIVED = ("CODEOWNERS", "README.md", "dvc.yaml")
PROJECT = Path(__file__).parents[2]
ATTRIBUTES = PROJECT / ".gitattributes"


@pytest.fixture
def listed(built_dataset: Path, run_registry: Run) -> Path:
    """A registry with a dataset, all of whose generated files are committed."""
    (built_dataset / "README.md").write_text(f"# Ours\n\n{generated_files.BEGIN}{generated_files.END}\nMore.\n")
    assert run_registry(built_dataset, "check", "--fix").code == 0
    repositories.commit(built_dataset, "pets")
    return built_dataset


def status(root: Path) -> str:
    return repositories.git_in(root, "status", "--porcelain")


def dvc(root: Path, *args: str) -> str:
    done = repositories.sh(root, str(Path(sys.executable).with_name("dvc")), *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def _trained(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "registry"
    shutil.copytree(_registry, root, symlinks=True)
    (root / "scripts").mkdir()
    for path in (".gitattributes", ".pre-commit-config.yaml", "scripts/hook"):
        shutil.copy(PROJECT / path, root / path)
    (root / "README.md").write_text(f"# Ours\n\n{generated_files.BEGIN}{generated_files.END}\nMore.\n")
    trainable_registry.found(root)
    done = repositories.registry(root, "check", "--fix")
    assert done.returncode == 0, done.stderr
    repositories.commit(root, "a dataset and a model")
    return root


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """A registry with a dataset and a model that is trained on it, and this project's hooks and attributes."""
    return Path(shutil.copytree(_trained, tmp_path / "registry", symlinks=True))


def clone(root: Path, there: Path, *settings: str) -> Path:
    """A clone under these settings, with the data of the original and the hooks that `make setup` installs."""
    options = [word for setting in settings for word in ("-c", setting)]
    repositories.git_in(
        root, "clone", "--quiet", *(word.replace("-c", "--config") for word in options), ".", str(there)
    )
    shutil.copytree(root / ".dvc/cache", there / ".dvc/cache")
    (there / ".venv").symlink_to(sys.prefix)
    assert repositories.sh(there, ".venv/bin/pre-commit", "install").returncode == 0
    dvc(there, "checkout", "--quiet")
    return there


@pytest.mark.parametrize(
    "setting",
    ["core.autocrlf=true", "core.eol=crlf", "core.safecrlf=true", "core.fileMode=false", "core.symlinks=false",
     "core.ignoreCase=true"],
)  # fmt: skip
def test_a_clone_for_windows_is_sound_and_commits(
    trained: Path, run_registry: Run, tmp_path: Path, setting: str
) -> None:
    there = clone(trained, tmp_path / "there", setting)
    done = run_registry(there, "check", "--all", "--fix")
    assert (done.code, done.err) == (0, ""), done.out
    assert status(there) == ""
    assert dvc(there, "status").strip() == "Data and pipelines are up to date."
    (there / "notes.md").write_bytes(b"notes\r\n" if setting == "core.autocrlf=true" else b"notes\n")
    card = there / "datasets/pets/README.md"
    card.write_bytes(card.read_bytes() + b"\nMore.\n")
    repositories.git_in(there, "add", "--all")
    done = repositories.sh(there, "git", "commit", "--message", "notes")
    assert done.returncode == 0, done.stderr
    changed = repositories.git_in(there, "show", "--name-only", "--format=", "HEAD").splitlines()
    assert changed == ["datasets/pets/README.md", "notes.md"]


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.symlinks=false"])
def test_a_clone_for_windows_is_trained(trained: Path, tmp_path: Path, setting: str) -> None:
    there = clone(trained, tmp_path / "there", setting)
    locked = (there / "models/pets/dvc.lock").read_bytes()
    trainable_registry.train(there, "--force")
    assert (there / "models/pets/dvc.lock").read_bytes() == locked
    assert status(there) == ""


def test_a_clone_with_crlf_is_told_so_and_mended(trained: Path, run_registry: Run, tmp_path: Path) -> None:
    (trained / ".gitattributes").unlink()
    repositories.commit(trained, "no attributes")
    there = clone(trained, tmp_path / "there", "core.autocrlf=true")
    hook = there / "scripts/hook"
    mode = hook.stat().st_mode
    assert "modified" in dvc(there, "status")
    done = run_registry(there, "check", "--all")
    fault = "has CRLF line ends in the working tree, expected LF as in Git; so have datasets/pets/README.md"
    assert f"datasets/pets/.gitignore: wrong: {fault}" in done.out
    assert "dvc repro" not in done.out
    assert "\n  hint: registry check --fix" in done.out
    done = run_registry(there, "check", "--fix")
    assert done.code == 0, done.out
    assert "wrote models/pets/train.py with LF line ends" in done.err
    assert hook.stat().st_mode == mode
    assert status(there) == ""
    assert dvc(there, "status").strip() == "Data and pipelines are up to date."


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
    assert ("[line-ends]" in done.out) == (b"\r" in (there / "models/pets/train.py").read_bytes())
    before = {path: path.read_bytes() for path in there.glob("*/*/*.md")}
    done = run_registry(there, "check", "--fix")
    assert {path: path.read_bytes() for path in there.glob("*/*/*.md")} == {
        path: data.replace(b"\r\n", b"\n") for path, data in before.items()
    }
    assert "[line-ends]" not in done.out
    assert status(there) == ""


def test_a_file_that_an_editor_saved_with_crlf_is_current(listed: Path, run_registry: Run) -> None:
    for path in (*DERIVED, "datasets/pets/README.md", "datasets/pets/dataset.yaml"):
        file = listed / path
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = run_registry(listed, "check")
    assert "does not match" not in done.out
    fault = "has CRLF line ends in the working tree, expected LF as in Git; so has datasets/pets/dataset.yaml"
    assert f"datasets/pets/README.md: wrong: {fault}" in done.out
    before = {path: (listed / path).read_bytes() for path in DERIVED}
    assert run_registry(listed, "check", "--fix").code == 0
    assert {path: (listed / path).read_bytes() for path in DERIVED} == before
    assert b"\r" not in (listed / "datasets/pets/dataset.yaml").read_bytes()


def test_windows_batch_files_may_have_crlf(listed: Path, run_registry: Run) -> None:
    (listed / ".gitattributes").write_text("* text=auto eol=lf\n*.bat eol=crlf\n")
    repositories.write_bytes(listed / "scripts/open.bat", b"echo\r\n")
    repositories.commit(listed, "files for Windows")
    assert run_registry(listed, "check").code == 0


def bump_pets(root: Path) -> None:
    repositories.dataset(root, "pets", repositories.MORE_PETS, "1.1.0")


def bump_model(root: Path) -> None:
    repositories.model(root, "pets", b"better weights", "1.1.0")


def add_dataset(name: str) -> Callable[[Path], None]:
    return lambda root: repositories.dataset(root, name, repositories.PETS, "1.0.0")


def add_model(name: str) -> Callable[[Path], None]:
    return lambda root: repositories.model(root, name, b"weights", "1.0.0")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (bump_pets, add_model("another")), (bump_pets, add_dataset("pigs")), (bump_pets, add_dataset("birds")),
        (add_dataset("zebras"), add_model("ants")), (add_dataset("birds"), add_dataset("zebras")),
        (bump_pets, bump_model), (bump_model, add_dataset("pigs")), (bump_model, add_model("zebras")),
    ],
    ids=["bump, model", "bump, next dataset", "bump, dataset before", "dataset, model", "two datasets", "two bumps",
         "bump of a model, dataset", "bump of a model, next model"],
)  # fmt: skip
def test_independent_pull_requests_do_not_conflict(
    built_model: Path, run_registry: Run, one: Callable[[Path], None], other: Callable[[Path], None]
) -> None:
    """`git merge-tree` is what GitHub's merge does."""
    root = built_model
    (root / "README.md").write_text(f"# Ours\n\n{generated_files.BEGIN}{generated_files.END}\nMore.\n")
    assert run_registry(root, "check", "--fix").code == 0
    repositories.commit(root, "generated files")
    for name, change in (("one", one), ("other", other)):
        repositories.git_in(root, "switch", "--quiet", "--create", name, "main")
        change(root)
        run_registry(root, "check", "--fix")
        repositories.commit(root, name)
        repositories.git_in(root, "clean", "--quiet", "-ffdx", "datasets", "models")
    done = repositories.sh(root, "git", "merge-tree", "--write-tree", "--name-only", "one", "other")
    assert done.returncode == 0, done.stdout
    repositories.git_in(root, "merge", "--quiet", "--no-edit", "one")
    assert "does not match" not in run_registry(root, "check").out


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


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_two_branches_that_built_are_merged_as_contributing_says(
    registry_repo: Path, run_registry: Run, side: str
) -> None:
    root, desk = registry_repo, Desk(registry_repo, run_registry)
    for number in range(44):
        desk.put(number)
    paths = [f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"]
    base, *branches = [ROWS, (*ROWS, row(40), row(41)), (*ROWS, row(42), row(43))]
    for name, rows in (("base", base), *zip(("one", "other"), branches, strict=True)):
        repositories.git_in(root, "switch", "--quiet", *(["main"] if name == "base" else ["--create", name, "main"]))
        desk.select(rows)
        desk.built()
        run_registry(root, "check", "--fix")
        repositories.commit(root, name)
    assert repositories.sh(root, "git", "merge", "one").returncode != 0
    assert repositories.git_in(root, "diff", "--name-only", "--diff-filter=U").splitlines() == sorted(paths)
    for path in paths:
        done = run_registry(root, "check")
        assert done.code == 1
        assert f"{path}:" in done.out
        assert f"git checkout HEAD -- {path}" in done.out
    repositories.git_in(root, "checkout", f"--{side}", "--", *paths)
    desk.select((*ROWS, *map(row, range(40, 44))))
    desk.built()
    done = run_registry(root, "check", "--fix")
    assert done.code == 0, done.out
    repositories.git_in(root, "add", *paths)
    repositories.git_in(root, "commit", "--quiet", "--no-edit", "--no-verify")
    assert sum(len(desk.table(split)) for split in repositories.SPLITS) == 44


def test_a_dataset_that_both_branches_added_is_one_conflict(registry_repo: Path, run_registry: Run) -> None:
    root = registry_repo
    for name, images in (("one", repositories.PETS), ("other", repositories.MORE_PETS)):
        repositories.git_in(root, "switch", "--quiet", "--create", name, "main")
        repositories.dataset(root, "pets", images, "1.0.0", title=name)
        repositories.commit(root, name)
    assert repositories.sh(root, "git", "merge", "one").returncode != 0
    done = run_registry(root, "check")
    assert f"{PETS}/dataset.yaml:4: wrong: unresolved merge conflict" in done.out
    assert f"hint: edit the file to what both sides want, then git add {PETS}/dataset.yaml" in done.out
    files = [f"{PETS}/{name}" for name in ("dataset.yaml", "raw.dvc", "prepared.dvc")]
    repositories.git_in(root, "checkout", "--theirs", "--", *files)
    repositories.git_in(root, "add", *files)
    assert run_registry(root, "check", "--fix").code == 0


def test_a_pointer_that_one_branch_deleted_is_whole(registry_repo: Path, run_registry: Run) -> None:
    """Git leaves the changed file without markers: the other side's."""
    root = registry_repo
    repositories.dataset(root, "pets", repositories.PETS, "1.0.0")
    repositories.commit(root, "pets")
    repositories.git_in(root, "switch", "--quiet", "--create", "bump")
    bump_pets(root)
    repositories.commit(root, "bump")
    repositories.git_in(root, "switch", "--quiet", "--create", "delete", "main")
    repositories.git_in(root, "rm", "-r", "--quiet", PETS)
    repositories.git_in(root, "commit", "--quiet", "--no-verify", "--message", "delete")
    assert repositories.sh(root, "git", "merge", "bump").returncode != 0
    assert "merge conflict" not in run_registry(root, "check").out
    assert run_registry(root, "check", "--staged").refused("has unresolved conflicts")
    repositories.git_in(root, "rm", "-r", "-f", "--quiet", PETS)
    assert "unresolved" not in run_registry(root, "check", "--staged").out


@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_a_conflict_in_the_front_matter_of_a_card_is_called_one(listed: Path, run_registry: Run, style: str) -> None:
    root, path = listed, f"{PETS}/README.md"
    repositories.git_in(root, "config", "merge.conflictStyle", style)
    for name in ("one", "other"):
        repositories.git_in(root, "switch", "--quiet", "--create", name, "main")
        card = root / path
        card.write_text(card.read_text().replace("license: cc-by-4.0\n", f"license: cc-by-4.0\nlanguage: {name}\n"))
        run_registry(root, "check", "--fix")
        repositories.commit(root, name)
    assert repositories.sh(root, "git", "merge", "one").returncode != 0
    done = run_registry(root, "check")
    assert done.code == 1
    assert f"{path}:" in done.out
    assert "unresolved merge conflict" in done.out


def test_a_pointer_in_conflict_is_called_one(built_dataset: Path, run_registry: Run) -> None:
    file = built_dataset / "datasets/pets/prepared.dvc"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(
        "".join([lines[0], "<<<<<<< HEAD\n", *lines[1:2], "=======\n", *lines[1:2], ">>>>>>> x\n", *lines[2:]])
    )
    done = run_registry(built_dataset, "check")
    assert done.code == 1
    assert "datasets/pets/prepared.dvc:2: wrong: unresolved merge conflict" in done.out
    assert "hint: git checkout HEAD -- datasets/pets/prepared.dvc" in done.out


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


def test_the_encoding_of_a_card_never_makes_a_second_front_matter(listed: Path, run_registry: Run) -> None:
    card = listed / "datasets/pets/README.md"
    text = card.read_text()
    for before in (b"\xef\xbb\xbf" + text.encode(), b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()):
        card.write_bytes(before)
        assert run_registry(listed, "check", "--fix").code == 0
        assert card.read_text() == text
    for encoding in ("utf-16", "utf-16-le"):
        card.write_bytes(text.encode(encoding))
        assert "not UTF-8 text" in run_registry(listed, "check").out
        assert run_registry(listed, "check", "--fix").refused("datasets/pets/README.md", "not UTF-8 text")
        assert card.read_bytes() == text.encode(encoding)


STOPS = {  # how a conflict comes about in files that no command parses
    "merge": ("merge", "side"),
    "rebase": ("rebase", "side"),
    "cherry-pick": ("cherry-pick", "side"),
    "revert": ("revert", "--no-edit", "HEAD~1"),
    "stash pop": ("stash", "pop"),
    "am -3": ("am", "--quiet", "-3", "../0001-side.patch"),
    "checkout -m": ("checkout", "--quiet", "--merge", "side"),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
def test_markers_that_were_added_are_not_committed(built_model: Path, run_registry: Run, stop: str, style: str) -> None:
    """Git takes a file with markers after `git add`; the check of the commit does not."""
    root, files = built_model, ("notes.md", "models/pets/train.py", "datasets/pets/prepared.dvc")
    repositories.git_in(root, "config", "merge.conflictStyle", style)

    def change(word: str) -> None:
        for path in files:
            (root / path).write_text(f"{word}\n")

    change("base")
    repositories.commit(root, "base")
    repositories.git_in(root, "switch", "--quiet", "--create", "side")
    change("side")
    repositories.commit(root, "side")
    repositories.git_in(root, "format-patch", "--quiet", "-1", "-o", "..")
    repositories.git_in(root, "switch", "--quiet", "main")
    if stop in {"stash pop", "checkout -m"}:
        change("mine")
    if stop == "stash pop":
        repositories.git_in(root, "stash", "--quiet")
    if stop != "checkout -m":
        for word in ("other", "third"):
            change(word)
            repositories.commit(root, word)
    done = repositories.sh(root, "git", *STOPS[stop])
    assert [path for path in files if b"<<<<<<<" in (root / path).read_bytes()] == list(files), done.stderr
    found = run_registry(root, "check").out
    for path in files:
        assert f"{path}:1: wrong: unresolved merge conflict" in found
    repositories.git_in(root, "add", "--all")
    done = run_registry(root, "check", "--staged")
    assert done.code == 1
    for path in files:
        assert f"{path}:1: wrong: unresolved merge conflict" in done.out
    repositories.git_in(root, "checkout", "HEAD", "--", files[-1])
    assert files[-1] not in run_registry(root, "check", "--staged").out.replace(f"{files[-1]}: wrong", "")


# --- a part of a working tree -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--cone", "--sparse-index"), ("--no-cone",)], ids=" ".join)
def test_what_a_sparse_checkout_leaves_out_is_not_deleted(
    listed: Path, run_registry: Run, options: tuple[str, ...]
) -> None:
    root = listed
    repositories.dataset(root, "birds", repositories.PETS, "1.0.0")
    assert run_registry(root, "check", "--fix").code == 0
    repositories.commit(root, "birds")
    whole = run_registry(root, "check").out
    patterns = ("/*", "!/datasets/*", "/datasets/birds/") if options == ("--no-cone",) else (".dvc", "datasets/birds")
    repositories.git_in(root, "sparse-checkout", "set", *options, *patterns)
    assert not (root / "datasets/pets/dataset.yaml").exists()
    done = run_registry(root, "check", "--fix")
    assert (done.out, done.err) == (whole, ""), "nothing is written"
    assert status(root) == ""
    assert "datasets/pets " in run_registry(root, "list").out
    assert "removed" not in run_registry(root, "check", "--base", "HEAD").out
    manifest = root / "datasets/birds/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("@acme/vision", "@acme/birds"))
    assert run_registry(root, "check", "--fix").code == 0
    owners = (root / "CODEOWNERS").read_text()
    assert "@acme/birds" in owners
    assert "/datasets/pets/" in owners
    for name in ("birds", "pets"):
        shutil.rmtree(root / f"datasets/{name}/prepared", ignore_errors=True)
    assert "pets" not in run_registry(root, "pull").out
    assert not (root / "datasets/pets/prepared").exists()
    assert (root / "datasets/birds/prepared").exists()
