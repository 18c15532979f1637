"""`registry get` without Git: from the `registry.json` of a catalog over plain HTTP, which may be hostile."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.client import catalogs
from registry.core import erasures, references
from registry.core.digests import object_key
from registry.core.names import parse_tag
from registry.errors import InvalidData, InvalidDocument, NotFound, StorageFailed
from support import model_files, repositories
from support.repositories import PETS, Run, production
from support.servers import static_files

TAG = "datasets/pets@v1.0.0"
MD5 = "0123456789abcdef0123456789abcdef"
ERASED = {"case": "DSR-1", "date": "2026-11-29", "items": [], "objects": [erasures.digest_of_object(MD5)]}


@pytest.fixture
def site(released_model: Path, tmp_path: Path, run_registry: Run) -> Iterator[str]:
    """The address of a catalog, whose registry has its objects on another public server."""
    with static_files.serving(production(released_model)) as objects, static_files.serving(tmp_path / "site") as pages:
        config = released_model / ".dvc/config"
        config.write_text(f"{config.read_text()}['remote \"public\"']\n    url = {objects.url}\n")
        repositories.merge(released_model, "a public remote")
        done = run_registry(released_model, "catalog", "build", "--out", str(tmp_path / "site"))
        assert done.code == 0, done.err
        yield pages.url


def test_a_release_is_fetched_without_git(
    site: str, tmp_path: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for number, place in enumerate((f"{site}/registry.json", f"{site}/", str(tmp_path / "site"))):
        done = run_registry(tmp_path, "get", TAG, "--repo", place, "--out", f"got{number}")
        assert done.code == 0, done.err
        assert {path: (tmp_path / f"got{number}" / path).read_bytes() for path in PETS} == PETS
    assert run_registry(tmp_path, "get", "models/pets@latest", "--repo", f"{site}/").code == 0
    assert (tmp_path / "pets/model.onnx").read_bytes() == model_files.named(b"weights of 1.0.0")
    unknown = run_registry(tmp_path, "get", "datasets/pets@v3.0.0", "--repo", f"{site}/")
    assert unknown.refused("datasets/pets@v3.0.0 is no release of", "\n  datasets/pets@v1.0.0\n")


def test_an_address_without_the_file(site: str, tmp_path: Path, run_registry: Run) -> None:
    assert run_registry(tmp_path, "get", TAG, "--repo", f"{site}/x/registry.json").refused("does not exist")
    assert run_registry(tmp_path, "get", TAG, "--repo", f"{site}/x/").refused(f"{site}/x/: fatal: ")


# --- what it says -----------------------------------------------------------------------------------------------------


def release(version: str, **more: object) -> dict[str, object]:
    product = {"path": "datasets/pets/prepared", "kind": "dir", "md5": f"{MD5}.dir", "bytes": 9, "files": 1}
    row = {"tag": f"datasets/pets@v{version}", "stages": [], "withdrawn": None, "fault": None}
    return {**row, "products": [{**product, "key": object_key(f"{MD5}.dir")}], **more}


def catalog(*releases: dict[str, object], **more: object) -> dict[str, object]:
    artifacts = [{"artifact": "datasets/pets", "releases": list(releases)}]
    start = {"schema": 1, "repository": "https://github.com/acme/data", "objects": "https://data.acme.example"}
    return {**start, "artifacts": artifacts, **more}


def find(data: object, wanted: str) -> str:
    return str(catalogs.find(json.dumps(data).encode(), "registry.json", references.parse(wanted)).tag)


def test_stages_withdrawals_and_faults_are_obeyed() -> None:
    said = catalog(
        release("2.0.0", fault="the manifest of its commit says 1.2.0"),
        release("1.2.0", withdrawn="labels swapped"),
        release("1.1.0", stages=["dev"]),
        release("1.0.0", stages=["prod"], more="than was known"),
        later="key",
    )
    assert find(said, "datasets/pets@latest") == "datasets/pets@v1.1.0"
    assert find(said, "datasets/pets#prod") == "datasets/pets@v1.0.0"
    with pytest.raises(InvalidData, match=r"the manifest of its commit says 1\.2\.0"):
        find(said, "datasets/pets@v2.0.0")
    with pytest.raises(NotFound, match="no release of datasets/cats"):
        find(said, "datasets/cats@latest")
    found = catalogs.find(json.dumps(said).encode(), "x", references.parse("datasets/pets@v1.2.0"))
    assert (found.withdrawn, found.stores[0].url) == ("labels swapped", "https://data.acme.example")


def test_a_registry_without_a_public_place_names_its_repository() -> None:
    with pytest.raises(StorageFailed, match=r"use --repo https://github\.com/acme/data"):
        find(catalog(release("1.0.0"), objects=None), TAG)
    with pytest.raises(StorageFailed, match="no public place for objects is named"):
        find(catalog(release("1.0.0"), objects="file:///etc"), TAG)


def test_what_was_erased_is_known_and_a_file_without_it_is_of_an_earlier_build() -> None:
    said = catalog(release("1.0.1"), release("1.0.0", withdrawn="erased"), erased=[ERASED])
    found = catalogs.find(json.dumps(said).encode(), "x", references.parse(TAG))
    assert found.good == parse_tag("datasets/pets@v1.0.1")
    assert found.erased["DSR-1"].has_object(MD5)
    assert not found.erased["DSR-1"].has_item(MD5)
    assert not catalogs.find(json.dumps(catalog(release("1.0.0"))).encode(), "x", references.parse(TAG)).erased


CHANGES = {
    "another path": {"path": "datasets/pets/../../x"},
    "another artifact": {"path": "datasets/cats/prepared"},
    "a file": {"md5": MD5, "key": object_key(MD5)},
    "no MD5": {"md5": "../../etc/passwd"},
    "another key": {"key": "files/md5/00/../../x.dir"},
    "no size": {"bytes": "9"},
    "a negative size": {"bytes": -1},
    "a number for a text": {"path": 1},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_product_that_no_release_has_is_refused(change: dict[str, object]) -> None:
    said = catalog(release("1.0.0"))
    product = said["artifacts"][0]["releases"][0]["products"][0]  # type: ignore[index]
    product.update(change)
    with pytest.raises(InvalidDocument, match=r"registry\.json: not a catalog's"):
        find(said, TAG)


@pytest.mark.parametrize(
    "said",
    [[], None, {}, {"schema": 2}, catalog({"tag": "datasets/pets@v1.0.0"}), catalog(release("1.0.0", products=[])),
     catalog(release("1.0.0", tag="datasets/cats@v1.0.0")), catalog(release("1.0.0", tag="../x")),
     catalog(release("1.0.0", tag=3)), catalog(release("1.0.0", stages=[1])), catalog(release("1.0.0", withdrawn=1)),
     {**catalog(release("1.0.0")), "artifacts": [1]}, catalog(release("1.0.0"), erased=None),
     *(catalog(release("1.0.0"), erased=[{**ERASED, **change}]) for change in (
         {"case": 1}, {"case": "\x1b[2J"}, {"items": [1]}, {"objects": None}))],
)  # fmt: skip
def test_what_is_no_catalog_is_refused(said: object) -> None:
    with pytest.raises(InvalidDocument, match=r"^registry\.json: "):
        find(copy.deepcopy(said), TAG)
    with pytest.raises(InvalidDocument):
        catalogs.find(b"<html>", "registry.json", references.parse(TAG))
