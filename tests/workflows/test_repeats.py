"""A call that fails, a step that is killed or a machine that is lost in a review: run again, the end is the same.

The table is (what fails, how) × (what is run again). The end: the judged commit on the branch, a successful gate on it,
one report that is not marked as outdated.
"""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.demo.seaweedfs import S3Server
from support import act_runs, repositories
from support.act_runs import REVIEWED, Trained, World
from support.servers.github_answers import Fault
from support.workflow_engine import Again, Ran
from support.workflow_files import WORKFLOWS

pytestmark = [pytest.mark.s3, pytest.mark.slow]

FAILED, ALL = ("comment",), ()  # of a run whose judge succeeded: «Re-run failed jobs», «Re-run all jobs»
# The steps of `comment` that have an effect outside its machine.
EFFECTS = [
    step["name"] for step in WORKFLOWS["review"]["jobs"]["comment"]["steps"]
    if step.get("run", "").startswith(".venv/bin/registry ci ") and "pull-request" not in step["run"]
]  # fmt: skip


@pytest.fixture(scope="session")
def _judged(
    _trained: tuple[Path, Ran, str], server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Ran]:
    top = tmp_path_factory.mktemp("judged") / "world"
    shutil.copytree(_trained[0], top, symlinks=True)
    with act_runs.world(top, server) as world:
        world.runs = world.told(_trained[1]).id
        world.github.add_pull("change", sha=_trained[2])
        first = Again(None, lost_after="Require that the commit was judged")
        run = world.review("change", _trained[2], _trained[1], first)
        assert run.jobs == {"judge": "success", "comment": "failure"}, run.log
        assert world.github.made() == []
    return top, run


@pytest.fixture
def judged(
    _judged: tuple[Path, Ran], _trained: tuple[Path, Ran, str], server: S3Server, tmp_path: Path
) -> Iterator[tuple[Trained, Ran]]:
    """`trained`, judged; the machine of `comment` was lost before it did anything."""
    shutil.copytree(_judged[0], tmp_path / "world", symlinks=True)
    with act_runs.world(tmp_path / "world", server) as world:
        world.told(_trained[1])
        world.runs = _judged[1].id
        world.github.add_pull("change", sha=_trained[2])
        yield Trained(world, _trained[1], _trained[2]), _judged[1]


# --- what fails -------------------------------------------------------------------------------------------------------

Begin = Callable[[World], Callable[[], None]]


def call(path: str, status: int, method: str = "POST", times: int = 1, executed: bool = False) -> Begin:
    """GitHub answers so to the next calls."""

    def begin(world: World) -> Callable[[], None]:
        world.github.faults.append(Fault(path, status, "no", method, times, executed=executed))
        return world.github.faults.clear

    return begin


def push(ref: str) -> Begin:
    """A push of a ref is refused."""
    return hook("update", f'test "$1" != refs/heads/{ref}\n')


def hook(name: str, script: str) -> Begin:
    """The remote runs this at a push."""

    def begin(world: World) -> Callable[[], None]:
        file = world.origin / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}")
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
        return file.unlink

    return begin


FAULTS = {
    **{f"the status: {status}": call("/statuses", status) for status in (502, 403, 429)},
    "the status: set, and 502": call("/statuses", 502, executed=True),
    "every status: 502": call("/statuses", 502, times=9),
    "the comment: 403": call("/comments", 403, times=9),
    "the list of comments: 404": call("/comments", 404, "GET", times=9),
    "the pull request is not found: 404": call("/pulls", 404, "GET", times=9),
    "the repository: 502": call("/repos", 502, "GET"),
    "the push of the commit": push("change"),
    "the push of the pictures": push("reports"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_comment_job_that_fails_in_the_middle_is_run_again(judged: tuple[Trained, Ran], fault: str) -> None:
    trained, run = judged
    end = FAULTS[fault](trained.world)
    failed = trained.review(Again(run, FAILED))
    end()
    assert failed.jobs == REVIEWED | {"comment": "failure"}, failed.log
    assert "success" not in trained.world.github.status_of(trained.head).values()
    trained.require_end(trained.review(Again(failed, FAILED)))


@pytest.mark.parametrize(
    "fault",
    [call("/comments", 502), call("/comments", 502, executed=True), call("/comments", 502, "GET")],
    ids=["502", "written, and 502", "the list: 502"],
)
def test_a_comment_that_github_does_not_answer_is_written_once(judged: tuple[Trained, Ran], fault: Begin) -> None:
    trained, run = judged
    fault(trained.world)
    trained.require_end(trained.review(Again(run, FAILED)))


@pytest.mark.parametrize("step", EFFECTS)
def test_a_comment_job_whose_machine_is_lost_is_run_again(judged: tuple[Trained, Ran], step: str) -> None:
    trained, run = judged
    lost = trained.review(Again(run, FAILED, lost_after=step))
    assert lost.jobs == REVIEWED | {"comment": "failure"}, lost.log
    trained.require_end(trained.review(Again(lost, FAILED)))


def test_a_push_that_is_killed_after_its_effect_is_run_again(judged: tuple[Trained, Ran]) -> None:
    trained, run = judged
    # The first hook kills the command; that of a push beside it may find no command above itself any more.
    up = "while [ $pid -gt 1 ] && ! tr '\\0' ' ' < /proc/$pid/cmdline | grep -q 'registry ci accept'; do\n"
    up += "  pid=$(awk '/^PPid/ {print $2}' /proc/$pid/status)\ndone\n"
    end = hook("post-receive", f"pid=$$\n{up}[ $pid -gt 1 ] && kill -KILL $pid\n")(trained.world)
    killed = trained.review(Again(run, FAILED, processes=True))
    end()
    assert killed.steps["comment"]["Push the commit that was judged"] == "failure", killed.log
    assert trained.world.tip() != trained.head
    assert trained.world.github.status_of(trained.head) == {"registry/gate": "failure"}
    trained.require_end(trained.review(Again(killed, FAILED)))


@pytest.mark.parametrize("step", ["Judge the commit and the training results", "Upload the report"])
def test_a_judge_whose_machine_is_lost_is_run_again(trained: Trained, step: str) -> None:
    lost = trained.review(Again(None, lost_after=step))
    assert lost.jobs == {"judge": "failure", "comment": "failure"}, lost.log
    assert trained.world.github.status_of(trained.head) == {"registry/gate": "failure"}
    trained.require_end(trained.review(Again(lost)))


@pytest.mark.parametrize("fault", ["the status: 502", "the push of the pictures"])
def test_all_jobs_are_run_again_after_a_failure(trained: Trained, fault: str) -> None:
    end = FAULTS[fault](trained.world)
    failed = trained.review()
    end()
    assert failed.jobs == REVIEWED | {"comment": "failure"}, failed.log
    trained.require_end(trained.review(Again(failed, ALL)))


def test_after_a_failure_a_new_push_is_judged(judged: tuple[Trained, Ran]) -> None:
    trained, run = judged
    end = FAULTS["the status: 502"](trained.world)
    assert trained.review(Again(run, FAILED)).jobs["comment"] == "failure"
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


# --- what is run again without a need ---------------------------------------------------------------------------------


def test_each_job_of_a_reviewed_pull_request_is_run_again(judged: tuple[Trained, Ran]) -> None:
    trained, run = judged
    done = trained.review(Again(run, FAILED))
    trained.require_end(done)
    tip = trained.world.tip()
    for only in (FAILED, ("judge", "comment"), ALL):
        trained.require_end(trained.review(Again(done, only)))
    assert trained.world.review("change", trained.head, again=Again(None)).jobs == {"announce": "success"}
    trained.require_end(done)
    assert trained.world.tip() == tip


def test_all_jobs_of_a_reviewed_pull_request_run_again_with_other_results(trained: Trained) -> None:
    """A training that is run again may give other numbers; what is on the branch was judged, and stays."""
    trained.require_end(trained.review())
    tip = trained.world.tip()
    metrics = trained.results / "models/pets/metrics.json"
    metrics.write_text(metrics.read_text().replace("1.0", "0.5"))
    trained.require_end(trained.review())
    assert trained.world.tip() == tip


def test_a_branch_that_moves_between_judging_and_pushing_is_left_to_the_next_run(judged: tuple[Trained, Ran]) -> None:
    trained, run = judged
    world = trained.world
    repositories.git_in(world.root, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "later")
    later = repositories.git_in(world.root, "rev-parse", "HEAD")
    repositories.git_in(world.root, "push", "--quiet", "origin", f"{later}:refs/heads/waiting")
    # The contributor's push comes first.
    hook("update", f'if [ "$1" = refs/heads/change ]; then git update-ref "$1" {later}; exit 1; fi\n')(world)
    reviewed = trained.review(Again(run, FAILED))
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert world.tip() == later
    assert world.github.statuses == []
    assert world.github.comments == []


# --- announce ---------------------------------------------------------------------------------------------------------

ANNOUNCED = {
    **{f"the status: {status}": call("/statuses", status) for status in (502, 403, 404, 429)},
    "the status: set, and 502": call("/statuses", 502, executed=True),
    "the state of the commit: 502": call("/commits", 502, "GET"),
    "the pull request is not found: 404": call("/pulls", 404, "GET"),
    "the list of comments: 404": call("/comments", 404, "GET"),
}


@pytest.mark.parametrize("fault", ANNOUNCED)
def test_a_failed_announcement_is_run_again(judged: tuple[Trained, Ran], fault: str) -> None:
    trained, _ = judged
    end = ANNOUNCED[fault](trained.world)
    failed = trained.world.review("change", trained.head)
    end()
    assert failed.jobs == {"announce": "failure"}, failed.log
    assert "success" not in trained.world.github.status_of(trained.head).values()
    again = trained.world.review("change", trained.head, again=Again(failed))
    assert again.jobs == {"announce": "success"}, again.log
    assert trained.world.github.status_of(trained.head) == {"registry/gate": "pending"}


def test_a_failed_announcement_does_not_hinder_the_review(judged: tuple[Trained, Ran]) -> None:
    trained, run = judged
    ANNOUNCED["the status: 502"](trained.world)
    assert trained.world.review("change", trained.head).jobs == {"announce": "failure"}
    trained.require_end(trained.review(Again(run, FAILED)))
