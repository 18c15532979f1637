"""The model template in several processes, which torchrun starts: on the CPU, connected by gloo."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
import yaml
from safetensors.numpy import load_file

from support import sharded_registry
from support.model_template import SMALL, TEMPLATE, command, set_params
from support.repositories import Run

LAUNCHED = str(Path(__file__).with_name("several_processes.py"))
TORCHRUN = ("torchrun", "--standalone", "--nproc-per-node", "2")


@pytest.mark.slow
def test_two_processes_train_on_shards_the_model_of_one_on_the_folder(
    registry_repo: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 training images in batches of 7, 6, 6 and 6; one image to validate, so that one process has none.

    The four shards have 7, 7, 7 and 4 images, the processes 12 and 13.
    """
    sharded_registry.make(registry_repo, run_registry)
    (tmp_path / "reads").mkdir()
    found = []
    for name, start, more in (("one", ("python",), ()), ("two", TORCHRUN, ("--shards",))):
        folder = shutil.copytree(TEMPLATE, registry_repo / "models" / name)
        set_params(folder, **{**SMALL, "epochs": 2, "flip": True})
        done = command(*start, LAUNCHED, "--data", f"../../{sharded_registry.DATA}", *more, cwd=folder)
        assert done.returncode == 0, done.stderr
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in str(path))
        curves = json.loads((folder / "plots/training/metrics.json").read_text())
        found.append((files, curves, load_file(folder / "model.safetensors")))
        shutil.rmtree(registry_repo / sharded_registry.DATA, ignore_errors=True)
        monkeypatch.setenv("READS", str(tmp_path / "reads"))
    (files, curves, weights), (files_of_two, curves_of_two, weights_of_two) = found
    assert files_of_two == files
    assert curves_of_two["step"] == curves["step"] == 2
    for split in ("train", "val"):
        assert curves_of_two[split] == pytest.approx(curves[split], abs=1e-4)
    for name, expected in weights.items():
        assert numpy.allclose(weights_of_two[name], expected, atol=1e-3), name
    read = [(tmp_path / "reads" / rank).read_text().splitlines() for rank in ("0", "1")]
    assert [len(paths) for paths in read] == [12, 14]  # the second has the image to validate
    assert sorted(path.partition("/prepared/")[2] for paths in read for path in paths) == sorted(
        path for path in sharded_registry.images() if not path.startswith("test/")
    )


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
