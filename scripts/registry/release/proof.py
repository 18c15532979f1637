"""The chain of proofs of a release: its tag, the manifest that the tag names, the files, and the attestation.

Each link is proved, wrong, or not checked for a reason that is told: a link that could not be looked at proves nothing.
"""

import hashlib
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from polars import DataFrame

from registry.core import artifact_files, layout, tag_messages
from registry.core.tree import Tree, find_file
from registry.core.values import Tag
from registry.core.wording import plural
from registry.errors import InvalidData, InvalidDocument, NotFound, RegistryError, ToolFailed
from registry.integrations import gh_attestations, git_signatures
from registry.integrations.git_signatures import Signed, TagObject
from registry.integrations.github import Repository
from registry.release import manifest_files, release_manifests, stray_tags
from registry.release.release_manifests import ReleaseManifest
from registry.storage.base import Store
from registry.sync import inventory

WORKERS = 4


class State(StrEnum):
    """What is known of a link."""

    PROVED = "proved"
    NOT_CHECKED = "not checked"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain, why its state is what it is, and the next step where there is one."""

    name: str
    state: State
    why: str
    fix: str = ""

    def __str__(self) -> str:
        hint = f"\n  hint: {self.fix}" if self.fix else ""
        return f"{self.name}: {self.state}: {self.why}{hint}"


def check_tag(root: Path, tag: Tag, found: TagObject | None, tree: Tree, allowed_signers: Path | None = None) -> Link:
    """Whether the tag is on a commit (`tree`) with that version, and what a person or a machine signed.

    `found` is None for a lightweight one.
    """
    if found is None:
        return Link("tag", State.WRONG, "it is a lightweight tag, which publishes nothing")
    if found.name != str(tag):
        return Link("tag", State.WRONG, f"refs/tags/{tag} has the tag {found.name}")
    files = artifact_files.read_release(tag.artifact, partial(find_file, tree))
    if files is None:
        return Link("tag", State.WRONG, f"its commit has no {layout.manifest_path(tag.artifact)}")
    if (manifest := files.manifest.value) and manifest.version != tag.version:
        return Link("tag", State.WRONG, f"the manifest of its commit says {manifest.version}")
    if str(tag) in stray_tags.find_unmerged(root):
        return Link("tag", State.WRONG, stray_tags.UNMERGED)
    state, said = git_signatures.verify(root, str(tag), found, allowed_signers)
    match state:
        case Signed.NOT:
            return Link("tag", State.NOT_CHECKED, "it is not signed; who may push tags to the repository decides")
        case Signed.NOT_KNOWN:
            return Link("tag", State.NOT_CHECKED, f"its signature needs keys (--allowed-signers FILE, or gpg): {said}")
        case Signed.BAD:
            return Link("tag", State.WRONG, f"its signature is not good: {said}")
    return Link("tag", State.PROVED, "its signature is good")


# --- the manifest -----------------------------------------------------------------------------------------------------


class StoredManifests:
    """The objects of release manifests in the first store that has them intact."""

    def __init__(self, stores: Iterable[Store]) -> None:
        self._stores = tuple(stores)
        self._failure: RegistryError | None = None

    def __call__(self, key: str) -> bytes | None:
        """An object's bytes; None where no store has it."""
        expected, wrong = key.rpartition("/")[2].partition(".")[0], None
        for store in self._stores:
            try:
                data = store.get(key)
            except NotFound:
                continue
            except RegistryError as error:
                self._failure = self._failure or error
                continue
            if hashlib.sha256(data).hexdigest() == expected:
                return data
            wrong = data
        return wrong

    def find_failure(self) -> RegistryError | None:
        """Why the absence of an object proves nothing; None where there are stores, and all of them answer."""
        if not self._stores:
            return NotFound("no storage is configured that can be read")
        try:
            for store in self._stores if self._failure is None else ():
                store.require_readable()
        except RegistryError as error:
            self._failure = error
        return self._failure


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A manifest with its list of files (columns of `manifest_files.FILES`)."""

    manifest: ReleaseManifest
    files: DataFrame


def check_manifest(tag: Tag, found: TagObject | None, tree: Tree, read: StoredManifests) -> tuple[Link, Listed | None]:
    """Whether the manifest is the one that the tag names, and says what the tag's commit says."""
    sha256 = tag_messages.find_manifest(found.message) if found else None
    if found is None or sha256 is None:
        return Link("manifest", State.NOT_CHECKED, "the tag names none: it was made by hand or long ago"), None
    try:
        manifest = release_manifests.read(tag, sha256, read)
        listed = Listed(manifest, manifest_files.read_files(manifest, read))
    except NotFound as error:
        if failed := read.find_failure():
            why = f"it could not be read: {failed.message}"
            return Link("manifest", State.NOT_CHECKED, why, failed.fix), None
        return Link("manifest", State.WRONG, error.message), None
    except (InvalidData, InvalidDocument) as error:
        return Link("manifest", State.WRONG, error.message), None
    if fault := release_manifests.contradiction(manifest, tag, found.commit, inventory.outputs(tree, tag.artifact)):
        return Link("manifest", State.WRONG, fault), None
    count = plural(manifest.count - manifest.unhashed, "file")
    said = f"sha256:{sha256[:12]}… is what the tag names; it has the SHA-256 of {count}"
    said += f", and the MD5 alone of {manifest.unhashed:,}" if manifest.unhashed else ""
    return Link("manifest", State.PROVED, said), listed


# --- the files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hashed:
    """How many files have the SHA-256 of the manifest, and a line for each that has another one."""

    intact: int
    wrong: tuple[str, ...]


def hash_files(listed: Listed, found: Iterable[str], place: str, data: Path) -> Hashed:
    """Compare files, by their names below `data` here and below `place` of the release; `data` may be a file itself.

    Files that the manifest lists with an MD5 alone, or that Git has, are left out.
    """
    expected = {path: sha256 for path, sha256 in listed.files.select("path", "sha256").iter_rows() if sha256}
    by_name = {name: place if data.is_file() else f"{place}/{name}" for name in found}
    known = {name: expected[path] for name, path in by_name.items() if path in expected}
    files = [data if data.is_file() else data / name for name in known]
    with ThreadPoolExecutor(WORKERS) as pool:
        hashed = dict(zip(known, pool.map(_sha256, files), strict=True))
    wrong = sorted(name for name, sha256 in known.items() if hashed[name] != sha256)
    lines = (f"{name}: SHA-256 is {hashed[name]}, expected {known[name]}" for name in wrong)
    return Hashed(len(known) - len(wrong), tuple(lines))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the attestation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle of attestations, the default branch of the registry, and the trusted root for reading it offline."""

    path: Path
    branch: str
    trusted_root: Path | None = None


def check_attestation(listed: Listed | None, bundle: Bundle | None, repository: Repository | None) -> Link:
    """Whether the registry's own workflow attested the manifest."""
    if listed is None:
        return _not_attested("without its manifest there is nothing that was attested")
    if bundle is None:
        return _not_attested("name its bundle (--bundle FILE), which the release on GitHub has where it was attested")
    try:
        subjects = gh_attestations.read_subjects(bundle.path)
    except InvalidDocument as error:
        return Link("attestation", State.WRONG, error.message)
    if listed.manifest.sha256 not in subjects:
        return Link("attestation", State.WRONG, f"{bundle.path} is about other files than this manifest")
    if repository is None:
        return _not_attested("the registry's repository is not on GitHub, as far as its URL tells")
    with tempfile.TemporaryDirectory(prefix="registry-verify-") as folder:
        file = Path(folder, "release.json")
        file.write_bytes(listed.manifest.data)
        try:
            gh_attestations.verify(repository, bundle.branch, file, bundle.path, bundle.trusted_root)
        except gh_attestations.NotVerified as error:
            return _not_attested(f"{error.message}; {error.fix}")
        except ToolFailed as error:
            return Link("attestation", State.WRONG, f"gh: {' '.join(error.stderr.split())}")
    return Link("attestation", State.PROVED, f"{gh_attestations.WORKFLOW} of {repository} made the manifest")


def _not_attested(why: str) -> Link:
    return Link("attestation", State.NOT_CHECKED, why)
