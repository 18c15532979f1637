"""Production behind plain HTTP, as people without credentials read it: by DVC's own commands, and by ours."""

import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import dvc.api
import pytest

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.errors import NotFound, StorageFailed
from registry.integrations import process
from registry.storage.open import open_store
from registry.storage.verify import audit
from support import model_files, repositories
from support.repositories import MORE_PETS, PETS, Run, md5
from support.servers import static_files

CAT = "train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"


@pytest.fixture
def public(released_model: Path) -> Iterator[str]:
    """The address of a server over production of `released_model`."""
    with static_files.serving(repositories.production(released_model)) as server:
        yield server.url


@pytest.fixture
def origin(released_model: Path, public: str, run_registry: Run) -> Path:
    """The origin of `released_model`, whose main says where `public` is."""
    places = ("--staging", ".registry/staging", "--production", ".registry/production", "--lake", "lake")
    given = ("--again", "--name", "pets", "--owner", "@acme/data", *places, "--public", public)
    assert run_registry(released_model, "init", *given).code == 0
    repositories.commit(released_model, "public")
    repositories.git_in(released_model, "push", "--quiet", "origin", "main")
    return repositories.origin(released_model)


def run_dvc(folder: Path, *args: str) -> CompletedProcess[str]:
    return repositories.sh(folder, "dvc", *args, env={**os.environ, "PATH": process.tool_path()})


def test_an_anonymous_reader_pulls_gets_and_reads(origin: Path, public: str, tmp_path: Path) -> None:
    repositories.git_in(tmp_path, "clone", "--quiet", str(origin), "reader")
    reader, prepared = tmp_path / "reader", "datasets/pets/prepared"
    assert run_dvc(reader, "pull", "--remote", "public").returncode == 0
    assert {path: (reader / prepared / path).read_bytes() for path in PETS} == PETS
    assert (reader / "models/pets/model.onnx").read_bytes() == model_files.named(b"weights of 1.0.0")
    assert run_dvc(tmp_path, "get", str(origin), prepared, "--remote", "public", "--out", "got").returncode == 0
    assert (tmp_path / "got" / CAT).read_bytes() == b"one cat"
    weights = dvc.api.read("models/pets/model.onnx", repo=str(origin), remote="public", mode="rb")
    assert weights == model_files.named(b"weights of 1.0.0")
    # A version from before there was a public remote: its place is given by hand.
    old = ("--rev", "datasets/pets@v1.0.0", "--remote", "public", "--remote-config", f"url={public}", "--out", "old")
    assert run_dvc(tmp_path, "get", str(origin), f"{prepared}/{CAT}", *old).returncode == 0
    assert (tmp_path / "old").read_bytes() == b"one cat"


def test_an_object_with_a_checksum_mismatch_is_not_pulled(origin: Path, released_model: Path, tmp_path: Path) -> None:
    repositories.overwrite(repositories.place(repositories.production(released_model), md5(b"one cat")), b"one rat")
    repositories.git_in(tmp_path, "clone", "--quiet", str(origin), "reader")
    assert run_dvc(tmp_path / "reader", "pull", "--remote", "public").returncode == 1
    assert not (tmp_path / "reader/datasets/pets/prepared").exists()
    # What DVC reads without its cache it never verifies; there HTTPS has to do.
    cat = dvc.api.read(f"datasets/pets/prepared/{CAT}", repo=str(origin), remote="public", mode="rb")
    assert cat == b"one rat"


def test_a_store_over_http_is_read_and_verified(released_model: Path, public: str) -> None:
    store = open_store(Remote(f"{public}/"), released_model)
    assert store.get(object_key(md5(b"one cat"))) == b"one cat"
    assert store.head(object_key(md5(b"one cat"))).size == 7
    asked = [md5(body) for body in MORE_PETS.values()]
    assert audit(store, asked)["state"].value_counts(sort=True).rows() == [("present", 5), ("missing", 1)]
    with pytest.raises(NotFound):
        store.get(object_key(md5(b"a cat that came later")))


def test_nothing_is_written_over_http(released_model: Path, public: str) -> None:
    store = open_store(Remote(public), released_model)
    with pytest.raises(StorageFailed, match="cannot be written to: plain HTTP is read-only"):
        store.put(object_key(md5(b"new")), b"new")
