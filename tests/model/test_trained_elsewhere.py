"""A model of another team's script: registered by one command, measured, checked, published and fetched."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import copy
from registry.integrations import dvc
from support import model_files, repositories, threshold_models
from support.repositories import Run

URL = "https://example.com/zoo/pets"
FOLDER = "models/zoo"
# No code of the template: another network, another preprocessing (BGR, -1 to 1), other class names' order.
SCRIPT = """
import sys
import onnx
import torch
from torch import nn

class Pixels(nn.Module):
    def forward(self, images):
        return (images.permute(0, 3, 1, 2).float() / 127.5 - 1).flip(1)

torch.manual_seed(7)
network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
levels = torch.arange(0, 256, 5, dtype=torch.uint8)
images = torch.zeros(len(levels), 4, 4, 3, dtype=torch.uint8)
images[..., 0] = levels[:, None, None]
labels = (levels <= 105).long()  # class 1 is the cat
optimizer = torch.optim.Adam(network.parameters(), 0.05)
for _ in range(400):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(Pixels()(images)), labels).backward()
    optimizer.step()
model = nn.Sequential(Pixels(), network, nn.Softmax(1)).eval()
axes = {"images": {0: "N"}, "scores": {0: "N"}}
torch.onnx.export(
    model, (images[:2],), sys.argv[1], dynamo=False, input_names=["images"], output_names=["scores"], dynamic_axes=axes
)
file = onnx.load(sys.argv[1])
onnx.helper.set_model_props(file, {"classes": '["dog", "cat"]', "input": '{"size": 4, "crop": "stretch"}'})
onnx.save(file, sys.argv[1])
"""
SAID = ("--description", "Says which it is.", "--license", "MIT", "--intended-use", "Demonstration.")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of another team's script."""
    file = tmp_path_factory.mktemp("elsewhere") / "best_final.bin"
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, str(file)], check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def _measured(_pets: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_pets, tmp_path_factory.mktemp("measured"))
    made = repositories.registry(root, *new(exported))
    assert made.returncode == 0, made.stderr
    dvc.repro(root, f"{FOLDER}/dvc.yaml")
    return root


@pytest.fixture
def measured(_measured: Path, tmp_path: Path) -> Path:
    """`pets` with that file as `models/zoo`, measured, not committed."""
    return copy(_measured, tmp_path)


def new(file: Path) -> tuple[str, ...]:
    """The command that registers a file as `models/zoo`."""
    return ("new", "model", "zoo", "--from", str(file), "--origin", URL, "--measured-on", "datasets/pets", *SAID)


def merge(root: Path, run: Run) -> None:
    """What CI does: all checks pass, and the objects are where a release finds them."""
    for card in root.glob("models/*/README.md"):
        repositories.write_limits(card.parent)
    assert run(root, "check", "--fix").code == 0
    checked = run(root, "check", "--all")
    assert checked.code == 0, checked.out
    repositories.commit(root, "a model from elsewhere")
    repositories.git_in(root, "push", "--quiet")
    assert run(root, "push").code == 0


def report(root: Path, run: Run, base: str = "HEAD~1") -> dict[str, Any]:
    """`report.json` of the last commit."""
    run(root, "report", "--base", base, "--out", str(root.parent / "report"))
    found: dict[str, Any] = json.loads((root.parent / "report/report.json").read_text())
    return found


def test_a_model_of_an_own_script_is_registered_checked_published_and_fetched(
    pets: Path, exported: Path, run_registry: Run, tmp_path: Path
) -> None:
    made = run_registry(pets, *new(exported))
    assert (made.code, made.out.splitlines()[-1]) == (0, "hint: dvc repro models/zoo/dvc.yaml")
    dvc.repro(pets, f"{FOLDER}/dvc.yaml")
    assert json.loads((pets / FOLDER / "metrics.json").read_text())["accuracy"] == 1.0
    merge(pets, run_registry)
    assert report(pets, run_registry)["verdict"] == "ready"
    page = (pets.parent / "report/report.md").read_text()
    for path in (pets / ".registry/staging").rglob("*"):
        os.utime(path, (0, 0))  # so old that whatever is not referred to is deleted
    assert run_registry(pets, "gc", "--apply").code == 0
    assert f"Trained elsewhere: `{URL}`; training not reproducible here; which images" in page
    assert run_registry(pets, "publish").code == 0
    assert "models/zoo@v1.0.0" in repositories.git_in(pets, "tag", "--list")
    assert run_registry(pets, "fsck").code == 0
    refused = run_registry(pets, "reproduce", "models/zoo@v1.0.0")
    assert refused.refused(f"was trained elsewhere ({URL}): its training cannot be repeated here")
    assert "nothing to reproduce" in run_registry(pets, "reproduce", "--latest").out

    clone = tmp_path / "clone"
    repositories.git_in(tmp_path, "clone", "--quiet", str(pets.parent / "origin.git"), str(clone))
    shutil.copytree(pets / ".registry", clone / ".registry", dirs_exist_ok=True)
    assert run_registry(clone, "pull", "models/zoo").code == 0
    assert (clone / FOLDER / "model.onnx").read_bytes() == exported.read_bytes()
    found = repositories.sh(clone, sys.executable, "-m", "dvc", "status", f"{FOLDER}/model.onnx.dvc")
    assert "up to date" in found.stdout, found.stderr
    got = repositories.sh(
        tmp_path, sys.executable, "-m", "dvc", "artifacts", "get", str(clone), FOLDER, "--rev", "v1.0.0", "--out", "got"
    )
    assert (tmp_path / "got").read_bytes() == exported.read_bytes(), got.stderr
    assert run_registry(pets, "withdraw", FOLDER, "1.0.0", "--why", "its origin withdrew it").code == 0
    assert "its origin withdrew it" in (pets / FOLDER / "model.yaml").read_text()
    assert run_registry(pets, "fsck").code == 0


def test_the_pointer_is_what_dvc_writes_and_the_file_is_no_link(pets: Path, exported: Path, run_registry: Run) -> None:
    run_registry(pets, *new(exported))
    pointer, file = pets / FOLDER / "model.onnx.dvc", pets / FOLDER / "model.onnx"
    ours = pointer.read_bytes()
    assert (file.is_symlink(), file.stat().st_nlink) == (False, 1)
    pointer.unlink()
    found = run_registry(pets, "check", "--all")
    assert "models/zoo/model.onnx.dvc is missing: the model has an origin" in found.out
    assert "hint: dvc add models/zoo/model.onnx\n" in found.out
    dvc.dvc(pets, "add", f"{FOLDER}/model.onnx")
    assert pointer.read_bytes() == ours
    file.unlink()
    assert run_registry(pets, "checkout").code == 0
    assert file.read_bytes() == exported.read_bytes()


def test_another_file_is_another_version(measured: Path, run_registry: Run, tmp_path: Path) -> None:
    merge(measured, run_registry)
    assert run_registry(measured, "publish").code == 0
    other = tmp_path / "other.onnx"
    other.write_bytes(model_files.threshold(150))
    again = run_registry(measured, *new(other))
    assert again.refused("models/zoo exists already")

    # as docs/models.md says
    added = repositories.sh(
        measured, sys.executable, "-m", "dvc", "add", str(other), "--out", f"{FOLDER}/model.onnx", "--force"
    )
    assert added.returncode == 0, added.stderr
    found = run_registry(measured, "check", "--all")
    assert "changed since it was measured: model.onnx" in found.out
    assert "version is 1.0.0, expected at least 1.1.0: model.onnx" in found.out
    assert run_registry(measured, "train").code == 0
    assert json.loads((measured / FOLDER / "metrics.json").read_text())["accuracy"] == 0.75
    manifest = measured / FOLDER / "model.yaml"
    manifest.write_text(manifest.read_text().replace("version: 1.0.0", "version: 1.1.0").replace("0.8}", "0.7}"))
    merge(measured, run_registry)
    assert report(measured, run_registry)["headline"].startswith("models/zoo: accuracy 75.0%")
    objects = list((measured / ".dvc/cache/files/md5").glob("*/*"))
    assert all(
        repositories.md5(path.read_bytes()) == path.parent.name + path.name.removesuffix(".dir") for path in objects
    )


def test_a_number_that_was_typed_is_wrong(measured: Path, run_registry: Run) -> None:
    metrics = measured / FOLDER / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"accuracy": 1.0', '"accuracy": 0.95'))
    dvc.dvc(measured, "commit", "--force", f"{FOLDER}/dvc.yaml")
    found = run_registry(measured, "check", "--all")
    assert (found.code, "metrics.json has accuracy 0.95, expected 1.0" in found.out) == (1, True)


def test_features_are_registered_published_and_not_measured(pets: Path, run_registry: Run, tmp_path: Path) -> None:
    file = tmp_path / "backbone.onnx"
    file.write_bytes(model_files.backbone())
    made = run_registry(
        pets, "new", "model", "backbone", "--from", str(file), "--origin", URL, "--task", "features", *SAID
    )
    assert (made.code, made.out.splitlines()[-1]) == (0, "hint: registry check")
    assert "the model gives 3 features for an image of 4 × 4 pixels" in made.out
    assert not (pets / "models/backbone/dvc.yaml").exists()
    assert run_registry(pets, "train", "--dry-run").out == "nothing to train\n"
    merge(pets, run_registry)
    assert report(pets, run_registry)["verdict"] == "ready"
    assert "models/backbone@v1.0.0" in run_registry(pets, "publish").out
    (row,) = [one for one in json.loads(run_registry(pets, "list", "--format", "json").out) if one["dataset"] is None
              and one["artifact"] == "models/backbone"]  # fmt: skip
    assert (row["state"], [one["version"] for one in row["releases"]]) == ("published", ["1.0.0"])


# --- the images that it was trained on --------------------------------------------------------------------------------


def listed(root: Path, lines: Sequence[str], encoding: str = "utf-8") -> None:
    """The list that the manifest names."""
    folder = root / FOLDER
    (folder / "seen.txt").write_bytes("\n".join(lines).encode(encoding))
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(
        text.replace("  # training_images: training_images.txt", "  training_images: seen.txt")
    )


CAT, DOG = next(iter(threshold_models.CATS)), next(iter(threshold_models.DOGS))


@pytest.mark.parametrize(
    ("line", "encoding"),
    [
        (threshold_models.uuid(1), "utf-8"),
        (threshold_models.uuid(1).upper() + "\r", "utf-8-sig"),
        (threshold_models.uuid(1).replace("-", ""), "utf-16"),
        (hashlib.md5(threshold_models.CATS[CAT]).hexdigest(), "utf-8"),
        (hashlib.sha256(threshold_models.CATS[CAT]).hexdigest().upper(), "utf-8"),
    ],
    ids=["uuid", "upper-case", "no-dashes", "md5", "sha256"],
)
def test_a_test_image_that_it_was_trained_on_needs_an_owner(
    line: str, encoding: str, measured: Path, run_registry: Run
) -> None:
    listed(measured, ["# images of the first year", "", line, threshold_models.uuid(999)], encoding)
    found = run_registry(measured, "check", "--all")
    assert f"1 of 20 test images is among the model's training images: {threshold_models.uuid(1)}" in found.out


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["cat.jpg"], ":1: wrong: 'cat.jpg' is neither a UUID nor an MD5 nor a SHA-256"),
        (
            [threshold_models.uuid(1), "x", "y"],
            ":2: wrong: 'x' is neither a UUID nor an MD5 nor a SHA-256; 1 more line",
        ),
        (["# none"], ":1: wrong: names no image"),
    ],
)
def test_a_list_in_another_form_is_wrong_at_its_line(
    lines: list[str], what: str, measured: Path, run_registry: Run
) -> None:
    listed(measured, lines)
    assert f"models/zoo/seen.txt{what}" in run_registry(measured, "check", "--all").out


def test_a_comparison_leaves_out_what_either_model_was_trained_on(
    measured: Path, run_registry: Run, tmp_path: Path
) -> None:
    listed(measured, [threshold_models.uuid(1)])
    repositories.commit(measured, "the first one")
    other = tmp_path / "other.onnx"
    other.write_bytes(model_files.threshold(150))
    dvc.dvc(measured, "add", str(other), "--out", f"{FOLDER}/model.onnx", "--force")
    listed(measured, [threshold_models.uuid(2), hashlib.sha256(threshold_models.DOGS[DOG]).hexdigest()])
    dvc.repro(measured, f"{FOLDER}/dvc.yaml")
    repositories.commit(measured, "the second one")
    found = json.loads(run_registry(measured, "compare", "--base", "HEAD~1", "--format", "json").out)
    assert found[0]["images"] == 17
