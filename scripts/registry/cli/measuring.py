"""Measuring a model file on a folder of images, and writing what was measured."""

from collections.abc import Callable
from pathlib import Path

from polars import DataFrame, concat

from registry.core.atomic_write import write_atomically
from registry.core.item_paths import METADATA
from registry.core.progress import counter
from registry.dataset import metadata_tables
from registry.errors import NotFound
from registry.model import judge, tasks
from registry.model.judge import Judgement


def measure(
    model: Path, split: Path, task: str, predictions: Path, remark: Callable[[str], None] = lambda _: None
) -> Judgement:
    """The judgement of a model file, by its task, on the images <label>/<name> of a folder; all that it gives for
    them is written to `predictions`, `remark` is as for the judge.

    Raises as `judge.judge`, and NotFound.
    """
    images, chosen = find_images(split), tasks.TASKS[task]
    if images.is_empty():
        raise NotFound(f"{split} has no images", fix="run `registry pull`, or name another split with --split")
    for name in chosen.TRUTH:
        images = images.join(_column(split, name), on="uuid", how="left", maintain_order="left")
    with counter("evaluate", "image", images.height) as progress:
        paths = [split / relpath for relpath in images["relpath"]]
        return judge.judge(chosen, model, images, paths, predictions, progress, remark=remark)


def find_images(split: Path) -> DataFrame:
    """The images of a split, sorted: columns uuid, label, relpath (from the split)."""
    found = (path for folder in _folders(split) for path in folder.glob("*/*"))
    paths = sorted(path for path in found if not path.name.startswith("."))
    rows = [(path.stem, path.parent.name, path.relative_to(split).as_posix()) for path in paths]
    return DataFrame(rows, schema=["uuid", "label", "relpath"], orient="row")


def _folders(split: Path) -> list[Path]:
    """The folders with a table and classes: the split, or the parts of one."""
    return sorted(table.parent for table in split.glob(f"*/{METADATA}")) or [split]


def _column(split: Path, name: str) -> DataFrame:
    """A column of the split's metadata: uuid and the column. Raises NotFound and Refused."""
    tables = [folder / METADATA for folder in _folders(split)]
    return concat([_values(path, name) for path in tables]).rename({"value": name})


def _values(table: Path, name: str) -> DataFrame:
    values = metadata_tables.read_texts(table.read_bytes(), name) if table.is_file() else None
    if values is None:
        raise NotFound(f"{table} has no column {name}, which the task needs", fix="add it to columns in dataset.yaml")
    return values


def write(found: Judgement, metrics: Path, plots: Path) -> None:
    """Write the metrics and the plots; the folders are made."""
    for name, text in found.task.plots(found.predictions).items():
        write_atomically(plots / name, text.encode())
    write_atomically(metrics, found.metrics_text.encode())
