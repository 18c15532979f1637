"""The model template as a data scientist has it: trained by DVC in a repository of its own, then changed and broken."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy
import polars as pl
import pytest
import torch
import yaml
from dvc.repo import Repo
from PIL import Image
from safetensors import safe_open

import making
from registry.proc import tool_path

TEMPLATE = Path(__file__).parents[2] / "scripts/registry/templates/model"
COLOURS = {"cat": (200, 60, 40), "dog": (40, 70, 200), "guinea pig": (60, 190, 60)}
SMALL = {"width": 4, "image_size": 16, "epochs": 4, "batch_size": 8, "learning_rate": 0.01}
CPU = torch.device("cpu")


# --- A dataset, and a model trained on it -----------------------------------------------------------------------------


def photograph(label: str, number: int) -> bytes:
    """Noise in the label's colour, in one of the sizes, modes and turns that cameras and the web leave."""
    noise = numpy.random.default_rng([number, *label.encode()])
    height, width = noise.integers(20, 60, 2)
    pixels = noise.normal(COLOURS[label], 30, (height, width, 3)).clip(0, 255).astype(numpy.uint8)
    image = Image.fromarray(pixels).convert(("RGB", "CMYK", "RGB", "P", "RGBA")[number % 5])
    return encode(image, "PNG" if image.mode in ("P", "RGBA") else "JPEG", orientation=number % 8 + 1)


def encode(image: Image.Image, kind: str = "PNG", orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def put(folder: Path, label: str, uuid: str, image: bytes) -> Path:
    path = folder / label / f"{uuid}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image)
    return path


def dataset(prepared: Path, train: int = 12, val: int = 4, test: int = 4) -> Path:
    """`prepared/` with so many images of each label in each split."""
    for split, count in {"train": train, "val": val, "test": test}.items():
        for label in COLOURS:
            for number in range(count):
                put(prepared / split, label, f"{split}-{number:02}-{label[0]}", photograph(label, number))
        names = sorted(f"{path.parent.name}/{path.name}" for path in (prepared / split).glob("*/*"))
        (prepared / split).mkdir(exist_ok=True)
        (prepared / split / "metadata.csv").write_text("file_name\n" + "".join(f"{name}\n" for name in names))
    return prepared


def set_params(model: Path, **values: object) -> None:
    params = yaml.safe_load((model / "params.yaml").read_text())
    (model / "params.yaml").write_text(yaml.safe_dump(params | values))


def command(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command with no virtual environment active; one thread, since the machine runs other tests too."""
    env = {**os.environ, "PATH": tool_path(), "OMP_NUM_THREADS": "1"}
    return subprocess.run([str(arg) for arg in args], cwd=cwd, env=env, capture_output=True, text=True)


def dvc(folder: Path, *args: str) -> str:
    done = command("dvc", *args, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def _trained(_empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(_empty_registry, tmp_path_factory.mktemp("trained") / "registry"))
    dataset(root / "datasets/pets/prepared")
    model = root / "models/pets"
    shutil.copytree(TEMPLATE, model, ignore=shutil.ignore_patterns("__pycache__", "README.md"))
    (model / "model.yaml").write_text("schema: 1\nname: pets\ntrained_on: datasets/pets\n")
    set_params(model, **SMALL)
    dvc(root, "add", "--quiet", "datasets/pets/prepared")
    making.commit(root, "data and code")
    dvc(model, "repro")
    return root


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """A registry whose `models/pets` was trained on `datasets/pets`, not committed since."""
    return Path(shutil.copytree(_trained, tmp_path / "registry", symlinks=True))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The template's modules, imported as `python train.py` imports them."""
    names = ("data", "network", "train", "evaluate")
    folder = shutil.copytree(TEMPLATE, tmp_path_factory.mktemp("code") / "model")
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in names})
    finally:
        sys.path.remove(str(folder))
        for name in names:
            del sys.modules[name]


# --- What comes out ---------------------------------------------------------------------------------------------------


def test_a_repro_leaves_what_the_stages_promise_and_git_as_it_was(_trained: Path) -> None:
    untracked = making.git(_trained, "status", "--porcelain", "--untracked-files=all").splitlines()
    curves = "models/pets/plots/training/plots/metrics"
    assert untracked == [
        "?? models/pets/.gitignore",
        "?? models/pets/dvc.lock",
        "?? models/pets/metrics.json",
        "?? models/pets/plots/confusion.csv",
        "?? models/pets/plots/training/metrics.json",
        f"?? {curves}/train/accuracy.tsv",
        f"?? {curves}/train/loss.tsv",
        f"?? {curves}/val/accuracy.tsv",
        f"?? {curves}/val/loss.tsv",
    ]
    assert making.git(_trained, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"
    assert (_trained / "models/pets/.gitignore").read_text() == "/model.safetensors\n/predictions.parquet\n"
    assert [line.split("\t")[0] for line in (_trained / curves / "val/loss.tsv").read_text().splitlines()] == [
        "step", "1", "2", "3", "4"
    ]  # fmt: skip


def test_it_learns_and_its_numbers_agree_with_its_predictions(_trained: Path) -> None:
    model = _trained / "models/pets"
    metrics = json.loads((model / "metrics.json").read_text())
    table = pl.read_parquet(model / "predictions.parquet")
    scores = table.select(pl.col("^score_.*$"))
    assert list(metrics) == ["accuracy", "macro_f1", "loss", "ece", "images", "per_class"]
    assert list(metrics["per_class"]) == list(COLOURS)
    assert list(metrics["per_class"]["guinea pig"]) == ["precision", "recall", "f1", "images"]
    assert metrics["accuracy"] == round((table["label"] == table["predicted"]).mean(), 6) > 0.8
    assert metrics["images"] == len(table) == 12
    assert table["uuid"].to_list() == sorted(
        path.stem for path in (_trained / "datasets/pets/prepared/test").glob("*/*")
    )
    assert scores.columns == ["score_cat", "score_dog", "score_guinea pig"]
    assert scores.dtypes == [pl.Float32] * 3
    assert scores.sum_horizontal().to_numpy() == pytest.approx(1)
    assert table["predicted"].to_list() == [list(COLOURS)[place] for place in scores.to_numpy().argmax(1)]
    confusion = pl.read_csv(model / "plots/confusion.csv")
    assert confusion.rows() == table.select("label", "predicted").rows()


def test_the_model_file_says_what_it_is(_trained: Path, code: SimpleNamespace) -> None:
    path = _trained / "models/pets/model.safetensors"
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["network"]) == {
            "architecture": "vgg", "width": 4, "image_size": 16, "classes": list(COLOURS)
        }  # fmt: skip
    network, description = code.network.load(path)
    assert network(torch.zeros(2, 16, 16, 3, dtype=torch.uint8)).shape == (2, len(description.classes))


def test_deleted_outputs_come_back_untrained_and_a_second_training_makes_the_same_bytes(trained: Path) -> None:
    model = trained / "models/pets"
    lock = (model / "dvc.lock").read_text()
    making.commit(trained, "trained")
    for name in ("model.safetensors", "predictions.parquet", "metrics.json", "dvc.lock"):
        (model / name).unlink()
    shutil.rmtree(model / "plots")
    assert dvc(model, "repro").count("is cached - skipping run") == 2
    assert making.git(trained, "status", "--porcelain") == ""
    assert (model / "model.safetensors").exists()
    assert "Running stage 'train'" in dvc(model, "repro", "--force", "--no-run-cache")
    assert (model / "dvc.lock").read_text() == lock


# --- What it depends on -----------------------------------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """The files of this folder that a script imports, itself included, followed to the end."""
    found, ahead = set(), [path]
    while ahead:
        found.add((here := ahead.pop()).name)
        for node in ast.walk(ast.parse(here.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ahead += [
                file for name in names if (file := path.with_name(f"{name}.py")).exists() and file.name not in found
            ]
    return found


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_stage_depends_on_the_code_that_it_imports(stage: str) -> None:
    declared = yaml.safe_load((TEMPLATE / "dvc.yaml").read_text())["stages"][stage]["deps"]
    assert {name for name in declared if name.endswith(".py")} == imported(TEMPLATE / f"{stage}.py")


def changed_stages(root: Path) -> dict[str, str]:
    """The stages that `dvc status` calls changed, each with its reasons as text."""
    with Repo(str(root)) as repo:
        return {name.rpartition(":")[2]: json.dumps(reasons) for name, reasons in repo.status().items()}


@pytest.mark.parametrize(
    ("name", "stages"),
    [("data.py", {"train", "evaluate"}), ("network.py", {"train", "evaluate"}), ("train.py", {"train"}), ("evaluate.py", {"evaluate"})],
)  # fmt: skip
def test_a_change_of_code_is_seen(trained: Path, name: str, stages: set[str]) -> None:
    assert changed_stages(trained) == {}
    with (trained / "models/pets" / name).open("a") as file:
        file.write("# changed\n")
    assert changed_stages(trained).keys() == stages
    assert all(name in reasons for reasons in changed_stages(trained).values())


def test_a_change_of_each_parameter_is_seen(trained: Path) -> None:
    model = trained / "models/pets"
    params = yaml.safe_load((model / "params.yaml").read_text())
    for name, value in params.items():
        set_params(model, **{name: "resnet" if name == "architecture" else not value if name == "flip" else value * 2})
        assert name in changed_stages(trained)["train"]
        set_params(model, **{name: value})
    assert changed_stages(trained) == {}


def test_a_change_of_the_dataset_or_of_its_choice_is_seen(trained: Path) -> None:
    image = next((trained / "datasets/pets/prepared/test").glob("*/*"))
    image.unlink()
    assert {"train", "evaluate"} <= changed_stages(trained).keys()
    (trained / "models/pets/model.yaml").write_text("trained_on: datasets/others\n")
    assert "datasets/others/prepared" in changed_stages(trained)["train"]


def test_a_clone_without_data_sees_that_the_dataset_changed_and_fetches_it(trained: Path, tmp_path: Path) -> None:
    """With a part of the dataset as a dependency, DVC 3.67 skips both stages here and keeps the old metrics."""
    next((trained / "datasets/pets/prepared/test").glob("*/*")).unlink()
    dvc(trained, "add", "--quiet", "datasets/pets/prepared")
    dvc(trained, "remote", "add", "--default", "--force", "away", str(tmp_path / "away"))
    dvc(trained, "push")
    making.commit(trained, "one image less")
    making.git(tmp_path, "clone", "--quiet", str(trained), "clone")
    # In the model's folder: DVC 3.67 looks for missing dependencies from where it is called.
    said = dvc(tmp_path / "clone/models/pets", "repro", "--pull", "--allow-missing")
    assert "Running stage 'train'" in said
    assert json.loads((tmp_path / "clone/models/pets/metrics.json").read_text())["images"] == 11


# --- What DVC shows of it ---------------------------------------------------------------------------------------------


def test_dvc_compares_two_trainings(trained: Path) -> None:
    making.commit(trained, "trained")
    model = trained / "models/pets"
    set_params(model, architecture="resnet", epochs=1)
    dvc(model, "repro")
    params = json.loads(dvc(trained, "params", "diff", "--json"))["models/pets/params.yaml"]
    assert params["architecture"] == {"old": "vgg", "new": "resnet"}
    metrics = json.loads(dvc(trained, "metrics", "diff", "--json"))
    assert metrics["models/pets/metrics.json"]["loss"]["diff"] != 0
    assert metrics["models/pets/plots/training/metrics.json"]["step"] == {"old": 4, "new": 1, "diff": -3}
    assert "| models/pets/metrics.json |" in dvc(trained, "metrics", "diff", "--md", "--all").replace("  ", "")
    plots = json.loads(dvc(trained, "plots", "diff", "HEAD", "--json"))["data"]
    points = plots["loss"][0]["content"]["data"]["values"]
    assert {(point["rev"], point["filename"]) for point in points} == {
        (rev, f"{split}/loss.tsv") for rev in ("HEAD", "workspace") for split in ("train", "val")
    }
    assert {point["step"] for point in points} == {"1", "2", "3", "4"}
    assert "accuracy" in plots


def test_dvc_shows_curves_and_the_confusion_matrix(_trained: Path) -> None:
    plots = json.loads(dvc(_trained, "plots", "show", "--json"))
    assert plots.keys() == {"data"}, "an error"
    confusion = plots["data"]["models/pets/plots/confusion.csv"][0]["content"]
    assert confusion["title"]["text"] == "Confusion matrix"
    assert len(confusion["data"]["values"]) == 12
    assert {"loss", "accuracy"} <= plots["data"].keys()
    assert "models/pets/metrics.json" in dvc(_trained, "metrics", "show")


# --- Other datasets than the model was trained on ---------------------------------------------------------------------

Evaluate = Callable[[Path], tuple[dict, pl.DataFrame]]


@pytest.fixture
def evaluate(_trained: Path, code: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluate:
    """Run the trained model on the test split of another dataset, into another folder."""

    def run(prepared: Path) -> tuple[dict, pl.DataFrame]:
        out = tmp_path / "out"
        model = _trained / "models/pets/model.safetensors"
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
    with pytest.raises(SystemExit, match=r"test: no images to evaluate on\. Name another split with --split\."):
        evaluate(tmp_path)


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
    [([], r"train: no images here\. Fetch the dataset with `dvc pull`"), (["cat"], "'cat' is the only label")],
)
def test_a_dataset_that_cannot_be_learned_is_an_error(train: Train, tmp_path: Path, labels: list, message: str) -> None:
    for label in labels:
        put(tmp_path / "data/train", label, "1", photograph(label, 1))
    with pytest.raises(SystemExit, match=message):
        train(tmp_path / "data")


def test_a_training_that_diverges_stops(train: Train, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"loss became .* in epoch \d+\. Lower learning_rate in params\.yaml\."):
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
    assert str(stopped.value) == f"{tmp_path / 'params.yaml'}: {message}."


def test_numbers_are_read_as_dvc_reads_them(code: SimpleNamespace, tmp_path: Path) -> None:
    text = (TEMPLATE / "params.yaml").read_text().replace("learning_rate: 0.003", "learning_rate: 3e-3")
    (tmp_path / "params.yaml").write_text(text)
    assert code.train.read_params(tmp_path / "params.yaml").learning_rate == 0.003


def test_an_error_is_one_line_and_exit_code_1(trained: Path) -> None:
    model = trained / "models/pets"
    (model / "params.yaml").write_text("architecture: vgg\n")
    done = command("python", "train.py", "--data", "../../datasets/pets/prepared", cwd=model)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "params.yaml: batch_size is missing.\n")


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
    stored = upright.transpose(undo.get(turn, turn)) if turn else upright
    pixels = code.data.decode(put(tmp_path, "x", "1", encode(stored, kind, orientation)), 16)
    red, blue, white = pixels[3, 3], pixels[3, 12], pixels[12, 7]
    assert red == pytest.approx([255, 0, 0], abs=12)
    assert blue == pytest.approx([0, 0, 255], abs=12)
    assert white == pytest.approx([255, 255, 255], abs=12)


def test_broken_exif_does_not_make_an_image_unreadable(code: SimpleNamespace, tmp_path: Path) -> None:
    """`ImageOps.exif_transpose` raises a TypeError here (Pillow 13)."""
    image = bytearray(encode(Image.new("RGB", (32, 16), "red"), "JPEG", orientation=6))
    assert code.data.decode(put(tmp_path, "x", "1", bytes(image)), 16).shape == (16, 16, 3)


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
    assert colour is None or pixels.reshape(-1, 3) == pytest.approx(numpy.array([colour] * 256), abs=3)


def test_the_middle_square_is_what_is_seen(code: SimpleNamespace, tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 32), "white")
    image.paste("black", (32, 0, 64, 32))
    assert code.data.decode(put(tmp_path, "x", "1", encode(image)), 16).max() == 0


@pytest.mark.parametrize("image", [b"", b"<html>", encode(GREY)[:-40], photograph("cat", 0)[:-200]])
def test_an_unreadable_image_is_named(code: SimpleNamespace, tmp_path: Path, image: bytes) -> None:
    put(tmp_path, "cat", "sound", photograph("cat", 0))
    path = put(tmp_path, "dog", "broken", image)
    with pytest.raises(
        SystemExit, match=r"dog/broken\.jpg: not a readable image \(.+\)\. Take it out of the selection"
    ):
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
    # 0.8 sure and 2 of 3 right; 0.6 sure and 1 of 2 right.
    assert metrics["ece"] == pytest.approx((3 * (0.8 - 2 / 3) + 2 * (0.6 - 1 / 2)) / 5, abs=1e-6)
