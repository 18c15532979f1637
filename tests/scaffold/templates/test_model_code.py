"""The model template's code: other datasets, wrong parameters, and images of every kind."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from support.model_template import SMALL, TEMPLATE, command, dataset, encode, photograph, put, set_params

CPU = torch.device("cpu")

# --- Training, alone --------------------------------------------------------------------------------------------------

Train = Callable[..., Path]


@pytest.fixture
def train(code: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Train:
    """Run train.py on a dataset with these parameters, in a folder that neither Git nor DVC knows."""

    def run(prepared: Path, **params: object) -> Path:
        shutil.copy(TEMPLATE / "params.yaml", tmp_path)
        set_params(tmp_path, **{**SMALL, "epochs": 1, **params})
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train.py", f"--data={prepared}"])
        code.train.main()
        return tmp_path

    return run


@pytest.mark.parametrize("architecture", ["vgg", "resnet"])
@pytest.mark.parametrize("size", [16, 21])
def test_both_families_train_at_any_size(train: Train, tmp_path: Path, architecture: str, size: int) -> None:
    out = train(dataset(tmp_path / "data", train=3, val=1, test=0), architecture=architecture, image_size=size)
    assert (out / "model.onnx").exists()
    assert (out / "plots/training/plots/metrics/val/loss.tsv").exists()


def test_without_a_validation_split_only_that_curve_is_missing(train: Train, tmp_path: Path) -> None:
    out = train(dataset(tmp_path / "data", train=3, val=0, test=0))
    assert (out / "model.onnx").exists()
    assert [path.name for path in (out / "plots/training/plots/metrics").iterdir()] == ["train"]


def test_a_class_may_be_absent_from_validation(train: Train, tmp_path: Path) -> None:
    prepared = dataset(tmp_path / "data", train=3, val=1, test=0)
    shutil.rmtree(prepared / "val/dog")
    put(prepared / "val", "zebra", "z", photograph("dog", 0))
    assert (train(prepared) / "model.onnx").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [([], r"train: no images; run `dvc pull`"), (["cat"], "'cat' is the only label")],
)
def test_a_dataset_that_cannot_be_learned_is_an_error(train: Train, tmp_path: Path, labels: list, message: str) -> None:
    for label in labels:
        put(tmp_path / "data/train", label, "1", photograph(label, 1))
    with pytest.raises(SystemExit, match=message):
        train(tmp_path / "data")


def test_a_training_that_diverges_stops(train: Train, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"loss is .* in epoch \d+; lower learning_rate in params\.yaml"):
        train(dataset(tmp_path / "data", train=4, val=1, test=0), learning_rate=1e30, epochs=5)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "alexnet"}, "architecture must be vgg or resnet, not 'alexnet'"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"width": True}, "width must be of type int, not True"),
        ({"image_size": 8}, "image_size must be at least 16, not 8"),
        ({"epochs": "ten"}, "epochs must be of type int, not 'ten'"),
        ({"learning_rate": float("nan")}, "learning_rate must be at least 0, not nan"),
        ({"flip": "no"}, "flip must be of type bool, not 'no'"),
        ({"momentum": 0.9}, "momentum is not a parameter of train.py"),
    ],
)
def test_a_wrong_parameter_is_named(code: SimpleNamespace, tmp_path: Path, change: dict, message: str) -> None:
    shutil.copy(TEMPLATE / "params.yaml", tmp_path)
    set_params(tmp_path, **change)
    with pytest.raises(SystemExit) as stopped:
        code.train.read_params(tmp_path / "params.yaml")
    assert str(stopped.value) == f"{tmp_path / 'params.yaml'}: {message}"


def test_numbers_are_read_as_dvc_reads_them(code: SimpleNamespace, tmp_path: Path) -> None:
    text = (TEMPLATE / "params.yaml").read_text().replace("learning_rate: 0.003", "learning_rate: 3e-3")
    (tmp_path / "params.yaml").write_text(text)
    assert code.train.read_params(tmp_path / "params.yaml").learning_rate == 0.003


def test_an_error_is_one_line_and_exit_code_1(trained: Path) -> None:
    model = trained / "models/pets"
    (model / "params.yaml").write_text("architecture: vgg\n")
    done = command("python", "train.py", "--data", "../../datasets/pets/prepared", cwd=model)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "params.yaml: batch_size is missing\n")


# --- Images -----------------------------------------------------------------------------------------------------------

GREY = Image.new("L", (20, 30), 100)


@pytest.mark.parametrize("image", [b"", b"<html>", encode(GREY)[:-40], photograph("cat", 0)[:-200]])
def test_an_unreadable_image_is_named(code: SimpleNamespace, tmp_path: Path, image: bytes) -> None:
    put(tmp_path, "cat", "sound", photograph("cat", 0))
    path = put(tmp_path, "dog", "broken", image)
    with pytest.raises(SystemExit, match=r"dog/broken\.jpg: cannot be decoded \(.+\); exclude it"):
        code.data.load_split(tmp_path, ["cat", "dog"], 16, CPU)
    assert path.exists()


def test_a_split_knows_each_images_label(code: SimpleNamespace, tmp_path: Path) -> None:
    dataset(tmp_path, train=2, val=0, test=0)
    (tmp_path / "train/cat/.DS_Store").write_bytes(b"left by a file manager")
    split = code.data.load_split(tmp_path / "train", ["cat", "guinea pig"], 16, CPU)
    assert [path.parent.name for path in split.paths] == ["cat", "cat", "dog", "dog", "guinea pig", "guinea pig"]
    assert split.targets.tolist() == [0, 0, -1, -1, 1, 1]
    assert (split.images.shape, split.images.dtype) == ((6, 16, 16, 3), torch.uint8)


def test_batches_hold_every_image_once_and_are_nearly_equal(code: SimpleNamespace) -> None:
    images = torch.arange(65, dtype=torch.uint8).reshape(65, 1, 1, 1)
    split = code.data.Split([Path()] * 65, images, torch.arange(65))
    given = list(code.data.batches(split, torch.randperm(65), 32, CPU))
    assert [len(targets) for _, targets in given] == [22, 22, 21]
    assert sorted(torch.cat([targets for _, targets in given]).tolist()) == list(range(65))
    assert all((pixels.flatten() == targets).all() for pixels, targets in given)


def test_images_are_moved_and_mirrored_only_if_asked(code: SimpleNamespace) -> None:
    slope = torch.arange(16, dtype=torch.uint8)[None, None, :, None].expand(200, 16, 16, 3)
    for flip in (False, True):
        rows = code.data.augment(slope, flip)[:, 8, :, 0].int()
        falls = (rows.diff(dim=1) < 0).any(dim=1)
        assert falls.any() == flip
        assert len({tuple(row) for row in rows.tolist()}) == (10 if flip else 5)
