"""Collects what Git makes of files between its objects and the working tree, for the rules of `check`."""

from dataclasses import replace
from pathlib import Path

from registry.checks.collect import CONFIGS, Change
from registry.checks.context import Facts, Scope
from registry.core.layout import owner_of
from registry.integrations import git_attributes

_READ = (*CONFIGS, "dvc.yaml", ".dvcignore")


def with_conversions(facts: Facts, root: Path, change: Change) -> Facts:
    """The facts, with conversions of files that DVC or a command reads: of changed ones, of all if attributes changed.

    A commit has the line ends of the index, or its own, so those of the working tree are left out.
    """
    staged = change.scope is Scope.STAGED
    attributes_changed = any(path.rpartition("/")[2] == ".gitattributes" for path in change.paths)
    paths = [entry.path for entry in change.tree.list()] if attributes_changed else sorted(change.paths)
    read = [path for path in paths if path in _READ or owner_of(path)]
    return replace(
        facts,
        conversions=git_attributes.conversions(root, read, staged=staged, commit=change.commit) if read else {},
        line_ends=() if staged or change.commit else git_attributes.paths_with_other_line_ends(root),
    )
