"""Whoever takes data of a withdrawn version is told, by each command that fetches, links or uses it."""

import json
from pathlib import Path

import pytest

from registry.core import withdrawals
from registry.core.names import parse_tag, parse_version
from registry.core.withdrawals import Withdrawal
from support import repositories
from support.repositories import Run, git_in

OLD, NEW = "datasets/pets@v1.0.0", "datasets/pets@v1.1.0"
TOLD = f"warning: {OLD} is withdrawn: labels were swapped\n  hint: use {NEW}\n"
MODEL = "warning: models/pets@v1.0.0 is withdrawn: overfits\n"


@pytest.fixture
def withdrawn(released_model: Path, run_registry: Run) -> Path:
    """Two releases of datasets/pets, of which the first is withdrawn, and a withdrawn model; all of it is pushed."""
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.merge(released_model, "more pets")
    assert run_registry(released_model, "publish").code == 0
    for name, why in (("datasets/pets", "labels were swapped"), ("models/pets", "overfits")):
        assert run_registry(released_model, "withdraw", name, "1.0.0", "--why", why).code == 0
    repositories.merge(released_model, "withdrawn")
    return released_model


def test_the_version_to_take_instead_is_the_latest_that_is_left() -> None:
    tags = [parse_tag(f"datasets/pets@v{version}") for version in ("1.0.0", "1.9.0", "1.10.0", "2.0.0")]
    bad = {parse_version("1.9.0"): "bad", parse_version("2.0.0"): "worse"}
    released = [*tags, parse_tag("datasets/birds@v3.0.0")]
    assert withdrawals.find(tags[0], bad, released) is None
    assert withdrawals.find(tags[1], bad, released) == Withdrawal(tags[1], "bad", tags[2])
    assert str(withdrawals.find(tags[3], bad, released)).endswith(
        "is withdrawn: worse\n  hint: use datasets/pets@v1.10.0"
    )
    assert str(withdrawals.find(tags[3], bad, [tags[1], tags[3]])) == "datasets/pets@v2.0.0 is withdrawn: worse"


def test_pull_of_an_old_tag_and_of_a_part_of_it(withdrawn: Path, run_registry: Run) -> None:
    done = run_registry(withdrawn, "pull", "datasets/pets/prepared/train", "--rev", OLD)
    assert (done.code, done.err) == (0, TOLD)
    assert run_registry(withdrawn, "pull", "--rev", "models/pets@v1.0.0").err == TOLD + MODEL
    assert run_registry(withdrawn, "pull", "datasets/pets", "--rev", NEW).err == ""
    assert run_registry(withdrawn, "pull", "datasets/pets").err == ""


def test_pull_checkout_list_and_show_in_an_older_commit(withdrawn: Path, run_registry: Run) -> None:
    """Whose manifests know nothing of the withdrawal: the default branch does."""
    git_in(withdrawn, "switch", "--quiet", "--detach", "models/pets@v1.0.0")
    assert run_registry(withdrawn, "pull", "datasets/pets").err == TOLD
    done = run_registry(withdrawn, "checkout")
    assert (done.code, TOLD in done.err, MODEL in done.err) == (0, True, True)
    assert "\nwithdrawn: labels were swapped\n" in run_registry(withdrawn, "show", OLD).out
    assert "      withdrawn: labels were swapped\n" in run_registry(withdrawn, "list").out


def test_the_hook_tells_who_has_data(withdrawn: Path, run_registry: Run) -> None:
    assert run_registry(withdrawn, "pull", "datasets/pets").code == 0
    assert run_registry(withdrawn, "checkout").code == 0
    git_in(withdrawn, "switch", "--quiet", "--detach", OLD)
    done = run_registry(withdrawn, "checkout", "--hook")
    assert (done.code, TOLD in done.err) == (0, True)
    assert run_registry(withdrawn, "checkout", "--hook").err == ""
    git_in(withdrawn, "switch", "--quiet", "-")
    assert OLD not in run_registry(withdrawn, "checkout", "--hook").err


def test_diff_and_verify(withdrawn: Path, run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(withdrawn, "diff", OLD, NEW, "--format", "json")
    assert (done.err, json.loads(done.out)["datasets"][0]["id"]) == (TOLD, "datasets/pets")
    assert "withdrawn" not in run_registry(withdrawn, "diff", NEW, "datasets/pets").err
    repo = f"file://{withdrawn.parent}/origin.git"
    assert TOLD in run_registry(tmp_path, "verify", OLD, str(withdrawn / "datasets"), "--repo", repo).err


def test_what_is_made_of_a_withdrawn_version(withdrawn: Path, run_registry: Run) -> None:
    """A new model, a training and a measurement; here the dataset's version of now is withdrawn."""
    assert run_registry(withdrawn, "withdraw", "datasets/pets", "1.1.0", "--why", "worse").code == 0
    repositories.commit(withdrawn, "withdrawn")
    told = f"warning: {NEW} is withdrawn: worse\n"
    assert run_registry(withdrawn, "new", "model", "dogs", "--trained-on", "datasets/pets").err.startswith(told)
    assert run_registry(withdrawn, "pull", "datasets/pets").err == told
    done = run_registry(
        withdrawn, "evaluate", "models/pets/model.onnx", "--data", "datasets/pets/prepared", "--metrics", "m.json"
    )
    assert done.err.startswith(told)


def test_a_manifest_that_cannot_be_read_is_told(withdrawn: Path, run_registry: Run) -> None:
    """Such as one of a later schema on the default branch."""
    manifest = withdrawn / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("schema: 1", "schema: 2"))
    repositories.merge(withdrawn, "schema 2")
    done = run_registry(withdrawn, "pull", "datasets/pets", "--rev", OLD)
    assert done.err.startswith(f"warning: whether {OLD} is withdrawn is not known: datasets/pets/dataset.yaml")
    assert done.code == 0
