"""A backbone and a head as one model file."""

from pathlib import Path

import numpy
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from registry.model import classification, joining, onnx_process
from registry.model.model_file import Filter, ImageInput, ModelFile
from support import model_files


def head(opset: int, width: int = 3) -> bytes:
    """A head that says "dog" of red above 100, in names that collide with those of backbones."""
    nodes = [
        helper.make_node("Gemm", ["features", "scale", "limit"], ["pixels"]),
        helper.make_node("Softmax", ["pixels"], ["scores"], axis=1),
    ]
    scale = numpy.zeros((width, 2), numpy.float32)
    scale[0] = (-40, 40)
    limit = numpy.array([40 * 100 / 255, -40 * 100 / 255], numpy.float32)
    graph = helper.make_graph(
        nodes, "head", [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["M", width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["M", 2])],
        [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(limit, "limit")],
    )  # fmt: skip
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()
    )


def scores(tmp_path: Path, data: bytes) -> numpy.ndarray:
    """For images of the reds 20, 90, 110, 200."""
    (tmp_path / "model.onnx").write_bytes(data)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    images = numpy.zeros((4, 4, 4, 3), numpy.uint8)
    images[..., 0] = numpy.array([20, 90, 110, 200])[:, None, None]
    made: numpy.ndarray = session.run(["scores"], {"images": images})[0]
    return made


@pytest.mark.parametrize("opset", [9, 13, 20])
def test_the_joined_file_is_a_model_file_and_gives_what_both_parts_give(tmp_path: Path, opset: int) -> None:
    data = joining.join(model_files.backbone(scaling="box"), head(opset), model_files.CLASSES)
    assert scores(tmp_path, data).argmax(1).tolist() == [0, 0, 1, 1]
    found = onnx_process.inspect(tmp_path / "model.onnx", classification.OUTPUTS)
    assert found == ModelFile(model_files.CLASSES, ImageInput(4, filter=Filter.BOX))
    assert joining.join(model_files.backbone(scaling="box"), head(opset), model_files.CLASSES) == data


@pytest.mark.parametrize("opset", [21, 23])
def test_a_head_is_brought_to_the_operators_of_a_newer_backbone(tmp_path: Path, opset: int) -> None:
    model = model_files.loaded(model_files.backbone())
    model.opset_import[0].version = opset
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    data = joining.join(model.SerializeToString(), head(20), model_files.CLASSES)
    assert scores(tmp_path, data).argmax(1).tolist() == [0, 0, 1, 1]
    joined = model_files.loaded(data)
    assert {one.domain: one.version for one in joined.opset_import} == {"": opset, "ai.onnx.ml": 3}
    onnx_process.inspect(tmp_path / "model.onnx", classification.OUTPUTS)


def test_names_of_the_backbone_may_be_those_of_the_contract(tmp_path: Path) -> None:
    """A classifier that was cut before its head has values called `scores` and `head/scores`, say."""
    model = model_files.loaded(model_files.backbone())
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = {"pixels": "scores", "means": "head/scores", "chosen": "backbone/images"}.get(name, name)
    data = joining.join(model.SerializeToString(), head(20), model_files.CLASSES)
    assert scores(tmp_path, data).argmax(1).tolist() == [0, 0, 1, 1]
    onnx_process.inspect(tmp_path / "model.onnx", classification.OUTPUTS)


def test_a_backbone_with_branches_is_joined(tmp_path: Path) -> None:
    """The values of a branch belong to it, and may be those of the graph around it."""
    model = model_files.loaded(model_files.backbone())
    last = next(node for node in model.graph.node if node.output[0] == "features")
    last.output[0] = "plain"
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["plain"], ["inner"])], "branch", [], [value])
    model.graph.initializer.append(numpy_helper.from_array(numpy.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["features"], then_branch=branch, else_branch=branch))
    data = joining.join(model.SerializeToString(), head(20), model_files.CLASSES)
    assert scores(tmp_path, data).argmax(1).tolist() == [0, 0, 1, 1]


def test_weights_that_a_file_lists_as_inputs_stay_weights(tmp_path: Path) -> None:
    model = model_files.loaded(model_files.backbone())
    model.graph.input.extend(
        helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer
    )
    data = joining.join(model.SerializeToString(), head(20), model_files.CLASSES)
    assert scores(tmp_path, data).argmax(1).tolist() == [0, 0, 1, 1]


def test_a_head_is_exported_for_the_operators_of_its_backbone() -> None:
    model = model_files.loaded(model_files.backbone())
    assert joining.opset(model.SerializeToString()) == 20
    for version, expected in ((7, 9), (17, 17), (23, 20)):
        model.opset_import[0].version = version
        assert joining.opset(model.SerializeToString()) == expected
    assert onnx.defs.onnx_opset_version() > 20
