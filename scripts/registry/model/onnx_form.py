"""The form of a model file, as its protobuf says: operators, weights, metadata, input and outputs; nothing is run."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from registry.core import wording
from registry.core.model_values import FEATURES
from registry.model import model_file
from registry.model.model_file import CLASSES, ModelFile, ModelOutput

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
LARGEST = 2**31 - 1  # bytes of a protobuf message
METADATA = 4 << 20  # bytes at most; 10,000 classes with names of 200 letters take half of it
PADDING = 1 << 16  # bytes of a sidecar behind its last tensor; weights are aligned to pages of 4 or 64 KiB


class Fault(Exception):
    """Why a file is not a model file; `row` is the image of a batch that shows it, from 0 (None: no image does)."""

    def __init__(self, why: str, row: int | None = None) -> None:
        super().__init__(why)
        self.row = row


def inspect(path: Path, outputs: Sequence[ModelOutput]) -> ModelFile:
    """What a file with these outputs declares. Raises Fault and InvalidMetadata where it breaks the contract."""
    model = _parse(path)
    _require_standard_operators(model)
    _require_repeatable(model)
    _require_own_data(model, path, outputs)
    metadata = _read_metadata(model)
    if [one.name for one in model.graph.output] == [FEATURES] != [output.name for output in outputs]:
        raise Fault(f"it gives `{FEATURES}`, for other models to build on, expected `{outputs[0].name}`")
    declared = model_file.parse_metadata(metadata, has_classes=any(CLASSES in output.axes for output in outputs))
    _require_interface(model.graph, declared, outputs)
    _require_valid(path)
    return declared


def _require_valid(path: Path) -> None:
    """Raise Fault for what ONNX's own checker refuses, such as operators and sizes that do not exist.

    It takes no sidecar that is a link, as files of a checkout and objects of a cache are (onnx 1.23): it sees a hole of
    the sidecar's size in its place, because it does not look at weights that lie outside.
    """
    sidecar = path.with_name(model_file.SIDECAR)
    if not sidecar.is_file():
        _check(path)
        return
    with TemporaryDirectory(prefix="registry-form-") as folder:
        model = Path(folder, model_file.NAME)
        model.symlink_to(path.absolute())
        with model.with_name(sidecar.name).open("wb") as hole:
            hole.truncate(sidecar.stat().st_size)
        _check(model)


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise Fault(f"it is not valid ONNX: {str(error).strip().splitlines()[0][:300]}") from error


def _read_metadata(model: ModelProto) -> Mapping[str, str]:
    size = sum(one.ByteSize() for one in model.metadata_props)
    if size > METADATA:
        raise Fault(f"its metadata has {size:,} bytes, expected at most {METADATA:,}")
    metadata: dict[str, str] = {}
    for entry in model.metadata_props:
        if entry.key in metadata:
            raise Fault(f"the metadata has `{entry.key[:40]}` twice")
        metadata[entry.key] = entry.value
    return metadata


def _parse(path: Path) -> ModelProto:
    size = path.stat().st_size
    if size > LARGEST:
        raise Fault(f"it has {size:,} bytes, expected less than 2 GB and the weights in {model_file.SIDECAR}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # what protobuf raises is not documented
        raise Fault("it is not an ONNX file") from error
    if not model.graph.node:
        raise Fault("it is not an ONNX file" if not model.ir_version else "its graph has no nodes")
    return model


def _require_standard_operators(model: ModelProto) -> None:
    if model.training_info:
        raise Fault("it has instructions for training; export the network in evaluation mode")
    if model.functions:
        raise Fault(f"it defines a function of its own, {model.functions[0].name[:80]}")
    nodes = [node for graph in _graphs(model) for node in graph.node]
    domains = {one.domain for one in model.opset_import} | {node.domain for node in nodes}
    if custom := sorted(domains - DOMAINS):
        raise Fault(f"it uses operators of the domain {custom[0][:80]}, which is not standard ONNX")


def _require_repeatable(model: ModelProto) -> None:
    """The same scores for the same images; onnxruntime leaves dropout out, and other software does not."""
    graphs = list(_graphs(model))
    nodes = [node for graph in graphs for node in graph.node]
    if random := sorted({node.op_type for node in nodes} & RANDOM):
        raise Fault(f"it uses the operator {random[0]}, so that it may say something else each time it runs")
    off = {"", *_always_false(graphs)}
    for node in nodes:
        drops = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] not in off
        learns = node.op_type == "BatchNormalization" and any(
            one.name == "training_mode" and one.i for one in node.attribute
        )
        if drops or learns:
            raise Fault(f"its {node.op_type} is in training mode; export the network in evaluation mode")


def _always_false(graphs: Sequence[GraphProto]) -> set[str]:
    """The names that stand for a constant false, in whichever graph they are defined."""
    false, other = set[str](), set[str]()
    for graph in graphs:
        other.update(one.name for one in graph.input)
        for tensor in graph.initializer:
            (false if _is_false(tensor) else other).add(tensor.name)
        for node in graph.node:
            is_false = node.op_type == "Constant" and any(_is_false(attribute.t) for attribute in node.attribute)
            (false if is_false else other).update(node.output)
    return false - other


def _is_false(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.BOOL and not any(tensor.raw_data) and not any(tensor.int32_data)


def _require_own_data(model: ModelProto, path: Path, outputs: Sequence[ModelOutput]) -> None:
    """Weights lie in the file, or in all of the sidecar beside it."""
    name, sidecar = model_file.SIDECAR, path.with_name(model_file.SIDECAR)
    places = [_read_place(tensor) for tensor in _external(model)]
    if other := next((place["location"] for place in places if place["location"] != name), None):
        raise Fault(f"it reads weights from {other[:80]!r}, expected none but {name} beside it")
    if not places:
        if sidecar.is_file() and path.name == model_file.NAME:
            raise Fault(f"{name} lies beside it, and none of its weights are there")
        return
    if any(output.name == FEATURES for output in outputs):
        raise Fault(f"its weights are in {name}, expected inside the file: other models build on it")
    if not sidecar.is_file():
        raise Fault(f"{name} is missing beside it")
    size = sidecar.stat().st_size
    ends = [_read_number(place, "offset") + _read_number(place, "length") for place in places]
    if max(ends) > size:
        raise Fault(f"a tensor's weights lie beyond the end of {name}")
    if all("length" in place for place in places) and size - max(ends) >= PADDING:
        raise Fault(f"{name} has {size:,} bytes, and its weights end after {max(ends):,}")


def _external(model: ModelProto) -> list[TensorProto]:
    return [tensor for graph in _graphs(model) for tensor in _tensors(graph) if _is_external(tensor)]


def _read_place(tensor: TensorProto) -> Mapping[str, str]:
    """Where the weights of a tensor are: `location`, and `offset` and `length` where they are given. Raises Fault."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) < len(tensor.external_data):
        raise Fault("the place of a tensor's weights is given twice")
    return {"location": "", **entries}


def _read_number(place: Mapping[str, str], key: str) -> int:
    number = place.get(key, "0")
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        raise Fault("the place of a tensor's weights is not a number of bytes")
    return int(number)


def name_sidecar(path: Path) -> tuple[str, ...]:
    """The files from which a model file reads weights; where it is one of another name, it becomes the sidecar's.

    Raises Fault where it is not ONNX, and for a place that is not the name of a file.
    """
    model = _parse(path)
    tensors = _external(model)
    names = tuple(sorted({_read_place(tensor)["location"] for tensor in tensors}))
    if len(names) == 1 and names != (model_file.SIDECAR,):
        path.write_bytes(_relocated(model, tensors, model_file.SIDECAR))
    return names


def relocate(path: Path, name: str) -> bytes:
    """A model file that reads its weights from a file of another name, in place of the sidecar."""
    model = _parse(path)
    return _relocated(model, _external(model), name)


def _relocated(model: ModelProto, tensors: Sequence[TensorProto], name: str) -> bytes:
    for tensor in tensors:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    return bytes(model.SerializeToString(deterministic=True))


def _is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data)


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The graph, and all graphs of its nodes' attributes (branches and loops), without recursion."""
    waiting = deque([model.graph])
    waiting.extend(graph for function in model.functions for node in function.node for graph in _below(node.attribute))
    while waiting:
        graph = waiting.popleft()
        yield graph
        for node in graph.node:
            waiting.extend(_below(node.attribute))


def _below(attributes: Sequence[AttributeProto]) -> Iterator[GraphProto]:
    for attribute in attributes:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    sparse = [*graph.sparse_initializer]
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse += attribute.sparse_tensors
        if attribute.HasField("sparse_tensor"):
            sparse.append(attribute.sparse_tensor)
    yield from chain.from_iterable((one.values, one.indices) for one in sparse)


def _require_interface(graph: GraphProto, declared: ModelFile, outputs: Sequence[ModelOutput]) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    size, classes = declared.input.size, len(declared.classes)
    given = [one for one in graph.input if one.name not in weights]
    _require_values("input", given, [(model_file.IMAGES, TensorProto.UINT8, (size, size, 3))])
    made = [(output.name, TensorProto.FLOAT, output.shape(classes)) for output in outputs]
    _require_values("output", list(graph.output), made)


def _require_values(
    what: str, values: Sequence[onnx.ValueInfoProto], expected: Sequence[tuple[str, int, tuple[int | None, ...]]]
) -> None:
    """Raise Fault where the inputs or outputs are not the expected ones: names, types and sizes behind N."""
    words = [
        f"`{name}`, {TensorProto.DataType.Name(kind).lower()} ({axes('N', *shape)})" for name, kind, shape in expected
    ]
    if len(values) != len(expected):
        number = "one" if len(expected) == 1 else str(len(expected))
        raise Fault(f"it has {wording.plural(len(values), what)}, expected {number}: {'; '.join(words)}")
    for value, (name, kind, shape), word in zip(values, expected, words, strict=True):
        found = value.type.tensor_type
        sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in found.shape.dim]
        if value.name != name or found.elem_type != kind or len(sizes) != len(shape) + 1:
            raise Fault(f"its {what} is {_describe(value)}, expected {word}")
        if sizes[0] is not None:
            raise Fault(f"its {what} takes {sizes[0]} images at a time, expected any number N")
        if not all(found is None or fits(found, must) for found, must in zip(sizes[1:], shape, strict=True)):
            raise Fault(f"its {what} is {_describe(value)}, expected {word}")


def axes(*sizes: int | str | None) -> str:
    """The axes of a tensor, `N, 224, 224, 3`; D is a size that is the model's own."""
    return ", ".join("D" if size is None else str(size) for size in sizes)


def fits(size: int, expected: int | None) -> bool:
    """Whether an axis has the expected size; None is any but 0."""
    return size > 0 if expected is None else size == expected


def _describe(value: onnx.ValueInfoProto) -> str:
    found = value.type.tensor_type
    axes = [str(axis.dim_value) if axis.HasField("dim_value") else axis.dim_param or "?" for axis in found.shape.dim]
    kinds = TensorProto.DataType.DESCRIPTOR.values_by_number
    kind = kinds[found.elem_type].name.lower() if found.elem_type in kinds else "unknown"
    return f"`{value.name[:40]}`, {kind} ({', '.join(axes[:8])})"
