"""The judge: measures a model file on a split of a dataset, with code that is not the model's.

It decodes images the way the file declares and runs onnxruntime; nothing of the artifact's own code is involved.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
from polars import DataFrame

from registry.errors import Refused
from registry.model import classification, onnx_process
from registry.model.onnx_process import DEFAULT, Limits

RULE = 1  # the number changes with what decides a judgement: decoding, scores, columns


@dataclass(frozen=True, eq=False)
class Judgement:
    """A model file's predictions for each image (see `classification.tabulate`), and their metrics."""

    predictions: DataFrame

    @cached_property
    def metrics(self) -> dict[str, object]:
        """What `metrics.json` says."""
        return classification.measure(self.predictions)

    @property
    def metrics_text(self) -> str:
        """`metrics.json`."""
        return json.dumps(self.metrics, indent=2, ensure_ascii=False) + "\n"


def judge(
    model: Path,
    test: DataFrame,
    folder: Path,
    progress: Callable[[int], None] = lambda _: None,
    limits: Limits = DEFAULT,
    *,
    name: str = "",
) -> Judgement:
    """Measure a model file on images: columns uuid, label and relpath, below `folder`.

    `name` is what a message calls the file.
    Raises NotFound and InvalidData as `onnx_process.inspect`, Refused where there are no images.
    """
    if test.is_empty():
        raise Refused("there are no images to measure the model on", fix="give the split images in dataset.yaml")
    paths = [folder / relpath for relpath in test["relpath"]]
    with TemporaryDirectory(prefix="registry-judge-") as temporary:
        scores = Path(temporary) / "scores.npy"
        declared = onnx_process.predict(model, paths, scores, progress, limits, name=name)
        table = classification.tabulate(test, numpy.load(scores), declared.classes)
    return Judgement(table)
