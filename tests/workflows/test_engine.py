"""`support.workflow_engine`, by which most workflows are run here, does what act does."""

import pytest

from support import trainable_registry
from support.act_runs import Trained, World
from support.servers.github_answers import Fault
from support.workflow_engine import Again, Context, Null, Ran, evaluate, holds

RUNNING = {"success": lambda: True, "failure": lambda: False, "cancelled": lambda: False, "always": lambda: True}


def results(*runs: Ran) -> list[tuple[int, dict[str, str], dict[str, dict[str, str]]]]:
    return [(ran.code, ran.jobs, ran.steps) for ran in runs]


@pytest.mark.s3
@pytest.mark.slow
def test_act_runs_the_same_jobs_and_steps_with_the_same_results(released: World, trained: Trained) -> None:
    here = [trained.world.review("change", trained.head), trained.run]
    trained.world.github.faults.append(Fault("/statuses", 502, "no", "POST"))
    here.append(trained.review())
    here.append(trained.review(Again(here[-1])))
    released.by_act = True
    head = released.contribute(trainable_registry.grow)
    released.github.add_pull("change", sha=head)
    announced = released.review("change", head)
    run = released.pull_request("change", head)
    released.github.faults.append(Fault("/statuses", 502, "no", "POST"))
    failed = released.review("change", head, run)
    again = released.review("change", head, run, Again(failed))
    assert results(announced, run, failed, again) == results(*here)
    assert list(released.gates().values()) == list(trained.world.gates().values())


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.event.action == 'edited' && !github.event.changes.base", True),
        ("github.event.pull_request.draft || 'none'", "none"),
        ("github.event.missing.deeper != ''", False),
        ("""contains(fromJSON('["a", "b"]'), github.event.word)""", True),
        ("format('origin/{0}', github.event.word)", "origin/b"),
        ("inputs.run-id || 7", 7),
        ("null == ''", True),
    ],
)
def test_an_expression(expression: str, value: object) -> None:
    event = {"action": "edited", "changes": {}, "pull_request": {"draft": False}, "word": "b"}
    names = {"github": Context({"event": event}), "inputs": Context(), "null": Null()}
    assert evaluate(expression, names) == value


@pytest.mark.parametrize(
    ("condition", "is_run"),
    [("true", False), ("failure()", True), ("${{ !cancelled() && true }}", True), ("always()", True)],
)
def test_after_a_failure_a_step_has_to_ask_for_it(condition: str, is_run: bool) -> None:
    assert holds(condition, RUNNING | {"success": lambda: False, "failure": lambda: True}) is is_run
