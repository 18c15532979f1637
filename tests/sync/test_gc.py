"""gc: only what no commit refers to is deleted, only from staging, and nothing where that cannot be determined."""

import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.core import settings
from registry.demo.seaweedfs import S3Server
from registry.errors import Refused
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.sync import gc, references
from support import repositories
from support.repositories import Run, git_in, origin, production, staging

DAY = 86_400  # seconds
BIRD, EAGLE = ({"train/cat/0a8c7f6e-0000-4000-8000-00000000000b.jpg": body} for body in (b"a bird", b"an eagle"))


def leave(root: Path, data: bytes = b"left over") -> Path:
    """An object in staging that nothing refers to."""
    path = repositories.place(staging(root), repositories.md5(data))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def age(root: Path) -> None:
    """Everything in staging was put there 30 days ago."""
    for path in staging(root).rglob("*"):
        os.utime(path, (time.time() - 30 * DAY,) * 2)


def birds(root: Path, images: dict[str, bytes]) -> None:
    """Another dataset in the working tree, its objects in staging alone, and old."""
    repositories.dataset(root, "birds", images, "0.1.0")
    repositories.stage(root)
    shutil.rmtree(root / ".dvc/cache")
    age(root)


def named(root: Path, run_registry: Run, *args: str) -> set[Path]:
    """What would be deleted."""
    done = run_registry(root, "gc", "--plan", *args)
    assert done.code == 0, done.err
    return {staging(root) / line.split()[-1] for line in done.out.splitlines()[1:]}


@pytest.fixture
def old(merged_model: Path) -> Path:
    """`merged_model`; staging is all old, and holds one object more that nothing refers to."""
    leave(merged_model)
    age(merged_model)
    git_in(merged_model, "fetch", "--quiet", "origin")
    return merged_model


def test_what_nothing_refers_to_is_shown_and_then_deleted(old: Path, run_registry: Run) -> None:
    assert run_registry(old, "publish").code == 0
    before, released, left = repositories.snapshot(staging(old)), repositories.snapshot(production(old)), leave(old)
    head = f"{staging(old)}: 1 of 14 objects unreferenced, 9 bytes\n"
    text = f"{head}{9:>17} bytes  {30:>5} days  {left.relative_to(staging(old))}\n"
    age(old)
    done = run_registry(old, "gc", "--plan")
    assert (done.code, done.out, repositories.snapshot(staging(old))) == (0, text, before)
    done = run_registry(old, "gc", "--apply")
    assert (done.code, done.out) == (0, f"{text}deleted from staging: 1 of 14 objects, 9 bytes\n")
    assert repositories.snapshot(staging(old)) == {name: md5 for name, md5 in before.items() if not left.match(name)}
    assert repositories.snapshot(production(old)) == released
    assert run_registry(old, "gc", "--apply").out == f"{staging(old)}: 0 of 13 objects unreferenced, 0 bytes\n"


def test_release_manifests_are_no_objects_of_gc(old: Path, run_registry: Run) -> None:
    """Neither production's, nor copies of them where production was mirrored into staging."""
    assert run_registry(old, "publish").code == 0
    shutil.copytree(production(old) / "releases", staging(old) / "releases")
    age(old)
    manifests = {path for place in (production(old), staging(old)) for path in (place / "releases").rglob("*.json*")}
    assert len(manifests) == 8
    assert run_registry(old, "gc", "--apply").out.endswith("deleted from staging: 1 of 14 objects, 9 bytes\n")
    assert all(path.is_file() for path in manifests)


def test_either_plan_or_apply_is_required(old: Path, run_registry: Run) -> None:
    for args in ([], ["--plan", "--apply"], ["--plan", "--older-than", "0"]):
        assert run_registry(old, "gc", *args).code == 1


def test_young_objects_stay_and_what_a_young_list_has(old: Path, run_registry: Run) -> None:
    """During a build the `.dir` object comes last, and refers to older objects."""
    assert named(old, run_registry, "--older-than", "31") == set()
    left = named(old, run_registry, "--older-than", "29")
    birds(old, BIRD)
    shutil.rmtree(old / "datasets/birds")
    unneeded = named(old, run_registry)
    assert len(unneeded - left) == 5
    lists = [path for path in unneeded if path.suffix == ".dir"]
    for path in lists:
        os.utime(path)
    assert named(old, run_registry) == left
    repositories.overwrite(lists[0], b"[]")
    assert run_registry(old, "gc", "--apply").refused(
        "the young object", "is missing, corrupt or no list of a folder's files"
    )
    assert unneeded == {path for path in unneeded if path.exists()}


def commit_twice(root: Path, *git: str) -> None:
    """Two commits, the second of which no longer has what the first has."""
    for images in (BIRD, EAGLE):
        birds(root, images)
        repositories.commit(root, "birds")
    for args in git:
        git_in(root, *shlex.split(args))


BACK = ("switch --quiet main", "reset --quiet --hard origin/main")
KEPT: dict[str, Callable[[Path], None]] = {
    "a local branch and its history": lambda root: commit_twice(root, "branch side", *BACK),
    "a branch at origin and its history": lambda root: commit_twice(root, "push --quiet origin HEAD:side", *BACK),
    "a merged branch's history": lambda root: commit_twice(root, "push --quiet origin main"),
    "any tag": lambda root: commit_twice(root, "tag birds", *BACK),
    "a detached HEAD": lambda root: commit_twice(root, "switch --detach", "branch -f main origin/main"),
    "a stash": lambda root: (birds(root, BIRD), git_in(root, "stash", "--quiet", "--include-untracked")),
    "the index": lambda root: (
        birds(root, BIRD), git_in(root, "add", "datasets"), shutil.rmtree(root / "datasets/birds")
    ),
    "the working tree": lambda root: birds(root, BIRD),
    "another checkout": lambda root: (
        birds(root, BIRD), git_in(root, "worktree", "add", "--quiet", "--detach", "../linked"),
        shutil.move(root / "datasets/birds", root.parent / "linked/datasets/birds"),
    ),
    "pointers whose names are two lines": lambda root: (
        birds(root, BIRD), shutil.move(root / "datasets/birds/prepared.dvc", root / "a\nb.dvc"),
        shutil.move(root / "datasets/birds/raw.dvc", root / "ü\nc.dvc"), repositories.commit(root, "odd names"),
        git_in(root, "branch", "side"), git_in(root, "reset", "--quiet", "--hard", "origin/main"),
    ),
    "a pointer outside any artifact": lambda root: (
        birds(root, BIRD), (root / "x").mkdir(), shutil.move(root / "datasets/birds/prepared.dvc", root / "x/a.dvc"),
        shutil.move(root / "datasets/birds/raw.dvc", root / "x/b.dvc"), shutil.rmtree(root / "datasets/birds"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", KEPT)
def test_kept_is_what_is_referred_to_by(where: str, old: Path, run_registry: Run) -> None:
    KEPT[where](old)
    age(old)
    assert named(old, run_registry) == {leave(old)}


def test_a_pull_requests_commits_are_kept_also_from_a_fork_and_a_closed_branch_is_not(
    old: Path, run_registry: Run, tmp_path: Path
) -> None:
    left = named(old, run_registry)
    git_in(tmp_path, "clone", "--quiet", str(origin(old)), "fork")
    birds(old, BIRD)
    shutil.move(old / "datasets/birds", tmp_path / "fork/datasets/birds")
    repositories.commit(tmp_path / "fork", "birds")
    git_in(tmp_path / "fork", "push", "--quiet", "origin", "HEAD:refs/pull/7/head")
    assert named_after_fetch(old, run_registry, "refs/registry/origin/pull/7/head differs from the remote") == left
    git_in(tmp_path / "fork", "push", "--quiet", "origin", "HEAD:side")
    assert named_after_fetch(old, run_registry, "refs/remotes/origin/side differs from the remote") == left
    git_in(origin(old), "update-ref", "-d", "refs/heads/side")
    assert named_after_fetch(old, run_registry, "refs/remotes/origin/side was deleted at the remote") == left
    git_in(origin(old), "update-ref", "-d", "refs/pull/7/head")
    git_in(old, "update-ref", "-d", "refs/registry/origin/pull/7/head")
    assert len(named(old, run_registry)) == len(left) + 5


def named_after_fetch(root: Path, run_registry: Run, words: str) -> set[Path]:
    """What would be deleted, after the command that the refusal names."""
    done = run_registry(root, "gc", "--plan")
    assert done.refused("origin must be fetched first: refs/", words)
    git_in(root, *shlex.split(done.err.split("hint: git ")[1]))
    return named(root, run_registry)


def test_lists_are_deleted_before_what_they_list(old: Path, monkeypatch: pytest.MonkeyPatch, run_registry: Run) -> None:
    birds(old, BIRD)
    shutil.rmtree(old / "datasets/birds")
    deleted: list[str] = []
    monkeypatch.setattr(Folder, "delete", lambda _, keys: deleted.extend(keys))
    assert run_registry(old, "gc", "--apply").code == 0
    names = [key for key in deleted if not key.startswith("files/clock-")]
    assert [name.endswith(".dir") for name in names] == [True] * 2 + [False] * 4


# --- refused ----------------------------------------------------------------------------------------------------------


def break_pointer(root: Path) -> None:
    (root / "datasets/pets/raw.dvc").write_text("outs: []\n")
    repositories.commit(root, "broken")


def lose_list(root: Path) -> None:
    repositories.dataset(root, "birds", BIRD, "0.1.0")
    repositories.commit(root, "birds, not pushed")
    shutil.rmtree(root / ".dvc/cache")


def point(root: Path, name: str, url: str) -> None:
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace(f"../.registry/{name}", url))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "an unreadable pointer": (break_pointer, "raw.dvc:1: outs: is empty, so what it refers to is unknown"),
    "one in an unmerged commit": (
        lambda root: (break_pointer(root), git_in(root, "revert", "--no-edit", "HEAD")), "raw.dvc:1: outs: is empty"
    ),
    "one on another branch": (
        lambda root: (git_in(root, "switch", "-c", "side"), break_pointer(root), git_in(root, "switch", "main")),
        "raw.dvc:1: outs: is empty",
    ),
    "a list that is nowhere": (lose_list, "the files of datasets/birds/prepared of commit"),
    "one place": (lambda root: point(root, "staging", "../.registry/production"), "are the same place"),
    "one place, by a link": (
        lambda root: (shutil.rmtree(production(root), ignore_errors=True), production(root).symlink_to("staging")),
        "staging and production are the same place",
    ),
    "a remote that moved on": (
        lambda root: git_in(origin(root), "update-ref", "refs/heads/new", "main"),
        "origin must be fetched first: refs/remotes/origin/new differs from the remote",
    ),
    "a tag that is not here": (
        lambda root: git_in(origin(root), "tag", "-a", "-m", "x", "x", "main"),
        "origin must be fetched first: refs/tags/x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, old: Path, run_registry: Run) -> None:
    break_it, words = REFUSED[case]
    break_it(old)
    before = repositories.snapshot(staging(old))
    assert run_registry(old, "gc", "--apply").refused(words)
    assert repositories.snapshot(staging(old)) == before


def test_refused_with_an_unreachable_remote_and_in_a_shallow_clone(
    old: Path, run_registry: Run, tmp_path: Path
) -> None:
    git_in(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin(old)}", "shallow")
    assert run_registry(tmp_path / "shallow", "gc", "--apply").refused("shallow clone")
    origin(old).rename(tmp_path / "away.git")
    assert run_registry(old, "gc", "--apply").code == 1
    assert leave(old).exists()


def test_a_broken_pointer_that_was_fixed_and_merged_does_not_stop_everything(old: Path, run_registry: Run) -> None:
    break_pointer(old)
    git_in(old, "revert", "--no-edit", "HEAD")
    git_in(old, "push", "--quiet", "origin", "main")
    assert named(old, run_registry) == {leave(old)}


def test_nothing_that_production_has_is_ever_named(old: Path, run_registry: Run) -> None:
    """Staging may be production by a way that no name shows."""
    (production(old) / "files").mkdir(parents=True)
    (production(old) / "files/md5").symlink_to(staging(old) / "files/md5")
    assert named(old, run_registry) == set()


# --- on S3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.s3
def test_on_s3_and_with_a_clock_that_is_off(
    merged_model: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server(tmp_path / "s3") as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        remotes = [settings.Remote(f"s3://{name}", {"endpointurl": server.url}) for name in ("staging", "production")]
        store, other = (open_store(remote, merged_model) for remote in remotes)
        for name, md5 in repositories.snapshot(staging(merged_model)).items():
            store.put(name, (staging(merged_model) / name).read_bytes())
            other.put(f"{name}-", md5.encode())
        left = gc.object_key(repositories.md5(b"left over"))
        store.put(left, b"left over")
        referenced, week, now = references.survey(merged_model), timedelta(days=7), datetime.now(UTC)
        assert gc.plan(referenced, store, other, (), week, now).unreferenced.is_empty()
        plan = gc.plan(referenced, store, other, (), week, now + timedelta(days=8))
        assert plan.unreferenced["key"].to_list() == [left]
        with pytest.raises(Refused, match="the clock of this machine"):
            gc.apply(plan)
        before, released = set(store.list()["key"]), other.list()
        gc.apply(replace(plan, now=now))
        assert set(store.list()["key"]) == before - {left}
        assert other.list().equals(released)
        with pytest.raises(Refused, match="the same place"):
            gc.plan(referenced, store, open_store(replace(remotes[0], url="s3://staging/"), tmp_path), (), week, now)
