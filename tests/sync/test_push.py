"""Push: afterwards staging or production has every object of every commit, or the push names what is missing."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from registry.errors import NotFound
from registry.integrations import git_trees
from registry.integrations.git_hooks import Push
from registry.sync import push
from support import model_files, repositories
from support.repositories import Run, staging

CAT = repositories.md5(b"one cat")


def objects(store: Path) -> set[str]:
    return set(repositories.snapshot(store / "files"))


@pytest.fixture
def unpushed(built_model: Path) -> Path:
    """`built_model`, with nothing in staging."""
    shutil.rmtree(staging(built_model))
    return built_model


def test_everything_goes_to_staging_under_its_name(unpushed: Path, run_registry: Run) -> None:
    done = run_registry(unpushed, "push")
    assert done.code == 0
    assert done.out.splitlines()[:3] == [
        f"13 of 13 objects → {staging(unpushed)}", "  11 of datasets/pets", "  2 of models/pets",
    ]  # fmt: skip
    assert repositories.snapshot(staging(unpushed) / "files") == repositories.snapshot(unpushed / ".dvc/cache/files")


def test_a_second_push_has_nothing_to_do(built_model: Path, run_registry: Run) -> None:
    done = run_registry(built_model, "push")
    assert (done.code, done.out) == (0, "nothing to push: staging and production have all 13 objects\n")


def test_a_dry_run_moves_nothing(unpushed: Path, run_registry: Run) -> None:
    assert run_registry(unpushed, "push", "--dry-run").out.startswith("13 of 13 objects → ")
    assert not staging(unpushed).exists()


def test_what_production_has_is_not_staged(unpushed: Path, run_registry: Run) -> None:
    shutil.copytree(unpushed / ".dvc/cache/files", unpushed / ".registry/production/files")
    repositories.place(unpushed / ".registry/production", CAT).unlink()
    assert run_registry(unpushed, "push").code == 0
    assert objects(staging(unpushed)) == {f"md5/{CAT[:2]}/{CAT[2:]}"}


def test_a_lost_object_behind_a_list_of_files_is_brought_back(built_model: Path, run_registry: Run) -> None:
    """DVC's push trusts the list and sees nothing."""
    repositories.place(staging(built_model), CAT).unlink()
    assert run_registry(built_model, "push").code == 0
    assert repositories.place(staging(built_model), CAT).read_bytes() == b"one cat"


def test_an_object_that_is_nowhere_stops_the_push(unpushed: Path, run_registry: Run) -> None:
    repositories.place(unpushed / ".dvc/cache", CAT).unlink()
    commit = repositories.git_in(unpushed, "rev-parse", "--short=10", "HEAD")
    done = run_registry(unpushed, "push")
    words = (
        f"datasets/pets in commit {commit}: 1, such as datasets/pets/prepared/train/cat/0a8c7f6e-0000-4000-8000-0000000"
    )
    assert done.refused("objects are missing: not in a cache of this machine", words, "registry build, dvc repro")
    assert not staging(unpushed).exists()


def test_in_a_clone_without_data_the_push_is_stopped(unpushed: Path, run_registry: Run, tmp_path: Path) -> None:
    """`dvc push` says there that everything is up to date."""
    repositories.git_in(tmp_path, "clone", "--quiet", str(unpushed), "clone")
    done = run_registry(tmp_path / "clone", "push")
    assert done.refused("datasets/pets in commit", "1, such as datasets/pets/prepared", "models/pets in commit")


@pytest.mark.parametrize("body", [b"ONE cat", b"one"])
def test_a_corrupt_cache_spreads_nothing(unpushed: Path, run_registry: Run, body: bytes) -> None:
    file = repositories.place(unpushed / ".dvc/cache", CAT)
    repositories.overwrite(file, body)
    assert run_registry(unpushed, "push").refused(str(file), "registry build, dvc repro")
    assert not repositories.place(staging(unpushed), CAT).exists()
    assert not staging(unpushed).exists() or not list(staging(unpushed).rglob("*.dir"))


@pytest.mark.parametrize("body", [b"one", b"ONE cat", b"", b"something much longer"])
@pytest.mark.parametrize("is_dir", [False, True])
def test_a_damaged_object_in_staging_is_replaced(
    built_model: Path, run_registry: Run, body: bytes, is_dir: bool
) -> None:
    file = next(staging(built_model).rglob("*.dir")) if is_dir else repositories.place(staging(built_model), CAT)
    before = file.read_bytes()
    repositories.overwrite(file, body)
    done = run_registry(built_model, "push", "--deep")
    assert (done.code, "  1 corrupt object there will be replaced\n" in done.out) == (0, True)
    assert file.read_bytes() == before
    assert run_registry(built_model, "push", "--deep").out.startswith("nothing to push")


def test_a_truncated_object_in_staging_is_seen_by_its_size(built_model: Path, run_registry: Run) -> None:
    file = repositories.place(staging(built_model), CAT)
    repositories.overwrite(file, b"one")
    assert run_registry(built_model, "push").code == 0
    assert file.read_bytes() == b"one cat"


def test_a_damaged_object_that_no_cache_has_is_named(built_model: Path, run_registry: Run) -> None:
    repositories.overwrite(repositories.place(staging(built_model), CAT), b"ONE cat")
    repositories.place(built_model / ".dvc/cache", CAT).unlink()
    assert run_registry(built_model, "push", "--deep").refused("not in a cache of this machine, nor intact in staging")


def test_an_older_commit(unpushed: Path, run_registry: Run) -> None:
    assert run_registry(unpushed, "push", "HEAD~1").code == 0
    assert len(objects(staging(unpushed))) == 11
    assert run_registry(unpushed, "push", "no-such-thing").refused("'no-such-thing' is not a revision")


def test_a_commit_made_in_another_worktree(unpushed: Path, run_registry: Run, tmp_path: Path) -> None:
    """DVC gives each worktree its own cache; a branch may be pushed from any."""
    repositories.git_in(unpushed, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked"))
    linked = tmp_path / "linked"
    repositories.dataset(linked, "birds", {"train/cat/0a8c7f6e-0000-4000-8000-00000000000b.jpg": b"a bird"}, "1.0.0")
    repositories.commit(linked, "birds")
    for here in (unpushed, linked):
        done = run_registry(here, "push", "--dry-run", "side")
        assert (done.code, done.out.splitlines()[0].split(" objects")[0]) == (0, "18 of 18"), done.err


def test_a_pointer_that_cannot_be_read_names_the_commit(unpushed: Path, run_registry: Run) -> None:
    (unpushed / "datasets/pets/raw.dvc").write_text("outs: []\n")
    commit = repositories.commit(unpushed, "broken")
    done = run_registry(unpushed, "push")
    assert done.refused(f"commit {commit[:10]}: datasets/pets/raw.dvc:1: outs: is empty", "git commit --amend")


# --- as a hook --------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(unpushed: Path) -> tuple[Path, dict[str, str]]:
    """Commits by name: `base` is at the origin; two versions of a dataset on a branch, words on main, their merge."""
    repositories.git_in(unpushed, "update-ref", "refs/remotes/origin/main", "HEAD")
    commits = {"base": repositories.git_in(unpushed, "rev-parse", "HEAD")}
    repositories.git_in(unpushed, "switch", "--quiet", "--create", "side")
    for name, images in (("one", repositories.MORE_PETS), ("two", repositories.PETS)):
        repositories.dataset(unpushed, "pets", images, "1.1.0")
        commits[name] = repositories.commit(unpushed, name)
    repositories.git_in(unpushed, "switch", "--quiet", "main")
    (unpushed / "words.md").write_text("words")
    commits["words"] = repositories.commit(unpushed, "words")
    repositories.git_in(unpushed, "merge", "--quiet", "--no-edit", "side")
    commits["merge"] = repositories.git_in(unpushed, "rev-parse", "HEAD")
    return unpushed, commits


def changed_in(root: Path, tip: str, *before: str, remote: str = "origin") -> list[str]:
    return [needed.commit for needed in push.needed_by_push(root, Push(remote, "", (tip,), before))]


def test_more_commits_need_no_more_processes(
    unpushed: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Git: by its own trace."""
    started = []
    for number in range(2):
        for change in range(20 * number + 1):
            images = {f"train/cat/{change:08x}-0000-4000-8000-{number:012d}.jpg": f"{change} {number}".encode()}
            repositories.dataset(unpushed, "pets", {**repositories.PETS, **images}, "1.1.0")
            repositories.commit(unpushed, "a change")
        trace = tmp_path / f"trace-{number}"
        trace.mkdir()
        monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
        needed = push.needed_by_push(
            unpushed, Push("origin", "", (repositories.git_in(unpushed, "rev-parse", "HEAD"),))
        )
        monkeypatch.delenv("GIT_TRACE2_EVENT")
        started.append((len(needed), len(list(trace.iterdir()))))
    (few, once), (many, again) = started
    assert many > few + 20
    assert once == again


def test_the_tree_of_a_commit_is_what_git_lists(unpushed: Path) -> None:
    for path in ("datasets/pets/a b/c.txt", "datasets/pets.txt", "datasets/pets-2/x", "datasets/größe\n.txt"):
        repositories.write_bytes(unpushed / path, path.encode())
    (unpushed / "datasets/link").symlink_to("pets")
    commit = repositories.commit(unpushed, "odd names")
    with git_trees.Revision(unpushed, commit) as listed, git_trees.Commits(unpushed) as commits:
        tree = commits.tree(commit)
        for prefix in (
            "",
            "datasets",
            "datasets/pets",
            "datasets/pets.txt",
            "datasets/pe",
            "nothing/here",
            "datasets/link",
        ):
            expected = [(entry.path, entry.is_link) for entry in listed.list(prefix)]
            assert [(entry.path, entry.is_link) for entry in tree.list(prefix)] == expected
        for entry in listed.list():
            assert tree.has(entry.path)
            assert tree.read(entry.path) == listed.read(entry.path)
        for path in ("datasets", "datasets/none", "registry.yaml/x"):
            assert not tree.has(path)
            with pytest.raises(NotFound):
                tree.read(path)


def test_every_commit_that_changes_a_pointer_counts(history: tuple[Path, dict[str, str]]) -> None:
    root, commits = history
    repositories.git_in(root, "remote", "add", "origin", "../origin.git")
    assert changed_in(root, commits["merge"]) == [commits["one"], commits["two"]]
    assert changed_in(root, commits["two"], commits["one"]) == [commits["two"]]
    assert changed_in(root, commits["words"]) == []
    everything = changed_in(root, commits["words"], "1" * 40, remote="elsewhere")
    assert len(everything) == 2, "the first push to a remote: all of history, the first commit included"


def test_only_the_artifacts_that_a_push_changes_are_its_business(
    history: tuple[Path, dict[str, str]], run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, commits = history
    repositories.place(root / ".dvc/cache", repositories.md5(model_files.named(b"weights of 1.0.0"))).unlink()
    line = f"refs/heads/main {commits['merge']} refs/heads/main {commits['base']}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(line))
    done = run_registry(root, "push", "--hook", "origin", "../origin.git")
    assert (done.code, done.err) == (0, "")
    assert repositories.place(staging(root), repositories.md5(b"a cat that came later")).exists(), (
        "of a commit in the middle"
    )
    assert run_registry(root, "push").refused("models/pets in commit")


def test_a_models_stale_dataset_is_still_its_business(unpushed: Path, run_registry: Run) -> None:
    """The lock names the dataset that the model was trained on, whatever its pointer says now."""
    trained_on = yaml.safe_load((unpushed / "datasets/pets/prepared.dvc").read_text())["outs"][0]["md5"]
    repositories.dataset(unpushed, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(unpushed, "more pets; the model is not trained again")
    assert run_registry(unpushed, "push").code == 0
    assert repositories.place(staging(unpushed), trained_on).exists()


def test_two_push_the_same_at_once(unpushed: Path, tmp_path: Path) -> None:
    images = {f"train/cat/{number:08x}-0000-4000-8000-000000000000.jpg": os.urandom(1000) for number in range(300)}
    repositories.dataset(unpushed, "pets", images, "2.0.0")
    repositories.commit(unpushed, "2.0.0")
    shutil.copytree(unpushed, tmp_path / "second", symlinks=True, ignore=shutil.ignore_patterns(".registry"))
    (tmp_path / "second/.registry").symlink_to(unpushed / ".registry")
    command = [sys.executable, "-m", "registry", "push"]
    both = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for root in (unpushed, tmp_path / "second")
    ]
    assert [(push.communicate()[1], push.returncode) for push in both] == [("", 0)] * 2
    have, left = (repositories.snapshot(folder / "files") for folder in (staging(unpushed), unpushed / ".dvc/cache"))
    assert len(have) >= 304
    assert have.items() <= left.items()
    assert all(md5 == name.removesuffix(".dir").replace("/", "")[3:] for name, md5 in have.items())
    assert not list(staging(unpushed).rglob(".incoming-*"))
