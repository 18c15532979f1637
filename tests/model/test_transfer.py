"""A model that builds on another one's features: made by one command, trained, checked, published, fetched, run."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import yaml
from safetensors.numpy import load_file

from conftest import copy
from registry.integrations import dvc
from registry.integrations.process import tool_path
from support import model_files, model_template, repositories, threshold_models
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


def put_backbone(root: Path) -> None:
    """`models/backbone`, registered."""
    file = root.parent / "backbone.bin"
    file.write_bytes(model_files.backbone())
    options = ("--from", str(file), "--origin", URL, "--task", "features", *SAID)
    made = repositories.registry(root, "new", "model", "backbone", *options)
    assert made.returncode == 0, made.stderr


def replace_backbone(root: Path, data: bytes) -> None:
    """Another file under the same name, as docs/models.md says."""
    file = root.parent / "backbone.bin"
    file.write_bytes(data)
    dvc.dvc(root, "add", str(file), "--out", "models/backbone/model.onnx", "--force")


@pytest.fixture(scope="session")
def _transfer(_pets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_pets, tmp_path_factory.mktemp("transfer"))
    put_backbone(root)
    options = ("--template", "transfer", "--builds-on", "models/backbone", "--trained-on", "datasets/pets", *SAID)
    made = repositories.registry(root, "new", "model", "zoo", *options)
    assert (made.returncode, made.stdout.splitlines()[-1]) == (0, f"hint: dvc repro {ZOO}/dvc.yaml"), made.stderr
    model_template.set_params(root / ZOO, learning_rate=0.2, epochs=10)  # two images make few steps
    return root


@pytest.fixture
def transfer(_transfer: Path, tmp_path: Path) -> Path:
    """A registry with a backbone, and a model that builds on it and was not trained yet."""
    return copy(_transfer, tmp_path)


@pytest.fixture(scope="session")
def _trained(_transfer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_transfer, tmp_path_factory.mktemp("trained"))
    assert "train: 2 of 2 images run, 0 remembered" in repro(root)
    assert repositories.registry(root, "check", "--fix").returncode == 0
    repositories.merge(root, "a backbone and a model on it")
    return root


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """Both models trained and merged, and not published yet."""
    return copy(_trained, tmp_path)


@pytest.fixture
def released(trained: Path, run_registry: Run) -> Path:
    """`trained`, published."""
    published = run_registry(trained, "publish")
    assert published.code == 0, published.err
    return trained


def repro(root: Path, *more: str, stage: str = "") -> str:
    """What `dvc repro` prints, for the pipeline or for one stage alone."""
    target = ("--single-item", f"{ZOO}/dvc.yaml:{stage}") if stage else (f"{ZOO}/dvc.yaml",)
    done = repositories.sh(root, sys.executable, "-m", "dvc", "repro", *more, *target, env=dvc_env())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc_env() -> dict[str, str]:
    return {**os.environ, "PATH": tool_path()}


@pytest.mark.slow
def test_from_a_backbone_to_a_consumer(trained: Path, run_registry: Run, tmp_path: Path) -> None:
    metrics = json.loads((trained / ZOO / "metrics.json").read_text())
    assert (metrics["images"], metrics["accuracy"] >= 0.9) == (20, True)
    assert (trained / ZOO / "plots/training/plots/metrics/train/loss.tsv").exists()
    checked = run_registry(trained, "check", "--all")
    assert checked.code == 0, checked.out
    assert run_registry(trained, "push").code == 0
    published = run_registry(trained, "publish")
    assert published.code == 0, published.err
    assert run_registry(trained, "fsck").code == 0

    clone, out = repositories.other_clone(trained, tmp_path), tmp_path / "consumer"  # a clone without a cache
    out.mkdir()
    got = repositories.sh(out, sys.executable, "-m", "dvc", "artifacts", "get", str(clone), ZOO, "--rev", "v1.0.0",
                          "--out", "model.onnx")  # fmt: skip
    assert got.returncode == 0, got.stderr
    assert not (clone / ".dvc/cache").exists()
    tests = sorted((trained / "datasets/pets/prepared/test").glob("*/*.png"))
    ran = subprocess.run([sys.executable, "-c", CONSUMER, "model.onnx", *map(str, tests)], cwd=out,
                         capture_output=True, text=True)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    right = sum(name == path.parent.name for name, path in zip(said, tests, strict=True))
    assert right / len(tests) == metrics["accuracy"]

    pulled = run_registry(clone, "pull", ZOO)
    assert pulled.code == 0, pulled.err
    assert (clone / ZOO / "model.onnx").read_bytes() == (out / "model.onnx").read_bytes()
    again = run_registry(trained, "reproduce", f"{ZOO}@v1.0.0")
    assert again.code == 0, again.err


def test_the_template_is_valid_and_lacks_nothing(transfer: Path, run_registry: Run) -> None:
    assert yaml.safe_load((transfer / ZOO / "model.yaml").read_text())["builds_on"] == ["models/backbone"]
    stages = yaml.safe_load((transfer / ZOO / "dvc.yaml").read_text())["stages"]
    assert "../../models/backbone/model.onnx" in stages["features"]["deps"]
    assert "../../${trained_on}/prepared" in stages["features"]["deps"]
    checked = run_registry(transfer, "check", "--all")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--template", "transfer"], "--template transfer needs --builds-on models/NAME"),
        (["--builds-on", "models/backbone"], "--builds-on needs --template transfer"),
        (["--template", "scratch", "--builds-on", "models/backbone"], "--builds-on needs --template transfer"),
        (
            ["--from", "x.onnx", "--origin", URL, "--template", "transfer"],
            "--template is for a model that is trained here",
        ),
    ],
)
def test_options_that_do_not_fit(pets: Path, run_registry: Run, options: list[str], message: str) -> None:
    refused = run_registry(pets, "new", "model", "zoo", *options)
    assert (refused.code, message in refused.err) == (1, True), refused.err


def test_a_backbone_that_is_none_is_refused(pets: Path, run_registry: Run) -> None:
    to_dataset = ("--trained-on", "datasets/pets")
    repositories.model(pets, "scores", b"weights", "1.0.0")
    for name, fault in (("nothing", "models/nothing does not exist"), ("scores", "models/scores gives classification")):
        refused = run_registry(
            pets, "new", "model", "zoo", "--template", "transfer", "--builds-on", f"models/{name}", *to_dataset
        )
        assert refused.refused(fault, "registry new model NAME --from FILE --origin URL --task features")
    assert not (pets / ZOO).exists()


def test_a_backbone_that_is_not_here_is_to_be_pulled_first(pets: Path, run_registry: Run) -> None:
    put_backbone(pets)
    repositories.merge(pets, "a backbone")
    (pets / "models/backbone/model.onnx").unlink()
    made = run_registry(pets, "new", "model", "zoo", "--template", "transfer", "--builds-on", "models/backbone",
                        "--trained-on", "datasets/pets", *SAID)  # fmt: skip
    assert made.out.splitlines()[-1] == f"hint: registry pull models/backbone, then dvc repro {ZOO}/dvc.yaml"
    assert run_registry(pets, "pull", "models/backbone").code == 0
    assert (pets / "models/backbone/model.onnx").read_bytes() == model_files.backbone()


def test_a_backbone_without_a_file_is_told_before_a_training(transfer: Path, run_registry: Run) -> None:
    (transfer / "models/backbone/model.onnx.dvc").unlink()
    planned = run_registry(transfer, "train", "--dry-run")
    assert "models/backbone/model.onnx.dvc is missing: the model has an origin\n" in planned.out
    assert "models/zoo: models/backbone, which it builds on, has to wait\n" in planned.out


@pytest.mark.slow
def test_a_machine_with_nothing_fetches_the_backbone_before_it_trains(
    transfer: Path, run_registry: Run, tmp_path: Path
) -> None:
    repositories.merge(transfer, "a backbone and a model on it")
    bare = repositories.other_clone(transfer, tmp_path)
    trained = run_registry(bare, "train", "--results", str(tmp_path / "results"))
    assert trained.code == 0, trained.err
    assert "models/zoo: not trained yet" in trained.out
    assert (bare / ZOO / "metrics.json").exists()


def test_a_backbone_that_no_store_has_is_told_before_a_training(
    transfer: Path, run_registry: Run, tmp_path: Path
) -> None:
    repositories.merge(transfer, "a backbone and a model on it")
    repositories.place(repositories.staging(transfer), repositories.md5(model_files.backbone())).unlink()
    bare = repositories.other_clone(transfer, tmp_path)
    refused = run_registry(bare, "train")
    assert refused.refused("1 object could not be fetched", "models/backbone: 1 missing", "models/backbone/model.onnx")
    assert not (bare / ZOO / "features.safetensors").exists()


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_and_more_images_cost_only_themselves(trained: Path) -> None:
    first = {
        path.name: path.read_bytes() for path in (trained / ZOO).iterdir() if path.suffix in (".onnx", ".safetensors")
    }
    assert first.keys() == {"features.safetensors", "model.onnx", "model.safetensors"}
    again = repro(trained, "--force", "--no-run-cache", stage="features")
    assert "train: 0 of 2 images run, 2 remembered" in again
    assert (trained / ZOO / "features.safetensors").read_bytes() == first["features.safetensors"]
    shutil.rmtree(trained / ".dvc/tmp/registry")
    assert "train: 2 of 2 images run" in repro(trained, "--force", "--no-run-cache")
    assert first == {name: (trained / ZOO / name).read_bytes() for name in first}

    model_template.set_params(trained / ZOO, flip=True, hidden=8)
    flipped = repro(trained, stage="features")
    assert "train: 2 of 4 images run, 2 remembered" in flipped
    features = load_file(trained / ZOO / "features.safetensors")
    assert features["train/mirrored"].shape == features["train"].shape == (2, 3)
    model_template.set_params(trained / ZOO, learning_rate=0.1)
    planned = repro(trained, "--dry")
    assert "Running stage 'models/zoo/dvc.yaml:features'" not in planned
    assert "Running stage 'models/zoo/dvc.yaml:train'" in planned

    replace_backbone(trained, model_files.backbone(note="another"))
    assert "train: 4 of 4 images run" in repro(trained)
    onnx.checker.check_model(onnx.load(trained / ZOO / "model.onnx"))


def test_a_wrong_parameter_is_one_line(trained: Path) -> None:
    model_template.set_params(trained / ZOO, learning_rate=1e30)
    done = repositories.sh(trained, sys.executable, "-m", "dvc", "repro", f"{ZOO}/dvc.yaml", env=dvc_env())
    message = "lower learning_rate in params.yaml"
    assert (done.returncode != 0, message in done.stderr, "Traceback" in done.stderr) == (True, True, False), (
        done.stderr
    )


@pytest.mark.parametrize(
    ("change", "message", "program", "reads"),
    [
        ({"flip": "yes"}, "flip must be true or false, not 'yes'", "features", "read_flip"),
        ({"hidden": -1}, "hidden must be at least 0, not -1", "train", "read_params"),
        ({"epochs": 1.5}, "epochs must be of type int, not 1.5", "train", "read_params"),
        ({"width": 3}, "width is not a parameter", "train", "read_params"),
    ],
)
def test_a_wrong_parameter_is_named(
    tmp_path: Path, change: dict[str, object], message: str, program: str, reads: str
) -> None:
    template = model_template.TEMPLATE.parent / "transfer"
    shutil.copy(template / "params.yaml", tmp_path)
    model_template.set_params(tmp_path, **change)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(template / f"{program}.py"))[reads](tmp_path / "params.yaml")
    assert str(stopped.value) == f"{tmp_path / 'params.yaml'}: {message}"


def test_a_backbone_whose_file_gives_scores_is_wrong(transfer: Path, run_registry: Run) -> None:
    for card in transfer.glob("models/*/README.md"):
        repositories.write_limits(card.parent)
    assert "models/backbone" not in run_registry(transfer, "check", "--all").out
    replace_backbone(transfer, model_files.threshold(100))
    found = run_registry(transfer, "check", "--all")
    fault = "its output is `scores`, float (N, 2), expected `features`, float (N, D)"
    assert f"models/backbone/model.onnx is not a valid model file: {fault}" in found.out
    planned = run_registry(transfer, "train")
    assert planned.code == 1
    assert "expected `features`" in planned.err + planned.out
    assert not (transfer / ZOO / "features.safetensors").exists()


# --- lineage ----------------------------------------------------------------------------------------------------------


def set_manifest(root: Path, name: str, **values: object) -> None:
    path = root / "models" / name / "model.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values, sort_keys=False))


@pytest.mark.slow
def test_a_newer_backbone_makes_the_model_out_of_date_and_a_release_says_what_it_builds_on(
    released: Path, run_registry: Run
) -> None:
    assert "base_model:\n- models/backbone\n" in (released / ZOO / "README.md").read_text()
    assert "; builds on models/backbone\n" in run_registry(released, "list").out
    listed = {one["artifact"]: one for one in json.loads(run_registry(released, "list", "--format", "json").out)}
    assert listed["models/zoo"]["builds_on"] == ["models/backbone"]
    assert "models/zoo" in listed["models/backbone"]["used_by"]

    replace_backbone(released, model_files.backbone(note="another"))
    set_manifest(released, "backbone", version="1.1.0")
    run_registry(released, "check", "--fix")
    found = run_registry(released, "check", "--base", "main")
    assert "models/zoo/dvc.lock: needs an owner: changed since the training: models/backbone/model.onnx" in found.out
    assert run_registry(released, "train", "--base", "main").code == 0
    set_manifest(released, "zoo", version="1.1.0")
    run_registry(released, "check", "--fix")
    checked = run_registry(released, "check", "--all")
    assert checked.code == 0, checked.out
    repositories.merge(released, "another backbone")
    run_registry(released, "report", "--base", "HEAD~1", "--out", str(released.parent / "report"))
    assert "Builds on `models/backbone@v1.1.0`" in (released.parent / "report/report.md").read_text()
    report = json.loads((released.parent / "report/report.json").read_text())
    assert [one["builds_on"] for one in report["models"] if one["id"] == "models/zoo"] == [["models/backbone@v1.1.0"]]


HOMEMADE = "models/zz"  # its name comes after that of the model that builds on it


def put_homemade(root: Path, note: str) -> None:
    """A backbone that is trained here, on `datasets/pets`."""
    folder = root / HOMEMADE
    shutil.copytree(root / "models/backbone", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model.onnx*"))
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": {
        "cmd": "cp weights.txt model.onnx", "deps": ["../../datasets/pets/prepared", "weights.txt"],
        "outs": ["model.onnx"],
    }}}))  # fmt: skip
    (folder / "weights.txt").write_bytes(model_files.backbone(note=note))
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    del manifest["origin"]
    manifest |= {"name": "zz", "trained_on": "datasets/pets"}
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


@pytest.mark.slow
def test_a_backbone_that_is_trained_here_is_trained_before_the_models_on_it(transfer: Path, run_registry: Run) -> None:
    put_homemade(transfer, "first")
    for path in (transfer / ZOO).iterdir():
        path.write_text(path.read_text().replace("models/backbone", HOMEMADE))
    both = [f"{HOMEMADE}: not trained yet", "models/zoo: not trained yet"]
    assert run_registry(transfer, "train", "--dry-run").out.splitlines() == both
    assert run_registry(transfer, "train", ZOO, "--dry-run").out.splitlines() == both
    assert run_registry(transfer, "train", HOMEMADE, "--dry-run").out.splitlines() == both[:1]
    pointer = transfer / "datasets/pets/prepared.dvc"
    pointer.rename(aside := transfer / "prepared.dvc")
    waiting = run_registry(transfer, "train", "--dry-run").out.splitlines()
    assert waiting == [f"{one}: datasets/pets is not built yet" for one in (HOMEMADE, ZOO)] + ["nothing to train"]
    aside.rename(pointer)
    trained = run_registry(transfer, "train")
    assert trained.code == 0, trained.err
    assert run_registry(transfer, "train").out == "nothing to train\n"
    repositories.merge(transfer, "both trained")

    put_homemade(transfer, "second")
    results = transfer.parent / "results"
    again = run_registry(transfer, "train", "--base", "main", "--results", str(results))
    assert again.code == 0, again.err
    assert again.out.splitlines()[:2] == [
        f"{HOMEMADE}: changed since the training: weights.txt",
        f"models/zoo: builds on {HOMEMADE}, which is trained first",
    ]
    assert {path.name for path in results.glob("models/*")} == {"zoo", "zz"}
    assert run_registry(transfer, "train").out == "nothing to train\n"
    lock = yaml.safe_load((results / ZOO / "dvc.lock").read_text())["stages"]["features"]
    assert repositories.md5(model_files.backbone(note="second")) in {dep["md5"] for dep in lock["deps"]}


def test_images_that_the_backbone_was_trained_on_are_found(released: Path, run_registry: Run) -> None:
    (released / "models/backbone/images.txt").write_text(f"{threshold_models.uuid(1)}\n{threshold_models.uuid(999)}\n")
    set_manifest(released, "backbone", version="1.0.1", origin={"url": URL, "training_images": "images.txt"})
    repro_needed = run_registry(released, "check", "--all").out
    expected = (
        "1 of 20 test images is among the training images of models/backbone, which it builds on: "
        f"{threshold_models.uuid(1)}"
    )
    assert expected in repro_needed
    (released / "models/backbone/images.txt").write_text("neither\n")
    assert (
        "models/backbone/images.txt:1: wrong: 'neither' is neither a UUID"
        in run_registry(released, "check", "--all").out
    )


def test_a_withdrawn_backbone_is_told(released: Path, run_registry: Run) -> None:
    assert run_registry(released, "withdraw", "models/backbone", "1.0.0", "--why", "its licence was wrong").code == 0
    found = run_registry(released, "check", "--base", "main")
    message = "builds on models/backbone@v1.0.0, which is withdrawn: its licence was wrong"
    assert f"needs an owner: {message}" in found.out
    assert run_registry(released, "withdraw", "models/zoo", "1.0.0", "--why", "its backbone was").code == 0
    assert message not in run_registry(released, "check", "--all").out
