"""Measuring a model on many images with `registry evaluate`: time against a bare loop, and peak memory.

The bare loop decodes with simplejpeg in threads, crops and scales with Pillow as the judge does, and runs onnxruntime;
it validates nothing and writes nothing. Both start a process for each round, and alternate. Peak memory is that of the
command and of its child, each at its highest, added up (Linux).

python benchmarks/judging.py [--images 100000] [--classes 2] [--rounds 3] [--network small|none]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy
import onnx
import onnxruntime
import simplejpeg
from onnx import NodeProto, TensorProto, helper, numpy_helper
from PIL import Image, ImageOps

from registry.model import model_file
from registry.model.model_file import ImageInput, ModelFile

SIZE = 96  # pixels per side of the model's input
PICTURES = 1_000  # different ones; the others are links to them
BATCH = 64
REGISTRY = Path(sys.executable).parent / "registry"


class Used(NamedTuple):
    """What a command and its children used: seconds, seconds of the processors, bytes at their highest."""

    wall: float
    cpu: float
    memory: int


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", choices=("small", "none"), default="small")
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.floor:
        run_floor(args.floor)
        return
    with TemporaryDirectory(prefix="registry-benchmark-") as name:
        folder = Path(name)
        make_images(folder / "test", args.images, args.classes)
        (folder / "model.onnx").write_bytes(make_network(args.classes, convolutions=args.network == "small"))
        floor = (sys.executable, str(Path(__file__).resolve()), "--floor", str(folder))
        commands = {"bare loop": floor, "registry evaluate": (str(REGISTRY), "evaluate", "model.onnx", "--data", ".")}
        rounds = [{what: measure(folder, command) for what, command in commands.items()} for _ in range(args.rounds)]
    print("| what | ms an image | ratio | CPU ms an image | ratio | peak memory |\n|---|---|---|---|---|---|")
    middle = {what: Used(*(statistics.median(column) for column in zip(*(one[what] for one in rounds), strict=True)))
              for what in commands}  # fmt: skip
    least = middle["bare loop"]
    for what, used in middle.items():
        times = [
            f"{1000 * part / args.images:.3f} | {part / of:.2f}" for part, of in zip(used[:2], least[:2], strict=True)
        ]
        print(f"| {what} | {' | '.join(times)} | {used.memory / 1e6:,.0f} MB |")


def measure(folder: Path, command: Sequence[str]) -> Used:
    """Run a command, and look at its memory from outside until it ends."""
    begun, highest = time.perf_counter(), dict[int, int]()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        highest.update(peaks(process.pid))
        time.sleep(0.05)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    wall = time.perf_counter() - begun
    print(f"{command[0]}: {wall:.1f} s", file=sys.stderr)
    return Used(wall, used.ru_utime + used.ru_stime, sum(highest.values()))


def peaks(pid: int) -> Iterator[tuple[int, int]]:
    """The highest resident memory so far, in bytes, of a process and of those below it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            yield pid, 1024 * int(line.split()[1])
    for child in children:
        yield from peaks(int(child))


# --- what is measured -------------------------------------------------------------------------------------------------


def make_images(split: Path, count: int, classes: int) -> None:
    """A split of small photographs, some 5 kB each, evenly over the classes."""
    noise, originals = numpy.random.default_rng(0), split.parent / "originals"
    originals.mkdir()
    for number in range(min(count, PICTURES)):
        rough = Image.fromarray(noise.integers(0, 256, (12, 16, 3), dtype=numpy.uint8))
        rough.resize((160, 120), Image.Resampling.BICUBIC).save(originals / f"{number}.jpg", quality=85)
    for place in range(min(classes, count)):
        (split / f"c{place}").mkdir(parents=True)
    for number in range(count):
        mixed = number * 0x9E3779B97F4A7C15 % 2**64
        path = split / f"c{number % classes}" / f"{mixed:016x}.jpg"
        path.symlink_to(originals / f"{number % PICTURES}.jpg")


def make_network(classes: int, *, convolutions: bool) -> bytes:
    """A model file of random weights: one linear layer over mean colours, behind three convolutions or none."""
    noise, channels = numpy.random.default_rng(1), 3
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["x"], perm=[0, 3, 1, 2]),
    ]
    weights: dict[str, numpy.ndarray] = {}
    for layer, made in enumerate((16, 32, 64) if convolutions else ()):
        weights[f"w{layer}"] = noise.normal(0, 0.05, (made, channels, 3, 3)).astype(numpy.float32)
        nodes += convolution(layer)
        channels = made
    weights["head"] = noise.normal(0, 0.02, (channels, classes)).astype(numpy.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [nodes[-1].output[0]], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(model_file.IMAGES, TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    names = tuple(f"c{place}" for place in range(classes))
    onnx.helper.set_model_props(model, model_file.format_metadata(ModelFile(names, ImageInput(SIZE))))
    return bytes(model.SerializeToString())


def convolution(layer: int) -> list[NodeProto]:
    """Three by three, every second pixel, and what is above zero."""
    source = "x" if layer == 0 else f"r{layer - 1}"
    return [
        helper.make_node("Conv", [source, f"w{layer}"], [f"y{layer}"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", [f"y{layer}"], [f"r{layer}"]),
    ]


def run_floor(folder: Path) -> None:
    """The bare loop: how many images of each class it finds."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    paths = sorted(folder.glob("test/*/*"))
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: deque[Future[numpy.ndarray]] = deque()
        for start in range(0, len(paths) + 3 * BATCH, BATCH):
            if batch := paths[start : start + BATCH]:
                waiting.append(pool.submit(decode_batch, batch))
            if len(waiting) > 2 or (waiting and not batch):
                found.append(session.run(["scores"], {"images": waiting.popleft().result()})[0].argmax(1))
    print(numpy.bincount(numpy.concatenate(found)))


def decode_batch(paths: Sequence[Path]) -> numpy.ndarray:
    return numpy.stack([decode(path.read_bytes()) for path in paths])


def decode(data: bytes) -> numpy.ndarray:
    image = Image.fromarray(simplejpeg.decode_jpeg(data, "RGB"))
    return numpy.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
