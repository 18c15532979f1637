"""`registry adopt`."""

from collections.abc import Mapping, Sequence

import click

from registry.cli import adopting, preparing
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import documents, layout, names, schema
from registry.core.progress import waiting
from registry.core.values import Kind
from registry.errors import NotFound, Refused
from registry.scaffold import adopt, adopt_sources, generated_files, new
from registry.scaffold.adopt import Plan, Request
from registry.scaffold.adopt_sources import Asked, Source

# Of a pull request, GitHub's other ways of merging leave one commit on the default branch, which is the last version.
_NEXT = "hint: registry pull {}; then git push. Merge a pull request with «Rebase and merge», so that each is published"


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option(
    "--from", "source", metavar="SOURCE", required=True, help="A folder, a .dvc file, a Git URL, a bucket URL."
)
@click.option("--path", metavar="PATH", help="In a DVC repository: the folder of images that it tracks, or one inside.")
@click.option("--rev", metavar="REV", help="In a DVC repository: the branch, tag or commit. Default: as it is now.")
@click.option(
    "--tags",
    multiple=True,
    metavar="PATTERN",
    help="In a DVC repository: make and commit a version for each tag that matches, such as 'v*'; can be repeated.",
)
@click.option(
    "--remote", metavar="NAME", help="In a DVC repository: the remote with its objects. Default: its default."
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="FOLDER=CLASS",
    help="Give the images of a class folder this class; can be repeated.",
)
@click.option("--title", default="", help="A one-line title; derived from NAME by default.")
@click.option("--description", default="", help="What the images show.")
@click.option("--license", "license_id", default="", metavar="SPDX", help="The licence, such as CC-BY-4.0.")
@click.option(
    "--owner", "owners", multiple=True, help="An owner, @user or @org/team; can be repeated. Default: the registry's."
)
@click.option("--dry-run", is_flag=True, help="Print what would be adopted, and write nothing.")
def command(
    dataset: str,
    source: str,
    path: str | None,
    rev: str | None,
    tags: tuple[str, ...],
    remote: str | None,
    classes: tuple[str, ...],
    title: str,
    description: str,
    license_id: str,
    owners: tuple[str, ...],
    *,
    dry_run: bool,
) -> None:
    """Make a dataset of images that exist: of a DVC repository, a bucket's folder, or a local folder.

    The images lie in class folders (cat/1.jpg), in splits of them (train/cat/1.jpg, cat/train/1.jpg), or have the
    column label in metadata.csv, metadata.jsonl or metadata.parquet beside them, whose other columns are kept with
    their types. They become objects of this registry, copied inside the store where it can do that, and need no lake.
    An image's UUID is its file's name where that is one, else it is made of the bytes. A split that the source has is
    kept (split: {given: …}); without one, salt and ratios assign. What is not adopted is listed with the reason.

    Of a DVC repository the objects keep their MD5s. They are read from its cache, if it is on this machine, and from
    its remote, with the login of this registry's remote in the same bucket, of its remote `adopt`, or of staging.

    With --tags, each tag at which the folder has other images becomes a version, and a commit: the version in the tag's
    name, unless what changed requires a higher one, and else the lowest that it requires.

    The same command again finishes what was interrupted, and adopts a later state of the source.
    """
    space, artifact = here(), names.parse_id(dataset)
    if artifact.kind is not Kind.DATASET:
        raise NotFound(f"{artifact} is not a dataset", fix="adopt into datasets/NAME")
    words = new.Words(title, description, license_id)
    request = Request(artifact, owners or space.registry_file.owners, words, _parse_classes(classes))
    asked = Asked(source, path, rev, remote)
    if tags:
        _adopt_tags(space, request, asked, tags, dry_run=dry_run)
        return
    with waiting(f"looking at {source}"):
        opened = adopt_sources.open_source(asked, adopting.where(space))
        plan = adopt.plan(space.tree, request, opened, preparing.build_places(space))
    say(str(plan))
    if dry_run:
        say(preparing.NOT_WRITTEN, err=True)
        return
    say(str(adopting.apply(space, plan)))
    space.write_generated_files()
    _remove_pointer(space, opened)
    _say_next(space, plan)


def _adopt_tags(space: Workspace, request: Request, asked: Asked, tags: tuple[str, ...], *, dry_run: bool) -> None:
    if asked.rev is not None:
        raise Refused("--tags and --rev are given, expected one of them", fix="leave --rev out")
    series = adopting.plan_tags(space, request, asked, tags)
    say(str(series))
    if dry_run:
        say(preparing.NOT_WRITTEN, err=True)
        return
    adopting.apply_tags(space, series)
    if series.steps:
        say(_NEXT.format(request.artifact))


def _parse_classes(given: Sequence[str]) -> Mapping[str, str]:
    for text in given:
        if not all(text.partition("=")):
            raise click.UsageError(f"--class {text}: expected FOLDER=CLASS")
    return dict(text.split("=", 1) for text in given)


def _remove_pointer(space: Workspace, source: Source) -> None:
    """The pointer of this registry that was adopted: from now on prepared.dvc is the pointer to these images."""
    if source.pointer:
        (space.root / source.pointer).unlink(missing_ok=True)
        folder = source.pointer.removesuffix(".dvc")
        say(f"removed {source.pointer}: prepared.dvc has its images now; {folder} is no longer tracked by DVC")


def _say_next(space: Workspace, plan: Plan) -> None:
    artifact, path = plan.request.artifact, layout.manifest_path(plan.request.artifact)
    generated = [name for name in generated_files.FILES if (space.root / name).is_file()]
    steps = f"registry pull {artifact}; then git add {' '.join([str(artifact), *generated])} && git commit"
    written = documents.read_yaml((space.root / path).read_bytes(), path)
    if any(schema.find_faults(written, artifact.kind.value)):
        steps = f"fill in the <placeholders> in {path}, then registry check --fix; then {steps}"
    say(f"hint: {steps}")
