"""`registry ci`: what the workflows type, each a step that takes what an earlier job wrote as a stranger's."""

from pathlib import Path

import click

from registry.cli.workspace import here


@click.group()
def command() -> None:
    """What the workflows in .github type; every command of it can be typed by hand, too."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--head", metavar="COMMIT", required=True, help="What the report was made for.")
@click.option("--branch", required=True, help="The pull request's branch at origin.")
@click.option("--report", type=click.Path(path_type=Path), help="The report.md that is marked when it is stale.")
def accept(folder: Path, head: str, branch: str, report: Path | None) -> None:
    """Put the lock, metrics and plots that a training handed over onto the branch.

    Only what the model's dvc.yaml names is taken, and only while the branch is where the report was made; else the
    report is marked as stale. Prints commit=ID, the commit that the report speaks of, and stale=true or false.
    """
    from registry.model import training_results
    from registry.report.markdown import mark_stale

    done = training_results.accept(here().root, folder, head, branch)
    if done.stale and report:
        why = f"this report was made for {head[:10]}, and the branch has moved on since."
        report.write_text(mark_stale(report.read_text(), why))
    click.echo(f"commit={done.commit}\nstale={str(done.stale).lower()}")


@command.command()
@click.argument("number", metavar="PULL_REQUEST", type=int)
@click.option("--head", metavar="COMMIT", required=True, help="What the new report will be of.")
@click.option("--url", required=True, help="The run that makes it.")
def stale(number: int, head: str, url: str) -> None:
    """Have the report of a pull request, if there is one, say that a new one is being made."""
    from registry.integrations import github
    from registry.report.markdown import WATERMARK, mark_stale

    repository = github.connect(here().root)
    for comment in github.comments(repository, number):
        if comment.author == github.ACTIONS and WATERMARK in comment.words:
            words = mark_stale(comment.words, f"[a run]({url}) is making the report of {head[:10]}.")
            github.change_comment(repository, comment.id, words)


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def pictures(folder: Path) -> None:
    """Push the pictures of a report's folder to the branch `reports`, and have its report.md show them from there."""
    from registry.report import github_images

    click.echo(f"pictures: {github_images.publish(here().root, folder) or 'there are none'}")


@command.command()
@click.argument("report", metavar="REPORT.JSON", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--commit", required=True, help="The commit that gets the status.")
@click.option("--url", default="", help="Where the details are.")
@click.option("--job", "jobs", multiple=True, metavar="NAME=RESULT", help="A job before, of which success is demanded.")
def gate(report: Path, commit: str, url: str, jobs: tuple[str, ...]) -> None:
    """Set the commit status registry/gate to what a report says: blocked is a failure, everything else passes.

    Prints state=success or state=failure.
    """
    from registry.integrations import github
    from registry.model import training_results

    status = training_results.commit_status(report.read_bytes(), dict(job.split("=", 1) for job in jobs))
    github.set_status(github.connect(here().root), commit, "registry/gate", status.state, status.description, url)
    click.echo(f"registry/gate of {commit[:10]}: {status.description}", err=True)
    click.echo(f"state={status.state}")


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--url", required=True, help="The run that found it.")
def drift(folder: Path, url: str) -> None:
    """Open the issue on what the nightly checks found, or put the new findings into the one that is open."""
    from registry.integrations import github
    from registry.release import drift_issue

    click.echo(
        github.upsert_issue(
            github.connect(here().root), drift_issue.TITLE, drift_issue.body(folder, url), drift_issue.LABEL
        )
    )


@command.command()
@click.argument("dataset", required=False)
def questions(dataset: str | None) -> None:
    """Print datasets=[...], as JSON: those with a Looker query, or the one that is named."""
    import json

    from registry.core import names
    from registry.release import refresh

    found = (names.parse_id(dataset),) if dataset else refresh.questions(here().tree)
    click.echo(f"datasets={json.dumps([str(artifact) for artifact in found])}")
