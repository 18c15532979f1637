"""What becomes of pull requests good, bad and from a fork, of a merge, and of the scheduled jobs.

A skipped job is no failure, so every job that is expected is asserted to have succeeded.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from registry.core.settings import Template
from registry.scaffold import copy, skeleton
from support import repositories, selections, trainable_registry
from support.act_runs import CATALOG, REVIEWED, Trained, World
from support.cloudformation import PRODUCTION
from support.servers.github_answers import Row
from support.servers.looker import LookerServer
from support.workflow_engine import Ran

pytestmark = [pytest.mark.s3, pytest.mark.slow]

RAN = dict.fromkeys(("validate", "train"), "success")


def test_a_merge_publishes(merged: World) -> None:
    ran = merged.push_to_main()
    assert (ran.code, ran.jobs) == (0, {"publish": "success"}), ran.log
    assert "Release manifests are not attested (the variable REGISTRY_ATTEST is not true)" in ran.said["publish"]
    tags = ["datasets/pets@v1.0.0", "models/pets@v1.0.0"]
    assert repositories.git_in(merged.origin, "tag", "--list").splitlines() == tags
    assert sorted(row["tag_name"] for row in merged.github.releases) == tags
    pointer = (merged.root / "datasets/pets/prepared.dvc").read_text()
    md5 = pointer.split("md5: ")[1].split(".dir")[0]
    assert merged.keys(f"files/md5/{md5[:2]}/{md5[2:]}") == {f"files/md5/{md5[:2]}/{md5[2:]}.dir"}


def test_a_dataset_pull_request_is_trained_judged_and_reported_once(trained: Trained) -> None:
    world, head = trained.world, trained.head
    announced = world.review("change", head)
    assert (announced.code, announced.jobs) == (0, {"announce": "success"}), announced.log
    assert (trained.run.code, trained.run.jobs) == (0, RAN), trained.run.log
    reviewed = trained.review()
    assert (reviewed.code, reviewed.jobs) == (0, REVIEWED), reviewed.log
    new = world.tip()
    assert repositories.git_in(world.origin, "rev-parse", "change^") == head
    written = repositories.git_in(world.origin, "diff", "--name-only", head, new).splitlines()
    assert written == ["models/pets/README.md", "models/pets/dvc.lock", "models/pets/metrics.json"]
    assert json.loads(repositories.git_in(world.origin, "show", "change:models/pets/metrics.json"))["images"] == 18
    assert world.gates() == {head: ["pending"], new: ["success"]}
    [comment] = world.github.comments
    assert comment["body"].endswith(f"<!-- registry report commit={new} head={head} -->")
    assert "12 images" in comment["body"] or "8 images" in comment["body"]
    assert f"https://{world.github.host}/acme/registry/raw/" in comment["body"]
    assert "reports" in repositories.git_in(world.origin, "branch", "--list")


def test_a_run_of_the_bots_own_push_changes_nothing(trained: Trained) -> None:
    world = trained.world
    trained.review()
    new, before = world.tip(), len(world.github.calls)
    bot = {"actor": {"login": "github-actions[bot]"}}
    assert world.review("change", new, **bot).jobs == {}
    waiting = world.review("change", new, Ran(), **bot, conclusion="action_required")
    assert waiting.jobs == {}
    assert len(world.github.calls) == before
    # A reviewer approves it: the commit that was judged is judged again, with the same result.
    repositories.git_in(world.root, "pull", "--quiet", "origin", "change")
    run = world.pull_request("change", world.push_branch("change"))
    assert "nothing to train" in run.said["train"]
    assert world.review("change", new, run, **bot).jobs == REVIEWED
    assert world.tip() == new
    assert world.gates()[new] == ["success", "success"]
    [comment] = world.github.comments
    assert "Stale" not in comment["body"]


def test_a_model_trained_by_the_contributor_is_reported(released: World) -> None:
    def change(root: Path) -> None:
        trainable_registry.model(root, "1.1.0", shade=120)
        trainable_registry.train(root)

    head = released.contribute(change)
    _, run, reviewed = released.propose("change", head)
    assert run.jobs == RAN, run.log
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates() == {head: ["pending", "success"]}
    [comment] = released.github.comments
    assert "shade" in comment["body"]


def test_an_invalid_pull_request_is_blocked_with_the_reason(released: World) -> None:
    head = released.contribute(lambda root: trainable_registry.dataset(root, "1.0.1", train=5))
    _, run, reviewed = released.propose("change", head)
    assert run.jobs == {"validate": "failure"}, run.log
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates() == {head: ["pending", "failure"]}
    assert released.github.statuses[-1]["description"].startswith("blocked: version is 1.0.1, expected at least 2.0.0")
    [comment] = released.github.comments
    assert "2 images were removed" in comment["body"]
    assert "set version: 2.0.0" in comment["body"]


def test_a_failed_training_is_reported(released: World) -> None:
    def change(root: Path) -> None:
        trainable_registry.model(root, "1.1.0", shade=120)
        (root / "models/pets/train.py").write_text('"""Fails."""\n\nraise SystemExit("out of memory")\n')

    head = released.contribute(change)
    _, run, reviewed = released.propose("change", head)
    assert run.jobs == RAN | {"train": "failure"}, run.log
    assert "out of memory" in run.said["train"]
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates() == {head: ["pending", "failure"]}
    assert released.github.statuses[-1]["description"].startswith("blocked: changed since the training: train.py")
    assert "the job Train ended with failure" in released.github.comments[0]["body"]
    assert len(released.github.comments) == 1


def test_missing_objects_block_the_merge(released: World) -> None:
    trainable_registry.dataset(released.root, "1.1.0", train=12)
    repositories.registry(released.root, "check", "--fix")
    repositories.commit(released.root, "images that are on one machine only")
    head = released.push_branch("change")
    _, run, reviewed = released.propose("change", head)
    assert run.jobs == RAN | {"train": "failure"}, run.log
    assert run.step("train", "Train models that are out of date") == "not run"
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates() == {head: ["pending", "failure"]}
    [comment] = released.github.comments
    assert "registry push" in comment["body"]


def test_a_change_without_data_needs_no_gpu(released: World) -> None:
    def change(root: Path) -> None:
        (root / "README.md").write_text((root / "README.md").read_text() + "\nMore words.\n")

    head = released.contribute(change)
    _, run, reviewed = released.propose("change", head)
    assert run.jobs == {"validate": "success"}, run.log
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates() == {head: ["pending", "success"]}


def test_the_merge_queue_judges_a_merge(trained: Trained) -> None:
    released = trained.world
    trained.review()
    base, queue = repositories.git_in(released.root, "rev-parse", "origin/main"), "gh-readonly-queue/main/pr-1-0"
    repositories.git_in(released.root, "fetch", "--quiet", "origin")
    repositories.git_in(released.root, "checkout", "--quiet", "--detach", "origin/main")
    repositories.git_in(released.root, "merge", "--quiet", "--no-ff", "--no-verify", "-m", "merge", "origin/change")
    merged = repositories.git_in(released.root, "rev-parse", "HEAD")
    repositories.git_in(released.root, "push", "--quiet", "origin", f"HEAD:refs/heads/{queue}")
    event = {"merge_group": {"base_sha": base, "base_ref": "refs/heads/main"}, "repository": released.repository()}
    run = released.told(released.start("merge_group", "pull-request.yml", event, queue))
    assert run.jobs == {"validate": "success"}, run.log
    reviewed = released.review(queue, merged, run, event="merge_group")
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates()[merged] == ["success"]
    assert len(released.github.comments) == 1


def test_a_pull_request_from_a_fork_is_only_validated(trained: Trained) -> None:
    released, head = trained.world, trained.head
    run = released.pull_request("change", head, fork=True)
    assert run.jobs == {"validate": "success"}, run.log
    fork = {"head_repository": {"full_name": "other/data"}}
    assert released.review("change", head, **fork).jobs == {}
    assert released.review("change", head, run, **fork).jobs == {}
    assert released.github.made() == []
    assert released.tip() == head


@pytest.mark.parametrize(
    ("pull", "words"),
    [({"draft": True}, "a draft: judged when it is ready"), ({"base": "topic"}, "not into main: judged when")],
)
def test_a_draft_and_a_stacked_pull_request_wait_with_words(trained: Trained, pull: Row, words: str) -> None:
    released, head = trained.world, trained.head
    repositories.git_in(released.root, "push", "--quiet", "origin", "main:refs/heads/topic")
    released.github.issues.clear()
    released.github.add_pull("change", sha=head, **pull)
    announced, run, reviewed = released.propose("change", head)
    assert announced.jobs == {"announce": "success"}, announced.log
    assert run.jobs == {"validate": "success"}, run.log
    assert reviewed.jobs == {"judge": "success"}, reviewed.log
    [status] = released.github.statuses
    assert (status["sha"], status["state"]) == (head, "pending")
    assert status["description"].startswith(words)
    assert released.github.comments == []


def test_a_changed_title_ends_no_training_and_judges_nothing(trained: Trained) -> None:
    run = trained.world.pull_request("change", trained.head, action="edited")
    assert run.jobs == {}
    assert trained.world.review("change", trained.head, run).jobs == {}


# --- hostile ----------------------------------------------------------------------------------------------------------


def refused(trained: Trained) -> str:
    """The comment of a review that takes nothing of the training, and blocks."""
    reviewed = trained.review()
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert trained.world.tip() == trained.head
    assert trained.world.gates() == {trained.head: ["failure"]}
    [comment] = trained.world.github.comments
    return str(comment["body"])


def test_a_forged_hand_over_reaches_no_branch_and_blocks(trained: Trained) -> None:
    (trained.results / "models/pets/model.yaml").write_text("version: 9.0.0\n")
    assert "the training results were refused" in refused(trained)


def test_a_lock_of_objects_that_are_nowhere_is_refused(trained: Trained) -> None:
    lock = trained.results / "models/pets/dvc.lock"
    text = lock.read_text()
    md5 = re.search(r"path: model.onnx\n.*?md5: ([0-9a-f]{32})", text, re.DOTALL)[1]
    lock.write_text(text.replace(md5, "ab" * 16))
    refused(trained)


def test_a_lock_of_another_commit_is_refused(trained: Trained) -> None:
    lock = trained.results / "models/pets/dvc.lock"
    lock.write_text(lock.read_text().replace("shade: 150", "shade: 10"))
    refused(trained)


def test_what_the_pull_request_does_to_its_own_workflows_changes_no_verdict(released: World) -> None:
    def change(root: Path) -> None:
        trainable_registry.dataset(root, "1.0.1", train=5)  # blocked
        for name in ("pull-request", "review"):
            file = root / f".github/workflows/{name}.yml"
            text = re.sub(r"^( +)run: .*", r"\1run: echo fine", file.read_text(), flags=re.MULTILINE)
            file.write_text(text)

    head = released.contribute(change)
    _, run, reviewed = released.propose("change", head)
    assert run.conclusion == "success", run.log
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates()[head][-1] == "failure"


@pytest.mark.parametrize(
    ("broken", "tests", "words"),
    [("no", "success", ""), ("ci", "failure", "the job Tests and linters ended with failure")],
)
def test_a_change_of_programs_is_merged_with_its_tests_only(
    released: World, broken: str, tests: str, words: str
) -> None:
    def change(root: Path) -> None:
        (root / "tests").mkdir()
        (root / f"tests/broken-{broken}").write_text("A test.\n")

    head = released.contribute(change)
    _, run, reviewed = released.propose("change", head)
    assert run.jobs == {"validate": "success", "tests": tests}, run.log
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates() == {head: ["pending", tests]}
    [comment] = released.github.comments
    assert words in comment["body"]


def test_a_change_that_drops_the_tests_from_its_own_run_is_blocked(released: World) -> None:
    def change(root: Path) -> None:
        file = root / ".github/workflows/pull-request.yml"
        before, job, after = re.split(r"(?ms)^(  tests:.*?)(?=^  train:)", file.read_text())
        assert "make ci" in job
        file.write_text(before + after)

    head = released.contribute(change)
    _, run, reviewed = released.propose("change", head)
    assert run.conclusion == "success", run.log
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert released.gates()[head][-1] == "failure"
    words = "blocked: programs changed, and the job Tests and linters did not run"
    assert released.github.statuses[-1]["description"] == words


# --- scheduled --------------------------------------------------------------------------------------------------------


def test_nightly_checks_that_pass(trained: Trained) -> None:
    released = trained.world
    repositories.git_in(released.root, "switch", "--quiet", "main")
    ran = released.dispatch("nightly.yml")
    assert (ran.code, ran.jobs) == (
        0,
        {"published": "success", "stores": "success", "models": "success", "record": "success"},
    ), ran.log
    assert "models/pets@v1.0.0: reproduced" in ran.said["models"]
    assert "reproduced" in repositories.git_in(released.origin, "log", "-1", "--format=%s", "registry-reproductions")
    assert released.github.made() == []


def test_nightly_checks_with_a_missing_object(released: World) -> None:
    released.by_act = True
    [lost, *_] = sorted(key for key in released.keys("files/") if not key.endswith(".dir"))
    body = released.server.client().get_object(Bucket=PRODUCTION, Key=lost)["Body"].read()
    released.server.client().delete_object(Bucket=PRODUCTION, Key=lost)
    try:
        ran = released.dispatch("nightly.yml")
    finally:
        released.server.client().put_object(Bucket=PRODUCTION, Key=lost, Body=body)
    assert ran.jobs == {
        "published": "success",
        "stores": "failure",
        "models": "success",
        "record": "success",
        "issue": "success",
    }, ran.log
    [issue] = released.github.issues
    assert issue["labels"] == [{"name": "drift"}]
    assert "missing" in issue["body"]


def test_a_stage_is_assigned_to_a_published_version(released: World) -> None:
    released.by_act = True
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


def test_the_catalog_is_published_after_a_release(released: World, tmp_path: Path) -> None:
    ran = released.after("catalog.yml", "Publish")
    assert (ran.code, ran.jobs) == (0, {"build": "success", "publish": "success"}), ran.log
    with tarfile.open(released.top / "artifacts" / str(ran.id) / "github-pages/artifact.tar") as packed:
        packed.extractall(tmp_path, filter="data")
    assert f'href="{CATALOG}/datasets/pets/v1.0.0/index.html"' in (tmp_path / "feed.xml").read_text()
    index = next(tmp_path.glob("datasets/pets/v1.0.0/items/*/index.js"))  # the role reads production
    assert '"total":' in index.read_text()
    assert not list(tmp_path.rglob("*.webp"))
    assert released.after("catalog.yml", "Publish", conclusion="failure").jobs in ({}, {"build": "skipped"})


def test_a_changed_query_result_becomes_a_pull_request(released: World, looker: LookerServer) -> None:
    released.by_act = True
    looker.rows = selections.rows(30)
    ran = released.dispatch("refresh.yml")
    assert (ran.code, ran.jobs) == (0, {"list": "success", "refresh": "success"}), ran.log
    [pull] = released.github.pulls
    assert pull["title"] == "Refresh datasets/photos: 1.1.0"
    changed = repositories.git_in(released.origin, "diff", "--name-only", "main", "refresh/photos").splitlines()
    assert {"datasets/photos/dataset.yaml", "datasets/photos/prepared.dvc", "datasets/photos/raw.dvc"} <= set(changed)
    assert not any(secret in ran.log for name, secret in released.secrets.items() if name != "LOOKERSDK_BASE_URL")


def test_a_new_registry_is_set_up_once(merged: World) -> None:
    merged.github.users["ada"] = 7
    merged.by_act = True
    ran = merged.push_to_main("template.yml")
    assert (ran.code, ran.jobs) == (0, {"configure": "success"}), ran.log
    told = repositories.git_in(merged.origin, "show", "main:registry.yaml")
    assert "name: registry\n" in told
    assert "owners: ['@ada']" in told  # who made it: the organization @acme cannot own
    assert merged.github.disabled == ["template.yml"]


def test_a_release_of_the_template_becomes_a_pull_request(merged: World) -> None:
    template, workflow = merged.top / "template", ".github/workflows/refresh.yml"
    repositories.git_in(merged.top, "init", "--quiet", str(template))
    (template / workflow).parent.mkdir(parents=True)
    (template / skeleton.TABLE).parent.mkdir(parents=True)
    (template / skeleton.TABLE).write_text(f'owned = ["{workflow}"]\nonce = []\ntooling = []\n')
    text = (merged.root / workflow).read_text()
    for version, name in (("1.0.0", "name: Refresh\n"), ("1.1.0", "name: Refresh datasets\n")):
        (template / "pyproject.toml").write_text(f'project.version = "{version}"\n')
        (template / workflow).write_text(text.replace("name: Refresh\n", name, 1))
        repositories.git_in(template, "tag", f"v{version}", repositories.commit(template, version))
    file = merged.root / "registry.yaml"
    pin = Template(template.as_uri(), "1.0.0", repositories.git_in(template, "rev-parse", "v1.0.0"))
    file.write_bytes(copy.pinned(file.read_bytes(), pin))
    repositories.commit(merged.root, "a copy")
    repositories.git_in(merged.root, "push", "--quiet", "origin", "HEAD:main")
    ran = merged.dispatch("upgrade.yml")
    assert (ran.code, ran.jobs) == (0, {"upgrade": "success"}), ran.log
    [pull] = merged.github.pulls
    assert pull["title"].startswith("Upgrade the template to 1.1.0 (")
    changed = repositories.git_in(merged.origin, "diff", "--name-only", "main", "upgrade").splitlines()
    assert changed == [workflow, "registry.yaml"]
