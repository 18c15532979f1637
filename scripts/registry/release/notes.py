"""The notes of a release as Markdown: what Git alone knows of a version and of how it differs from the one before."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from registry.core import artifact_files, layout, pointers, versioning
from registry.core.documents import read_yaml
from registry.core.escaping import markdown
from registry.core.tree import DictTree
from registry.core.values import ArtifactId, Build, Content, Kind, ModelManifest, Tag

Read = Callable[[str], bytes | None]  # a file of a revision; None where it has none
SHOWN = 40  # rows of a table; GitHub takes 125,000 characters


@dataclass(frozen=True, slots=True)
class Told:
    """One version as its tag has it."""

    tag: Tag
    content: Content
    build: Build | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    size: int = 0  # bytes of what `dvc artifacts get` delivers


def load(tag: Tag, read: Read) -> Told | None:
    """A version from the files of its tag; None where today's schemas refuse it."""
    content = artifact_files.released(tag.artifact, read)
    if content is None:
        return None
    if tag.artifact.kind is Kind.MODEL:
        return Told(tag, content, metrics=_metrics(tag.artifact, read), size=_weights(tag.artifact, read))
    path = layout.prepared_pointer(tag.artifact)
    data = read(path)
    size = pointers.read_pointer(data, path).size if data else 0
    return Told(tag, content, build=pointers.parse_build(read_yaml(data, path)) if data else None, size=size)


def _metrics(artifact: ArtifactId, read: Read) -> Mapping[str, object]:
    path = f"{artifact}/metrics.json"
    data = read(path)
    return artifact_files.metrics(artifact_files.files(DictTree({path: data})), path).value or {} if data else {}


def _weights(artifact: ArtifactId, read: Read) -> int:
    path = layout.lock_path(artifact)
    outs = pointers.read_lock(read(path) or b"stages: {}", path).outs
    return sum(out.size for out in outs if out.path == layout.product_path(artifact))


def title(told: Told) -> str:
    """`datasets/pets 1.1.0: Pets at home`."""
    return f"{told.tag.artifact} {told.tag.version}: {told.content.manifest.title}"


def write(told: Told, before: Told | None, trained_on: Tag | None, url: str) -> str:
    """The notes; `before` is the version before, `trained_on` the release whose data a model saw, `url` the registry's.

    A version before that cannot be read is as none.
    """
    return (
        "\n\n".join(section.strip() for section in _sections(told, before, trained_on, url) if section.strip()) + "\n"
    )


def _sections(told: Told, before: Told | None, trained_on: Tag | None, url: str) -> Iterator[str]:
    manifest = told.content.manifest
    yield markdown(manifest.description, None)
    if told.build:
        yield _counts(told.build, before.build if before else None)
    if told.metrics:
        yield _scores(told.metrics, before.metrics if before else {})
    if before:
        yield _changes(told, before, url)
    if isinstance(manifest, ModelManifest):
        data = _link(trained_on, url) if trained_on else f"`{manifest.trained_on}`: no release has these images"
        yield f"Trained on {data}."
    yield (
        f"```sh\ndvc artifacts get {url} {told.tag.artifact} --rev v{told.tag.version}   # {told.size:,} bytes\n```\n\n"
        f"License: {markdown(manifest.license)}. Owned by {', '.join(f'`{owner}`' for owner in manifest.owners)}."
    )


def _link(tag: Tag, url: str) -> str:
    return f"[`{tag}`]({url}/releases/tag/{quote(str(tag), safe='')})"


def _counts(build: Build, before: Build | None) -> str:
    old = before.counts if before else build.counts
    classes = sorted({label for counts in (*build.counts.values(), *old.values()) for label in counts})
    rows = {markdown(label): [label] for label in classes[:SHOWN]}
    rows |= {f"… and {len(classes) - SHOWN:,} more": classes[SHOWN:]} if len(classes) > SHOWN else {}
    rows |= {"**all**": classes} if len(classes) > 1 else {}
    lines = [f"| images | {' | '.join(layout.SPLITS)} | all |", f"|---|{'--:|' * 4}"]
    for head, chosen in rows.items():
        now, then = ([_number(counts, split, chosen) for split in layout.SPLITS] for counts in (build.counts, old))
        cells = [_moved(new, was) for new, was in zip([*now, sum(now)], [*then, sum(then)], strict=True)]
        lines.append(f"| {head} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(counts: Mapping[str, Mapping[str, int]], split: str, labels: list[str]) -> int:
    return sum(counts.get(split, {}).get(label, 0) for label in labels)


def _moved(new: int, old: int) -> str:
    return f"{new:,}" if new == old else f"{new:,} ({new - old:+,})"


def _scores(metrics: Mapping[str, object], before: Mapping[str, object]) -> str:
    """Numbers side by side, not compared: two versions may have had two test sets."""
    heads = ["metric", *(["before"] if before else []), "now"]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'--:|' * (len(heads) - 1)}"]
    for name, value in list(metrics.items())[:SHOWN]:
        cells = [*([_score(before.get(name))] if before else []), _score(value)]
        lines.append(f"| {markdown(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _score(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else markdown(str(value))


def _changes(told: Told, before: Told, url: str) -> str:
    found = versioning.required_bumps(before.content, told.content, None)
    what = ", ".join(markdown(required.what) for required in found) or "nothing that Git knows"
    compare = f"{url}/compare/{quote(f'{before.tag}...{told.tag}', safe='/.')}"
    return f"Since {_link(before.tag, url)}: {what} ([every change]({compare}))."
