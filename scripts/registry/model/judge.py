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
from polars import DataFrame, concat

from registry.core.atomic_write import writing
from registry.errors import Refused
from registry.model import model_file, onnx_process
from registry.model.model_file import ImageInput, ModelFile
from registry.model.onnx_process import DEFAULT, Limits, Work
from registry.model.tasks import Task

ROWS = 8_192  # images whose outputs are read at a time
RULE = 2  # the number changes with what decides a judgement: decoding, scores, columns


@dataclass(frozen=True, eq=False)
class Judgement:
    """A model file's predictions for images, their metrics, a file with all that it gives, and how images are read."""

    task: Task
    predictions: DataFrame
    stored: Path
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
    stored: Path,
    progress: Callable[[int], None] = lambda _: None,
    limits: Limits = DEFAULT,
    *,
    name: str = "",
    remark: Callable[[str], None] = lambda _: None,
) -> Judgement:
    """Measure a model file on images, which lie at these paths in the order of `test`: columns uuid, label, relpath
    (what messages call an image), and those that the task needs.

    What it gives is written to `stored`, a `predictions.parquet`, when all images are done. `name` is what a message
    calls the file; `remark` is told what a person should know of how it ran.
    Raises NotFound and InvalidData as `onnx_process.inspect`, Refused where there are no images.
    """
    if test.is_empty():
        raise Refused("there are no images to measure the model on", fix="give the split images in dataset.yaml")
    order = test["uuid"].arg_sort()
    test, images = test[order], [images[place] for place in order]
    with TemporaryDirectory(prefix="registry-judge-") as temporary:
        work = Work(task.OUTPUTS, images, test["relpath"].to_list(), Path(temporary))
        declared = onnx_process.predict(model, work, progress, limits, name=name, remark=remark)
        parts = [_tabulate(task, test, work, start, declared) for start in range(0, test.height, ROWS)]
        with writing(stored) as file:
            metadata = {model_file.INPUT: model_file.format_input(declared.input)}
            concat(parts).write_parquet(file, metadata=metadata)
        return Judgement(task, concat(map(task.summarise, parts)), stored, declared.input)


def _tabulate(task: Task, test: DataFrame, work: Work, start: int, declared: ModelFile) -> DataFrame:
    """The predictions of some images, from `start` on; the files of outputs may be larger than the memory."""
    outputs = {
        output.name: numpy.load(work.file(output), mmap_mode="r")[start : start + ROWS] for output in task.OUTPUTS
    }
    return task.tabulate(test[start : start + ROWS], outputs, declared.classes)
