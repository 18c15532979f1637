"""Pull: what pointers reach is fetched from any remote and linked, and DVC finds nothing to do."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from registry.demo.seaweedfs import S3Server
from registry.integrations import dvc
from support import model_files, repositories
from support.repositories import Run, production, staging

MODEL_FILE = model_files.named(b"weights of 1.0.0")
CAT, DOG, WEIGHTS = (repositories.md5(data) for data in (b"one cat", b"a dog that runs", MODEL_FILE))
PREPARED = "datasets/pets/prepared"


@pytest.fixture
def home(merged_model: Path) -> Path:
    """`merged_model`, with a part of its objects in staging and the others in production."""
    for file in sorted((staging(merged_model) / "files").rglob("*/*/*"))[::2]:
        moved = production(merged_model) / file.relative_to(staging(merged_model))
        moved.parent.mkdir(parents=True)
        file.rename(moved)
    return merged_model


@pytest.fixture
def clone(home: Path, tmp_path: Path) -> Path:
    """A fresh clone of `home`, which can read the same stores."""
    return repositories.other_clone(home, tmp_path)


def cached(root: Path) -> dict[str, str]:
    return repositories.snapshot(root / ".dvc/cache/files")


def lose(home: Path, md5: str) -> None:
    for store in (staging(home), production(home)):
        repositories.place(store, md5).unlink(missing_ok=True)


def corrupt(store: Path, md5: str) -> None:
    repositories.place(store, md5).parent.mkdir(parents=True, exist_ok=True)
    repositories.overwrite(repositories.place(store, md5), b"no dog")


# --- what comes -------------------------------------------------------------------------------------------------------


@pytest.fixture
def careful_umask() -> Iterator[None]:
    """Others may not read what this person makes; DVC's objects are for all to read all the same."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careful_umask")
def test_objects_come_from_both_remotes_and_dvc_finds_nothing_to_do(home: Path, clone: Path, run_registry: Run) -> None:
    done = run_registry(clone, "pull")
    assert (done.code, done.err) == (0, "")
    size = sum(path.stat().st_size for path in (home / ".dvc/cache/files").rglob("*/*/*"))
    assert done.out.splitlines() == [
        f"13 of 13 objects, {size:,} bytes → {clone / '.dvc/cache'}", "  11 of datasets/pets", "  2 of models/pets",
        f"pulled 13 objects, {size:,} bytes",
    ]  # fmt: skip
    assert cached(clone) == cached(home)
    assert repositories.snapshot(clone / PREPARED) == repositories.snapshot(home / PREPARED)
    objects = [path.stat() for path in (clone / ".dvc/cache/files").rglob("*/*/*")]
    assert {stat.S_IMODE(file.st_mode) for file in objects} == {0o444}
    assert (clone / PREPARED / "train/metadata.parquet").stat().st_nlink == 2
    assert dvc.dvc(clone, "status", "--json", quiet=True).strip() == "{}"
    assert set(json.loads(dvc.dvc(clone, "data", "status", "--granular", "--json", quiet=True))) <= {"git"}


def test_only_what_is_missing_is_fetched(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    repositories.place(clone / ".dvc/cache", CAT).unlink()
    done = run_registry(clone, "pull", "--rev", "HEAD")
    assert done.out.splitlines()[::2] == [
        f"1 of 13 objects, 7 bytes → {clone / '.dvc/cache'}",
        "pulled 1 object, 7 bytes",
    ]
    assert run_registry(clone, "pull", "--rev", "HEAD").out == "nothing to fetch: the cache has all 13 objects\n"


def test_an_output_and_a_part_of_it_are_the_output(clone: Path, run_registry: Run) -> None:
    done = run_registry(clone, "pull", "--rev", "HEAD", f"{PREPARED}/train", "datasets/pets")
    assert (done.code, len(cached(clone))) == (0, 11)


def test_a_dry_run_fetches_nothing(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull", "--dry-run").out.startswith("13 of 13 objects, ")
    assert cached(clone) == {}


def test_one_artifact(clone: Path, run_registry: Run) -> None:
    assert run_registry(clone, "pull", "--rev", "HEAD", "models/pets/").code == 0
    lock = yaml.safe_load((clone / "models/pets/dvc.lock").read_text())["stages"]["train"]["outs"]
    assert set(cached(clone).values()) == {out["md5"] for out in lock if out["path"] != "metrics.json"}


def test_a_part_brings_and_links_that_part_alone(home: Path, clone: Path, run_registry: Run) -> None:
    lose(home, DOG)  # in another part
    done = run_registry(clone, "pull", f"{PREPARED}/train")
    assert (done.code, done.out.splitlines()[-1].split(",")[0]) == (0, "pulled 5 objects")
    assert repositories.snapshot(clone / PREPARED / "train") == repositories.snapshot(home / PREPARED / "train")
    assert sorted(path.name for path in (clone / PREPARED).iterdir()) == ["train"]


def test_another_revision_is_fetched_into_the_cache_only(home: Path, clone: Path, run_registry: Run) -> None:
    repositories.dataset(home, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.merge(home, "datasets/pets 1.1.0")
    repositories.git_in(clone, "fetch", "--quiet")
    done = run_registry(clone, "pull", "--rev", "origin/main", "datasets/pets")
    assert (done.code, done.out.split(",")[0]) == (0, "12 of 12 objects")
    assert not (clone / PREPARED).exists()
    assert repositories.git_in(clone, "status", "--short", "--untracked-files=no") == ""


def test_what_is_not_made_yet_is_skipped_with_a_word(clone: Path, run_registry: Run) -> None:
    (clone / "datasets/pets/raw.dvc").unlink()
    (clone / "datasets/pets/prepared.dvc").unlink()
    (clone / "models/pets/dvc.lock").unlink()
    done = run_registry(clone, "pull")
    assert (done.code, done.out) == (0, "datasets/pets: not built yet\nmodels/pets: not trained yet\n")


MISTAKES = {
    "datasets/cows": ["datasets/cows does not exist", "registry new dataset cows"],
    "datasets/pets/cooked": ["datasets/pets/cooked is no data of datasets/pets", f"name {PREPARED}, "],
    f"{PREPARED}/trian": [f"{PREPARED}/trian is no data of datasets/pets", f"name {PREPARED} or a part of it"],
    f"{PREPARED}/../raw": ["is no data of datasets/pets"],
    "pets": ["'pets' is not an artifact id"],
    "--rev=v9": ["'v9' is not a revision", "git fetch"],
}


def test_what_does_not_exist_is_named(built_model: Path, run_registry: Run) -> None:
    for argument, words in MISTAKES.items():
        assert run_registry(built_model, "pull", argument).refused(*words), argument


# --- what does not come -----------------------------------------------------------------------------------------------


def test_missing_objects_are_named_and_the_rest_is_fetched(home: Path, clone: Path, run_registry: Run) -> None:
    lose(home, CAT)
    lose(home, DOG)
    done = run_registry(clone, "pull")
    words = f"datasets/pets: 2 missing, such as {PREPARED}/"
    assert done.refused("2 objects could not be fetched from", words, "`registry push` where the data is")
    assert (clone / "models/pets/model.onnx").exists()
    assert (clone / "datasets/pets/raw/selection.parquet").exists()
    assert not (clone / PREPARED).exists()
    assert len(cached(clone)) == 10, "without the two, and the list of files that would stand for them"


def test_a_lost_list_of_files(home: Path, clone: Path, run_registry: Run) -> None:
    [listing] = [
        path.name for path in (home / ".dvc/cache/files/md5").rglob("*.dir") if b"metadata" in path.read_bytes()
    ]
    for store in (staging(home), production(home)):
        for path in store.rglob(listing):
            path.unlink()
    assert run_registry(clone, "pull", "--rev", "HEAD").refused(
        "1 object could not", f"1 missing, such as {PREPARED} (files/md5/"
    )
    assert WEIGHTS in cached(clone).values()


def test_a_wrong_body_never_arrives(home: Path, clone: Path, run_registry: Run) -> None:
    lose(home, DOG)
    corrupt(staging(home), DOG)
    done = run_registry(clone, "pull", "--rev", "HEAD")
    assert done.refused(
        "1 object could not be fetched",
        "1 corrupt, such as",
        f"{DOG[2:]}",
        "run `registry push --deep` where the data is",
    )
    assert not repositories.place(clone / ".dvc/cache", DOG).exists()
    assert len(cached(clone)) == 11, "without it, and the list of files that would stand for it"


def test_an_object_that_is_corrupt_in_one_remote_comes_from_the_other(
    home: Path, clone: Path, run_registry: Run
) -> None:
    lose(home, DOG)
    repositories.stage(home)
    corrupt(production(home), DOG)
    assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    assert cached(clone) == cached(home)


def test_a_pointer_with_another_size_is_named(clone: Path, run_registry: Run) -> None:
    pointer = clone / "datasets/pets/prepared.dvc"
    pointer.write_text(pointer.read_text().replace("size: ", "size: 1"))
    done = run_registry(clone, "pull", "--rev", "HEAD")
    assert done.code == 0
    done = run_registry(clone, "pull")
    assert done.refused("pointers do not match their objects, which are intact", f"{PREPARED}: its objects have")


def test_changed_files_are_kept(built_model: Path, run_registry: Run) -> None:
    repositories.overwrite(built_model / PREPARED / "train/metadata.parquet", b"mine")
    done = run_registry(built_model, "pull")
    assert (done.code, f"{PREPARED}/train/metadata.parquet" in done.err) == (1, True)
    assert (built_model / PREPARED / "train/metadata.parquet").read_bytes() == b"mine"


def test_a_killed_pull_leaves_complete_objects_and_is_completed_later(home: Path, tmp_path: Path) -> None:
    images = {f"train/cat/{number:08x}-0000-4000-8000-000000000000.jpg": os.urandom(50_000) for number in range(250)}
    repositories.dataset(home, "pets", images, "2.0.0")
    repositories.merge(home, "datasets/pets 2.0.0")
    clone = repositories.other_clone(home, tmp_path)
    for _ in range(2):
        before = len(cached(clone))
        pull = subprocess.Popen([sys.executable, "-m", "registry", "pull", "--rev", "HEAD", "datasets/pets"], cwd=clone)
        while pull.poll() is None and len(list((clone / ".dvc/cache").glob("files/md5/*/[!.]*"))) <= before:
            pass
        pull.send_signal(signal.SIGKILL)
        pull.wait()
        left = cached(clone)
        assert all(md5 == name.removesuffix(".dir").replace("/", "")[3:] for name, md5 in left.items())
        assert not any(name.endswith(".dir") for name in left) or len(left) >= 251
    done = repositories.registry(clone, "pull", "--rev", "HEAD", "datasets/pets")
    assert (done.returncode, len(cached(clone))) == (0, 254)
    assert cached(clone).items() <= cached(home).items()


# --- from elsewhere ---------------------------------------------------------------------------------------------------


def configure(root: Path, remotes: dict[str, str], **options: str) -> None:
    """Set a checkout's remotes."""
    lines = [
        line
        for name, url in remotes.items()
        for line in (
            f"['remote \"{name}\"']",
            f"    url = {url}",
            *(f"    {key} = {value}" for key, value in options.items()),
        )
    ]
    (root / ".dvc/config").write_text("\n".join(["[core]", "    analytics = false", *lines, ""]))


@pytest.fixture
def public(home: Path) -> Iterator[str]:
    """The address of a plain web server that shows production, which has everything."""
    repositories.stage(home)
    (production(home)).rename(home / "aside")
    staging(home).rename(production(home))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=production(home))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_without_access_the_public_face_serves(home: Path, clone: Path, public: str, run_registry: Run) -> None:
    configure(clone, {"staging": "/nowhere/staging", "production": "/nowhere/production", "public": public})
    done = run_registry(clone, "pull", "--rev", "HEAD")
    assert (done.code, done.err) == (0, "")
    assert cached(clone) == cached(home)


@pytest.mark.s3
def test_from_s3(home: Path, clone: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(tmp_path / "s3") as server:
        client = server.client()
        for bucket, store in (("staging", staging(home)), ("production", production(home))):
            for file in sorted(store.rglob("*/*/*/*")):
                client.put_object(Bucket=bucket, Key=str(file.relative_to(store)), Body=file.read_bytes())
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        configure(clone, {name: f"s3://{name}" for name in ("staging", "production")}, endpointurl=server.url)
        client.delete_object(Bucket="staging", Key=f"files/md5/{WEIGHTS[:2]}/{WEIGHTS[2:]}")
        client.put_object(Bucket="production", Key=f"files/md5/{WEIGHTS[:2]}/{WEIGHTS[2:]}", Body=MODEL_FILE.swapcase())
        done = run_registry(clone, "pull", "--rev", "HEAD")
        assert done.refused(
            "1 object could not be fetched from s3://production or s3://staging", "models/pets: 1 corrupt"
        )
        client.delete_object(Bucket="production", Key=f"files/md5/{WEIGHTS[:2]}/{WEIGHTS[2:]}")
        client.put_object(Bucket="staging", Key=f"files/md5/{WEIGHTS[:2]}/{WEIGHTS[2:]}", Body=MODEL_FILE)
        assert run_registry(clone, "pull", "--rev", "HEAD").code == 0
    assert cached(clone) == cached(home)
