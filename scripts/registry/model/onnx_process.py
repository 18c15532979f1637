"""Opens model files in a process of its own with limits, so that a hostile one is a finding and never a crash."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from registry.errors import InvalidData, NotFound, Refused
from registry.model import model_file
from registry.model.model_file import ImageInput, ModelFile, ModelOutput

WORKER = "registry.model.onnx_worker"
MEMORY = 6 << 30  # bytes of address space, and four times the file's size
PATIENCE = 300  # seconds without an answer
THREADS = 16  # at most
FIX = "export it as docs/models.md describes"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may use beside the model's own size: bytes of address space (of memory that it writes to, where
    onnxruntime was built for CUDA), and seconds without a step forward.
    """

    memory: int = MEMORY
    patience: float = PATIENCE


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Work:
    """The outputs that a model must have, images to run it on, what messages call them, and a folder for results."""

    outputs: Sequence[ModelOutput]
    images: Sequence[Path]
    names: Sequence[str]
    folder: Path

    def file(self, output: ModelOutput) -> Path:
        """The .npy file of an output: float32 (images, …), in their order."""
        return self.folder / f"{output.name}.npy"


def inspect(model: Path, outputs: Sequence[ModelOutput], limits: Limits = DEFAULT, *, name: str = "") -> ModelFile:
    """What a model file with these outputs declares, after a trial with made-up images; `name` is what a message calls
    it.

    Raises NotFound, InvalidData where it is not a model file or exceeds the limits.
    """
    work = Work(outputs, (), (), Path())
    return _run(model, work, limits, lambda _: None, name or str(model))


def predict(
    model: Path,
    work: Work,
    progress: Callable[[int], None],
    limits: Limits = DEFAULT,
    *,
    name: str = "",
    remark: Callable[[str], None] = lambda _: None,
) -> ModelFile:
    """Write what the model gives for images to the files of the work.

    Raises as `inspect`, and Refused for an image that cannot be decoded.

    `progress` is called with how many more images are done, `remark` with what a person should know of how it ran.
    """
    return _run(model, work, limits, progress, name or str(model), remark)


def name_sidecar(model: Path, limits: Limits = DEFAULT, *, name: str = "") -> tuple[str, ...]:
    """The files from which a model file reads weights; where it is one of another name, it becomes the sidecar's.

    Raises as `inspect`.
    """
    with closing(_ask(model, {"name_sidecar": True}, limits, name or str(model), "weights")) as answers:
        return tuple(next(answer["weights"] for answer in answers if "weights" in answer))


def _run(
    model: Path,
    work: Work,
    limits: Limits,
    progress: Callable[[int], None],
    name: str,
    remark: Callable[[str], None] = lambda _: None,
) -> ModelFile:
    task = {
        "outputs": [asdict(output) for output in work.outputs],
        "images": [str(image.absolute()) for image in work.images],
        "folder": str(work.folder.absolute()),
    }
    declared, done = ModelFile((), ImageInput(0)), 0
    with closing(_ask(model, task, limits, name, "model", work.names)) as answers:
        for answer in answers:
            if "remark" in answer:
                remark(answer["remark"])
            if "undecodable" in answer:
                image = work.names[answer["image"]]
                fault = f"{image} cannot be decoded: {answer['undecodable']}"
                raise Refused(fault, fix="exclude the image in dataset.yaml, then build")
            if "model" in answer:
                found = model_file.parse_metadata(answer["model"], has_classes=model_file.CLASSES in answer["model"])
                declared = replace(found, features=answer["features"])
            if "done" in answer:
                progress(answer["done"] - done)
                done = answer["done"]
    return declared


def _ask(
    model: Path, task: Mapping[str, object], limits: Limits, name: str, wanted: str, images: Sequence[str] = ()
) -> Generator[dict[str, Any]]:
    """What the process answers to a task. Raises InvalidData for faults, and where it ends without what is wanted."""
    if not model.is_file():
        raise NotFound(f"{name} does not exist", fix="run `registry pull`, or `dvc repro` to train it")
    memory = limits.memory + 4 * _size(model)
    threads = min(os.cpu_count() or 1, THREADS)
    task = {"model": str(model.absolute()), "memory": memory, "threads": threads, **task}
    command = [sys.executable, "-I", "-m", WORKER]
    # glibc reserves address space for each thread's arena
    env = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": str(threads)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as worker:
        try:
            threading.Thread(target=_send, args=(worker.stdin, task), daemon=True).start()
            yield from _follow(worker, name, limits, wanted, images)
        finally:
            worker.kill()


def _size(model: Path) -> int:
    sidecar = model.with_name(model_file.SIDECAR)
    return model.stat().st_size + (sidecar.stat().st_size if sidecar.is_file() else 0)


def _follow(
    worker: subprocess.Popen[bytes], name: str, limits: Limits, wanted: str, images: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The answers until the process ends."""
    answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_receive, args=(worker.stdout, answers), daemon=True).start()
    is_answered = False
    while answer := _next(answers, name, limits):
        if faults := answer.get("faults"):
            example = f", such as for {images[answer['image']]}" if "image" in answer else ""
            raise _invalid(name, [f"{fault}{example}" for fault in faults])
        is_answered = is_answered or wanted in answer
        yield answer
    code = worker.wait()
    if not is_answered or code:
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise _invalid(name, [f"the process that opened it ended early ({ended}), perhaps for lack of memory"])


def _next(answers: "queue.Queue[dict[str, Any] | None]", name: str, limits: Limits) -> dict[str, Any] | None:
    try:
        return answers.get(timeout=limits.patience)
    except queue.Empty:
        raise _invalid(name, [f"it did not get any further for {limits.patience:g} seconds"]) from None


def _send(stream: IO[bytes] | None, task: dict[str, object]) -> None:
    assert stream is not None
    try:
        stream.write(json.dumps(task).encode())
        stream.close()
    except OSError:
        pass  # the process ended, which its exit code tells


def _receive(stream: IO[bytes] | None, answers: "queue.Queue[dict[str, Any] | None]") -> None:
    assert stream is not None
    for line in stream:
        try:
            answer = json.loads(line)
        except ValueError:
            continue  # a native library wrote to standard output
        if isinstance(answer, dict):
            answers.put(answer)
    answers.put(None)


def _invalid(name: str, faults: Sequence[str]) -> InvalidData:
    return InvalidData(f"{name} is not a valid model file", faults, fix=FIX)
