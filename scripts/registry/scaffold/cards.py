"""Cards of artifacts: the front matter, in the words of the Hugging Face Hub, and the facts between two marks."""

import re
import tomllib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.core import artifact_files, documents, layout, names
from registry.core.artifact_files import ArtifactFiles, Files
from registry.core.model_values import DEFAULT_TASK, FEATURES
from registry.core.names import InvalidName
from registry.core.settings import RegistryFile
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Build, Manifest, ModelManifest, Tag
from registry.errors import InvalidDocument
from registry.scaffold import card_facts
from registry.scaffold.card_facts import Known, Released, Source

_HEAD = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
_KEYS = (
    "license",
    "license_name",
    "pretty_name",
    "task_categories",
    "size_categories",
    "configs",
    "datasets",
    "base_model",
    "library_name",
    "pipeline_tag",
    "model-index",
)
_HUB_LICENSES = Path(__file__).with_name("hub_licenses.toml")
_SIZES = ("n", "1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}  # the Hub's names
_PIPELINES = {DEFAULT_TASK: "image-classification", FEATURES: "image-feature-extraction"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the files of artifacts, each once, but for those that the caller has read before (`known`)."""

    files: Files
    known: Mapping[ArtifactId, ArtifactFiles]
    registry: RegistryFile
    read_here: dict[ArtifactId, ArtifactFiles] = field(default_factory=dict)

    def manifest(self, artifact: ArtifactId) -> Manifest | None:
        """A manifest; None where it is invalid."""
        known = self.known.get(artifact)
        return known.manifest.value if known else artifact_files.read_manifest(self.files, artifact).value

    def artifact(self, artifact: ArtifactId) -> ArtifactFiles | None:
        """All files of an artifact; None where the tree has none of it."""
        if artifact in self.known:
            return self.known[artifact]
        if artifact not in self.read_here and layout.manifest_path(artifact) in self.files.entries:
            self.read_here[artifact] = artifact_files.read_artifact(self.files, artifact)
        return self.read_here.get(artifact)


def text_of(tree: Tree, path: str) -> str:
    """A file's text with LF line ends and without a byte order mark. Raises InvalidDocument for UTF-16."""
    data = tree.read(path)
    if b"\0" in data:
        raise InvalidDocument(path, "not UTF-8 text", line=1, fix="save the file as UTF-8")
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n").decode(errors="surrogateescape")


def render(reader: Reader, artifact: ArtifactFiles, released: Released | None) -> bytes:
    """The card of an artifact with valid files. Raises InvalidDocument for front matter that cannot be read."""
    manifest, path, tree = artifact.manifest.require(), layout.card_path(artifact.id), reader.files.tree
    text = text_of(tree, path) if tree.has(path) else f"# {_escape(manifest.title)}\n"
    head = _HEAD.match(text)
    theirs = _read_head(head[1], path) if head else {}
    body = text[head.end() :] if head else f"\n{text}"
    known = Known(artifact, manifest, tuple(_sources(reader, artifact, body, theirs, released)))
    known = card_facts.with_versions(known, body, released)
    ours = _model_head(known, manifest) if isinstance(manifest, ModelManifest) else _dataset_head(known)
    data = {**ours, **_own(theirs)}
    body = card_facts.render(body, known, reader.registry)
    return f"---\n{documents.write_yaml(data).decode()}---\n{body}".encode(errors="surrogateescape")


# --- what it is made from ---------------------------------------------------------------------------------------------


def _sources(
    reader: Reader, artifact: ArtifactFiles, body: str, theirs: Mapping[str, Any], released: Released | None
) -> Iterator[Source]:
    """What a model is made from, by the version that the card names, if it may be that one; else by the tree's.

    The card knows what the tree does not: which version it was, where the dataset has moved on and the model has not
    been trained again. With tags, the card is believed if that version is one of them.
    """
    told = card_facts.told(body)
    for one, md5 in card_facts.needed(artifact):
        kept = told.get(md5[:12])
        if kept is None or kept.artifact != one or (released and kept not in released.tags):
            kept = None
        now = reader.artifact(one)
        if kept is None and now and now.manifest.value and card_facts.product_md5(now) == md5:
            kept = Tag(one, now.manifest.value.version)
        if kept is None and released:
            kept = card_facts.find_release(one, md5, released)
        yield Source(one, md5, kept or _named(theirs, one))


def _named(theirs: Mapping[str, Any], artifact: ArtifactId) -> Tag | None:
    """The version of a dataset that the front matter names."""
    try:
        tag = names.parse_tag(theirs["model-index"][0]["results"][0]["dataset"]["revision"])
    except (InvalidName, LookupError, TypeError, AttributeError):
        return None
    return tag if tag.artifact == artifact else None


# --- front matter -----------------------------------------------------------------------------------------------------


def _read_head(text: str, path: str) -> Mapping[str, Any]:
    """Of an unresolved merge in what is generated here, either side is as good."""
    sides = [_parse_head(side, path) for side in _sides(text)]
    if all(_own(side) == _own(sides[0]) for side in sides):
        return sides[0]
    return _parse_head(text, path)


def _own(head: Mapping[str, Any]) -> Mapping[str, Any]:
    """What people wrote in the front matter."""
    return {key: value for key, value in head.items() if key not in _KEYS}


def _sides(text: str) -> Iterator[str]:
    """A text without the markers of an unresolved merge, once for each side."""
    without = re.sub(r"^\|{7}.*?(?=^={7}$)", "", text, flags=re.DOTALL | re.MULTILINE)  # the base, in diff3's style
    for side in (r"\1", r"\2"):
        yield re.sub(r"^<{7} .*?\n(.*?)^={7}\n(.*?)^>{7} .*?\n", side, without, flags=re.DOTALL | re.MULTILINE)


def _parse_head(text: str, path: str) -> Mapping[str, Any]:
    if not text.strip():
        return {}
    # The newline replaces `---`, so that a fault has its line in the card.
    document = documents.read_yaml(f"\n{text}".encode(errors="surrogateescape"), path)
    if not isinstance(document.data, dict):
        raise InvalidDocument(
            path, "the front matter is not a mapping", line=2, fix="write `key: value` between --- and ---"
        )
    return document.data


def _dataset_head(known: Known) -> dict[str, Any]:
    manifest, prepared = known.manifest, known.files.prepared
    build = prepared.value.build if prepared and prepared.value else None
    return {
        **_license(manifest.license),
        "pretty_name": manifest.title,
        "task_categories": ["image-classification"],
        **({"size_categories": [_size(build.images)], "configs": _configs(build)} if build else {}),
    }


def _configs(build: Build) -> list[dict[str, Any]]:
    """The files of each split that has images, which `load_dataset` of the Hub's library reads beside the card."""
    files = [
        {"split": name, "path": f"prepared/{split}/**"}
        for split, name in _SPLITS.items()
        if any(build.counts.get(split, {}).values())
    ]
    return [{"config_name": "default", "data_files": files}]


def _model_head(known: Known, manifest: ModelManifest) -> dict[str, Any]:
    pipeline = _PIPELINES.get(manifest.task)
    dataset = next((source for source in known.sources if source.artifact == manifest.dataset), None)
    return {
        **_license(manifest.license),
        "pretty_name": manifest.title,
        "library_name": "onnx",
        **({"pipeline_tag": pipeline} if pipeline else {}),
        **({"datasets": [str(manifest.trained_on)]} if manifest.trained_on else {}),
        **({"base_model": [str(one) for one in manifest.builds_on]} if manifest.builds_on else {}),
        **({"model-index": [_index(known, dataset)]} if dataset and known.metrics else {}),
    }


def _index(known: Known, dataset: Source) -> dict[str, Any]:
    """What the judge measured, on which images; `revision` is the tag of the dataset's version."""
    task = _PIPELINES.get(getattr(known.manifest, "task", ""), "other")
    on = {
        "type": str(dataset.artifact),
        "name": dataset.artifact.name,
        "split": "test",
        **({"revision": str(dataset.tag)} if dataset.tag else {}),
    }
    metrics = [{"type": name, "value": value} for name, value in known.metrics.items()]
    return {"name": known.manifest.id.name, "results": [{"task": {"type": task}, "dataset": on, "metrics": metrics}]}


def _license(spdx: str) -> dict[str, str]:
    """The Hub's id of a licence; `other` and its name for one that the Hub does not list."""
    hub = tomllib.loads(_HUB_LICENSES.read_text(encoding="utf-8"))
    name = spdx.lower().removesuffix("-only").removesuffix("-or-later")
    name = hub["renamed"].get(name, name)
    return {"license": name} if name in hub["ids"] else {"license": "other", "license_name": spdx}


def _size(images: int) -> str:
    """The Hub's size category, such as `1K<n<10K`."""
    power = min(max(len(str(images)) - 3, 0), len(_SIZES) - 2)
    return f"{_SIZES[power]}<n<{_SIZES[power + 1]}" if power else "n<1K"


def _escape(text: str) -> str:
    """Plain text in Markdown: every character that could start markup gets a backslash."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|~&@:$])", r"\\\1", text)
