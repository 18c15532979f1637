"""A registry small enough to train in a workflow's test: red cats, blue dogs, and a model that knows a shade."""

import os
import subprocess
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from support import repositories

TRAIN = """\
from pathlib import Path

import numpy
import yaml
from onnx import TensorProto, helper, numpy_helper

shade = yaml.safe_load(Path("params.yaml").read_text())["shade"]
images = len(list(Path("../../datasets/pets/prepared/train").rglob("*.png")))
nodes = [
    helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
    helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
    helper.make_node("Gather", ["means", "red"], ["level"], axis=1),
    helper.make_node("Sub", ["level", "shade"], ["above"]),
    helper.make_node("Mul", ["above", "directions"], ["logits"]),
    helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
]
constants = {
    "sides": numpy.array([1, 2]),
    "red": numpy.array([0]),
    "shade": numpy.array(shade, numpy.float32),
    "directions": numpy.array([[1 / 32, -1 / 32]], numpy.float32),
}
graph = helper.make_graph(
    nodes,
    "pets",
    [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 4, 4, 3])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2])],
    [numpy_helper.from_array(value, name) for name, value in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], doc_string=f"{images} images")
model.ir_version = 10
helper.set_model_props(model, {"classes": '["cat", "dog"]', "input": '{"size": 4}'})
Path("model.onnx").write_bytes(model.SerializeToString(deterministic=True))
"""
PIPELINE = {
    "stages": {
        "train": {
            "cmd": "python train.py", "deps": ["../../datasets/pets/prepared", "train.py"], "params": ["shade"],
            "outs": ["model.onnx"],
        },
        "evaluate": {
            "cmd": "registry evaluate --data ../../datasets/pets/prepared",
            "deps": ["../../datasets/pets/prepared", "model.onnx"],
            "outs": ["predictions.parquet"], "metrics": [{"metrics.json": {"cache": False}}],
        },
    }
}  # fmt: skip
FIRST = {"train": 6, "val": 2, "test": 8}


def images(counts: Mapping[str, int]) -> dict[str, bytes]:
    """So many images of each class in each split; the same number is always the same image."""
    made = {}
    for place, split in enumerate(repositories.SPLITS):
        for number in range(counts[split]):
            for label, shade in (("cat", (200 + number, 20, place)), ("dog", (20 + number, 40, 200 + place))):
                uuid = f"0a8c7f6e-000{place}-4000-8000-{number:010d}{'cd'.index(label[0]):02d}"
                made[f"{split}/{label}/{uuid}.png"] = _png((16 + number, 12), shade)
    return made


def _png(size: tuple[int, int], shade: tuple[int, int, int]) -> bytes:
    data = BytesIO()
    Image.new("RGB", size, shade).save(data, "png")
    return data.getvalue()


def dataset(root: Path, version: str, **counts: int) -> None:
    repositories.dataset(root, "pets", images(FIRST | counts), version, image="{uuid}.png")


def model(root: Path, version: str, shade: int = 150) -> None:
    """`models/pets`, its manifest and code; to be trained."""
    folder = root / "models/pets"
    folder.mkdir(parents=True, exist_ok=True)
    gates = [{"metric": "accuracy", "min": 0.9}, {"metric": "accuracy", "no_worse_than": "base"}]
    manifest = {
        "schema": 1, "name": "pets", "version": version, "title": "Cat or dog", "description": "Says which it is.",
        "owners": ["@acme/vision"], "license": "Apache-2.0", "trained_on": "datasets/pets",
        "intended_use": "Demonstration.", "gates": gates,
    }  # fmt: skip
    repositories.write(folder / "model.yaml", manifest)
    repositories.write(folder / "dvc.yaml", PIPELINE)
    (folder / "params.yaml").write_text(f"shade: {shade}\n")
    (folder / "train.py").write_text(TRAIN)
    (folder / ".gitignore").write_text("/model.onnx\n/predictions.parquet\n/plots\n")


def train(root: Path, *options: str) -> None:
    """`dvc repro`, as a contributor types it."""
    dvc = Path(sys.executable).with_name("dvc")
    path = os.pathsep.join([str(dvc.parent), os.environ["PATH"]])
    done = subprocess.run(
        [dvc, "repro", "--quiet", *options, "models/pets/dvc.yaml"], cwd=root, capture_output=True, text=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def found(root: Path) -> None:
    """Both, at 1.0.0."""
    dataset(root, "1.0.0")
    model(root, "1.0.0")
    train(root)


def grow(root: Path) -> None:
    """The dataset at 1.1.0, with more images, and a model that is to be trained on them."""
    dataset(root, "1.1.0", train=9, test=9)
    manifest = root / "models/pets/model.yaml"
    manifest.write_text(manifest.read_text().replace("version: 1.0.0", "version: 1.1.0"))
