"""The hooks, by really committing, pushing and checking out, in a shell where no environment is active."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from conftest import copy
from registry.integrations.git_hooks import Push, parse_pre_push
from support import model_files, repositories
from support.git_shell import BARE, plain_git

PROJECT = Path(__file__).parents[2]
NULL = "0" * 40


def commit(root: Path) -> repositories.Outcome:
    repositories.git_in(root, "add", "--all")
    return plain_git(root, "commit", "--message", "a change")


# --- commit -----------------------------------------------------------------------------------------------------------


def test_a_good_commit_passes(hooked: Path) -> None:
    repositories.dataset(hooked, "pets", repositories.PETS, "1.0.1", description="Cats and dogs at home.")
    repositories.registry(hooked, "check", "--fix")
    done = commit(hooked)
    assert done.code == 0, done.err
    assert re.search(r"registry check\.+Passed", done.err)


def test_a_bad_manifest_is_stopped_with_the_right_words(hooked: Path) -> None:
    manifest = hooked / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("license: CC-BY-4.0", "license: CC-BY-4.O"))
    done = commit(hooked)
    assert done.code == 1
    assert re.search(r"registry check\.+Failed", done.err)
    assert "datasets/pets/dataset.yaml:8: wrong: license" in done.err
    assert "\n  hint: " in done.err


def test_a_commit_that_only_deletes_a_pointer_is_checked(hooked: Path) -> None:
    (hooked / "datasets/pets/raw.dvc").unlink()
    done = commit(hooked)
    assert re.search(r"registry check\.+(Passed|Failed)", done.err)


def test_what_the_standard_hooks_stop_and_what_they_leave_alone(hooked: Path) -> None:
    (hooked / "weights.bin").write_bytes(bytes(600_000))
    (hooked / "a.txt").write_text("x\n")
    (hooked / "A.txt").write_text("x\n")
    (hooked / "notes.md").write_text("no newline at the end")
    (hooked / ".github/workflows").mkdir(parents=True)
    (hooked / ".github/workflows/one.yml").write_text("on: push\njobs:\n  a: {runs-on: ubuntu-latest, stepz: []}\n")
    for name in ("train.py", "metrics.json", "dvc.lock"):
        file = hooked / "models/pets" / name
        file.write_bytes(file.read_bytes().rstrip(b"\n") + b"   ")
    done = commit(hooked)
    assert done.code == 1
    assert "weights.bin (586 KB) exceeds 500 KB" in done.err
    assert "Case-insensitivity conflict found: " in done.err
    assert "Fixing notes.md" in done.err
    assert re.search(r"workflows keep GitHub's schema\.+Failed", done.err)
    assert "Fixing models" not in done.err, "DVC has hashed these: the model would be trained again"


def test_from_a_linked_worktree(hooked: Path, tmp_path: Path) -> None:
    done = plain_git(hooked, "worktree", "add", "-b", "side", str(tmp_path / "linked"))
    assert done.code == 0, done.err
    (tmp_path / "linked/notes.md").write_text("notes\n")
    done = commit(tmp_path / "linked")
    assert done.code == 0, done.err
    assert re.search(r"registry check\.+Passed", done.err)


def test_without_an_environment_the_launcher_says_what_to_do(hooked: Path) -> None:
    (hooked / ".venv").unlink()
    done = repositories.sh(hooked, "scripts/hook", "registry", "check", env=BARE)
    assert (done.returncode, done.stderr) == (1, "registry is not installed here; hint: make setup\n")


# --- push -------------------------------------------------------------------------------------------------------------


def test_every_commit_of_a_push_is_staged(hooked: Path) -> None:
    shutil.rmtree(hooked / ".registry/staging")
    repositories.dataset(hooked, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(hooked, "more pets")
    repositories.dataset(hooked, "pets", repositories.PETS, "1.1.0")
    repositories.commit(hooked, "no, they were right")
    done = plain_git(hooked, "push", "--set-upstream", "origin", "main")
    assert done.code == 0, done.err
    cache = repositories.snapshot(hooked / ".dvc/cache/files")
    assert repositories.snapshot(hooked / ".registry/staging/files") == cache
    assert repositories.md5(b"a cat that came later") in cache.values()
    (hooked / "notes.md").write_text("notes\n")
    repositories.commit(hooked, "words")
    done = plain_git(hooked, "push", "origin", "main")
    assert done.code == 0
    assert "objects" not in done.err.replace("registry push (objects", ""), "no pointer changed: nothing to say"


def test_a_push_whose_data_is_nowhere_is_stopped(hooked: Path) -> None:
    repositories.dataset(hooked, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(hooked, "more pets")
    repositories.place(hooked / ".dvc/cache", repositories.md5(b"a cat that came later")).unlink()
    done = plain_git(hooked, "push", "origin", "main")
    assert done.code == 1
    assert "objects are missing: not in a cache" in done.err
    assert "datasets/pets in commit" in done.err
    assert repositories.git_in(hooked, "ls-remote", "origin") == ""


@pytest.fixture(scope="module")
def _two_branches(_hooked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    hooked = copy(_hooked, tmp_path_factory.mktemp("two_branches"))
    repositories.git_in(hooked, "push", "--quiet", "--no-verify", "origin", "main")
    for number, name in enumerate(("one", "two")):
        repositories.git_in(hooked, "switch", "--quiet", "--create", name, "main")
        images = {**repositories.PETS, f"test/cat/0a8c7f6e-0000-4000-8000-00000000001{number}.jpg": name.encode()}
        repositories.dataset(hooked, "pets", images, "1.1.0")
        repositories.commit(hooked, name)
    repositories.git_in(hooked, "tag", "--annotate", "--message", "two", "tag-of-two", "two")
    repositories.git_in(hooked, "tag", "light-two", "two")
    shutil.rmtree(hooked / ".registry/staging")
    return hooked


@pytest.fixture
def two_branches(_two_branches: Path, tmp_path: Path) -> Path:
    """`one` and `two` have versions of their own, of which staging has nothing."""
    return copy(_two_branches, tmp_path)


ONE, TWO = repositories.md5(b"one"), repositories.md5(b"two")


@pytest.mark.parametrize(
    ("command", "staged"),
    [
        ("push origin one two", (True, True)),
        ("push origin two", (False, True)),
        ("push --all origin", (True, True)),
        ("push --mirror origin", (True, True)),
        ("push origin tag-of-two", (False, True)),
        ("push --tags origin", (False, True)),
        ("push --follow-tags origin two", (False, True)),
        ("push origin main one:refs/for/main", (True, False)),
        ("push origin two~0:refs/heads/other", (False, True)),
        ("push --force origin one:main", (True, False)),
        ("push ../origin.git one two", (True, True)),
        ("push --atomic origin one two :main", (True, True)),
        ("push origin :main", (False, False)),
        ("push --dry-run origin one", (True, False)),
        ("push origin main", (False, False)),
    ],
)
def test_every_ref_of_a_push_counts(two_branches: Path, command: str, staged: tuple[bool, bool]) -> None:
    repositories.git_in(repositories.origin(two_branches), "config", "receive.denyDeleteCurrent", "ignore")
    done = plain_git(two_branches, *command.split())
    assert done.code == 0, done.err
    store = repositories.staging(two_branches)
    assert tuple(repositories.place(store, md5).exists() for md5 in (ONE, TWO)) == staged


@pytest.mark.parametrize(
    "command", ["push origin one two", "push origin two one", "push --all origin", "push --mirror origin"]
)
def test_one_ref_whose_data_is_nowhere_stops_the_push(two_branches: Path, command: str) -> None:
    before = repositories.git_in(two_branches, "ls-remote", "origin")
    repositories.place(two_branches / ".dvc/cache", TWO).unlink()
    done = plain_git(two_branches, *command.split())
    assert done.code == 1
    assert "datasets/pets in commit" in done.err
    assert repositories.git_in(two_branches, "ls-remote", "origin") == before


def test_a_remote_of_its_own_gets_all_of_history(two_branches: Path) -> None:
    repositories.git_in(two_branches, "init", "--quiet", "--bare", "../second.git")
    repositories.git_in(two_branches, "remote", "add", "second", "../second.git")
    assert plain_git(two_branches, "push", "second", "one").code == 0
    store = repositories.staging(two_branches)
    assert repositories.place(store, repositories.md5(model_files.named(b"weights of 1.0.0"))).exists()
    assert repositories.place(store, ONE).exists()


def test_a_push_from_a_shallow_clone(two_branches: Path) -> None:
    plain_git(two_branches, "push", "origin", "one")
    origin = repositories.origin(two_branches)
    repositories.git_in(origin.parent, "clone", "--quiet", "--depth=1", "--branch=one", f"file://{origin}", "shallow")
    shallow = origin.parent / "shallow"
    (shallow / ".registry").symlink_to(two_branches / ".registry")
    assert repositories.registry(shallow, "hooks", "install").returncode == 0
    (shallow / "notes.md").write_text("notes\n")
    repositories.commit(shallow, "notes")
    done = plain_git(shallow, "push", "origin", "HEAD:refs/heads/shallow")
    assert done.code == 0, done.err
    repositories.dataset(shallow, "pets", repositories.MORE_PETS, "1.2.0")
    repositories.commit(shallow, "more")
    done = plain_git(shallow, "push", "origin", "HEAD:refs/heads/shallow")
    assert done.code == 0, done.err
    assert repositories.place(repositories.staging(two_branches), repositories.md5(b"a cat that came later")).exists()


def test_a_tag_of_a_file_needs_nothing(two_branches: Path) -> None:
    repositories.git_in(two_branches, "tag", "--annotate", "--message", "words", "words", "main:registry.yaml")
    assert plain_git(two_branches, "push", "origin", "words").code == 0


def test_what_git_tells() -> None:
    lines = [
        f"refs/heads/main {'b' * 40} refs/heads/main {'a' * 40}\n",
        f"refs/heads/new {'c' * 40} refs/heads/new {NULL}\n",
        f"(delete) {NULL} refs/heads/old {'d' * 40}\n",
    ]
    told = parse_pre_push(("up", "git@example.com:up"), lines)
    assert told == Push("up", "git@example.com:up", ("b" * 40, "c" * 40), ("a" * 40, "d" * 40))
    sha256 = [f"(delete) {'0' * 64} refs/heads/old {'d' * 64}\n"]
    assert parse_pre_push(("up", "u"), sha256).tips == ()


# --- for others -------------------------------------------------------------------------------------------------------


def test_other_repositories_get_the_same_hook() -> None:
    """The one of a commit: pre-commit tells a hook one ref of a push only, and runs what a branch configures."""
    ours = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (theirs,) = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text())
    (mine,) = [hook for hook in ours if hook["id"] == theirs["id"]]
    mine["entry"] = mine["entry"].removeprefix("scripts/hook ")
    assert theirs == {**mine, "stages": ["pre-commit"], "language": "python", "description": theirs["description"]}
    assert {stage for hook in ours for stage in hook.get("stages", [])} <= {"pre-commit"}


@pytest.mark.parametrize(
    ("kind", "file"), [("config", ".pre-commit-config.yaml"), ("manifest", ".pre-commit-hooks.yaml")]
)
def test_pre_commit_accepts_the_files(kind: str, file: str) -> None:
    done = repositories.sh(PROJECT, str(Path(sys.executable).with_name("pre-commit")), f"validate-{kind}", file)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
