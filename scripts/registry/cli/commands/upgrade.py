"""`registry upgrade`."""

from dataclasses import replace

import click

from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import settings
from registry.core.escaping import markdown_code
from registry.core.settings import Template
from registry.core.wording import plural
from registry.errors import Refused, ToolFailed
from registry.integrations import git, git_commits, github
from registry.scaffold import template_repository, upgrade
from registry.scaffold.upgrade import Plan

BRANCH = "upgrade"
_NO_PERMISSION = "without `workflows` permission"  # GitHub's words, for a push of workflows with a job's own token


@click.command()
@click.option(
    "--to", metavar="VERSION", default="", help="A release, or a commit of the template. Default: the newest."
)
@click.option(
    "--from", "start", metavar="COMMIT", help="The template's commit that this registry is at, if not recorded."
)
@click.option("--source", help="The URL of the template's repository, if it is not recorded.")
@click.option("--wheel", metavar="URL", default="", help="Its wheel, if that is not beside the one that is installed.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and write nothing.")
@click.option("--propose", is_flag=True, help="Push the result as a branch, and open or update a pull request.")
def command(to: str, start: str | None, source: str | None, wheel: str, *, dry_run: bool, propose: bool) -> None:
    """Bring the template's files and the tooling to another release of the template.

    Git merges what changed there since the commit in registry.yaml into this registry's files. Files that were not
    edited here never conflict; a conflict is marked in the file, and named with what the template changed. Data,
    manifests, README.md and tests are not touched. Nothing is committed: look at `git diff`.
    """
    space = here()
    pin = _pin(space, start, source)
    repository = template_repository.fetch(space.root, pin.source)
    plan = upgrade.plan(space.root, pin, repository, to, wheel)
    if plan is None:
        say(f"the template is at {pin.version} ({pin.commit[:12]}): nothing to do")
        return
    say(str(plan))
    if dry_run:
        return
    if propose:
        _propose(space, plan)
        return
    upgrade.apply(plan, space.root)
    if plan.conflicts:
        say(f"hint: resolve the conflicts in {plural(len(plan.conflicts), 'file')}, then make setup, and commit")
        raise click.exceptions.Exit(1)
    say("hint: make setup, then registry check --all, review `git diff`, and commit")


def _pin(space: Workspace, start: str | None, source: str | None) -> Template:
    """What registry.yaml says, or what the options say instead."""
    recorded = space.registry_file.template
    if recorded is None and not (start and source):
        fix = "registry upgrade --from COMMIT --source URL: the template's commit that this registry was made of"
        raise Refused(f"{settings.PATH} has no template:, so nothing is known to upgrade from", fix=fix)
    pin = recorded or Template("", "unknown", "")
    return replace(pin, source=source or pin.source, commit=start or pin.commit)


def _propose(space: Workspace, plan: Plan) -> None:
    """Commit on top of HEAD, and push it to the branch of this command; the working tree stays as it is."""
    connected = github.connect(space.root)
    title = f"Upgrade the template to {plan.new.version} ({plan.new.commit[:12]})"
    files = {path: file.data for path, file in plan.files.items()}
    commit = git_commits.commit_files(space.root, git.resolve_commit(space.root, "HEAD"), files, f"{title}\n")
    try:
        git_commits.push_branch(space.root, commit, BRANCH, force=True)
    except ToolFailed as error:
        if _NO_PERMISSION not in error.stderr:
            raise
        fix = "give the environment refresh the secret UPGRADE_TOKEN, or run `registry upgrade` in a clone"
        raise Refused("GitHub refuses a job's own token for changes of workflows", fix=fix) from error
    base = github.default_branch(connected)
    say(github.open_pull_request(connected, BRANCH, title, _body(plan), base))


def _body(plan: Plan) -> str:
    """The body of the pull request."""
    parts = [f"The template's files are brought from {plan.old.version} to {plan.new.version}."]
    if plan.conflicts:
        names = "".join(f"- {markdown_code(path)}\n" for path in plan.conflicts)
        parts.append(f"**These files were changed here and in the template. Resolve their conflicts:**\n\n{names}")
    parts += plan.news
    parts.append("To have the workflows run on it, close this pull request and open it again.")
    return "\n\n".join(parts) + "\n"
