"""A model from elsewhere whose weights lie in a file beside it: registered, checked, published, fetched, and broken."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
import onnx
import onnxruntime
import pytest

from registry.integrations import dvc
from support import damage, model_files, repositories
from support.repositories import Outcome, Run

FOLDER = "models/zoo"
MODEL, SIDECAR = f"{FOLDER}/model.onnx", f"{FOLDER}/model.onnx.data"
SAID = ("--description", "Says which it is.", "--license", "MIT", "--intended-use", "Demonstration.")
ORIGIN = ("--origin", "https://example.com/zoo/pets", "--measured-on", "datasets/pets")


def given(folder: Path, name: str = "model.onnx.data", limit: float = 105) -> Path:
    """A model as another team hands it on: `best.onnx`, and a file of its weights."""
    folder.mkdir(exist_ok=True)
    data, weights = model_files.with_sidecar(model_files.threshold(limit), name)
    (folder / "best.onnx").write_bytes(data)
    (folder / name).write_bytes(weights)
    return folder / "best.onnx"


def register(root: Path, file: Path, run: Run) -> Outcome:
    return run(root, "new", "model", "zoo", "--from", str(file), *ORIGIN, *SAID)


TRAIN = """\
import sys
from pathlib import Path

sys.path.append({tests!r})
from support import model_files

limit = int(Path("params.yaml").read_text().split()[1])
model, weights = model_files.with_sidecar(model_files.threshold(limit))
Path("model.onnx").write_bytes(model)
Path("model.onnx.data").write_bytes(weights)
"""
STAGES = """\
vars:
  - model.yaml:trained_on

stages:
  train:
    cmd: python train.py
    deps: ["../../${trained_on}/prepared", train.py]
    params: [limit]
    outs: [model.onnx, model.onnx.data]

  evaluate:
    cmd: registry evaluate model.onnx --data ../../${trained_on}/prepared
    deps: ["../../${trained_on}/prepared", model.onnx, model.onnx.data]
    outs: [predictions.parquet]
    metrics:
      - metrics.json: {cache: false}
    plots:
      - plots/confusion.csv: {cache: false}
"""


def new_trained(root: Path, run: Run, limit: int) -> None:
    """A model whose stage writes two files, as PyTorch's newer exporter does."""
    made = run(root, "new", "model", "zoo", "--trained-on", "datasets/pets", *SAID)
    assert made.code == 0, made.err
    for name in ("data.py", "devices.py", "network.py"):
        (root / FOLDER / name).unlink()
    (root / FOLDER / "train.py").write_text(TRAIN.format(tests=str(Path(__file__).parents[1])))
    (root / FOLDER / "params.yaml").write_text(f"limit: {limit}\n")
    (root / FOLDER / "dvc.yaml").write_text(STAGES)


def place(store: Path, root: Path) -> Path:
    """The sidecar's object there."""
    return repositories.place(store, repositories.md5((root / SIDECAR).read_bytes()))


def run_dvc(folder: Path, *words: str) -> None:
    done = repositories.sh(folder, sys.executable, "-m", "dvc", *words)
    assert done.returncode == 0, done.stderr


def merge(root: Path, run: Run) -> None:
    repositories.write_limits(root / FOLDER)
    assert run(root, "check", "--fix").code == 0
    checked = run(root, "check", "--all")
    assert checked.code == 0, checked.out
    repositories.commit(root, "a model with a sidecar")
    repositories.git_in(root, "push", "--quiet")
    assert run(root, "push").code == 0


@contextmanager
def absent(root: Path) -> Iterator[None]:
    """The sidecar's object is neither in the cache nor in staging."""
    md5 = repositories.md5((root / SIDECAR).read_bytes())
    places = [root / ".dvc/cache/files/md5", root / ".registry/staging/files/md5"]
    paths = [place / md5[:2] / md5[2:] for place in places]
    for number, path in enumerate(paths):
        path.rename(root / f"{number}.away")
    yield
    for number, path in enumerate(paths):
        (root / f"{number}.away").rename(path)


def accuracy(root: Path) -> float:
    return float(json.loads((root / FOLDER / "metrics.json").read_text())["accuracy"])


@pytest.mark.slow
def test_the_life_of_a_model_in_two_files(pets: Path, run_registry: Run, tmp_path: Path) -> None:
    made = register(pets, given(tmp_path / "zoo", "weights.bin"), run_registry)
    assert made.code == 0, made.err
    assert f"write {SIDECAR}\n" in made.out
    assert "whoever uses the model needs both files; below 2 GB they may be one" in made.out
    assert (pets / SIDECAR).read_bytes() == (tmp_path / "zoo/weights.bin").read_bytes()
    dvc.repro(pets, f"{FOLDER}/dvc.yaml")
    assert accuracy(pets) == 1.0
    merge(pets, run_registry)
    run_registry(pets, "report", "--base", "HEAD~1", "--out", str(tmp_path / "report"))
    assert json.loads((tmp_path / "report/report.json").read_text())["verdict"] == "ready"
    for path in (pets / ".registry/staging").rglob("*"):
        os.utime(path, (0, 0))  # so old that whatever is not referred to is deleted
    assert run_registry(pets, "gc", "--apply").code == 0
    with absent(pets):
        unpublished = run_registry(pets, "publish")
        assert (unpublished.code, SIDECAR in unpublished.err) == (1, True), unpublished.err
    assert run_registry(pets, "publish").code == 0
    assert run_registry(pets, "fsck").code == 0

    clone = tmp_path / "clone"
    repositories.git_in(tmp_path, "clone", "--quiet", str(pets.parent / "origin.git"), str(clone))
    shutil.copytree(pets / ".registry", clone / ".registry", dirs_exist_ok=True)
    assert run_registry(clone, "pull", FOLDER).code == 0
    measured = run_registry(clone, "evaluate", MODEL, "--data", str(pets / "datasets/pets/prepared"))
    assert "accuracy 1.0 on 20 images" in measured.out, measured.err  # both files are links to the cache
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    run_dvc(consumer, "artifacts", "get", str(clone), FOLDER, "--rev", "v1.0.0", "--out", "model.onnx")
    shown = run_registry(pets, "show", f"{FOLDER}@v1.0.0")
    assert f" {SIDECAR} --rev {FOLDER}@v1.0.0\n" in shown.out, shown.out + shown.err
    run_dvc(consumer, "get", str(clone), SIDECAR, "--rev", f"{FOLDER}@v1.0.0")
    assert onnxruntime.InferenceSession(str(consumer / "model.onnx")).get_outputs()[0].name == "scores"
    for name in ("model.onnx", "model.onnx.data"):
        verified = run_registry(clone, "verify", f"{FOLDER}@v1.0.0", str(consumer / name))
        assert verified.code == 0, verified.err
    (consumer / "model.onnx.data").unlink()  # a link to the clone's cache
    (consumer / "model.onnx.data").write_bytes(bytes(12))
    assert run_registry(clone, "verify", f"{FOLDER}@v1.0.0", str(consumer / "model.onnx.data")).code == 1
    run_dvc(consumer, "get", str(clone), FOLDER, "--rev", f"{FOLDER}@v1.0.0", "--out", "all")
    assert run_registry(clone, "verify", f"{FOLDER}@v1.0.0", str(consumer / "all")).code == 0
    assert run_registry(pets, "withdraw", FOLDER, "1.0.0", "--why", "its origin withdrew it").code == 0
    assert run_registry(pets, "fsck").code == 0


def test_files_with_the_right_names_stay_as_they_are(pets: Path, run_registry: Run, tmp_path: Path) -> None:
    file = given(tmp_path / "zoo")
    assert register(pets, file, run_registry).code == 0
    assert (pets / MODEL).read_bytes() == file.read_bytes()
    ours = {path: (pets / f"{path}.dvc").read_bytes() for path in (MODEL, SIDECAR)}
    run_dvc(pets, "add", *ours)
    assert {path: (pets / f"{path}.dvc").read_bytes() for path in ours} == ours


@pytest.mark.slow
def test_a_stage_that_writes_both_files(pets: Path, run_registry: Run, tmp_path: Path) -> None:
    """They are published and imported as one version, and another training may change nothing but the weights."""
    new_trained(pets, run_registry, 105)
    dvc.repro(pets, f"{FOLDER}/dvc.yaml")
    merge(pets, run_registry)
    assert run_registry(pets, "publish").code == 0
    (pets / FOLDER / "params.yaml").write_text("limit: 150\n")
    model = (pets / MODEL).read_bytes()
    dvc.repro(pets, f"{FOLDER}/dvc.yaml")
    assert ((pets / MODEL).read_bytes(), accuracy(pets)) == (model, 0.75)
    manifest = pets / FOLDER / "model.yaml"
    manifest.write_text(
        manifest.read_text().replace("version: 1.0.0", "version: 1.1.0").replace("min: 0.8", "min: 0.7")
    )
    merge(pets, run_registry)
    run_registry(pets, "report", "--base", "HEAD~1", "--out", str(tmp_path / "report"))
    headline = json.loads((tmp_path / "report/report.json").read_text())["headline"]
    assert (
        "accuracy 72.2% vs. 100.0% on 18 shared test images" in headline
    )  # two more have the bytes of training images
    assert run_registry(pets, "publish").code == 0

    consumer = tmp_path / "consumer"
    consumer.mkdir()
    assert repositories.sh(consumer, "git", "init", "--quiet").returncode == 0
    run_dvc(consumer, "init", "--quiet")
    for path in (MODEL, SIDECAR):
        run_dvc(consumer, "import", str(pets), path, "--rev", f"{FOLDER}@v1.0.0")
    assert scores(consumer / "model.onnx", red=120)[1] > 0.5  # a dog: above 105
    for name in ("model.onnx.dvc", "model.onnx.data.dvc"):
        run_dvc(consumer, "update", name, "--rev", f"{FOLDER}@v1.1.0")
    assert scores(consumer / "model.onnx", red=120)[1] < 0.5


def scores(model: Path, red: int) -> list[float]:
    """What a consumer gets for one image of this colour; both files are copied, since onnxruntime follows no link."""
    folder = model.parent / f"copies-{red}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        shutil.copy(model.with_name(name), folder)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    size = session.get_inputs()[0].shape[1]
    images = numpy.zeros((1, size, size, 3), numpy.uint8)
    images[..., 0] = red
    return [float(score) for score in session.run(None, {"images": images})[0][0]]


@pytest.mark.slow
def test_what_gc_and_fsck_say_of_the_weights(pets: Path, run_registry: Run, tmp_path: Path) -> None:
    assert register(pets, given(tmp_path / "zoo"), run_registry).code == 0
    dvc.repro(pets, f"{FOLDER}/dvc.yaml")
    merge(pets, run_registry)
    for path in (pets / ".registry/staging").rglob("*"):
        os.utime(path, (0, 0))  # so old that whatever is not referred to is deleted
    planned = run_registry(pets, "gc", "--plan")
    assert planned.code == 0
    assert "objects unreferenced" in planned.out
    assert ": 0 of " in planned.out
    assert run_registry(pets, "publish").code == 0
    stored = place(repositories.production(pets), pets)
    whole = stored.read_bytes()
    repositories.overwrite(stored, damage.other(whole))
    assert faults(pets, run_registry, "--deep") == [("corrupt", SIDECAR)]
    stored.unlink()
    assert faults(pets, run_registry) == [("missing", SIDECAR)]
    assert run_registry(pets, "fsck", "--repair", "staging").code == 0
    assert stored.read_bytes() == whole


def faults(root: Path, run: Run, *options: str) -> list[tuple[str, str]]:
    """What fsck finds in the releases: the state of each object, and its path."""
    done = run(root, "fsck", "--format", "json", *options)
    assert done.code == 1, done.err
    return [(one["state"], one["path"]) for row in json.loads(done.out)["tags"] for one in row["faults"]]


# --- what is refused when a model is registered -----------------------------------------------------------------------


def moved(place: str) -> Callable[[Path], None]:
    """The model reads its weights from another place."""

    def change(file: Path) -> None:
        file.write_bytes(model_files.with_sidecar(model_files.threshold(105), place)[0])

    return change


def in_several_files(file: Path) -> None:
    model = onnx.load(file, load_external_data=False)
    outside = [tensor for tensor in model.graph.initializer if tensor.external_data]
    outside[0].external_data[0].value = "a.bin"
    onnx.save(model, file)


def without_its_weights(file: Path) -> None:
    file.with_name("model.onnx.data").unlink()


def through_a_link(file: Path) -> None:
    weights = file.with_name("model.onnx.data")
    weights.rename(file.with_name("secret"))
    weights.symlink_to("secret")


def too_short(file: Path) -> None:
    file.with_name("model.onnx.data").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved("/etc/passwd"), ("reads weights from '/etc/passwd', expected a file beside it",)),
        (moved("../zoo/model.onnx.data"), ("reads weights from '../zoo/model.onnx.data'",)),
        (moved("C:\\weights.bin"), ("reads weights from 'C:\\\\weights.bin'",)),
        (
            moved("data/weights.bin"),
            ("reads weights from data/weights.bin, expected one file", "save_as_external_data"),
        ),
        (
            in_several_files,
            ("reads weights from a.bin and model.onnx.data, expected one file", "save_as_external_data"),
        ),
        (without_its_weights, ("model.onnx.data, the weights of best.onnx, does not exist",)),
        (through_a_link, ("is a link, which could lead to any file", "cp --dereference")),
        (too_short, ("a tensor's weights lie beyond the end of model.onnx.data",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_weights_that_are_not_one_file_beside_it_are_refused(
    change: Callable[[Path], None], words: tuple[str, ...], registry_repo: Path, run_registry: Run, tmp_path: Path
) -> None:
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    file = given(tmp_path / "zoo")
    change(file)
    assert register(registry_repo, file, run_registry).refused(*words)
    assert not (registry_repo / FOLDER).exists()


def test_several_files_are_joined_as_the_hint_says(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    file = given(tmp_path / "zoo")
    weights = file.with_name("model.onnx.data").read_bytes()
    file.with_name("a.bin").write_bytes(weights)
    in_several_files(file)
    refused = register(registry_repo, file, run_registry)
    target = tmp_path / "joined/model.onnx"
    target.parent.mkdir()
    (call,) = (part.split("), and name")[0] + ")" for part in refused.err.split(": ") if part.startswith("onnx.save("))
    exec(call, {"onnx": onnx, "FILE": file, "TARGET": target})
    assert register(registry_repo, target, run_registry).code == 0


def test_a_backbone_in_two_files_is_refused(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    data, weights = model_files.with_sidecar(model_files.backbone())
    (tmp_path / "b.onnx").write_bytes(data)
    (tmp_path / "model.onnx.data").write_bytes(weights)
    made = run_registry(
        registry_repo, "new", "model", "zoo", "--from", str(tmp_path / "b.onnx"), *ORIGIN[:2], "--task", "features"
    )
    assert made.refused("expected inside the file: other models build on it", "onnx.save(onnx.load(FILE), TARGET)")


# --- what goes wrong afterwards ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_files_are_one_model(pets: Path, run_registry: Run, tmp_path: Path) -> None:
    """Each state that a person can bring about with one of the files alone is told."""
    assert register(pets, given(tmp_path / "zoo"), run_registry).code == 0
    dvc.repro(pets, f"{FOLDER}/dvc.yaml")
    assert run_registry(pets, "check", "--fix").code == 0
    repositories.commit(pets, "a model in two files")

    def found() -> str:
        checked = run_registry(pets, "check")
        assert checked.code == 1, checked.out
        return checked.out

    other = given(tmp_path / "other", limit=150).with_name("model.onnx.data")
    run_dvc(pets, "add", str(other), "--out", SIDECAR, "--force")
    assert "changed since it was measured: model.onnx.data" in found()
    repositories.git_in(pets, "checkout", "--quiet", "HEAD", "--", FOLDER)

    (pets / f"{SIDECAR}.dvc").unlink()
    said = found()
    assert "the stage evaluate depends on model.onnx.data, which has no pointer and no stage that makes it" in said
    assert f"dvc add {SIDECAR}" in said
    repositories.git_in(pets, "checkout", "--quiet", "HEAD", "--", FOLDER)

    pipeline = pets / FOLDER / "dvc.yaml"
    text = pipeline.read_text()
    pipeline.write_text(text.replace("      - model.onnx.data\n", ""))
    assert "depends on model.onnx and not on model.onnx.data, which has its weights" in found()
    pipeline.write_text(text)

    one = tmp_path / "one.onnx"
    one.write_bytes(model_files.threshold(105))
    run_dvc(pets, "add", str(one), "--out", MODEL, "--force")
    assert "model.onnx.data lies beside it, and none of its weights are there" in found()
