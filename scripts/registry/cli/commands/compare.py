"""`registry compare`."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from registry.cli import comparing
from registry.cli.workspace import here
from registry.console import plain, say
from registry.core import names
from registry.core.wording import plural, table
from registry.integrations import git, git_trees
from registry.model import gates, judging
from registry.model.changes import GateResult, ModelChange, PairedComparison

HEADERS = ("shared test images", "images", "base", "new", "difference", "95% CI", "broken", "fixed")


@click.command()
@click.argument("models", nargs=-1, metavar="[models/NAME]...")
@click.option(
    "--base", metavar="REVISION", help="Compare with the merge base of REVISION.  [default: the default branch]"
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(models: Sequence[str], base: str | None, form: str) -> None:
    """Compare models with those of a base revision on the same test images, and evaluate their gates.

    Both model files are measured on the test images of the new version that the base was not trained on. The default is
    every model whose folder changed. The exit code is 1 if a gate fails, or if recorded metrics are not those measured.
    """
    space = here()
    base = base or git.known_main_branch(space.root)
    start = git.merge_base(space.root, git.resolve_commit(space.root, base), "HEAD")
    with git_trees.Revision(space.root, start) as old:
        chosen = tuple(map(names.parse_id, models)) or judging.changed_models(old, space.tree)
        changes = comparing.compare_models(space, old, space.tree, chosen).models
    if form == "json":
        say(json.dumps([_as_json(change) for change in changes], indent=2))
    else:
        sections = ("\n".join(map(plain, _lines(change))) for change in changes)
        say("\n\n".join(sections) or f"no model changed since {start[:12]}")
    if any(change.disagreements or any(gate.state == "failed" for gate in change.gates) for change in changes):
        raise click.exceptions.Exit(1)


def _lines(change: ModelChange) -> list[str]:
    versions = " → ".join(str(version) for version in (change.old, change.new) if version)
    lines = [f"{change.id} {versions}"]
    if change.images:
        lines += [f"  measured on {change.images:,} of {plural(change.tests, 'test image')}"]
    lines += [f"  wrong: {one}" for one in change.disagreements]
    if change.comparison:
        rows = [_row("all", change.comparison)]
        rows += [_row(f"{one.column} {one.value}", one.comparison) for one in change.slices]
        lines += ["", *table(HEADERS, rows, "  ").splitlines(), ""]
    lines += [f"  gate {gate.state}: {gate.message}" for gate in change.gates]
    lines += [f"  {plural(change.relabelled, 'shared test image')} relabelled"] * bool(change.relabelled)
    lines += [f"  incomplete: {change.unknown}"] * bool(change.unknown)
    return lines


def _row(name: str, found: PairedComparison) -> tuple[object, ...]:
    accuracies = (f"{found.base:.4f}", f"{found.new:.4f}", f"{found.difference:+.4f}")
    return name, found.images, *accuracies, f"{found.low:+.4f} to {found.high:+.4f}", found.broken, found.fixed


def _as_json(change: ModelChange) -> dict[str, object]:
    return {
        "model": str(change.id),
        "base": str(change.old) if change.old else None,
        "new": str(change.new) if change.new else None,
        "images": change.images,
        "tests": change.tests,
        "disagreements": list(change.disagreements),
        "comparison": asdict(change.comparison) if change.comparison else None,
        "slices": [asdict(one) for one in change.slices],
        "gates": [_gate_as_json(gate) for gate in change.gates],
        "relabelled": change.relabelled,
        "unknown": change.unknown,
    }


def _gate_as_json(result: GateResult) -> dict[str, object]:
    name = gates.describe(result.gate)
    return {"metric": name, "state": result.state, "message": result.message, "line": result.line}
