"""A prepared dataset is read as it is by Hugging Face's and torchvision's ImageFolder."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

UUIDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(6)]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Two classes in train, one item each in val and test, and the tables that `registry build` writes."""
    items = {"train": [("cat", 0), ("guinea pig", 1), ("cat", 2)], "val": [("cat", 3)], "test": [("guinea pig", 4)]}
    for split, rows in items.items():
        lines = ["file_name,label,camera"]
        for label, number in rows:
            file = tmp_path / split / label / f"{UUIDS[number]}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(file)
            lines.append(f"{label}/{file.name},{label},camera-{number}")
        (tmp_path / split / "metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_hugging_face_reads_splits_labels_and_metadata(prepared: Path, tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    cache = str(tmp_path_factory.mktemp("cache"))
    loaded = datasets.load_dataset("imagefolder", data_dir=str(prepared), cache_dir=cache)
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 3, "validation": 1, "test": 1}
    assert sorted(loaded["train"]["label"]) == ["cat", "cat", "guinea pig"]
    assert loaded["test"][0]["camera"] == "camera-4"
    assert loaded["test"][0]["image"].size == (8, 8)


def test_torchvision_reads_a_split(prepared: Path, monkeypatch) -> None:
    # torchvision's compiled operators are built for CUDA; without them this one module of it cannot be imported.
    monkeypatch.setitem(sys.modules, "torchvision._meta_registrations", ModuleType("unused"))
    from torchvision.datasets import ImageFolder

    train = ImageFolder(prepared / "train")
    assert train.classes == ["cat", "guinea pig"]
    assert [label for _, label in train.samples] == [0, 0, 1]
    assert train[0][0].size == (8, 8)
