"""`registry new`."""

import click

from registry.cli.workspace import here
from registry.core import names
from registry.core.values import ArtifactId, Kind
from registry.scaffold import new


@click.command()
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("name")
@click.option("--title", default="", help="A one-line title; derived from NAME by default.")
@click.option(
    "--owner", "owners", multiple=True, help="An owner, @user or @org/team; can be repeated. Default: the registry's."
)
@click.option("--trained-on", metavar="ID", help="The dataset of a model. Default: datasets/NAME.")
@click.option("--same-split-as", metavar="ID", help="Take the split rule of this dataset, which has images in common.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
def command(
    kind: str,
    name: str,
    title: str,
    owners: tuple[str, ...],
    trained_on: str | None,
    same_split_as: str | None,
    *,
    dry_run: bool,
) -> None:
    """Create a dataset or a model called NAME: its folder, manifest and card, and the training code of a model.

    Fill in the <placeholders>; `registry check` lists the remaining ones.
    """
    space = here()
    artifact = ArtifactId(Kind(kind), names.parse_name(name))
    dataset = names.parse_id(trained_on or f"datasets/{name}") if artifact.kind is Kind.MODEL else None
    if same_split_as and artifact.kind is Kind.MODEL:
        raise click.UsageError("--same-split-as is for datasets")
    plan = new.plan(
        space.tree,
        artifact,
        owners=owners or space.registry_file.owners,
        title=title,
        trained_on=dataset,
        same_split_as=names.parse_id(same_split_as) if same_split_as else None,
    )
    click.echo(str(plan))
    if dry_run:
        return
    new.apply(plan, space.root)
    space.write_generated_files()
    manifest = f"{artifact}/{artifact.kind}.yaml"
    following = f"registry select {artifact}" if artifact.kind is Kind.DATASET else f"dvc repro {artifact}/dvc.yaml"
    click.echo(f"hint: fill in the <placeholders> in {manifest}, then {following}")
