"""`registry verify`."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from registry.cli.workspace import here, warn
from registry.console import say
from registry.core import names, settings, tombstones
from registry.core.erasures import Erased
from registry.core.progress import bar
from registry.core.tombstones import Tombstone
from registry.core.tree import Tree
from registry.core.values import Tag
from registry.core.withdrawals import Withdrawal
from registry.core.wording import plural
from registry.errors import InvalidData, InvalidDocument, NotFound, RegistryError
from registry.integrations import dvc, git, git_elsewhere, git_signatures, git_trees, github
from registry.integrations.github import Repository
from registry.release import fetched, proof, shard_proof, withdraw
from registry.release.proof import Listed, State
from registry.storage import dvc_config
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.storage.reader import ObjectReader

_ASK = "use nothing of it before its owners have explained it"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_READ = "get read access to the registry's storage"
_FIX = "keep these files, and have `registry fsck --deep` run in the registry: it tells whether the storage is at fault"


@click.command()
@click.argument("tag", metavar="ID@vVERSION")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--repo", metavar="URL", help="The Git repository of the registry, or a clone; by default the one here.")
@click.option("--allowed-signers", type=_FILE, help="Who may sign tags (ssh); otherwise as Git is configured.")
@click.option("--bundle", type=_FILE, help="The bundle with the attestation of the release manifest.")
@click.option("--trusted-root", type=_FILE, help="For the bundle, offline: what gh attestation trusted-root printed.")
def command(
    tag: str,
    path: Path | None,
    *,
    repo: str | None,
    allowed_signers: Path | None,
    bundle: Path | None,
    trusted_root: Path | None,
) -> None:
    """Verify that files are those of a release, and what proves the release.

    Each link of the chain is proved, wrong, or not checked with the reason: the signature of the tag; the release
    manifest, which the tag names by its SHA-256; the files, by MD5 and by the manifest's SHA-256; and the attestation
    of the manifest by GitHub Actions, if its bundle is named. Without PATH, no file is read.

    PATH is what `dvc get`, `dvc import`, `dvc artifacts get` or a download left: the data of the artifact, a part of
    it, one file, the .dvc file of an import, or shards (registry export). Its files are read, and compared with the
    pointers in the tag; modes and times do not count. The exit code is 1 if a link is wrong, or a file is changed,
    missing or not in the release. A version that was withdrawn since is told with the reason; the exit code is that of
    its files. Works in any folder, with --repo.
    """
    wanted = names.parse_tag(tag)
    with _open_registry(repo, wanted) as registry, git_trees.Revision(registry.repository, f"refs/tags/{tag}") as tree:
        _warn_of_withdrawal(registry, wanted)
        known = git_signatures.read_tag(registry.repository, tag)
        links = [proof.check_tag(registry.repository, wanted, known, tree, allowed_signers)]
        stored = proof.StoredManifests(_remotes(tree, registry.root))
        made_by, listed = proof.check_manifest(wanted, known, tree, stored)
        evidence = proof.Bundle(bundle, registry.find_main_branch(), trusted_root) if bundle else None
        links += [made_by, proof.check_attestation(listed, evidence, registry.on_github)]
        for link in links:
            say(str(link))
        if path:
            verify = _verify_shards if shard_proof.find(path) else _verify_files
            verify(registry, tree, wanted, path, listed)
        if wrong := [str(link) for link in links if link.state is State.WRONG]:
            raise InvalidData(f"{tag} is not as it was published", wrong, fix=_ASK)


def _verify_files(
    registry: "_Registry", tree: git_trees.Revision, wanted: Tag, path: Path, listed: Listed | None
) -> None:
    data = fetched.find_data(path)
    found = fetched.read(data)
    reader = ObjectReader(_stores(tree, registry.root), warn)
    try:
        result = fetched.compare(found, tree, wanted, reader, _find_erased(registry, found))
    except NotFound:
        if reader.ended:
            raise reader.ended from None
        _refuse_other_version(path, registry.find_other_version(found, wanted), wanted)
        raise
    if not result.is_intact:
        other = registry.find_other_version(found, wanted)
        _refuse_other_version(path, other, wanted, is_whole=not result.erased)
        raise InvalidData(f"{path} is not {wanted}: {result}", result.problems(), fix=_FIX)
    if listed:
        hashed = proof.hash_files(listed, found, result.place, data)
        if hashed.wrong:
            raise InvalidData(f"{path} is not {wanted}: same MD5, other content", hashed.wrong, fix=_FIX)
        result_of_hashes = f"SHA-256 of {plural(hashed.intact, 'file')} as in the manifest"
    else:
        result_of_hashes = "by MD5 alone"
    say(f"{path} is {wanted}: {result}, {result_of_hashes}")


def _verify_shards(
    registry: "_Registry", tree: git_trees.Revision, wanted: Tag, path: Path, listed: Listed | None
) -> None:
    if listed is None:
        raise NotFound(f"{path}: shards are compared with the release manifest, which is not proved", fix=_READ)
    files = shard_proof.find(path)
    with bar("reading shards", len(files)) as progress:
        reader = ObjectReader(_stores(tree, registry.root), warn)
        found = shard_proof.verify(files, wanted, listed.files, reader, progress)
    if found.problems:
        raise InvalidData(f"{path} is not {wanted} as shards", found.problems, fix=_FIX)
    say(f"{path} is {wanted} as shards: {plural(found.intact, 'shard')} with {plural(found.images, 'image')} intact")


def _refuse_other_version(path: Path, other: Tag | None, wanted: Tag, *, is_whole: bool = True) -> None:
    if other:
        again = f"fetch it again with --rev {wanted}; or use it as what it is"
        fix = again if is_whole else f"use it as what it is: files of {wanted} were erased"
        raise InvalidData(f"{path} is not {wanted}: it is {other}, complete and unchanged", (), fix=fix)


def _warn_of_withdrawal(registry: "_Registry", tag: Tag) -> None:
    try:
        if found := registry.find_withdrawal(tag):
            warn(str(found))
    except RegistryError as error:
        warn(f"whether {tag} is withdrawn is not known: {error.message}")


def _find_erased(registry: "_Registry", found: Mapping[str, str]) -> Erased:
    """What was erased, by the default branch; files that are are named, whichever release they are of."""
    cases = registry.find_tombstones()
    for one in cases:
        gone = set(one.erased.find_objects(found.values()))
        for path in (path for path, md5 in found.items() if md5 in gone):
            warn(f"{path} was erased (case {one.case}), as the law demands: delete it here, too")
    return tombstones.join(cases)


@dataclass(frozen=True, slots=True)
class _Registry:
    """A registry in a Git repository, whose relative remotes start from `root`.

    The repository of a `url` is a temporary one, and has what was fetched from there.
    """

    repository: Path
    root: Path
    url: str | None = None

    def find_main_branch(self) -> str:
        """The default branch of its repository, which alone publishes."""
        known = git.main_branch(self.repository, self.url) if self.url else git.known_main_branch(self.repository)
        return known.removeprefix("origin/")

    @property
    def on_github(self) -> Repository | None:
        """Its repository on GitHub; None for any other place."""
        return github.parse_url(self.url) if self.url else github.find_repository(self.repository)

    def find_withdrawal(self, tag: Tag) -> Withdrawal | None:
        """The withdrawal of a version, as the default branch has it. Raises NotFound, InvalidDocument."""
        if not self.url:
            return withdraw.find(self.repository, tag)
        git_elsewhere.fetch_shallow(self.repository, self.url, "+HEAD:refs/current")
        released = names.find_tags(list(git_elsewhere.tags_of(self.repository, self.url)))
        return withdraw.find(self.repository, tag, ("refs/current",), released)

    def find_tombstones(self) -> tuple[Tombstone, ...]:
        """What was erased, by the default branch; where that is not known, which is told, nothing."""
        known = ("refs/current",) if self.url else git.known_default_branches(self.repository)
        revision = next((one for one in reversed(known) if git.find_id(self.repository, one)), None)
        if revision is None:
            return ()
        try:
            with git_trees.Revision(self.repository, revision) as tree:
                return tuple(tombstones.read(tree).values())
        except InvalidDocument as error:
            warn(f"what was erased is not known: {error.message}")
            return ()

    def find_other_version(self, found: Mapping[str, str], tag: Tag) -> Tag | None:
        """The other version of the artifact that complete files are; None also where the versions cannot be read."""
        with suppress(RegistryError):
            if self.url:
                every = f"refs/tags/{tag.artifact}@*"
                git_elsewhere.fetch_shallow(self.repository, self.url, f"+{every}:{every}")
            tags = names.find_tags(git.tag_names(self.repository))
            others = [one for one in tags if one.artifact == tag.artifact and one != tag]
            return fetched.find_version(found, self._trees(others))
        return None

    def _trees(self, tags: list[Tag]) -> Iterator[tuple[Tag, Tree]]:
        for tag in reversed(tags):
            with git_trees.Revision(self.repository, f"refs/tags/{tag}") as tree:
                yield tag, tree


@contextmanager
def _open_registry(repo: str | None, tag: Tag) -> Iterator[_Registry]:
    """The registry that has the tag."""
    if not repo or Path(repo).is_dir():
        root = _find_root(repo)
        if not git.find_id(root, f"refs/tags/{tag}"):
            raise NotFound(f"{root} has no tag {tag}", fix="check the tag, and fetch the tags of the registry")
        yield _Registry(root, root)
        return
    with tempfile.TemporaryDirectory(prefix="registry-verify-") as folder:
        git_elsewhere.fetch_shallow(Path(folder), repo, f"+refs/tags/{tag}:refs/tags/{tag}")
        yield _Registry(Path(folder), Path(folder), repo)


def _find_root(folder: str | None) -> Path:
    if folder:
        return Path(folder).absolute()
    try:
        return here().root
    except NotFound as error:
        raise NotFound(error.message, fix="name the registry: --repo URL") from error


def _stores(tree: git_trees.Revision, root: Path) -> Iterator[Store]:
    """Where a list of files may be: DVC's cache here, then the remotes of the registry. What fails has none."""
    project = next((folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / ".dvc").is_dir()), None)
    if project:
        yield Folder(dvc.cache_dir(project))
    yield from _remotes(tree, root)


def _remotes(tree: git_trees.Revision, root: Path) -> Iterator[Store]:
    """The remotes of the registry."""
    try:
        remotes = dvc_config.parse(tree.read(settings.DVC_CONFIG))
        known = settings.join(settings.read(tree), remotes)
    except RegistryError as error:
        warn(error.message)
        return
    for remote in (known.public, known.production, known.staging):
        if remote:
            yield open_store(remote, root)
