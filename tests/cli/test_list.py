from dataclasses import replace

from registry.cli.commands.list import find_rows
from registry.core import pointers
from registry.core.names import parse_id, parse_tag, parse_version
from registry.core.tree import DictTree
from registry.core.values import Output

HEAD = """schema: 1
name: birds
version: {}
title: Birds
description: Birds.
owners: ['@acme/birds']
license: CC0-1.0
"""
DATASET = (
    HEAD
    + """source: {{export: {{description: by hand}}}}
image: '{{uuid}}.jpg'
classes: [tit]
columns: {{uuid: {{type: uuid}}, label: {{type: string}}}}
split: {{salt: s, ratios: {{train: 1, val: 0, test: 0}}}}
"""
)
MODEL = HEAD + "trained_on: datasets/birds\nintended_use: Looking.\n"
BIRDS = parse_id("datasets/birds")


def tree(dataset: str = DATASET, version: str = "1.0.0", **more: bytes) -> DictTree:
    return DictTree(
        {
            "datasets/birds/dataset.yaml": dataset.format(version).encode(),
            "models/birds/model.yaml": MODEL.format("1.0.0").encode(),
            **{path.replace("__", "/"): data for path, data in more.items()},
        }
    )


def states(tree: DictTree, *tags: str) -> dict[str, str]:
    return {str(row.artifact): row.state for row in find_rows(tree, [parse_tag(tag) for tag in tags])}


def test_states_follow_pointers_and_tags() -> None:
    assert states(tree()) == {"datasets/birds": "not built", "models/birds": "not trained"}
    files = {entry.path: tree().read(entry.path) for entry in tree().list()}
    output = Output("datasets/birds/prepared", f"{'0' * 32}.dir", 1, 1)
    built = DictTree({**files, "datasets/birds/prepared.dvc": pointers.write_pointer(output, {})})
    elsewhere = DictTree(
        {**files, "datasets/birds/prepared.dvc": pointers.write_pointer(replace(output, path="x"), {})}
    )
    assert states(elsewhere)["datasets/birds"] == "invalid files"
    assert states(built)["datasets/birds"] == "to publish"
    assert states(built, "datasets/birds@v1.0.0")["datasets/birds"] == "published"
    assert (
        states(tree(DATASET + "withdrawn: {{1.0.0: wrong}}\n"), "datasets/birds@v1.0.0")["datasets/birds"]
        == "withdrawn"
    )
    assert states(tree("schema: 2\n"))["datasets/birds"] == "invalid manifest"
    assert states(tree(), "datasets/old@v1.0.0")["datasets/old"] == "removed"


def test_rows_have_versions_and_users() -> None:
    tags = [parse_tag(f"datasets/birds@v{version}") for version in ("1.0.0", "1.10.0", "1.9.0")]
    dataset, model = find_rows(tree(), tags)
    assert dataset.published == tuple(map(parse_version, ("1.10.0", "1.9.0", "1.0.0")))
    assert (dataset.used_by, model.dataset) == ((parse_id("models/birds"),), BIRDS)
