"""What `registry list` and `registry show` say of artifacts and releases."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import copy
from registry.core import consuming, pointers
from registry.core.names import parse_id, parse_tag, parse_version
from registry.core.tree import DictTree
from registry.core.values import Output
from registry.integrations.dvc import dvc
from registry.release import overview
from registry.release.history import Release
from registry.release.notes import Lineage
from support import repositories
from support.repositories import Run, git_in

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


def released(*tags: str) -> list[Release]:
    return [Release(parse_tag(tag), "", 0, None, Lineage(), (), "", "") for tag in tags]


def states(tree: DictTree, *tags: str) -> dict[str, str]:
    return {str(one.artifact): one.state for one in overview.find(tree, released(*tags))}


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


def test_releases_are_sorted_by_version_and_models_are_users() -> None:
    tags = [f"datasets/birds@v{version}" for version in ("1.0.0", "1.10.0", "1.9.0")]
    dataset, model = overview.find(tree(), released(*tags))
    found = tuple(release.tag.version for release in dataset.releases)
    assert found == tuple(map(parse_version, ("1.10.0", "1.9.0", "1.0.0")))
    assert (dataset.used_by, overview.to_json(model)["dataset"]) == ((parse_id("models/birds"),), str(BIRDS))


# --- a registry with two releases -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _world(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_merged, tmp_path_factory.mktemp("world"))

    def run(*args: str) -> None:
        done = repositories.registry(root, *args)
        assert done.returncode == 0, done.stderr

    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"):
            patch.setenv(name, "2026-03-04T05:06:07+01:00")
        run("publish")
        (root / "dvc.yaml").write_text("artifacts: {datasets/pets: {path: datasets/pets/prepared}}\n")
        repositories.dataset(root, "pets", repositories.MORE_PETS, "1.1.0")
        repositories.model(root, "pets", b"weights of 1.1.0", "1.1.0")
        repositories.merge(root, "more pets")
        run("publish")
        run("withdraw", "datasets/pets", "1.0.0", "--why", "wrong labels")
        repositories.merge(root, "withdrawn")
        for number, version, stage in (
            (1, "1.1.0", "prod"),
            (2, "1.0.0", "prod"),
            (3, "1.1.0", "dev"),
            (4, "1.1.0", "dev!"),
        ):
            patch.setenv("GIT_COMMITTER_DATE", f"2026-03-05T00:00:0{number}Z")
            git_in(root, "tag", "-m", "s", f"models/pets#{stage}#{number}", f"models/pets@v{version}^{{}}")
    return root


@pytest.fixture
def world(_world: Path, tmp_path: Path) -> Path:
    """Two releases of pets, of which the first is withdrawn, and a model whose first release is in production."""
    return copy(_world, tmp_path)


def test_the_list_says_what_is_released_from_what_and_for_whom(world: Path, run_registry: Run) -> None:
    done = run_registry(world, "list")
    assert (
        done.out
        == """\
datasets/pets  Pets at home  @acme/vision
  1.1.0 published; used by models/pets
    v1.1.0  2026-03-04  6 images  3.5 kB  used by models/pets@v1.1.0
    v1.0.0  2026-03-04  5 images  3.3 kB  used by models/pets@v1.0.0
      withdrawn: wrong labels

models/pets  Cat or dog  @acme/vision
  1.1.0 published; trained on datasets/pets
    v1.1.0  2026-03-04          accuracy 1  550 bytes  from datasets/pets@v1.1.0
    v1.0.0  2026-03-04  [prod]  accuracy 1  550 bytes  from datasets/pets@v1.0.0 (withdrawn)
"""
    )


def test_an_artifact_and_a_release_are_shown_with_the_commands_that_fetch_them(
    world: Path, run_registry: Run, tmp_path: Path
) -> None:
    shown = run_registry(world, "show", "datasets/pets").out
    assert shown.endswith("""
releases:
  v1.1.0  2026-03-04  6 images  3.5 kB  used by models/pets@v1.1.0
  v1.0.0  2026-03-04  5 images  3.3 kB  used by models/pets@v1.0.0
    withdrawn: wrong labels

fetch the latest with
  registry get datasets/pets@v1.1.0 --repo ../origin.git
  dvc artifacts get ../origin.git datasets/pets --rev v1.1.0
  registry verify datasets/pets@v1.1.0 prepared --repo ../origin.git
""")
    get, fetch, verify = (line.replace("../origin.git", str(world)).split()[1:] for line in shown.splitlines()[-3:])
    assert run_registry(tmp_path, *get).code == 0
    assert len([*(tmp_path / "pets").rglob("*.jpg")]) == 6
    dvc(tmp_path, *fetch, quiet=True)
    assert run_registry(tmp_path, *verify).code == 0
    release = run_registry(world, "show", "models/pets@v1.0.0").out
    assert release.startswith("models/pets@v1.0.0: Cat or dog\npublished 2026-03-04 (")
    assert (
        "\nstage: prod\nmade from datasets/pets@v1.0.0\ndatasets/pets@v1.0.0 is withdrawn: wrong labels\n  hint: use "
        in release
    )
    assert "\naccuracy  1\n" in release
    withdrawn = run_registry(world, "show", "datasets/pets@v1.0.0").out
    assert "\nwithdrawn: wrong labels\nused by models/pets@v1.0.0\n" in withdrawn
    assert "\ncat             2      1       0      3\n" in withdrawn


@pytest.mark.slow
def test_every_snippet_for_a_consumer_works(world: Path, run_registry: Run, tmp_path: Path) -> None:
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    git_in(consumer, "init", "--quiet")
    dvc(consumer, "init", quiet=True)
    get, python, _, follow, images = consuming.snippets(parse_tag("datasets/pets@v1.1.0"), str(world), sidecar=False)
    assert run_registry(consumer, *get.text.split()[1:]).code == 0
    assert run_python(consumer, f"{python.text}\nprint(len(images))\n") == "6\n"
    for line in follow.text.splitlines():
        dvc(consumer, *shlex.split(line, comments=True)[1:], quiet=True)
    code = f"{images.text}\nprint({{name: len(split) for name, split in images.items()}})\n"
    assert run_python(consumer, code) == "{'train': 3, 'validation': 1, 'test': 2}\n"
    _, python, *_ = consuming.snippets(parse_tag("models/pets@v1.1.0"), str(world), sidecar=False)
    code = f"{python.text}\nprint([one.name for one in session.get_outputs()])\n"
    assert run_python(consumer, code) == "['scores']\n"


def run_python(folder: Path, code: str) -> str:
    done = repositories.sh(folder, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_not_there_is_named(world: Path, run_registry: Run) -> None:
    for name, fault, hint in (
        ("datasets/cats", "datasets/cats does not exist", "registry list"),
        ("datasets/pets@v9.0.0", "datasets/pets@v9.0.0 is not published", "registry show datasets/pets"),
    ):
        done = run_registry(world, "show", name)
        assert (done.code, done.err) == (1, f"error: {fault}\n  hint: {hint}\n")


def test_a_tag_that_disagrees_with_its_commit_is_wrong(world: Path, run_registry: Run) -> None:
    for name in ("datasets/pets@v1.2.0", "datasets/pets@v1.0.0!", "datasets/cats@v1.0.0"):
        git_in(world, "tag", "-m", "by hand", name)
    dataset, removed = (json.loads(run_registry(world, "list", "--format", "json").out)[at] for at in (0, -1))
    assert {release["version"]: release["fault"] for release in dataset["releases"]} == {
        "1.2.0": "the manifest of its commit says 1.1.0",
        "1.1.0": None,
        "1.0.0": "gto deprecate cancels it, which `dvc artifacts get` does not obey: registry withdraw does",
    }
    assert (removed["artifact"], removed["state"]) == ("datasets/cats", "removed")
    assert removed["releases"][0]["fault"] == "its commit has no version that can be read"
    assert "    wrong: the manifest of its commit says 1.1.0\n" in run_registry(world, "show", "datasets/pets").out
    git_in(world, "push", "--quiet", "--tags", "origin")
    inspected = run_registry(world, "fsck", "--all-tags")
    assert inspected.code == 1
    assert "datasets/pets: the manifest of this commit says 1.1.0" in inspected.out + inspected.err
    checked = run_registry(world, "check", "--all")
    assert "datasets/pets@v1.2.0 was made by hand: the manifest of its commit says 1.1.0" in checked.out


def test_stages_are_those_of_gto_and_of_dvc(world: Path, run_registry: Run) -> None:
    from gto.cli import app

    done = CliRunner().invoke(app, ["show", "--repo", str(world), "--json"])
    listed = json.loads(run_registry(world, "list", "--format", "json").out)[1]["releases"]
    ours = {stage: release["version"] for release in listed for stage in release["stages"]}
    assert ours == {"prod": "1.0.0"}
    stages = json.loads(done.output)["models/pets"]["stage"]
    assert {stage: version for stage, version in stages.items() if version} == {"prod": "v1.0.0"}


def test_json_has_the_same_facts(world: Path, run_registry: Run) -> None:
    dataset, model = json.loads(run_registry(world, "list", "--format", "json").out)
    assert [release["tag"] for release in dataset["releases"]] == ["datasets/pets@v1.1.0", "datasets/pets@v1.0.0"]
    newest, first = model["releases"]
    assert (newest["published"], newest["dataset"]) == ("2026-03-04T04:06:07+00:00", "datasets/pets@v1.1.0")
    assert (newest["stages"], first["stages"]) == ([], ["prod"])
    assert dataset["releases"][1]["withdrawn"] == "wrong labels"
    assert dataset["releases"][0]["used_by"] == ["models/pets@v1.1.0"]
    shown = json.loads(run_registry(world, "show", "models/pets@v1.0.0", "--format", "json").out)
    assert shown == first
