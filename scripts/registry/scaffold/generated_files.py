"""The files that are generated from manifests: CODEOWNERS, `dvc.yaml`, the list in README.md, parts of cards (`cards`).

`expected` returns what they should be: `registry check` compares, `registry check --fix` writes.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from textwrap import indent

from registry.core import artifact_files, documents, layout, names, settings
from registry.core.artifact_files import ArtifactFiles
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Manifest, ModelManifest
from registry.scaffold import cards
from registry.scaffold.card_facts import Released
from registry.scaffold.cards import Reader

DVC = "dvc.yaml"
OWNERS = "CODEOWNERS"
LIST = "README.md"
FILES = (DVC, OWNERS, LIST)
BEGIN, END = "<!-- artifacts -->\n", "<!-- /artifacts -->"

_NOTE = "by `registry check --fix`: do not edit.\n"
_ID = rf"(?P<id>(?:datasets|models)/{names.NAME})"

Rows = Mapping[Kind, str]


@dataclass(frozen=True, slots=True)
class _Listing:
    """A file with one row per artifact: how a row is rendered, the pattern of one, and how the file is rendered.

    `render_file` takes the current file, the rows of each kind, and the registry's owners, and returns the expected
    file. Git merges two insertions, or an insertion and a change, without a conflict if a line stays between them. So
    kinds have headings, and what a new version changes in a row is followed by a line that it does not change.
    """

    path: str
    render_row: Callable[[Manifest], str]
    pattern: re.Pattern[str]
    render_file: Callable[[str, Rows, tuple[str, ...]], str]


def expected(
    tree: Tree,
    only: Collection[ArtifactId] | None = None,
    known: Iterable[ArtifactFiles] = (),
    released: Released | None = None,
) -> dict[str, bytes]:
    """The expected content of each generated file, by path, sorted.

    With `only`, the rows and cards of these artifacts are rendered and all other rows are kept, so that a commit need
    not read every manifest. The files of artifacts in `known` are not read again. An invalid manifest leaves its row
    as it is, an invalid file of an artifact its card. Cards have the rows of earlier versions as they are, or as
    `released` has them. Raises InvalidDocument for invalid settings or front matter.
    """
    registry = settings.read(tree)
    found = {str(artifact): artifact for artifact in layout.find(tree)}
    reader = Reader(artifact_files.list_files(tree), {files.id: files for files in known}, registry)
    wanted = [artifact for artifact in found.values() if only is None or artifact in only]
    made = {artifact: manifest for artifact in wanted if (manifest := reader.manifest(artifact))}
    files = {}
    for listing in _LISTINGS:
        text = cards.text_of(tree, listing.path) if tree.has(listing.path) else ""
        rows = {row["id"]: row[0] for row in listing.pattern.finditer(text) if row["id"] in found}
        rows |= {str(artifact): listing.render_row(manifest) for artifact, manifest in made.items()}
        content = listing.render_file(text, _by_kind(rows), registry.owners)
        if content:
            files[listing.path] = content.encode(errors="surrogateescape")
    sound = (one for artifact in made if (one := reader.artifact(artifact)) and not one.faulty)
    files |= {layout.card_path(one.id): cards.render(reader, one, released) for one in sound}
    return dict(sorted(files.items()))


def card_files(tree: Tree, artifacts: Collection[ArtifactId]) -> dict[str, bytes]:
    """The cards of these artifacts, by path. Raises as `expected`."""
    made, wanted = expected(tree, artifacts), [layout.card_path(artifact) for artifact in artifacts]
    return {path: made[path] for path in wanted if path in made}


def _by_kind(rows: Mapping[str, str]) -> Rows:
    ordered = sorted(rows.items())
    return {kind: "".join(row for artifact, row in ordered if artifact.startswith(f"{kind.folder}/")) for kind in Kind}


def is_current(content: bytes, made: bytes) -> bool:
    """Whether a file is what `expected` says; a working tree may have CRLF line ends, which Git does not store."""
    return content.replace(b"\r\n", b"\n") == made


# --- lists ------------------------------------------------------------------------------------------------------------


def _dvc_row(manifest: Manifest) -> str:
    described = {
        "path": layout.product_path(manifest.id),
        "type": manifest.id.kind.value,
        "desc": manifest.title,
        "labels": [
            f"image-{manifest.task if isinstance(manifest, ModelManifest) else 'classification'}",
            manifest.license,
        ],
    }
    return indent(documents.write_yaml({str(manifest.id): described}).decode(), "  ")


def _dvc_file(_text: str, rows: Rows, _owners: tuple[str, ...]) -> str:
    entries = "".join(f"  # {kind.folder}\n{rows[kind]}" for kind in Kind)
    return f"# Made from the manifests {_NOTE}" + (
        f"artifacts:\n{entries}" if any(rows.values()) else "artifacts: {}\n"
    )


def _owners_row(manifest: Manifest) -> str:
    return f"/{manifest.id}/ {' '.join(manifest.owners)}\n"


def _owners_file(_text: str, rows: Rows, owners: tuple[str, ...]) -> str:
    entries = "".join(f"# {kind.folder}\n{rows[kind]}" for kind in Kind)
    return f"# Made from registry.yaml and the manifests {_NOTE}* {' '.join(owners)}\n{entries}"


def _list_row(manifest: Manifest) -> str:
    owners = " ".join(f"`{owner}`" for owner in manifest.owners)
    link = f"[{manifest.id}]({layout.card_path(manifest.id)})"
    return f"- {link}\n  {manifest.version} · {_escape(manifest.title)} · {owners}\n\n"


def _list_file(text: str, rows: Rows, _owners: tuple[str, ...]) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        return text
    lists = "".join(f"**{kind.folder.title()}**\n\n{rows[kind]}" for kind in Kind)
    return f"{before}{begin}\n{lists}{end}{after}"


def _escape(text: str) -> str:
    """Plain text in Markdown: every character that could start markup gets a backslash."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|~&@:$])", r"\\\1", text)


_LISTINGS = (
    _Listing(OWNERS, _owners_row, re.compile(rf"^/{_ID}/ .*\n", re.M), _owners_file),
    _Listing(LIST, _list_row, re.compile(rf"^- \[{_ID}\]\(.*\n  .*\n\n", re.M), _list_file),
    _Listing(DVC, _dvc_row, re.compile(rf"^  {_ID}:\n(?:    .*\n)+", re.M), _dvc_file),
)
