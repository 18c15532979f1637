"""`registry evaluate`, and the comparison of models that `registry report` shares with it."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here
from registry.core import names
from registry.core.escaping import plain
from registry.core.wording import plural, table
from registry.errors import RegistryError
from registry.integrations import git, git_trees

if TYPE_CHECKING:
    from registry.core.artifact_files import Reader
    from registry.core.tree import Tree
    from registry.core.values import ArtifactId
    from registry.model.changes import GateResult, ModelChange, PairedComparison
    from registry.sync.inventory import Reached

HEADERS = ("shared test images", "images", "base", "new", "difference", "95% CI", "broken", "fixed")


@click.command()
@click.argument("models", nargs=-1, metavar="[models/NAME]...")
@click.option("--base", metavar="REVISION", default="main", show_default=True, help="Compare with where we left this.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(models: Sequence[str], base: str, form: str) -> None:
    """Compare models with those of a base revision, each judged on both test sets, and judge the gates.

    A model whose locked predictions do not cover the other's test set is run on it, with its own code from its own
    revision. Without models: those whose folders changed. The exit code is 1 when a gate is broken.
    """
    from registry.cli.commands.check import reader
    from registry.model import evaluate

    space = here()
    start = git.merge_base(space.root, git.resolve_commit(space.root, base), "HEAD")
    with git_trees.Revision(space.root, start) as old:
        chosen = tuple(map(names.parse_id, models)) or evaluate.changed_models(old, space.tree)
        found = compare(space, old, space.tree, chosen, reader(space))
    if form == "json":
        click.echo(json.dumps([_as_json(change) for change in found], indent=2))
    else:
        click.echo(
            "\n\n".join("\n".join(map(plain, _lines(change))) for change in found)
            or f"no model changed since {start[:12]}"
        )
    if any(gate.state == "failed" for change in found for gate in change.gates):
        raise click.exceptions.Exit(1)


def compare(
    space: Workspace,
    old: "Tree",
    new: "Tree",
    models: "Sequence[ArtifactId]",
    read: "Reader",
    pulled: Callable[[int], None] = lambda _: None,
) -> "tuple[ModelChange, ...]":
    """What became of these models between two trees; fetches what must be run (`pulled` is told bytes), and runs it."""
    from registry.core.progress import bar
    from registry.integrations import dvc
    from registry.model import evaluate

    plans = [evaluate.plan(old, new, model, read) for model in models]
    runs = evaluate.pending_runs(space.root, plans)
    for run in runs:
        click.echo(str(run), err=True)
    cache = dvc.cache_dir(space.root)
    pulled(_fetch(space, [need for run in runs for need in run.needs]))
    with bar("evaluating", sum(len(plan.runs) for plan in plans)) as progress:
        return tuple(evaluate.apply(plan, space.root, cache, read, progress) for plan in plans)


def _fetch(space: Workspace, needs: "Sequence[tuple[Reached, str]]") -> int:
    """Bring what is needed as far as it can be had: a model that lacks something is said to, and the others go on.

    Returns the bytes that were to be fetched.
    """
    from registry.core.progress import bar
    from registry.storage.stores import Stores
    from registry.sync import pull

    if not needs:
        return 0
    try:
        stores = Stores(space.root, space.settings)
        fetch = pull.plan([pull.Want(reached, path) for reached, path in needs], stores)
        with bar("pulling", fetch.fetch.height) as progress:
            pull.apply(fetch, progress)
        return fetch.fetch["size"].sum()
    except RegistryError as error:
        click.echo(f"not all that has to be evaluated could be pulled: {error}", err=True)
        return 0


# --- shown ------------------------------------------------------------------------------------------------------------


def _lines(change: "ModelChange") -> list[str]:
    versions = " → ".join(str(version) for version in (change.old, change.new) if version)
    lines = [f"{change.id} {versions}"]
    for one in change.evaluations:
        images = plural(one.images, "image")
        lines += [f"  {one.model} model on the {one.test_set} test set: accuracy {one.accuracy:.4f} ({images})"]
    if change.comparison:
        rows = [_row("all", change.comparison)]
        rows += [_row(f"{one.column} {one.value}", one.comparison) for one in change.slices]
        lines += ["", *table(HEADERS, rows, "  ").splitlines(), ""]
    lines += [f"  gate {gate.state}: {gate.message}" for gate in change.gates]
    lines += [f"  {plural(change.relabelled, 'shared test image')} relabelled"] * bool(change.relabelled)
    lines += [f"  incomplete: {change.unknown}"] * bool(change.unknown)
    return lines


def _row(name: str, found: "PairedComparison") -> tuple[object, ...]:
    accuracies = (f"{found.base:.4f}", f"{found.new:.4f}", f"{found.difference:+.4f}")
    return name, found.images, *accuracies, f"{found.low:+.4f} to {found.high:+.4f}", found.broken, found.fixed


def _as_json(change: "ModelChange") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "model": str(change.id),
        "base": str(change.old) if change.old else None,
        "new": str(change.new) if change.new else None,
        "evaluations": [asdict(one) for one in change.evaluations],
        "comparison": asdict(change.comparison) if change.comparison else None,
        "slices": [asdict(one) for one in change.slices],
        "gates": [_gate_as_json(gate) for gate in change.gates],
        "relabelled": change.relabelled,
        "unknown": change.unknown,
    }


def _gate_as_json(result: "GateResult") -> dict[str, object]:
    from registry.model import gates

    name = gates.describe(result.gate)
    return {"metric": name, "state": result.state, "message": result.message, "line": result.line}
