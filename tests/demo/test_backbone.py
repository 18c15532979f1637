"""Which files the third release of the demo can build on."""

from pathlib import Path

import numpy
import onnxruntime
import pytest
from onnx import TensorProto, helper

from registry.demo import backbone
from registry.errors import InvalidData, NotFound, Refused
from registry.model import onnx_process, tasks
from registry.model.model_file import ImageInput, ModelFile
from support import model_files
from support.repositories import Run


def classifier() -> bytes:
    """Mean colours, a hidden layer of five units, a last layer of two, and the scores."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["seen"]),
        helper.make_node("MatMul", ["seen", "last"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    random = numpy.random.default_rng(1)
    return model_files.build(
        nodes,
        {
            "sides": numpy.array([1, 2]),
            "first": random.normal(size=(3, 5)).astype(numpy.float32) / 255,
            "last": random.normal(size=(5, 2)).astype(numpy.float32),
            "bias": numpy.zeros(2, numpy.float32),
        },
    )


def put(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "my network.onnx").write_bytes(data)
    return tmp_path / "my network.onnx"


def test_a_file_that_gives_features_is_taken_as_it_is(tmp_path: Path) -> None:
    data = model_files.backbone()
    found = backbone.read(put(tmp_path, data))
    assert (found.data, found.origin) == (data, "https://registry.example/backbones/file")
    assert "my network.onnx" in found.description


def test_a_classifier_is_cut_before_its_last_layer(tmp_path: Path) -> None:
    path = put(tmp_path, classifier())
    path.write_bytes(backbone.read(path).data)
    assert onnx_process.inspect(path, tasks.outputs("features")) == ModelFile((), ImageInput(4), 5)
    images = numpy.random.default_rng(2).integers(0, 256, (3, 4, 4, 3), dtype=numpy.uint8)
    (made,) = onnxruntime.InferenceSession(str(path)).run(None, {"images": images})
    assert made.shape == (3, 5)
    assert (made >= 0).all()
    assert backbone.of_network(classifier(), "models/x@v2.0.0").data == path.read_bytes()


@pytest.mark.parametrize("data", [b"a pickle", model_files.threshold(100)], ids=["no model", "nothing to cut"])
def test_any_other_file_is_refused_with_what_is_needed(tmp_path: Path, data: bytes) -> None:
    if data == b"a pickle":
        expected = "gives neither features nor scores: it is not an ONNX file"
    else:
        expected = "it has no last layer of the kind Gemm or MatMul"
    with pytest.raises(Refused, match=expected) as raised:
        backbone.read(put(tmp_path, data))
    assert "docs/models.md" in str(raised.value.fix)
    with pytest.raises(NotFound):
        backbone.read(tmp_path / "nothing.onnx")
    with pytest.raises(InvalidData):
        backbone.cut(model_files.threshold(100))


def test_the_demo_makes_nothing_with_a_backbone_that_is_none(
    registry_repo: Path, run_registry: Run, tmp_path: Path
) -> None:
    path = put(tmp_path, b"a pickle")
    done = run_registry(registry_repo, "demo", "--backbone", str(path), "--directory", str(tmp_path / "demo"))
    assert done.refused("gives neither features nor scores")
    assert not (tmp_path / "demo").exists()


def test_the_demo_makes_nothing_of_too_few_pictures(
    registry_repo: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "one.jpg").write_bytes(b"")
    done = run_registry(registry_repo, "demo", "--images", str(tmp_path / "pets"))
    assert done.refused("has cat: 1, dog: 1; expected at least 2 folders with 20 pictures each")
    assert list((tmp_path / "temporary").iterdir()) == []
