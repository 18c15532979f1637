"""Training a published model again from its tag, in a worktree of its own, and judging the metrics that come out."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from registry.core import artifact_files, layout, manifests
from registry.core.names import parse_tag
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, ModelManifest, Tag
from registry.errors import InvalidDocument, Refused
from registry.integrations import dvc, git, git_trees
from registry.sync import inventory
from registry.sync.inventory import Reached

FOLDER = ".dvc/tmp/registry"  # ignored by Git, and on the cache's disk, so that data can be linked


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do again: a tag, the data that it was trained on, and the metrics that came out then."""

    tag: Tag
    commit: str
    manifest: ModelManifest
    inputs: tuple[Reached, ...]
    metrics: Mapping[str, object]

    def __str__(self) -> str:
        data = ", ".join(one.output.path for one in self.inputs) or "no data of the registry"
        return f"{self.tag} ({self.commit[:10]}): train again on {data}"


@dataclass(frozen=True, slots=True)
class Row:
    """A metric then and now (None: not there); `tolerance` is how far they may be apart, None when nobody judges."""

    metric: str
    then: object
    now: object
    tolerance: float | None

    @property
    def difference(self) -> float | None:
        """Now less then; None unless both are numbers."""
        is_number = isinstance(self.then, int | float) and isinstance(self.now, int | float)
        return self.now - self.then if is_number else None

    @property
    def is_kept(self) -> bool:
        """Whether it came back within its tolerance; what is no number must be the same."""
        if self.tolerance is None:
            return True
        if self.difference is None:
            return self.now is not None and self.now == self.then
        # Decimal numbers are off by their rounding: 0.92 is within 0.02 of 0.9.
        return abs(self.difference) <= self.tolerance or math.isclose(abs(self.difference), self.tolerance)


def latest(tree: Tree, tags: Iterable[Tag]) -> tuple[str, ...]:
    """The tag of the latest version of each model of a tree; what the tree says is withdrawn is not asked for."""
    found = {
        tag.artifact: str(tag)
        for tag in sorted(tags)
        if tag.artifact.kind is Kind.MODEL
        and tree.has(layout.manifest_path(tag.artifact))
        and tag.version not in manifests.load(tree, tag.artifact).withdrawn
    }
    return tuple(found.values())


def plan(root: Path, text: str) -> Plan:
    """What a model's tag says. Raises InvalidName, NotFound, InvalidDocument, Refused (it cannot be repeated)."""
    tag = parse_tag(text)
    if tag.artifact.kind is not Kind.MODEL:
        raise Refused(f"{tag} is a dataset: nothing was trained", fix="name a model's tag, such as models/NAME@v1.0.0")
    with git_trees.Revision(root, f"refs/tags/{tag}") as tree:
        manifest = manifests.load_model(tree, tag.artifact)
        inputs = inventory.inputs(tree, tag.artifact)
        for needed in inputs:
            owner = layout.owner_of(needed.path)
            if needed.md5 not in {out.md5 for out in inventory.outputs(tree, owner)}:
                fault = f"{tag} was trained on another {needed.path} than its commit has"
                raise Refused(fault, fix=f"see {layout.lock_path(tag.artifact)} at {tag}")
        reached = tuple(Reached(tag.artifact, out) for out in inputs)
        return Plan(tag, tree.commit, manifest, reached, _metrics(tree, tag.artifact))


def _metrics(tree: Tree, artifact: ArtifactId) -> Mapping[str, object]:
    path = f"{artifact}/metrics.json"
    if not tree.has(path):
        raise Refused(f"{path} does not exist in {tree}: there is nothing to compare", fix="have a stage write it")
    part = artifact_files.metrics(artifact_files.files(tree), path)
    if part.value is None:
        raise InvalidDocument(path, f"{part.faults[0].message} (in {tree})", fix="have a stage write numbers by name")
    return part.value


def apply(plan: Plan, root: Path, cache: Path) -> tuple[Row, ...]:
    """Train again, with data that the cache has; nothing of the user's tree or cache is changed. Raises ToolFailed."""
    with worktree(root, plan.commit) as folder:
        dvc.configure_guest(folder, cache)
        dvc.checkout(folder, [one.output.path for one in plan.inputs])
        dvc.retrain(folder, f"{plan.tag.artifact}/dvc.yaml")
        return compare(plan.metrics, _metrics(git_trees.WorkTree(folder), plan.tag.artifact), plan.manifest.tolerance)


@contextmanager
def worktree(root: Path, commit: str) -> Iterator[Path]:
    """A temporary checkout of a commit, removed whatever happens inside; those of killed runs go with the next."""
    _sweep(root)
    folder = root / FOLDER / f"reproduce-{os.getpid()}-{token_hex(4)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        git.add_worktree(root, folder, commit)
        yield folder
    finally:
        git.remove_worktree(root, folder)


def _sweep(root: Path) -> None:
    for folder in (root / FOLDER).glob("reproduce-*"):
        owner = folder.name.split("-")[1]
        if not (owner.isdigit() and _is_running(int(owner))):
            git.remove_worktree(root, folder)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's
    return True


# --- the verdict ------------------------------------------------------------------------------------------------------


def compare(then: Mapping[str, object], now: Mapping[str, object], tolerance: Mapping[str, float]) -> tuple[Row, ...]:
    """A row for each metric, those that are judged first: all of them, and exactly, where no tolerance is named."""
    judged = tolerance or dict.fromkeys(then, 0.0)
    names = dict.fromkeys([*judged, *sorted({*then, *now})])
    return tuple(Row(name, then.get(name), now.get(name), judged.get(name)) for name in names)


def verdict(rows: Sequence[Row]) -> bool:
    """Whether every metric that is judged came back."""
    return all(row.is_kept for row in rows)


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    head = ("metric", "then", "now", "difference", "tolerance", "")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cells(row: Row) -> tuple[str, ...]:
    words = "not judged" if row.tolerance is None else "kept" if row.is_kept else "DIFFERS"
    difference = "" if row.difference is None else f"{row.difference:+.6g}"
    return row.metric, _shown(row.then), _shown(row.now), difference, _shown(row.tolerance), words


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
