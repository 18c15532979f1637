"""`registry hooks`."""

from pathlib import Path

import click

from registry.console import say
from registry.core.wording import join
from registry.integrations import git, hook_install


@click.group()
def command() -> None:
    """Git hooks: checks before a commit, objects to staging before a push, and data that follows HEAD."""


@command.command()
def install() -> None:
    """Install the hooks, or bring them up to this version of the tooling; `make setup` does it.

    They run a copy of the tooling in Git's own folder, so that checking a branch out runs nothing of it. Hooks that
    are there already are kept, and run first; those of pre-commit are replaced. All working trees share the hooks.
    """
    done = hook_install.install(git.find_root(Path.cwd()))
    say(f"installed in {done.hooks}")
    if done.kept:
        say(f"run first: {join(done.kept)}, which were there before ({hook_install.BEFORE})")


@command.command()
def uninstall() -> None:
    """Remove the hooks, and put back those that were there before."""
    restored = hook_install.uninstall(git.find_root(Path.cwd()))
    say(f"removed{f'; put back: {join(restored)}' if restored else ''}")
