"""What this project relies on in DVC, asked of DVC itself, so that an upgrade that changes one is seen."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml
from dvc.cli import main

from registry.core import pointers
from registry.core.values import Output
from registry.errors import InvalidDocument
from registry.integrations import dvc
from registry.sync import dir_listing
from support import repositories

Run = Callable[..., int]


@pytest.fixture
def run(registry_repo: Path) -> Run:
    """DVC's own command line in `registry_repo`, or in the folder `cwd`."""
    return lambda *args, cwd=registry_repo: main(["--cd", str(cwd), *args])


def put(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)
        (root / path).write_text(text)


FILES = {"data/a/x.txt": "x", "data/b.txt": "b", "data/a-1.txt": "1"}


def test_a_pointer_and_its_dir_object_are_written_as_dvc_writes_them(registry_repo: Path, run: Run) -> None:
    put(registry_repo, FILES)
    assert run("add", "data") == 0
    written = (registry_repo / "data.dvc").read_bytes()
    output = pointers.read_pointer(written, "data.dvc")
    assert written == pointers.write_pointer(output, {})
    assert output == Output("data", output.md5, size=3, nfiles=3)
    listing = repositories.place(registry_repo / ".dvc/cache", output.md5).read_bytes()
    files = [(path.removeprefix("data/"), repositories.md5(text.encode())) for path, text in FILES.items()]
    assert listing == dir_listing.write(pl.DataFrame(files, schema=["relpath", "md5"], orient="row"))
    assert dir_listing.md5_of(listing) == output.md5


def test_a_file_has_no_nfiles_and_meta_survives_add(registry_repo: Path, run: Run) -> None:
    put(registry_repo, {"one.txt": "one"})
    assert run("add", "one.txt") == 0
    pointer = registry_repo / "one.txt.dvc"
    output = pointers.read_pointer(pointer.read_bytes(), "one.txt.dvc")
    pointer.write_bytes(pointers.write_pointer(output, {"build": {"images": 1}}))
    put(registry_repo, {"one.txt": "changed"})
    assert run("add", "one.txt") == 0
    assert yaml.safe_load(pointer.read_bytes())["meta"] == {"build": {"images": 1}}
    assert pointers.read_pointer(pointer.read_bytes(), "one.txt.dvc").size == len("changed")


def test_a_lock_does_not_say_which_outputs_are_gits(registry_repo: Path, run: Run) -> None:
    """So `objects` asks Git's tree: an output that Git versions is no object."""
    stage = {"cmd": "echo 1 > kept && echo 2 > metrics.json", "outs": ["kept"]}
    (registry_repo / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"one": {**stage, "metrics": [{"metrics.json": {"cache": False}}]}}})
    )
    assert run("repro", "--quiet") == 0
    outs = yaml.safe_load((registry_repo / "dvc.lock").read_text())["stages"]["one"]["outs"]
    assert [sorted(out) for out in outs] == [["hash", "md5", "path", "size"]] * 2
    kept, metrics = (repositories.place(registry_repo / ".dvc/cache", out["md5"]) for out in outs)
    assert (kept.exists(), metrics.exists()) == (True, False)


def test_push_from_a_clone_without_data_succeeds(registry_repo: Path, run: Run, tmp_path: Path) -> None:
    """Why the push gate is our own."""
    put(registry_repo, FILES)
    assert run("add", "data") == 0
    repositories.commit(registry_repo, "data")
    repositories.git_in(tmp_path, "clone", "--quiet", str(registry_repo), "clone")
    assert run("push", "--remote", "staging", cwd=tmp_path / "clone") == 0
    assert not list((tmp_path / "clone/.registry").rglob("*.dir"))


def test_data_status_knows_what_a_remote_lacks(registry_repo: Path, run: Run) -> None:
    put(registry_repo, FILES)
    assert run("add", "data") == 0
    assert run("push", "--quiet", "--remote", "production") == 0
    repositories.place(registry_repo / ".registry/production", repositories.md5(b"x")).unlink()
    status = ("data", "status", "--not-in-remote", "--json")
    assert json.loads(dvc.dvc(registry_repo, *status, "--granular"))["not_in_remote"] == ["data/a/x.txt"]
    assert "not_in_remote" not in json.loads(dvc.dvc(registry_repo, *status))


def test_checkout_links_whole_outputs_only_and_keeps_what_is_unsaved(registry_repo: Path, run: Run) -> None:
    put(registry_repo, FILES)
    assert run("add", "data") == 0
    repositories.commit(registry_repo, "one")
    put(registry_repo, {"data/b.txt": "other"})
    assert run("add", "data") == 0
    repositories.commit(registry_repo, "two")
    lost = repositories.place(registry_repo / ".dvc/cache", repositories.md5(b"b"))
    lost.rename(registry_repo / "lost")
    repositories.git_in(registry_repo, "checkout", "--quiet", "HEAD~1")
    dvc.checkout(registry_repo, ["data.dvc"])
    assert not (registry_repo / "data").exists(), "an output that lacks one object is not linked at all"
    (registry_repo / "lost").rename(lost)
    dvc.checkout(registry_repo, ["data.dvc"])
    assert (registry_repo / "data/b.txt").read_text() == "b"
    put(registry_repo, {"data/b.txt": "mine"})
    repositories.git_in(registry_repo, "checkout", "--quiet", "main")
    assert run("checkout", "--quiet", "--allow-missing", "data.dvc") == 255
    assert (registry_repo / "data/b.txt").read_text() == "mine"


def test_artifacts_get_fetches_a_tag(built_dataset: Path, run: Run, tmp_path: Path) -> None:
    rows = {"datasets/pets": {"path": "datasets/pets/prepared", "type": "dataset"}}
    (built_dataset / "dvc.yaml").write_text(yaml.safe_dump({"artifacts": rows}))
    repositories.commit(built_dataset, "the artifact's row")
    repositories.git_in(built_dataset, "tag", "--annotate", "--message", "x", "datasets/pets@v1.0.0")
    shutil.copytree(built_dataset / ".registry/staging", built_dataset / ".registry/production")
    repositories.model(built_dataset, "pets", b"later", "1.0.0")
    shutil.rmtree(built_dataset / ".dvc/cache")
    got = tmp_path / "got"
    arguments = ["artifacts", "get", str(built_dataset), "datasets/pets", "--rev", "v1.0.0", "--out", str(got)]
    assert run(*arguments, cwd=tmp_path) == 0
    assert {path: (got / path).read_bytes() for path in repositories.PETS} == repositories.PETS
    assert not (got / "../registry/.dvc/cache").exists(), "from production, the default remote"


@pytest.mark.parametrize("level", ["default", "repo", "local", "global"])
def test_the_cache_is_where_dvc_says(
    registry_repo: Path, run: Run, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    if level == "repo":  # a consumer's committed file may say it; a registry's must not
        (registry_repo / "registry.yaml").unlink()
    if level != "default":
        flag = [] if level == "repo" else [f"--{level}"]
        assert run("config", *flag, "cache.dir", "../elsewhere" if level != "global" else str(registry_repo / "g")) == 0
    try:
        capsys.readouterr()
        assert run("cache", "dir") == 0
        assert str(dvc.cache_dir(registry_repo)) == os.path.normpath(capsys.readouterr().out.strip())
    finally:
        if level == "global":
            run("config", "--global", "--unset", "cache.dir")


def test_a_cache_at_several_places_is_named(registry_repo: Path, run: Run) -> None:
    (registry_repo / ".dvc/config.local").write_text("[cache]\ndir = one, two\n")
    assert run("cache", "dir") != 0
    with pytest.raises(InvalidDocument, match=r"^\.dvc/config\.local: cache\.dir is a list of values"):
        dvc.cache_dir(registry_repo)


@pytest.mark.parametrize("text", ["[cache\n", "[core]\n[core]\n", "\xff"])
def test_a_config_that_dvc_cannot_read_is_named(registry_repo: Path, run: Run, text: str) -> None:
    (registry_repo / ".dvc/config").write_bytes(text.encode("latin-1"))
    assert run("cache", "dir") != 0
    with pytest.raises(InvalidDocument, match=r"^\.dvc/config: not a DVC configuration file: "):
        dvc.cache_dir(registry_repo)
