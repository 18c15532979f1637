"""Gathers everything that the rules of `check` need to know about a change, so that a rule opens no file."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from registry.checks.context import LARGEST, Facts, File, Scope, Stale, Subject
from registry.core import artifact_files, documents, layout, names, settings
from registry.core.artifact_files import Files, Part, Reader, Release
from registry.core.schema import Fault
from registry.core.tree import Entry, Tree
from registry.core.values import ArtifactId, DatasetManifest, Kind, Manifest, Tag
from registry.errors import InvalidDocument, NotFound, Refused
from registry.integrations import git, git_trees
from registry.scaffold import generated_files
from registry.storage.reader import require_object

if TYPE_CHECKING:
    from registry.dataset.items import Items

CONFIGS = (settings.DVC_CONFIG, settings.PATH)
SNIFFED = 8000  # bytes in which Git, too, looks for a NUL before it calls a file binary


class History(Protocol):
    """What was released: `git.History`, or a dict in tests."""

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
    """What is judged: a tree, the paths in it that changed (deleted ones too), and the revision it starts from."""

    scope: Scope
    tree: Tree
    paths: frozenset[str]
    before: str = ""


def staged(root: Path) -> Change:
    """What the next commit would change."""
    return Change(Scope.STAGED, git_trees.Index(root), frozenset(git.staged_paths(root)), "HEAD")


def since(root: Path, revision: str) -> Change:
    """What the working tree changed since its history left `revision`'s. Raises NotFound."""
    base = git.merge_base(root, git.resolve_commit(root, revision), "HEAD")
    return Change(Scope.BASE, git_trees.WorkTree(root), frozenset(git.changed_paths(root, base)), base)


def everything(root: Path) -> Change:
    """The whole working tree."""
    tree = git_trees.WorkTree(root)
    return Change(Scope.ALL, tree, frozenset(entry.path for entry in tree.list()))


def gather(change: Change, history: History, read_object: Reader) -> Facts:
    """Everything that the rules need to know about a change. `read_object` is asked only for what the change needs."""
    files = artifact_files.files(change.tree)
    there = frozenset(
        artifact for artifact in _owners(files.entries) if layout.manifest_path(artifact) in files.entries
    )
    touched = _owners(change.paths)
    kept = sorted(change.paths & files.entries.keys())
    stale, unreadable = _derived(change, touched)
    past = _Past(history, names.find_tags(history.tags))
    found = _subjects(change, files, past, there, touched)
    return Facts(
        scope=change.scope,
        complete=history.is_complete,
        artifacts=there,
        subjects=tuple(_with_items(change, subject, read_object) for subject in found),
        removed=tuple(artifact for artifact in sorted(touched - there) if not files.inside(artifact)),
        unknown_folders=tuple(sorted({folder for path in kept if (folder := _folder(path))} - set(map(str, there)))),
        files=tuple(_file(change.tree, files.entries[path]) for path in kept),
        configs={
            path: tuple(change.tree.read(path).decode(errors="replace").splitlines())
            for path in CONFIGS
            if path in kept
        },
        moved=_moved(change, history, kept),
        stale=stale,
        unreadable=unreadable,
    )


def _owners(paths: Collection[str]) -> frozenset[ArtifactId]:
    return frozenset(artifact for artifact in map(layout.owner_of, paths) if artifact)


def _folder(path: str) -> str:
    """`datasets/x` for a file below it; empty for any other file."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] in {kind.folder for kind in Kind} else ""


def _file(tree: Tree, entry: Entry) -> File:
    readable = not entry.is_link and entry.size <= LARGEST
    return File(entry.path, entry.size, entry.is_link, readable and b"\0" not in tree.read(entry.path)[:SNIFFED])


# --- the registry's own files -----------------------------------------------------------------------------------------


def _derived(change: Change, touched: frozenset[ArtifactId]) -> tuple[tuple[Stale, ...], tuple[Part[None], ...]]:
    """The derived files that are not current, and those files that keep us from knowing."""
    is_commit = change.scope is Scope.STAGED
    if is_commit and not touched and change.paths.isdisjoint({*CONFIGS, *generated_files.FILES}):
        return (), ()
    try:
        expected = generated_files.expected(change.tree, touched if is_commit else None)
    except InvalidDocument as error:
        return (), (artifact_files.broken(error),)
    except NotFound as error:
        return (), (Part(settings.PATH, faults=(Fault(error.message, 1, error.fix),)),)
    current = {path: change.tree.read(path) if change.tree.has(path) else b"" for path in expected}
    stale = (Stale(path, _first_difference(current[path], data)) for path, data in expected.items())
    return tuple(one for one in stale if current[one.path] != expected[one.path]), ()


def _first_difference(old: bytes, new: bytes) -> int:
    """The line of `old`, from 1, that is not `new`'s."""
    before, after = old.splitlines(), new.splitlines()
    same = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    return max(1, min(len(before), 1 + sum(1 for _ in same)))


def _moved(change: Change, history: History, kept: Collection[str]) -> Mapping[str, str]:
    """The places for objects that point elsewhere than before, each with the file that says so."""
    found = {}
    for path in CONFIGS:
        if change.before and path in change.paths:
            old = _places(history.read(change.before, path), path)
            new = _places(change.tree.read(path) if path in kept else None, path)
            found |= {name: path for name in sorted(old.keys() | new) if old and new and old.get(name) != new.get(name)}
    return found


def _places(data: bytes | None, path: str) -> Mapping[str, object]:
    try:
        if data is None:
            return {}
        if path == settings.DVC_CONFIG:
            remotes = settings.read_remotes(data).items()
            return {f"the remote {name}": (remote.url, remote.options.get("endpointurl")) for name, remote in remotes}
        return {"the lake": documents.read_yaml(data, path).data.get("lake")}
    except (InvalidDocument, AttributeError):
        return {}  # said by the check of that file


# --- artifacts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Past:
    """What was released: all release tags, sorted, and where to read them."""

    history: History
    releases: tuple[Tag, ...]


def _subjects(
    change: Change, files: Files, past: _Past, there: frozenset[ArtifactId], touched: frozenset[ArtifactId]
) -> Iterator[Subject]:
    for artifact in sorted(there & touched):
        yield _subject(files, past, artifact_files.manifest(files, artifact), artifact)
    # A commit does not look at the models that a dataset's change leaves behind: that would read every manifest.
    for artifact in sorted(there - touched) if change.scope is Scope.BASE else ():
        if artifact.kind is Kind.MODEL:
            manifest = artifact_files.manifest(files, artifact)
            if manifest.value and manifest.value.trained_on in touched:
                yield replace(_subject(files, past, manifest, artifact), touched=False)


def _subject(files: Files, past: _Past, manifest: Part[Manifest], artifact: ArtifactId) -> Subject:
    paths = {name: f"{artifact}/{name}" for name in files.inside(artifact)}
    found = {name: artifact_files.pointer(files, path) for name, path in paths.items() if name.endswith(".dvc")}
    has = paths.keys() if artifact.kind is Kind.MODEL else ()
    lock = artifact_files.lock(files, paths["dvc.lock"]) if "dvc.lock" in has else None
    releases = tuple(tag for tag in past.releases if tag.artifact == artifact)
    latest = _release(past.history, releases[-1]) if releases else None
    own = next((tag for tag in releases if manifest.value and tag.version == manifest.value.version), None)
    return Subject(
        artifact,
        True,
        manifest,
        pointers=found,
        lock=lock,
        pipeline=artifact_files.pipeline(files, paths["dvc.yaml"]) if "dvc.yaml" in has else None,
        metrics=artifact_files.metrics(files, paths["metrics.json"]) if "metrics.json" in has else None,
        content=artifact_files.content(manifest.value, found, lock) if manifest.value else None,
        releases=releases,
        latest=latest,
        own=latest if latest and own == latest.tag else own and _release(past.history, own),
    )


def _release(history: History, tag: Tag) -> Release:
    """A release as its tag has it; nothing is known of one that today's schemas refuse."""
    return Release(tag, artifact_files.released(tag.artifact, lambda path: history.read(f"refs/tags/{tag}", path)))


# --- items ------------------------------------------------------------------------------------------------------------


def _with_items(change: Change, subject: Subject, read_object: Reader) -> Subject:
    """The subject with its items, their difference from the latest release and its share of nulls, where these matter.

    What is published already is not read again; a commit reads only what it changes, or must compare.
    """
    if not isinstance(subject.manifest.value, DatasetManifest):
        return subject
    released = subject.latest.content.objects if subject.latest and subject.latest.content else {}
    new = {name for name, md5 in subject.content.objects.items() if released.get(name) != md5}
    if change.scope is Scope.STAGED:
        new = {name for name in new if f"{subject.id}/{name}.dvc" in change.paths or (name == "prepared" and released)}
    for name, step in (("prepared", _items), ("prepared", _diff), ("raw", _nulls)):
        try:
            subject = step(subject, read_object) if name in new else subject
        except (NotFound, Refused) as error:
            subject = replace(subject, unread=error.message)
    return subject


def _items(subject: Subject, read_object: Reader) -> Subject:
    return replace(subject, items=_read_items(subject.content.objects["prepared"], read_object))


def _diff(subject: Subject, read_object: Reader) -> Subject:
    from registry.dataset import items

    released = subject.latest and subject.latest.content and subject.latest.content.objects.get("prepared")
    if not released or subject.items is None or items.find_repeated(subject.items).height:
        return subject
    return replace(subject, diff=items.compare(_read_items(released, read_object), subject.items))


def _read_items(md5: str, read_object: Reader) -> "Items":
    from registry.dataset import items
    from registry.sync import dir_listing

    return items.parse(dir_listing.read(require_object(read_object, md5), md5))


def _nulls(subject: Subject, read_object: Reader) -> Subject:
    asked, md5 = list(subject.manifest.value.expectations.max_null_share), subject.content.objects["raw"]
    if not asked:
        return subject
    import polars as pl

    from registry.sync import dir_listing

    listed = dir_listing.read(require_object(read_object, md5), md5)
    listed = listed.filter(pl.col("relpath") == "selection.parquet")["md5"]
    if listed.is_empty():
        raise Refused(f"{subject.id}/raw holds no selection.parquet")
    try:
        rows = pl.read_parquet(BytesIO(require_object(read_object, listed[0])))
    except pl.exceptions.PolarsError as error:
        raise Refused(f"{subject.id}/raw/selection.parquet is not a Parquet file") from error
    known = [name for name in asked if name in rows.columns]
    return replace(subject, nulls={name: rows[name].null_count() / max(rows.height, 1) for name in known})
