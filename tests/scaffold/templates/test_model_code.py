"""The model template's code: other datasets, wrong parameters, and images of every kind."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy
import polars as pl
import pytest
import torch
from PIL import Image, ImageOps
from safetensors import safe_open

from support.model_template import COLOURS, SMALL, TEMPLATE, command, dataset, encode, photograph, put, set_params

CPU = torch.device("cpu")

# --- Other datasets than the model was trained on ---------------------------------------------------------------------

Evaluate = Callable[[Path], tuple[dict, pl.DataFrame]]


@pytest.fixture
def evaluate(first_training: Path, code: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluate:
    """Run the trained model on the test split of another dataset, into another folder."""

    def run(prepared: Path) -> tuple[dict, pl.DataFrame]:
        out = tmp_path / "out"
        model = first_training / "models/pets/model.safetensors"
        paths = [f"--metrics={out / 'm.json'}", f"--predictions={out / 'p.parquet'}", f"--plots={out}"]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", f"--data={prepared}", f"--model={model}", *paths])
        code.evaluate.main()
        return json.loads((out / "m.json").read_text()), pl.read_parquet(out / "p.parquet")

    return run


def test_a_label_that_the_model_does_not_know_is_answered_wrongly(evaluate: Evaluate, tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / "test", "cat", f"c{number}", photograph("cat", number))
    put(tmp_path / "test", "zebra", "z", photograph("dog", 0))
    metrics, table = evaluate(tmp_path)
    assert metrics["accuracy"] == 0.75
    assert metrics["per_class"]["zebra"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 1}
    assert metrics["per_class"].keys() == {"cat", "zebra"}, "a class without images has no numbers"
    assert metrics["loss"] > 0
    assert "score_zebra" not in table.columns


def test_with_unknown_labels_alone_there_is_no_loss(evaluate: Evaluate, tmp_path: Path) -> None:
    put(tmp_path / "test", "zebra", "z", photograph("dog", 0))
    metrics, _ = evaluate(tmp_path)
    assert (metrics["accuracy"], metrics["loss"]) == (0, None)


def test_an_empty_test_split_is_an_error(evaluate: Evaluate, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"test: no images; choose another split with --split"):
        evaluate(tmp_path)


def test_the_model_file_says_what_it_is(first_training: Path, code: SimpleNamespace) -> None:
    path = first_training / "models/pets/model.safetensors"
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["network"]) == {
            "architecture": "vgg", "width": 4, "image_size": 16, "classes": list(COLOURS)
        }  # fmt: skip
    network, description = code.network.load(path)
    assert network(torch.zeros(2, 16, 16, 3, dtype=torch.uint8)).shape == (2, len(description.classes))


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
    assert (out / "model.safetensors").exists()
    assert (out / "plots/training/plots/metrics/val/loss.tsv").exists()


def test_without_a_validation_split_only_that_curve_is_missing(train: Train, tmp_path: Path) -> None:
    out = train(dataset(tmp_path / "data", train=3, val=0, test=0))
    assert (out / "model.safetensors").exists()
    assert [path.name for path in (out / "plots/training/plots/metrics").iterdir()] == ["train"]


def test_a_class_may_be_absent_from_validation(train: Train, tmp_path: Path) -> None:
    prepared = dataset(tmp_path / "data", train=3, val=1, test=0)
    shutil.rmtree(prepared / "val/dog")
    put(prepared / "val", "zebra", "z", photograph("dog", 0))
    assert (train(prepared) / "model.safetensors").exists()


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
    assert not (tmp_path / "model.safetensors").exists()


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_turned_upright(code: SimpleNamespace, tmp_path: Path, orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (32, 32), "white")
    upright.paste("red", (0, 0, 16, 16))
    upright.paste("blue", (16, 0, 32, 16))
    turn = code.data.TO_UPRIGHT.get(orientation)
    undo = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    stored = upright if turn is None else upright.transpose(undo.get(turn, turn))
    pixels = code.data.decode(put(tmp_path, "x", "1", encode(stored, kind, orientation)), 16)
    red, blue, white = (pixels[place].tolist() for place in ((3, 3), (3, 12), (12, 7)))
    assert red == pytest.approx([255, 0, 0], abs=12)
    assert blue == pytest.approx([0, 0, 255], abs=12)
    assert white == pytest.approx([255, 255, 255], abs=12)


def test_broken_exif_does_not_make_an_image_unreadable(code: SimpleNamespace, tmp_path: Path) -> None:
    """A number where a text belongs, as one vendor or another writes it; Pillow 13's `exif_transpose` fails."""
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (0, 0, 32, 8))
    odd = encode(image, "JPEG", orientation=6, more={0x011A: 72.0}).replace(b"\x01\x1a\x00\x05", b"\x01\x0f\x00\x05")
    path = put(tmp_path, "x", "1", odd)
    with Image.open(path) as opened, pytest.raises(AttributeError):
        ImageOps.exif_transpose(opened)
    assert code.data.decode(path, 16)[8, 14].tolist() == pytest.approx([0, 0, 255], abs=12)


GREY = Image.new("L", (20, 30), 100)
SIXTEEN_BITS = Image.fromarray(numpy.full((30, 20), 100 * 256 + 99, dtype=numpy.uint16))
CLEAR = Image.new("RGBA", (20, 30), (1, 2, 3, 0))


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (GREY, "JPEG", (100, 100, 100)),
        (SIXTEEN_BITS, "PNG", (100, 100, 100)),
        (GREY.convert("1"), "PNG", None),
        (GREY.convert("LA"), "PNG", (100, 100, 100)),
        (CLEAR, "PNG", (255, 255, 255)),
        (CLEAR.convert("P"), "PNG", None),
        (Image.new("CMYK", (20, 30), (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (Image.new("RGB", (2000, 40), (9, 99, 199)), "JPEG", (9, 99, 199)),
        (Image.new("RGB", (1, 1), (9, 99, 199)), "PNG", (9, 99, 199)),
    ],
    ids=["grey", "16 bits", "1 bit", "grey and alpha", "transparent", "palette", "CMYK", "panorama", "one pixel"],
)
def test_every_mode_becomes_rgb(
    code: SimpleNamespace, tmp_path: Path, image: Image.Image, kind: str, colour: tuple
) -> None:
    pixels = code.data.decode(put(tmp_path, "x", "1", encode(image, kind)), 16)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), numpy.uint8)
    assert colour is None or (abs(pixels.astype(int) - colour) <= 3).all()


def test_the_middle_square_is_what_is_seen(code: SimpleNamespace, tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 32), "white")
    image.paste("black", (32, 0, 64, 32))
    assert code.data.decode(put(tmp_path, "x", "1", encode(image)), 16).max() < 32  # the filter sees a little beyond


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


# --- Metrics ----------------------------------------------------------------------------------------------------------


def test_the_metrics_are_their_textbook_values(code: SimpleNamespace) -> None:
    labels, predicted = ["a", "a", "a", "b", "b"], ["a", "a", "b", "b", "a"]
    table = pl.DataFrame({"label": labels, "predicted": predicted})
    confident = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6], [0.8, 0.2]])
    metrics = code.evaluate.measure(table, confident.log(), torch.tensor([0, 0, 0, 1, 1]))
    assert metrics["accuracy"] == 0.6
    assert metrics["per_class"]["a"] == {"precision": 0.666667, "recall": 0.666667, "f1": 0.666667, "images": 3}
    assert metrics["per_class"]["b"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "images": 2}
    assert metrics["macro_f1"] == pytest.approx(7 / 12, abs=1e-6)
    assert metrics["loss"] == pytest.approx(-numpy.log([0.8, 0.8, 0.4, 0.6, 0.2]).mean(), abs=1e-6)
    # Confidence 0.8: 2 of 3 correct; confidence 0.6: 1 of 2 correct.
    assert metrics["ece"] == pytest.approx((3 * (0.8 - 2 / 3) + 2 * (0.6 - 1 / 2)) / 5, abs=1e-6)
