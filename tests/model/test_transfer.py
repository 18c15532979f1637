"""A model that builds on another one's features: made by one command, trained, checked, published, fetched, run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.integrations import dvc
from registry.integrations.process import tool_path
from support import model_files, model_template, repositories
from support.repositories import Run

URL = "https://example.com/zoo/backbone"
SAID = ("--description", "Says which it is.", "--license", "MIT", "--intended-use", "Demonstration.")
ZOO = "models/zoo"
# All that a consumer needs: onnxruntime, Pillow, NumPy.
CONSUMER = """
import json, sys, numpy, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1])
metadata = session.get_modelmeta().custom_metadata_map
size = json.loads(metadata["input"])["size"]
images = numpy.stack([numpy.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in sys.argv[2:]])
(scores,) = session.run(["scores"], {"images": images})
print(json.dumps([json.loads(metadata["classes"])[place] for place in scores.argmax(1)]))
assert not {"torch", "registry", "onnx"} & set(sys.modules)
"""


def put_backbone(root: Path, run: Run, data: bytes = model_files.backbone()) -> None:
    """`models/backbone`, registered."""
    file = root.parent / "backbone.bin"
    file.write_bytes(data)
    made = run(root, "new", "model", "backbone", "--from", str(file), "--origin", URL, "--task", "features", *SAID)
    assert made.code == 0, made.err


def replace_backbone(root: Path, data: bytes) -> None:
    """Another file under the same name, as docs/models.md says."""
    file = root.parent / "backbone.bin"
    file.write_bytes(data)
    dvc.dvc(root, "add", str(file), "--out", "models/backbone/model.onnx", "--force")


def put_transfer(root: Path, run: Run) -> None:
    made = run(root, "new", "model", "zoo", "--template", "transfer", "--builds-on", "models/backbone",
               "--trained-on", "datasets/pets", *SAID)  # fmt: skip
    assert (made.code, made.out.splitlines()[-1]) == (0, f"hint: dvc repro {ZOO}/dvc.yaml"), made.err


@pytest.fixture
def transfer(pets: Path, run_registry: Run) -> Path:
    """A registry with a backbone, and a model that builds on it and was not trained yet."""
    put_backbone(pets, run_registry)
    put_transfer(pets, run_registry)
    model_template.set_params(pets / ZOO, learning_rate=0.2)  # two images make few steps
    return pets


def repro(root: Path, *more: str) -> str:
    """What `dvc repro` prints."""
    done = repositories.sh(root, sys.executable, "-m", "dvc", "repro", *more, f"{ZOO}/dvc.yaml", env=dvc_env())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc_env() -> dict[str, str]:
    return {**os.environ, "PATH": tool_path()}


@pytest.mark.slow
def test_from_a_backbone_to_a_consumer(transfer: Path, run_registry: Run, tmp_path: Path) -> None:
    done = repro(transfer)
    assert "train: 2 of 2 images run, the others remembered" in done
    metrics = json.loads((transfer / ZOO / "metrics.json").read_text())
    assert (metrics["images"], metrics["accuracy"] >= 0.9) == (20, True)
    assert (transfer / ZOO / "plots/training/plots/metrics/train/loss.tsv").exists()
    assert run_registry(transfer, "check", "--fix").code == 0
    checked = run_registry(transfer, "check", "--all")
    assert checked.code == 0, checked.out
    repositories.commit(transfer, "a transfer")
    repositories.git_in(transfer, "push", "--quiet")
    assert run_registry(transfer, "push").code == 0
    published = run_registry(transfer, "publish")
    assert published.code == 0, published.err
    assert run_registry(transfer, "fsck").code == 0

    origin = str(transfer.parent / "origin.git")
    out = tmp_path / "consumer"
    out.mkdir()
    # production of this registry is a folder beside it: a consumer's clone has it in the same place
    got = repositories.sh(out, sys.executable, "-m", "dvc", "artifacts", "get", str(transfer), ZOO, "--rev", "v1.0.0",
                          "--out", "model.onnx")  # fmt: skip
    assert got.returncode == 0, got.stderr + origin
    tests = sorted((transfer / "datasets/pets/prepared/test").glob("*/*.png"))
    ran = subprocess.run([sys.executable, "-c", CONSUMER, "model.onnx", *map(str, tests)], cwd=out,
                         capture_output=True, text=True)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    right = sum(name == path.parent.name for name, path in zip(said, tests, strict=True))
    assert right / len(tests) == metrics["accuracy"]

    clone = repositories.other_clone(transfer, tmp_path)
    pulled = run_registry(clone, "pull", ZOO)
    assert pulled.code == 0, pulled.err
    assert (clone / ZOO / "model.onnx").read_bytes() == (out / "model.onnx").read_bytes()
    again = run_registry(transfer, "reproduce", f"{ZOO}@v1.0.0")
    assert again.code == 0, again.err
