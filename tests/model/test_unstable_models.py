"""Models whose answers are not about the image alone: random, by the batch, by the place in it; and odd scores."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper
from polars import DataFrame

from registry.cli import measuring
from registry.errors import InvalidData
from registry.model import classification, judge, model_file, onnx_process, onnx_session, onnx_worker
from registry.model.judge import Judgement
from registry.model.model_file import ImageInput, ModelFile
from support import model_files
from support.threshold_models import red

FLOAT = TensorProto.FLOAT
COUNT = 150  # images: three batches
DECLARED = ModelFile(model_files.CLASSES, ImageInput(model_files.SIZE))


def ending(nodes: Sequence[NodeProto], **constants: numpy.ndarray) -> bytes:
    """The network up to its logits, then these nodes from `logits` to `changed`, and a softmax."""
    start, given = model_files.network(100)
    last = helper.make_node("Softmax", ["changed"], ["scores"], axis=1)
    return model_files.build([*start[:-1], *nodes, last], {**given, **constants})


def judged(folder: Path, model: bytes, reds: Sequence[int] = range(COUNT)) -> Judgement:
    """A model on images of these reds; those up to 100 are cats."""
    (folder / "model.onnx").write_bytes(model)
    names = [f"{number:04}" for number in range(len(reds))]
    for name, level in zip(names, reds, strict=True):
        (folder / f"{name}.png").write_bytes(red(level))
    labels = ["cat" if level <= 100 else "dog" for level in reds]
    test = DataFrame({"uuid": names, "label": labels, "relpath": [f"test/{name}.png" for name in names]})
    paths = [folder / f"{name}.png" for name in names]
    return judge.judge(classification, folder / "model.onnx", test, paths, folder / "predictions.parquet")


def refused(folder: Path, model: bytes, reds: Sequence[int] = range(COUNT)) -> str:
    with pytest.raises(InvalidData) as caught:
        judged(folder, model, reds)
    (problem,) = caught.value.problems
    return problem


# --- not about the image alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("RandomNormalLike", ["logits"], ["changed"], scale=0.01),
        helper.make_node("RandomUniform", [], ["changed"], shape=[1, 2], seed=1.0),
        helper.make_node("Bernoulli", ["logits"], ["changed"]),
    ],
    ids=lambda node: node.op_type,
)
def test_random_numbers(node: NodeProto, tmp_path: Path) -> None:
    assert refused(tmp_path, ending([node])) == (
        f"it uses the operator {node.op_type}, so that it may say something else each time it runs"
    )


def test_random_numbers_in_a_branch_that_is_never_taken(tmp_path: Path) -> None:
    def branch(name: str, node: NodeProto) -> onnx.GraphProto:
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info("out", FLOAT, None)])

    same = branch("same", helper.make_node("Identity", ["logits"], ["out"]))
    noise = branch("noise", helper.make_node("RandomNormalLike", ["logits"], ["out"]))
    node = helper.make_node("If", ["never"], ["changed"], then_branch=noise, else_branch=same)
    assert "it uses the operator RandomNormalLike" in refused(tmp_path, ending([node], never=numpy.array(False)))


DROPOUT = helper.make_node("Dropout", ["logits", "ratio", "on"], ["changed"])


def test_dropout_that_was_left_on(tmp_path: Path) -> None:
    """Onnxruntime leaves it out, so that only the file shows it."""
    model = ending([DROPOUT], ratio=numpy.array(0.5, numpy.float32), on=numpy.array(True))
    assert refused(tmp_path, model) == "its Dropout is in training mode; export the network in evaluation mode"


def test_dropout_that_is_off(tmp_path: Path) -> None:
    switches = [helper.make_node("Constant", [], ["on"], value=onnx.numpy_helper.from_array(numpy.array(False)))]
    ratio = numpy.array(0.5, numpy.float32)
    for nodes, more in (([DROPOUT], {"on": numpy.array(False)}), ([*switches, DROPOUT], {})):
        assert judged(tmp_path, ending(nodes, ratio=ratio, **more)).metrics["accuracy"] == 1.0


def test_batch_normalisation_in_training_mode(tmp_path: Path) -> None:
    names = ("scale", "bias", "mean", "variance")
    node = helper.make_node("BatchNormalization", ["logits", *names], ["changed", "m", "v"], training_mode=1)
    model = ending([node], **{name: numpy.ones(2, numpy.float32) for name in names})
    assert refused(tmp_path, model).startswith("its BatchNormalization is in training mode")


def normalised() -> bytes:
    """Batch normalisation by the batch, as in training."""
    nodes = [
        helper.make_node("ReduceMean", ["logits", "rows"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["logits", "mean"], ["changed"]),
    ]
    return ending(nodes, rows=numpy.array([0], numpy.int64))


def by_place() -> bytes:
    """The later in the batch, the more a dog."""
    nodes = [
        helper.make_node("CumSum", ["ones", "axis"], ["unused"]),
        helper.make_node("Mul", ["logits", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "directions"], ["each"]),
        helper.make_node("CumSum", ["each", "axis"], ["changed"]),
    ]
    constants = {"zero": numpy.array(0, numpy.float32), "axis": numpy.array(0, numpy.int64)}
    return ending(nodes, ones=numpy.ones(1, numpy.float32), **constants)


def by_neighbours() -> bytes:
    """What most images of the batch are."""
    nodes = [
        helper.make_node("ReduceMean", ["logits", "rows"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["logits", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "mean"], ["changed"]),
    ]
    return ending(nodes, zero=numpy.array(0, numpy.float32), rows=numpy.array([0], numpy.int64))


def by_number() -> bytes:
    """Right when it is asked about a few images, such as those of a trial, and wrong in a full batch."""
    nodes = [
        helper.make_node("Shape", ["logits"], ["sizes"], start=0, end=1),
        helper.make_node("Greater", ["sizes", "few"], ["many"]),
        helper.make_node("Neg", ["logits"], ["turned"]),
        helper.make_node("Where", ["many", "turned", "logits"], ["changed"]),
    ]
    return ending(nodes, few=numpy.array([8], numpy.int64))


@pytest.mark.parametrize("model", [normalised, by_place, by_neighbours, by_number], ids=lambda one: one.__name__)
def test_scores_that_depend_on_the_batch(model: object, tmp_path: Path) -> None:
    assert callable(model)
    assert refused(tmp_path, model()).startswith("its scores of an image depend on the other images of the batch")


def test_it_is_found_before_any_image_is_read(tmp_path: Path) -> None:
    """When the file is registered or checked, on images that are made up."""
    (tmp_path / "model.onnx").write_bytes(normalised())
    with pytest.raises(InvalidData) as caught:
        onnx_process.inspect(tmp_path / "model.onnx", classification.OUTPUTS)
    assert caught.value.problems == ("its scores of an image depend on the other images of the batch",)


def test_neighbours_tell_nothing_of_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder lists its images by label; the batches do not."""
    batches: list[float] = []

    class Session:
        def run(self, names: Sequence[str], values: dict[str, numpy.ndarray]) -> list[numpy.ndarray]:
            if len(values[model_file.IMAGES]) > 1:
                batches.append(float((values[model_file.IMAGES][:, 0, 0, 0] > 100).mean()))
            return [numpy.full((len(values[model_file.IMAGES]), 2), 0.5, numpy.float32)]

    for level in (0, 200):
        (tmp_path / f"{level}.png").write_bytes(red(level))
    paths = [str(tmp_path / f"{level}.png") for level in (0, 200) for _ in range(128)]
    onnx_worker.predict(onnx_session.Runner(Session(), DECLARED, classification.OUTPUTS), paths, tmp_path)
    assert len(batches) == 5  # the first one twice
    assert all(0.25 < share < 0.75 for share in batches)


# --- odd scores -------------------------------------------------------------------------------------------------------


def of_image(nodes: Sequence[NodeProto], level: int, **constants: numpy.ndarray) -> bytes:
    """`odd` in place of the logits, made by these nodes, for images of one red."""
    chosen = [
        helper.make_node("Equal", ["level", "at"], ["is_odd"]),
        *nodes,
        helper.make_node("Where", ["is_odd", "odd", "logits"], ["changed"]),
    ]
    return ending(chosen, at=numpy.array(level, numpy.float32), **constants)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_scores_of_one_image_that_are_not_finite(value: str, tmp_path: Path) -> None:
    node = helper.make_node("Mul", ["logits", "value"], ["odd"])
    problem = refused(tmp_path, of_image([node], 77, value=numpy.array(float(value), numpy.float32)))
    assert problem == "its scores are not finite numbers, such as for test/0077.png"


def test_scores_of_one_image_that_do_not_sum_to_one(tmp_path: Path) -> None:
    start, given = model_files.network(100)
    nodes = [
        *start[:-1],
        helper.make_node("Softmax", ["logits"], ["shares"], axis=1),
        helper.make_node("Equal", ["level", "at"], ["is_odd"]),
        helper.make_node("Where", ["is_odd", "logits", "shares"], ["scores"]),
    ]
    problem = refused(tmp_path, model_files.build(nodes, {**given, "at": numpy.array(31, numpy.float32)}))
    assert problem == "its scores are not shares that sum to 1; add a softmax to the model, such as for test/0031.png"


def test_a_tie_is_the_first_class_everywhere(tmp_path: Path) -> None:
    """What is predicted is read back as it was written, and the metrics are those of `metrics.json`."""
    node = helper.make_node("Mul", ["logits", "zero"], ["changed"])
    found = judged(tmp_path, ending([node], zero=numpy.array(0, numpy.float32)))
    assert found.predictions["predicted"].unique().to_list() == ["cat"]
    measuring.write(found, tmp_path / "metrics.json", tmp_path / "plots")
    test = found.predictions.select("uuid", "label")
    read = classification.read((tmp_path / "predictions.parquet").read_bytes(), test, "predictions.parquet")
    assert classification.measure(read) == json.loads((tmp_path / "metrics.json").read_text())
    assert classification.differing(found.stored.read_bytes(), found.stored) == []


def test_more_images_than_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are put together in parts; each stays beside its image, in whatever order images are given."""
    monkeypatch.setattr(judge, "ROWS", 16)
    levels = [number * 37 % COUNT for number in range(COUNT)]
    found = judged(tmp_path, model_files.threshold(100), levels)
    assert found.predictions["uuid"].to_list() == [f"{number:04}" for number in range(COUNT)]
    assert found.predictions["predicted"].to_list() == ["dog" if level > 100 else "cat" for level in levels]
    monkeypatch.undo()
    assert found.metrics == classification.measure(found.predictions)


# --- a GPU ------------------------------------------------------------------------------------------------------------


def test_cuda_that_cannot_be_used_is_told_and_the_cpu_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An onnxruntime that was built for CUDA, on a machine without a GPU that it can use."""
    offered = [onnx_session.GPU, *onnxruntime.get_available_providers()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    limits: list[int] = []
    monkeypatch.setattr(onnx_worker, "limit", lambda kind, memory: limits.append(kind))
    (tmp_path / "model.onnx").write_bytes(model_files.threshold(100))
    (tmp_path / "red.png").write_bytes(red(150))
    outputs = [{"name": "scores", "axes": ["classes"], "sums_to_one": True, "tolerance": 0.002}]
    task = {"model": str(tmp_path / "model.onnx"), "memory": 0, "threads": 1, "outputs": outputs,
            "images": [str(tmp_path / "red.png")], "folder": str(tmp_path)}  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(task).encode())))
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):  # of onnxruntime, which goes on without it
        onnx_worker.main()
    remark, declared, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert remark == {"remark": "onnxruntime offers CUDA, which cannot be used here; the model runs on the CPU"}
    assert ("model" in declared, done) == (True, {"done": 1})
    assert numpy.load(tmp_path / "scores.npy").argmax(1).tolist() == [1]


def test_a_model_that_is_at_fault_is_so_on_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [onnx_session.GPU, *onnxruntime.get_available_providers()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    (tmp_path / "model.onnx").write_bytes(normalised())
    with pytest.raises(onnx_session.Fault, match="depend on the other images"), pytest.warns(UserWarning, match="CUDA"):
        onnx_session.open_runner(tmp_path / "model.onnx", 1, DECLARED, classification.OUTPUTS, lambda _: None)
