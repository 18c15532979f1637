"""Metrics with their direction, parameters and curves of two versions."""

import json

import pytest

from registry.core import artifact_files
from registry.core.names import parse_id
from registry.core.tree import DictTree
from registry.model import metrics
from registry.model.changes import MetricChange, ParamChange, Role

PETS = parse_id("models/pets")


@pytest.mark.parametrize(
    ("name", "rises"),
    [
        ("accuracy", True),
        ("macro_f1", True),
        ("per_class.Great Dane.recall", True),
        ("val/loss", False),
        ("ece", False),
        ("top5-error", False),
        ("images", None),
        ("loss.images", None),
    ],
)
def test_which_way_is_better(name: str, rises: bool | None) -> None:
    assert metrics.is_higher_better(name) is rises


def test_metrics_of_both_versions() -> None:
    old = {"accuracy": 0.9, "loss": 0.5, "gone": 1, "images": 5, "same": 1}
    new = {"accuracy": 0.8, "loss": 0.25, "images": 6, "same": 1, "ece": None, "f1": float("inf")}
    assert metrics.compare_metrics(old, new) == (
        MetricChange("accuracy", 0.9, 0.8, False),
        MetricChange("loss", 0.5, 0.25, True),
        MetricChange("images", 5.0, 6.0, None),
        MetricChange("same", 1.0, 1.0, None),
        MetricChange("ece", None, None, None),
        MetricChange("f1", None, None, None),
        MetricChange("gone", 1.0, None, None),
    )


def test_parameters_that_differ() -> None:
    old = {"params.yaml": {"width": 4, "rate": 0.1, "net": {"kind": "vgg"}}, "other.yaml": {"flip": True}}
    new = {"params.yaml": {"width": 8, "rate": 0.1, "net": {"kind": "resnet"}, "seed": 1}}
    assert metrics.compare_params(json.dumps(old), json.dumps(new)) == (
        ParamChange("other.yaml:flip", "true", None),
        ParamChange("net.kind", "vgg", "resnet"),
        ParamChange("seed", None, "1"),
        ParamChange("width", "4", "8"),
    )
    assert metrics.compare_params("", "") == ()


def test_curves_of_both_versions() -> None:
    folder = "models/pets/plots"
    old = {f"{folder}/training/plots/metrics/val/loss.tsv": b"step\tloss\n1\t0.5\n2\t\n3\tnan\n"}
    new = {f"{folder}/learning.tsv": b"step\tbatch\trate\n1\t2\t0.25\n", f"{folder}/x.tsv": b"a\tb\n1\t2\n"}
    found = metrics.read_curves(
        {Role.BASE: artifact_files.list_files(DictTree(old)), Role.NEW: artifact_files.list_files(DictTree(new))}, PETS
    )
    rows = [row for row in found.rows() if row[3] == row[3]]
    assert rows == [("base", "val/loss", 1, 0.5), ("new", "learning", 1, 0.25)]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"step\n1\n", b"step\tloss\n1\t2\t3\n"])
def test_what_is_no_curve_is_left_out(data: bytes) -> None:
    tree = DictTree({"models/pets/plots/x.tsv": data})
    assert metrics.read_curves({Role.NEW: artifact_files.list_files(tree)}, PETS) is None
