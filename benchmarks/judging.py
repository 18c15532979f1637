"""Measuring a model on many images: time and peak memory of the command and of the process that runs the model.

Run it with `python benchmarks/judging.py [IMAGES]` (100,000): one JPEG under so many names, and a network of one
threshold, so that what is measured is the judge.
"""

import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from polars import DataFrame

from registry.model import classification, judge, model_file
from registry.model.model_file import ImageInput, ModelFile

SIZE = 96  # pixels per side of the model's input
CLASSES = ("cat", "dog")


def main() -> None:
    """Print a line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory() as name:
        folder = Path(name)
        pixels = numpy.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(folder / "image.jpg", quality=85)
        (folder / "model.onnx").write_bytes(network())
        names = [f"{number:08}" for number in range(count)]
        test = DataFrame({"uuid": names, "label": ["cat"] * count, "relpath": [f"cat/{one}.jpg" for one in names]})
        start = time.perf_counter()
        judge.judge(classification, folder / "model.onnx", test, [folder / "image.jpg"] * count)
        seconds = time.perf_counter() - start
    peaks = [resource.getrusage(who).ru_maxrss / 1000 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{count:,} images: {seconds:.0f} s, command {peaks[0]:.0f} MB, worker {peaks[1]:.0f} MB")


def network() -> bytes:
    """A model file: the softmax of the means of red and green."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "channels"], ["logits"], axis=1),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    constants = {"sides": numpy.array([1, 2], numpy.int64), "channels": numpy.array([0, 1], numpy.int64)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(model_file.IMAGES, TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.helper.set_model_props(model, model_file.format_metadata(ModelFile(CLASSES, ImageInput(SIZE))))
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
