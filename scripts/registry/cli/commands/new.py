"""`registry new`."""

import click

from registry.cli.workspace import Workspace, here
from registry.core import names
from registry.core.atomic_write import write_atomically
from registry.core.values import ArtifactId, Kind
from registry.scaffold import generated_files, new


@click.command()
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("name")
@click.option("--title", default="", help="One line; made from the name when left out.")
@click.option(
    "--owner", "owners", multiple=True, help="Who answers for it (@user, @org/team); the registry's when left out."
)
@click.option("--trained-on", metavar="ID", help="A model's dataset; datasets/NAME when left out.")
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
def command(
    kind: str, name: str, title: str, owners: tuple[str, ...], trained_on: str | None, *, dry_run: bool
) -> None:
    """Make a dataset or a model called NAME: its folder, manifest and card, and for a model its code.

    Places to fill are in <angle brackets>; `registry check` names those that are left.
    """
    space = here()
    artifact = ArtifactId(Kind(kind), names.parse_name(name))
    dataset = names.parse_id(trained_on or f"datasets/{name}") if artifact.kind is Kind.MODEL else None
    plan = new.plan(space.tree, artifact, owners=owners or space.settings.owners, title=title, trained_on=dataset)
    click.echo(str(plan))
    if dry_run:
        return
    new.apply(plan, space.root)
    for path, data in generated_files.expected(Workspace(space.root).tree).items():
        write_atomically(space.root / path, data)
    manifest = f"{artifact}/{artifact.kind}.yaml"
    after = f"registry select {artifact}" if artifact.kind is Kind.DATASET else f"dvc repro {artifact}/dvc.yaml"
    click.echo(f"hint: fill the <places> in {manifest}, then `{after}`")
