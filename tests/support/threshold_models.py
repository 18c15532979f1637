"""Models of one threshold: they say "dog" of an image whose red is above it; trained on test images of known red."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import polars as pl
import yaml
from PIL import Image

from registry.cli.workspace import Workspace
from registry.core.names import parse_id
from registry.integrations import git_trees
from registry.model import classification, judge_run, judging
from registry.model.changes import ModelChange
from support import model_files, repositories

PETS = parse_id("models/pets")
FOLDER = "models/pets"


def uuid(number: int) -> str:
    return f"0a8c7f6e-1000-4000-8000-{number:012}"


def red(level: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (4, 4), (level, 0, 0)).save(out, "PNG")
    return out.getvalue()


def image_path(label: str, number: int) -> str:
    return f"test/{label}/{uuid(number)}.png"


CATS = {image_path("cat", number): red(10 * number) for number in range(1, 11)}  # 10 to 100
DOGS = {image_path("dog", number): red(10 * number) for number in range(11, 21)}  # 110 to 200
TESTS = [path for path in repositories.PETS if path.startswith("test/")]
TRAIN = {f"train/cat/{uuid(51)}.png": red(40), f"train/dog/{uuid(52)}.png": red(160),
         f"val/cat/{uuid(53)}.png": red(41)}  # fmt: skip
KNOWN = {**TRAIN, **CATS, **DOGS}  # a whole dataset
BRIGHT_CATS = {image_path("cat", number): red(150) for number in range(31, 35)}


def put_data(root: Path, images: Mapping[str, bytes], cameras: str = "AB", without: str = "") -> None:
    """`datasets/pets` with these test images, taken by the cameras in turn; DVC's cache has the objects.

    `without` is a training image of it that is left out.
    """
    repositories.dataset(root, "pets", repositories.PETS, "1.0.0")
    train = {path: data for path, data in repositories.PETS.items() if path not in (without, *TESTS)}
    names = sorted(path.removeprefix("test/") for path in images)
    table = repositories.table(names, ["cat", "dog"], camera=[cameras[int(name[-5]) % len(cameras)] for name in names])
    files = {**train, **images, "test/metadata.parquet": table}
    pointer = root / "datasets/pets/prepared.dvc"
    document = yaml.safe_load(pointer.read_text())
    document["outs"] = [repositories.folder_out(root, root / "datasets/pets/prepared", files)]
    repositories.write(pointer, document)


def put_model(root: Path, limit: int, *, model: bytes | None = None, **manifest: Any) -> None:
    """`models/pets` trained and evaluated on `datasets/pets`: it says "dog" of an image whose red is above `limit`.

    `model` is another model file beside these predictions.
    """
    repositories.model(root, "pets", b"", manifest.pop("version", "1.0.0"))
    folder = root / FOLDER
    (folder / "params.yaml").write_text(f"limit: {limit}\n")
    repositories.write(folder / "model.yaml", yaml.safe_load((folder / "model.yaml").read_text()) | manifest)
    record(root, model or model_files.threshold(limit), predict(root, limit), limit)


def predict(root: Path, limit: int) -> pl.DataFrame:
    """What the threshold gives for the test images that lie in the registry, by arithmetic."""
    paths = sorted((root / "datasets/pets/prepared/test").glob("*/*.png"))
    reds = pl.Series([numpy.asarray(Image.open(path))[0, 0, 0] for path in paths], dtype=pl.Float32)
    dog = 1 / (1 + (-(reds - limit) / 16).exp())
    test = pl.DataFrame({"uuid": [path.stem for path in paths], "label": [path.parent.name for path in paths]})
    return classification.tabulate(test, {"scores": pl.DataFrame([1 - dog, dog]).to_numpy()}, model_files.CLASSES)


def record(root: Path, model: bytes, table: pl.DataFrame, limit: int) -> None:
    """A `dvc.lock` with this model file, these predictions, and their metrics."""
    folder = root / FOLDER
    (folder / "metrics.json").write_text(json.dumps(classification.measure(classification.summarise(table))))
    for name, data in (("model.onnx", model), ("predictions.parquet", model_files.parquet(table))):
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)
    lock(root, limit)


def lock(root: Path, limit: int) -> None:
    """What `dvc commit --force` does."""
    document = yaml.safe_load((root / FOLDER / "dvc.lock").read_text())
    stage = document["stages"]["train"]
    stage["params"] = {"params.yaml": {"limit": limit}}
    stage["outs"] = repositories.measured_outs(root, root / FOLDER)
    repositories.write(root / FOLDER / "dvc.lock", document)


def compare(root: Path, base: str = "HEAD") -> ModelChange:
    space = Workspace(root)
    read = space.read_object
    with git_trees.Revision(root, base) as old:
        plan = judging.plan(old, space.tree, PETS, read)
        return judging.apply(plan, root, root / ".dvc/cache", read)


def runs(root: Path) -> int:
    """How many measurements are remembered."""
    return len(list((root / judge_run.RESULTS).glob("*")))


def metric(change: ModelChange, name: str) -> tuple[float | None, float | None]:
    """A metric before and after."""
    return next((one.old, one.new) for one in change.metrics if one.name == name)


def lose(root: Path, data: bytes) -> str:
    """Remove an object from the cache; its name."""
    md5 = repositories.md5(data)
    repositories.place(root / ".dvc/cache", md5).unlink()
    return md5
