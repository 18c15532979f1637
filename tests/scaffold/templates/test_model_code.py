"""The model template's code: other datasets, wrong parameters, and images of every kind."""

import errno
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from registry.model.training_data import open_folder, open_splits
from support.model_template import SMALL, TEMPLATE, command, dataset, encode, photograph, put, set_params

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
@pytest.mark.parametrize(("size", "batch"), [(16, 8), (21, 1000)])
def test_both_families_train_at_any_size(
    train: Train, tmp_path: Path, architecture: str, size: int, batch: int
) -> None:
    prepared = dataset(tmp_path / "data", train=3, val=1, test=1)
    out = train(prepared, architecture=architecture, image_size=size, batch_size=batch)
    assert (out / "model.onnx").exists()
    assert (out / "plots/training/plots/metrics/val/loss.tsv").exists()


def test_without_a_validation_split_only_that_curve_is_missing(train: Train, tmp_path: Path) -> None:
    out = train(dataset(tmp_path / "data", train=3, val=0, test=1))
    assert (out / "model.onnx").exists()
    assert [path.name for path in (out / "plots/training/plots/metrics").iterdir()] == ["train"]


def test_a_class_may_be_absent_from_validation(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = dataset(tmp_path / "data", train=3, val=1, test=1)
    shutil.rmtree(prepared / "val/dog")
    put(prepared / "val", "zebra", "z", photograph("dog", 0))
    assert (train(prepared) / "model.onnx").exists()
    assert "val: no image in train is labelled zebra; the model will not know it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"train: no images; run `dvc pull`"),
        (["cat"], "'cat' is the only label"),
        (["cat", "dog"], r"test: no images to measure the model on; run `dvc pull`; or give `test` a share"),
    ],
)
def test_a_dataset_that_cannot_be_learned_is_an_error(train: Train, tmp_path: Path, labels: list, message: str) -> None:
    for label in labels:
        put(tmp_path / "data/train", label, "1", photograph(label, 1))
    with pytest.raises(SystemExit, match=message):
        train(tmp_path / "data")


def test_a_transfer_looks_for_test_images_before_it_trains(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        put(tmp_path / "train", label, "1", photograph(label, 1))
    with pytest.raises(SystemExit, match="test: no images to measure the model on"):
        runpy.run_path(str(TEMPLATE.parent / "transfer/features.py"))["find_classes"](
            tmp_path, open_splits(tmp_path, from_shards=False)
        )


def test_memory_that_runs_out_is_one_line(code: SimpleNamespace) -> None:
    advice = r"^out of memory; lower batch_size, width or image_size in params\.yaml \(.*allocate.*\)$"
    with pytest.raises(SystemExit, match=advice), code.devices.one_line_if_memory_is_short():
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(SystemExit, match=r" is full; set TMPDIR"), code.devices.one_line_if_memory_is_short():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RuntimeError, match="size of tensor"), code.devices.one_line_if_memory_is_short():
        torch.ones(2) + torch.ones(3)


def test_a_training_that_diverges_stops(train: Train, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"loss is .* in epoch \d+; lower learning_rate in params\.yaml"):
        train(dataset(tmp_path / "data", train=4, val=1, test=1), learning_rate=1e30, epochs=5)
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

CPU = torch.device("cpu")
GREY = Image.new("L", (20, 30), 100)


@pytest.mark.parametrize("image", [b"", b"<html>", encode(GREY)[:-40], photograph("cat", 0)[:-200]])
def test_an_unreadable_image_is_named(code: SimpleNamespace, tmp_path: Path, image: bytes) -> None:
    put(tmp_path, "cat", "sound", photograph("cat", 0))
    path = put(tmp_path, "dog", "broken", image)
    with pytest.raises(SystemExit, match=r"dog/broken\.jpg: cannot be decoded \(.+\); exclude it"):
        code.data.decode_split("train", open_folder(tmp_path), 16, code.devices.Place(CPU))
    assert path.exists()


def test_a_split_knows_each_images_label(code: SimpleNamespace, tmp_path: Path) -> None:
    dataset(tmp_path, train=2, val=0, test=1)
    (tmp_path / "train/cat/.DS_Store").write_bytes(b"left by a file manager")
    place = code.devices.Place(CPU)
    images = open_folder(tmp_path / "train")
    share = code.data.decode_split("train", images, 16, place)
    split = code.data.load_split("train", images, share, ["cat", "guinea pig"], place)
    places = {"cat": 0, "dog": -1, "guinea pig": 1}
    assert split.targets.tolist() == [places[path.parent.name] for path in images.paths]
    assert sorted(split.targets.tolist()) == [-1, -1, 0, 0, 1, 1]
    assert (split.images.shape, split.images.dtype) == ((6, 16, 16, 3), torch.uint8)


# --- Batches ----------------------------------------------------------------------------------------------------------


def noise(code: SimpleNamespace, count: int) -> object:
    """A split of images without two that are alike, their targets their places."""
    images = torch.randint(256, (count, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return code.data.Split(images, torch.arange(count))


def epoch(code: SimpleNamespace, split: object, size: int, number: int = 1, place: object = None) -> list:
    place = place or code.devices.Place(CPU)
    return list(code.data.training_batches(split, size, 7, number, place, flip=True))


def test_batches_hold_every_image_once_and_are_nearly_equal(code: SimpleNamespace) -> None:
    given = epoch(code, noise(code, 65), 32)
    assert [(len(batch.targets), batch.total) for batch in given] == [(22, 22), (22, 22), (21, 21)]
    assert sorted(torch.cat([batch.targets for batch in given]).tolist()) == list(range(65))


def test_several_processes_share_the_batches_of_one(code: SimpleNamespace) -> None:
    split = noise(code, 65)
    shares = [epoch(code, split, 32, place=code.devices.Place(CPU, rank, 3)) for rank in range(3)]
    for whole, *parts in zip(epoch(code, split, 32), *shares, strict=True):
        assert {part.total for part in parts} == {len(whole.targets)}
        assert max(len(part.targets) for part in parts) - min(len(part.targets) for part in parts) <= 1
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)


def by_image(batches: list) -> torch.Tensor:
    """The images of an epoch in the order of the split."""
    return torch.cat([one.images for one in batches])[torch.cat([one.targets for one in batches]).argsort()]


def test_an_image_is_augmented_by_seed_epoch_and_index_alone(code: SimpleNamespace) -> None:
    split = noise(code, 65)
    first = by_image(epoch(code, split, 32))
    assert torch.equal(first, by_image(epoch(code, split, 8)))
    assert not torch.equal(first, by_image(epoch(code, split, 32, number=2)))


def test_images_are_moved_and_mirrored_only_if_asked(code: SimpleNamespace) -> None:
    slope = torch.arange(16, dtype=torch.uint8)[None, None, :, None].expand(200, 16, 16, 3)
    split = code.data.Split(slope, torch.arange(200))
    for flip in (False, True):
        (batch,) = code.data.training_batches(split, 200, 1, 1, code.devices.Place(CPU), flip=flip)
        rows = batch.images[:, 8, :, 0].int()
        falls = (rows.diff(dim=1) < 0).any(dim=1)
        assert falls.any() == flip
        assert len({tuple(row) for row in rows.tolist()}) == (10 if flip else 5)


def test_a_batch_with_fewer_images_than_processes_is_told(code: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(TEMPLATE / "params.yaml", tmp_path)
    set_params(tmp_path, batch_size=4)
    params, split = code.train.read_params(tmp_path / "params.yaml"), noise(code, 5)
    with pytest.raises(SystemExit, match=r"^a batch has fewer images than the 4 processes; raise batch_size in"):
        code.train.fit(torch.nn.Identity(), split, split, params, code.devices.Place(CPU, 0, 4))
