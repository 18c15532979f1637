"""The registry that a command works in: its root, its working tree, its settings."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from registry.core import settings
from registry.errors import NotFound
from registry.integrations import git, git_trees


@dataclass(frozen=True)
class Workspace:
    """The checkout around the current folder."""

    root: Path

    @cached_property
    def tree(self) -> git_trees.WorkTree:
        """Its files, listed once: ask again (`Workspace(root)`) after writing."""
        return git_trees.WorkTree(self.root)

    @cached_property
    def settings(self) -> settings.Settings:
        """What `registry.yaml`, `.dvc/config` and `.dvc/config.local` say."""
        local = self.root / settings.LOCAL_CONFIG
        return settings.load(self.tree, local.read_bytes() if local.is_file() else b"")


def here() -> Workspace:
    """The workspace around the current folder. Raises NotFound outside a registry."""
    root = git.find_root(Path.cwd())
    if not (root / settings.PATH).is_file():
        raise NotFound(
            f"{root} is not a registry: it has no {settings.PATH}", fix="cd into your registry, or `registry init`"
        )
    return Workspace(root)


def warn(message: str) -> None:
    """Show what a person should know, though the command goes on."""
    click.echo(f"warning: {message}", err=True)
