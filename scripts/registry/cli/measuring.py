"""Measuring a model file on a folder of images, and writing what was measured."""

import io
from pathlib import Path

from polars import DataFrame

from registry.core.atomic_write import write_atomically
from registry.core.progress import counter
from registry.errors import NotFound
from registry.model import classification, judge
from registry.model.judge import Judgement


def measure(model: Path, split: Path) -> Judgement:
    """The judgement of a model file on the images <label>/<name> of a folder. Raises as `judge.judge`, and NotFound."""
    images = find_images(split)
    if images.is_empty():
        raise NotFound(f"{split} has no images", fix="run `registry pull`, or name another split with --split")
    with counter("evaluate", "image", images.height) as progress:
        return judge.judge(model, images, split, progress)


def find_images(split: Path) -> DataFrame:
    """The images of a split, sorted: columns uuid, label, relpath (from the split)."""
    paths = sorted(path for path in split.glob("*/*") if not path.name.startswith("."))
    rows = [(path.stem, path.parent.name, f"{path.parent.name}/{path.name}") for path in paths]
    return DataFrame(rows, schema=["uuid", "label", "relpath"], orient="row")


def write(found: Judgement, metrics: Path, predictions: Path, plots: Path) -> None:
    """Write the three files; the folders are made."""
    table = io.BytesIO()
    found.predictions.write_parquet(table)
    confusion = classification.confusion_rows(found.predictions).write_csv()
    for path, data in (
        (predictions, table.getvalue()),
        (plots / "confusion.csv", confusion.encode()),
        (metrics, found.metrics_text.encode()),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
