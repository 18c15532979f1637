"""Model files that are hostile or broken in their form, in this process: nothing of them is run."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from registry.model import classification, onnx_form
from registry.model.model_file import InvalidMetadata
from registry.model.onnx_form import Fault
from support import model_files


def fault(folder: Path, data: bytes) -> str:
    path = folder / "model.onnx"
    path.write_bytes(data)
    with pytest.raises((Fault, InvalidMetadata)) as caught:
        onnx_form.inspect(path, classification.OUTPUTS)
    return str(caught.value)


def training_graph(model: ModelProto) -> None:
    body = [helper.make_node("Evil", ["x"], ["y"], domain="com.microsoft")]
    model.training_info.add().algorithm.CopyFrom(helper.make_graph(body, "step", [], []))


def weights_of_a_training(model: ModelProto) -> None:
    tensor = model.training_info.add().algorithm.initializer.add()
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def hidden_in_an_unused_attribute(model: ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Evil", ["a"], ["b"], domain="evil")], "body", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", body))


def preview_of_training(model: ModelProto) -> None:
    domain = "ai.onnx.preview.training"
    model.graph.node.append(helper.make_node("Gradient", ["scores"], ["slope"], domain=domain, xs=["scores"]))


def place_given_twice(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    for place in ("/etc/passwd", "model.onnx.data"):
        tensor.external_data.add(key="location", value=place)


def sizes(*dims: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.initializer.add(name="bomb", data_type=TensorProto.FLOAT, dims=dims)

    return change


def opset(version: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def ir(version: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.ir_version = version

    return change


def padded_metadata(model: ModelProto) -> None:
    model.metadata_props.add(key="note", value=" " * (5 << 20))


def two_sizes(model: ModelProto) -> None:
    next(one for one in model.metadata_props if one.key == "input").value = '{"size": 8, "size": 4}'


def scores_twice(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["scores"], ["scores"]))


def sequence_of_scores(model: ModelProto) -> None:
    del model.graph.output[:]
    each = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2])
    model.graph.output.append(helper.make_value_info("scores", helper.make_sequence_type_proto(each)))


def optional_output(model: ModelProto) -> None:
    each = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    model.graph.output.append(helper.make_value_info("more", helper.make_optional_type_proto(each)))


def images_with_a_default(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(numpy.zeros((1, 4, 4, 3), numpy.uint8), "images"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (training_graph, "it has instructions for training"),
        (weights_of_a_training, "it has instructions for training"),
        (hidden_in_an_unused_attribute, "it uses operators of the domain evil"),
        (preview_of_training, "it uses operators of the domain ai.onnx.preview.training"),
        (place_given_twice, "the place of a tensor's weights is given twice"),
        (sizes(2**62, 2**62), "it is not valid ONNX: Tensor dimension product overflow"),
        (sizes(-1), "it is not valid ONNX: Negative dimension value"),
        (opset(-5), "it is not valid ONNX: No Op registered for Cast"),
        (opset(6), "it is not valid ONNX: "),
        (ir(999), "it is not valid ONNX: Your model ir_version 999 is higher than the checker's"),
        (ir(-1), "it is not valid ONNX: "),
        (padded_metadata, "its metadata has 5,242,"),
        (two_sizes, "`input` of the metadata: not valid JSON: duplicate key 'size'"),
        (scores_twice, "it is not valid ONNX: Graph must be in single static assignment"),
        (sequence_of_scores, "its output is `scores`, undefined (), expected `scores`, float (N, 2)"),
        (optional_output, "it has 2 outputs, expected one"),
        (images_with_a_default, "it has 0 inputs, expected one"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_form_that_no_consumer_could_trust(
    tmp_path: Path, change: Callable[[ModelProto], None], message: str
) -> None:
    model = model_files.loaded(model_files.threshold(100))
    change(model)
    assert fault(tmp_path, model.SerializeToString()).startswith(message)


def test_a_dropout_is_on_whatever_another_graph_calls_its_switch(tmp_path: Path) -> None:
    """The name of a false constant inside of a branch is that of a true value outside."""
    inside = numpy_helper.from_array(numpy.array(False), "switch")
    made = [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)]
    branch = helper.make_graph([helper.make_node("Identity", ["scores"], ["same"])], "branch", [], made, [inside])
    start, constants = model_files.network(100)
    nodes = [
        helper.make_node("Not", ["no"], ["switch"]),
        *start[:-1],
        helper.make_node("Dropout", ["logits", "share", "switch"], ["changed"]),
        helper.make_node("Softmax", ["changed"], ["scores"], axis=1),
        helper.make_node("If", ["yes"], ["more"], then_branch=branch, else_branch=branch),
    ]
    more = {"share": numpy.array(0.0001, numpy.float32), "no": numpy.array(False), "yes": numpy.array(True)}
    found = fault(tmp_path, model_files.build(nodes, {**constants, **more}))
    assert found == "its Dropout is in training mode; export the network in evaluation mode"
