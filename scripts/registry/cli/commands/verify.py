"""`registry verify`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from registry.cli.workspace import here, warn
from registry.core import names, settings
from registry.core.values import Tag
from registry.errors import InvalidData, NotFound, RegistryError
from registry.integrations import dvc, git, git_trees
from registry.release import fetched
from registry.storage import dvc_config
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.storage.reader import ObjectReader

_FIX = "keep these files, and have `registry fsck --deep` run in the registry: it tells whether the storage is at fault"


@click.command()
@click.argument("tag", metavar="ID@vVERSION")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--repo", metavar="URL", help="The Git repository of the registry, or a clone; by default the one here.")
def command(tag: str, path: Path, *, repo: str | None) -> None:
    """Verify that files are those of a release, whatever tool fetched them.

    PATH is what `dvc get`, `dvc import`, `dvc artifacts get` or a download left: the data of the artifact, a part of
    it, one file, or the .dvc file of an import. Its files are read, and compared with the pointers in the tag. The exit
    code is 1 if a file is changed, missing or not in the release. Works in any folder, with --repo.
    """
    wanted = names.parse_tag(tag)
    with _open_registry(repo, wanted) as (tree, root):
        found = fetched.read(path)
        result = fetched.compare(found, tree, wanted, ObjectReader(_stores(tree, root), warn))
    if not result.is_intact:
        raise InvalidData(f"{path} is not {tag}: {result}", result.problems(), fix=_FIX)
    click.echo(f"{path} is {tag}: {result}")


@contextmanager
def _open_registry(repo: str | None, tag: Tag) -> Iterator[tuple[git_trees.Revision, Path]]:
    """The tree of a tag, and the folder that relative remotes in it start from."""
    if not repo:
        try:
            root = here().root
        except NotFound as error:
            raise NotFound(error.message, fix="name the registry: --repo URL") from error
        with git_trees.Revision(root, f"refs/tags/{tag}") as tree:
            yield tree, root
        return
    is_local = Path(repo).is_dir()
    with tempfile.TemporaryDirectory(prefix="registry-verify-") as folder:
        git.fetch_tag(Path(folder), str(Path(repo).absolute()) if is_local else repo, str(tag))
        with git_trees.Revision(Path(folder), f"refs/tags/{tag}") as tree:
            yield tree, Path(repo).absolute() if is_local else Path(folder)


def _stores(tree: git_trees.Revision, root: Path) -> Iterator[Store]:
    """Where a list of files may be: DVC's cache here, then the remotes of the registry. What fails has none."""
    project = next((folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / ".dvc").is_dir()), None)
    if project:
        yield Folder(dvc.cache_dir(project))
    try:
        remotes = dvc_config.parse(tree.read(settings.DVC_CONFIG))
        known = settings.join(settings.read(tree), remotes)
    except RegistryError as error:
        warn(error.message)
        return
    for remote in (known.public, known.production, known.staging):
        if remote:
            yield open_store(remote, root)
