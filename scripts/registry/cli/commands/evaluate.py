"""`registry evaluate`."""

from functools import partial
from pathlib import Path

import click

from registry.cli import measuring, withdrawals
from registry.console import say
from registry.core.model_values import DEFAULT_TASK, FEATURES
from registry.core.progress import waiting
from registry.model import onnx_process, tasks


@click.command()
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False), default="model.onnx")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder with <split>/<label>/.")
@click.option(
    "--task", type=click.Choice([*tasks.TASKS, FEATURES]), default=DEFAULT_TASK, show_default=True,
    help="What the model does with an image; features are not measured.",
)  # fmt: skip
@click.option("--split", default="test", show_default=True, help="The split to measure on.")
@click.option(
    "--metrics", type=click.Path(path_type=Path, dir_okay=False), default="metrics.json", show_default=True,
    help="The file for the metrics.",
)  # fmt: skip
@click.option(
    "--predictions", type=click.Path(path_type=Path, dir_okay=False), default="predictions.parquet", show_default=True,
    help="The file for what the model says of each image.",
)  # fmt: skip
@click.option(
    "--plots", type=click.Path(path_type=Path, file_okay=False), default="plots", show_default=True,
    help="The folder for the plots of the task, such as confusion.csv.",
)  # fmt: skip
def command(
    model: Path, data: Path | None, task: str, split: str, metrics: Path, predictions: Path, plots: Path
) -> None:
    """Measure a model file on a split of a dataset.

    MODEL is an ONNX file in the form that docs/models.md describes. Images are decoded as the file declares, and
    onnxruntime runs it, on a GPU where it has one: no code of the model's folder is involved. The stage `evaluate` of
    a model's pipeline calls this command. Files are written when the whole split was measured.

    With --task features, the file is judged in its form and run on made-up images; nothing is measured or written.
    """
    if task == FEATURES:
        _describe(model)
        return
    if data is None:
        raise click.UsageError("--data PREPARED is missing: the images to measure the model on")
    withdrawals.warn_of_data(data)
    found = measuring.measure(model, data / split, task, predictions, partial(say, err=True))
    measuring.write(found, metrics, plots)
    first, value = next(iter(found.metrics.items()))
    say(f"{model}: {first} {value} on {found.metrics['images']:,} images of {data / split}")


def _describe(model: Path) -> None:
    with waiting("running it on made-up images"):
        found = onnx_process.inspect(model, tasks.outputs(FEATURES))
    what = f"{found.features:,} features for an image of {found.input.size} × {found.input.size} pixels"
    say(f"{model} gives {what}, for other models to build on: there is nothing to measure")
