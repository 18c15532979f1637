"""Tells whoever takes data of a withdrawn version, for the commands that fetch, link or use it."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from registry.cli.workspace import warn
from registry.core import layout, manifests
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Tag
from registry.errors import RegistryError
from registry.integrations import git, git_trees
from registry.release import withdraw


def warn_of_versions(root: Path, tree: Tree, artifacts: Iterable[ArtifactId]) -> None:
    """Warn of each artifact whose version in `tree` is withdrawn; what has no valid manifest there is passed over."""
    for artifact in sorted(set(artifacts)):
        try:
            tag = Tag(artifact, manifests.load(tree, artifact).version)
        except RegistryError:
            continue
        warn_of(root, tag)


def warn_of_data(folder: Path) -> None:
    """The same for what has its data in a folder; one outside of a registry is passed over."""
    with suppress(RegistryError, ValueError):
        root = git.find_root(folder)
        if artifact := layout.owner_of(f"{folder.resolve().relative_to(root.resolve()).as_posix()}/"):
            warn_of_versions(root, git_trees.WorkTree(root), [artifact])


def warn_of(root: Path, tag: Tag) -> None:
    """Warn if a version is withdrawn, or if that cannot be read."""
    try:
        if found := withdraw.find(root, tag):
            warn(str(found))
    except RegistryError as error:
        warn(f"whether {tag} is withdrawn is not known: {error.message}")
