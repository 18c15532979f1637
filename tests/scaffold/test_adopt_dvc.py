"""`registry adopt` of repositories of plain DVC: MD5s are kept, and nothing of the repository is obeyed but one URL."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from support import adoption, repositories
from support.adoption import PETS, dvc_repository, fill, picture, write_dvc_2
from support.repositories import Outcome, Run, git_in, md5, write_bytes

WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
DATASET = "datasets/pets"


@pytest.fixture(scope="module")
def _old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    return dvc_repository(folder / "old", PETS, str(folder / "store"))


@pytest.fixture
def old(_old: Path, tmp_path: Path) -> Path:
    """A repository with `data/pets.dvc`, whose objects are in its cache and in the folder `store` beside it."""
    shutil.copytree(_old.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    root = tmp_path / _old.name
    config = root / ".dvc/config"  # its remote is an absolute path, since clones have to find it too
    config.write_text(config.read_text().replace(str(_old.parent), str(tmp_path)))
    git_in(root, "commit", "--quiet", "--amend", "--all", "--no-edit")
    return root


def adopt(run: Run, root: Path, source: Path | str, *args: str) -> Outcome:
    return run(root, "adopt", DATASET, "--from", str(source), *WORDS, *args)


def adopted(run: Run, root: Path, source: Path | str, *args: str) -> Outcome:
    done = adopt(run, root, source, *args)
    assert done.code == 0, done.out + done.err
    assert adoption.images(root) == adoption.expected(PETS)
    checked = run(root, "check", "--all")
    assert checked.code == 0, checked.out + checked.err
    return done


def source(root: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((root / DATASET / "dataset.yaml").read_text())["source"]["adopted"]
    return found


def bare(old: Path) -> Path:
    git_in(old, "clone", "--quiet", "--bare", ".", "../old.git")
    return old.parent / "old.git"


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_repository_on_this_machine(registry_repo: Path, run_registry: Run, old: Path) -> None:
    shutil.rmtree(old.parent / "store")
    done = adopted(run_registry, registry_repo, old, "--path", "data/pets")
    commit = git_in(old, "rev-parse", "HEAD")
    md5_of_dir = yaml.safe_load((old / "data/pets.dvc").read_text())["outs"][0]["md5"]
    assert source(registry_repo) == {"from": "old", "path": "data/pets", "commit": commit, "md5": md5_of_dir}
    assert f"16 images of old@{commit[:12]}:data/pets" in done.out
    assert "16 validated as they were taken" in done.out


def test_its_pointer_is_named_as_well(registry_repo: Path, run_registry: Run, old: Path) -> None:
    shutil.rmtree(old / ".dvc/cache")
    git_in(old, "remote", "add", "origin", "https://ana:secret@github.com/acme/old.git")
    adopted(run_registry, registry_repo, old / "data/pets.dvc")
    assert source(registry_repo)["from"] == "https://github.com/acme/old.git"
    assert (old / "data/pets.dvc").exists()


def test_a_repository_by_its_address_and_at_a_tag(registry_repo: Path, run_registry: Run, old: Path) -> None:
    git_in(old, "tag", "v1")
    first = git_in(old, "rev-parse", "HEAD")
    adoption.dvc(old, "remove", "data/pets.dvc")
    repositories.commit(old, "no pets")
    url = f"file://{bare(old)}"
    done = adopt(run_registry, registry_repo, url, "--path", "data/pets")
    assert done.refused("tracks nothing at data/pets", "this repository tracks none"), done.err
    adopted(run_registry, registry_repo, url, "--path", "data/pets", "--rev", "v1")
    assert source(registry_repo)["commit"] == first
    assert adopt(run_registry, registry_repo, old, "--path", "data/pets", "--rev", "v1", "--dry-run").code == 1
    done = adopt(run_registry, registry_repo, url, "--path", "data/pets", "--rev", "v2")
    assert done.refused("v2", "check the address, the tag"), done.err


@pytest.mark.parametrize("lock", [False, True], ids=["a pointer", "an output of a stage"])
def test_what_dvc_2_wrote(registry_repo: Path, run_registry: Run, tmp_path: Path, lock: bool) -> None:
    repository = write_dvc_2(tmp_path / "older", PETS, tmp_path / "older-store", lock=lock)
    adopted(run_registry, registry_repo, repository, "--path", "data/pets")


def test_a_part_of_a_tracked_folder(registry_repo: Path, run_registry: Run, old: Path) -> None:
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets/train")
    assert done.code == 0, done.err
    assert set(adoption.selection(registry_repo)["label"]) == {"cat", "dog"}
    assert len(adoption.selection(registry_repo)) == 8
    assert source(registry_repo)["path"] == "data/pets/train"
    done = run_registry(registry_repo, "adopt", "datasets/x", "--from", str(old), "--path", "data/pets/trian")
    assert done.refused("data/pets has no folder trian", "test, train, val"), done.err


def test_nothing_is_taken_again(registry_repo: Path, run_registry: Run, old: Path) -> None:
    adopted(run_registry, registry_repo, old, "--path", "data/pets")
    shutil.rmtree(registry_repo / DATASET)
    assert "0 to take from" in adopted(run_registry, registry_repo, old, "--path", "data/pets").out


def test_what_was_added_by_hand_in_this_registry(registry_repo: Path, run_registry: Run) -> None:
    fill(registry_repo / DATASET / "photos", PETS)
    adoption.dvc(registry_repo, "add", "--quiet", f"{DATASET}/photos")
    done = run_registry(registry_repo, "check", "--all")
    hint = f"registry adopt {DATASET} --from {DATASET}/photos.dvc"
    assert (done.code, (done.out + done.err).count(hint)) == (1, 2), done.out + done.err
    done = adopted(run_registry, registry_repo, f"{DATASET}/photos.dvc")
    assert f"removed {DATASET}/photos.dvc" in done.out
    assert (registry_repo / DATASET / "photos/train/cat/0.jpg").exists()
    assert (registry_repo / DATASET / ".gitignore").read_text() == "/photos\n/raw\n/prepared\n"


# --- what is missing or wrong -----------------------------------------------------------------------------------------


def test_missing_objects_are_named(registry_repo: Path, run_registry: Run, old: Path) -> None:
    shutil.rmtree(old / ".dvc/cache")
    repositories.place(old.parent / "store", md5(PETS["train/cat/0.jpg"])).unlink()
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.refused("1 image of 16 not in", "train/cat/0.jpg", "run `dvc push` in that repository"), done.err
    listing = yaml.safe_load((old / "data/pets.dvc").read_text())["outs"][0]["md5"]
    repositories.place(old.parent / "store", listing).unlink()
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.refused(f"the list of data/pets, {listing}, is not in"), done.err


def test_a_missing_file_that_is_no_image_does_not_matter(
    registry_repo: Path, run_registry: Run, tmp_path: Path
) -> None:
    old = dvc_repository(tmp_path / "noted", {**PETS, "notes.txt": b"of no use"}, str(tmp_path / "store"))
    shutil.rmtree(old / ".dvc/cache")
    repositories.place(tmp_path / "store", md5(b"of no use")).unlink()
    adopted(run_registry, registry_repo, old, "--path", "data/pets")


def test_damaged_objects_are_left_out_and_named(registry_repo: Path, run_registry: Run, old: Path) -> None:
    shutil.rmtree(old / ".dvc/cache")
    name = md5(PETS["train/cat/0.jpg"])
    repositories.overwrite(repositories.place(old.parent / "store", name), picture(77))
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.code == 0, done.err
    assert "not adopted: 1 file, damaged in the source" in done.out
    assert name not in adoption.listed(registry_repo).values()
    assert not repositories.place(registry_repo / ".registry/staging", name).exists()


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([{"md5": "0" * 32, "relpath": "../../home/ana/.ssh/id_rsa"}], "is not a file of its folder"),
        ([{"md5": "0" * 32, "relpath": "/etc/passwd"}], "is not a file of its folder"),
        ([{"md5": "../../../etc/passwd", "relpath": "cat/1.jpg"}], "is not a file of its folder, or has no MD5"),
        ([{"md5": "0" * 32, "relpath": "cat/1.jpg", "cmd": "rm"}], "not a list of files in the form that DVC writes"),
        ({"cat": 1}, "not a"),
    ],
)
def test_a_hostile_list_is_refused(
    registry_repo: Path, run_registry: Run, old: Path, entries: object, fault: str
) -> None:
    data = json.dumps(entries, sort_keys=True).encode()
    write_bytes(repositories.place(old.parent / "store", f"{md5(data)}.dir"), data)
    point_to(old, f"{md5(data)}.dir")
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.refused(fault), done.err


def test_a_list_of_another_md5_is_refused(registry_repo: Path, run_registry: Run, old: Path) -> None:
    shutil.rmtree(old / ".dvc/cache")
    write_bytes(repositories.place(old.parent / "store", f"{'1' * 32}.dir"), b"[]")
    point_to(old, f"{'1' * 32}.dir")
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.refused("run `dvc push` in that repository where the data is undamaged"), done.err


def point_to(old: Path, name: str) -> None:
    pointer = old / "data/pets.dvc"
    found = yaml.safe_load(pointer.read_text())
    found["outs"][0]["md5"] = name
    pointer.write_text(yaml.safe_dump(found))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"md5": md5(b"one file")}, "is one file, expected a folder"),
        ({"md5": None}, "has no MD5"),
        ({"files": [{"relpath": "a.jpg"}]}, "tracked by the versions of a bucket"),
    ],
)
def test_a_pointer_of_another_kind_is_refused(
    registry_repo: Path, run_registry: Run, old: Path, change: dict[str, object], fault: str
) -> None:
    pointer = old / "data/pets.dvc"
    found = yaml.safe_load(pointer.read_text())
    out = {**found["outs"][0], **change}
    found["outs"] = [{key: value for key, value in out.items() if value is not None}]
    pointer.write_text(yaml.safe_dump(found))
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.refused(fault), done.err


@pytest.mark.parametrize("path", ["../registry", "/etc", ".", "data/../.."])
def test_a_path_outside_of_the_repository_is_refused(
    registry_repo: Path, run_registry: Run, old: Path, path: str
) -> None:
    assert adopt(run_registry, registry_repo, old, "--path", path).refused("not a path in the repository")


def test_a_repository_without_a_path_says_what_it_tracks(registry_repo: Path, run_registry: Run, old: Path) -> None:
    for place in (str(old), str(bare(old)), f"file://{bare_again(old)}"):
        done = adopt(run_registry, registry_repo, place)
        assert done.refused("which of its folders is meant", "with --path: data/pets"), done.err


def bare_again(old: Path) -> Path:
    return old.parent / "old.git"


# --- what is not obeyed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://host/store", ("remote store of", "ssh://host/store, which is not read here", "--remote NAME")),
        ("gdrive://root", ("which is not read here",)),
        ("/srv/store", ("is a folder of another machine, /srv/store",)),
        ("../store", ("is a folder of another machine",)),
    ],
)
def test_a_place_that_is_not_read_is_named(
    registry_repo: Path, run_registry: Run, old: Path, monkeypatch: pytest.MonkeyPatch, url: str, words: tuple[str, ...]
) -> None:
    """The address is of another machine: Git is told to find it here."""
    config = old / ".dvc/config"
    config.write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n")
    repositories.commit(old, "another remote")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{bare(old)}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/acme/old.git")
    done = adopt(run_registry, registry_repo, "https://github.com/acme/old.git", "--path", "data/pets")
    assert done.refused(*words), done.err


@pytest.mark.parametrize(
    ("config", "args", "words"),
    [
        ("[core]\n    remote = gone\n", (), ("has no remote gone", "leave --remote out")),
        ("['remote \"a\"']\n    url = s3://a\n", ("--remote", "b"), ("has no remote b", "--remote with one of a")),
        ("['remote \"a\"']\n    url = s3://a\n    version_aware = true\n", (), ("is version_aware",)),
        ("[core\n", (), (".dvc/config", "not a DVC configuration file")),
    ],
)
def test_a_configuration_that_names_no_place_is_told(
    registry_repo: Path, run_registry: Run, old: Path, config: str, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (old / ".dvc/config").write_text(config)
    repositories.commit(old, "another configuration")
    done = adopt(run_registry, registry_repo, f"file://{bare(old)}", "--path", "data/pets", *args)
    assert done.refused(*words), done.err


def test_nothing_of_a_repository_is_run(registry_repo: Path, run_registry: Run, old: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        write_bytes(old / ".git/hooks" / hook, f"#!/bin/sh\ntouch {mark}\n".encode())
        (old / ".git/hooks" / hook).chmod(0o755)
    (old / "dvc.yaml").write_text(f"stages:\n  x:\n    cmd: touch {mark}\n    outs: [data/x]\n")
    git_in(old, "config", "core.fsmonitor", f"touch {mark}")
    adopted(run_registry, registry_repo, old, "--path", "data/pets")
    assert not mark.exists()


def test_links_in_a_repository_are_no_files_of_it(
    registry_repo: Path, run_registry: Run, old: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.dvc"
    (old / "data/pets.dvc").rename(elsewhere)
    (old / "data/pets.dvc").symlink_to(elsewhere)
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets")
    assert done.refused("tracks nothing at data/pets"), done.err
    repositories.commit(old, "a link")
    done = adopt(run_registry, registry_repo, old, "--path", "data/pets", "--rev", "HEAD")
    assert done.refused("tracks nothing at data/pets"), done.err


@pytest.mark.parametrize(
    ("place", "args", "fault"),
    [
        ("nowhere", (), "nowhere does not exist"),
        ("ext::sh -c 'touch ran'", ("--path", "x"), "does not exist"),
        ("--upload-pack=touch ran", ("--path", "x"), "does not exist"),
        (".registry", ("--path", "x"), "is no DVC repository"),
        ("empty", ("--rev", "x"), "--rev is for a DVC repository"),
        ("s3://bucket/x", ("--path", "x"), "--path is for a DVC repository"),
        ("s3://me:secret@bucket/x", (), "bucket/x: the URL has a login"),
        ("ftp://host/x", (), "does not exist"),
    ],
)
def test_a_source_of_no_known_kind_is_told(
    registry_repo: Path, run_registry: Run, place: str, args: tuple[str, ...], fault: str
) -> None:
    for folder in ("empty", ".registry"):
        os.makedirs(registry_repo / folder, exist_ok=True)  # noqa: PTH103 - as short as it gets
    done = run_registry(registry_repo, "adopt", DATASET, f"--from={place}", *args)
    assert done.refused(fault), done.err
    assert "secret" not in done.err
    assert not (registry_repo / "ran").exists()


# --- parts of a repository --------------------------------------------------------------------------------------------


@pytest.fixture
def subrepo(tmp_path: Path) -> Path:
    """A Git repository with a DVC repository in its folder `team`, which tracks `data/pets` since the tag v1.0."""
    root = tmp_path / "sub"
    root.mkdir()
    git_in(root, "init", "--quiet")
    adoption.found(root / "team", tmp_path / "store")
    shutil.rmtree(root / "team/.git")
    adoption.track(root / "team", PETS, tmp_path / "store")
    repositories.commit(root, "pets")
    git_in(root, "tag", "v1.0")
    return root


@pytest.mark.parametrize("form", ["folder", "inner folder", "inner folder at a tag", "address", "tags"])
def test_a_dvc_repository_in_a_folder_of_a_repository(
    registry_repo: Path, run_registry: Run, subrepo: Path, form: str
) -> None:
    git_in(subrepo, "remote", "add", "origin", "https://github.com/acme/old.git")
    whole = ("--path", "team/data/pets")
    where: dict[str, tuple[Path | str, ...]] = {
        "folder": (subrepo, *whole),
        "inner folder": (subrepo / "team", "--path", "data/pets"),
        "inner folder at a tag": (subrepo / "team", "--path", "data/pets", "--rev", "v1.0"),
        "address": (f"file://{subrepo}", *whole),
        "tags": (subrepo / "team", "--path", "data/pets", "--tags", "v*"),
    }
    place, *args = where[form]
    adopted(run_registry, registry_repo, place, *map(str, args))
    assert source(registry_repo)["path"] == "team/data/pets"
    assert source(registry_repo)["commit"] == git_in(subrepo, "rev-parse", "HEAD")


def test_a_submodule_is_named_by_its_own_repository(registry_repo: Path, run_registry: Run, subrepo: Path) -> None:
    above = subrepo.parent / "above"
    above.mkdir()
    git_in(above, "init", "--quiet")
    git_in(above, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", "../sub", "old")
    repositories.commit(above, "above")
    done = adopt(run_registry, registry_repo, f"file://{above}", "--path", "old/team/data/pets")
    assert done.refused("old is a submodule", "name the repository of the submodule"), done.err


def test_what_a_sparse_checkout_leaves_out_is_at_head(registry_repo: Path, run_registry: Run, subrepo: Path) -> None:
    git_in(subrepo, "sparse-checkout", "set", "--no-cone", "/team/.dvc/")
    done = adopt(run_registry, registry_repo, subrepo / "team", "--path", "data/pets")
    assert done.refused("team tracks nothing at data/pets", "use --rev HEAD"), done.err
    adopted(run_registry, registry_repo, subrepo / "team", "--path", "data/pets", "--rev", "HEAD")
