"""A registry's Git repository, read from elsewhere: its releases, what one of them has, and where its objects are.

Two commands reach the network: `git ls-remote` for the tags, and a shallow fetch of the tag and of the default branch,
which says today where the objects are and which versions are withdrawn.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from registry.client import dvc_remotes, products
from registry.client.products import Known, Product
from registry.core import artifact_files, layout, names, stages, tag_messages, tombstones
from registry.core.erasures import Erased
from registry.core.references import Reference
from registry.core.settings import DVC_CONFIG
from registry.core.tree import Tree, find_file
from registry.core.values import ArtifactId, Kind, Output, Tag
from registry.errors import InvalidData, InvalidDocument, RegistryError, StorageFailed
from registry.integrations import git, git_elsewhere, git_trees
from registry.storage.base import Store
from registry.storage.open import open_store

Warn = Callable[[str], None]
CURRENT = "refs/current"  # what the default branch of the other repository is called here
PLACES = ("public", "production")  # the remotes that have released objects; the first that is there needs no login


@dataclass(frozen=True, slots=True)
class Repository:
    """A temporary repository, to be filled from `url`; `root` is the folder of that, if it is a clone on this machine.

    `tags` are all of the other repository, with their commits; `branch` is the ref there that is up to date.
    """

    folder: Path
    url: str
    root: Path | None
    tags: Mapping[str, git.TagRef]
    branch: str

    def fetch(self, *tags: str) -> None:
        """Fetch these tags, and the default branch as CURRENT. Raises NotFound."""
        refs = (f"+refs/tags/{tag}:refs/tags/{tag}" for tag in tags)
        git_elsewhere.fetch_shallow(self.folder, self.url, f"+{self.branch}:{CURRENT}", *refs)


@contextmanager
def opened(place: str) -> Iterator[Repository]:
    """The repository at a URL, or of a clone on this machine. Raises NotFound."""
    folder = Path(place).absolute()
    root = folder if (folder / ".dvc").is_dir() else None
    url = str(folder) if folder.is_dir() else place
    with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as made:
        git.output(Path(made), "init", "--quiet", "--bare")
        tags = {name: ref for name, ref in git_elsewhere.tags_of(Path(made), url).items() if ref.annotated}
        # A clone may be behind what it has fetched.
        followed = "refs/remotes/origin/HEAD"
        branch = followed if root and git.find_id(root, followed) else "HEAD"
        yield Repository(Path(made), url, root, tags, branch)


def find(place: str, wanted: Reference, warn: Warn) -> Product:
    """The product of the release that a reference names. Raises NotFound, InvalidDocument, InvalidData, StorageFailed.

    `warn` is called with what is not known for certain.
    """
    with opened(place) as repository:
        found = products.of(wanted.artifact, names.find_tags(list(repository.tags)))
        exact = Tag(wanted.artifact, wanted.version) if wanted.version else None
        staged = [name for name in repository.tags if _is_stage(name, wanted.artifact)]
        fetched = [str(exact)] if exact in found else staged
        repository.fetch(*fetched)
        with git_trees.Revision(repository.folder, CURRENT) as current:
            withdrawn = find_withdrawn(current, wanted.artifact, warn)
            known = Known(place, found, withdrawn, _stages(repository, found, staged) if fetched == staged else {})
            tag = known.choose(wanted)
            if tag != exact:
                repository.fetch(str(tag))
            with git_trees.Revision(repository.folder, f"refs/tags/{tag}") as tree:
                outputs = _outputs(tree, tag)
            if not tag_messages.find_manifest(git.tag_messages(repository.folder)[str(tag)]):
                warn(f"{tag} was made by hand: MD5 alone proves its files")
            stores, erased = _stores(repository, current), find_erased(current, warn)
            return Product(tag, outputs, stores, withdrawn.get(tag, ""), erased, known.good)


def _is_stage(name: str, artifact: ArtifactId) -> bool:
    found = names.find_stage(name)
    return found is not None and found.artifact == artifact


def _stages(repository: Repository, releases: tuple[Tag, ...], staged: list[str]) -> Mapping[str, Tag]:
    """The release that each stage is given to."""
    times = {name: time for name, time in git.tag_times(repository.folder).items() if name in staged}
    commits = {name: repository.tags[name].commit for name in staged}
    by_commit = {repository.tags[str(tag)].commit: tag for tag in releases}
    assigned = stages.find(times, commits).items()
    return {stage: by_commit[commit] for (_, commit), every in assigned if commit in by_commit for stage in every}


def find_withdrawn(current: Tree, artifact: ArtifactId, warn: Warn) -> Mapping[Tag, str]:
    """The withdrawn versions with the reasons, as the default branch has them today."""
    try:
        files = artifact_files.read_release(artifact, partial(find_file, current))
        manifest = files.manifest.require() if files else None
    except InvalidDocument as error:
        warn(f"which versions of {artifact} are withdrawn is not known: {error.message}")
        return {}
    return {Tag(artifact, version): why for version, why in manifest.withdrawn.items()} if manifest else {}


def find_erased(current: Tree, warn: Warn) -> Mapping[str, Erased]:
    """What each case erased, as the default branch has it today."""
    try:
        return tombstones.by_case(tombstones.read(current).values())
    except InvalidDocument as error:
        warn(f"what was erased is not known: {error.message}")
        return {}


def _outputs(tree: Tree, tag: Tag) -> tuple[Output, ...]:
    """What the release gives. Raises InvalidDocument, and InvalidData for a tag on a commit with another version."""
    files = artifact_files.read_release(tag.artifact, partial(find_file, tree))
    if not files:
        raise InvalidData(f"{tag}: its commit has no {layout.manifest_path(tag.artifact)}", (), fix=_ASK)
    manifest = files.manifest.value  # None where it was written for other schemas than today's
    if manifest and manifest.version != tag.version:
        raise InvalidData(f"{tag}: the manifest of its commit says {manifest.version}", (), fix=_ASK)
    if tag.artifact.kind is Kind.MODEL:
        found = files.model_files
    else:
        found = files.prepared.require().outputs if files.prepared else ()
    if not found:
        raise InvalidData(f"{tag}: its commit has no pointer to {layout.product_path(tag.artifact)}", (), fix=_ASK)
    return found


_ASK = "ask the owners of the registry: `registry fsck` there names what is wrong"


def _stores(repository: Repository, current: Tree) -> tuple[Store, ...]:
    """Where released objects are. Raises StorageFailed where none can be opened from here."""
    root = repository.root
    remotes = dvc_remotes.read(find_file(current, DVC_CONFIG) or b"", root)
    found, faults = list[Store](), list[str]()
    for remote in (remotes[name] for name in PLACES if name in remotes):
        if "://" not in remote.url and not Path(remote.url).is_absolute() and not root:
            faults.append(f"remote {remote.name}: {remote.url} is a folder beside a clone")
            continue
        try:
            found.append(open_store(remote, root or Path()))
        except RegistryError as error:
            faults.append(error.message)
    if not found:
        fix = f"use --repo with a clone on this machine; or ask the owners for a remote {PLACES[0]}"
        fault = f"{repository.url}: no place of released objects can be read from here"
        raise StorageFailed(fault, lines=faults, fix=fix)
    return tuple(found)
