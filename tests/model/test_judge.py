"""The judge while it works: what it holds at a time, and what it leaves behind when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy
import pytest
from polars import DataFrame

from registry.model import classification, judge, model_file, onnx_session, onnx_worker
from registry.model.model_file import ImageInput, ModelFile
from support import model_files
from support.patience import PATIENCE
from support.threshold_models import red

T = TypeVar("T")
IMAGES = 10_000


def test_at_most_three_batches_of_images_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held, most = 0, 0

    def decode(path: str, place: int, given: ImageInput) -> numpy.ndarray:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return numpy.zeros((1, 1, 3), numpy.uint8)

    monkeypatch.setattr(onnx_worker, "decode_one", decode)
    seen = 0
    for batch in onnx_worker._decoded(["x"] * IMAGES, ImageInput(1), onnx_worker.BATCH):
        held -= len(batch)
        seen += len(batch)
    assert seen == IMAGES
    assert most <= 3 * onnx_worker.BATCH


def test_large_images_make_small_batches(tmp_path: Path) -> None:
    """However large a model's input is, a batch stays below its bound."""
    sizes: list[int] = []

    class Session:
        def run(self, names: Sequence[str], values: dict[str, numpy.ndarray]) -> list[numpy.ndarray]:
            sizes.append(values[model_file.IMAGES].nbytes)
            return [numpy.full((len(values[model_file.IMAGES]), 2), 0.5, numpy.float32)]

    (tmp_path / "red.png").write_bytes(red(10))
    declared = ModelFile(model_files.CLASSES, ImageInput(2_048))
    runner = onnx_session.Runner(Session(), declared, classification.OUTPUTS)
    onnx_worker.predict(runner, [str(tmp_path / "red.png")] * 12, tmp_path)
    assert (len(sizes) > 1, max(sizes) <= onnx_worker.BATCH_BYTES) == (True, True)
    assert numpy.load(tmp_path / "scores.npy").shape == (12, 2)


def test_one_picture_under_many_names(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(red(10))
    (tmp_path / "model.onnx").write_bytes(model_files.threshold(100))
    uuids = [f"{number:08}" for number in range(2_000)]
    test = DataFrame({"uuid": uuids, "label": ["cat"] * 2_000, "relpath": [f"cat/{one}.png" for one in uuids]})
    done: list[int] = []
    paths = [tmp_path / "red.png"] * 2_000
    found = judge.judge(classification, tmp_path / "model.onnx", test, paths, tmp_path / "out.parquet", done.append)
    assert (found.metrics["accuracy"], sum(done), max(done) <= onnx_worker.BATCH) == (1.0, 2_000, True)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_stopped(tmp_path: Path, stop: signal.Signals) -> None:
    """The process that runs the model ends too, and no temporary folder stays."""
    (tmp_path / "test/cat").mkdir(parents=True)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "model.onnx").write_bytes(model_files.threshold(100, size=512))
    (tmp_path / "red.png").write_bytes(red(10))
    for number in range(5_000):
        (tmp_path / f"test/cat/{number:05}.png").symlink_to(tmp_path / "red.png")
    env = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    command = [sys.executable, "-m", "registry", "evaluate", "model.onnx", "--data", "."]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as process:
        worker = next(_until(lambda: _children(process.pid)))
        next(_until(lambda: list((tmp_path / "temporary").glob("registry-judge-*/scores.npy"))))
        process.send_signal(stop)
        process.wait(PATIENCE)
    assert process.returncode != 0
    next(_until(lambda: not Path(f"/proc/{worker[0]}").exists()))
    assert list((tmp_path / "temporary").glob("registry-*")) == []
    assert not (tmp_path / "metrics.json").exists()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in path.read_text().split()] if path.exists() else []


def _until(condition: Callable[[], T]) -> Iterator[T]:
    """Yield the first true value of a condition."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            yield value
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")
