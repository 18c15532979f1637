"""The Python and the command in docs/models.md are run: a network of one's own is exported, measured and used."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from registry.core.documents import edit_yaml, read_yaml
from registry.model import classification, judge, onnx_process
from registry.model.model_file import Crop, Filter, ImageInput, ModelFile
from support import model_files, pages, repositories, trainable_registry

PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text()
NETWORK = """\
import torch
from torch import nn
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


def python(heading: str) -> str:
    """The Python below a heading."""
    found = re.search(rf"## {heading}\n.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def run(folder: Path, code: str) -> str:
    """What the code prints, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def picture(path: Path, red: int, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize(size).convert("RGB").save(path)
    with Image.open(path) as image:
        Image.blend(image, Image.new("RGB", size, (red, 40, 40)), 0.8).save(path)


@pytest.mark.slow
def test_a_network_that_is_exported_as_described_is_measured(tmp_path: Path) -> None:
    run(tmp_path, NETWORK + python("Export a model"))
    declared = onnx_process.inspect(tmp_path / "model.onnx", classification.OUTPUTS)
    assert declared == ModelFile(("cat", "dog"), ImageInput(224, Crop.CENTER, 0.875, Filter.BICUBIC))
    for number, label in enumerate(("cat", "dog", "dog")):
        uuid = f"0a8c7f6e-0000-4000-8000-{number:012d}"
        picture(tmp_path / f"prepared/test/{label}/{uuid}.png", 80 * number, (300, 200))
    [command] = re.findall(r"`(registry evaluate [^`]*)`", PAGE)[:1]
    done = repositories.registry(tmp_path, *command.replace("PREPARED", "prepared").split()[1:])
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 3


@pytest.mark.slow
def test_the_commands_register_a_model_train_one_and_train_one_on_features(registry_repo: Path) -> None:
    """`NAME` of a dataset is pets; the models of the three chapters have a name each, `training` takes one epoch."""
    trainable_registry.dataset(registry_repo, "1.0.0")
    repositories.commit(registry_repo, "datasets/pets")
    network = registry_repo.parent / "network.onnx"
    network.write_bytes(model_files.threshold(150))
    (registry_repo / "backbone.onnx").write_bytes(model_files.backbone())
    env = pages.environment(PYTHONPATH=str(pages.ROOT / "scripts"))
    for name, (heading, typed) in zip(("given", "own", "head"), chapters().items(), strict=True):
        first, again = (typed[:1], typed[1:]) if name != "head" else (typed[:2], typed[2:])
        places = {
            "datasets/NAME": "datasets/pets", "models/NAME": f"models/{name}", "model NAME": f"model {name}",
            "FILE": str(network), "URL": "https://example.org/network",
        }  # fmt: skip
        if name == "own":
            faster = "sed -i 's/^epochs: .*/epochs: 1/; s/^image_size: .*/image_size: 16/' models/own/params.yaml"
            places["dvc repro"] = f"{faster} && dvc repro"
        pages.type_all(first, registry_repo, env, places)
        fill_in(registry_repo)
        if name == "given":
            network.write_bytes(model_files.threshold(150, note="better"))
        pages.type_all(again, registry_repo, env, places)
        metrics = json.loads((registry_repo / f"models/{name}/metrics.json").read_text())
        assert metrics["images"] == 16, heading
    pointer = read_yaml((registry_repo / "models/given/model.onnx.dvc").read_bytes(), "model.onnx.dvc").data
    assert pointer["outs"][0]["md5"] == repositories.md5(network.read_bytes())


def fill_in(root: Path) -> None:
    """Write what a person writes into `model.yaml` in place of <…>."""
    texts = {("description",): "Cat or dog.", ("license",): "CC0-1.0", ("intended_use",): "Looking at pets."}
    for path in root.glob("models/*/model.yaml"):
        path.write_bytes(edit_yaml(path.read_bytes(), texts))


def chapters() -> dict[str, list[pages.Command]]:
    """The commands of the page by the heading that they are under."""
    found: dict[str, list[pages.Command]] = {}
    for command in pages.commands("docs/models.md"):
        found.setdefault(command.heading, []).append(command)
    return found


def test_what_the_page_tells_to_use_gives_the_scores_that_the_judge_gives(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model_files.threshold(100, size=16))
    for red, expected in ((20, "cat"), (220, "dog")):
        picture(tmp_path / "picture.jpg", red)
        test = pl.DataFrame({"uuid": ["one"], "label": [expected], "relpath": ["picture.jpg"]})
        found = judge.judge(
            classification, tmp_path / "model.onnx", test, [tmp_path / "picture.jpg"], tmp_path / "out.parquet"
        )
        judged = pl.read_parquet(found.stored).row(0, named=True)
        printed = json.loads(run(tmp_path, python("Use a model")).replace("'", '"'))
        assert printed == pytest.approx({"cat": judged["score_cat"], "dog": judged["score_dog"]}, abs=0.002)
        assert max(printed, key=lambda name: printed[name]) == expected


def test_the_tables_name_what_the_contract_knows() -> None:
    for choice in [*Crop, *Filter]:
        assert f"`{choice}`" in PAGE, choice
