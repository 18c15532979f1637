"""`registry list`."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from registry.cli.workspace import here
from registry.console import say
from registry.core import artifact_files, layout, manifests, names
from registry.core.layout import lock_path, model_pointer, prepared_pointer
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Manifest, ModelManifest, Tag, Version
from registry.core.wording import table
from registry.errors import InvalidDocument
from registry.integrations import git

HEADERS = ("artifact", "version", "state", "published", "dataset", "owners")


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact: the state of its current version, and its published versions, latest first."""

    artifact: ArtifactId
    version: Version | None
    state: str
    published: tuple[Version, ...]
    title: str
    owners: tuple[str, ...]
    dataset: ArtifactId | None = None
    builds_on: tuple[ArtifactId, ...] = ()
    used_by: tuple[ArtifactId, ...] = ()


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(form: str) -> None:
    """List every artifact: its version and the state of it, published versions, the dataset of a model, owners.

    The state is one of not built, not trained, not measured (a model that was trained elsewhere), to publish,
    published, withdrawn, removed, invalid manifest, invalid files.
    """
    space = here()
    rows = find_rows(space.tree, names.find_tags(git.tag_names(space.root)))
    if form == "json":
        say(json.dumps([_as_json(row) for row in rows], indent=2))
    elif rows:
        has_lineage = any(row.builds_on for row in rows)
        headers = (*HEADERS[:5], "builds on", *HEADERS[5:]) if has_lineage else HEADERS
        say(table(headers, [_cells(row, has_lineage=has_lineage) for row in rows]))
    else:
        say("there is no artifact yet\n  hint: registry new dataset NAME", err=True)


def _cells(row: Row, *, has_lineage: bool) -> tuple[str, ...]:
    latest = [f"v{version}" for version in row.published[:3]] + ["…"] * (len(row.published) > 3)
    return (
        str(row.artifact),
        str(row.version or "-"),
        row.state,
        " ".join(latest) or "-",
        str(row.dataset or "-"),
        *([" ".join(map(str, row.builds_on)) or "-"] if has_lineage else []),
        " ".join(row.owners) or "-",
    )


def _as_json(row: Row) -> dict[str, object]:
    return {
        "artifact": str(row.artifact),
        "version": str(row.version) if row.version else None,
        "state": row.state,
        "published": [str(version) for version in row.published],
        "title": row.title,
        "owners": list(row.owners),
        "dataset": str(row.dataset) if row.dataset else None,
        "builds_on": [str(artifact) for artifact in row.builds_on],
        "used_by": [str(artifact) for artifact in row.used_by],
    }


def find_rows(tree: Tree, tags: Sequence[Tag]) -> tuple[Row, ...]:
    """A row for every artifact of a tree, and for removed artifacts that still have tags."""
    found = layout.find(tree)
    loaded = {artifact: _load(tree, artifact) for artifact in found}
    removed = sorted({tag.artifact for tag in tags} - set(found))
    return (
        *(_row(tree, artifact, loaded, tags) for artifact in found),
        *(Row(artifact, None, "removed", _published(artifact, tags), "", ()) for artifact in removed),
    )


def _load(tree: Tree, artifact: ArtifactId) -> Manifest | None:
    try:
        return manifests.load(tree, artifact)
    except InvalidDocument:
        return None


def _row(tree: Tree, artifact: ArtifactId, loaded: dict[ArtifactId, Manifest | None], tags: Sequence[Tag]) -> Row:
    published = _published(artifact, tags)
    manifest = loaded[artifact]
    if manifest is None:
        return Row(artifact, None, "invalid manifest", published, "", ())
    return Row(
        artifact,
        manifest.version,
        _state(tree, manifest, published),
        published,
        manifest.title,
        manifest.owners,
        manifest.dataset if isinstance(manifest, ModelManifest) else None,
        manifest.builds_on if isinstance(manifest, ModelManifest) else (),
        tuple(_users(artifact, loaded)),
    )


def _published(artifact: ArtifactId, tags: Sequence[Tag]) -> tuple[Version, ...]:
    return tuple(sorted((tag.version for tag in tags if tag.artifact == artifact), reverse=True))


def _state(tree: Tree, manifest: Manifest, published: tuple[Version, ...]) -> str:
    if manifest.version in manifest.withdrawn:
        return "withdrawn"
    if manifest.version in published:
        return "published"
    pointer, missing = _made_by(manifest)
    return ("invalid files" if _is_invalid(tree, manifest.id) else "to publish") if tree.has(pointer) else missing


def _is_invalid(tree: Tree, artifact: ArtifactId) -> bool:
    """Whether a file of the artifact is one that no command would obey."""
    return bool(artifact_files.read_artifact(artifact_files.list_files(tree), artifact).faulty)


def _made_by(manifest: Manifest) -> tuple[str, str]:
    """The pointer that makes it a version, and the state without it."""
    if not isinstance(manifest, ModelManifest):
        return prepared_pointer(manifest.id), "not built"
    if manifest.origin and not manifest.is_measured:
        return model_pointer(manifest.id), "not measured"
    return lock_path(manifest.id), "not measured" if manifest.origin else "not trained"


def _users(artifact: ArtifactId, loaded: dict[ArtifactId, Manifest | None]) -> Iterator[ArtifactId]:
    return (
        other
        for other, manifest in loaded.items()
        if isinstance(manifest, ModelManifest) and artifact in (manifest.dataset, *manifest.builds_on)
    )
