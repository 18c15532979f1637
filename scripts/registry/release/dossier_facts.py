"""What a dossier is written from: a release, its files in Git, and the releases around it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.core import artifact_files, consuming, layout, tag_messages
from registry.core.values import Kind, Selection, Tag
from registry.dataset import provenance
from registry.errors import InvalidDocument, NotFound, Refused
from registry.integrations import git, git_trees
from registry.release import sbom
from registry.release.dossier import Data, Subject
from registry.release.history import Release

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"^##+ +(.+?) *$", re.MULTILINE)


def collect(root: Path, releases: Sequence[Release], tag: Tag, url: str) -> Subject:
    """The subject of a dossier; `releases` are all of the registry, `url` is that of its repository.

    Raises NotFound for a tag without a release that can be read.
    """
    by_tag = {release.tag: release for release in releases}
    release = by_tag.get(tag)
    if release is None or release.version is None:
        fault = release.fault if release else "not published"
        raise NotFound(f"{tag}: {fault}", fix=f"registry show {tag.artifact}")
    message = git.tag_messages(root).get(str(tag), "")
    with git_trees.History(root) as history:
        files = artifact_files.read_release(tag.artifact, lambda path: history.read(release.commit, path))
        lock = files.lock.value if files and files.lock else None
        source = release if tag.artifact.kind is Kind.DATASET else by_tag.get(release.made_from.dataset or tag)
        source = None if source is release and tag.artifact.kind is Kind.MODEL else source
        data = Data(source, _read_selection(history, source)) if source else None
        card = history.read(release.commit, layout.card_path(tag.artifact)) or b""
    return Subject(
        release,
        release.version,
        tuple(sorted((one for one in releases if one.tag.artifact == tag.artifact), key=lambda one: one.tag)),
        data,
        backbones=tuple(by_tag[one] for one in release.made_from.backbones.values()),
        users=tuple(sorted(one.tag for one in releases if tag in one.sources)),
        manifest=tag_messages.find_manifest(message),
        packages=_count_packages(root, tag),
        commands=lock.commands if lock else {},
        card=read_sections(card.decode(errors="replace")),
        fetch=tuple(consuming.commands(release.tag, url, sidecar=release.has_sidecar)),
    )


def _count_packages(root: Path, tag: Tag) -> int:
    try:
        return sbom.read(root, tag).packages
    except (Refused, NotFound, InvalidDocument):
        return 0


def _read_selection(history: git_trees.History, release: Release) -> Selection | None:
    path = layout.raw_pointer(release.tag.artifact)
    pointer = history.read(release.commit, path)
    try:
        return provenance.read(pointer, path) if pointer else None
    except InvalidDocument:
        return None


def read_sections(card: str) -> Mapping[str, str]:
    """The text below each heading of a card, without its front matter and its comments; empty ones are left out."""
    parts = _HEADING.split(_COMMENT.sub("", _FRONT_MATTER.sub("", card)))
    found = zip(parts[1::2], parts[2::2], strict=True)
    return {heading: text.strip() for heading, text in found if text.strip()}
