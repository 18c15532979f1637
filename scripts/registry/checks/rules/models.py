"""Rules on a model's pipeline, its training, its metrics and its gates."""

from collections.abc import Callable, Iterator
from posixpath import join, normpath

from registry.checks.context import Facts, Scope, Subject
from registry.checks.findings import ask, note, some, wrong
from registry.core.values import Finding
from registry.model import gates
from registry.model.changes import GateState

REPRO = "dvc repro {}/dvc.yaml"
REPORT = "registry report --base main judges it"


def pipeline_is_closed(subject: Subject, _: Facts) -> Iterator[Finding]:
    """`dvc.yaml` and `dvc.lock` keep their closed schemas, and every path stays inside: outputs in the model's folder,
    dependencies in the registry.

    So no change of a pipeline makes DVC fetch from elsewhere (a URL, `repo`, `remote`, `wdir`). Commands are code.
    """
    for part in (subject.pipeline, subject.lock):
        for fault in part.faults if part else ():
            yield wrong(fault.message, part.path, fault.line, fault.fix)
    if subject.pipeline and subject.pipeline.value:
        yield from _escapes(subject)
    for output in subject.lock.value.outs if subject.lock and subject.lock.value else ():
        if not output.path.startswith(f"{subject.id}/"):
            yield wrong(f"the output {output.path} lies outside {subject.id}", subject.lock.path, fix="run `dvc repro`")


def _escapes(subject: Subject) -> Iterator[Finding]:
    part = subject.pipeline
    for name, stage in part.value["stages"].items():
        for place, path in enumerate(stage.get("deps", ())):
            line = part.line("stages", name, "deps", place)
            if "${" in path and "vars" not in part.value:
                yield wrong(f"{path} needs `vars: [model.yaml:trained_on]`", part.path, line, "add it at the top")
            elif normpath(join(str(subject.id), path.replace("${trained_on}", "datasets/x"))).startswith("../"):
                yield wrong(
                    f"{path} lies outside the registry", part.path, line, "name a file or folder of this registry"
                )


def dataset_exists(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """`trained_on` names a dataset of this registry."""
    dataset = subject.manifest.value.trained_on
    if dataset not in facts.artifacts:
        line = subject.manifest.line("trained_on")
        yield wrong(
            f"trained_on: {dataset} does not exist", subject.manifest.path, line, "name one that `registry list` shows"
        )


def training_is_current(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """`dvc.lock` was made from the code, the parameters and the dataset that are here now.

    A commit may be ahead of its training, and a dataset may move on without its models; then an owner is asked.
    """
    if subject.lock is None:
        yield note("was never trained", subject.manifest.path, REPRO.format(subject.id))
        return
    say = wrong if subject.touched and facts.scope is not Scope.STAGED else ask
    dataset = f"{subject.manifest.value.trained_on}/prepared"
    if not any(dep.path == dataset or dep.path.startswith(f"{dataset}/") for dep in subject.lock.value.deps):
        yield say(f"was not trained on {dataset}", subject.lock.path, fix=REPRO.format(subject.id))
    elif changed := [*_changed_inputs(subject), *_changed_commands(subject)]:
        yield say(f"was trained before a change of {some(changed)}", subject.lock.path, fix=REPRO.format(subject.id))


def _changed_inputs(subject: Subject) -> Iterator[str]:
    lock, start = subject.lock.value, f"{subject.id}/"
    made = {output.path for output in lock.outs}
    for dep in dict.fromkeys(dep for dep in lock.deps if dep.path not in made):
        now = lock.now.get(dep.path)
        if now != dep.md5 and (now or dep.path.startswith(start)):
            yield dep.path.removeprefix(start)
    if lock.recipe != lock.recipe_now:
        yield "the parameters"


def _changed_commands(subject: Subject) -> Iterator[str]:
    if not subject.pipeline or not subject.pipeline.value:
        return
    locked, dataset = subject.lock.document.data["stages"], str(subject.manifest.value.trained_on)
    for name, stage in subject.pipeline.value["stages"].items():
        command = _map(stage["cmd"], lambda text: text.replace("${trained_on}", dataset))
        if locked.get(name, {}).get("cmd") != command:
            yield f"the command of {name}"


def _map(command: str | list[str], change: Callable[[str], str]) -> str | list[str]:
    return change(command) if isinstance(command, str) else [change(line) for line in command]


def outputs_are_the_trainings(subject: Subject, _: Facts) -> Iterator[Finding]:
    """`metrics.json`, the plots and whatever else of the training is in Git are as `dvc.lock` recorded them.

    A model that was trained has a `metrics.json`; a number that somebody wrote by hand is no metric.
    """
    if subject.lock is None:
        return
    lock = subject.lock.value
    if subject.metrics is None:
        yield wrong("metrics.json is missing", subject.lock.path, fix=REPRO.format(subject.id))
    for fault in subject.metrics.faults if subject.metrics else ():
        yield wrong(fault.message, subject.metrics.path, fault.line, fault.fix or REPRO.format(subject.id))
        return
    for output in lock.outs:
        if (now := lock.now.get(output.path)) and now != output.md5:
            fix = f"git restore {output.path}, or {REPRO.format(subject.id)}"
            yield wrong("is not what the training wrote", output.path, fix=fix)


def gates_hold(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Each metric keeps the manifest's `min` and `max`; one that is missing or not a number keeps nothing.

    At a commit a broken gate is told and lets the commit pass: it is the merge that it blocks.

    `no_worse_than: base` and the slices need both models' predictions, which `registry report` has; here they are not
    judged. The new model breaks it when it is proven worse on the test images that both versions have: when the whole
    interval of the difference in accuracy (paired bootstrap, at the gate's `confidence`) lies below zero. With a
    `margin` it must be proven to lose no more than that: the whole interval lies above -margin.
    """
    say = ask if facts.scope is Scope.STAGED else wrong
    for place, gate in enumerate(subject.manifest.value.gates if subject.metrics else ()):
        line, path = subject.manifest.line("gates", place), subject.manifest.path
        judged = gates.evaluate_bounds(gate, subject.metrics.value)
        if judged and judged.state is GateState.FAILED:
            yield say(judged.message, path, line, "train a better model, or talk about the gate")
        if gate.no_worse_than or (judged and judged.state is GateState.NOT_EVALUATED):
            against = " against the base" if gate.no_worse_than else ""
            yield note(f"the gate on {gates.describe(gate)}{against} is not judged here", path, REPORT)
