"""The model template in DVC's hands: trained in a repository of its own, then changed, compared, cloned."""

import ast
import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from dvc.cli import main
from dvc.repo import Repo

from registry.checks.rules import models
from registry.core import declared_results, schema
from registry.core.documents import Document
from support import pages, repositories
from support.model_template import COLOURS, TEMPLATE, dvc, set_params

# --- What comes out ---------------------------------------------------------------------------------------------------


def test_a_repro_leaves_what_the_stages_promise_and_git_as_it_was(first_training: Path) -> None:
    untracked = repositories.git_in(first_training, "status", "--porcelain", "--untracked-files=all").splitlines()
    curves = "models/pets/plots/training/plots/metrics"
    assert untracked == [
        "?? models/pets/dvc.lock",
        "?? models/pets/metrics.json",
        "?? models/pets/plots/confusion.csv",
        "?? models/pets/plots/training/metrics.json",
        f"?? {curves}/train/accuracy.tsv",
        f"?? {curves}/train/loss.tsv",
        f"?? {curves}/val/accuracy.tsv",
        f"?? {curves}/val/loss.tsv",
    ]
    assert repositories.git_in(first_training, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
    assert [line.split("\t")[0] for line in (first_training / curves / "val/loss.tsv").read_text().splitlines()] == [
        "step", *"12345678"
    ]  # fmt: skip


def test_it_learns_and_its_numbers_agree_with_its_predictions(first_training: Path) -> None:
    model = first_training / "models/pets"
    metrics = json.loads((model / "metrics.json").read_text())
    table = pl.read_parquet(model / "predictions.parquet")
    scores = table.select(pl.col("^score_.*$"))
    assert list(metrics) == ["accuracy", "macro_f1", "loss", "ece", "images", "per_class"]
    assert list(metrics["per_class"]) == list(COLOURS)
    assert list(metrics["per_class"]["guinea pig"]) == ["precision", "recall", "f1", "images"]
    assert metrics["accuracy"] == round((table["label"] == table["predicted"]).mean(), 6) > 0.8
    assert metrics["images"] == len(table) == 12
    assert table["uuid"].to_list() == sorted(
        path.stem for path in (first_training / "datasets/pets/prepared/test").glob("*/*")
    )
    assert scores.columns == ["score_cat", "score_dog", "score_guinea pig"]
    assert scores.dtypes == [pl.Float32] * 3
    assert scores.sum_horizontal().to_numpy() == pytest.approx(1)
    assert table["predicted"].to_list() == [list(COLOURS)[place] for place in scores.to_numpy().argmax(1)]
    confusion = pl.read_csv(model / "plots/confusion.csv")
    assert confusion.rows() == table.select("label", "predicted").rows()


def test_deleted_outputs_come_back_untrained_and_a_second_training_makes_the_same_bytes(trained: Path) -> None:
    model = trained / "models/pets"
    lock = (model / "dvc.lock").read_text()
    repositories.commit(trained, "trained")
    for name in ("model.onnx", "model.safetensors", "predictions.parquet", "metrics.json", "dvc.lock"):
        (model / name).unlink()
    shutil.rmtree(model / "plots")
    assert dvc(model, "repro").count("is cached - skipping run") == 2
    assert repositories.git_in(trained, "status", "--porcelain") == ""
    assert (model / "model.onnx").exists()
    assert "Running stage 'train'" in dvc(model, "repro", "--force", "--no-run-cache")
    assert (model / "dvc.lock").read_text() == lock


# --- What it depends on -----------------------------------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """The files of this folder that a script imports, itself included, followed to the end."""
    found, ahead = set(), [path]
    while ahead:
        found.add((here := ahead.pop()).name)
        for node in ast.walk(ast.parse(here.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ahead += [
                file for name in names if (file := path.with_name(f"{name}.py")).exists() and file.name not in found
            ]
    return found


def test_the_training_depends_on_the_code_that_it_imports_and_the_judge_on_none() -> None:
    stages = yaml.safe_load((TEMPLATE / "dvc.yaml").read_text())["stages"]
    declared = {stage: {name for name in stages[stage]["deps"] if name.endswith(".py")} for stage in stages}
    assert declared == {"train": imported(TEMPLATE / "train.py"), "evaluate": set()}


def changed_stages(root: Path) -> dict[str, str]:
    """The stages that `dvc status` calls changed, each with its reasons as text."""
    with Repo(str(root)) as repo:
        return {name.rpartition(":")[2]: json.dumps(reasons) for name, reasons in repo.status().items()}


BOTH = {"train", "evaluate"}


@pytest.mark.parametrize("name", ["data.py", "devices.py", "network.py", "train.py"])
def test_a_change_of_code_is_seen(trained: Path, name: str) -> None:
    assert changed_stages(trained) == {}
    with (trained / "models/pets" / name).open("a") as file:
        file.write("# changed\n")
    assert changed_stages(trained).keys() == {"train"}
    assert all(name in reasons for reasons in changed_stages(trained).values())


def test_a_change_of_each_parameter_is_seen(trained: Path) -> None:
    model = trained / "models/pets"
    params = yaml.safe_load((model / "params.yaml").read_text())
    for name, value in params.items():
        other = "resnet" if name == "architecture" else not value if isinstance(value, bool) else value * 2
        set_params(model, **{name: other})
        assert name in changed_stages(trained)["train"]
        set_params(model, **{name: value})
    assert changed_stages(trained) == {}


def test_a_change_of_the_dataset_or_of_its_choice_is_seen(trained: Path) -> None:
    image = next((trained / "datasets/pets/prepared/test").glob("*/*"))
    image.unlink()
    assert changed_stages(trained).keys() >= BOTH
    (trained / "models/pets/model.yaml").write_text("trained_on: datasets/others\n")
    assert "datasets/others/prepared" in changed_stages(trained)["train"]


def test_the_stage_that_models_md_has_for_shards_is_that_of_the_template_but_for_the_folder() -> None:
    [block] = re.findall(r"```yaml\n([^`]*--shards[^`]*)```", pages.read("docs/models.md"))
    described = yaml.safe_load(block)["train"]
    stage = yaml.safe_load((TEMPLATE / "dvc.yaml").read_text())["stages"]["train"]
    assert described["deps"] == [path for path in stage["deps"] if not path.endswith("/prepared")]
    assert described["cmd"].partition("train.py ")[2] == f"{stage['cmd'].partition('train.py ')[2]} --shards"
    stages = {"train": {**stage, **described, "params": [*described["params"], *stage["params"]]}}
    document = Document("dvc.yaml", {"vars": ["model.yaml:trained_on"], "stages": stages}, {})
    assert list(schema.find_faults(document, "pipeline")) == []
    assert models.VERSION in declared_results.stage_parameters(stages["train"])


def test_a_clone_without_data_sees_that_the_dataset_changed_and_fetches_it(trained: Path, tmp_path: Path) -> None:
    """With a part of the dataset as a dependency, DVC 3.67 skips both stages here and keeps the old metrics."""
    next((trained / "datasets/pets/prepared/test").glob("*/*")).unlink()
    away = f"[core]\n    remote = away\n['remote \"away\"']\n    url = {tmp_path / 'away'}\n"
    (trained / ".dvc/config").write_text(away)
    assert main(["--cd", str(trained), "add", "--quiet", "datasets/pets/prepared"]) == 0
    assert main(["--cd", str(trained), "push", "--quiet"]) == 0
    repositories.commit(trained, "one image less")
    repositories.git_in(tmp_path, "clone", "--quiet", str(trained), "clone")
    # In the model's folder: DVC 3.67 looks for missing dependencies from where it is called.
    said = dvc(tmp_path / "clone/models/pets", "repro", "--pull", "--allow-missing", "train")
    assert "Running stage 'train'" in said
    assert len(list((tmp_path / "clone/datasets/pets/prepared/test").glob("*/*"))) == 11


# --- What DVC shows of it ---------------------------------------------------------------------------------------------


def test_dvc_compares_two_trainings(trained: Path) -> None:
    repositories.commit(trained, "trained")
    model = trained / "models/pets"
    set_params(model, architecture="resnet", epochs=1)
    dvc(model, "repro")
    params = json.loads(dvc(trained, "params", "diff", "--json"))["models/pets/params.yaml"]
    assert params["architecture"] == {"old": "vgg", "new": "resnet"}
    metrics = json.loads(dvc(trained, "metrics", "diff", "--json"))
    assert metrics["models/pets/metrics.json"]["loss"]["diff"] != 0
    assert metrics["models/pets/plots/training/metrics.json"]["step"] == {"old": 8, "new": 1, "diff": -7}
    plots = json.loads(dvc(trained, "plots", "diff", "HEAD", "--json"))["data"]
    points = plots["loss"][0]["content"]["data"]["values"]
    assert {(point["rev"], point["filename"]) for point in points} == {
        (rev, f"{split}/loss.tsv") for rev in ("HEAD", "workspace") for split in ("train", "val")
    }
    assert {point["step"] for point in points} == set("12345678")
    assert "accuracy" in plots


def test_dvc_shows_curves_and_the_confusion_matrix(first_training: Path) -> None:
    plots = json.loads(dvc(first_training, "plots", "show", "--json"))
    assert plots.keys() == {"data"}, "an error"
    confusion = plots["data"]["models/pets/plots/confusion.csv"][0]["content"]
    assert confusion["title"]["text"] == "Confusion matrix"
    assert len(confusion["data"]["values"]) == 12
    assert {"loss", "accuracy"} <= plots["data"].keys()
    assert "models/pets/metrics.json" in dvc(first_training, "metrics", "show")
