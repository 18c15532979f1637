"""The notes of a GitHub release in Markdown: a version and how it differs from the previous one, from Git alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from registry.core import artifact_files, layout, parts, version_tables, versioning
from registry.core.artifact_files import ArtifactFiles
from registry.core.escaping import markdown
from registry.core.parts import Parts
from registry.core.values import ArtifactId, Build, Content, Kind, ModelManifest, Output, Tag
from registry.core.wording import plural

Read = Callable[[str], bytes | None]  # path → the bytes of a file in a revision; None where it does not exist


@dataclass(frozen=True, slots=True)
class ReleasedVersion:
    """A version as its tag has it; `products` are a dataset's images, or a model's file and its sidecar, if any."""

    tag: Tag
    content: Content
    build: Build | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    products: tuple[Output, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of what `dvc artifacts get` downloads."""
        return sum(product.size for product in self.products) - self.sidecar

    @property
    def sidecar(self) -> int:
        """The bytes of a model's weights which lie beside its file; 0 where it has them inside."""
        return 0 if self.build else sum(product.size for product in self.products[1:])

    @property
    def md5(self) -> str:
        """The md5 that DVC gives the product: the lock of a model that was made from it has it."""
        if not self.products or not parts.is_part(self.products[0].path):
            return self.products[0].md5 if self.products else ""
        return self.build.whole if self.build else ""

    @property
    def parts(self) -> Parts:
        """The lists of a dataset's files."""
        return parts.of(self.content.objects) if self.tag.artifact.kind is Kind.DATASET else {}


def load(tag: Tag, read: Read) -> ReleasedVersion | None:
    """A version from the files of its tag; None where they do not match the current schemas."""
    return from_files(tag, artifact_files.read_release(tag.artifact, read))


def from_files(tag: Tag, files: ArtifactFiles | None) -> ReleasedVersion | None:
    """A version from its files, None where it has none or they do not match the current schemas."""
    if files is None or files.content is None:
        return None
    prepared = files.prepared.value if files.prepared else None
    if prepared:
        return ReleasedVersion(tag, files.content, build=prepared.build, products=prepared.outputs)
    metrics = (files.metrics.value if files.metrics else None) or {}
    return ReleasedVersion(tag, files.content, metrics=metrics, products=files.model_files)


def title(version: ReleasedVersion) -> str:
    """`datasets/pets 1.1.0: Pets at home`."""
    return f"{version.tag.artifact} {version.tag.version}: {version.content.manifest.title}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """The releases that a model was made from: its dataset's, None where none has its images, and its backbones'."""

    dataset: Tag | None = None
    backbones: Mapping[ArtifactId, Tag] = field(default_factory=dict)


def write(version: ReleasedVersion, before: ReleasedVersion | None, made_from: Lineage, url: str) -> str:
    """The notes. `before` is the previous version, if it can be read; `url` is the repository's on GitHub."""
    sections = (section.strip() for section in _sections(version, before, made_from, url))
    return "\n\n".join(filter(None, sections)) + "\n"


def _sections(version: ReleasedVersion, before: ReleasedVersion | None, made_from: Lineage, url: str) -> Iterator[str]:
    manifest = version.content.manifest
    yield markdown(manifest.description, None)
    if version.build:
        yield version_tables.counts(version.build, before.build if before else None)
    if version.metrics:
        yield version_tables.scores(version.metrics, before.metrics if before else {})
    if before:
        yield _changes(version, before, url)
    if isinstance(manifest, ModelManifest):
        yield _training(manifest, made_from, url)
    command = f"dvc artifacts get {url} {version.tag.artifact} --rev v{version.tag.version}"
    commands = f"{command}   # {plural(version.size, 'byte')}\n"
    if version.sidecar:
        command = f"dvc get {url} {layout.sidecar_path(version.tag.artifact)} --rev {version.tag}"
        commands += f"{command}   # its weights, beside it: {plural(version.sidecar, 'byte')}\n"
    yield (
        f"```sh\n{commands}```\n\n"
        f"License: {markdown(manifest.license)}. Owned by {', '.join(f'`{owner}`' for owner in manifest.owners)}."
    )


def _training(manifest: ModelManifest, made_from: Lineage, url: str) -> str:
    """What a model was trained and measured on, and the models that it builds on."""
    dataset, backbones = made_from.dataset, made_from.backbones
    data = _link(dataset, url) if dataset else f"`{manifest.dataset}`: no release has these images"
    parts = [f"Trained on {data}."] if manifest.trained_on else []
    if manifest.origin:
        parts.append(f"Trained elsewhere: <{manifest.origin.url}>; training not reproducible here.")
    if manifest.measured_on:
        parts.append(f"Measured on {data}.")
    if manifest.builds_on:
        named = (_link(backbones[one], url) if one in backbones else f"`{one}`" for one in manifest.builds_on)
        parts.append(f"Builds on {', '.join(named)}.")
    return " ".join(parts)


def _link(tag: Tag, url: str) -> str:
    return f"[`{tag}`]({url}/releases/tag/{quote(str(tag), safe='')})"


def _changes(version: ReleasedVersion, before: ReleasedVersion, url: str) -> str:
    found = versioning.required_bumps(before.content, version.content, None)
    changes = ", ".join(markdown(required.what) for required in found) or "no change in Git"
    compare = f"{url}/compare/{quote(f'{before.tag}...{version.tag}', safe='/.')}"
    return f"Since {_link(before.tag, url)}: {changes} ([all changes]({compare}))."
