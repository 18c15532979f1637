"""Recomputes prepared versions from their selections: facts for the rule that compares the two. Loads Polars."""

from collections.abc import Callable, Collection
from dataclasses import replace

from registry.checks.context import ArtifactSubject, DatasetSubject, Facts
from registry.core import parts
from registry.core.artifact_files import Reader
from registry.core.values import ArtifactId
from registry.dataset import reproduction
from registry.dataset.differences import Reproduction
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused


def recompute(
    facts: Facts, datasets: Collection[ArtifactId], read_object: Reader, progress: Callable[[int, int], None]
) -> Facts:
    """The facts, with how the prepared versions of `datasets` differ from what selection and rule give."""
    subjects: list[ArtifactSubject] = []
    for subject in facts.subjects:
        if isinstance(subject, DatasetSubject) and subject.id in datasets:
            subjects.append(replace(subject, reproduction=_reproduce(subject, read_object)))
            progress(1, 0)
        else:
            subjects.append(subject)
    return replace(facts, subjects=tuple(subjects))


def _reproduce(subject: DatasetSubject, read: Reader) -> Reproduction:
    manifest, objects = subject.manifest, subject.content.objects
    built = subject.prepared.build if subject.prepared else None
    try:
        rows = reproduction.read_rows(manifest, objects["raw"], read, subject.selection)
        facts = reproduction.compare_facts(rows, subject.selection) if subject.selection else ()
        listed = parts.of(objects)
        differences = tuple(reproduction.compare_version(manifest, rows, listed, read, built))
        whole = reproduction.compare_whole(listed, built, read)
        return Reproduction((*facts, *differences, *whole))
    except NotFound as error:
        return Reproduction(unread=error.message)
    except (Refused, InvalidData, InvalidDocument) as error:
        return Reproduction(invalid=error.message)
