"""Stages as GTO has them: the latest tag of a stage gives it to the version of its commit, or takes it away."""

from collections.abc import Mapping

from registry.core import names
from registry.core.values import ArtifactId


def find(times: Mapping[str, int], commits: Mapping[str, str]) -> Mapping[tuple[ArtifactId, str], tuple[str, ...]]:
    """By artifact and commit: the stages whose latest tag is on it, which is what `dvc artifacts get --stage` takes.

    `times` has when each tag was made, in seconds since 1970, and `commits` the commit of each.
    """
    latest: dict[tuple[ArtifactId, str], str | None] = {}
    for name in sorted(times, key=lambda name: (times[name], name)):
        if tag := names.find_stage(name):
            latest[tag.artifact, tag.stage] = None if tag.is_end else commits[name]
    found: dict[tuple[ArtifactId, str], tuple[str, ...]] = {}
    for (artifact, stage), commit in sorted(latest.items()):
        if commit:
            found[artifact, commit] = (*found.get((artifact, commit), ()), stage)
    return found
