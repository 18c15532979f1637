"""The Python and the command in docs/models.md are run: a network of one's own is exported, measured and used."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from registry.model import classification, judge, onnx_process
from registry.model.model_file import Crop, Filter, ImageInput, ModelFile
from support import model_files, repositories

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
