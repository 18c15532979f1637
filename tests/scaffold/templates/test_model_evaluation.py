"""The template's model file: what torch computes, onnxruntime computes, for any consumer and on any images."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy
import onnxruntime
import polars as pl
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

from registry.model import classification, onnx_process
from registry.model.model_file import ImageInput, ModelFile
from support.model_template import COLOURS, command, photograph, put


def evaluate(first_training: Path, tmp_path: Path, *args: str) -> tuple[dict, pl.DataFrame]:
    """`registry evaluate` of the trained model on images below `tmp_path`, as a user types it."""
    out = tmp_path / "out"
    paths = ("--metrics", str(out / "m.json"), "--predictions", str(out / "p.parquet"), "--plots", str(out))
    model = first_training / "models/pets/model.onnx"
    done = command("registry", "evaluate", model, "--data", tmp_path, *paths, *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "m.json").read_text()), pl.read_parquet(out / "p.parquet")


def test_the_model_file_says_what_it_is(first_training: Path) -> None:
    found = onnx_process.inspect(first_training / "models/pets/model.onnx", classification.OUTPUTS)
    assert found == ModelFile(tuple(COLOURS), ImageInput(16))


def test_the_weights_for_further_training_are_those_of_the_model_file(
    first_training: Path, code: SimpleNamespace
) -> None:
    folder = first_training / "models/pets"
    network = code.network.build("vgg", len(COLOURS), 4)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    images = numpy.random.default_rng(3).integers(0, 256, (7, 16, 16, 3), dtype=numpy.uint8)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(images)).softmax(1).numpy()
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (scores,) = session.run(["scores"], {"images": images})
    assert abs(scores - expected).max() < 1e-5


def test_ten_lines_of_python_get_what_the_judge_got(first_training: Path) -> None:
    """As a consumer does it, who has onnxruntime, Pillow and NumPy."""
    folder = first_training / "models/pets"
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    classes, size = json.loads(metadata["classes"]), json.loads(metadata["input"])["size"]
    judged = dict(pl.read_parquet(folder / "predictions.parquet").select("uuid", "predicted").iter_rows())
    for path in (first_training / "datasets/pets/prepared/test").glob("*/*"):
        image = ImageOps.fit(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), (size, size))
        (scores,) = session.run(["scores"], {"images": numpy.asarray(image)[None]})
        assert classes[scores[0].argmax()] == judged[path.stem]


def test_a_label_that_the_model_does_not_know_counts_as_wrong(first_training: Path, tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / "test", "cat", f"c{number}", photograph("cat", number))
    put(tmp_path / "test", "zebra", "z", photograph("dog", 0))
    metrics, table = evaluate(first_training, tmp_path)
    assert metrics["accuracy"] == 0.75
    assert metrics["per_class"]["zebra"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 1}
    assert metrics["per_class"].keys() == {"cat", "zebra"}, "a class without images has no numbers"
    assert metrics["loss"] > 0
    assert "score_zebra" not in table.columns


def test_another_split(first_training: Path, tmp_path: Path) -> None:
    put(tmp_path / "val", "cat", "c", photograph("cat", 1))
    metrics, _ = evaluate(first_training, tmp_path, "--split", "val")
    assert metrics["images"] == 1
