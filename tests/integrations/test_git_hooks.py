"""The hooks, by really committing, pushing and checking out, in a shell where no environment is active."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from registry.integrations import git, git_hooks
from registry.integrations.git_hooks import HeadChange
from support import repositories

PROJECT = Path(__file__).parents[2]
CAT = repositories.md5(b"one cat")
BARE = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture(scope="session")
def _hooked(_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hooked") / "registry"
    shutil.copytree(_model, root, symlinks=True)
    (root / "scripts").mkdir()
    shutil.copy(PROJECT / ".pre-commit-config.yaml", root)
    shutil.copy(PROJECT / "scripts/hook", root / "scripts/hook")
    (root / ".venv").symlink_to(sys.prefix)
    assert repositories.registry(root, "check", "--fix", "--all").returncode == 0
    repositories.commit(root, "hooks")
    repositories.add_origin(root)
    assert repositories.sh(root, ".venv/bin/pre-commit", "install", "--allow-missing-config").returncode == 0
    return root


@pytest.fixture
def hooked(_hooked: Path, tmp_path: Path) -> Path:
    """`built_model` with the hooks that `make setup` installs, its .venv in place, an empty `origin.git` beside it."""
    shutil.copytree(_hooked.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "registry"


def plain_git(root: Path, *args: str) -> repositories.Outcome:
    """Git in a shell that knows nothing but HOME and a plain PATH."""
    env = {"HOME": repositories.os.environ["HOME"], **BARE}
    done = repositories.sh(root, "git", *args, env=env)
    return repositories.Outcome(done.returncode, done.stdout, re.sub(r"\x1b\[[0-9;]*m", "", done.stderr + done.stdout))


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


# --- checkout ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_versions(hooked: Path) -> Path:
    """`hooked`, tagged `v1`, then a second version of its dataset."""
    repositories.git_in(hooked, "tag", "v1")
    repositories.dataset(hooked, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(hooked, "more pets")
    return hooked


def images(root: Path) -> set[str]:
    return {path for path in repositories.snapshot(root / "datasets/pets/prepared") if path.endswith(".jpg")}


def test_checking_out_a_tag_links_its_data(two_versions: Path) -> None:
    assert images(two_versions) == set(repositories.MORE_PETS)
    assert plain_git(two_versions, "checkout", "v1").code == 0
    assert images(two_versions) == set(repositories.PETS)
    assert plain_git(two_versions, "checkout", "main").code == 0
    assert images(two_versions) == set(repositories.MORE_PETS)
    image = two_versions / "datasets/pets/prepared/test/cat/0a8c7f6e-0000-4000-8000-000000000006.jpg"
    cached = repositories.place(two_versions / ".dvc/cache", repositories.md5(b"a cat that came later"))
    assert image.samefile(cached), "a link, not a copy"


def test_what_is_missing_is_told_and_the_checkout_succeeds(two_versions: Path) -> None:
    repositories.stage(two_versions)
    plain_git(two_versions, "checkout", "v1")
    repositories.place(two_versions / ".dvc/cache", repositories.md5(b"a cat that came later")).unlink()
    done = plain_git(two_versions, "checkout", "main")
    assert done.code == 0
    assert "not in the cache: datasets/pets/prepared\n" in done.err
    (command,) = re.findall(r"hint: (.*)", done.err)
    tools = str(Path(sys.executable).parent)
    done = repositories.sh(
        two_versions, "sh", "-c", command, env={**repositories.os.environ, "PATH": f"{tools}:/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    assert images(two_versions) == set(repositories.MORE_PETS)


def test_data_that_a_person_changed_is_kept_and_told(two_versions: Path) -> None:
    image = two_versions / "datasets/pets/prepared/test/cat/0a8c7f6e-0000-4000-8000-000000000006.jpg"
    repositories.overwrite(image, b"mine")
    done = plain_git(two_versions, "checkout", "v1")
    assert done.code == 0
    assert "the data was not linked: " in done.err
    assert "1 file would be lost: DVC's cache does not hold their content" in done.err
    assert image.read_bytes() == b"mine"


def test_a_checkout_that_changes_no_pointer_links_nothing(two_versions: Path) -> None:
    (two_versions / "notes.md").write_text("notes\n")
    repositories.commit(two_versions, "words")
    repositories.place(two_versions / ".dvc/cache", CAT).unlink()
    done = plain_git(two_versions, "checkout", "HEAD~1")
    assert done.code == 0
    assert "not in the cache" not in done.err


def test_what_post_checkout_is_told() -> None:
    assert git_hooks.parse_post_checkout({}, ("a", "b", "1")) == HeadChange("a", "b")
    assert git_hooks.parse_post_checkout({}, ("a", "b", "0")) is None
    environ = {"PRE_COMMIT": "1", "PRE_COMMIT_FROM_REF": git.NULL_OID, "PRE_COMMIT_TO_REF": "b"}
    assert git_hooks.parse_post_checkout({**environ, "PRE_COMMIT_CHECKOUT_TYPE": "1"}, ()) == HeadChange(
        git.NULL_OID, "b"
    )
    assert git_hooks.parse_post_checkout({**environ, "PRE_COMMIT_CHECKOUT_TYPE": "0"}, ()) is None
    assert git_hooks.parse_post_checkout({"PRE_COMMIT": "1"}, ()) is None, "run by hand"


# --- for others -------------------------------------------------------------------------------------------------------


def test_other_repositories_get_the_same_hooks() -> None:
    ours = {
        hook["id"]: hook
        for hook in yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    }
    theirs = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in theirs] == ["registry-check", "registry-push", "registry-checkout"]
    for hook in theirs:
        mine = {**ours[hook["id"]], "language": "python", "description": hook["description"]}
        mine["entry"] = mine["entry"].removeprefix("scripts/hook ")
        assert hook == {"stages": ["pre-commit"], **mine}


@pytest.mark.parametrize(
    ("kind", "file"), [("config", ".pre-commit-config.yaml"), ("manifest", ".pre-commit-hooks.yaml")]
)
def test_pre_commit_accepts_the_files(kind: str, file: str) -> None:
    done = repositories.sh(PROJECT, str(Path(sys.executable).with_name("pre-commit")), f"validate-{kind}", file)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
