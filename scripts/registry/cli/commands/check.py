"""`registry check`. It runs at every commit, so heavy packages are imported by `cli.checking`, when they are needed."""

from dataclasses import replace

import click

from registry import console
from registry.checks import collect, documentation, output, runner
from registry.checks.context import Facts
from registry.cli import checking, clusters, hook_warnings
from registry.cli.workspace import Workspace, here
from registry.core.check_names import CheckName
from registry.core.values import Outcome, Verdict
from registry.integrations import github
from registry.release import github_owners


@click.command()
@click.option("--staged", is_flag=True, help="Check what the next commit would change.")
@click.option("--base", metavar="REVISION", help="Check what changed since the merge base of REVISION: origin/main.")
@click.option("--all", "everything", is_flag=True, help="Check everything in the working tree (default).")
@click.option("--fix", is_flag=True, help="First write the files that are derived from manifests, and LF line ends.")
@click.option("--images", is_flag=True, help="Also validate every image that was not validated before.")
@click.option("--remote", is_flag=True, help="Also check that every object is in staging or production, intact.")
@clusters.option
@click.option("--untrained", is_flag=True, help="Pass models that still have to be trained: a later job trains them.")
@click.option("--format", "form", type=click.Choice(list(output.FORMATS)), default="text", show_default=True)
@click.option("--verbose", is_flag=True, help="Also print hints when nothing is wrong.")
@click.option("--explain", metavar="NAME", help="Explain a check: NAME is printed in [brackets] after each finding.")
def command(
    base: str | None,
    scheduler: str | None,
    explain: str | None,
    form: str,
    *,
    staged: bool,
    everything: bool,
    fix: bool,
    images: bool,
    remote: bool,
    untrained: bool,
    verbose: bool,
) -> None:
    """Check a change and print how to fix what is wrong.

    The exit code is 1 if a check fails. Findings that need an owner's approval are printed and do not fail. Objects are
    read from DVC's caches, then from staging and production.
    """
    if explain:
        console.say(documentation.explain(explain))
        return
    if staged + bool(base) + everything > 1:
        raise click.UsageError("choose one of --staged, --base and --all")
    if staged and remote:
        raise click.UsageError("--remote checks pushed commits: use it with --base or --all, not with --staged")
    space = clusters.join(here(), scheduler) if images or remote else here()
    if fix:
        space.write_line_ends()
        space.write_generated_files()
    if staged:
        change = collect.staged(space.root)
    else:
        change = collect.since(space.root, base) if base else collect.everything(space.root)
    facts = checking.with_reproductions(space, checking.gather(space, change), change, every=remote)
    facts = checking.with_models(space, facts, change)
    facts = checking.with_shared_images(space, facts, change)
    facts = checking.with_lake(space, checking.with_stored(space, facts, change)) if remote else facts
    facts = _verify_owners(space, facts) if everything or remote else facts
    outcomes = runner.run(checking.with_images(space, facts) if images else facts)
    outcomes = tuple(map(_pass_untrained, outcomes)) if untrained else outcomes
    show = console.command if form == output.GITHUB else console.say
    show(output.FORMATS[form](output.Result(outcomes, change.scope, notes=verbose)))
    if not staged:
        hook_warnings.warn_of_hooks(space)
    if output.worst(outcomes) is Verdict.WRONG:
        raise click.exceptions.Exit(1)


def _verify_owners(space: Workspace, facts: Facts) -> Facts:
    """The facts, with owners that GitHub takes for no code owner, where it can be asked."""
    if not github.find_repository(space.root):
        return facts
    owners = checking.find_owners(space, facts)
    verified = github_owners.verify(space.root, (name for names in owners.values() for name in names))
    if verified.unknown:
        console.say(f"note: {verified.unknown}", err=True)
    return checking.with_owners(facts, verified.unfit, owners)


def _pass_untrained(outcome: Outcome) -> Outcome:
    """The outcome, where a model that is out of date is reported and does not fail."""
    if outcome.check != CheckName.TRAINING:
        return outcome
    findings = (
        replace(finding, verdict=Verdict.NEEDS_OWNER) if finding.verdict is Verdict.WRONG else finding
        for finding in outcome.findings
    )
    return replace(outcome, findings=tuple(findings))
