"""The model template in several processes, which torchrun starts: on the CPU, connected by gloo."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
import yaml
from safetensors.numpy import load_file

from support.model_template import SMALL, TEMPLATE, command, dataset, set_params

LAUNCHED = str(Path(__file__).with_name("several_processes.py"))
TORCHRUN = ("torchrun", "--standalone", "--nproc-per-node", "2")


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(tmp_path: Path) -> None:
    """25 training images in batches of 7, 6, 6 and 6; one image to validate, so that one process has none."""
    prepared = dataset(tmp_path / "data", train=8, val=0, test=1)
    (prepared / "val/dog").mkdir()
    for folder in ("train", "val"):
        shutil.copy(prepared / "train/dog/train-00-d.jpg", prepared / folder / "dog/one.jpg")
    found = []
    for start in (("python",), TORCHRUN):
        folder = shutil.copytree(TEMPLATE, tmp_path / start[0])
        set_params(folder, **{**SMALL, "epochs": 2, "flip": True})
        done = command(*start, LAUNCHED, "--data", prepared, cwd=folder)
        assert done.returncode == 0, done.stderr
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in str(path))
        curves = json.loads((folder / "plots/training/metrics.json").read_text())
        found.append((files, curves, load_file(folder / "model.safetensors")))
    (files, curves, weights), (files_of_two, curves_of_two, weights_of_two) = found
    assert files_of_two == files
    assert curves_of_two["step"] == curves["step"] == 2
    for split in ("train", "val"):
        assert curves_of_two[split] == pytest.approx(curves[split], abs=1e-4)
    for name, expected in weights.items():
        assert numpy.allclose(weights_of_two[name], expected, atol=1e-3), name


@pytest.mark.slow
def test_a_process_that_dies_ends_the_stage_and_leaves_no_model(trained: Path) -> None:
    model = trained / "models/pets"
    lock = (model / "dvc.lock").read_bytes()
    pipeline = yaml.safe_load((model / "dvc.yaml").read_text())
    data = "../../datasets/pets/prepared"
    pipeline["stages"]["train"]["cmd"] = f"{' '.join(TORCHRUN)} {LAUNCHED} --die --data {data}"
    (model / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    done = command("dvc", "repro", cwd=model)
    assert (done.returncode != 0, "failed to run: torchrun" in done.stderr) == (True, True), done.stderr
    assert not list(model.glob("model.[!y]*"))
    assert (model / "dvc.lock").read_bytes() == lock
