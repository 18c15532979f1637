"""The process that opens a model file, which is not trusted: it has limits, no other task, and may crash.

Reads one JSON object from standard input: `model` (path), `memory` (bytes of address space), `threads`, `outputs` (as
`ModelOutput`), and for predictions `images` (paths) and `folder` (for an .npy file of each output). Writes JSON
objects, one per line: `model` (the metadata) with `features` (how many it gives for an image), `done` (images so far),
`faults` of the model, or `undecodable` (why) with `image` (its place, from 0).
"""

import json
import os
import re
import resource
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from registry.core import wording
from registry.core.model_values import FEATURES
from registry.model import model_file
from registry.model.input_images import UndecodableImage, decode
from registry.model.model_file import CLASSES, ImageInput, InvalidMetadata, ModelFile, ModelOutput

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
LARGEST = 2**31 - 1  # bytes of a protobuf message
BATCH_BYTES = 1 << 26  # of the images of one batch
BATCH = 64  # images at most
DIGITS = 1e-3  # by which the scores of an image may miss a sum of 1


class Fault(Exception):
    """Why a file is not a model file."""


class UndecodableAt(Exception):
    """Why the image at a place, from 0, cannot be decoded."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place = place


def main() -> None:
    """Read the task, limit this process, and answer."""
    task = json.loads(sys.stdin.buffer.read())
    limit(task["memory"])
    try:
        model = Path(task["model"])
        outputs = tuple(ModelOutput(one["name"], tuple(one["axes"]), one["sums_to_one"]) for one in task["outputs"])
        metadata = inspect(model, outputs)
        runner = Runner(open_session(model, task["threads"]), metadata, outputs)
        features = runner.try_out()
        answer(model=model_file.format_metadata(metadata), features=features)
        if images := task.get("images"):
            runner.predict(images, Path(task["folder"]))
    except (Fault, InvalidMetadata) as fault:
        answer(faults=[str(fault)])
    except UndecodableAt as error:
        answer(undecodable=str(error), image=error.place)
    except MemoryError:
        answer(faults=["it needs more memory than it may have"])


def limit(memory: int) -> None:
    """Bound what this process may use, where the system can."""
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def answer(**values: object) -> None:
    """Write one line."""
    print(json.dumps(values), flush=True)  # noqa: T201 - the answer to the process that asked


# --- form -------------------------------------------------------------------------------------------------------------


def inspect(path: Path, outputs: Sequence[ModelOutput]) -> ModelFile:
    """What a file with these outputs declares. Raises Fault and InvalidMetadata where it breaks the contract."""
    model = _parse(path)
    _require_standard_operators(model)
    _require_own_data(model, path)
    metadata: dict[str, str] = {}
    for entry in model.metadata_props:
        if entry.key in metadata:
            raise Fault(f"the metadata has `{entry.key[:40]}` twice")
        metadata[entry.key] = entry.value
    if [one.name for one in model.graph.output] == [FEATURES] != [output.name for output in outputs]:
        raise Fault(f"it gives `{FEATURES}`, for other models to build on, expected `{outputs[0].name}`")
    declared = model_file.parse_metadata(metadata, has_classes=any(CLASSES in output.axes for output in outputs))
    _require_interface(model.graph, declared, outputs)
    return declared


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
    if model.functions:
        raise Fault(f"it defines a function of its own, {model.functions[0].name[:80]}")
    domains = {one.domain for one in model.opset_import} | {
        node.domain for graph in _graphs(model) for node in graph.node
    }
    if custom := sorted(domains - DOMAINS):
        raise Fault(f"it uses operators of the domain {custom[0][:80]}, which is not standard ONNX")


def _require_own_data(model: ModelProto, path: Path) -> None:
    external = [tensor for graph in _graphs(model) for tensor in _tensors(graph) if _is_external(tensor)]
    sidecar = path.with_name(model_file.SIDECAR)
    for tensor in external:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = entries.get("location", "")
        if place != model_file.SIDECAR:
            raise Fault(f"it reads weights from {place[:80]!r}, expected none but {model_file.SIDECAR} beside it")
        if not sidecar.is_file():
            raise Fault(f"{model_file.SIDECAR} is missing beside it")
        _require_inside(entries, sidecar)
    if external and path.stat().st_size + sidecar.stat().st_size <= LARGEST:
        raise Fault(f"its weights are in {model_file.SIDECAR} though they have less than 2 GB, expected one file")


def _require_inside(entries: Mapping[str, str], sidecar: Path) -> None:
    start, length = entries.get("offset", "0"), entries.get("length", "0")
    if not start.isascii() or not start.isdigit() or not length.isascii() or not length.isdigit():
        raise Fault("the place of a tensor's weights is not a number")
    if len(start) > 15 or len(length) > 15 or int(start) + int(length) > sidecar.stat().st_size:
        raise Fault(f"a tensor's weights lie beyond the end of {model_file.SIDECAR}")


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
        f"`{name}`, {TensorProto.DataType.Name(kind).lower()} ({_axes('N', *shape)})" for name, kind, shape in expected
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
        if not all(found is None or _fits(found, must) for found, must in zip(sizes[1:], shape, strict=True)):
            raise Fault(f"its {what} is {_describe(value)}, expected {word}")


def _axes(*sizes: int | str | None) -> str:
    """The axes of a tensor, `N, 224, 224, 3`; D is a size that is the model's own."""
    return ", ".join("D" if size is None else str(size) for size in sizes)


def _fits(size: int, expected: int | None) -> bool:
    """Whether an axis has the expected size; None is any but 0."""
    return size > 0 if expected is None else size == expected


def _describe(value: onnx.ValueInfoProto) -> str:
    found = value.type.tensor_type
    axes = [str(axis.dim_value) if axis.HasField("dim_value") else axis.dim_param or "?" for axis in found.shape.dim]
    kinds = TensorProto.DataType.DESCRIPTOR.values_by_number
    kind = kinds[found.elem_type].name.lower() if found.elem_type in kinds else "unknown"
    return f"`{value.name[:40]}`, {kind} ({', '.join(axes[:8])})"


# --- running ----------------------------------------------------------------------------------------------------------


def open_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """The model, on a GPU where onnxruntime has one. Raises Fault where it cannot be loaded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:
        raise _failure("onnxruntime cannot load it", error) from error


@dataclass(frozen=True, slots=True)
class Runner:
    """A model in its session, with what it declares and the outputs that its task asks for."""

    session: onnxruntime.InferenceSession
    declared: ModelFile
    outputs: Sequence[ModelOutput]

    def try_out(self) -> int:
        """Run the model on one and on two made-up images; the number of features that it gives for an image, if any.

        Raises Fault where an output is not as declared.
        """
        size = self.declared.input.size
        noise = numpy.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=numpy.uint8)
        one, two = (self.run(noise[:count]) for count in (1, 2))
        for output, first, second in zip(self.outputs, one, two, strict=True):
            if first.shape[1:] != second.shape[1:]:
                shapes = f"{first.shape}, and for two {second.shape}"
                raise Fault(f"its {output.name} for one image have the shape {shapes}, expected as many for each image")
        return sum(values.shape[1] for output, values in zip(self.outputs, one, strict=True) if output.name == FEATURES)

    def run(self, images: numpy.ndarray) -> list[numpy.ndarray]:
        """The outputs of a batch (N, S, S, 3), each (N, *axes). Raises Fault where they are not as its task asks."""
        try:
            made: list[numpy.ndarray] = self.session.run(
                [output.name for output in self.outputs], {model_file.IMAGES: images}
            )
        except Exception as error:
            raise _failure(f"it fails on {wording.plural(len(images), 'image')}", error) from error
        for output, values in zip(self.outputs, made, strict=True):
            self._require(output, values, len(images))
        return made

    def _require(self, output: ModelOutput, values: numpy.ndarray, images: int) -> None:
        name, wanted = output.name, (images, *output.shape(len(self.declared.classes)))
        fits = len(values.shape) == len(wanted) and all(map(_fits, values.shape, wanted))
        if not fits or values.dtype != numpy.float32:
            expected = f"({_axes(*wanted)})"
            raise Fault(f"its {name} for {images} images have the shape {values.shape}, expected {expected}")
        if not numpy.isfinite(values).all():
            raise Fault(f"its {name} are not finite numbers")
        if not output.sums_to_one:
            return
        if (values < -DIGITS).any() or (abs(values.sum(1, dtype=numpy.float64) - 1) > DIGITS).any():
            raise Fault(f"its {name} are not shares that sum to 1; add a softmax to the model")

    def predict(self, images: Sequence[str], folder: Path) -> None:
        """Write the outputs for all images, in their order, batch by batch. Raises Fault and UndecodableAt."""
        size = self.declared.input.size
        count = max(1, min(BATCH, BATCH_BYTES // (3 * size * size)))
        tables: list[numpy.memmap] = []
        done = 0
        for batch in _decoded(images, self.declared.input, count):
            made = self.run(batch)
            tables = tables or [
                numpy.lib.format.open_memmap(
                    folder / f"{output.name}.npy", "w+", numpy.float32, (len(images), *values.shape[1:])
                )
                for output, values in zip(self.outputs, made, strict=True)
            ]
            for table, values in zip(tables, made, strict=True):
                table[done : done + len(batch)] = values
            done += len(batch)
            answer(done=done)
        for table in tables:
            table.flush()


def _decoded(images: Sequence[str], given: ImageInput, count: int) -> Iterator[numpy.ndarray]:
    """The images in batches; the next two are decoded, in threads, while the model works on one."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        waiting: deque[list[Future[numpy.ndarray]]] = deque()
        for start in range(0, len(images), count):
            places = range(start, min(start + count, len(images)))
            waiting.append([pool.submit(decode_one, images[place], place, given) for place in places])
            if len(waiting) > 2:
                yield numpy.stack([one.result() for one in waiting.popleft()])
        for batch_left in waiting:
            yield numpy.stack([one.result() for one in batch_left])


def decode_one(path: str, place: int, given: ImageInput) -> numpy.ndarray:
    """One image. Raises UndecodableAt, which names its place."""
    try:
        return decode(Path(path), given)
    except UndecodableImage as error:
        raise UndecodableAt(place, str(error)) from error


def _failure(doing: str, error: Exception) -> Exception:
    """What an error of onnxruntime, whose classes have no common one, says without the paths of its sources."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "alloc" in text or "memory" in text.lower():
        return MemoryError()
    return Fault(f"{doing}: {re.sub(r'^.*(?:failed:|Status Message: )', '', text)[:300]}")


if __name__ == "__main__":
    main()
