from dataclasses import replace

from registry.core.values import Finding, Gate, Outcome, Verdict, Version
from registry.dataset.changes import DatasetChange
from registry.model.changes import GateResult, GateState, ModelChange
from registry.report.assemble import State, Tally, assemble
from registry.report.summary import headline
from support import report_situations


def test_verdicts_of_the_situations() -> None:
    states = {name: make().state for name, make in report_situations.EIGHT.items()}
    assert states == {
        "first_release": State.READY,
        "grown": State.READY,
        "relabelled": State.NEEDS_OWNER,
        "trained": State.READY,
        "blocked": State.BLOCKED,
        "base_gone": State.NEEDS_OWNER,
        "removed_and_words": State.NEEDS_OWNER,
        "many": State.NEEDS_OWNER,
    }


def test_what_could_not_run_is_never_counted_as_passed_and_asks_for_an_owner() -> None:
    report = assemble(
        [Outcome("build", None, not_run="no network"), Outcome("large-files", None)], [], [], report_situations.REPEAT
    )
    assert report.tally == Tally(passed=1, needs_owner=0, failed=0, not_run=1)
    assert report.state is State.NEEDS_OWNER


def test_a_gate_that_could_not_be_judged_asks_for_an_owner_and_a_broken_one_blocks() -> None:
    gate = Gate("accuracy", min=0.8)
    results = {
        GateState.PASSED: State.READY,
        GateState.NOT_EVALUATED: State.NEEDS_OWNER,
        GateState.FAILED: State.BLOCKED,
    }
    for result, state in results.items():
        change = report_situations.model_change(gates=(GateResult(gate, result, "as it is", 3),))
        assert assemble((), [], [change], report_situations.REPEAT).state is state


def test_what_check_says_of_gates_gives_way_to_what_was_judged_with_the_base() -> None:
    told = Finding(
        "gates", report_situations.MODEL, Verdict.NEEDS_OWNER, "is judged in the report", "models/pets/model.yaml", 15
    )
    outcomes = (Outcome("gates", report_situations.MODEL, (told,)),)
    assert assemble(outcomes, [], [report_situations.model_change()], report_situations.REPEAT).findings == ()
    assert assemble(outcomes, [], [], report_situations.REPEAT).findings == (told,)


def test_findings_are_worst_first_and_artifacts_in_order() -> None:
    report = report_situations.blocked()
    assert [one.verdict for one in report.findings] == [Verdict.WRONG] * 3 + [Verdict.NEEDS_OWNER]
    cars = DatasetChange(replace(report_situations.PETS, name="cars"), "Cars", None, Version(1, 0, 0))
    pets = DatasetChange(report_situations.PETS, "Pets", None, Version(1, 0, 0))
    assert [one.id.name for one in assemble((), [pets, cars], [], report_situations.REPEAT).datasets] == [
        "cars",
        "pets",
    ]


def test_headlines() -> None:
    said = {name: make().headline for name, make in report_situations.EIGHT.items()}
    assert said == {
        "first_release": "datasets/pets is new, with 1,958 images; models/pets is new, with an accuracy of 91.1%.",
        "grown": "datasets/pets gains 126 images; no model changes.",
        "relabelled": "datasets/pets loses 51 images and relabels 18; no model changes.",
        "trained": "models/pets is better: 93.1% right instead of 89.7% on 203 common test images "
        "(95% interval +0.5 to +6.4 points, p = 0.021).",
        "blocked": "models/pets is worse: 82.8% right instead of 89.7% on 203 common test images "
        "(95% interval −10.8 to −3.0 points, p < 0.001).",
        "base_gone": "models/pets was trained again, and could not be compared with the base.",
        "removed_and_words": "datasets/cars changes in words only (description); "
        "datasets/pets is removed, with 1,958 images; no model changes.",
        "many": "7 datasets (1,890 images added) and 3 models (1 better, 1 worse, 1 undecided) change.",
    }


def test_nothing_changed_is_a_sentence_too() -> None:
    assert headline([], []) == "No dataset and no model changes."
    assert (
        headline([], [ModelChange(report_situations.MODEL, "x", Version(1, 0, 0), None)]) == "models/pets is removed."
    )


def test_a_difference_that_chance_can_make_is_called_so() -> None:
    change = report_situations.model_change(comparison=report_situations.paired(0.9, 0.91, -0.01, 0.03, p_value=0.4))
    assert headline([], [change]).startswith("models/pets cannot be told from the base: 91.0% right instead of 90.0%")
