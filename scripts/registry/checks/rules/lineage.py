"""Rules on the models that a model builds on."""

from collections.abc import Iterator
from posixpath import join, normpath

from registry.checks.context import Facts, ModelSubject
from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.core import layout
from registry.core.model_values import FEATURES
from registry.core.values import Kind


def lineage_is_recorded(subject: ModelSubject, facts: Facts) -> Iterator[Diagnostic]:
    """`builds_on` names models of this registry that give features, and every other model whose files the pipeline
    depends on. An owner decides about a version of one that is withdrawn.

    That the training used the file of the version that the change has is a part of the check `training`.

    Why: weights of a backbone are a part of the model, with its terms, its training images and its faults.

    How to fix: correct the key that the finding names; `registry list` shows the models.
    """
    for place, model in enumerate(subject.manifest.builds_on):
        if fault := _fault(subject, facts, place):
            line, fix = (
                subject.line("builds_on", place),
                "name a model that `registry list` shows and that gives features",
            )
            yield wrong(f"builds_on: {model} {fault}", subject.path, line, fix)
    yield from _undeclared(subject)
    yield from _withdrawn(subject)


def _fault(subject: ModelSubject, facts: Facts, place: int) -> str:
    model = subject.manifest.builds_on[place]
    if model == subject.id:
        return "is this model"
    if model not in facts.artifacts:
        return "does not exist"
    found = next((one.manifest for one in subject.backbones if one.id == model), None)
    return f"gives {found.task}, expected {FEATURES}" if found and found.task != FEATURES else ""


def _undeclared(subject: ModelSubject) -> Iterator[Diagnostic]:
    """Dependencies on files of models that `builds_on` does not name."""
    path = f"{subject.id}/dvc.yaml"
    for stage in subject.pipeline.stages.values() if subject.pipeline else ():
        for dependency in stage.dependencies:
            owner = layout.owner_of(normpath(join(str(subject.id), dependency)))
            if owner and owner.kind is Kind.MODEL and owner not in (subject.id, *subject.manifest.builds_on):
                message = f"the pipeline depends on {dependency}, and builds_on does not name {owner}"
                yield wrong(message, path, fix=f"add {owner} to builds_on in {subject.path}")
                return


def _withdrawn(subject: ModelSubject) -> Iterator[Diagnostic]:
    if subject.manifest.version in subject.manifest.withdrawn:
        return
    for one in subject.backbones:
        if one.manifest and (reason := one.manifest.withdrawn.get(one.manifest.version)):
            message, line = f"builds on {one}, which is withdrawn: {reason}", subject.line("builds_on")
            yield needs_owner(
                message, subject.path, line, f"build on another version of {one.id}, or withdraw this one"
            )
