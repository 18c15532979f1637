from dataclasses import replace

import pytest

from registry.core.model_values import Gate
from registry.core.values import Bump, Finding, Outcome, RequiredBump, Verdict, Version
from registry.dataset.changes import DatasetChange
from registry.model.changes import GateResult, GateState, ModelChange
from registry.report import dataset_section
from registry.report.assemble import assemble
from registry.report.summary import headline
from registry.report.values import State, Tally
from support import report_parts, report_situations


def test_verdicts_of_the_situations() -> None:
    states = {name: make().state for name, make in report_situations.SITUATIONS.items()}
    assert states == {
        "first_release": State.READY,
        "grown": State.READY,
        "narrowed": State.READY,
        "relabelled": State.NEEDS_OWNER,
        "trained": State.READY,
        "blocked": State.BLOCKED,
        "base_unavailable": State.NEEDS_OWNER,
        "undecided": State.NEEDS_OWNER,
        "forged": State.BLOCKED,
        "removed_and_metadata": State.NEEDS_OWNER,
        "many": State.NEEDS_OWNER,
    }


def test_a_check_that_could_not_run_is_not_counted_as_passed_and_needs_an_owner() -> None:
    report = assemble(
        [Outcome("build", None, not_run="no network"), Outcome("large-files", None)], [], [], report_parts.RUN_INFO
    )
    assert report.tally == Tally(passed=1, needs_owner=0, failed=0, not_run=1)
    assert report.state is State.NEEDS_OWNER


def test_a_gate_that_is_not_evaluated_needs_an_owner_and_a_failed_one_blocks() -> None:
    gate = Gate("accuracy", min=0.8)
    results = {
        GateState.PASSED: State.READY,
        GateState.NOT_EVALUATED: State.NEEDS_OWNER,
        GateState.FAILED: State.BLOCKED,
    }
    for result, state in results.items():
        change = report_parts.model_change(gates=(GateResult(gate, result, "as it is", 3),))
        assert assemble((), [], [change], report_parts.RUN_INFO).state is state


def test_gates_evaluated_with_the_base_replace_those_of_check() -> None:
    finding = Finding(
        "gates",
        report_parts.MODEL,
        Verdict.NEEDS_OWNER,
        "is evaluated in the report",
        "models/pets/model.yaml",
        15,
    )
    outcomes = (Outcome("gates", report_parts.MODEL, (finding,)),)
    assert assemble(outcomes, [], [report_parts.model_change()], report_parts.RUN_INFO).findings == ()
    assert assemble(outcomes, [], [], report_parts.RUN_INFO).findings == (finding,)


def test_findings_are_worst_first_and_artifacts_in_order() -> None:
    report = report_situations.blocked()
    assert [one.verdict for one in report.findings] == [Verdict.WRONG] * 3 + [Verdict.NEEDS_OWNER]
    cars = DatasetChange(replace(report_parts.PETS, name="cars"), "Cars", None, Version(1, 0, 0))
    pets = DatasetChange(report_parts.PETS, "Pets", None, Version(1, 0, 0))
    assert [one.id.name for one in assemble((), [pets, cars], [], report_parts.RUN_INFO).datasets] == [
        "cars",
        "pets",
    ]


def test_headlines() -> None:
    headlines = {name: make().headline for name, make in report_situations.SITUATIONS.items()}
    assert headlines == {
        "first_release": "datasets/pets: new, 1,958 images; models/pets: new, accuracy 91.1%",
        "grown": "datasets/pets: 126 images added; no model changed",
        "narrowed": "datasets/pets: 980 images removed; no model changed",
        "relabelled": "datasets/pets: 51 images removed, 18 relabelled; no model changed",
        "trained": "models/pets: accuracy 93.1% vs. 89.7% on 203 shared test images "
        "(95% CI +0.5 to +6.4 pp, McNemar p = 0.021): significantly better",
        "blocked": "models/pets: accuracy 82.8% vs. 89.7% on 203 shared test images "
        "(95% CI −10.8 to −3.0 pp, McNemar p < 0.001): significantly worse",
        "base_unavailable": "models/pets: retrained (accuracy 92.6%), but not compared with the base",
        "undecided": "models/pets: accuracy 91.1% vs. 89.7% on 203 shared test images "
        "(95% CI −1.5 to +4.4 pp, McNemar p = 0.51): no significant difference",
        "forged": "models/pets: accuracy 93.1% vs. 89.7% on 203 shared test images "
        "(95% CI +0.5 to +6.4 pp, McNemar p = 0.021): significantly better",
        "removed_and_metadata": "datasets/cars: metadata-only change (description); "
        "datasets/pets: removed (1,958 images); no model changed",
        "many": "3 datasets (243 images added) and 1 model (1 significantly worse) changed",
    }


def test_the_headline_of_no_change_and_of_a_removed_model() -> None:
    assert headline([], []) == "no dataset or model changed"
    removed = ModelChange(report_parts.MODEL, "x", Version(1, 0, 0), None)
    assert headline([], [removed]) == "models/pets: removed"


@pytest.mark.parametrize("what", ["the layout changed", "the query changed", "classes were renumbered"])
def test_the_headline_of_a_change_that_touches_no_image_says_what_it_is(what: str) -> None:
    words = next(one for one in report_situations.removed_and_metadata().datasets if one.metadata_changes)
    change = replace(words, required_bump=RequiredBump(Bump.MINOR, what, "It is minor"))
    assert headline([change], []) == f"datasets/cars: images unchanged, {what}; no model changed"
    assert f"required version bump: minor ({what})" in str(dataset_section.section(change))


def test_the_headline_of_a_difference_that_is_not_significant() -> None:
    paired = report_parts.paired(0.7451, 0.7843, -0.007, 0.066, images=102, p_value=0.48)
    assert headline([], [report_parts.model_change(comparison=paired)]) == (
        "models/pets: accuracy 78.4% vs. 74.5% on 102 shared test images "
        "(95% CI −0.7 to +6.6 pp, McNemar p = 0.48): no significant difference"
    )
