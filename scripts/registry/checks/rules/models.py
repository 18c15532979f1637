"""Rules on a model's pipeline, its training, its metrics and its gates."""

from collections.abc import Callable, Iterator
from posixpath import join, normpath

from registry.checks.context import Facts, Scope, Subject
from registry.checks.findings import Diagnostic, needs_owner, note, wrong
from registry.core import wording
from registry.model import gates
from registry.model.changes import GateState

REPRO = "dvc repro {}/dvc.yaml"
IMPROVE = "improve the model, or change the gate in model.yaml (needs an owner's approval)"


def pipeline_is_valid(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """`dvc.yaml` and `dvc.lock` match their closed schemas; outputs stay in the model's folder, dependencies in the
    registry.

    Keys that make DVC download from elsewhere (URLs, `repo`, `remote`, `wdir`) are not allowed.

    Why: `dvc repro` and `dvc pull` obey these files, in a job that has credentials for staging.

    How to fix: correct the line that the finding names. Never edit `dvc.lock`: `dvc repro` writes it.
    """
    for part in (subject.pipeline, subject.lock):
        for fault in part.faults if part else ():
            yield wrong(fault.message, part.path, fault.line, fault.fix)
    if subject.pipeline and subject.pipeline.value:
        yield from _dependencies(subject)
    for output in subject.lock.value.outs if subject.lock and subject.lock.value else ():
        if not output.path.startswith(f"{subject.id}/"):
            message = f"the output {output.path} is outside {subject.id}"
            yield wrong(message, subject.lock.path, fix=REPRO.format(subject.id))


def _dependencies(subject: Subject) -> Iterator[Diagnostic]:
    part = subject.pipeline
    for name, stage in part.value["stages"].items():
        for place, path in enumerate(stage.get("deps", ())):
            line = part.line("stages", name, "deps", place)
            if "${" in path and "vars" not in part.value:
                fix = "add `vars: [model.yaml:trained_on]` at the top of the file"
                yield wrong(f"the dependency {path} has a variable, but vars is missing", part.path, line, fix)
            elif normpath(join(str(subject.id), path.replace("${trained_on}", "datasets/x"))).startswith("../"):
                fix = "name a file or folder of this registry"
                yield wrong(f"the dependency {path} is outside the registry", part.path, line, fix)


def dataset_exists(subject: Subject, facts: Facts) -> Iterator[Diagnostic]:
    """`trained_on` names a dataset of this registry.

    Why: the dataset's images are what the model is trained and measured on, and the report compares versions on them.

    How to fix: correct `trained_on`; `registry list` shows the datasets.
    """
    dataset = subject.manifest.value.trained_on
    if dataset not in facts.artifacts:
        line, fix = subject.manifest.line("trained_on"), "name a dataset that `registry list` shows"
        yield wrong(f"trained_on: {dataset} does not exist", subject.manifest.path, line, fix)


def training_is_current(subject: Subject, facts: Facts) -> Iterator[Diagnostic]:
    """`dvc.lock` was written by a training with the code, the parameters and the dataset that the change has now.

    At a commit, and where only the dataset changed, an outdated training is not *wrong*: an owner decides.

    Why: the weights and the metrics of a version must come from the code and the data that its reviewers see.

    How to fix: run `dvc repro MODEL/dvc.yaml`, or let the training job do it, and commit what it writes.
    """
    fix = REPRO.format(subject.id)
    if subject.lock is None:
        yield note("not trained yet", subject.manifest.path, fix)
        return
    report = wrong if subject.touched and facts.scope is not Scope.STAGED else needs_owner
    dataset = f"{subject.manifest.value.trained_on}/prepared"
    if not any(dep.path == dataset or dep.path.startswith(f"{dataset}/") for dep in subject.lock.value.deps):
        yield report(f"not trained on {dataset}", subject.lock.path, fix=fix)
    elif changed := [*_changed_inputs(subject), *_changed_commands(subject)]:
        yield report(f"changed since the training: {wording.abbreviate(changed)}", subject.lock.path, fix=fix)


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


def outputs_match_lock(subject: Subject, _: Facts) -> Iterator[Diagnostic]:
    """`metrics.json`, the plots and other outputs that Git tracks are as `dvc.lock` recorded them.

    A trained model has a `metrics.json`.

    Why: a metric that was edited by hand was not measured.

    How to fix: run `dvc repro MODEL/dvc.yaml`, and commit what it writes.
    """
    if subject.lock is None:
        return
    lock, fix = subject.lock.value, REPRO.format(subject.id)
    if subject.metrics is None:
        yield wrong("metrics.json is missing", subject.lock.path, fix=fix)
    for fault in subject.metrics.faults if subject.metrics else ():
        yield wrong(fault.message, subject.metrics.path, fault.line, fault.fix or fix)
        return
    for output in lock.outs:
        if (now := lock.now.get(output.path)) and now != output.md5:
            yield wrong(f"MD5 is {now[:10]}, expected {output.md5[:10]} (dvc.lock)", output.path, fix=fix)


def gates_hold(subject: Subject, facts: Facts) -> Iterator[Diagnostic]:
    """Each metric is within the `min` and `max` of the manifest's gates; one that is missing or not a number fails.

    `no_worse_than: base` and gates on slices need the predictions of both versions; only `registry report` evaluates
    them. The new version fails without a `margin` when it is significantly worse on the shared test images: the whole
    confidence interval of the difference in accuracy (paired bootstrap, at the gate's `confidence`) is below zero. With
    a `margin` it fails unless the whole interval is above -margin. At a commit a failed gate is not *wrong*: it blocks
    the merge, not the commit.

    Why: a model that is worse than its owners agreed to must not be published unnoticed.

    How to fix: improve the model, or change the gate in `model.yaml`, which an owner approves.
    """
    report = needs_owner if facts.scope is Scope.STAGED else wrong
    for place, gate in enumerate(subject.manifest.value.gates if subject.metrics else ()):
        line, path = subject.manifest.line("gates", place), subject.manifest.path
        result = gates.evaluate_bounds(gate, subject.metrics.value)
        if result and result.state is GateState.FAILED:
            yield report(result.message, path, line, IMPROVE)
        if gate.no_worse_than or (result and result.state is GateState.NOT_EVALUATED):
            against = " against the base" if gate.no_worse_than else ""
            message = f"the gate on {gates.describe(gate)}{against} is evaluated by `registry report` only"
            yield note(message, path, "registry report --base main")
