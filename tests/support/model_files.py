"""Model files that tests make: a network of one threshold, and files that are broken in one way."""

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy
import onnx
import polars as pl
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from registry.model import classification
from registry.model.model_file import Crop, Filter, ImageInput, ModelFile, format_metadata

SIZE = 4  # pixels per side
CLASSES = ("cat", "dog")


def threshold(
    limit: float, classes: Sequence[str] = CLASSES, size: int = SIZE, note: str = "", crop: str = "center"
) -> bytes:
    """A model that says the second class of an image whose mean red is above `limit`; `note` makes other bytes."""
    given = format_metadata(ModelFile(tuple(classes), ImageInput(size, Crop(crop))))
    return build(*network(limit), classes=classes, size=size, note=note, metadata=given)


def network(limit: float) -> tuple[list[NodeProto], dict[str, numpy.ndarray]]:
    """The nodes and constants of `threshold`."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "red"], ["level"], axis=1),
        helper.make_node("Sub", ["level", "limit"], ["above"]),
        helper.make_node("Mul", ["above", "directions"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    constants: dict[str, numpy.ndarray] = {
        "sides": numpy.array([1, 2], numpy.int64),
        "red": numpy.array([0], numpy.int64),
        "limit": numpy.array(limit, numpy.float32),
        "directions": numpy.array([[-1 / 32, 1 / 32]], numpy.float32),
    }
    return nodes, constants


def backbone(size: int = SIZE, note: str = "", scaling: str = "bicubic", width: int = 3) -> bytes:
    """A model that gives the mean red, green and blue of an image, from 0 to 1; `width` repeats or cuts them."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "places"], ["chosen"], axis=1),
        helper.make_node("Mul", ["chosen", "scale"], ["features"]),
    ]
    constants: dict[str, numpy.ndarray] = {
        "sides": numpy.array([1, 2], numpy.int64),
        "places": numpy.arange(width, dtype=numpy.int64) % 3,
        "scale": numpy.array(1 / 255, numpy.float32),
    }
    made = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])]
    given = format_metadata(ModelFile((), ImageInput(size, filter=Filter(scaling))))
    return build(nodes, constants, size=size, note=note, metadata=given, outputs=made)


def build(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, numpy.ndarray],
    *,
    classes: Sequence[str] = CLASSES,
    size: int = SIZE,
    note: str = "",
    metadata: Mapping[str, str] | None = None,
    inputs: Sequence[ValueInfoProto] | None = None,
    outputs: Sequence[ValueInfoProto] | None = None,
    **more: Any,
) -> bytes:
    """A model file of these nodes; what is not given follows the contract."""
    given = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size, size, 3])]
    made = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", len(classes)])]
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(
        list(nodes), "graph", given if inputs is None else inputs, made if outputs is None else outputs, initial
    )
    opsets = more.pop("opset_imports", [helper.make_opsetid("", 20)])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, doc_string=note, **more)
    standard = format_metadata(ModelFile(tuple(classes), ImageInput(size)))
    helper.set_model_props(model, dict(standard if metadata is None else metadata))
    return bytes(model.SerializeToString(deterministic=True))


def with_sidecar(data: bytes, name: str = "model.onnx.data") -> tuple[bytes, bytes]:
    """A model file that has its numbers with a point in a file of this name, and that file.

    The sizes and places that onnxruntime needs before it reads weights stay inside.
    """
    model, weights = loaded(data), b""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            place = {"location": name, "offset": str(len(weights)), "length": str(len(tensor.raw_data))}
            weights += tensor.raw_data
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
    return bytes(model.SerializeToString(deterministic=True)), weights


@cache
def named(weights: bytes) -> bytes:
    """A valid model file; other `weights` make another file."""
    return threshold(128, note=weights.hex())


def loaded(data: bytes) -> onnx.ModelProto:
    """A file, to be changed."""
    return onnx.load_model_from_string(data)


def predictions(images: Mapping[str, str], wrong: int = 0) -> pl.DataFrame:
    """Predictions for images (UUID → label) as the judge makes them: all right but the first `wrong`."""
    test = pl.DataFrame(
        {"uuid": list(images), "label": list(images.values())}, schema={"uuid": pl.String, "label": pl.String}
    )
    rows = [CLASSES.index(label) for label in test["label"]]
    rows = [1 - row if place < wrong else row for place, row in enumerate(rows)]
    scores = numpy.array([[0.9, 0.1] if row == 0 else [0.1, 0.9] for row in rows], numpy.float32).reshape(-1, 2)
    return classification.tabulate(test, {"scores": scores}, CLASSES)


def parquet(table: pl.DataFrame) -> bytes:
    """`predictions.parquet`."""
    out = io.BytesIO()
    table.write_parquet(out)
    return out.getvalue()
