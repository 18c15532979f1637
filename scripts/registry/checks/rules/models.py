"""Rules on a model's pipeline, its training, its metrics and its gates."""

import json
import re
from collections.abc import Iterator, Mapping
from posixpath import basename, join, normpath
from typing import Any

from registry.checks.context import Facts, ListedImages, ModelSubject, Scope, Training
from registry.checks.findings import Diagnostic, needs_owner, note, wrong
from registry.core import layout, wording
from registry.core.artifact_files import ArtifactFiles, Lock, Parsed, Pipeline
from registry.core.values import ArtifactId, ModelManifest
from registry.model import gates
from registry.model.changes import GateState

_VARIABLE = re.compile(r"\$\{\w+\}")
VERSION = "../../${trained_on}/dataset.yaml:version"  # of the dataset that a stage reads the shards of
REPRO = "dvc repro {}/dvc.yaml"
PULL = "registry pull {}"
EXPORT = "export the model as docs/models.md describes"
IMPROVE = "improve the model, or change the gate in model.yaml (needs an owner's approval)"


def pipeline_is_valid(files: ArtifactFiles) -> Iterator[Diagnostic]:
    """`dvc.yaml`, `dvc.lock` and `model.onnx.dvc` match their closed schemas; outputs stay in the model's folder,
    dependencies in the registry. A model that was trained elsewhere has a `model.onnx.dvc`; for any other model, the
    pipeline makes `model.onnx`. Where the weights are in `model.onnx.data` (with a pointer of its own), a stage that
    depends on `model.onnx` depends on both. A stage that reads shards (`--shards`) depends on the dataset's version.

    Keys that make DVC download from elsewhere (URLs, `repo`, `remote`, `wdir`) are not allowed. What DVC would read
    otherwise than the checks is refused, in `params.yaml`, too.

    Why: `dvc repro` and `dvc pull` obey these files, in a job that has credentials for staging.

    How to fix: correct the line that the finding names. Never edit `dvc.lock`: `dvc repro` writes it.
    """
    faulty = [(file.path, file.faults) for file in _obeyed(files)]
    for path, faults in faulty:
        for fault in faults:
            yield wrong(fault.message, path, fault.line, fault.fix)
    if files.pipeline and files.pipeline.value:
        yield from _dependencies(files.id, files.pipeline, files.pipeline.value)
        yield from _depends_on_both(files, files.pipeline, files.pipeline.value)
        yield from _depends_on_version(files.pipeline, files.pipeline.value)
    if isinstance(files.manifest.value, ModelManifest):
        yield from _one_source(files, files.manifest.value)


def _obeyed(files: ArtifactFiles) -> Iterator[Parsed[Any]]:
    return filter(None, (files.pipeline, files.lock, files.model, files.sidecar, files.params))


def _one_source(files: ArtifactFiles, manifest: ModelManifest) -> Iterator[Diagnostic]:
    """The model's files come from pointers or from the pipeline, as the manifest says."""
    path, lock = layout.product_path(files.id), files.lock.value if files.lock else None
    if manifest.origin is None:
        for pointer in filter(None, (files.model, files.sidecar)):
            made = pointer.path.removesuffix(".dvc")
            fix = "remove the file; or name where the model comes from (origin and measured_on), without trained_on"
            yield wrong(f"the training makes {made}, expected no pointer to it", pointer.path, fix=fix)
        return
    if files.model is None:
        yield wrong(f"{layout.model_pointer(files.id)} is missing: the model has an origin", files.manifest.path,
                    files.manifest.line("origin"), f"dvc add {path}")  # fmt: skip
    for out in lock.outs if lock and files.lock else ():
        if out.path in {path, layout.sidecar_path(files.id)}:
            fix = f"remove the stage that makes it from {files.id}/dvc.yaml, or set trained_on in place of origin"
            yield wrong(f"{out.path} is made by a stage, although the model has an origin", layout.lock_path(files.id),
                        fix=fix)  # fmt: skip


def _depends_on_both(files: ArtifactFiles, file: Parsed[Pipeline], pipeline: Pipeline) -> Iterator[Diagnostic]:
    """A stage that reads the model reads its sidecar, which is all that another training may change."""
    product, sidecar = map(basename, (layout.product_path(files.id), layout.sidecar_path(files.id)))
    made = {normpath(path) for stage in pipeline.stages.values() for path in stage.outputs}
    has_sidecar = files.sidecar is not None or sidecar in made
    for name, stage in pipeline.stages.items():
        read, line = {*map(normpath, stage.dependencies)}, file.line("stages", name, "deps")
        if has_sidecar and product in read and sidecar not in read:
            message = f"the stage {name} depends on {product} and not on {sidecar}, which has its weights"
            yield wrong(message, file.path, line, f"add {sidecar} to its deps")
        if sidecar in read and not has_sidecar:
            message = f"the stage {name} depends on {sidecar}, which has no pointer and no stage that makes it"
            fix = f"remove it from deps; or, where the model has such a file, dvc add {files.id}/{sidecar}"
            yield wrong(message, file.path, line, fix)


def _depends_on_version(file: Parsed[Pipeline], pipeline: Pipeline) -> Iterator[Diagnostic]:
    """A stage that reads the shards of the dataset's release runs again for another release."""
    for name, stage in pipeline.stages.items():
        commands = [stage.command] if isinstance(stage.command, str) else stage.command
        if any("--shards" in command.split() for command in commands) and VERSION not in stage.parameters:
            message = f"the stage {name} reads shards and does not depend on the dataset's version"
            fix = "add `../../${trained_on}/dataset.yaml: [version]` to its params"
            yield wrong(message, file.path, file.line("stages", name, "cmd"), fix)


def _dependencies(model: ArtifactId, file: Parsed[Pipeline], pipeline: Pipeline) -> Iterator[Diagnostic]:
    known = {f"${{{name}}}" for name in pipeline.variables}
    for name, stage in pipeline.stages.items():
        for place, path in enumerate(stage.dependencies):
            line = file.line("stages", name, "deps", place)
            used = set(_VARIABLE.findall(path))
            if missing := sorted(used - known):
                fix = f"write `vars: [model.yaml:{missing[0][2:-1]}]` at the top of the file"
                yield wrong(f"the dependency {path} has a variable, but vars does not", file.path, line, fix)
            elif normpath(join(str(model), _VARIABLE.sub("datasets/x", path))).startswith("../"):
                fix = "name a file or folder of this registry"
                yield wrong(f"the dependency {path} is outside the registry", file.path, line, fix)


def dataset_exists(subject: ModelSubject, facts: Facts) -> Iterator[Diagnostic]:
    """`trained_on` or `measured_on` names a dataset of this registry.

    Why: the dataset's images are what the model is measured on, and the report compares versions on them.

    How to fix: correct the key that the finding names; `registry list` shows the datasets.
    """
    for key in ("trained_on", "measured_on"):
        dataset = getattr(subject.manifest, key)
        if dataset is not None and dataset not in facts.artifacts:
            fix = "name a dataset that `registry list` shows"
            yield wrong(f"{key}: {dataset} does not exist", subject.path, subject.line(key), fix)


def training_is_current(subject: ModelSubject, facts: Facts) -> Iterator[Diagnostic]:
    """`dvc.lock` was written by a training with the code, the parameters and the dataset that the change has now, and
    with the files of the models that it builds on; each stage ran with what the others made. It records nothing that
    `dvc.yaml` does not declare.

    A model that was trained elsewhere is only measured: `dvc.lock` has the model file and the dataset of that. Nothing
    is measured for a model whose task is `features`.

    At a commit, and where only the dataset or a backbone changed, an outdated training is not *wrong*: an owner
    decides.

    Why: the weights and the metrics of a version must come from the code and the data that its reviewers see.

    How to fix: run `dvc repro MODEL/dvc.yaml`, or let the training job do it, and commit what it writes.
    """
    fix, manifest = REPRO.format(subject.id), subject.manifest
    done = "measured" if manifest.origin else "trained"
    if subject.training is None:
        if manifest.is_measured or not manifest.origin:
            yield note(f"not {done} yet", subject.path, fix)
        return
    for file in subject.training.now.unreadable:
        for fault in file.faults if file.path not in subject.files.faulty else ():
            yield wrong(fault.message, file.path, fault.line, fault.fix)
    report = wrong if subject.touched and facts.scope is not Scope.STAGED else needs_owner
    lock = subject.training.lock
    for path in _expected_inputs(manifest, subject.files):
        if not any(dep.path == path or dep.path.startswith(f"{path}/") for dep in lock.deps):
            yield report(f"not {done} on {path}", subject.training.path, fix=fix)
            return
    for what, step in _undeclared(subject, lock):
        yield report(what, subject.training.path, fix=step)
    if changed := [*_changed_inputs(subject.id, subject.training), *_changed_commands(subject, lock)]:
        when = "since it was measured" if manifest.origin else "since the training"
        yield report(f"changed {when}: {wording.abbreviate(changed)}", subject.training.path, fix=fix)


def _expected_inputs(manifest: ModelManifest, files: ArtifactFiles) -> Iterator[str]:
    """What the lock must have been made with: the dataset, backbones' files, or those of a model from elsewhere."""
    if manifest.dataset:
        yield f"{manifest.dataset}/prepared"
    if manifest.origin and manifest.is_measured:
        yield from (output.path for output in files.model_files)
    if manifest.origin is None:
        yield from map(layout.product_path, manifest.builds_on)


def _changed_inputs(model: ArtifactId, training: Training) -> Iterator[str]:
    lock, now, start = training.lock, training.now, f"{model}/"
    made = {output.path: output.md5 for output in lock.outs}
    for dep in dict.fromkeys(lock.deps):
        md5 = made.get(dep.path) or now.md5s.get(dep.path)  # `dvc repro --single-item` runs one stage of several
        if md5 != dep.md5 and (md5 or dep.path.startswith(start)):
            yield dep.path.removeprefix(start)
    if json.loads(lock.recipe) != json.loads(now.recipe):  # for DVC, too, 1 and 1.0 are the same
        yield "the parameters"


def _changed_commands(subject: ModelSubject, lock: Lock) -> Iterator[str]:
    values = {f"${{{key}}}": str(getattr(subject.manifest, key)) for key in ("trained_on", "measured_on")}
    for name, stage in subject.pipeline.stages.items() if subject.pipeline else ():
        if lock.commands.get(name) != _resolved(stage.command, values):
            yield f"the command of {name}"


def _undeclared(subject: ModelSubject, lock: Lock) -> Iterator[tuple[str, str]]:
    """What the lock records and the pipeline does not have, which DVC ignores, and the next step."""
    values = {f"${{{key}}}": str(getattr(subject.manifest, key)) for key in ("trained_on", "measured_on")}
    stages = subject.pipeline.stages if subject.pipeline else {}
    for name, paths in lock.paths.items():
        if name not in stages:
            yield f"records the stage {name}, which dvc.yaml does not have", f"delete {name} from the file"
            continue
        declared = (str(_resolved(path, values)) for path in (*stages[name].outputs, *stages[name].dependencies))
        if more := {normpath(path) for path in paths} - set(map(normpath, declared)):
            step = f"dvc repro --force {subject.id}/dvc.yaml, which writes the file again"
            yield f"records {wording.abbreviate(sorted(more))}, which the stage {name} does not declare", step


def _resolved(command: str | tuple[str, ...], values: Mapping[str, str]) -> str | tuple[str, ...]:
    """A stage's command as DVC resolves its variable."""
    if isinstance(command, str):
        return _VARIABLE.sub(lambda match: values.get(match[0], match[0]), command)
    return tuple(_VARIABLE.sub(lambda match: values.get(match[0], match[0]), line) for line in command)


def outputs_match_lock(subject: ModelSubject, _: Facts) -> Iterator[Diagnostic]:
    """`metrics.json`, the plots and other outputs that Git tracks are as `dvc.lock` recorded them.

    A model that was measured has a `metrics.json`.

    Why: a metric that was edited by hand was not measured.

    How to fix: run `dvc repro MODEL/dvc.yaml`, and commit what it writes.
    """
    if subject.training is None:
        return
    training, metrics, fix = subject.training, subject.files.metrics, REPRO.format(subject.id)
    if metrics is None:
        if subject.manifest.is_measured:
            yield wrong("metrics.json is missing", training.path, fix=fix)
    elif metrics.faults:
        fault = metrics.faults[0]
        yield wrong(fault.message, metrics.path, fault.line, fault.fix or fix)
        return
    for output in training.lock.outs:
        if (md5 := training.now.md5s.get(output.path)) and md5 != output.md5:
            yield wrong(f"MD5 is {md5[:10]}, expected {output.md5[:10]} (dvc.lock)", output.path, fix=fix)


def model_file_is_valid(subject: ModelSubject, _: Facts) -> Iterator[Diagnostic]:
    """`model.onnx` follows the contract in docs/models.md: standard operators, weights in the file or in the
    sidecar `model.onnx.data`, one input `images` and one output `scores`, and metadata with the classes and the input.

    It is opened, and run on made-up images, in a process with limits on time and memory. A model file that is not in
    DVC's cache is not opened; `registry report` fetches and measures it.

    Why: a consumer runs this file, whatever it was trained with, and the judge measures it.

    How to fix: export the model as docs/models.md describes.
    """
    if subject.objects is None:
        return
    path = layout.product_path(subject.id)
    pointer = layout.model_pointer(subject.id) if subject.manifest.origin else layout.lock_path(subject.id)
    for fault in subject.objects.file_faults:
        yield wrong(f"{path} is not a valid model file: {fault}", pointer, fix=EXPORT)
    if subject.objects.unopened:
        yield note(f"{path} was not opened: {subject.objects.unopened}", pointer, PULL.format(subject.id))


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


def training_images_are_no_test_images(subject: ModelSubject, _: Facts) -> Iterator[Diagnostic]:
    """No test image is among the training images that a model from elsewhere lists in `origin.training_images`, or a
    model that this one builds on.

    The file has one UUID, MD5 or SHA-256 per line, lines that start with # aside. An owner decides about test images
    among them. The comparison with the base leaves them out, for both models.

    Why: a model is better on images that it was trained on than on new ones, so the metrics say too much.

    How to fix: ask for a model that was trained without these images, or leave the decision to an owner. Moving the
    images out of the test set changes the split rule of the dataset, which is major.
    """
    if subject.objects is None:
        return
    for listed in subject.objects.lists:
        for fault in listed.faults.faults if listed.faults else ():
            yield wrong(fault.message, listed.faults.path if listed.faults else "", fault.line, fault.fix)
        yield from _leaked(subject, listed, subject.objects.tests)


def _leaked(subject: ModelSubject, listed: ListedImages, tests: int) -> Iterator[Diagnostic]:
    is_own = listed.model == subject.id
    line = subject.line("origin", "training_images") if is_own else subject.line("builds_on")
    images = "the model's training images" if is_own else f"the training images of {listed.model}, which it builds on"
    if listed.leaked:
        count = f"{len(listed.leaked):,} of {wording.plural(tests, 'test image')}"
        verb = "is" if len(listed.leaked) == 1 else "are"
        message = f"{count} {verb} among {images}: {wording.abbreviate(listed.leaked)}"
        yield needs_owner(message, subject.path, line, "ask for a model that was trained without them")
    if listed.unlisted:
        count = wording.plural(listed.unlisted, "test image")
        message = f"{count} could not be compared with {images}"
        yield note(message, subject.path, PULL.format(subject.manifest.dataset))


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
