"""A prepared dataset is read as it is by Hugging Face's and torchvision's ImageFolder."""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

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


def test_torchvision_reads_a_split(prepared: Path) -> None:
    train = read_image_folder(prepared / "train")
    assert train.classes == ["cat", "guinea pig"]
    assert [label for _, label in train.samples] == [0, 0, 1]
    assert [Path(file).stem for file, _ in train.samples] == [UUIDS[0], UUIDS[2], UUIDS[1]]


class ImageFolder(NamedTuple):
    """What torchvision's ImageFolder makes of a folder."""

    classes: list[str]
    samples: list[tuple[str, int]]


def read_image_folder(root: Path) -> ImageFolder:
    """By torchvision itself where it can be imported, else by its rules; a warning says when it was by those.

    It is no dependency, because its build has to be of the same kind as torch's (CPU or CUDA) and the index of a CPU
    build of torch need not have one. Install a fitting one into .venv to have it asked.
    """
    by_rules = _image_folder_by_rules(root)
    try:
        from torchvision.datasets import ImageFolder as Real
    except (ImportError, RuntimeError) as why:  # RuntimeError: «operator torchvision::nms does not exist»
        warnings.warn(f"read by the rules of torchvision 0.28.0's ImageFolder, not by torchvision: {why}", stacklevel=2)
        return by_rules
    real = Real(root)
    assert by_rules == (real.classes, real.samples)
    return by_rules


def _image_folder_by_rules(root: Path) -> ImageFolder:
    """torchvision 0.28.0, datasets/folder.py: find_classes, make_dataset and IMG_EXTENSIONS."""
    extensions = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    samples = [
        (os.path.join(folder, file), number)  # noqa: PTH118 (torchvision's paths are texts)
        for number, name in enumerate(classes)
        for folder, _, files in sorted(os.walk(root / name, followlinks=True))
        for file in sorted(files)
        if file.lower().endswith(extensions)
    ]
    assert {number for _, number in samples} == set(range(len(classes))), "a class without an image, which it refuses"
    return ImageFolder(classes, samples)
