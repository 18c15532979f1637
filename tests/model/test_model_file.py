"""Which files are model files: the form, hostile ones, and what the process that opens them may use."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from registry.core.model_values import FEATURES
from registry.errors import InvalidData, NotFound
from registry.model import classification, model_file, onnx_process, tasks
from registry.model.model_file import Crop, Filter, ImageInput, InvalidMetadata, ModelFile
from registry.model.onnx_process import DEFAULT, Limits
from support import model_files

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
METADATA = model_file.format_metadata(ModelFile(model_files.CLASSES, ImageInput(model_files.SIZE)))


def opened(tmp_path: Path, data: bytes, limits: Limits = DEFAULT) -> ModelFile:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    return onnx_process.inspect(path, classification.OUTPUTS, limits, name="models/pets/model.onnx")


def fault(tmp_path: Path, data: bytes, limits: Limits = DEFAULT) -> str:
    """Why a file is not a model file."""
    with pytest.raises(InvalidData) as raised:
        opened(tmp_path, data, limits)
    assert str(raised.value).startswith("models/pets/model.onnx is not a valid model file\n  ")
    (problem,) = raised.value.problems
    return problem


# --- metadata ---------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=20)
INPUTS = st.builds(
    ImageInput,
    st.integers(1, model_file.MAX_SIZE),
    st.sampled_from(Crop),
    st.floats(0, 1, exclude_min=True),
    st.sampled_from(Filter),
)


@given(st.builds(ModelFile, st.lists(NAMES, min_size=2, max_size=9, unique=True).map(tuple), INPUTS))
def test_metadata_is_read_as_it_was_written(file: ModelFile) -> None:
    assert model_file.parse_metadata(model_file.format_metadata(file)) == file


def test_all_but_the_size_has_a_default() -> None:
    found = model_file.parse_metadata({"classes": '["cat", "dog"]', "input": '{"size": 48}'})
    assert found == ModelFile(("cat", "dog"), ImageInput(48, Crop.CENTER, 1.0, Filter.BICUBIC))


@pytest.mark.parametrize(
    ("classes", "given_input", "message"),
    [
        (None, {"size": 8}, "the metadata has no entry `classes`"),
        (["cat", "dog"], None, "the metadata has no entry `input`"),
        ("cat, dog", {"size": 8}, "`classes` of the metadata is not a list of names"),
        ({"cat": 0}, {"size": 8}, "`classes` of the metadata is not a list of names"),
        (["cat", 1], {"size": 8}, "`classes` of the metadata is not a list of names"),
        (["cat"], {"size": 8}, "`classes` has 1 names, expected 2 to 10,000"),
        (["cat", "cat"], {"size": 8}, "`classes` has a name twice"),
        (["cat", ""], {"size": 8}, "is not printable text"),
        (["cat", "a\nb"], {"size": 8}, "is not printable text"),
        (["cat", "\u202edog"], {"size": 8}, "is not printable text"),
        (["cat", "d" * 201], {"size": 8}, "is not printable text"),
        (["cat", "dog"], 48, "`input` of the metadata is not an object"),
        (["cat", "dog"], {}, "`size` of `input` is None, expected pixels from 1 to 4,096"),
        (["cat", "dog"], {"size": 0}, "`size` of `input` is 0"),
        (["cat", "dog"], {"size": True}, "`size` of `input` is True"),
        (["cat", "dog"], {"size": 8.0}, "`size` of `input` is 8.0"),
        (["cat", "dog"], {"size": 10**9}, "`size` of `input` is 1000000000"),
        (
            ["cat", "dog"],
            {"size": 8, "crop": "centre"},
            "`crop` of `input` is 'centre', expected center, pad or stretch",
        ),
        (["cat", "dog"], {"size": 8, "fraction": 0}, "`fraction` of `input` is 0, expected"),
        (["cat", "dog"], {"size": 8, "fraction": 1.5}, "`fraction` of `input` is 1.5, expected"),
        (["cat", "dog"], {"size": 8, "fraction": float("nan")}, "`input` of the metadata: not valid JSON: NaN is not"),
        (["cat", "dog"], {"size": 8, "filter": "sinc"}, "`filter` of `input` is 'sinc', expected nearest"),
        (["cat", "dog"], {"size": 8, "mean": 0.5}, "`input` has an unknown key 'mean'"),
    ],
)
def test_metadata_that_does_not_follow_the_contract(classes: object, given_input: object, message: str) -> None:
    entries = {"classes": classes, "input": given_input}
    with pytest.raises(InvalidMetadata) as raised:
        model_file.parse_metadata({key: json.dumps(value) for key, value in entries.items() if value is not None})
    assert message in str(raised.value)


def test_metadata_that_is_not_json() -> None:
    for text in ("", "cat,dog", "[" * 100_000, '["cat\\ud800", "dog"]'):
        with pytest.raises(InvalidMetadata, match=r"`classes` of the metadata: (not valid|nested|has half)"):
            model_file.parse_metadata({"classes": text, "input": '{"size": 8}'})


# --- form -------------------------------------------------------------------------------------------------------------


def test_a_model_file(tmp_path: Path) -> None:
    assert opened(tmp_path, model_files.threshold(100)) == ModelFile(("cat", "dog"), ImageInput(4))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nothing\.onnx does not exist"):
        onnx_process.inspect(tmp_path / "nothing.onnx", classification.OUTPUTS)


@pytest.mark.parametrize(
    "data",
    [b"", b"weights", bytes(range(256)) * 40, b"PK\x03\x04 a pickle of torch", b"\x80\x04N.", b"\x08\x0a", b"{}"],
    ids=["empty", "text", "random", "zip", "pickle", "only a version", "json"],
)
def test_what_is_no_onnx_at_all(tmp_path: Path, data: bytes) -> None:
    assert fault(tmp_path, data) in ("it is not an ONNX file", "its graph has no nodes")


def test_a_cut_file(tmp_path: Path) -> None:
    data = model_files.threshold(100)
    for length in (len(data) - 1, len(data) // 2, 10):
        assert fault(tmp_path, data[:length])


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = model_files.loaded(model_files.threshold(100))
    change(model)
    return model.SerializeToString()


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil"
    model.opset_import.append(helper.make_opsetid("evil", 1))


def custom_operator_in_a_branch(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Evil", ["scores"], ["again"], domain="com.microsoft")],
        "body", [], [helper.make_tensor_value_info("again", FLOAT, None)],
    )  # fmt: skip
    model.graph.node.append(helper.make_node("If", ["limit"], ["more"], then_branch=body, else_branch=body))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function(
            "mine", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 20)]
        )
    )


def outside(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def outside_in_a_constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(numpy.zeros(3, numpy.float32), "secret")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["secret"], value=tensor))


def metadata_twice(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="classes", value='["dog", "cat"]')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (custom_operator, "it uses operators of the domain evil, which is not standard ONNX"),
        (custom_operator_in_a_branch, "it uses operators of the domain com.microsoft, which is not standard ONNX"),
        (function, "it defines a function of its own, Twice"),
        (outside("/etc/passwd"), "it reads weights from '/etc/passwd', expected none but model.onnx.data beside it"),
        (outside("../other/model.onnx.data"), "it reads weights from '../other/model.onnx.data'"),
        (outside("weights.bin"), "it reads weights from 'weights.bin'"),
        (outside("model.onnx.data"), "model.onnx.data is missing beside it"),
        (outside_in_a_constant, "it reads weights from '../../../../etc/passwd'"),
        (metadata_twice, "the metadata has `classes` twice"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_no_consumer_could_trust(tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str) -> None:
    assert fault(tmp_path, changed(change)).startswith(message)


OUTSIDE, WEIGHTS = model_files.with_sidecar(model_files.threshold(1))


def test_weights_in_a_sidecar_are_opened_through_links(tmp_path: Path) -> None:
    """As they lie in a cache: each file in a folder of its own. onnx and onnxruntime refuse such links themselves."""
    for name, content in (("model.onnx", OUTSIDE), ("model.onnx.data", WEIGHTS)):
        (tmp_path / f"cache/{name}").mkdir(parents=True)
        (tmp_path / f"cache/{name}/object").write_bytes(content)
    for kind in (Path.symlink_to, Path.hardlink_to):
        (folder := tmp_path / kind.__name__).mkdir()
        for name in ("model.onnx", "model.onnx.data"):
            kind(folder / name, tmp_path / f"cache/{name}/object")
        found = onnx_process.inspect(folder / "model.onnx", classification.OUTPUTS)
        assert found.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("data", "sidecar", "message"),
    [
        (OUTSIDE, 11, "a tensor's weights lie beyond the end of model.onnx.data"),
        (OUTSIDE, 10 << 30, "model.onnx.data has 10,737,418,240 bytes, and its weights end after 12"),
        (model_files.threshold(1), 12, "model.onnx.data lies beside it, and none of its weights are there"),
    ],
    ids=["cut off", "a hole of 10 GB", "left over"],
)  # fmt: skip
def test_a_sidecar_has_all_weights_and_nothing_else(tmp_path: Path, data: bytes, sidecar: int, message: str) -> None:
    with (tmp_path / "model.onnx.data").open("wb") as file:
        file.truncate(sidecar)
    assert fault(tmp_path, data) == message


def test_other_models_build_on_one_file(tmp_path: Path) -> None:
    data, weights = model_files.with_sidecar(model_files.backbone())
    (tmp_path / "model.onnx").write_bytes(data)
    (tmp_path / "model.onnx.data").write_bytes(weights)
    with pytest.raises(InvalidData) as raised:
        onnx_process.inspect(tmp_path / "model.onnx", tasks.outputs(FEATURES))
    assert raised.value.problems == (
        "its weights are in model.onnx.data, expected inside the file: other models build on it",
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metadata": {}}, "the metadata has no entry `classes`"),
        ({"inputs": []}, "it has 0 inputs, expected one: `images`, uint8 (N, 4, 4, 3)"),
        (
            {"inputs": [helper.make_tensor_value_info("pixels", UINT8, ["N", 4, 4, 3])]},
            "its input is `pixels`, uint8 (N, 4, 4, 3), expected `images`, uint8 (N, 4, 4, 3)",
        ),
        (
            {"inputs": [helper.make_tensor_value_info("images", FLOAT, ["N", 4, 4, 3])]},
            "its input is `images`, float (N, 4, 4, 3), expected `images`, uint8 (N, 4, 4, 3)",
        ),
        (
            {"inputs": [helper.make_tensor_value_info("images", UINT8, ["N", 3, 4, 4])]},
            "its input is `images`, uint8 (N, 3, 4, 4), expected `images`, uint8 (N, 4, 4, 3)",
        ),
        (
            {"inputs": [helper.make_tensor_value_info("images", UINT8, [1, 4, 4, 3])]},
            "its input takes 1 images at a time, expected any number N",
        ),
        (
            {"outputs": [helper.make_tensor_value_info("scores", FLOAT, ["N", 3])]},
            "its output is `scores`, float (N, 3), expected `scores`, float (N, 2)",
        ),
        (
            {"outputs": [helper.make_tensor_value_info(name, FLOAT, ["N", 2]) for name in ("scores", "logits")]},
            "it has 2 outputs, expected one: `scores`, float (N, 2)",
        ),
        ({"metadata": {**METADATA, "input": '{"size": 8}'}}, "its input is `images`, uint8 (N, 4, 4, 3), expected"),
    ],
)
def test_another_interface(tmp_path: Path, more: dict[str, object], message: str) -> None:
    data = model_files.build(*model_files.network(100), **more)
    assert fault(tmp_path, data).startswith(message)


# --- what it does -----------------------------------------------------------------------------------------------------


def ending(*nodes: onnx.NodeProto, **constants: numpy.ndarray) -> bytes:
    """The network up to its logits, then these nodes."""
    start, given_constants = model_files.network(100)
    return model_files.build([*start[:-1], *nodes], {**given_constants, **constants})


def test_logits_are_no_scores(tmp_path: Path) -> None:
    problem = fault(tmp_path, ending(helper.make_node("Identity", ["logits"], ["scores"])))
    assert problem == "its scores are not shares that sum to 1; add a softmax to the model"


def test_scores_that_are_not_finite(tmp_path: Path) -> None:
    nodes = helper.make_node("Div", ["logits", "zero"], ["scores"])
    problem = fault(tmp_path, ending(nodes, zero=numpy.array(0, numpy.float32)))
    assert problem == "its scores are not finite numbers"


def test_an_operator_that_onnx_does_not_know(tmp_path: Path) -> None:
    node = helper.make_node("Evil\n::error::\x1b[31m", ["logits"], ["scores"])
    assert fault(tmp_path, ending(node)) == "it is not valid ONNX: No Op registered for Evil"


def test_a_name_is_told_on_one_line(tmp_path: Path) -> None:
    outputs = [helper.make_tensor_value_info("scores\n::error::x\x1b[31m", FLOAT, ["N", 2])]
    said = fault(tmp_path, model_files.build(*model_files.network(100), outputs=outputs))
    assert said.startswith("its output is `scores ::error::x")
    assert said.isprintable()


def test_the_words_of_onnxruntime_without_its_sources(tmp_path: Path) -> None:
    said = fault(tmp_path, changed(lambda model: setattr(model.opset_import[0], "version", 999)))
    assert said.startswith("onnxruntime cannot load it: ONNX Runtime only *guarantees* support")


def test_more_memory_than_it_may_have(tmp_path: Path) -> None:
    """Half a gigabyte of code and libraries, and a tensor of 64 GB."""
    huge = numpy.array([16 * 10**9], numpy.int64)
    nodes = (
        helper.make_node("ConstantOfShape", ["huge"], ["ones"]),
        helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
        helper.make_node("Add", ["logits", "sum"], ["scored"]),
        helper.make_node("Softmax", ["scored"], ["scores"], axis=1),
    )
    problem = fault(tmp_path, ending(*nodes, huge=huge))
    assert problem == "it needs more memory than it may have"


def test_a_loop_without_an_end(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Identity", ["state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, ["N", 2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, ["N", 2]),
        ],
    )
    nodes = (
        helper.make_node("Loop", ["", "always", "logits"], ["looped"], body=body),
        helper.make_node("Softmax", ["looped"], ["scores"], axis=1),
    )
    problem = fault(tmp_path, ending(*nodes, always=numpy.array(True)), Limits(patience=5))
    assert problem.startswith("it did not get any further for ")


def test_a_process_that_dies_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_process, "WORKER", "antigravity.no_such_module")
    problem = fault(tmp_path, model_files.threshold(100))
    assert problem == "the process that opened it ended early (exit code 1), perhaps for lack of memory"
