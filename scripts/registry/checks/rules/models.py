"""Rules on a model's pipeline, its training, its metrics and its gates."""

import json
from collections.abc import Iterator
from posixpath import join, normpath

from registry.checks.context import Facts, ModelSubject, Scope, Training
from registry.checks.findings import Diagnostic, needs_owner, note, wrong
from registry.core import layout, wording
from registry.core.artifact_files import ArtifactFiles, Lock, Parsed, Pipeline
from registry.core.values import ArtifactId
from registry.model import gates
from registry.model.changes import GateState

_VARIABLE = "${trained_on}"
REPRO = "dvc repro {}/dvc.yaml"
PULL = "registry pull {}"
EXPORT = "export the model as docs/models.md describes, in train.py"
IMPROVE = "improve the model, or change the gate in model.yaml (needs an owner's approval)"


def pipeline_is_valid(files: ArtifactFiles) -> Iterator[Diagnostic]:
    """`dvc.yaml` and `dvc.lock` match their closed schemas; outputs stay in the model's folder, dependencies in the
    registry.

    Keys that make DVC download from elsewhere (URLs, `repo`, `remote`, `wdir`) are not allowed.

    Why: `dvc repro` and `dvc pull` obey these files, in a job that has credentials for staging.

    How to fix: correct the line that the finding names. Never edit `dvc.lock`: `dvc repro` writes it.
    """
    faulty = [(file.path, file.faults) for file in (files.pipeline, files.lock) if file]
    for path, faults in faulty:
        for fault in faults:
            yield wrong(fault.message, path, fault.line, fault.fix)
    if files.pipeline and files.pipeline.value:
        yield from _dependencies(files.id, files.pipeline, files.pipeline.value)
    if files.lock and files.lock.value:
        for output in files.lock.value.outs:
            if not output.path.startswith(f"{files.id}/"):
                message = f"the output {output.path} is outside {files.id}"
                yield wrong(message, files.lock.path, fix=REPRO.format(files.id))


def _dependencies(model: ArtifactId, file: Parsed[Pipeline], pipeline: Pipeline) -> Iterator[Diagnostic]:
    for name, stage in pipeline.stages.items():
        for place, path in enumerate(stage.dependencies):
            line = file.line("stages", name, "deps", place)
            if "${" in path and not pipeline.has_variables:
                fix = "add `vars: [model.yaml:trained_on]` at the top of the file"
                yield wrong(f"the dependency {path} has a variable, but vars is missing", file.path, line, fix)
            elif normpath(join(str(model), path.replace(_VARIABLE, "datasets/x"))).startswith("../"):
                fix = "name a file or folder of this registry"
                yield wrong(f"the dependency {path} is outside the registry", file.path, line, fix)


def dataset_exists(subject: ModelSubject, facts: Facts) -> Iterator[Diagnostic]:
    """`trained_on` names a dataset of this registry.

    Why: the dataset's images are what the model is trained and measured on, and the report compares versions on them.

    How to fix: correct `trained_on`; `registry list` shows the datasets.
    """
    dataset = subject.manifest.trained_on
    if dataset not in facts.artifacts:
        line, fix = subject.line("trained_on"), "name a dataset that `registry list` shows"
        yield wrong(f"trained_on: {dataset} does not exist", subject.path, line, fix)


def training_is_current(subject: ModelSubject, facts: Facts) -> Iterator[Diagnostic]:
    """`dvc.lock` was written by a training with the code, the parameters and the dataset that the change has now.

    At a commit, and where only the dataset changed, an outdated training is not *wrong*: an owner decides.

    Why: the weights and the metrics of a version must come from the code and the data that its reviewers see.

    How to fix: run `dvc repro MODEL/dvc.yaml`, or let the training job do it, and commit what it writes.
    """
    fix = REPRO.format(subject.id)
    if subject.training is None:
        yield note("not trained yet", subject.path, fix)
        return
    for file in subject.training.now.unreadable:
        for fault in file.faults:
            yield wrong(fault.message, file.path, fault.line, fault.fix)
    report = wrong if subject.touched and facts.scope is not Scope.STAGED else needs_owner
    dataset, lock = f"{subject.manifest.trained_on}/prepared", subject.training.lock
    if not any(dep.path == dataset or dep.path.startswith(f"{dataset}/") for dep in lock.deps):
        yield report(f"not trained on {dataset}", subject.training.path, fix=fix)
    elif changed := [*_changed_inputs(subject.id, subject.training), *_changed_commands(subject, lock)]:
        yield report(f"changed since the training: {wording.abbreviate(changed)}", subject.training.path, fix=fix)


def _changed_inputs(model: ArtifactId, training: Training) -> Iterator[str]:
    lock, now, start = training.lock, training.now, f"{model}/"
    made = {output.path for output in lock.outs}
    for dep in dict.fromkeys(dep for dep in lock.deps if dep.path not in made):
        md5 = now.md5s.get(dep.path)
        if md5 != dep.md5 and (md5 or dep.path.startswith(start)):
            yield dep.path.removeprefix(start)
    if json.loads(lock.recipe) != json.loads(now.recipe):  # for DVC, too, 1 and 1.0 are the same
        yield "the parameters"


def _changed_commands(subject: ModelSubject, lock: Lock) -> Iterator[str]:
    dataset = str(subject.manifest.trained_on)
    for name, stage in subject.pipeline.stages.items() if subject.pipeline else ():
        if lock.commands.get(name) != _with_dataset(stage.command, dataset):
            yield f"the command of {name}"


def _with_dataset(command: str | tuple[str, ...], dataset: str) -> str | tuple[str, ...]:
    """A stage's command as DVC resolves its variable."""
    if isinstance(command, str):
        return command.replace(_VARIABLE, dataset)
    return tuple(line.replace(_VARIABLE, dataset) for line in command)


def outputs_match_lock(subject: ModelSubject, _: Facts) -> Iterator[Diagnostic]:
    """`metrics.json`, the plots and other outputs that Git tracks are as `dvc.lock` recorded them.

    A trained model has a `metrics.json`.

    Why: a metric that was edited by hand was not measured.

    How to fix: run `dvc repro MODEL/dvc.yaml`, and commit what it writes.
    """
    if subject.training is None:
        return
    training, metrics, fix = subject.training, subject.files.metrics, REPRO.format(subject.id)
    if metrics is None:
        yield wrong("metrics.json is missing", training.path, fix=fix)
    elif metrics.faults:
        fault = metrics.faults[0]
        yield wrong(fault.message, metrics.path, fault.line, fault.fix or fix)
        return
    for output in training.lock.outs:
        if (md5 := training.now.md5s.get(output.path)) and md5 != output.md5:
            yield wrong(f"MD5 is {md5[:10]}, expected {output.md5[:10]} (dvc.lock)", output.path, fix=fix)


def model_file_is_valid(subject: ModelSubject, _: Facts) -> Iterator[Diagnostic]:
    """`model.onnx` follows the contract in docs/models.md: standard operators, no external data, one input `images` and
    one output `scores`, and metadata with the classes and the input.

    It is opened, and run on made-up images, in a process with limits on time and memory. A model file that is not in
    DVC's cache is not opened; `registry report` fetches and measures it.

    Why: a consumer runs this file, whatever it was trained with, and the judge measures it.

    How to fix: export the model as docs/models.md describes.
    """
    if subject.objects is None or subject.training is None:
        return
    path = layout.product_path(subject.id)
    for fault in subject.objects.file_faults:
        yield wrong(f"{path} is not a valid model file: {fault}", subject.training.path, fix=EXPORT)
    if subject.objects.unopened:
        yield note(f"{path} was not opened: {subject.objects.unopened}", subject.training.path, PULL.format(subject.id))


def metrics_are_measured(subject: ModelSubject, _: Facts) -> Iterator[Diagnostic]:
    """`metrics.json` has exactly the metrics that `predictions.parquet` gives for the labels of the test set, and
    `predictions.parquet` has what `model.onnx` predicts for each test image.

    `registry check` recomputes the metrics; `registry report`, and so CI, also measures the model file itself. A score
    may differ by 0.002 on other hardware.

    Why: a number that was typed, or that a script of the model wrote, was not measured.

    How to fix: run `dvc repro MODEL/dvc.yaml`, whose stage `evaluate` calls `registry evaluate`.
    """
    if subject.objects is None or subject.training is None:
        return
    path = f"{subject.id}/metrics.json"
    for fault in subject.objects.metric_faults:
        yield wrong(fault, path, fix=REPRO.format(subject.id))
    if subject.objects.unread:
        yield note(f"metrics were not recomputed: {subject.objects.unread}", path, PULL.format(subject.id))


def gates_hold(subject: ModelSubject, facts: Facts) -> Iterator[Diagnostic]:
    """Each metric is within the `min` and `max` of the manifest's gates; one that is missing or not a number fails.

    A metric that is not in `metrics.json` may be one that the training reports in another file of `metrics:` in
    `dvc.yaml`; the result says that it was not measured.

    `no_worse_than: base` and gates on slices need the predictions of both versions; only `registry report` evaluates
    them, by what the judge measured. The new version fails without a `margin` when it is significantly worse on the
    shared test images: the whole confidence interval of the difference in accuracy (paired bootstrap, at the gate's
    `confidence`) is below zero. With a `margin` it fails unless the whole interval is above -margin. At a commit a
    failed gate is not *wrong*: it blocks the merge, not the commit.

    Why: a model that is worse than its owners agreed to must not be published unnoticed.

    How to fix: improve the model, or change the gate in `model.yaml`, which an owner approves.
    """
    report = needs_owner if facts.scope is Scope.STAGED else wrong
    if subject.metrics is None:
        return
    reported = {file.path: file.value for file in subject.files.reported if file.value is not None}
    for place, gate in enumerate(subject.manifest.gates):
        line, path = subject.line("gates", place), subject.path
        result = gates.evaluate_bounds(gate, subject.metrics, reported)
        if result and result.state is GateState.FAILED:
            yield report(result.message, path, line, IMPROVE)
        if gate.no_worse_than or (result and result.state is GateState.NOT_EVALUATED):
            against = " against the base" if gate.no_worse_than else ""
            message = f"the gate on {gates.describe(gate)}{against} is evaluated by `registry report` only"
            yield note(message, path, "registry report --base main")
