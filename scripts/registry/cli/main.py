"""The command `registry`: loads a sub-command, and turns errors into messages and exit codes (1 expected, 3 a bug)."""

import gc
import signal
import sys
import traceback
from importlib import import_module
from io import StringIO, TextIOWrapper

import click

from registry.console import fail, say
from registry.core import extras
from registry.errors import RegistryError

# Every command with its help, in the order of the workflow; each is `command` of the module that `module_of` names.
COMMANDS = (
    ("new", "Create a dataset or a model from the template."),
    ("adopt", "Make a dataset of a DVC repository, a bucket's folder or a local folder of images."),
    ("select", "Run a dataset's Looker query, or read an export, and record the selected images."),
    ("refresh", "Run the Looker query again and, if its result changed, prepare the next version."),
    ("build", "Turn a selection into a version: validate images, assign splits, write prepared.dvc."),
    ("exclude", "Leave selected images out of a dataset, with the reason."),
    ("recall", "Take images out of every dataset, and keep them out."),
    ("check", "Check a change and print how to fix what is wrong."),
    ("train", "Train the models that a change made out of date."),
    ("diff", "Compare datasets between two revisions."),
    ("push", "Upload every object that commits refer to into staging."),
    ("pull", "Download data from staging and production, and link it into the working tree."),
    ("checkout", "Link the data of the checked-out commit, and list what is missing."),
    ("publish", "Release versions that have no tag yet: objects to production, then tags."),
    ("get", "Fetch a release into a folder, with the proof of its files; needs no DVC."),
    ("export", "Write the images of a dataset's release as shards for training."),
    ("outdated", "List imports of releases that are withdrawn or have a newer version, in another project."),
    ("fsck", "Verify that production has every object of the releases, and restore missing objects."),
    ("dossier", "Write down what is recorded of a release, for technical documentation."),
    ("sbom", "Write the bill of materials of a model's training (CycloneDX)."),
    ("verify", "Verify that files are those of a release, and what proves the release."),
    ("withdraw", "Mark a published version as withdrawn, with a reason."),
    ("erase", "Erase images everywhere, where the law demands it."),
    ("gc", "Delete objects from staging that no branch, tag or pull request refers to."),
    ("evaluate", "Measure a model file on a split of a dataset."),
    ("compare", "Compare models with those of a base revision, and evaluate their gates."),
    ("report", "Write the report of a change for the pull request, the browser and programs."),
    ("judge", "Judge a commit and the results of its training without checking it out, for CI."),
    ("reproduce", "Train a published model again from its tag, and compare the metrics."),
    ("list", "List artifacts, the states of their versions, and their releases."),
    ("show", "Show one artifact with all its releases, or one release."),
    ("where", "Find the releases that have an image, and the models that saw it."),
    ("catalog", "Write a web site of all artifacts and releases."),
    ("init", "Make a new registry, or set up one that was made from the template."),
    ("upgrade", "Bring the template's files and the tooling to another release."),
    ("hooks", "Install the Git hooks, or remove them."),
    ("ci", "Commands used by the GitHub Actions workflows (internal)."),
    ("protect", "Configure branch protection, tag rules and environments on GitHub."),
    ("demo", "Run the whole workflow on a scratch copy."),
)


def module_of(name: str) -> str:
    """The module of a command. The demo lies outside `cli`: it uses the whole package, and nothing imports it."""
    return "registry.demo.command" if name == "demo" else f"registry.cli.commands.{name}"


class Commands(click.Group):
    """Sub-commands that are imported when they are called, so that `registry check` starts fast."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order of the workflow."""
        return [name for name, _ in COMMANDS]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        return import_module(module_of(cmd_name)).command if cmd_name in dict(COMMANDS) else None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(COMMANDS)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from registry.scaffold import tooling  # only here: other commands start without it

        say(f"registry, version {tooling.read()}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Typical workflow: new → select → build → check → dvc repro → push → publish.  "
    'Shell completion: eval "$(_REGISTRY_COMPLETE=bash_source registry)" (or zsh_source, fish_source).',
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the version and the commit, and exit.",
)  # fmt: skip
def cli() -> None:
    """A registry of datasets and models, maintained like code.

    The id of an artifact is its path: datasets/cats_dogs, models/cats_dogs. Data lives in object storage; Git holds
    manifests and pointers; every change is a pull request; a merge publishes.
    """


def main() -> None:
    """Run the command and exit.

    A job that is cancelled gets SIGTERM, by which Python would end without removing temporary folders. Characters that
    an output's encoding lacks, as Windows' in a pipe does, are written as escapes, which JSON reads as what they are.
    """
    gc.set_threshold(50_000, 20, 20)  # what imports make is kept: looking through it took a tenth of the start
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run a command and return its exit code; errors are printed on stderr."""
    try:
        return cli.main(args, prog_name="registry", standalone_mode=False) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        say(shown.getvalue(), err=True)
        return 1
    except RegistryError as error:
        fail(error, error.label)
        return error.exit_code
    except ModuleNotFoundError as error:
        if missing := extras.explain(error):
            fail(missing)
            return missing.exit_code
        return _report_bug()
    except (KeyboardInterrupt, click.Abort):
        say("interrupted\n  hint: run the same command again to continue", err=True)
        return 130
    except Exception:  # noqa: BLE001 - the one place where a bug becomes a message
        return _report_bug()


def _report_bug() -> int:
    """Print the exception that is handled; the exit code."""
    say(traceback.format_exc(), err=True)
    say("this is a bug in registry\n  hint: report it with the lines above", err=True)
    return 3
