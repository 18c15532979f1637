"""`registry adopt --tags`: old tags of a DVC repository become versions, one commit each, which a publish tags."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry.core.values import Bump, RequiredBump, Version
from registry.scaffold import adopt_tags
from support import adoption, copies, killed_at, repositories
from support.adoption import PETS, picture
from support.repositories import Outcome, Run, git_in, md5

WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
DATASET = "datasets/pets"
MORE = {**PETS, **{f"train/cat/new {number}.jpg": picture(300 + number) for number in range(3)}}
FEWER = {path: data for path, data in MORE.items() if path != "train/dog/4.jpg"}


def tagged(old: Path, files: adoption.Files, *tags: str, at: int = 0) -> None:
    """Another commit of `data/pets`, with these tags, and with this minute as its time."""
    if files:
        adoption.track(old, files, old.parent / "store")
    else:
        (old / "data/pets.dvc").unlink()
    git_in(old, "add", "--all")
    time = f"2024-01-01T00:{at:02}:00Z"
    variables = (f"GIT_AUTHOR_DATE={time}", f"GIT_COMMITTER_DATE={time}")
    done = repositories.sh(old, "env", *variables, "git", "commit", "--quiet", "--allow-empty", "--message", "pets")
    assert done.returncode == 0, done.stderr
    for tag in tags:
        git_in(old, "tag", tag)


@pytest.fixture(scope="session")
def _old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tagged") / "old"
    adoption.found(root, root.parent / "store")
    tagged(root, PETS, "cats-v1.0.0")
    tagged(root, MORE, "v1.1", at=10)
    tagged(root, MORE, "v1.1.5", "again", at=20)
    tagged(root, FEWER, "v1.2", "fewer", at=30)
    tagged(root, {}, "v4.0", at=40)
    return root


@pytest.fixture
def old(_old: Path, tmp_path: Path) -> Path:
    """A repository with five tags of `data/pets`: three states, one of them twice, and one without it."""
    shutil.copytree(_old.parent, tmp_path / "tagged")
    return tmp_path / "tagged/old"


def adopt(run: Run, root: Path, old: Path | str, *args: str) -> Outcome:
    return run(root, "adopt", DATASET, "--from", str(old), "--path", "data/pets", *args)


def versions(root: Path) -> list[str]:
    return git_in(root, "log", "--reverse", "--format=%s", "--", DATASET).splitlines()


# --- which versions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("v1.0", Version(1, 0, 0)),
        ("cats-v1.2.3", Version(1, 2, 3)),
        ("datasets/cats@v1.2.3", Version(1, 2, 3)),
        ("1.4", Version(1, 4, 0)),
        ("v2", Version(2, 0, 0)),
        ("pets/v2", Version(2, 0, 0)),
        ("v1.0-rc1", None),
        ("v1.0.0.1", None),
        ("release-2023.04", None),
        ("2024-01-31", None),
        ("dev2", None),
        ("before the cleanup", None),
    ],
)
def test_the_version_that_a_name_says(name: str, version: Version | None) -> None:
    assert adopt_tags.parse_version(name) == version


@pytest.mark.parametrize(
    ("says", "bumps", "version", "notes"),
    [
        (Version(1, 1, 0), (Bump.MINOR,), Version(1, 1, 0), 0),
        (Version(7, 0, 0), (Bump.MINOR,), Version(7, 0, 0), 0),
        (Version(1, 1, 0), (Bump.MINOR, Bump.MAJOR), Version(2, 0, 0), 1),
        (Version(1, 0, 0), (), Version(1, 1, 0), 1),
        (None, (Bump.MAJOR,), Version(2, 0, 0), 0),
        (None, (), Version(1, 1, 0), 0),
    ],
)
def test_a_version_is_as_the_tag_says_unless_it_is_too_low(
    says: Version | None, bumps: tuple[Bump, ...], version: Version, notes: int
) -> None:
    chosen, told = adopt_tags.choose(says, Version(1, 0, 0), [RequiredBump(bump, "", "") for bump in bumps])
    assert (chosen, len(told)) == (version, notes)


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_tags_become_commits_that_are_published_and_fetched(
    registry_repo: Path, run_registry: Run, old: Path, tmp_path: Path
) -> None:
    repositories.add_origin(registry_repo)
    dry = adopt(run_registry, registry_repo, old, "--tags", "*v*", "--dry-run", *WORDS)
    assert (dry.code, git_in(registry_repo, "status", "--short")) == (0, "")
    done = adopt(run_registry, registry_repo, old, "--tags", "*v*", *WORDS)
    assert done.code == 0, done.err
    assert done.out.startswith(dry.out)
    rows = [line.split() for line in dry.out.splitlines() if line.startswith(("v", "cats-v"))]
    assert [(row[0], row[2], row[3], " ".join(row[4:])) for row in rows] == [
        ("cats-v1.0.0", "1.0.0", "16", "16 (10.2 kB) the first version"),
        ("v1.1", "1.1.0", "19", "3 (1.9 kB) 3 added"),
        ("v1.2", "2.0.0", "18", "0 1 removed; 1.2.0 is too low"),
    ]
    assert "no version: v1.1.5, which has the images of v1.1" in dry.out
    assert "no version: v4.0, old tracks nothing at data/pets" in dry.out
    assert versions(registry_repo) == [
        "datasets/pets 1.0.0: cats-v1.0.0 of old:data/pets",
        "datasets/pets 1.1.0: v1.1 of old:data/pets",
        "datasets/pets 2.0.0: v1.2 of old:data/pets",
    ]
    assert git_in(registry_repo, "status", "--short") == ""
    checked = run_registry(registry_repo, "check", "--all")
    assert checked.code == 0, checked.out + checked.err
    git_in(registry_repo, "push", "--quiet", "--set-upstream", "origin", "main")
    assert run_registry(registry_repo, "publish").code == 0
    line = git_in(registry_repo, "rev-list", "--reverse", "--max-count=3", "HEAD").splitlines()
    for version, commit, files in zip(("1.0.0", "1.1.0", "2.0.0"), line, (PETS, MORE, FEWER), strict=True):
        tag = f"{DATASET}@v{version}"
        assert git_in(registry_repo, "rev-parse", f"{tag}^{{commit}}") == commit
        target = tmp_path / version
        command = ["dvc", "get", str(registry_repo), f"{DATASET}/prepared", "--rev", tag, "--out", str(target)]
        done_get = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        assert done_get.returncode == 0, done_get.stderr
        found = sorted(md5(file.read_bytes()) for file in target.rglob("*.jpg"))
        assert found == sorted(md5(data) for data in files.values())
    again = adopt(run_registry, registry_repo, old, "--tags", "*v*")
    assert (again.code, "v1.2 is adopted already, and no later tag has other images" in again.out) == (0, True)


def test_tags_without_versions_are_ordered_by_time(registry_repo: Path, run_registry: Run, old: Path) -> None:
    git_in(old, "clone", "--quiet", "--bare", ".", "../old.git")
    url = f"file://{old.parent}/old.git"
    done = adopt(run_registry, registry_repo, url, "--tags", "again", "--tags", "fewer", *WORDS)
    assert done.code == 0, done.err
    assert [line.partition(" of ")[0] for line in versions(registry_repo)] == [
        "datasets/pets 1.0.0: again",
        "datasets/pets 2.0.0: fewer",
    ]
    tagged(old, MORE, "later", at=50)
    git_in(old, "push", "--quiet", "../old.git", "later")
    done = adopt(run_registry, registry_repo, url, "--tags", "fewer", "--tags", "later")
    assert done.code == 0, done.err
    assert "fewer is adopted already" in done.out
    assert versions(registry_repo)[-1].startswith("datasets/pets 2.1.0: later of")


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "lost"), [(0, ("raw.dvc", "raw")), (1, ("prepared.dvc",)), (2, ())], ids=["selection", "version", "commit"]
)
def test_what_was_interrupted_goes_on(
    registry_repo: Path, run_registry: Run, old: Path, kept: int, lost: tuple[str, ...]
) -> None:
    """As after a kill between two commits: the files of a version are there, in whole or in part."""
    assert adopt(run_registry, registry_repo, old, "--tags", "*v*", *WORDS).code == 0
    tree, made = git_in(registry_repo, "rev-parse", "HEAD^{tree}"), versions(registry_repo)
    git_in(registry_repo, "reset", "--quiet", "--hard", f"HEAD~{2 - kept}")
    git_in(registry_repo, "reset", "--quiet", "--soft", "HEAD~1")
    git_in(registry_repo, "reset", "--quiet")
    adoption.without(registry_repo, *(f"{DATASET}/{name}" for name in lost))
    stored = repositories.snapshot(repositories.staging(registry_repo))
    done = adopt(run_registry, registry_repo, old, "--tags", "*v*", *WORDS)
    assert done.code == 0, done.err
    assert "new in staging" not in done.out
    assert repositories.snapshot(repositories.staging(registry_repo)) == stored
    assert versions(registry_repo) == made
    changed = git_in(registry_repo, "diff", "--name-only", tree, "HEAD").splitlines()
    assert set(changed) <= {f"{DATASET}/raw.dvc"}  # the time of the selection


@pytest.fixture(scope="session")
def whole(_registry: Path, _old: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """The number of steps of an adoption of all versions, and the registry after it."""
    root = tmp_path_factory.mktemp("uninterrupted") / "registry"
    shutil.copytree(_registry, root)
    done = adopt_until(root, _old, 0)
    assert done.returncode == 0, done.stderr
    return int((root.parent / "steps").read_text()), root


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20261129, 20261135))
def test_what_was_killed_goes_on(
    registry_repo: Path, run_registry: Run, old: Path, whole: tuple[int, Path], seed: int
) -> None:
    steps, uninterrupted = whole
    step = random.Random(seed).randint(1, steps)
    print(f"seed {seed}: killed before step {step} of {steps}")
    ended = adopt_until(registry_repo, old, step).returncode  # 0: how many steps there are depends on threads
    assert ended == -signal.SIGKILL or (ended == 0 and step > steps // 2)
    done = adopt(run_registry, registry_repo, old, "--tags", "*v*", *WORDS)
    assert done.code == 0, done.err
    assert versions(registry_repo) == versions(uninterrupted)
    committed, expected = (
        {path: data for path, data in copies.files(root).items() if not path.endswith("raw.dvc")}
        for root in (registry_repo, uninterrupted)
    )
    assert committed == expected
    assert git_in(registry_repo, "status", "--short") == ""
    assert adoption.images(registry_repo) == adoption.images(uninterrupted)
    stored = repositories.snapshot(repositories.staging(registry_repo))
    assert repositories.snapshot(repositories.staging(uninterrupted)).items() <= stored.items()


def adopt_until(root: Path, old: Path, step: int) -> subprocess.CompletedProcess[str]:
    """Adopt the versions of `old` in a process that is killed before this step; 0: never."""
    command = (sys.executable, killed_at.__file__, str(step), str(root.parent / "steps"), "adopt", DATASET)
    return repositories.sh(root, *command, "--from", str(old), "--path", "data/pets", "--tags", "*v*", *WORDS)


def test_changes_of_people_are_not_committed(registry_repo: Path, run_registry: Run, old: Path) -> None:
    assert adopt(run_registry, registry_repo, old, "--tags", "v1.1", *WORDS).code == 0
    card = registry_repo / DATASET / "README.md"
    card.write_text(card.read_text() + "\nOurs.\n")
    done = adopt(run_registry, registry_repo, old, "--tags", "v1.1", "--tags", "v1.2")
    assert done.refused("datasets/pets/README.md has uncommitted changes", "git commit, or git stash"), done.err
    git_in(registry_repo, "stash", "--quiet", "--include-untracked")
    (registry_repo / "notes.txt").write_text("mine")
    git_in(registry_repo, "add", "notes.txt")
    assert adopt(run_registry, registry_repo, old, "--tags", "v1.1", "--tags", "v1.2").code == 0
    assert git_in(registry_repo, "status", "--short") == "A  notes.txt"


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--tags", "x*", *WORDS), ("old has no tag x*", "name some of again, cats-v1.0.0, fewer")),
        (("--tags", "v*", "--rev", "v1.1", *WORDS), ("expected one of them", "leave --rev out")),
        (("--tags", "v*"), ("has to be complete", "give --description and --license")),
        (("--tags", "v4.0", *WORDS), ("none of the tags has what is to be adopted: old tracks nothing",)),
    ],
)
def test_what_cannot_be_done_is_refused(
    registry_repo: Path, run_registry: Run, old: Path, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = adopt(run_registry, registry_repo, old, *args)
    assert done.refused(*words), done.err
    assert git_in(registry_repo, "status", "--short") == ""


def test_a_version_whose_objects_are_gone_is_named(registry_repo: Path, run_registry: Run, old: Path) -> None:
    repositories.place(old.parent / "store", md5(PETS["train/dog/4.jpg"])).unlink()
    done = adopt(run_registry, registry_repo, old, "--tags", "*v*", *WORDS)
    assert done.refused("tag cats-v1.0.0: ", "1 image of 16 not in", "train/dog/4.jpg"), done.err
    assert versions(registry_repo) == []
    done = adopt(run_registry, registry_repo, old, "--tags", "v1.2", *WORDS)
    assert done.code == 0, done.err


def test_another_state_is_no_tag(registry_repo: Path, run_registry: Run, old: Path) -> None:
    assert adopt(run_registry, registry_repo, old, "--tags", "v1.1", *WORDS).code == 0
    done = adopt(run_registry, registry_repo, old, "--tags", "v1.2")
    assert done.refused("was adopted from", "which none of these tags names"), done.err


def test_a_folder_of_this_registry_is_refused(
    registry_repo: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    adoption.track(registry_repo, PETS, registry_repo / ".registry/staging")
    repositories.commit(registry_repo, "photos")
    git_in(registry_repo, "tag", "v1.0")
    done = adopt(run_registry, registry_repo, ".", "--tags", "v*", *WORDS)
    assert done.refused("--tags is for another repository", "git clone . ../old"), done.err
    git_in(registry_repo, "clone", "--quiet", ".", "../old")
    shutil.copytree(registry_repo / ".registry/staging", registry_repo.parent / "old/.registry/staging")
    monkeypatch.chdir(registry_repo)
    done = adopt(run_registry, registry_repo, "../old", "--tags", "v*", "--remote", "staging", *WORDS)
    assert done.code == 0, done.err
    assert versions(registry_repo) == ["datasets/pets 1.0.0: v1.0 of registry:data/pets"]  # and no path of this machine


def test_an_empty_history_gets_its_first_commit(registry_repo: Path, run_registry: Run, old: Path) -> None:
    git_in(registry_repo, "update-ref", "-d", "HEAD")
    done = adopt(run_registry, registry_repo, old, "--tags", "v1.1", *WORDS)
    assert done.refused("HEAD has no commit yet", "git add --all && git commit --message"), done.err
    git_in(registry_repo, "add", "--all")
    git_in(registry_repo, "commit", "--quiet", "--message", "A new registry")
    assert adopt(run_registry, registry_repo, old, "--tags", "v1.1", *WORDS).code == 0
