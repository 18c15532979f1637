"""The demo's backbone: a file that a user has, or the story's own network, cut before its head."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import NodeProto, TensorProto, helper

from registry.core.model_values import FEATURES
from registry.errors import InvalidData, Refused
from registry.model import classification, model_file, onnx_process, tasks

HEADS = ("Gemm", "MatMul")  # the operators of a last layer; its first input is what it sees
FIX = "export a backbone as docs/models.md describes («Models that build on features»)"


@dataclass(frozen=True, slots=True)
class Backbone:
    """A model file that gives features, and what people say of it."""

    data: bytes
    title: str
    description: str
    origin: str


def read(path: Path) -> Backbone:
    """A user's file: one that gives features, or a classifier in the form of docs/models.md, which is cut.

    Raises NotFound, and Refused for any other file.
    """
    try:
        onnx_process.inspect(path, tasks.outputs(FEATURES))
        data = path.read_bytes()
    except InvalidData as error:
        data = _cut_classifier(path, error)
    origin = (
        f"https://registry.example/backbones/{path.stem if path.stem.isascii() and path.stem.isalnum() else 'file'}"
    )
    return Backbone(
        data, "Features of a given network", f"Features of {path.name}, as it was given to the demo.", origin
    )


def of_network(data: bytes, name: str) -> Backbone:
    """The story's own network of `name` (a tag), without its head."""
    return Backbone(
        cut(data),
        f"Features of {name}",
        f"The network of {name}, without its head.",
        f"https://registry.example/{name}",
    )


def _cut_classifier(path: Path, as_features: InvalidData) -> bytes:
    try:
        onnx_process.inspect(path, classification.OUTPUTS)
        data = cut(path.read_bytes())
        with TemporaryDirectory(prefix="registry-demo-") as folder:
            made = Path(folder) / model_file.NAME
            made.write_bytes(data)
            onnx_process.inspect(made, tasks.outputs(FEATURES))
    except InvalidData as error:
        faults = "; ".join(dict.fromkeys([*as_features.problems, *error.problems]))
        raise Refused(f"{path} gives neither features nor scores: {faults}", fix=FIX) from error
    return data


def cut(data: bytes) -> bytes:
    """A classifier without its last layer: what that layer sees is the output. Raises InvalidData without such a layer.

    Its metadata keeps the input.
    """
    model = onnx.load_model_from_string(data)
    made_by = {name: node for node in model.graph.node for name in node.output}
    node = made_by.get(model.graph.output[0].name)
    while node is not None and node.op_type not in HEADS:
        node = made_by.get(node.input[0]) if node.input else None
    if node is None:
        raise InvalidData(
            "the model cannot be cut", [f"it has no last layer of the kind {' or '.join(HEADS)}"], fix=FIX
        )
    seen = node.input[0]
    kept = _needed(made_by, seen)
    nodes = [one for one in model.graph.node if id(one) in kept]
    metadata = {entry.key: entry.value for entry in model.metadata_props if entry.key == model_file.INPUT}
    del model.graph.node[:], model.graph.output[:], model.metadata_props[:]
    model.graph.node.extend([*nodes, helper.make_node("Flatten", [seen], [FEATURES], axis=1)])
    model.graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", "D"]))
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString(deterministic=True))


def _needed(made_by: dict[str, NodeProto], value: str) -> set[int]:
    """The ids of the nodes that a value depends on, also by way of the branches of a node."""
    found: set[int] = set()
    waiting = [value]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is None or id(node) in found:
            continue
        found.add(id(node))
        waiting += node.input
        waiting += [name for one in node.attribute if one.HasField("g") for inner in one.g.node for name in inner.input]
    return found
