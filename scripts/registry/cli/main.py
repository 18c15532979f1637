"""The command `registry`: finds the sub-command; errors become words and exit codes (1 expected, 3 a bug)."""

import sys
import traceback
from importlib import import_module

import click

from registry.errors import RegistryError

# The whole of `registry --help`; each is `command` of the module that `module_of` names, imported when it is called.
COMMANDS = (
    ("new", "Make a dataset or a model: its folder, manifest and card."),
    ("select", "Ask Looker (or read an export) which images a dataset has."),
    ("refresh", "Ask Looker again, and make the next version where the answer changed."),
    ("build", "Turn a selection into a version: splits, pointers, objects in staging."),
    ("check", "Say what is wrong with a change, and what to do about it."),
    ("train", "Train every model that a change made stale."),
    ("diff", "Say how datasets differ between two revisions."),
    ("push", "Put every object that commits refer to into staging."),
    ("pull", "Bring data from staging and production, and link it."),
    ("checkout", "Link the data of the checked-out commit; say what is missing."),
    ("publish", "Release what has no tag yet: objects to production, then tags."),
    ("fsck", "Say whether production has every object of the releases; put back what is missing."),
    ("withdraw", "Say of a published version that nobody should use it, and why."),
    ("gc", "Delete from staging what no branch, tag or pull request refers to."),
    ("evaluate", "Compare models with those of a base revision, and judge their gates."),
    ("report", "Tell a reviewer what a change does: for the pull request, the browser and programs."),
    ("reproduce", "Train a published model again from its tag, and compare the metrics."),
    ("list", "Show the artifacts, their versions and where they are used."),
    ("init", "Make a fresh copy of the template your registry: names, owners, storage."),
    ("ci", "What the workflows type."),
    ("protect", "Have GitHub keep the promises: who may merge, move a tag, run which job."),
    ("demo", "Tell the whole story on a scratch copy."),
)


def module_of(name: str) -> str:
    """The module of a command. The demo is a guest: it uses the whole package, and nothing imports it."""
    return "registry.demo.command" if name == "demo" else f"registry.cli.commands.{name}"


class Commands(click.Group):
    """Sub-commands that are imported when they are called, so that `registry check` starts fast."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order of the way of the data."""
        return [name for name, _ in COMMANDS]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        return import_module(module_of(cmd_name)).command if cmd_name in dict(COMMANDS) else None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(COMMANDS)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The way of the data: new → select → build → check → dvc repro → push → publish.  "
    'Completion: eval "$(_REGISTRY_COMPLETE=bash_source registry)" (or zsh_source, fish_source).',
)
@click.version_option(package_name="registry")
def cli() -> None:
    """Own datasets and models the way you own code.

    An artifact is named by its path: datasets/cats_dogs, models/cats_dogs. Bytes live in object storage; Git holds
    manifests and pointers; every change is a pull request; a merge publishes.
    """


def main() -> None:
    """Run the command and exit."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run the command; errors become words on stderr. Returns the exit code."""
    try:
        return cli.main(args, prog_name="registry", standalone_mode=False) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 1
    except RegistryError as error:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {error}", err=True)
        return 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped; run the same command again to go on", err=True)
        return 130
    except Exception:  # noqa: BLE001 - the one place where a bug becomes words
        click.echo(traceback.format_exc(), err=True)
        click.echo("this is a bug in registry: please report it with the lines above", err=True)
        return 3
