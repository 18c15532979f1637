"""`registry check`."""

from dataclasses import replace
from functools import cache

import click

from registry.checks import collect, documentation, output, runner
from registry.checks.context import Facts
from registry.cli.workspace import Workspace, here, warn
from registry.core.artifact_files import Reader
from registry.core.check_names import CheckName
from registry.core.values import Outcome, Verdict
from registry.errors import RegistryError
from registry.integrations.git_trees import History
from registry.scaffold import generated_files


@click.command()
@click.option("--staged", is_flag=True, help="What the next commit would change.")
@click.option("--base", metavar="REVISION", help="What changed since the working tree left REVISION: origin/main.")
@click.option("--all", "everything", is_flag=True, help="Everything in the working tree; so too when nothing is said.")
@click.option("--fix", is_flag=True, help="First write the files that follow from the manifests.")
@click.option("--images", is_flag=True, help="Also look at every image that nobody here has looked at before.")
@click.option("--remote", is_flag=True, help="Also see that every object is in staging or production, whole.")
@click.option("--untrained", is_flag=True, help="Let models pass that are still to be trained: a later job does that.")
@click.option("--format", "form", type=click.Choice(["text", "github", "json"]), default="text", show_default=True)
@click.option("--verbose", is_flag=True, help="Also say what comes next where nothing is wrong.")
@click.option(
    "--explain", metavar="NAME", help="Say what a check demands and why: the name in [brackets] of a finding."
)
def command(
    base: str | None,
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
    """Say what is wrong with a change, and what to do about it.

    The exit code is 1 when something is wrong. What needs an owner's eye is told, and passes. Objects are looked for in
    DVC's caches, then in staging and production.
    """
    if explain:
        click.echo(documentation.explain(explain))
        return
    if staged + bool(base) + everything > 1:
        raise click.UsageError("choose one of --staged, --base and --all")
    if staged and remote:
        raise click.UsageError("--remote looks for what was pushed, and a commit is not: choose --base or --all")
    space = here()
    if fix:
        _write_derived(space)
    change = collect.staged(space.root) if staged else _changed(space, base)
    with History(space.root) as history:
        known = collect.gather(change, history, reader(space))
    known = with_stored(space, known, change) if remote else known
    outcomes = runner.run(with_images(space, known) if images else known)
    outcomes = tuple(_passing(outcome) for outcome in outcomes) if untrained else outcomes
    shown = {
        "text": lambda: output.as_text(outcomes, notes=verbose),
        "github": lambda: output.as_github(outcomes),
        "json": lambda: output.as_json(outcomes, change.scope),
    }
    click.echo(shown[form](), nl=False)
    if output.worst(outcomes) is Verdict.WRONG:
        raise click.exceptions.Exit(1)


def _passing(outcome: Outcome) -> Outcome:
    """The outcome, where an old training is told and does not stop."""
    if outcome.check != CheckName.TRAINING:
        return outcome
    findings = (
        replace(one, verdict=Verdict.NEEDS_OWNER if one.verdict is Verdict.WRONG else one.verdict)
        for one in outcome.findings
    )
    return replace(outcome, findings=tuple(findings))


def _changed(space: Workspace, base: str | None) -> collect.Change:
    return collect.since(space.root, base) if base else collect.everything(space.root)


def _write_derived(space: Workspace) -> None:
    from registry.core.atomic_write import write_atomically

    tree = space.tree
    for path, data in generated_files.expected(tree).items():
        if not tree.has(path) or tree.read(path) != data:
            write_atomically(space.root / path, data)
            click.echo(f"wrote {path}", err=True)


def with_images(space: Workspace, known: Facts) -> Facts:
    """The facts, with what was found of images that nobody has looked at yet."""
    from registry.checks import collect_images
    from registry.core.progress import bar
    from registry.dataset import validation_cache

    notes, read = space.root / validation_cache.PATH, reader(space)
    unseen = collect_images.list_unseen(known, read, validation_cache.validated_md5s(notes))
    with bar("looking at images", unseen.images.height) as progress:
        looked, sound = collect_images.look(unseen, read, progress)
    validation_cache.record_objects(notes, sound)
    return looked


def with_stored(space: Workspace, known: Facts, change: collect.Change) -> Facts:
    """The facts, with what staging and production have of the change's objects."""
    from registry.checks import collect_objects
    from registry.core.progress import bar
    from registry.storage.stores import Stores

    wanted = collect_objects.wanted(space.root, change.tree, change.paths, change.before)
    try:
        stores = Stores(space.root, space.settings)
        caches, remotes = stores.caches, (stores.production, stores.staging)
    except RegistryError as error:
        return replace(known, stored=collect_objects.unknown(error))
    with bar("looking into staging and production", len(wanted.needed)) as progress:
        return replace(known, stored=collect_objects.judge(wanted, remotes, caches, progress))


def reader(space: Workspace) -> Reader:
    """Objects by MD5, from the first store that has an intact copy; none where the settings are broken."""

    @cache
    def stores() -> Reader:
        from registry.storage.stores import Stores

        try:
            return Stores(space.root, space.settings, warn).reader
        except RegistryError:
            return lambda _: None  # the settings have a check of their own

    def read(md5: str) -> bytes | None:
        return stores()(md5)

    return read
