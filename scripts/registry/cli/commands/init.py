"""`registry init`."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import settings
from registry.core.settings import Template
from registry.core.wording import plural
from registry.errors import Refused, RegistryError
from registry.integrations import git, github
from registry.integrations.git_merge import list_tree
from registry.release import github_owners
from registry.scaffold import copy, init, skeleton, template_repository, tooling, wheels


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="The registry's name: acme-data. Default: that of DIRECTORY.")
@click.option("--owner", "owners", multiple=True, help="A default owner, @user or @org/team; can be repeated.")
@click.option(
    "--bucket", help="s3://acme-data for the buckets acme-data-staging and acme-data-production, or a folder."
)
@click.option("--staging", help="Instead of --bucket: the location of staging: s3://acme-data-staging.")
@click.option("--production", help="Instead of --bucket: the location of production: s3://acme-data-production.")
@click.option("--public", help="A public HTTP URL that serves production: https://data.acme.org.")
@click.option("--lake", help="The location of the images: s3://acme-images, or a folder.")
@click.option("--endpoint", help="The S3 server, where it is not AWS: https://s3.acme.example (Ceph, MinIO, …).")
@click.option("--region", help="The region of the buckets: eu-central-1.")
@click.option("--profile", help="The AWS profile to log in with; kept in .dvc/config.local, outside Git.")
@click.option("--source", help="The URL of the template's repository, where the tooling does not know it.")
@click.option("--wheel", metavar="URL", help="The wheel of a release, to be installed instead of the commit.")
@click.option("--again", is_flag=True, help="Change a registry that is already set up.")
@click.option("--once", is_flag=True, help="Do nothing in a registry that is set up already.")
@click.option("--keep-example", is_flag=True, help="Keep datasets/cats_dogs and models/cats_dogs.")
@click.option("--vendored", is_flag=True, help="Keep the tooling's code in this repository.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and write nothing.")
def command(
    directory: Path | None,
    name: str | None,
    owners: tuple[str, ...],
    bucket: str | None,
    staging: str | None,
    production: str | None,
    public: str | None,
    lake: str | None,
    endpoint: str | None,
    region: str | None,
    profile: str | None,
    source: str | None,
    wheel: str | None,
    *,
    again: bool,
    once: bool,
    keep_example: bool,
    vendored: bool,
    dry_run: bool,
) -> None:
    """Make a new registry: in DIRECTORY, or in the current folder if that is empty.

    In a repository that was made with «Use this template», set that up: name, owners, storage; the tooling's code is
    removed, and its commit recorded in registry.yaml. Missing options are prompted for in a terminal, and are an error
    elsewhere. Without buckets everything works in folders, such as --bucket .registry --lake .registry/lake.
    """
    if bucket and (staging or production):
        raise click.UsageError("use either --bucket, or --staging and --production")
    if wheel and vendored:
        raise click.UsageError("use either --wheel or --vendored")
    _require_values(endpoint=endpoint, region=region, profile=profile)
    folder = _new_folder(directory)
    if once and not folder and init.is_set_up(now := here().settings):
        say(f"the registry {now.file.name} is set up already: nothing to do")
        return
    name = name or (directory.resolve().name if directory else _prompt("--name", "Name of the registry"))
    owners = owners or tuple(_prompt("--owner", "Default owners (@user or @org/team)").split())
    places = _places(bucket, staging, production)
    lake = lake or _prompt("--lake", "Location of the images (URL or folder)")
    answers = init.Answers(
        name, owners, *places, lake, public or "", endpoint=endpoint or "", region=region or "", profile=profile or ""
    )
    if folder:
        _make(folder, answers, _with_wheel(tooling.pin(source or ""), wheel), vendored=vendored, dry_run=dry_run)
        return
    space = here()
    local = space.root / settings.LOCAL_CONFIG
    written = local.read_bytes() if local.is_file() else b""
    if space.tree.has(skeleton.TABLE) and not again and space.registry_file.template is None:
        found = _find_pin(space, source, wheel)
        _make_thin(space, answers, *found, local=written, keep_example=keep_example, vendored=vendored, dry_run=dry_run)
        return
    plan = init.plan(space.tree, answers, local=written, again=again, keep_example=keep_example)
    _verify(space.root, owners)
    say(str(plan))
    if dry_run:
        return
    init.apply(plan, space.root)
    space.write_generated_files()
    say("hint: review `git diff`, commit, then registry new dataset NAME")


def _make_thin(
    space: Workspace, answers: init.Answers, pin: Template, repository: Path, *,
    local: bytes, keep_example: bool, vendored: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Set up a repository that has all of the template: what is the tooling's is removed, and pinned.

    Without its code (see `vendored`), nothing can be imported after that.
    """
    url = git.remote_url(space.root) if git.has_remote(space.root) else ""
    made = copy.plan(space.tree, answers, pin, tooling.normalize(url), local=local, vendored=vendored)
    plan = copy.thin(space.tree, made, list_tree(repository, pin.commit), keep_example=keep_example)
    _verify(space.root, answers.owners)
    say(str(plan))
    if not dry_run:
        copy.write(plan, space.root)
        say("hint: review `git status`, then make setup, which installs the tooling, then git add --all and commit")


def _find_pin(space: Workspace, source: str | None, wheel: str | None = None) -> tuple[Template, Path]:
    """The commit of the template that this repository was made of, and the template's repository."""
    url = tooling.normalize(source or _template_on_github(space))
    repository = template_repository.fetch(space.root, url)
    birth = template_repository.find_birth(space.root, repository, tooling.read().version)
    return _with_wheel(Template(url, birth.version, birth.id), wheel), repository


def _with_wheel(pin: Template, wheel: str | None) -> Template:
    return wheels.pin(pin, wheel) if wheel else pin


def _template_on_github(space: Workspace) -> str:
    """The URL of the template that GitHub made this repository of. Raises Refused where it is not known."""
    with suppress(RegistryError):
        if found := github.template(github.connect(space.root)):
            return found
    fix = "name it: --source https://…, or file:///… of a clone"
    raise Refused("the repository of the template that this one was made of is not known", fix=fix)


def _new_folder(directory: Path | None) -> Path | None:
    """The folder to make a registry in: the one that is named, or the current one if it is empty."""
    folder = directory or Path.cwd()
    if directory is None and not copy.is_empty(folder):
        return None
    copy.require_free(folder)
    return folder


def _make(folder: Path, answers: init.Answers, pin: Template, *, vendored: bool, dry_run: bool) -> None:
    """Make a registry of its own in a folder, with the tooling that is running pinned."""
    if vendored and not tooling.checkout():
        fix = f"git clone {pin.source}, in the clone make setup, then .venv/bin/registry init FOLDER --vendored"
        raise Refused("the code of the tooling is in its repository, and this is an installed package", fix=fix)
    url = git.remote_url(folder) if (folder / ".git").exists() and git.has_remote(folder) else ""
    plan = copy.plan(skeleton.of_tooling(), answers, pin, tooling.normalize(url), vendored=vendored)
    _verify(folder if (folder / ".git").exists() else None, answers.owners)
    say(str(plan))
    if dry_run:
        return
    copy.make(plan.files, folder)
    cd = "" if folder == Path.cwd() else f"cd {shlex.quote(str(folder))}, "
    say(f"made {plural(len(plan.files), 'file')} in {folder}")
    say(f"hint: {cd}make setup, then git add --all and commit, then registry new dataset NAME")


def _require_values(**options: str | None) -> None:
    """Refuses an option without a value: of an unset shell variable, and another server would be meant."""
    for name, value in options.items():
        if value == "":
            raise click.UsageError(f"--{name} is empty")


def _verify(root: Path | None, owners: Sequence[str]) -> None:
    """Ask a repository's GitHub whether the owners can be code owners; what it cannot say is told. Raises Refused."""
    verified = github_owners.verify(root, owners)
    for fault in verified.unfit.values():
        raise fault
    if verified.unknown:
        say(f"note: {verified.unknown}", err=True)


def _places(bucket: str | None, staging: str | None, production: str | None) -> tuple[str, str]:
    """The locations of staging and production."""
    if not staging and not production:
        return init.places_in(bucket or _prompt("--bucket", "Staging and production: s3://NAME, or a folder for both"))
    return (
        staging or _prompt("--staging", "Location of staging (URL or folder)"),
        production or _prompt("--production", "Location of production (URL or folder)"),
    )


def _prompt(option: str, text: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{option} is required where there is no terminal")
    return str(click.prompt(text, err=True))
