"""Raising a dataset's version as far as its change since HEAD requires, for several commands."""

from registry.checks import collect
from registry.cli import checking
from registry.cli.workspace import Workspace
from registry.console import say
from registry.core.atomic_write import write_atomically
from registry.core.values import ArtifactId
from registry.release import refresh


def raise_version(space: Workspace, artifact: ArtifactId) -> None:
    """Write the lowest version that the change requires, unless the manifest's is high enough, and generated files."""
    facts = checking.gather(space, collect.since(space.root, "HEAD"))
    if version := refresh.next_version(facts, artifact):
        path, data = refresh.with_version(space.tree, artifact, version)
        write_atomically(space.root / path, data)
        say(f"{path}: version {version}")
    space.write_generated_files()
