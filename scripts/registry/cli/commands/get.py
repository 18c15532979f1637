"""`registry get`."""

from pathlib import Path

import click

from registry.cli.workspace import here, warn
from registry.client import fetch, sources
from registry.console import say
from registry.core import progress, references, wording
from registry.core.layout import SPLITS
from registry.errors import NotFound


@click.command()
@click.argument("release", metavar="ID@VERSION")
@click.option(
    "--repo",
    metavar="URL",
    help="The Git repository of the registry, a clone, or the registry.json of its catalog; by default the clone here.",
)
@click.option("--split", type=click.Choice(SPLITS), help="Of a dataset, this split alone.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="By default the artifact's name.")
def command(release: str, *, repo: str | None, split: str | None, out: Path | None) -> None:
    """Fetch a release into a folder, with the proof that it is what was released.

    ID@VERSION is an exact version (datasets/pets@v1.0.0), the latest one (datasets/pets@latest) or that of a stage
    (models/pets#prod). A dataset's folder has train, val and test; a model's has model.onnx. Each file has its name
    only after its content was compared with the release, so that the same command continues after an interruption,
    and fetches only what is missing. What is in FOLDER is never overwritten or deleted. Needs neither DVC nor a clone;
    with --repo https://…/registry.json, or the address of the catalog with a slash at its end, not even Git. A version
    that is withdrawn is fetched all the same, and the reason is told; one of which files were erased is not, as what is
    left would look like the whole.
    """
    wanted = references.parse(release)
    product = sources.find(repo or _registry_here(), wanted, warn)
    plan = fetch.plan(product, out or Path(wanted.artifact.name), split or "", warn)
    with progress.bar(f"fetching {product.tag}", len(plan.missing), plan.size) as advance:
        done = fetch.apply(plan, advance, warn)
    there = f", {plan.present:,} were there" if plan.present else ""
    fetched = f"{wording.plural(done.count, 'file')} fetched, {wording.size(done.size)}{there}"
    say(f"{plan.folder} has {product.tag}{f' ({split})' if split else ''}: {fetched}")


def _registry_here() -> str:
    try:
        return str(here().root)
    except NotFound as error:
        raise NotFound(error.message, fix="name the registry: --repo URL") from error
