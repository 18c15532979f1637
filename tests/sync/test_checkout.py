"""Checkout: the result of `dvc checkout` with every kind of link, and changed files are never overwritten."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main
from dvc.repo import Repo

from registry.errors import Refused, StorageFailed
from registry.storage.cache import open_cache
from registry.sync import checkout
from registry.sync.checkout import Linker, Placement
from support import repositories
from support.repositories import Run

PREPARED = "datasets/pets/prepared"
CAT = f"{PREPARED}/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"


@pytest.fixture
def clone(merged_model: Path, tmp_path: Path) -> Path:
    """A fresh clone, which can read the stores and has pulled nothing."""
    return repositories.other_clone(merged_model, tmp_path)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that DVC reads to hash them, from now on."""
    from dvc_data.hashfile import hash as hashing

    read: list[str] = []
    inner = hashing.file_md5

    def file_md5(fname: str, *args: object, **kwargs: object) -> str:
        read.append(fname)
        return inner(fname, *args, **kwargs)

    monkeypatch.setattr(hashing, "file_md5", file_md5)
    return read


def looks(root: Path) -> dict[str, tuple[str, int, str]]:
    """Every file of the outputs: its bytes, its mode, and what kind of link it is."""
    tops = [root / PREPARED, root / "datasets/pets/raw", root / "models/pets/model.onnx"]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if not file.is_dir()]
    return {
        str(file.relative_to(root)): (
            repositories.md5(file.read_bytes()),
            stat.S_IMODE(file.stat().st_mode),
            kind(file),
        )
        for file in files
    }


def kind(file: Path) -> str:
    return "symlink" if file.is_symlink() else "hardlink" if file.stat().st_nlink > 1 else "copy"


def set_kind(root: Path, text: str) -> None:
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace("reflink,hardlink,symlink", text))


def test_nothing_to_link_asks_nothing_of_dvc(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull").code == 0
    os.utime(clone / CAT)  # what just changed is read once more
    assert run_registry(clone, "pull").code == 0
    pull = "import sys; from registry.cli import main; sys.exit(main.run(['pull']) or 'dvc.repo' in sys.modules)"
    before = looks(clone)
    with Repo(str(clone)) as repo, repo.lock:
        done = subprocess.run([sys.executable, "-c", pull], cwd=clone, capture_output=True, text=True)
    assert (done.returncode, looks(clone)) == (0, before), done.stderr


def test_what_dvc_imports_to_link_was_imported_while_objects_arrived(clone: Path) -> None:
    program = """
import sys, threading
from registry.cli import main
from registry.sync import checkout

linking = checkout.place
def place(*args, **options):
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    before = set(sys.modules)
    result = linking(*args, **options)
    packages = {name for name in {*sys.modules} - before if "." not in name} - sys.stdlib_module_names
    print("late:", sorted(packages), file=sys.stderr)
    return result
checkout.place = place
sys.exit(main.run(["pull"]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=clone, capture_output=True, text=True)
    assert (done.returncode, (clone / CAT).is_file()) == (0, True), done.stderr
    assert "late: []" in done.stderr.splitlines(), "what `place` imports is in `checkout._DVC`"


# --- as DVC does ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "made"),
    [("copy", "copy"), ("hardlink", "hardlink"), ("symlink", "symlink"), ("reflink,symlink", "symlink")],
)
def test_files_are_as_dvc_leaves_them_and_it_hashes_none_again(
    clone: Path, run_registry: Run, hashed: list[str], kinds: str, made: str
) -> None:
    set_kind(clone, kinds)
    assert run_registry(clone, "pull").code == 0
    ours = looks(clone)
    assert {how for _, _, how in ours.values()} == {made}
    for question in (["status", "--json"], ["data", "status", "--granular", "--json"], ["checkout", "--quiet"]):
        hashed.clear()
        assert dvc_main(["--cd", str(clone), *question]) == 0
        # What has no hash of its own in the registry: a stage's code and metrics, which pull does not bring.
        assert [name for name in hashed if "/datasets/" in name or name.endswith(".safetensors")] == []
    assert looks(clone) == ours
    for path in (PREPARED, "datasets/pets/raw"):
        subprocess.run(["rm", "-rf", clone / path], check=True)
    (clone / "models/pets/model.onnx").unlink()
    assert dvc_main(["--cd", str(clone), "checkout", "--quiet"]) == 0
    assert looks(clone) == ours, "as DVC itself makes them"


def test_dvc_takes_away_what_another_commit_does_not_have(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull").code == 0
    (clone / "datasets/pets/prepared.dvc").unlink()
    (clone / "models/pets/dvc.yaml").unlink()
    assert dvc_main(["--cd", str(clone), "checkout", "--quiet"]) == 0
    assert not (clone / PREPARED).exists(), "it knows that the folder is a link of its own"


def test_another_version_replaces_adds_and_removes(merged_model: Path, run_registry: Run) -> None:
    changed = {**repositories.PETS, "train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg": b"another cat"}
    for path in (
        "val/cat/0a8c7f6e-0000-4000-8000-000000000004.jpg",
        "test/dog/0a8c7f6e-0000-4000-8000-000000000005.jpg",
    ):
        del changed[path]
    changed["test/cat/0a8c7f6e-0000-4000-8000-000000000006.jpg"] = b"a cat that came later"
    before = repositories.snapshot(merged_model / PREPARED)
    repositories.dataset(merged_model, "pets", changed, "2.0.0")
    repositories.commit(merged_model, "2.0.0")
    after = repositories.snapshot(merged_model / PREPARED)
    for revision, files in (("HEAD~1", before), ("main", after)):
        repositories.git_in(merged_model, "checkout", "--quiet", revision)
        done = run_registry(merged_model, "checkout")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert repositories.snapshot(merged_model / PREPARED) == files
    assert not (merged_model / PREPARED / "val").exists(), "an empty folder is no data"


def test_an_incomplete_output_is_unchanged_and_named(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull").code == 0
    before = looks(clone)
    repositories.place(clone / ".dvc/cache", repositories.md5(b"one cat")).unlink()
    assert run_registry(clone, "checkout").out == f"not in the cache: {PREPARED}\n  hint: registry pull {PREPARED}\n"
    assert looks(clone).keys() == before.keys()


# --- what is a person's own -------------------------------------------------------------------------------------------


def test_one_file_that_would_be_lost_stops_everything(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    (clone / CAT).parent.mkdir(parents=True)
    (clone / CAT).write_bytes(b"mine")
    (clone / "models/pets/model.onnx").write_bytes(b"also mine")
    done = run_registry(clone, "checkout")
    words = "2 files would be lost: DVC's cache does not hold their content"
    assert done.refused(
        words,
        CAT,
        "models/pets/model.onnx",
        "registry pull --set-aside datasets/pets models/pets: moves them into set-aside/",
    )
    assert repositories.snapshot(clone / PREPARED) == {CAT.removeprefix(f"{PREPARED}/"): repositories.md5(b"mine")}


def test_a_file_that_dvc_does_not_know_is_in_the_way_unless_it_is_ignored(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull").code == 0
    (clone / PREPARED / "train/notes.txt").write_text("mine")
    (clone / CAT).unlink()
    assert run_registry(clone, "checkout").refused("1 file would be lost", f"{PREPARED}/train/notes.txt")
    assert not (clone / CAT).exists()
    with (clone / ".dvcignore").open("a") as ignore:
        ignore.write("notes.txt\n")
    assert run_registry(clone, "checkout").code == 0
    assert ((clone / CAT).read_bytes(), (clone / PREPARED / "train/notes.txt").read_text()) == (b"one cat", "mine")


def test_a_file_with_bytes_that_the_cache_holds_may_go(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull").code == 0
    repositories.overwrite(clone / CAT, b"a dog")
    (clone / PREPARED / "copy.jpg").write_bytes(b"a dog")
    assert run_registry(clone, "checkout").code == 0
    assert ((clone / CAT).read_bytes(), (clone / PREPARED / "copy.jpg").exists()) == (b"one cat", False)


@pytest.mark.parametrize("path", [PREPARED, f"{PREPARED}/train", "datasets/pets"])
def test_a_folder_that_leads_elsewhere_is_never_followed(clone: Path, run_registry: Run, path: str) -> None:
    assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    aside = clone.parent / "aside"
    if (clone / path).exists():
        (clone / path).rename(aside)
    aside.mkdir(exist_ok=True)
    (clone / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / path).symlink_to(aside)
    before = repositories.snapshot(aside)
    placement = Placement((PREPARED,), PREPARED, {CAT: repositories.md5(b"one cat")})
    with pytest.raises(Exception, match=r"symbolic link|would be lost"):
        checkout.place(clone, open_cache(clone), [placement])
    assert repositories.snapshot(aside) == before


# --- when something goes wrong ----------------------------------------------------------------------------------------


def test_a_kind_of_link_that_is_refused_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(source: str, target: str) -> None:
        tried.append((source, target))
        raise OSError(95, "not supported")

    monkeypatch.setattr("dvc_objects.fs.system.hardlink", refuse)
    (tmp_path / "object").write_bytes(b"x")
    linker = Linker(["hardlink", "symlink", "copy"])
    for number in range(3):
        linker.link(str(tmp_path / "object"), str(tmp_path / f"{number}"), repositories.md5(b"x"))
    assert len(tried) == 1
    assert [kind(tmp_path / f"{number}") for number in range(3)] == ["symlink"] * 3


def test_empty_files_are_no_links(tmp_path: Path) -> None:
    (tmp_path / "object").touch()
    Linker(["hardlink"]).link(str(tmp_path / "object"), str(tmp_path / "file"), repositories.md5(b""))
    assert (tmp_path / "file").stat().st_nlink == 1


def test_a_path_that_cannot_be_written_is_named(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    (clone / PREPARED).parent.mkdir(exist_ok=True)
    placement = Placement((PREPARED,), PREPARED, {f"{PREPARED}/{'n' * 300}.jpg": repositories.md5(b"one cat")})
    with pytest.raises(StorageFailed, match="file name too long"):
        checkout.place(clone, open_cache(clone), [placement])


def test_nothing_is_linked_while_another_dvc_process_has_the_lock(
    clone: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.1)  # seconds that DVC waits for another
    assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    placement = Placement((PREPARED,), PREPARED, {CAT: repositories.md5(b"one cat")})
    with Repo(str(clone)) as repo, repo.lock, pytest.raises(Refused, match="another DVC process holds the lock"):
        checkout.place(clone, open_cache(clone), [placement])
    assert not (clone / PREPARED).exists()


def test_a_killed_checkout_is_completed_by_the_next_run(merged_model: Path, tmp_path: Path) -> None:
    images = {f"train/cat/{number:08x}-0000-4000-8000-000000000000.jpg": os.urandom(1000) for number in range(300)}
    repositories.dataset(merged_model, "pets", images, "2.0.0")
    repositories.merge(merged_model, "datasets/pets 2.0.0")
    clone = repositories.other_clone(merged_model, tmp_path)
    set_kind(clone, "copy")
    pull = subprocess.Popen([sys.executable, "-m", "registry", "pull"], cwd=clone, stdout=subprocess.DEVNULL)
    while pull.poll() is None and len(list((clone / PREPARED).glob("train/cat/*"))) < 50:
        pass
    pull.send_signal(signal.SIGKILL)
    pull.wait()
    done = repositories.registry(clone, "pull")
    assert (done.returncode, done.stderr) == (0, "")
    files = {name: md5 for name, (md5, _, _) in looks(clone).items()}
    assert files == {name: md5 for name, (md5, _, _) in looks(merged_model).items()}
    assert dvc_main(["--cd", str(clone), "data", "status", "--granular", "--quiet"]) == 0
