"""Files that give features for other models to build on: their form, and that nothing is measured of them."""

from pathlib import Path

import numpy
import pytest
from onnx import TensorProto, helper

from registry.errors import InvalidData
from registry.model import classification, model_file, onnx_process, tasks
from registry.model.model_file import Filter, ImageInput, ModelFile
from support import model_files
from support.repositories import Run

OUTPUTS = tasks.outputs("features")


def opened(tmp_path: Path, data: bytes) -> ModelFile:
    (tmp_path / "backbone.onnx").write_bytes(data)
    return onnx_process.inspect(tmp_path / "backbone.onnx", OUTPUTS)


def fault(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(InvalidData) as raised:
        opened(tmp_path, data)
    (problem,) = raised.value.problems
    return problem


def made(nodes: list[tuple[str, list[str], dict[str, object]]], *axes: str | int, **more: numpy.ndarray) -> bytes:
    """A file whose last node makes `features` with these declared axes."""
    names = ["images", *(f"value {place}" for place in range(len(nodes) - 1)), "features"]
    listed = [
        helper.make_node(kind, [names[place], *inputs], [names[place + 1]], **attributes)
        for place, (kind, inputs, attributes) in enumerate(nodes)
    ]
    output = helper.make_tensor_value_info("features", TensorProto.FLOAT, list(axes))
    return model_files.build(listed, more, outputs=[output], metadata={"input": '{"size": 4}'})


CAST = ("Cast", [], {"to": TensorProto.FLOAT})
SIDES = numpy.array([1, 2], numpy.int64)


def test_a_file_that_gives_features(tmp_path: Path) -> None:
    assert opened(tmp_path, model_files.backbone(width=5)) == ModelFile((), ImageInput(4), 5)
    found = opened(tmp_path, model_files.backbone(scaling="nearest"))
    assert (found.input, found.features) == (ImageInput(4, filter=Filter.NEAREST), 3)


def test_a_number_of_features_that_is_not_declared_is_found_by_running_it(tmp_path: Path) -> None:
    data = made([CAST, ("ReduceMean", ["sides"], {"keepdims": 0})], "N", "D", sides=SIDES)
    assert opened(tmp_path, data).features == 3


def test_classes_in_the_metadata_do_not_matter(tmp_path: Path) -> None:
    model = model_files.loaded(model_files.backbone())
    helper.set_model_props(model, {"input": '{"size": 4}', "classes": "no JSON"})
    assert opened(tmp_path, model.SerializeToString()).classes == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (model_files.threshold(100), "its output is `scores`, float (N, 2), expected `features`, float (N, D)"),
        (
            made([CAST, ("ReduceMean", ["sides"], {"keepdims": 1})], "N", 1, 1, 3, sides=SIDES),
            "its output is `features`, float (N, 1, 1, 3), expected `features`, float (N, D)",
        ),
        (made([CAST, ("ReduceMean", ["sides"], {"keepdims": 0})], 1, 3, sides=SIDES), "takes 1 images at a time"),
        (made([CAST, ("ReduceMean", ["sides"], {"keepdims": 0})], "N", 0, sides=SIDES), "float (N, 0), expected"),
        (
            made([CAST, ("Reshape", ["shape"], {})], "N", "D", shape=numpy.array([1, -1], numpy.int64)),
            "its features for 2 images have the shape (1, 96), expected (2, D)",
        ),
        (
            made([CAST, ("Reshape", ["shape"], {}), ("Gather", ["none"], {"axis": 1})], "N", "D",
                 shape=numpy.array([0, -1], numpy.int64), none=numpy.array([], numpy.int64)),
            "its features for 1 images have the shape (1, 0), expected (1, D)",
        ),
        (made([CAST, ("Log", [], {}), ("Reshape", ["shape"], {})], "N", "D", shape=numpy.array([0, -1], numpy.int64)),
         "its features are not finite numbers"),
    ],
    ids=["scores", "not flat", "one image", "no features", "all images in one", "none when run", "not finite"],
)  # fmt: skip
def test_what_gives_no_features(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in fault(tmp_path, data)


def test_more_features_for_more_images(tmp_path: Path) -> None:
    """The number of features is that of the images in a batch."""
    nodes = [CAST, ("ReduceMean", ["sides"], {"keepdims": 0}), ("MatMul", ["ones"], {})]
    ones = numpy.ones((3, 1), numpy.float32)
    model = model_files.loaded(made(nodes, "N", "D", sides=SIDES, ones=ones))
    (last,) = [node for node in model.graph.node if node.op_type == "MatMul"]
    last.output[0] = "column"
    extra = [
        helper.make_node("Transpose", ["column"], ["row"], perm=[1, 0]),
        helper.make_node("MatMul", ["column", "row"], ["features"]),
    ]
    model.graph.node.extend(extra)
    assert "its features for one image have the shape (1, 1), and for two (2, 2)" in fault(
        tmp_path, model.SerializeToString()
    )


def test_a_file_without_an_input_declaration(tmp_path: Path) -> None:
    model = model_files.loaded(model_files.backbone())
    del model.metadata_props[:]
    assert fault(tmp_path, model.SerializeToString()) == f"the metadata has no entry `{model_file.INPUT}`"


def test_features_in_the_place_of_scores_are_called_that(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model_files.backbone())
    with pytest.raises(InvalidData, match="it gives `features`, for other models to build on, expected `scores`"):
        onnx_process.inspect(tmp_path / "model.onnx", classification.OUTPUTS)


def test_evaluate_says_what_the_file_is_and_writes_nothing(tmp_path: Path, run_registry: Run) -> None:
    (tmp_path / "model.onnx").write_bytes(model_files.backbone())
    done = run_registry(tmp_path, "evaluate", "--task", "features")
    assert done.code == 0
    assert done.out == (
        "model.onnx gives 3 features for an image of 4 × 4 pixels, for other models to build on: "
        "there is nothing to measure\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    (tmp_path / "model.onnx").write_bytes(model_files.threshold(100))
    assert run_registry(tmp_path, "evaluate", "--task", "features").refused("is not a valid model file")
