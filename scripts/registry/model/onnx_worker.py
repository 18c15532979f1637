"""The process that opens a model file, which is not trusted: it has limits, no other task, and may crash.

Reads one JSON object from standard input: `model` (path), `memory` (bytes of address space), `threads`, `outputs` (as
`ModelOutput`), and for predictions `images` (paths) and `folder` (for an .npy file of each output); or `name_sidecar`,
to give the file of the model's weights that name. Writes JSON objects, one per line: `remark`, `model` (the metadata)
with `features` (how many it gives for an image), `done` (images so far), `faults` of the model, `undecodable` (why) and
`faults` that an image shows with `image` (its place, from 0), `weights` (the files that weights are read from).
"""

import json
import math
import os
import resource
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.lib.format import open_memmap

from registry.core.escaping import one_line
from registry.model import model_file, onnx_form, onnx_session
from registry.model.input_images import UndecodableImage, decode
from registry.model.model_file import ImageInput, InvalidMetadata, ModelOutput
from registry.model.onnx_form import Fault
from registry.model.onnx_session import Runner

BATCH_BYTES = 1 << 26  # of the images of one batch
BATCH = 64  # images at most
AHEAD = 2  # batches that are decoded while the model works on one
STEP = 31  # a prime: which image of a batch is tried alone moves by it from batch to batch


class _At(Exception):
    """What is wrong at the image at a place, from 0."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place = place


class UndecodableAt(_At):
    """Why an image cannot be decoded."""


class FaultAt(_At):
    """What an image shows to be wrong with the model."""


def main() -> None:
    """Read the task, limit this process, and answer."""
    task = json.loads(sys.stdin.buffer.read())
    # CUDA reserves more address space than any machine has memory; what is written to counts in either case.
    limit(resource.RLIMIT_DATA if onnx_session.has_gpu() else resource.RLIMIT_AS, task["memory"])
    try:
        model = Path(task["model"])
        if task.get("name_sidecar"):
            answer(weights=onnx_form.name_sidecar(model))
            return
        outputs = tuple(ModelOutput(**{**one, "axes": tuple(one["axes"])}) for one in task["outputs"])
        declared = onnx_form.inspect(model, outputs)
        runner, features = onnx_session.open_runner(
            model, task["threads"], declared, outputs, lambda text: answer(remark=text)
        )
        answer(model=model_file.format_metadata(declared), features=features)
        if images := task.get("images"):
            predict(runner, images, Path(task["folder"]))
    except (Fault, InvalidMetadata) as fault:
        answer(faults=[one_line(str(fault))])
    except FaultAt as fault:
        answer(faults=[one_line(str(fault))], image=fault.place)
    except UndecodableAt as error:
        answer(undecodable=str(error), image=error.place)
    except MemoryError:
        answer(faults=["it needs more memory than it may have"])


def limit(kind: int, memory: int) -> None:
    """Bound what this process may use, where the system can."""
    for what, value in ((kind, memory), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


def answer(**values: object) -> None:
    """Write one line."""
    print(json.dumps(values), flush=True)  # noqa: T201 - the answer to the process that asked


def predict(runner: Runner, images: Sequence[str], folder: Path) -> None:
    """Write the outputs for all images, in their order, batch by batch. Raises Fault, FaultAt and UndecodableAt.

    Which images share a batch has nothing to do with their labels, and is the same each time.
    """
    size = runner.declared.input.size
    count = max(1, min(BATCH, BATCH_BYTES // (3 * size * size)))
    files = [folder / f"{output.name}.npy" for output in runner.outputs]
    order, done = numpy.random.default_rng(0).permutation(len(images)), 0
    try:
        for batch in _decoded([images[place] for place in order], runner.declared.input, count):
            made = _run(runner, batch, done // count)
            for file, values in zip(files, made, strict=True):
                if not done:
                    open_memmap(file, "w+", numpy.float32, (len(images), *values.shape[1:]))
                # Opened each time, so that what is written leaves the memory of this process.
                open_memmap(file, "r+")[order[done : done + len(batch)]] = values
            done += len(batch)
            answer(done=done)
    except UndecodableAt as error:
        raise UndecodableAt(int(order[error.place]), str(error)) from error
    except Fault as fault:
        if fault.row is None:
            raise
        raise FaultAt(int(order[done + fault.row]), str(fault)) from fault


def _run(runner: Runner, batch: numpy.ndarray, number: int) -> list[numpy.ndarray]:
    """The outputs of a batch, one image of which is tried alone. Raises Fault."""
    made = runner.run(batch)
    if number == 0:
        runner.require_repeatable(batch, made)
    runner.require_independent(batch, made, number * STEP % len(batch))
    return made


# --- decoding ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decoding:
    """A batch (N, S, S, 3) that threads fill."""

    batch: numpy.ndarray
    parts: Sequence[Future[None]]

    def result(self) -> numpy.ndarray:
        """The batch when it is full. Raises UndecodableAt."""
        for part in self.parts:
            part.result()
        return self.batch


def _decoded(images: Sequence[str], given: ImageInput, count: int) -> Iterator[numpy.ndarray]:
    """The images in batches; the next two are decoded, in threads, while the model works on one."""
    workers = min(os.cpu_count() or 1, count)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Decoding] = deque()
        for start in range(0, len(images), count):
            waiting.append(_start(pool, images, range(start, min(start + count, len(images))), given, workers))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        for left in waiting:
            yield left.result()


def _start(pool: Executor, images: Sequence[str], places: range, given: ImageInput, workers: int) -> Decoding:
    """Decode the images at some places, a part of them in each of the workers."""
    batch = numpy.empty((len(places), given.size, given.size, 3), numpy.uint8)

    def fill(rows: range) -> None:
        for row in rows:
            batch[row] = decode_one(images[places[row]], places[row], given)

    rows, step = range(len(places)), math.ceil(len(places) / workers)
    return Decoding(batch, [pool.submit(fill, rows[first : first + step]) for first in rows[::step]])


def decode_one(path: str, place: int, given: ImageInput) -> numpy.ndarray:
    """One image. Raises UndecodableAt, which names its place."""
    try:
        return decode(Path(path), given)
    except UndecodableImage as error:
        raise UndecodableAt(place, str(error)) from error


if __name__ == "__main__":
    main()
