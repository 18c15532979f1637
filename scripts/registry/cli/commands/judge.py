"""`registry judge`."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from registry.checks import collect, output, runner, tracked_files
from registry.cli import checking, reporting
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import layout
from registry.core.check_names import CheckName
from registry.core.tree import Tree
from registry.core.values import Outcome
from registry.errors import InvalidData, InvalidDocument
from registry.integrations import git, git_trees, github, github_runs
from registry.model import train, training_results
from registry.model.changes import Refusal
from registry.report import files, required_jobs
from registry.report.values import Report
from registry.scaffold import generated_files

REFUSED = "the training results were refused"
# What a training makes true: results that leave one of these open are not taken.
_OF_RESULTS = (CheckName.PIPELINE, CheckName.TRAINING, CheckName.OUTPUTS, CheckName.REMOTE_OBJECTS)


@click.command()
@click.argument("head", metavar="COMMIT")
@click.option("--base", metavar="REVISION", required=True, help="The branch that the change is for: origin/main.")
@click.option("--branch", help="The branch at origin; a commit of results that CI pushed there before is judged.")
@click.option("--results", type=click.Path(path_type=Path), help="What the training job handed over.")
@click.option("--run", type=int, help="The run of pull-request.yml at GitHub whose jobs must have succeeded.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The output folder.")
@click.option("--images", is_flag=True, help="Also validate every image that was not validated before.")
def command(
    head: str, base: str, branch: str | None, results: Path | None, run: int | None, out: Path, *, images: bool
) -> None:
    """Judge a commit, and what its training handed over, without checking it out: for CI.

    The checkout's own code and storage locations are used; files of the commit are read from Git, as data. From the
    training results it makes the commit that CI will push, checks that one, and writes its report to OUT (report.json,
    report.html, pictures), and the results to OUT/results. Prints commit=ID and state=ready, needs an owner or blocked.
    """
    started, space = time.monotonic(), here()
    if not git.has_object(space.root, head):
        git.fetch_commit(space.root, head)
    pushed = _pushed_before(space.root, head, branch)
    commit, refusals = (pushed, ()) if pushed else _accept(space, head, base, results)
    jobs = tuple(_jobs(space.root, head, base, run)) if run else ()
    report = _report(space, commit, base, started, refusals, jobs, images=images)
    shutil.rmtree(out, ignore_errors=True)
    files.write(report, out, shown=reporting.allows_pictures(space.tree))
    if results and not pushed and commit != head:
        shutil.copytree(results, out / "results")
    say(f"commit={commit}\nstate={report.state}")


def _pushed_before(root: Path, head: str, branch: str | None) -> str:
    """The commit of results that an earlier run pushed on top of `head`; an empty string where there is none."""
    tip = git.refs(root, "origin").get(f"refs/heads/{branch}", head) if branch else head
    if tip == head:
        return ""
    if not git.has_object(root, tip):
        git.fetch_commit(root, tip)
    return tip if training_results.is_made_of(root, tip, head) else ""


def _accept(space: Workspace, head: str, base: str, results: Path | None) -> tuple[str, tuple[Refusal, ...]]:
    """The commit that the results make, or `head` and the reasons against them."""
    if results is None or not results.is_dir():
        return head, ()
    with git_trees.Revision(space.root, head) as tree:
        models = train.concerned(tree, collect.between(space.root, base, tree).paths)
    try:
        commit = training_results.resulting_commit(space.root, head, models, results, generated_files.card_files)
    except InvalidDocument as error:
        return head, (Refusal(f"{REFUSED}: {error.fault}", error.path, error.fix),)
    except InvalidData as error:
        return head, tuple(Refusal(f"{REFUSED}: {problem}", "", error.fix) for problem in error.problems)
    refusals = tuple(_refusals(space, head, base, commit)) if commit != head else ()
    return (head, refusals) if refusals else (commit, ())


def _refusals(space: Workspace, head: str, base: str, commit: str) -> Iterator[Refusal]:
    """The faults of the trained models that a training mends: with them, it was not one of this commit."""
    trained = {layout.owner_of(path) for path in git.changed_paths(space.root, head, commit)}
    with git_trees.Revision(space.root, commit) as tree:
        change = collect.between(space.root, base, tree)
        facts = checking.with_stored(space, checking.gather(space, change), change)
    for one in output.findings(outcome for outcome in runner.run(facts) if outcome.check in _OF_RESULTS):
        if one.artifact in trained or one.artifact is None:  # None: the storage could not be listed
            yield Refusal(f"{REFUSED}: {one.message}", one.path, one.fix)


def _untrained(tree: Tree, outcomes: Sequence[Outcome]) -> Iterator[Refusal]:
    """The models that a training job trains, and that are not trained: it failed, or the change left it out."""
    for model in train.plan(tree, outcomes).models:
        fix = f"see the log of the job Train; or dvc repro {model.id}/dvc.yaml, and push what it writes"
        yield Refusal(f"{model.id} has to be trained: {model.reason}", layout.manifest_path(model.id), fix)


def _jobs(root: Path, head: str, base: str, run: int) -> Iterator[Refusal]:
    """What the run of the pull request's workflow lacks, by this checkout's table of files."""
    with git_trees.Revision(root, head) as tree:
        touched = tracked_files.touched(collect.between(root, base, tree).paths, tree)
    found = github_runs.read_run(github.connect(root), run)
    return required_jobs.faults(found, touches_programs=touched.tooling)


def _report(
    space: Workspace,
    commit: str,
    base: str,
    started: float,
    refusals: Sequence[Refusal],
    jobs: Sequence[Refusal],
    *,
    images: bool,
) -> Report:
    with git_trees.Revision(space.root, commit) as tree:
        change = collect.between(space.root, base, tree)
        outcomes = reporting.run_checks(space, change, images=images)
        refusals = (*refusals, *_untrained(tree, outcomes))
        if refusals:
            outcomes = (*outcomes, runner.run_on_results(refusals))
        if jobs:
            outcomes = (*outcomes, runner.run_on_jobs(jobs))
        commands = (f"git checkout {commit}", "registry pull", f"registry report --base {change.before}")
        subject = reporting.Subject(change, commit, commands, started)
        report = reporting.compose(space, subject, outcomes)
    return report if reporting.allows_pictures(space.tree, tree) else files.without_images(report)
