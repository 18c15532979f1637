"""A registry small enough to train in a workflow's test: red cats, blue dogs, and a model that knows a shade."""

import os
import subprocess
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from support import repositories

TRAIN = """import json
from pathlib import Path
import yaml
shade = yaml.safe_load(Path("params.yaml").read_text())["shade"]
images = len(list(Path("../../datasets/pets/prepared/train").rglob("*.png")))
Path("model.safetensors").write_text(json.dumps({"shade": shade, "images": images}))
"""
EVALUATE = """import argparse
import json
from pathlib import Path
import polars as pl
from PIL import Image
parser = argparse.ArgumentParser()
for name, default in (("data", "../../datasets/pets/prepared"), ("split", "test"), ("model", "model.safetensors"),
                      ("metrics", "metrics.json"), ("predictions", "predictions.parquet"), ("plots", "plots")):
    parser.add_argument(f"--{name}", default=default)
given = parser.parse_args()
shade = json.loads(Path(given.model).read_text())["shade"]
files = sorted(Path(given.data, given.split).rglob("*.png"))
reds = [Image.open(file).convert("RGB").getpixel((0, 0))[0] for file in files]
rows = pl.DataFrame({
    "uuid": [file.stem for file in files], "label": [file.parent.name for file in files],
    "predicted": ["cat" if red > shade else "dog" for red in reds],
    "score_cat": [red / 255 for red in reds], "score_dog": [1 - red / 255 for red in reds],
})
rows.write_parquet(given.predictions)
right = (rows["label"] == rows["predicted"]).mean()
Path(given.metrics).write_text(json.dumps({"accuracy": right, "images": len(files)}) + "\\n")
"""
PIPELINE = {
    "stages": {
        "train": {
            "cmd": "python train.py", "deps": ["../../datasets/pets/prepared", "train.py"], "params": ["shade"],
            "outs": ["model.safetensors"],
        },
        "evaluate": {
            "cmd": "python evaluate.py", "deps": ["../../datasets/pets/prepared", "evaluate.py", "model.safetensors"],
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
    (folder / "evaluate.py").write_text(EVALUATE)
    (folder / ".gitignore").write_text("/model.safetensors\n/predictions.parquet\n")


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
