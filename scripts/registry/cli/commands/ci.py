"""`registry ci`: the commands of the workflows. Each treats the files that another job wrote as untrusted input."""

import json
from pathlib import Path

import click

from registry.checks import tracked_files
from registry.cli.workspace import here
from registry.core import names
from registry.integrations import git, git_commits, git_trees, github
from registry.model import train, training_results
from registry.release import drift_issue, refresh
from registry.report import commit_status, github_images
from registry.report.comment import WATERMARK, mark_stale


@click.group()
def command() -> None:
    """Commands used by the GitHub Actions workflows (internal). Each can be run by hand, too."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--head", metavar="COMMIT", required=True, help="The commit that the report was made for.")
@click.option("--branch", required=True, help="The pull request's branch at origin.")
@click.option("--report", type=click.Path(path_type=Path), help="The report.md to mark as stale if the branch moved.")
def accept(folder: Path, head: str, branch: str, report: Path | None) -> None:
    """Commit dvc.lock, metrics and plots of a training job to the pull request's branch.

    Only files that the model's dvc.yaml names are taken, and only if the branch is still at the commit that the report
    was made for; otherwise the report is marked as stale. Prints commit=ID, the commit that the report describes, and
    stale=true or stale=false.
    """
    root = here().root
    commit, is_stale = head, git.refs(root, "origin").get(f"refs/heads/{branch}") != head
    if is_stale and report:
        why = f"this report was made for {head[:10]}, and the branch has moved on since."
        report.write_text(mark_stale(report.read_text(), why))
    if not is_stale:
        paths = git.changed_paths(root, git.merge_base(root, "HEAD", head), head)
        with git_trees.Revision(root, head) as tree:
            models = train.concerned(tree, paths)
        commit = training_results.resulting_commit(root, head, models, folder)
    if commit != head:
        git_commits.push_branch(root, commit, branch)
    click.echo(f"commit={commit}\nstale={str(is_stale).lower()}")


@command.command()
@click.argument("number", metavar="PULL_REQUEST", type=int)
@click.option("--head", metavar="COMMIT", required=True, help="The commit that the new report will describe.")
@click.option("--url", required=True, help="The workflow run that makes the new report.")
def stale(number: int, head: str, url: str) -> None:
    """Mark the report of a pull request, if there is one, as being replaced by a new one."""
    repository = github.connect(here().root)
    for comment in github.comments(repository, number):
        if comment.author == github.ACTIONS and WATERMARK in comment.body:
            body = mark_stale(comment.body, f"[a run]({url}) is making the report of {head[:10]}.")
            github.update_comment(repository, comment.id, body)


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def pictures(folder: Path) -> None:
    """Push the pictures of a report to the branch `reports`, and make its report.md link to them there."""
    click.echo(f"pictures: {github_images.publish(here().root, folder) or 'none'}")


@command.command()
@click.argument("report", metavar="REPORT.JSON", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--commit", required=True, help="The commit that gets the status.")
@click.option("--url", default="", help="The status links to this page.")
@click.option("--job", "jobs", multiple=True, metavar="NAME=RESULT", help="A job that must have succeeded.")
def gate(report: Path, commit: str, url: str, jobs: tuple[str, ...]) -> None:
    """Set the commit status registry/gate from a report: failure if the change is blocked, otherwise success.

    Prints state=success or state=failure.
    """
    status = commit_status.commit_status(report.read_bytes(), dict(job.split("=", 1) for job in jobs))
    github.set_status(github.connect(here().root), commit, commit_status.CONTEXT, status.state, status.description, url)
    click.echo(f"registry/gate of {commit[:10]}: {status.description}", err=True)
    click.echo(f"state={status.state}")


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--url", required=True, help="The workflow run that failed.")
def drift(folder: Path, url: str) -> None:
    """Open an issue with the output of the nightly checks that failed, or update the open one."""
    repository = github.connect(here().root)
    click.echo(github.upsert_issue(repository, drift_issue.TITLE, drift_issue.body(folder, url), drift_issue.LABEL))


@command.command()
@click.argument("dataset", required=False)
def queries(dataset: str | None) -> None:
    """Print datasets=[...], a JSON list: every dataset that can be refreshed, or the given one."""
    found = (names.parse_id(dataset),) if dataset else refresh.find_queries(here().tree)
    click.echo(f"datasets={json.dumps([str(artifact) for artifact in found])}")


@command.command()
@click.option("--base", metavar="REVISION", required=True, help="The branch that the change is for: origin/main.")
@click.option("--head", metavar="REVISION", default="HEAD", show_default=True, help="The change.")
def scope(base: str, head: str) -> None:
    """Print whether a change touches data or the verdict on it, and whether it touches programs.

    Prints data=true or data=false, and tooling=true or tooling=false. The table of files is in docs/reference/files.md;
    only Git objects are read, and nothing of the change is run.
    """
    root = here().root
    old = git.merge_base(root, git.resolve_commit(root, base), git.resolve_commit(root, head))
    with git_trees.Revision(root, head) as tree:
        found = tracked_files.touched(git.changed_paths(root, old, tree.commit), tree)
    click.echo(f"data={str(found.data).lower()}\ntooling={str(found.tooling).lower()}")
