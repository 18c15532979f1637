"""The workflows run by act: pull requests good, bad and from a fork, and a merge.

That a job is skipped is no failure to act, so every job that is expected is asserted to have succeeded.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from registry.demo.seaweedfs import S3Server
from support import act_runs, repositories, selections, trainable_registry
from support.act_runs import World
from support.cloudformation import PRODUCTION, STAGING
from support.servers.github_state import say
from support.servers.looker import LookerServer

pytestmark = [pytest.mark.s3, pytest.mark.slow]

ALL_GOOD = dict.fromkeys(("scope", "validate", "stale", "train", "comment", "gate"), "success")
WATERMARK = "![](https://cml.dev/watermark.png#registry_report)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3"), buckets=(STAGING, PRODUCTION), policies=act_runs.roles()) as server:
        yield server


@pytest.fixture(scope="module")
def _merged(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("merged") / "world"
    act_runs.found(top, server, trainable_registry.found)
    return top


@pytest.fixture
def merged(_merged: Path, server: S3Server, tmp_path: Path) -> Iterator[World]:
    """A world whose main has datasets/pets and models/pets 1.0.0, not published yet."""
    shutil.copytree(_merged, tmp_path / "world", symlinks=True)
    with act_runs.world(tmp_path / "world", server) as world:
        yield world


@pytest.fixture(scope="module")
def _released(_merged: Path, server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("released") / "world"
    shutil.copytree(_merged, top, symlinks=True)
    act_runs.command(top / "registry", server, "publish", role="AWS_PUBLISH_ROLE")
    return top


@pytest.fixture
def released(_released: Path, server: S3Server, tmp_path: Path) -> Iterator[World]:
    """`merged`, published."""
    shutil.copytree(_released, tmp_path / "world", symlinks=True)
    with act_runs.world(tmp_path / "world", server) as world:
        yield world


def propose(world: World, change: Callable[[Path], None], branch: str = "change") -> str:
    """Commit a change, push its objects and then itself, as the hooks would; the head."""
    change(world.root)
    repositories.registry(world.root, "check", "--fix")
    repositories.commit(world.root, branch)
    world.run("push")
    return world.push_branch(branch)


def grow(root: Path) -> None:
    trainable_registry.dataset(root, "1.1.0", train=9, test=9)
    manifest = root / "models/pets/model.yaml"
    manifest.write_text(manifest.read_text().replace("version: 1.0.0", "version: 1.1.0"))


def test_a_merge_publishes(merged: World) -> None:
    ran = merged.push_to_main()
    assert (ran.code, ran.jobs) == (0, {"publish": "success"}), ran.log
    tags = ["datasets/pets@v1.0.0", "models/pets@v1.0.0"]
    assert repositories.git_in(merged.origin, "tag", "--list").splitlines() == tags
    assert sorted(row["tag_name"] for row in merged.github.releases) == tags
    pointer = (merged.root / "datasets/pets/prepared.dvc").read_text()
    md5 = pointer.split("md5: ")[1].split(".dir")[0]
    assert merged.keys(f"files/md5/{md5[:2]}/{md5[2:]}") == {f"files/md5/{md5[:2]}/{md5[2:]}.dir"}


def test_a_dataset_pull_request_is_trained_and_reported_once(released: World) -> None:
    head = propose(released, grow)
    ran = released.pull_request("change", head)
    assert (ran.code, ran.jobs) == (0, ALL_GOOD), ran.log
    new = repositories.git_in(released.origin, "rev-parse", "change")
    assert repositories.git_in(released.origin, "rev-parse", "change^") == head
    written = repositories.git_in(released.origin, "diff", "--name-only", head, new).splitlines()
    assert written == ["models/pets/dvc.lock", "models/pets/metrics.json"]
    assert json.loads(repositories.git_in(released.origin, "show", "change:models/pets/metrics.json"))["images"] == 18
    assert released.github.status_of(new) == {"registry/gate": "success"}
    assert released.github.status_of(head) == {}
    [comment] = released.github.comments
    assert WATERMARK in comment["body"]
    assert "12 images" in comment["body"] or "8 images" in comment["body"]
    assert f"https://{released.github.host}/acme/registry/raw/" in comment["body"]
    assert "reports" in repositories.git_in(released.origin, "branch", "--list")

    text = comment["body"]
    comment["body"] = f"> **Stale**: a run before is making the report of 5.\n\n{text}"  # and was cancelled
    quoted = say(released.github, 1, f"What about this?\n\n{text}")
    quoted["user"] = {"login": "ada", "id": 7, "type": "User"}
    repositories.git_in(released.root, "pull", "--quiet", "origin", "change")
    ran = released.pull_request("change", released.push_branch("change"))
    assert (ran.code, ran.jobs) == (0, ALL_GOOD), ran.log
    assert "nothing to train" in ran.said["train"]
    assert repositories.git_in(released.origin, "rev-parse", "change") == new
    patches = [call for call in released.github.calls if (call.method, "comment_id" in call.values) == ("PATCH", True)]
    assert {call.values["comment_id"] for call in patches} == {str(comment["id"])}
    marked, replaced = (call.body["body"] for call in patches)
    words, _, rest = marked.partition("\n\n")
    assert words.startswith("> **Stale**: [a run](")
    assert words.endswith(f" is making the report of {new[:10]}.")
    assert rest == text
    assert replaced == comment["body"]
    assert "Stale" not in replaced


def test_a_model_trained_by_the_contributor_is_reported_even_without_cml(released: World) -> None:
    def change(root: Path) -> None:
        trainable_registry.model(root, "1.1.0", shade=120)
        trainable_registry.train(root)

    head = propose(released, change)
    released.cml = False
    ran = released.pull_request("change", head)
    assert (ran.code, ran.jobs) == (0, ALL_GOOD), ran.log
    assert ran.step("comment", "Post the report with CML") == "not run"
    assert released.github.status_of(head) == {"registry/gate": "success"}
    [comment] = released.github.comments
    assert "shade" in comment["body"]
    assert WATERMARK not in comment["body"]


def test_an_invalid_pull_request_is_blocked_with_the_reason(released: World) -> None:
    head = propose(released, lambda root: trainable_registry.dataset(root, "1.0.1", train=5))
    ran = released.pull_request("change", head)
    assert ran.jobs == ALL_GOOD | {"validate": "failure", "gate": "failure"}, ran.log
    assert ran.step("train", "Train models that are out of date") == "not run"
    assert released.github.status_of(head) == {"registry/gate": "failure"}
    [status] = released.github.statuses
    assert status["description"].startswith("blocked: ")
    [comment] = released.github.comments
    assert "2 images were removed" in comment["body"]
    assert "set version: 2.0.0" in comment["body"]


def test_a_failed_training_is_reported(released: World) -> None:
    def change(root: Path) -> None:
        trainable_registry.model(root, "1.1.0", shade=120)
        (root / "models/pets/train.py").write_text('"""Fails."""\n\nraise SystemExit("out of memory")\n')

    head = propose(released, change)
    ran = released.pull_request("change", head)
    assert ran.jobs == ALL_GOOD | {"train": "failure", "gate": "failure"}, ran.log
    assert "out of memory" in ran.said["train"]
    [status] = released.github.statuses
    assert (status["sha"], status["state"]) == (head, "failure")
    assert status["description"].startswith(("blocked: ", "train: failure ("))
    assert len(released.github.comments) == 1


def test_missing_objects_block_the_merge(released: World) -> None:
    trainable_registry.dataset(released.root, "1.1.0", train=12)
    repositories.registry(released.root, "check", "--fix")
    repositories.commit(released.root, "images that are on one machine only")
    head = released.push_branch("change")
    ran = released.pull_request("change", head)
    assert ran.jobs == ALL_GOOD | {"gate": "failure"}, ran.log
    assert ran.step("train", "Train models that are out of date") == "not run"
    assert released.github.status_of(head) == {"registry/gate": "failure"}
    [comment] = released.github.comments
    assert "registry push" in comment["body"]


def test_a_metadata_change_needs_no_gpu(released: World) -> None:
    def change(root: Path) -> None:
        (root / "README.md").write_text((root / "README.md").read_text() + "\nMore words.\n")

    head = propose(released, change)
    ran = released.pull_request("change", head)
    assert (ran.code, ran.jobs) == (0, dict.fromkeys(("scope", "validate", "pass", "gate"), "success")), ran.log
    assert released.github.status_of(head) == {"registry/gate": "success"}


def test_the_merge_queue_validates_a_merge(released: World) -> None:
    base = repositories.git_in(released.root, "rev-parse", "main")
    event = {"merge_group": {"base_sha": base, "base_ref": "refs/heads/main"}, "repository": released.repository()}
    ran = released.act("merge_group", "pull-request.yml", event, "main")
    assert (ran.code, ran.jobs) == (0, dict.fromkeys(("validate", "pass", "gate"), "success")), ran.log
    [status] = released.github.statuses
    assert (status["context"], status["state"]) == ("registry/gate", "success")


def test_a_pull_request_from_a_fork_is_only_validated(released: World) -> None:
    head = propose(released, grow)
    ran = released.pull_request("change", head, fork=True)
    assert (ran.code, ran.jobs) == (0, dict.fromkeys(("scope", "validate", "gate"), "success")), ran.log
    assert released.github.made() == []
    assert repositories.git_in(released.origin, "rev-parse", "change") == head


# --- scheduled --------------------------------------------------------------------------------------------------------


def test_nightly_checks_that_pass(released: World) -> None:
    propose(released, grow)
    repositories.git_in(released.root, "switch", "--quiet", "main")
    ran = released.dispatch("nightly.yml")
    assert (ran.code, ran.jobs) == (0, {"stores": "success", "models": "success"}), ran.log
    assert "models/pets@v1.0.0: reproduced" in ran.said["models"]
    assert released.github.made() == []


def test_nightly_checks_with_a_missing_object(released: World) -> None:
    [lost, *_] = sorted(key for key in released.keys("files/") if not key.endswith(".dir"))
    body = released.server.client().get_object(Bucket=PRODUCTION, Key=lost)["Body"].read()
    released.server.client().delete_object(Bucket=PRODUCTION, Key=lost)
    try:
        ran = released.dispatch("nightly.yml")
    finally:
        released.server.client().put_object(Bucket=PRODUCTION, Key=lost, Body=body)
    assert ran.jobs == {"stores": "failure", "models": "success", "issue": "success"}, ran.log
    [issue] = released.github.issues
    assert issue["labels"] == [{"name": "drift"}]
    assert "missing" in issue["body"]


def test_a_stage_is_assigned_to_a_published_version(released: World) -> None:
    ran = released.dispatch("assign.yml", artifact="models/pets", version="1.0.0", stage="prod")
    assert (ran.code, ran.jobs) == (0, {"assign": "success"}), ran.log
    assert "models/pets#prod#1" in repositories.git_in(released.origin, "tag", "--list").splitlines()
    assert released.dispatch("assign.yml", artifact="models/pets", version="9.0.0", stage="prod").code == 1


@pytest.fixture
def looker(released: World) -> Iterator[LookerServer]:
    """The Looker that datasets/photos asks; its first answer is merged and published, its images are in the lake."""
    with LookerServer(selections.rows(20)).serve() as server:
        secrets = {name: value for name, value in server.env().items() if name.startswith("LOOKERSDK_")}
        folder = released.root / "datasets/photos"
        folder.mkdir()
        (folder / "dataset.yaml").write_bytes(selections.text())
        lake = released.top / "lake"
        lake.mkdir()
        for number, row in enumerate(selections.rows(30)):
            Image.new("RGB", (9 + number, 9), (number, 99, 9)).save(lake / f"{row['images.uuid']}.jpg")
        settings = released.root / "registry.yaml"
        settings.write_text(settings.read_text().replace("lake: .registry/lake", f"lake: {lake}"))
        released.run("refresh", "datasets/photos", **secrets)
        repositories.registry(released.root, "check", "--fix")
        repositories.commit(released.root, "photos")
        repositories.git_in(released.root, "push", "--quiet", "origin", "HEAD:main")
        released.run("publish", role="AWS_PUBLISH_ROLE")
        released.secrets = secrets
        yield server


def test_a_changed_query_result_becomes_a_pull_request(released: World, looker: LookerServer) -> None:
    looker.rows = selections.rows(30)
    ran = released.dispatch("refresh.yml")
    assert (ran.code, ran.jobs) == (0, {"list": "success", "refresh": "success"}), ran.log
    [pull] = released.github.pulls
    assert pull["title"] == "Refresh datasets/photos: 1.1.0"
    changed = repositories.git_in(released.origin, "diff", "--name-only", "main", "refresh/photos").splitlines()
    assert {"datasets/photos/dataset.yaml", "datasets/photos/prepared.dvc", "datasets/photos/raw.dvc"} <= set(changed)
    assert not any(secret in ran.log for name, secret in released.secrets.items() if name != "LOOKERSDK_BASE_URL")


def test_a_new_registry_is_set_up_once(merged: World) -> None:
    ran = merged.push_to_main("template.yml")
    assert (ran.code, ran.jobs) == (0, {"configure": "success"}), ran.log
    told = repositories.git_in(merged.origin, "show", "main:registry.yaml")
    assert "name: registry\n" in told
    assert "@acme" in told
    assert merged.github.disabled == ["template.yml"]
