"""The tasks that a model may solve: what the judge, the comparison and the report ask of one, and the table of all.

A task is a module. Another one is a module like `classification`, a row in TASKS, and in `schemas/model.schema.json`
its name in `task` and the metrics that its gates may name.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import numpy
from polars import DataFrame

from registry.core.artifact_files import Reader
from registry.core.model_values import FEATURES
from registry.core.values import ModelManifest
from registry.dataset.parquet_files import Stored
from registry.model import classification
from registry.model.changes import Evidence, PairedComparison, Slice
from registry.model.model_file import ANY, ModelOutput


class Task(Protocol):
    """What is asked of a task. Predictions, and both models on shared test images, are frames of its own form.

    `predictions.parquet` may have more than predictions: all that the model gives for an image.

    `OUTPUTS` are the outputs of its model files, `TRUTH` the columns of a split's `metadata.parquet` that say what is
    right, beside the label. A frame `test` has the columns uuid, label, and those of `TRUTH` as texts.
    `SHARES` are the metrics that people read in percent, `GATE` is the gate that a new manifest begins with. `PLOTS`
    has the files that `plots` gives, with the properties by which DVC draws them.
    """

    OUTPUTS: tuple[ModelOutput, ...]
    TRUTH: tuple[str, ...]
    SHARES: Collection[str]
    GATE: str
    PLOTS: Mapping[str, Mapping[str, str]]

    def tabulate(self, test: DataFrame, outputs: Mapping[str, numpy.ndarray], classes: Sequence[str]) -> DataFrame:
        """The rows of `predictions.parquet`, sorted by uuid; `outputs` (images, …) are in the order of `test`."""
        ...

    def summarise(self, rows: DataFrame) -> DataFrame:
        """The predictions in rows of `tabulate`."""
        ...

    def read(self, stored: Stored, test: DataFrame, what: str) -> DataFrame:
        """The predictions in a `predictions.parquet`, which is not trusted. Raises Refused, naming `what`."""
        ...

    def differing(self, recorded: Stored, judged: Stored) -> list[str]:
        """The uuids of the judge's rows that a recorded `predictions.parquet` has not, but for what hardware does."""
        ...

    def measure(self, table: DataFrame) -> dict[str, object]:
        """The metrics of predictions, as `metrics.json` has them: the headline first, and a number of `images`.

        Those of each class stand under `gates.PER_CLASS`.
        """
        ...

    def plots(self, table: DataFrame) -> Mapping[str, str]:
        """The files of `plots/` that show predictions, those of `PLOTS`: name → text."""
        ...

    def join(self, base: DataFrame, new: DataFrame, images: DataFrame) -> DataFrame:
        """Both models on shared test images: `test` with md5 and old_label (the base's); the same columns are kept."""
        ...

    def single(self, new: DataFrame, images: DataFrame) -> DataFrame:
        """A first version alone, in the form of `join`."""
        ...

    def compare(self, shared: DataFrame, confidence: float = ...) -> PairedComparison | None:
        """Both models by the number of the headline; None where there are no images."""
        ...

    def slices(self, shared: DataFrame, columns: Mapping[str, DataFrame]) -> Iterator[Slice]:
        """Both models on each class and on the values of columns (frames of uuid and value)."""
        ...

    def evidence(self, shared: DataFrame, read: Reader) -> Evidence:
        """What a reviewer sees of `join` or `single`; `read` is asked for images."""
        ...


TASKS: dict[str, Task] = {"classification": classification}
GIVES_FEATURES = (ModelOutput(FEATURES, (ANY,)),)  # of a model that is not measured, for other models to build on


def of(manifest: ModelManifest) -> Task:
    """The task of a model."""
    return TASKS[manifest.task]


def judged_plots(task: str) -> tuple[str, ...]:
    """The plots that `registry evaluate` writes for a task, in the model's folder."""
    return tuple(f"plots/{name}" for name in TASKS[task].PLOTS) if task in TASKS else ()


def outputs(task: str) -> tuple[ModelOutput, ...]:
    """The outputs of the model files of a task, also of the one that is not measured."""
    return GIVES_FEATURES if task == FEATURES else TASKS[task].OUTPUTS
