"""`registry.open`: a release in a program, with the libraries that people use."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image as Pixels
from torch.utils.data import DataLoader

import registry
from registry.errors import NotFound, Refused
from support import repositories
from support.odd_images import photo
from support.repositories import PETS, Run


@pytest.fixture
def photos(registry_repo: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registry with `datasets/pets@v1.0.0` of photos, and a cache of its own for what a program opens."""
    repositories.dataset(registry_repo, "pets", dict.fromkeys(PETS, photo()), "1.0.0")
    repositories.add_origin(registry_repo)
    repositories.git_in(registry_repo, "push", "--quiet", "--set-upstream", "origin", "main")
    repositories.merge(registry_repo, "datasets/pets 1.0.0")
    assert run_registry(registry_repo, "publish").code == 0
    monkeypatch.setenv("REGISTRY_CACHE", str(registry_repo.parent / "cache"))
    return str(registry_repo)


def numbers(pixels: Pixels) -> np.ndarray:
    return np.asarray(pixels, dtype=np.float32)


def test_a_dataset_gives_files_table_images_and_datasets(photos: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pets = registry.open("datasets/pets", "v1.0.0", repo=photos)
    assert (str(pets.tag), pets.withdrawn) == ("datasets/pets@v1.0.0", "")
    assert sorted(pets.table["file_name"]) == sorted(PETS)
    assert dict(pets.table.select("label_name", "label").rows()) == {"cat": 0, "dog": 1}
    assert all((pets.path / name).is_file() for name in pets.table["file_name"])
    assert [(image.label, image.path.name) for image in pets.images("val")] == [
        ("cat", "0a8c7f6e-0000-4000-8000-000000000004.jpg")
    ]
    assert len(list(pets.images())) == 5
    loaded = next(pets.images("test"))
    assert (loaded.load().mode, loaded.split, loaded.uuid[-1]) == ("RGB", "test", "5")
    batch, labels = next(iter(DataLoader(pets.torch("train", numbers), batch_size=3)))
    assert (batch.shape[0], batch.shape[3], labels.tolist()) == (3, 3, [0, 0, 1])
    assert pets.torch("test")[0][1] == pets.torch("test").numbers["dog"] == 1
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    loaded = pets.hf(cache_dir=str(pets.path.parent / "hf"))
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 3, "val": 1, "test": 1}
    assert loaded["test"].features["label"].int2str(loaded["test"][0]["label"]) == "dog"
    with pytest.raises(Refused, match="is a dataset"):
        pets.session()


def test_opening_again_finds_the_files_and_a_split_is_enough(photos: str) -> None:
    one = registry.open("datasets/pets", repo=photos, split="test")
    assert [path.name for path in one.path.iterdir()] == ["test"]
    before = {path: path.stat().st_mtime_ns for path in one.path.rglob("*.jpg")}
    again = registry.open("datasets/pets", repo=photos)
    assert again.path == one.path
    assert before.items() <= {path: path.stat().st_mtime_ns for path in one.path.rglob("*.jpg")}.items()
    assert len(list(again.images())) == 5
    assert registry.open("datasets/pets", repo=photos, split="test").torch("test").numbers == {"cat": 0, "dog": 1}
    with pytest.raises(NotFound, match="no split 'tset'"):
        registry.open("datasets/pets", repo=photos, split="tset")


def test_a_model_gives_a_session_and_a_withdrawn_one_warns(
    released_model: Path, tmp_path: Path, run_registry: Run
) -> None:
    assert run_registry(released_model, "withdraw", "models/pets", "v1.0.0", "--why", "wrong classes").code == 0
    repositories.merge(released_model, "withdraw")
    with pytest.warns(UserWarning, match=r"models/pets@v1\.0\.0 is withdrawn: wrong classes"):
        pets = registry.open("models/pets", repo=str(released_model), folder=tmp_path / "model")
    assert pets.path == tmp_path / "model/model.onnx"
    assert [one.name for one in pets.session(providers=["CPUExecutionProvider"]).get_inputs()] == ["images"]
    assert pets.withdrawn == "wrong classes"
    with pytest.raises(Refused, match="is a model"):
        list(pets.images())


def test_a_library_that_is_missing_names_its_extra(photos: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pets = registry.open("datasets/pets", repo=photos)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(NotFound, match="extra `table`"):
        assert pets.table
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(NotFound, match="extra `images`"):
        next(pets.images()).load()


def test_what_the_package_offers_is_what_it_names() -> None:
    assert all(getattr(registry, name).__name__ == name for name in registry.__all__)
    assert not hasattr(registry, "close")
