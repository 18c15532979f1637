"""Collects everything that the rules of `check` need to know about a change, so that a rule opens no file."""

import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from registry.checks.context import (
    LARGEST,
    ArtifactSubject,
    Card,
    DatasetSubject,
    Facts,
    File,
    ModelSubject,
    Releases,
    Scope,
    Stale,
    StorageChange,
    Training,
)
from registry.core import (
    artifact_files,
    documents,
    layout,
    lineage,
    locked_state,
    names,
    parts,
    settings,
    tombstones,
)
from registry.core.artifact_files import ArtifactFiles, Files, Lock, Parsed, Pipeline, Reader, Release
from registry.core.pointers import Pointer
from registry.core.schema import Fault
from registry.core.tree import Entry, Tree
from registry.core.values import ArtifactId, DatasetManifest, Kind, Manifest, ModelManifest, Selection, Tag
from registry.dataset import provenance
from registry.errors import InvalidDocument, NotFound
from registry.integrations import git, git_trees
from registry.scaffold import card_facts, generated_files

T = TypeVar("T")

CONFIGS = (settings.DVC_CONFIG, settings.PATH)
LIMITS = re.compile(r"#{1,6} +limits of use\s*", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEAD = 8000  # bytes; a file with a NUL among them is binary, as for Git


class History(Protocol):
    """The releases of a repository: `git_trees.History`, or a dict in tests."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the annotated tags."""
        ...

    @property
    def is_complete(self) -> bool:
        """False in a shallow clone."""
        ...

    def read(self, revision: str, path: str) -> bytes | None:
        """A file of a revision; None where either does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What is checked: a tree, the paths that changed (deleted ones too), and the revision before the change.

    `commit` is the commit that the tree is of, where it is neither the working tree nor the index.
    """

    scope: Scope
    tree: Tree
    paths: frozenset[str]
    before: str = ""
    commit: str = ""


def staged(root: Path) -> Change:
    """What the next commit would change."""
    return Change(Scope.STAGED, git_trees.Index(root), frozenset(git.staged_paths(root)), "HEAD")


def since(root: Path, revision: str) -> Change:
    """What the working tree changed since the merge base with a revision. Raises NotFound."""
    base = git.merge_base(root, git.resolve_commit(root, revision), "HEAD")
    return Change(Scope.BASE, git_trees.WorkTree(root), frozenset(git.changed_paths(root, base)), base)


def between(root: Path, revision: str, tree: git_trees.Revision) -> Change:
    """What a commit, which need not be checked out, changed since its merge base with a revision. Raises NotFound."""
    base = git.merge_base(root, git.resolve_commit(root, revision), tree.commit)
    return Change(Scope.BASE, tree, frozenset(git.changed_paths(root, base, tree.commit)), base, tree.commit)


def everything(root: Path) -> Change:
    """The whole working tree."""
    tree = git_trees.WorkTree(root)
    return Change(Scope.ALL, tree, frozenset(entry.path for entry in tree.list()))


def gather(change: Change, history: History, read_object: Reader) -> Facts:
    """The facts about a change. `read_object` is called only for objects that the change needs."""
    files = artifact_files.list_files(change.tree)
    artifacts = frozenset(
        artifact for artifact in _owners(files.entries) if layout.manifest_path(artifact) in files.entries
    )
    touched = _owners(change.paths)
    kept = sorted(change.paths & files.entries.keys())
    submodules = [path for path in change.tree.submodules() if change.scope is Scope.ALL or path in change.paths]
    checked = tuple(_read_artifacts(change, files, artifacts, touched))
    generated = _compare_generated(change, touched, checked)
    storage = _read_storage(change, history)
    released = _Released(history, names.find_tags(history.tags))
    subjects = (_subject(artifact, files, released, touched=artifact.id in touched) for artifact in checked)
    return Facts(
        scope=change.scope,
        complete=history.is_complete,
        artifacts=artifacts,
        checked=checked,
        subjects=tuple(_with_objects(change, subject, read_object) for subject in subjects if subject),
        cards={one.id: read_card(text) for one in checked if (text := _read_text(files, layout.card_path(one.id)))},
        removed=tuple(artifact for artifact in sorted(touched - artifacts) if not files.inside(artifact)),
        unknown_folders=tuple(
            sorted({folder for path in kept if (folder := _folder(path))} - set(map(str, artifacts)))
        ),
        files=(
            *(_file(change.tree, files.entries[path]) for path in kept),
            *(File(path, 0, is_link=False, is_text=False, is_submodule=True) for path in submodules),
        ),
        deleted=tuple(sorted(change.paths - files.entries.keys() - set(submodules))),
        configs={
            path: tuple(change.tree.read(path).decode(errors="replace").splitlines())
            for path in CONFIGS
            if path in kept
        },
        storage=storage,
        stale=generated.stale,
        unreadable=tuple(dict.fromkeys((*storage.unreadable, *generated.unreadable))),
    )


def _read_text(files: Files, path: str) -> str:
    return files.tree.read(path).decode(errors="replace") if path in files.entries else ""


def read_card(text: str) -> Card:
    """What a card says of the limits of use; comments and the generated facts are no words."""
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text.partition(card_facts.BEGIN)[0])
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if LIMITS.fullmatch(line)), None)
    if start is None:
        return Card(None, has_limits=False)
    below = takewhile(lambda line: not line.startswith("#"), lines[start + 1 :])
    return Card(start + 1, has_limits=any(line.strip() for line in below))


def _read_storage(change: Change, history: History) -> StorageChange:
    if change.paths.isdisjoint(CONFIGS):
        return StorageChange()
    from registry.checks import collect_storage  # loads DVC, which most commits need not wait for

    old = {path: history.read(change.before, path) if change.before else None for path in CONFIGS}
    return collect_storage.compare(change.tree, change.paths, old)


def _owners(paths: Collection[str]) -> frozenset[ArtifactId]:
    return frozenset(artifact for artifact in map(layout.owner_of, paths) if artifact)


def _folder(path: str) -> str:
    """`datasets/x` for a file below it; empty for any other file."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] in {kind.folder for kind in Kind} else ""


def _file(tree: Tree, entry: Entry) -> File:
    data = tree.read(entry.path) if not entry.is_link and entry.size <= LARGEST else None
    if data is None or b"\0" in data[:_HEAD]:
        return File(entry.path, entry.size, entry.is_link, False, entry.is_tracked)
    is_read_wrongly = data.startswith(BOM_UTF8) and (entry.path == ".dvcignore" or data.startswith(BOM_UTF8 + b"#!"))
    conflict = documents.find_conflict(data)
    return File(entry.path, entry.size, False, True, entry.is_tracked, conflict, is_read_wrongly)


# --- the registry's own files -----------------------------------------------------------------------------------------


class _GeneratedFiles(NamedTuple):
    """The generated files that are not current; or the file that has to be corrected before they can be generated."""

    stale: tuple[Stale, ...] = ()
    unreadable: tuple[Parsed[None], ...] = ()


def _compare_generated(
    change: Change, touched: frozenset[ArtifactId], checked: Iterable[ArtifactFiles]
) -> _GeneratedFiles:
    is_commit = change.scope is Scope.STAGED
    if is_commit and not touched and change.paths.isdisjoint({*CONFIGS, *generated_files.FILES}):
        return _GeneratedFiles()
    try:
        expected = generated_files.expected(change.tree, touched if is_commit else None, checked)
    except InvalidDocument as error:
        return _GeneratedFiles(unreadable=(artifact_files.unreadable(error),))
    except NotFound as error:
        fault = Fault(error.message, 1, error.fix)
        return _GeneratedFiles(unreadable=(Parsed(settings.PATH, faults=(fault,)),))
    current = {path: change.tree.read(path) if change.tree.has(path) else b"" for path in expected}
    differing = [(path, data) for path, data in expected.items() if not generated_files.is_current(current[path], data)]
    return _GeneratedFiles(tuple(Stale(path, _first_difference(current[path], data)) for path, data in differing))


def _first_difference(old: bytes, new: bytes) -> int:
    """The first line of `old`, from 1, that differs from `new`."""
    before, after = old.splitlines(), new.splitlines()
    same = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    return max(1, min(len(before), 1 + sum(1 for _ in same)))


# --- artifacts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Released:
    """All release tags, sorted, and the history to read them from."""

    history: History
    tags: tuple[Tag, ...]

    def of(self, manifest: Manifest) -> Releases:
        """The releases of a manifest's artifact."""
        tags = tuple(tag for tag in self.tags if tag.artifact == manifest.id)
        latest = self._read(tags[-1]) if tags else None
        own = next((tag for tag in tags if tag.version == manifest.version), None)
        if own is None or latest is None:
            return Releases(tags, latest)
        return Releases(tags, latest, latest if own == latest.tag else self._read(own))

    def _read(self, tag: Tag) -> Release:
        files = artifact_files.read_release(tag.artifact, lambda path: self.history.read(f"refs/tags/{tag}", path))
        return Release(tag, files.content if files else None, files)


def _read_artifacts(
    change: Change, files: Files, artifacts: frozenset[ArtifactId], touched: frozenset[ArtifactId]
) -> Iterator[ArtifactFiles]:
    """The files of the artifacts that the change concerns: those it touches, and models of datasets and backbones that
    it touches.

    A commit leaves these models out, because finding them means parsing every model's manifest.
    """
    for artifact in sorted(artifacts & touched):
        yield artifact_files.read_artifact(files, artifact)
    for artifact in sorted(artifacts - touched) if change.scope is Scope.BASE else ():
        if artifact.kind is Kind.MODEL:
            manifest = artifact_files.read_manifest(files, artifact)
            if isinstance(manifest.value, ModelManifest) and _depends_on(manifest.value, touched):
                yield artifact_files.read_artifact(files, artifact, manifest)


def _depends_on(model: ModelManifest, touched: frozenset[ArtifactId]) -> bool:
    return model.dataset in touched or not touched.isdisjoint(model.builds_on)


def _subject(artifact: ArtifactFiles, files: Files, released: _Released, *, touched: bool) -> ArtifactSubject | None:
    """The artifact as far as its files are valid; None where its manifest is not."""
    manifest, content = artifact.manifest.value, artifact.content
    if manifest is None or content is None:
        return None
    releases = released.of(manifest)
    if isinstance(manifest, DatasetManifest) and _are_valid(artifact.raw, artifact.prepared):
        return DatasetSubject(
            files=artifact, manifest=manifest, content=content, releases=releases, touched=touched,
            raw=_value(artifact.raw), prepared=_value(artifact.prepared), selection=_selection(artifact.raw),
        )  # fmt: skip
    if isinstance(manifest, ModelManifest) and _are_valid(artifact.pipeline, artifact.lock):
        return ModelSubject(
            files=artifact, manifest=manifest, content=content, releases=releases, touched=touched,
            pipeline=_value(artifact.pipeline), training=_training(artifact, files), metrics=_value(artifact.metrics),
            backbones=lineage.read(files, manifest),
        )  # fmt: skip
    return ArtifactSubject(files=artifact, manifest=manifest, content=content, releases=releases, touched=touched)


def _are_valid(*files: Parsed[Pointer] | Parsed[Pipeline] | Parsed[Lock] | None) -> bool:
    return not any(file.faults for file in files if file)


def _value(file: Parsed[T] | None) -> T | None:
    return file.value if file else None


def _selection(raw: Parsed[Pointer] | None) -> Selection | None:
    try:
        return provenance.parse(raw.document) if raw and raw.document else None
    except InvalidDocument:
        return None


def _training(artifact: ArtifactFiles, files: Files) -> Training | None:
    if artifact.lock is None or artifact.lock.value is None:
        return None
    path, lock = artifact.lock.path, artifact.lock.value
    return Training(path, lock, locked_state.read_locked_state(files, path, lock))


def _with_objects(change: Change, subject: ArtifactSubject, read_object: Reader) -> ArtifactSubject:
    """A dataset with what its objects say, where that matters.

    What the latest release has is not read again; a commit reads only what it changes, or must compare.
    """
    if not isinstance(subject, DatasetSubject):
        return subject
    latest = subject.releases.latest
    objects, released = subject.content.objects, latest.content.objects if latest and latest.content else {}
    new = {"prepared"} if parts.of(objects) and parts.of(objects) != parts.of(released) else set()
    new |= {"raw"} if objects.get("raw", "") not in {"", released.get("raw")} else set()
    if change.scope is Scope.STAGED:
        new = {name for name in new if f"{subject.id}/{name}.dvc" in change.paths or (name == "prepared" and released)}
    if not new:
        return subject
    from registry.checks import collect_items  # loads Polars, which most commits do not need

    return collect_items.with_objects(subject, new, read_object, tombstones.read_valid(change.tree))
