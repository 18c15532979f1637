"""`registry new`."""

import click

from registry.cli import exploring
from registry.cli.workspace import Workspace, here
from registry.core import documents, layout, names, schema
from registry.core.values import ArtifactId, Kind
from registry.scaffold import new


@click.command()
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("name")
@click.option("--title", default="", help="A one-line title; derived from NAME by default.")
@click.option("--description", default="", help="What the images show, or what the model predicts.")
@click.option("--license", "license_id", default="", metavar="SPDX", help="The licence, such as CC-BY-4.0.")
@click.option(
    "--owner", "owners", multiple=True, help="An owner, @user or @org/team; can be repeated. Default: the registry's."
)
@click.option(
    "--from-explore",
    "address",
    metavar="URL",
    help="Take the query of this address in Looker, in quotes: an Explore, a share link, a Look or a dashboard.",
)
@click.option("--tile", help="The number or the title of a dashboard's tile.")
@click.option("--uuid", metavar="VIEW.FIELD", help="The field of the images' UUIDs. Default: by its name.")
@click.option("--label", metavar="VIEW.FIELD", help="The field of the labels. Default: by its name.")
@click.option("--trained-on", metavar="ID", help="The dataset of a model. Default: datasets/NAME.")
@click.option("--same-split-as", metavar="ID", help="Take the split rule of this dataset, which has images in common.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
def command(
    kind: str,
    name: str,
    title: str,
    description: str,
    license_id: str,
    owners: tuple[str, ...],
    address: str | None,
    tile: str | None,
    uuid: str | None,
    label: str | None,
    trained_on: str | None,
    same_split_as: str | None,
    *,
    dry_run: bool,
) -> None:
    """Create a dataset or a model called NAME: its folder, manifest and card, and the training code of a model.

    Fill in the <placeholders>; `registry check` lists the remaining ones.

    With --from-explore, the manifest of a dataset has the query of an address that is pasted from a browser. Without an
    API key it has what the address says; with one also the query of a short address, the types of the fields and the
    classes. What cannot be taken, such as a limit or a pivot, is printed line by line.
    """
    space = here()
    artifact = ArtifactId(Kind(kind), names.parse_name(name))
    dataset = names.parse_id(trained_on or f"datasets/{name}") if artifact.kind is Kind.MODEL else None
    if artifact.kind is Kind.MODEL:
        _require_unused({"--same-split-as": same_split_as, "--from-explore": address}, "is for datasets")
    if address is None:
        _require_unused({"--tile": tile, "--uuid": uuid, "--label": label}, "needs --from-explore")
    explored = (
        exploring.from_address(space.root, address, tile=tile, uuid=uuid, label=label) if address is not None else None
    )
    plan = new.plan(
        space.tree,
        artifact,
        owners=owners or space.registry_file.owners,
        words=new.Words(title, description, license_id),
        source=explored.source if explored else None,
        trained_on=dataset,
        same_split_as=names.parse_id(same_split_as) if same_split_as else None,
    )
    click.echo("\n".join([str(plan), *(explored.remarks if explored else ())]))
    if not dry_run:
        _write(space, plan)


def _require_unused(options: dict[str, str | None], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} {why}")


def _write(space: Workspace, plan: new.Plan) -> None:
    new.apply(plan, space.root)
    space.write_generated_files()
    artifact, manifest = plan.artifact, layout.manifest_path(plan.artifact)
    following = f"registry select {artifact}" if artifact.kind is Kind.DATASET else f"dvc repro {artifact}/dvc.yaml"
    if any(schema.find_faults(documents.read_yaml(plan.files[manifest], manifest), artifact.kind.value)):
        following = f"fill in the <placeholders> in {manifest}, then {following}"
    click.echo(f"hint: {following}")
