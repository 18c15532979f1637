"""The judge: measures a model file on a split of a dataset, with code that is not the model's.

It decodes images the way the file declares and runs onnxruntime; nothing of the artifact's own code is involved.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
from polars import DataFrame

from registry.errors import Refused
from registry.model import onnx_process
from registry.model.model_file import ImageInput
from registry.model.onnx_process import DEFAULT, Limits
from registry.model.tasks import Task

RULE = 1  # the number changes with what decides a judgement: decoding, scores, columns


@dataclass(frozen=True, eq=False)
class Judgement:
    """A model file's predictions for images (see `tasks.Task.tabulate`), their metrics, and how images are read."""

    task: Task
    predictions: DataFrame
    input: ImageInput

    @cached_property
    def metrics(self) -> dict[str, object]:
        """What `metrics.json` says."""
        return self.task.measure(self.predictions)

    @property
    def metrics_text(self) -> str:
        """`metrics.json`."""
        return json.dumps(self.metrics, indent=2, ensure_ascii=False) + "\n"


def judge(
    task: Task,
    model: Path,
    test: DataFrame,
    images: Sequence[Path],
    progress: Callable[[int], None] = lambda _: None,
    limits: Limits = DEFAULT,
    *,
    name: str = "",
) -> Judgement:
    """Measure a model file on images, which lie at these paths in the order of `test`: columns uuid, label, relpath
    (what messages call an image), and those that the task needs.

    `name` is what a message calls the file.
    Raises NotFound and InvalidData as `onnx_process.inspect`, Refused where there are no images.
    """
    if test.is_empty():
        raise Refused("there are no images to measure the model on", fix="give the split images in dataset.yaml")
    with TemporaryDirectory(prefix="registry-judge-") as temporary:
        work = onnx_process.Work(task.OUTPUTS, images, test["relpath"].to_list(), Path(temporary))
        declared = onnx_process.predict(model, work, progress, limits, name=name)
        outputs = {output.name: numpy.load(work.file(output)) for output in task.OUTPUTS}
        return Judgement(task, task.tabulate(test, outputs, declared.classes), declared.input)
