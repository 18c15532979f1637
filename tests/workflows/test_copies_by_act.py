"""Every workflow of a thin copy, run by act with the tooling that the copy pins."""

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from registry.core.settings import Template
from support import copy_worlds, repositories, selections, trainable_registry
from support.act_runs import World
from support.repositories import git_in
from support.servers.looker import LookerServer

pytestmark = pytest.mark.slow

# Every workflow of a copy, with the jobs that succeed in a run where nothing is wrong.
WORKFLOWS = {
    "assign.yml": {"assign"},
    "catalog.yml": {"build", "publish"},
    "nightly.yml": {"published", "stores", "models", "record"},
    "publish.yml": {"publish"},
    "pull-request.yml": {"validate", "train", "tests"},
    "refresh.yml": {"list", "refresh"},
    "review.yml": {"judge", "comment"},
    "upgrade.yml": {"upgrade"},
}
# Other jobs, and when they are run.
OTHERS = {
    "nightly.yml": {"issue": "after a failure, below"},
    "publish.yml": {"attest": "in a public repository, where GitHub signs; tests/release/test_github_assets.py"},
    "review.yml": {"announce": "when a run is requested, below"},
}

ROWS = selections.rows(30, seed=8)  # of the first 20, every split has both classes


def green(workflow: str) -> dict[str, str]:
    return dict.fromkeys(WORKFLOWS[workflow], "success")


def deliver(root: Path) -> None:
    """Put the images of datasets/pets into the lake."""
    shutil.copytree(root / ".registry/lake", root.parent / "storage/lake", dirs_exist_ok=True)


@pytest.fixture(scope="module")
def looker() -> Iterator[LookerServer]:
    """The Looker that datasets/photos asks; it knows 20 images, and 30 are in the lake."""
    with LookerServer(ROWS[:20]).serve() as server:
        yield server


@pytest.fixture(scope="module")
def secrets(looker: LookerServer) -> dict[str, str]:
    return {name: value for name, value in looker.env().items() if name.startswith("LOOKERSDK_")}


@pytest.fixture(scope="module")
def _published(
    template: Path, wheel: Template, secrets: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    top = tmp_path_factory.mktemp("copy") / "world"

    def fill(root: Path) -> None:
        trainable_registry.found(root)
        repositories.commit(root, "pets")
        deliver(root)
        (root / "datasets/photos").mkdir()
        (root / "datasets/photos/dataset.yaml").write_bytes(selections.text())
        for number, row in enumerate(ROWS):
            image = Image.new("RGB", (9 + number, 9), (number, 99, 9))
            image.save(top / f"storage/lake/{row['images.uuid']}.jpg")
        done = repositories.registry(root, "refresh", "datasets/photos", env={**os.environ, **secrets})
        assert done.returncode == 0, done.stderr

    copy_worlds.make_thin(top, template, wheel, fill)
    with copy_worlds.world(top) as world:
        world.by_act = True
        ran = world.push_to_main()
        assert ran.jobs == green("publish.yml"), ran.log
        releases = ["datasets/pets@v1.0.0", "datasets/photos@v1.0.0", "models/pets@v1.0.0"]
        assert sorted(row["tag_name"] for row in world.github.releases) == releases
    git_in(top / "registry", "fetch", "--quiet", "--tags", "origin")
    shutil.copytree(top, top.with_name("kept"), symlinks=True)
    return top


@pytest.fixture
def copy(_published: Path, secrets: dict[str, str]) -> Iterator[World]:
    """A thin copy with two datasets and a model, which publish.yml published; at one place, since settings name it."""
    shutil.rmtree(_published)
    shutil.copytree(_published.with_name("kept"), _published, symlinks=True)
    with copy_worlds.world(_published) as world:
        world.by_act, world.secrets = True, secrets
        yield world


def test_every_workflow_and_job_of_a_copy_is_in_the_table(copy: World) -> None:
    files = sorted((copy.root / ".github/workflows").iterdir())
    jobs = {file.name: set(yaml.safe_load(file.read_text())["jobs"]) for file in files}
    assert jobs == {name: WORKFLOWS[name] | OTHERS.get(name, {}).keys() for name in WORKFLOWS}


def test_a_pull_request_is_validated_trained_tested_and_reviewed(copy: World) -> None:
    trainable_registry.grow(copy.root)
    deliver(copy.root)
    (copy.root / "tests/test_ours.py").write_text("def test_ours(dataset):\n    assert dataset.manifest.version\n")
    head = copy.contribute(lambda _: None)
    announced, run, reviewed = copy.propose("change", head)
    assert announced.jobs == {"announce": "success"}, announced.log
    assert run.jobs == green("pull-request.yml"), run.log
    assert "passed" in run.said["tests"]
    assert reviewed.jobs == green("review.yml"), reviewed.log
    assert copy.gates() == {head: ["pending"], copy.tip(): ["success"]}
    [comment] = copy.github.comments
    assert "8 images added" in comment["body"]


def test_a_stage_is_assigned(copy: World) -> None:
    ran = copy.dispatch("assign.yml", artifact="models/pets", version="1.0.0", stage="prod")
    assert ran.jobs == green("assign.yml"), ran.log
    assert "models/pets#prod#1" in git_in(copy.origin, "tag", "--list").splitlines()


def test_the_catalog_is_published_after_a_release(copy: World) -> None:
    ran = copy.after("catalog.yml", "Publish")
    assert ran.jobs == green("catalog.yml"), ran.log
    with tarfile.open(copy.top / "artifacts" / str(ran.id) / "github-pages/artifact.tar") as packed:
        assert "./models/pets/v1.0.0/index.html" in packed.getnames()


def test_every_night_stores_are_verified_and_models_reproduced(copy: World) -> None:
    ran = copy.dispatch("nightly.yml")
    assert ran.jobs == green("nightly.yml"), ran.log
    assert "models/pets@v1.0.0: reproduced" in ran.said["models"]
    objects = (copy.top / "storage/production/files/md5").rglob("*")
    next(file for file in objects if file.is_file() and file.suffix != ".dir").unlink()
    ran = copy.dispatch("nightly.yml")
    assert ran.jobs == {**green("nightly.yml"), "stores": "failure", "issue": "success"}, ran.log
    [issue] = copy.github.issues
    assert "missing" in issue["body"]


def test_a_changed_query_result_is_proposed(copy: World, looker: LookerServer) -> None:
    looker.rows = ROWS
    ran = copy.dispatch("refresh.yml")
    assert ran.jobs == green("refresh.yml"), ran.log
    assert [pull["title"] for pull in copy.github.pulls] == ["Refresh datasets/photos: 1.1.0"]


def test_a_release_of_the_template_is_proposed(copy: World, template: Path, wheel: Template, tmp_path: Path) -> None:
    copy_worlds.build_next(template, wheel, tmp_path)
    ran = copy.dispatch("upgrade.yml")
    assert ran.jobs == green("upgrade.yml"), ran.log
    assert copy.github.pulls[0]["title"].startswith("Upgrade the template to 1.1.0 (")
