"""The files that are generated from manifests: CODEOWNERS, `dvc.yaml`, the list in README.md, front matter of cards.

`expected` returns what they should be: `registry check` compares, `registry check --fix` writes.
"""

import re
import tomllib
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from registry.core import artifact_files, documents, layout, names, settings
from registry.core.artifact_files import ArtifactFiles, Files, Parsed, Pointer
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Manifest, ModelManifest
from registry.errors import InvalidDocument

DVC = "dvc.yaml"
OWNERS = "CODEOWNERS"
LIST = "README.md"
FILES = (DVC, OWNERS, LIST)
BEGIN, END = "<!-- artifacts -->\n", "<!-- /artifacts -->"

_NOTE = "by `registry check --fix`: do not edit.\n"
_ID = rf"(?P<id>(?:datasets|models)/{names.NAME})"
_HEAD = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
_KEYS = (
    "license",
    "license_name",
    "pretty_name",
    "task_categories",
    "size_categories",
    "datasets",
    "base_model",
    "library_name",
)

_HUB_LICENSES = Path(__file__).with_name("hub_licenses.toml")
_SIZES = ("n", "1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B")

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


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the files that are needed here, but for those of artifacts that the caller has read before (`known`)."""

    files: Files
    known: Mapping[ArtifactId, ArtifactFiles]

    def manifest(self, artifact: ArtifactId) -> Manifest | None:
        """A manifest; None where it is invalid."""
        known = self.known.get(artifact)
        return known.manifest.value if known else artifact_files.read_manifest(self.files, artifact).value

    def prepared(self, artifact: ArtifactId) -> Parsed[Pointer] | None:
        """A dataset's pointer to its images; None before the first build."""
        if artifact in self.known:
            return self.known[artifact].prepared
        path = layout.prepared_pointer(artifact)
        return artifact_files.read_pointer(self.files, path) if path in self.files.entries else None


def expected(
    tree: Tree, only: Collection[ArtifactId] | None = None, known: Iterable[ArtifactFiles] = ()
) -> dict[str, bytes]:
    """The expected content of each generated file, by path, sorted.

    With `only`, the rows and cards of these artifacts are rendered and all other rows are kept, so that a commit need
    not read every manifest. The files of artifacts in `known` are not read again. An invalid manifest leaves its row
    and card as they are. Raises InvalidDocument for invalid settings or front matter.
    """
    owners = settings.read(tree).owners
    found = {str(artifact): artifact for artifact in layout.find(tree)}
    reader = _Reader(artifact_files.list_files(tree), {files.id: files for files in known})
    wanted = [artifact for artifact in found.values() if only is None or artifact in only]
    made = {artifact: manifest for artifact in wanted if (manifest := reader.manifest(artifact))}
    files = {}
    for listing in _LISTINGS:
        text = _text(tree, listing.path) if tree.has(listing.path) else ""
        rows = {row["id"]: row[0] for row in listing.pattern.finditer(text) if row["id"] in found}
        rows |= {str(artifact): listing.render_row(manifest) for artifact, manifest in made.items()}
        content = listing.render_file(text, _by_kind(rows), owners)
        if content:
            files[listing.path] = content.encode(errors="surrogateescape")
    files |= {layout.card_path(artifact): _card(reader, manifest) for artifact, manifest in made.items()}
    return dict(sorted(files.items()))


def _by_kind(rows: Mapping[str, str]) -> Rows:
    ordered = sorted(rows.items())
    return {kind: "".join(row for artifact, row in ordered if artifact.startswith(f"{kind.folder}/")) for kind in Kind}


def is_current(content: bytes, made: bytes) -> bool:
    """Whether a file is what `expected` says; a working tree may have CRLF line ends, which Git does not store."""
    return content.replace(b"\r\n", b"\n") == made


def _text(tree: Tree, path: str) -> str:
    """A file's text with LF line ends and without a byte order mark. Raises InvalidDocument for UTF-16."""
    data = tree.read(path)
    if b"\0" in data:
        raise InvalidDocument(path, "not UTF-8 text", line=1, fix="save the file as UTF-8")
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n").decode(errors="surrogateescape")


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


# --- cards ------------------------------------------------------------------------------------------------------------


def _card(reader: _Reader, manifest: Manifest) -> bytes:
    path, tree = layout.card_path(manifest.id), reader.files.tree
    text = _text(tree, path) if tree.has(path) else f"# {_escape(manifest.title)}\n"
    head = _HEAD.match(text)
    theirs = _read_head(head[1], path) if head else {}
    ours = _model_head(manifest) if isinstance(manifest, ModelManifest) else _dataset_head(reader, manifest, theirs)
    data = {**ours, **{key: value for key, value in theirs.items() if key not in _KEYS}}
    body = text[head.end() :] if head else f"\n{text}"
    return f"---\n{documents.write_yaml(data).decode()}---\n{body}".encode(errors="surrogateescape")


def _read_head(text: str, path: str) -> Mapping[str, Any]:
    if not text.strip():
        return {}
    # The newline replaces `---`, so that a fault has its line in the card.
    document = documents.read_yaml(f"\n{text}".encode(errors="surrogateescape"), path)
    if not isinstance(document.data, dict):
        raise InvalidDocument(
            path, "the front matter is not a mapping", line=2, fix="write `key: value` between --- and ---"
        )
    return document.data


def _dataset_head(reader: _Reader, manifest: Manifest, theirs: Mapping[str, Any]) -> dict[str, Any]:
    sizes = _sizes(reader.prepared(manifest.id), theirs)
    return {
        **_license(manifest.license),
        "pretty_name": manifest.title,
        "task_categories": ["image-classification"],
        **({"size_categories": sizes} if sizes else {}),
    }


def _model_head(manifest: ModelManifest) -> dict[str, Any]:
    return {
        **_license(manifest.license),
        "pretty_name": manifest.title,
        "library_name": "onnx",
        **({"datasets": [str(manifest.trained_on)]} if manifest.trained_on else {}),
        **({"base_model": [str(one) for one in manifest.builds_on]} if manifest.builds_on else {}),
    }


def _license(spdx: str) -> dict[str, str]:
    """The Hub's id of a licence; `other` and its name for one that the Hub does not list."""
    hub = tomllib.loads(_HUB_LICENSES.read_text(encoding="utf-8"))
    name = spdx.lower().removesuffix("-only").removesuffix("-or-later")
    name = hub["renamed"].get(name, name)
    return {"license": name} if name in hub["ids"] else {"license": "other", "license_name": spdx}


def _sizes(prepared: Parsed[Pointer] | None, theirs: Mapping[str, Any]) -> Any:
    """The size according to the pointer; none before the first build, the current one where it is invalid."""
    if prepared is None:
        return None
    if prepared.value is None:
        return theirs.get("size_categories")
    return [_size(prepared.value.build.images)] if prepared.value.build else None


def _size(images: int) -> str:
    """The Hub's size category, such as `1K<n<10K`."""
    power = min(max(len(str(images)) - 3, 0), len(_SIZES) - 2)
    return f"{_SIZES[power]}<n<{_SIZES[power + 1]}" if power else "n<1K"
