"""A model that calls an image a dog where its red is above a threshold, and its dataset, on disk."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from polars import DataFrame

from registry.cli.workspace import Workspace
from registry.core.names import parse_id
from registry.integrations import git_trees
from registry.model import evaluate, evaluation_run
from registry.model.changes import ModelChange
from support import repositories

PETS = parse_id("models/pets")
FOLDER = "models/pets"
# A model that says "dog" of an image whose red is above its threshold; the weights are that threshold.
PROGRAM = """
import argparse, json, pathlib
from PIL import Image
from polars import DataFrame
parser = argparse.ArgumentParser()
for name in ("data", "split", "model", "metrics", "predictions", "plots"):
    parser.add_argument("--" + name)
args = parser.parse_args()
limit = int(open(args.model).read())
paths = sorted(pathlib.Path(args.data, args.split).glob("*/*"))
reds = [Image.open(path).getpixel((0, 0))[0] for path in paths]
rows = {"uuid": [path.stem for path in paths], "predicted": ["dog" if red > limit else "cat" for red in reds]}
rows["score_dog"] = [red / 255 for red in reds]
rows["score_cat"] = [1 - red / 255 for red in reds]
right = [path.parent.name == label for path, label in zip(paths, rows["predicted"])]
DataFrame(rows).write_parquet(args.predictions)
pathlib.Path(args.metrics).write_text(json.dumps({"accuracy": sum(right) / len(right), "images": len(right)}))
"""


def uuid(number: int) -> str:
    """The UUID of an image."""
    return f"0a8c7f6e-0000-4000-8000-{number:012}"


def red(level: int) -> bytes:
    """A PNG of one red."""
    out = BytesIO()
    Image.new("RGB", (4, 4), (level, 0, 0)).save(out, "PNG")
    return out.getvalue()


def image_path(label: str, number: int) -> str:
    """Where a test image lies in a version."""
    return f"test/{label}/{uuid(number)}.png"


CATS = {image_path("cat", number): red(10 * number) for number in range(1, 11)}  # 10 to 100
DOGS = {image_path("dog", number): red(10 * number) for number in range(11, 21)}  # 110 to 200
BRIGHT_CATS = {image_path("cat", number): red(150) for number in range(31, 35)}


def put_data(root: Path, images: Mapping[str, bytes], cameras: str = "AB") -> None:
    """`datasets/pets` with these test images, taken by the cameras in turn; DVC's cache has the objects."""
    repositories.dataset(root, "pets", repositories.PETS, "1.0.0")
    train = {path: data for path, data in repositories.PETS.items() if not path.startswith("test/")}
    names = sorted(path.removeprefix("test/") for path in images)
    table = repositories.table(names, ["cat", "dog"], camera=[cameras[int(name[-5]) % len(cameras)] for name in names])
    files = {**train, **images, "test/metadata.parquet": table}
    pointer = root / "datasets/pets/prepared.dvc"
    document = yaml.safe_load(pointer.read_text())
    document["outs"] = [repositories.folder_out(root, root / "datasets/pets/prepared", files)]
    repositories.write(pointer, document)


def put_model(root: Path, limit: int, *, program: str = PROGRAM, locked: bool = True, **manifest: Any) -> None:
    """`models/pets` trained and evaluated on `datasets/pets`: this threshold, its predictions locked or not kept."""
    repositories.model(root, "pets", str(limit).encode(), manifest.pop("version", "1.0.0"))
    folder = root / FOLDER
    (folder / ".gitignore").write_text("/model.safetensors\n/predictions.parquet\n")
    (folder / "evaluate.py").write_text(program)
    (folder / "params.yaml").write_text(f"limit: {limit}\n")
    repositories.write(folder / "model.yaml", yaml.safe_load((folder / "model.yaml").read_text()) | manifest)
    metrics, predictions = evaluate_on(root, limit)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "predictions.parquet").unlink(missing_ok=True)
    (folder / "predictions.parquet").write_bytes(predictions)
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    stage = lock["stages"]["train"]
    stage["params"] = {"params.yaml": {"limit": limit}}
    stage["deps"].append(repositories.file_out(root, folder / "evaluate.py", cached=False))
    stage["outs"][0] = repositories.file_out(root, folder / "metrics.json", cached=False)
    if locked:
        stage["outs"].append(repositories.file_out(root, folder / "predictions.parquet"))
    repositories.write(folder / "dvc.lock", lock)


def evaluate_on(root: Path, limit: int) -> tuple[dict[str, float], bytes]:
    """What PROGRAM writes for the dataset that lies in the registry."""
    paths = sorted((root / "datasets/pets/prepared/test").glob("*/*.png"))
    reds = [Image.open(path).getchannel("R").tobytes()[0] for path in paths]
    predicted = ["dog" if level > limit else "cat" for level in reds]
    scores = {"score_dog": [level / 255 for level in reds], "score_cat": [1 - level / 255 for level in reds]}
    out = BytesIO()
    DataFrame({"uuid": [path.stem for path in paths], "predicted": predicted, **scores}).write_parquet(out)
    right = [path.parent.name == one for path, one in zip(paths, predicted, strict=True)]
    return {"accuracy": sum(right) / len(right), "images": len(right)}, out.getvalue()


def compare(root: Path, base: str = "HEAD") -> ModelChange:
    """The change of the model against a base revision, run where needed."""
    space = Workspace(root)
    read = space.read_object
    with git_trees.Revision(root, base) as old:
        plan = evaluate.plan(old, space.tree, PETS, read)
        return evaluate.apply(plan, root, root / ".dvc/cache", read)


def runs(root: Path) -> int:
    """How many runs are remembered."""
    return len(list((root / evaluation_run.RESULTS).glob("*"))) if (root / evaluation_run.RESULTS).exists() else 0
