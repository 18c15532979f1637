"""The part of a card between two marks: what the registry knows of an artifact. The words around it are the team's.

It follows from the files of the artifact and of what it is made from, in one tree: a version's own row cannot know its
tag. Rows of earlier versions are kept as the card has them; where tags can be read (`Released`), they are the tags'.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from registry.core import consuming, layout, names, version_tables, versioning
from registry.core.artifact_files import ArtifactFiles
from registry.core.escaping import markdown
from registry.core.names import InvalidName
from registry.core.settings import CatalogImages, RegistryFile
from registry.core.values import (
    ArtifactId,
    DatasetManifest,
    Export,
    Look,
    LookerQuery,
    Manifest,
    ModelManifest,
    SplitRule,
    Tag,
    Version,
)
from registry.core.wording import plural

BEGIN, END = "<!-- facts -->\n", "<!-- /facts -->"
SHOWN = 12  # versions in the table
CHANGED = "what changed"  # the column with what a version's commit changed, as Git has it
URL = "URL"  # of the repository: a file in it has to be the same in every clone and fork

_HEADER = re.compile(r"^\| version \|(.*)\|$")
_ROW = re.compile(rf"^\| (?P<version>{names.VERSION}) \|(?P<cells>.*)\|$")
_MADE_FROM = re.compile(r"`(?P<tag>[^`]+)` \(`(?P<md5>[0-9a-f]{12})`\)")
_WORDS = ("made from", CHANGED, "note")  # columns whose cells are no numbers
_ODD = re.compile(r"[^\w .,:/@()-]")  # what may be syntax in a label of Mermaid

Row = Mapping[str, str]  # heading → cell, in the order of the columns


class Released(Protocol):
    """The releases of a registry, where its tags can be read."""

    @property
    def tags(self) -> Sequence[Tag]:
        """All of them, sorted."""
        ...

    def read(self, tag: Tag) -> ArtifactFiles | None:
        """The files of a release."""
        ...


class Source(NamedTuple):
    """What a model is made from: an artifact, the md5 of its product, and its version (None: it is not known)."""

    artifact: ArtifactId
    md5: str
    tag: Tag | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an artifact: its files, what it is made from, what changed, the rows of its earlier versions."""

    files: ArtifactFiles
    manifest: Manifest
    sources: tuple[Source, ...] = ()
    changed: str = ""
    earlier: Mapping[Version, Row] | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of a model on all test images."""
        return overall(self.files)


def overall(files: ArtifactFiles) -> Mapping[str, float]:
    """The metrics on all test images; those of classes and slices have a dot in their names."""
    found = files.metrics.value if files.metrics else None
    numbers = ((name, value) for name, value in (found or {}).items() if isinstance(value, float) and "." not in name)
    return {name: value for name, value in numbers if math.isfinite(value)}


# --- what the card says already ---------------------------------------------------------------------------------------


def rows(text: str) -> Mapping[Version, Row]:
    """The rows of versions in a card's part; both sides' of an unresolved merge, the first of each version."""
    found: dict[Version, Row] = {}
    columns: list[str] = []
    for line in text.partition(BEGIN)[2].splitlines():
        if header := _HEADER.match(line):
            columns = _cells(header[1])
        elif row := _ROW.match(line):
            cells = dict(zip(columns, _cells(row["cells"]), strict=False))
            found.setdefault(names.parse_version(row["version"]), cells)
    return found


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.split("|")]


def told(text: str) -> Mapping[str, Tag]:
    """The releases that rows are made from, by the start of the product's md5."""
    found: dict[str, Tag] = {}
    for row in rows(text).values():
        for part in _MADE_FROM.finditer(row.get("made from", "")):
            try:
                found.setdefault(part["md5"], names.parse_tag(part["tag"]))
            except InvalidName:
                continue
    return found


# --- rows of versions -------------------------------------------------------------------------------------------------


def with_versions(known: Known, text: str, released: Released | None) -> Known:
    """The same with what changed in this version and with the rows of earlier ones, as a card has them.

    From tags, where there are some, are what changed and the rows that the card lacks.
    """
    own = rows(text).get(known.manifest.version, {})
    changed = _changed(known.files, known.manifest.version, released) if released else own.get(CHANGED, "")
    return replace(known, changed=changed, earlier=_earlier(known, text, released))


def _changed(files: ArtifactFiles, version: Version, released: Released) -> str:
    """What changed since the release before."""
    tags = (tag for tag in reversed(released.tags) if tag.artifact == files.id and tag.version < version)
    before = next((found.content for tag in tags if (found := released.read(tag)) and found.content), None)
    if before is None or files.content is None:
        return ""
    return markdown(", ".join(one.what for one in versioning.required_bumps(before, files.content, None)))


def _earlier(known: Known, text: str, released: Released | None) -> Mapping[Version, Row]:
    """The rows of earlier versions, the latest first: as the card has them, and of released ones that it lacks."""
    manifest, kept = known.manifest, rows(text)
    versions = {version for version in kept if version < manifest.version}
    if released:
        tags = [tag for tag in released.tags if tag.artifact == manifest.id and tag.version < manifest.version]
        versions = {tag.version for tag in tags}
        kept = {**{tag.version: _released_row(tag, released) for tag in tags if tag.version not in kept}, **kept}
    shown = sorted(versions, reverse=True)[: SHOWN - 1]
    return {version: kept[version] for version in shown}


def _released_row(tag: Tag, released: Released) -> Row:
    files = released.read(tag)
    if files is None or files.manifest.value is None:
        return {}
    changed = _changed(files, tag.version, released)
    return _row(Known(files, files.manifest.value, _released_sources(files, released), changed))


def _row(known: Known) -> Row:
    prepared = known.files.prepared.value if known.files.prepared else None
    changed = {CHANGED: known.changed} if known.changed else {}
    if prepared and prepared.build:
        build = prepared.build
        splits = {split: f"{sum(build.counts.get(split, {}).values()):,}" for split in layout.SPLITS}
        return {"images": f"{build.images:,}", **splits, **changed}
    numbers = {markdown(name): f"{value:.4g}" for name, value in known.metrics.items()}
    made_from = {"made from": ", ".join(map(_source, known.sources))} if known.sources else {}
    return {**numbers, **made_from, **changed}


def _source(source: Source) -> str:
    named = f"`{source.tag}`" if source.tag else f"`{source.artifact}`, in no version here"
    return f"{named} (`{source.md5[:12]}`)"


# --- lineage ----------------------------------------------------------------------------------------------------------


def needed(files: ArtifactFiles) -> Iterator[tuple[ArtifactId, str]]:
    """The artifacts that a model is made from, each with the md5 of its product as the model's lock has it."""
    manifest, content = files.manifest.value, files.content
    if isinstance(manifest, ModelManifest) and content:
        for one in (*([manifest.dataset] if manifest.dataset else []), *manifest.builds_on):
            if md5 := content.objects.get(layout.product_path(one)):
                yield one, md5


def _released_sources(files: ArtifactFiles, released: Released) -> tuple[Source, ...]:
    return tuple(Source(one, md5, find_release(one, md5, released)) for one, md5 in needed(files))


def find_release(artifact: ArtifactId, md5: str, released: Released) -> Tag | None:
    """The latest release whose product has this md5."""
    tags = [tag for tag in reversed(released.tags) if tag.artifact == artifact]
    return next((tag for tag in tags if (files := released.read(tag)) and product_md5(files) == md5), None)


def product_md5(files: ArtifactFiles) -> str | None:
    """The md5 of what `dvc artifacts get` downloads."""
    if files.prepared:
        return files.prepared.value.md5 if files.prepared.value else None
    return files.model_files[0].md5 if files.model_files else None


def _lineage(known: Known) -> Iterator[str]:
    manifest = known.manifest
    own = _label(str(Tag(manifest.id, manifest.version)))
    found = [_label(str(source.tag or source.artifact)) for source in known.sources]
    if isinstance(manifest, DatasetManifest):
        found = [_label(_origin(manifest))]
    elif isinstance(manifest, ModelManifest) and manifest.origin:
        found = [_label(manifest.origin.url), *found]
    if found:
        yield "### Lineage"
        arrows = (f"  source{number}[{label}] --> this[{own}]" for number, label in enumerate(found, 1))
        yield "\n".join(["```mermaid", "flowchart LR", *arrows, "```"])


def _label(text: str) -> str:
    return f'"{_ODD.sub(" ", text)}"'


def _origin(manifest: DatasetManifest) -> str:
    match manifest.source:
        case LookerQuery(model=model, view=view):
            return f"Looker: {model}, {view}"
        case Look(id=number):
            return f"Looker: Look {number}"
        case Export(description=description):
            return f"export: {description}"
        case adopted:
            return f"adopted from {adopted}"


# --- the part ---------------------------------------------------------------------------------------------------------


def render(text: str, known: Known, registry: RegistryFile) -> str:
    """A card with its part written again; one without the marks stays as it is."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        return text
    parts = "\n\n".join(_parts(known, registry))
    return f"{before}{begin}\n{parts}\n\n{end}{after}"


def _parts(known: Known, registry: RegistryFile) -> Iterator[str]:
    manifest = known.manifest
    yield "## Facts"
    if reason := manifest.withdrawn.get(manifest.version):
        yield f"> [!CAUTION]\n> {manifest.version} is withdrawn: {markdown(reason, None)}"
    owners = ", ".join(f"`{owner}`" for owner in manifest.owners)
    yield f"Version {manifest.version}. License: {markdown(manifest.license)}. Owned by {owners}."
    yield from _catalog(known, registry)
    yield from _numbers(known)
    own = _row(known)
    table = {**({manifest.version: own} if own else {}), **(known.earlier or {})}
    if any(table.values()):  # features have no numbers: rows of versions alone could not be read back
        yield "### Versions"
        yield _table(table, manifest)
        yield f"`registry show {manifest.id}` has all of them, with dates, stages and users."
    yield from _lineage(known)
    if own or known.files.model_files:
        yield from _use(known)


def _catalog(known: Known, registry: RegistryFile) -> Iterator[str]:
    """A link to the page of this version, and the contact sheet that it shows, where the catalog may show images."""
    manifest, prepared = known.manifest, known.files.prepared
    tag = Tag(manifest.id, manifest.version)
    if not registry.catalog_url or manifest.version in manifest.withdrawn or not (prepared or known.files.model_files):
        return
    page = f"{registry.catalog_url}{layout.release_page(tag)}"
    if prepared and registry.catalog_images is not CatalogImages.NONE:
        sheet = f"{registry.catalog_url}{layout.release_sheet(tag)}"
        yield f"[![some images of {tag}, once it is in the catalog]({sheet})]({page})"
    yield f"[{tag} in the catalog]({page}), once it is published."


def _numbers(known: Known) -> Iterator[str]:
    manifest, prepared = known.manifest, known.files.prepared
    if isinstance(manifest, ModelManifest):
        yield f"Intended use: {markdown(manifest.intended_use, None)}"
        if known.metrics:
            images = (known.files.metrics.value or {}).get("images") if known.files.metrics else None
            on = f"on {plural(images, 'test image')}" if isinstance(images, int) else "on the test images"
            lines = [f"| metric | {on} |", "|---|--:|"]
            lines += [f"| {markdown(name)} | {value:.4g} |" for name, value in known.metrics.items()]
            yield "\n".join(lines)
    elif isinstance(manifest, DatasetManifest):
        if prepared and prepared.value and prepared.value.build:
            yield version_tables.counts(prepared.value.build, None)
        yield _split(manifest.split)


def _split(rule: SplitRule) -> str:
    ratios = ", ".join(f"{split} {float(ratio):g}" for split, ratio in rule.ratios.items())
    if rule.given:
        return f"Splits: as the column `{rule.given}` has them; {ratios} of all other images."
    groups = f"; the images of one `{rule.group_by}` are in one split" if rule.group_by else ""
    return f"Splits: {ratios}, by a hash of each image's {'group' if groups else 'UUID'}{groups}."


def _table(table: Mapping[Version, Row], manifest: Manifest) -> str:
    found = dict.fromkeys(name for row in table.values() for name in row)
    noted = manifest.withdrawn.keys() & table.keys()
    columns = [name for name in found if name not in (CHANGED, "note")]
    columns += [CHANGED] * (CHANGED in found) + ["note"] * bool(noted)
    lines = [
        f"| {' | '.join(['version', *columns])} |",
        f"|---|{''.join('---|' if name in _WORDS else '--:|' for name in columns)}",
    ]
    for version, row in table.items():
        cells = {
            **row,
            **(
                {"note": f"withdrawn: {markdown(manifest.withdrawn[version], None)}"}
                if version in noted
                else {"note": ""}
            ),
        }
        lines.append(f"| {' | '.join([str(version), *(cells.get(name, '') for name in columns)])} |")
    return "\n".join(lines)


def _use(known: Known) -> Iterator[str]:
    tag = Tag(known.manifest.id, known.manifest.version)
    yield "### Use"
    yield f"{URL} is the address of this repository."
    for snippet in consuming.snippets(tag, URL, sidecar=len(known.files.model_files) > 1):
        yield f"```{snippet.language}\n{snippet.text}\n```"
