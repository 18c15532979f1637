"""`registry new`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import click

from registry.cli import exploring, withdrawals
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import documents, layout, names, schema
from registry.core.model_values import DEFAULT_TASK, FEATURES
from registry.core.progress import counter, waiting
from registry.core.values import ArtifactId, Kind
from registry.model import tasks
from registry.scaffold import external, new

FOR_MODELS = "is for models"


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
@click.option("--intended-use", default="", help="What a model is for, and what it must not be used for.")
@click.option("--trained-on", metavar="ID", help="The dataset of a model. Default: datasets/NAME.")
@click.option(
    "--template",
    type=click.Choice(["scratch", "transfer"]),
    help="The training of a model: of a whole network (scratch, the default), or of a head on the features of a model "
    "that is not trained further (transfer).",
)
@click.option("--builds-on", metavar="ID", help="The model whose features --template transfer takes: models/NAME.")
@click.option(
    "--from",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Register this ONNX file, a model that was trained elsewhere; needs --origin.",
)
@click.option("--origin", metavar="URL", help="Where a model that was trained elsewhere comes from: https://….")
@click.option("--measured-on", metavar="ID", help="The dataset to measure such a model on. Default: datasets/NAME.")
@click.option(
    "--task",
    type=click.Choice([*tasks.TASKS, FEATURES]),
    help="What such a model does: the default is classification; features are for other models to build on.",
)
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
    intended_use: str,
    file: Path | None,
    origin: str | None,
    measured_on: str | None,
    task: str | None,
    trained_on: str | None,
    template: str | None,
    builds_on: str | None,
    same_split_as: str | None,
    *,
    dry_run: bool,
) -> None:
    """Create a dataset or a model called NAME: its folder, manifest and card, and the training code of a model.

    Fill in the <placeholders>; `registry check` lists the remaining ones.

    With --from-explore, the manifest of a dataset has the query of an address that is pasted from a browser. Without an
    API key it has what the address says; with one also the query of a short address, the types of the fields and the
    classes. What cannot be taken, such as a limit or a pivot, is printed line by line.

    With --template transfer, the training runs the model --builds-on once on each image and trains a head on its
    features; both are joined into one model file.

    With --from, a model has no training code: its file is copied (and that of its weights, where they lie beside it),
    judged in the form that docs/models.md describes, and measured on a dataset of this registry.
    """
    space = here()
    artifact = ArtifactId(Kind(kind), names.parse_name(name))
    words = new.Words(title, description, license_id, intended_use)
    if artifact.kind is Kind.DATASET:
        foreign = {"--from": file, "--origin": origin, "--measured-on": measured_on, "--task": task}
        _require_unused({**foreign, "--template": template, "--builds-on": builds_on}, FOR_MODELS)
    if file is not None:
        ours = {"--trained-on": trained_on, "--template": template, "--builds-on": builds_on}
        _require_unused(ours, "is for a model that is trained here, --from for any other")
        request = _request(artifact, file, origin, measured_on, task)
        _register(space, request, owners or space.registry_file.owners, words, dry_run=dry_run)
        return
    _require_unused({"--origin": origin, "--measured-on": measured_on, "--task": task}, "needs --from FILE")
    dataset = names.parse_id(trained_on or f"datasets/{name}") if artifact.kind is Kind.MODEL else None
    backbone = _backbone(template, builds_on)
    if artifact.kind is Kind.MODEL:
        _require_unused({"--same-split-as": same_split_as, "--from-explore": address}, "is for datasets")
    if address is None:
        _require_unused({"--tile": tile, "--uuid": uuid, "--label": label}, "needs --from-explore")
    explored = (
        exploring.from_address(space.root, address, tile=tile, uuid=uuid, label=label) if address is not None else None
    )
    withdrawals.warn_of_versions(space.root, space.tree, filter(None, (dataset, backbone)))
    plan = new.plan(
        space.tree,
        artifact,
        owners=owners or space.registry_file.owners,
        words=words,
        source=explored.source if explored else None,
        trained_on=dataset,
        builds_on=backbone,
        same_split_as=names.parse_id(same_split_as) if same_split_as else None,
    )
    say("\n".join([str(plan), *(explored.remarks if explored else ())]))
    if not dry_run:
        _write(space, plan, backbone)


def _backbone(template: str | None, builds_on: str | None) -> ArtifactId | None:
    """The model whose features a transfer takes; None for any other template."""
    if template != "transfer":
        _require_unused({"--builds-on": builds_on}, "needs --template transfer")
        return None
    if builds_on is None:
        raise click.UsageError("--template transfer needs --builds-on models/NAME: the model whose features it takes")
    return names.parse_id(builds_on)


def _request(
    artifact: ArtifactId, file: Path, origin: str | None, measured_on: str | None, task: str | None
) -> external.Request:
    if origin is None:
        raise click.UsageError("--from needs --origin URL: where the model comes from")
    what = task or DEFAULT_TASK
    if what == FEATURES:
        _require_unused({"--measured-on": measured_on}, "is for models that are measured; features are not")
        return external.Request(artifact, file, origin, None, what)
    return external.Request(artifact, file, origin, names.parse_id(measured_on or f"datasets/{artifact.name}"), what)


def _register(
    space: Workspace, request: external.Request, owners: tuple[str, ...], words: new.Words, *, dry_run: bool
) -> None:
    external.require_place(space.tree, request)
    external.require_onnx(request.file)
    withdrawals.warn_of_versions(space.root, space.tree, filter(None, (request.dataset,)))
    with external.copy(request.file, request.artifact, space.root, _counting) as copied:
        with waiting("running it on made-up images"):
            plan = external.plan(space.tree, request, copied, owners, words)
        say(str(plan))
        if dry_run:
            return
        external.apply(plan, space.root, space.cache_dir)
    space.write_generated_files()
    done = f"dvc repro {plan.artifact}/dvc.yaml" if request.dataset else "registry check"
    _say_next(plan.files, plan.artifact, done)


def _counting(what: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
    return counter(what, "B", size)


def _require_unused(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} {why}")


def _write(space: Workspace, plan: new.Plan, backbone: ArtifactId | None) -> None:
    new.apply(plan, space.root)
    space.write_generated_files()
    artifact = plan.artifact
    following = f"registry select {artifact}" if artifact.kind is Kind.DATASET else f"dvc repro {artifact}/dvc.yaml"
    if backbone and not (space.root / layout.product_path(backbone)).exists():
        following = f"registry pull {backbone}, then {following}"
    _say_next(plan.files, artifact, following)


def _say_next(files: Mapping[str, bytes], artifact: ArtifactId, following: str) -> None:
    manifest = layout.manifest_path(artifact)
    if any(schema.find_faults(documents.read_yaml(files[manifest], manifest), artifact.kind.value)):
        following = f"fill in the <placeholders> in {manifest}, then {following}"
    say(f"hint: {following}")
