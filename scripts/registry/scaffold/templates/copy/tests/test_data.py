"""Tests of this registry's own data. Each runs for every dataset or model; the fixtures come with the tooling."""

import json


def test_every_split_has_every_class(dataset, items):
    for (split,), rows in items.group_by("split"):
        assert set(rows["label"]) == set(dataset.manifest.classes), f"in {split}"


def test_every_image_was_selected(selection, items):
    assert set(items["uuid"]) <= set(selection["uuid"])


def test_the_metrics_are_those_of_the_model_file(model, judge):
    recorded = json.loads((model.folder / "metrics.json").read_text())
    assert abs(judge().metrics["accuracy"] - recorded["accuracy"]) < 0.01
