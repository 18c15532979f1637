"""A call that fails, or a job that dies, in the middle of a review: whatever is run again, the end is the same.

The table is (what fails, how) × (what is run again). The end: the judged commit on the branch, a successful gate on it,
one report that is not marked as outdated.
"""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.demo.seaweedfs import S3Server
from support import act_runs, repositories, trainable_registry
from support.act_runs import Ran, World
from support.servers.github_state import Fault

pytestmark = [pytest.mark.s3, pytest.mark.slow]

REVIEWED = {"judge": "success", "comment": "success"}


class Trained:
    """A world in which a pull request was trained and not reviewed yet."""

    def __init__(self, world: World, run: Ran) -> None:
        self.world, self.run = world, run
        self.head = world.tip()
        world.github.add_pull("change", sha=self.head)

    def review(self, again: Ran | None = None) -> Ran:
        return self.world.review("change", self.head, self.run, again)

    def require_end(self, reviewed: Ran) -> None:
        """The state in which every way has to end."""
        world, tip = self.world, self.world.tip()
        assert reviewed.jobs == REVIEWED, reviewed.log
        assert repositories.git_in(world.origin, "rev-parse", f"{tip}^") == self.head
        assert world.github.status_of(tip) == {"registry/gate": "success"}
        [comment] = world.github.comments
        assert "Stale" not in comment["body"]
        assert "## ✅ Ready" in comment["body"] or "## ⚠️ Needs an owner" in comment["body"]


@pytest.fixture(scope="session")
def _trained(_released: Path, server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    top = tmp_path_factory.mktemp("trained") / "world"
    shutil.copytree(_released, top, symlinks=True)
    with act_runs.world(top, server) as world:
        run = world.pull_request("change", world.contribute(trainable_registry.grow))
    assert run.conclusion == "success", run.log
    return top, run


@pytest.fixture
def trained(_trained: tuple[Path, Ran], server: S3Server, tmp_path: Path) -> Iterator[Trained]:
    top, run = _trained
    shutil.copytree(top, tmp_path / "world", symlinks=True)
    with act_runs.world(tmp_path / "world", server) as world:
        yield Trained(world, run)


# --- what fails -------------------------------------------------------------------------------------------------------


def call(path: str, status: int, method: str = "POST", times: int = 1) -> Callable[[World], Callable[[], None]]:
    """GitHub answers so to the next calls."""

    def begin(world: World) -> Callable[[], None]:
        world.github.faults.append(Fault(path, status, "no", method, times))
        return world.github.faults.clear

    return begin


def push(ref: str) -> Callable[[World], Callable[[], None]]:
    """A push of a ref is refused."""

    def begin(world: World) -> Callable[[], None]:
        hook = world.origin / "hooks/update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f'#!/bin/sh\ntest "$1" != refs/heads/{ref}\n')
        hook.chmod(hook.stat().st_mode | stat.S_IEXEC)
        return hook.unlink

    return begin


FAULTS = {
    **{f"the status: {status}": call("/statuses", status) for status in (502, 403, 404, 409, 422, 429)},
    "every status: 502": call("/statuses", 502, times=9),
    "the pull request is not found: 404": call("/pulls", 404, "GET", times=9),
    "the repository: 502": call("/repos", 502, "GET", times=1),
    "the push of the commit": push("change"),
    "the push of the pictures": push("reports"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_review_that_fails_in_the_middle_is_run_again(trained: Trained, fault: str) -> None:
    end = FAULTS[fault](trained.world)
    failed = trained.review()
    end()
    assert "failure" in failed.jobs.values(), failed.log
    assert "success" not in trained.world.github.status_of(trained.head).values()
    trained.require_end(trained.review(failed))


@pytest.mark.parametrize("fault", ["the status: 502", "the push of the pictures"])
def test_after_a_failure_a_new_push_is_judged(trained: Trained, fault: str) -> None:
    end = FAULTS[fault](trained.world)
    assert trained.review().jobs["comment"] == "failure"
    end()
    world = trained.world
    repositories.git_in(world.root, "pull", "--quiet", "origin", "change")
    (world.root / "README.md").write_text("# More words\n")
    head = world.contribute(lambda _: None)
    announced, run, reviewed = world.propose("change", head)
    assert announced.jobs == {"announce": "success"}, announced.log
    assert "nothing to train" in run.said["train"]
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert world.tip() == head
    assert world.github.status_of(head) == {"registry/gate": "success"}
    assert len(world.github.comments) == 1


def test_all_jobs_of_a_reviewed_pull_request_run_again_with_other_results(trained: Trained) -> None:
    """A training that is run again may give other numbers; what is on the branch was judged, and stays."""
    trained.require_end(trained.review())
    tip = trained.world.tip()
    results = trained.world.top / "artifacts" / str(trained.run.id) / "results"
    metrics = results / "models/pets/metrics.json"
    metrics.write_text(metrics.read_text().replace("1.0", "0.5"))
    trained.require_end(trained.review())
    assert trained.world.tip() == tip


def test_a_branch_that_moves_between_judging_and_pushing_is_left_to_the_next_run(trained: Trained) -> None:
    world = trained.world
    repositories.git_in(world.root, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "later")
    later = repositories.git_in(world.root, "rev-parse", "HEAD")
    hook = world.origin / "hooks/update"  # the contributor's push comes first
    hook.parent.mkdir(exist_ok=True)
    repositories.git_in(world.root, "push", "--quiet", "origin", f"{later}:refs/heads/waiting")
    hook.write_text(f'#!/bin/sh\nif [ "$1" = refs/heads/change ]; then git update-ref "$1" {later}; exit 1; fi\n')
    hook.chmod(hook.stat().st_mode | stat.S_IEXEC)
    reviewed = trained.review()
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert world.tip() == later
    assert world.github.statuses == []
    assert world.github.comments == []
