"""A damaged object of DVC's cache is found before it is linked, whoever damaged it and however, and is never lost."""

import shutil
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main

from registry.core.digests import object_key
from registry.storage import proofs
from registry.storage.cache import SET_ASIDE, open_cache
from support import repositories
from support.damage import WAYS, Damage, in_place, left_writable, other, with_the_old_time
from support.repositories import Run, production, staging

PREPARED = "datasets/pets/prepared"
CAT = f"{PREPARED}/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
BODY = b"one cat"
MD5 = repositories.md5(BODY)

ways = pytest.mark.parametrize("damage", [pytest.param(way, id=name) for name, way in WAYS.items()])
kinds = pytest.mark.parametrize("kind", ["hardlink", "symlink", "copy"])


@pytest.fixture
def clone(merged_model: Path, tmp_path: Path) -> Path:
    """A clone that has pulled everything, and whose DVC believes that it has."""
    root = repositories.other_clone(merged_model, tmp_path)
    assert repositories.registry(root, "pull").returncode == 0
    assert dvc_main(["--cd", str(root), "status", "--quiet"]) == 0
    return root


def cached(root: Path, md5: str = MD5) -> Path:
    return repositories.place(root / ".dvc/cache", md5)


def set_kind(root: Path, kind: str) -> None:
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace("reflink,hardlink,symlink", kind))


def everything(root: Path) -> dict[str, str]:
    return {
        name: md5
        for top in ("datasets", "models")
        for name, md5 in repositories.snapshot(root / top).items()
        if name != ".gitignore"
    }


def set_aside(root: Path) -> dict[str, str]:
    """What was set aside: its MD5 by its name below the folder of its run."""
    kept = repositories.snapshot(root / ".dvc/cache" / SET_ASIDE)
    return {name.split("/", 1)[1]: md5 for name, md5 in kept.items()}


# --- pull -------------------------------------------------------------------------------------------------------------


@ways
@kinds
def test_pull_mends_it_and_keeps_it(
    merged_model: Path, tmp_path: Path, run_registry: Run, kind: str, damage: Damage
) -> None:
    root = repositories.other_clone(merged_model, tmp_path)
    set_kind(root, kind)
    assert run_registry(root, "pull").code == 0
    before = everything(root)
    damage(cached(root))
    done = run_registry(root, "pull")
    assert done.code == 0, done.err
    assert f"1 object in DVC's cache is damaged:\n  {CAT}: {cached(root)}: " in done.out
    assert "set aside 1 damaged object in " in done.err
    assert everything(root) == before
    assert cached(root).read_bytes() == BODY
    assert (cached(root).stat().st_mode & 0o777, (root / CAT).read_bytes()) == (0o444, BODY)
    kept = [path for path in (root / ".dvc/cache" / SET_ASIDE).rglob("*") if path.name == MD5[2:]]
    assert kept != [], "as evidence"
    assert run_registry(root, "pull").out == "nothing to fetch: the cache has all 13 objects\n"
    assert dvc_main(["--cd", str(root), "status", "--quiet"]) == 0


@ways
def test_a_file_that_was_deleted_does_not_come_back_damaged(clone: Path, run_registry: Run, damage: Damage) -> None:
    damage(cached(clone))
    (clone / CAT).unlink(missing_ok=True)
    assert run_registry(clone, "pull", CAT).code == 0
    assert ((clone / CAT).read_bytes(), cached(clone).read_bytes()) == (BODY, BODY)


@pytest.mark.parametrize("edit", [in_place, with_the_old_time, left_writable])
def test_an_edit_through_a_link_is_kept_and_named(clone: Path, run_registry: Run, edit: Damage) -> None:
    edit(clone / CAT)
    done = run_registry(clone, "pull")
    assert (done.code, "the two are one file, which was changed in place" in done.out) == (0, True)
    assert (clone / CAT).read_bytes() == BODY
    assert set_aside(clone) == {f"files/md5/{MD5[:2]}/{MD5[2:]}": repositories.md5(other(BODY))}


def test_dvc_believes_what_pull_does_not(clone: Path, run_registry: Run) -> None:
    """Why DVC's state is no proof: it goes by inode, size and mtime."""
    before = (clone / CAT).stat()
    with_the_old_time(clone / CAT)
    after = (clone / CAT).stat()
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)
    assert dvc_main(["--cd", str(clone), "data", "status", "--granular", "--quiet"]) == 0
    assert dvc_main(["--cd", str(clone), "checkout", "--force", "--quiet"]) == 0
    assert (clone / CAT).read_bytes() == other(BODY)
    assert run_registry(clone, "pull").code == 0
    assert (clone / CAT).read_bytes() == BODY


def test_a_damaged_list_of_files(clone: Path, run_registry: Run) -> None:
    [listing] = [path for path in (clone / ".dvc/cache/files/md5").rglob("*.dir") if b"metadata" in path.read_bytes()]
    before = listing.read_bytes()
    with_the_old_time(listing)
    assert run_registry(clone, "checkout").out.endswith("hint: registry pull datasets/pets/prepared\n")
    assert run_registry(clone, "pull").code == 0
    assert listing.read_bytes() == before
    assert everything(clone)


def test_what_dvc_itself_put_there_is_read_once_too(merged_model: Path, tmp_path: Path, run_registry: Run) -> None:
    root = repositories.other_clone(merged_model, tmp_path)
    assert dvc_main(["--cd", str(root), "pull", "--quiet", "--remote", "staging"]) == 0
    with_the_old_time(root / CAT)
    assert run_registry(root, "pull").code == 0
    assert (root / CAT).read_bytes() == BODY


def test_a_record_of_another_machine_proves_nothing(clone: Path, tmp_path: Path, run_registry: Run) -> None:
    """A copied checkout has the record, and other inodes."""
    copied = shutil.copytree(clone, tmp_path / "copied", symlinks=True)
    in_place(cached(copied))
    in_place(copied / CAT)
    done = run_registry(copied, "pull")
    assert done.refused("1 file would be lost", CAT)
    assert cached(copied).read_bytes() == BODY


def test_a_record_that_is_no_record(clone: Path, run_registry: Run) -> None:
    (clone / proofs.PATH).parent.mkdir(parents=True, exist_ok=True)
    (clone / proofs.PATH).write_bytes(b"PAR1 nothing")
    with_the_old_time(clone / CAT)
    assert run_registry(clone, "pull").code == 0
    assert (clone / CAT).read_bytes() == BODY


def test_an_intact_object_that_is_writable_is_made_read_only(clone: Path, run_registry: Run) -> None:
    cached(clone).chmod(0o664)
    assert run_registry(clone, "pull").out == "nothing to fetch: the cache has all 13 objects\n"
    assert cached(clone).stat().st_mode & 0o777 == 0o444


def test_what_no_remote_has_is_set_aside_and_named(merged_model: Path, clone: Path, run_registry: Run) -> None:
    for store in (staging(merged_model), production(merged_model)):
        repositories.place(store, MD5).unlink(missing_ok=True)
    in_place(cached(clone))
    done = run_registry(clone, "pull")
    assert done.refused("1 object could not be fetched", CAT)
    assert "1 object in DVC's cache is damaged" in done.out
    assert not cached(clone).exists(), "DVC would link it"
    assert (clone / CAT).read_bytes() == other(BODY), "nothing intact takes its place"
    assert repositories.md5(other(BODY)) in set_aside(clone).values()


def test_dvc_gc_leaves_what_was_set_aside(clone: Path, run_registry: Run) -> None:
    in_place(cached(clone))
    assert run_registry(clone, "pull").code == 0
    kept = set_aside(clone)
    assert dvc_main(["--cd", str(clone), "gc", "--workspace", "--force", "--quiet"]) == 0
    assert set_aside(clone) == kept != {}


# --- edits that are a file of their own -------------------------------------------------------------------------------


def test_set_aside_moves_edits_and_links(clone: Path, run_registry: Run) -> None:
    repositories.overwrite(clone / CAT, b"mine")
    (clone / PREPARED / "train/notes.txt").write_text("also mine")
    refused = run_registry(clone, "pull")
    assert refused.refused("2 files would be lost", CAT, "hint: registry pull --set-aside datasets/pets: ")
    assert run_registry(clone, "pull", "--set-aside", "datasets/pets").code == 0
    assert ((clone / CAT).read_bytes(), (clone / PREPARED / "train/notes.txt").exists()) == (BODY, False)
    assert set_aside(clone) == {
        CAT: repositories.md5(b"mine"),
        f"{PREPARED}/train/notes.txt": repositories.md5(b"also mine"),
    }


# --- other doors ------------------------------------------------------------------------------------------------------


@ways
def test_checkout_links_nothing_damaged(clone: Path, run_registry: Run, damage: Damage) -> None:
    shutil.rmtree(clone / PREPARED)
    damage(cached(clone))
    done = run_registry(clone, "checkout")
    assert not (clone / PREPARED).exists()
    assert f"1 object in DVC's cache is damaged, such as {cached(clone)}: " in done.out
    assert "hint: registry pull datasets/pets/prepared" in done.out
    assert run_registry(clone, "pull", PREPARED).code == 0
    assert (clone / CAT).read_bytes() == BODY


@ways
def test_what_is_made_again_replaces_a_damaged_object_and_is_not_recorded(clone: Path, damage: Damage) -> None:
    cache, record = open_cache(clone), clone / proofs.PATH
    record.unlink(missing_ok=True)  # what was fetched less than a tick ago has none
    assert not cache.put(object_key(MD5), BODY)
    assert not record.exists()
    damage(cached(clone))
    cache.put(object_key(MD5), BODY)
    assert cached(clone).read_bytes() == BODY


@ways
def test_push_spreads_nothing_damaged(merged_model: Path, run_registry: Run, damage: Damage) -> None:
    shutil.rmtree(staging(merged_model))
    damage(cached(merged_model))
    assert run_registry(merged_model, "push").code == 1
    assert MD5 not in "".join(repositories.snapshot(staging(merged_model))).replace("/", "")


def test_push_takes_the_intact_copy_of_another_worktree(merged_model: Path, tmp_path: Path, run_registry: Run) -> None:
    shutil.rmtree(staging(merged_model))
    repositories.git_in(merged_model, "worktree", "add", "--quiet", str(tmp_path / "beside"), "-b", "beside")
    shutil.copytree(merged_model / ".dvc/cache", tmp_path / "beside/.dvc/cache")
    in_place(cached(merged_model))
    assert run_registry(merged_model, "push").code == 0
    assert repositories.place(staging(merged_model), MD5).read_bytes() == BODY


def test_moving_between_versions_reads_no_object_twice(
    merged_model: Path, monkeypatch: pytest.MonkeyPatch, run_registry: Run
) -> None:
    """Linking and unlinking move the ctime of an object; what did so here is no change."""
    monkeypatch.setattr(proofs, "FINE_TICK", 0)
    more = {**repositories.PETS, "test/cat/0a8c7f6e-0000-4000-8000-000000000006.jpg": b"a cat that came later"}
    repositories.dataset(merged_model, "pets", more, "1.1.0")
    repositories.commit(merged_model, "1.1.0")
    for revision in ("HEAD~1", "main"):
        repositories.git_in(merged_model, "checkout", "--quiet", revision)
        assert run_registry(merged_model, "checkout").code == 0
    read = list[str]()
    inner = proofs._hash
    monkeypatch.setattr(proofs, "_hash", lambda path, progress: (read.append(path), inner(path, progress))[1])
    for revision in ("HEAD~1", "main"):
        repositories.git_in(merged_model, "checkout", "--quiet", revision)
        assert run_registry(merged_model, "checkout").code == 0
    assert read == []
    shutil.rmtree(merged_model / "datasets/pets/raw")
    assert run_registry(merged_model, "checkout").code == 0
    assert len(read) == 1, "a link that was removed by hand"


def test_what_was_just_fetched_is_not_read_again(
    merged_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_registry: Run
) -> None:
    """Its last change is younger than a tick of the clock: a large object is waited for."""
    monkeypatch.setattr(proofs, "WAITED_FOR", 0)
    root, read, inner = repositories.other_clone(merged_model, tmp_path), list[str](), proofs._hash
    monkeypatch.setattr(proofs, "_hash", lambda path, progress: (read.append(path), inner(path, progress))[1])
    for _ in range(2):
        assert run_registry(root, "pull").code == 0
    assert read == []


# --- fsck -------------------------------------------------------------------------------------------------------------


@ways
def test_fsck_reads_the_cache_and_repairs_it(clone: Path, run_registry: Run, damage: Damage) -> None:
    assert "DVC's cache is intact: 13 objects read" in run_registry(clone, "fsck", "--cache").out
    damage(cached(clone))
    done = run_registry(clone, "fsck", "--cache")
    assert done.code == 1
    assert f"1 object in DVC's cache is damaged:\n  {CAT}: {cached(clone)}: " in done.out
    assert "hint: registry fsck --cache --repair FROM" in done.out
    done = run_registry(clone, "fsck", "--cache", "--repair", "staging")
    assert (done.code, "set aside 1 damaged object" in done.out) == (0, True), done.out
    assert cached(clone).read_bytes() == BODY
    assert run_registry(clone, "fsck", "--cache").code == 0


def test_fsck_says_what_it_could_not_restore(merged_model: Path, clone: Path, run_registry: Run) -> None:
    repositories.place(staging(merged_model), MD5).unlink()
    in_place(cached(clone))
    done = run_registry(clone, "fsck", "--cache", "--repair", "staging")
    assert (done.code, "restored 0" in done.out, cached(clone).exists()) == (1, True, False)
    assert repositories.md5(other(BODY)) in set_aside(clone).values()
    assert run_registry(clone, "fsck", "--cache", "--deep").code == 1
