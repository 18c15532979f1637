"""Trains a published model again from its tag, in a temporary worktree, and compares the metrics."""

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
from registry.core.wording import table
from registry.errors import InvalidDocument, Refused
from registry.integrations import dvc, git, git_trees
from registry.sync import inventory
from registry.sync.inventory import Reached

FOLDER = ".dvc/tmp/registry"  # ignored by Git, and on the disk of the cache, so that data can be linked


@dataclass(frozen=True, slots=True)
class Plan:
    """A training to repeat: its tag, the data that it used, and the metrics that it published."""

    tag: Tag
    commit: str
    manifest: ModelManifest
    inputs: tuple[Reached, ...]
    metrics: Mapping[str, object]

    def __str__(self) -> str:
        data = ", ".join(one.output.path for one in self.inputs) or "no data of this registry"
        return f"{self.tag} ({self.commit[:10]}): retrain on {data}"


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """A metric as published and as reproduced (None: missing).

    `tolerance` bounds their absolute difference; None where the metric is not compared.
    """

    metric: str
    published: object
    reproduced: object
    tolerance: float | None

    @property
    def difference(self) -> float | None:
        """Reproduced minus published; None unless both are numbers."""
        if isinstance(self.published, int | float) and isinstance(self.reproduced, int | float):
            return self.reproduced - self.published
        return None

    @property
    def is_reproduced(self) -> bool:
        """Whether the metric is within its tolerance; a value that is not a number must be equal."""
        if self.tolerance is None:
            return True
        if self.difference is None:
            return self.reproduced is not None and self.reproduced == self.published
        # Binary rounding: 0.92 is within 0.02 of 0.9.
        return abs(self.difference) <= self.tolerance or math.isclose(abs(self.difference), self.tolerance)


def latest_tags(tree: Tree, tags: Iterable[Tag]) -> tuple[str, ...]:
    """The tag of the latest version of each model of a tree.

    Left out are versions that the tree marks as withdrawn, and models that were trained elsewhere.
    """
    found = {
        tag.artifact: str(tag)
        for tag in sorted(tags)
        if tag.artifact.kind is Kind.MODEL
        and tree.has(layout.manifest_path(tag.artifact))
        and _is_repeatable(manifests.load_model(tree, tag.artifact), tag)
    }
    return tuple(found.values())


def _is_repeatable(manifest: ModelManifest, tag: Tag) -> bool:
    return manifest.origin is None and tag.version not in manifest.withdrawn


def plan(root: Path, text: str) -> Plan:
    """The training behind a model's tag. Raises InvalidName, NotFound, InvalidDocument, Refused (not reproducible)."""
    tag = parse_tag(text)
    if tag.artifact.kind is not Kind.MODEL:
        raise Refused(f"{tag} is a dataset, expected a model", fix="name a tag such as models/NAME@v1.0.0")
    with git_trees.Revision(root, f"refs/tags/{tag}") as tree:
        manifest = manifests.load_model(tree, tag.artifact)
        if manifest.origin:
            fault = f"{tag} was trained elsewhere ({manifest.origin.url}): its training cannot be repeated here"
            raise Refused(fault, fix="name a version that was trained here")
        inputs = inventory.read_tracked(tree, tag.artifact).inputs
        for needed in inputs:
            owner = layout.owner_of(needed.path)
            if owner is None or needed.md5 not in {out.md5 for out in inventory.outputs(tree, owner)}:
                fault = f"{tag} was trained on another version of {needed.path} than its commit contains"
                raise Refused(
                    fault, fix=f"compare {layout.lock_path(tag.artifact)} at {tag} with the dataset's pointer"
                )
        reached = tuple(Reached(tag.artifact, out) for out in inputs)
        return Plan(tag, tree.commit, manifest, reached, _metrics(tree, tag.artifact))


def _metrics(tree: Tree, artifact: ArtifactId) -> Mapping[str, object]:
    path = f"{artifact}/metrics.json"
    if not tree.has(path):
        raise Refused(
            f"{path} does not exist in {tree}, so there is nothing to compare", fix="declare it as a metric in dvc.yaml"
        )
    part = artifact_files.parse_metrics(tree.read(path), path)
    if part.value is None:
        raise InvalidDocument(path, f"{part.faults[0].message} (in {tree})", fix="write a JSON object of numbers")
    return part.value


def apply(plan: Plan, root: Path, cache: Path) -> tuple[MetricComparison, ...]:
    """Retrain with data from the cache; the user's working tree and cache stay unchanged. Raises ToolFailed."""
    with worktree(root, plan.commit) as folder:
        dvc.configure_guest(folder, cache)
        dvc.checkout(folder, [one.output.path for one in plan.inputs])
        dvc.retrain(folder, f"{plan.tag.artifact}/dvc.yaml")
        return compare(plan.metrics, _metrics(git_trees.WorkTree(folder), plan.tag.artifact), plan.manifest.tolerance)


@contextmanager
def worktree(root: Path, commit: str) -> Iterator[Path]:
    """A temporary worktree of a commit, removed in any case; those of killed runs are removed first."""
    _remove_abandoned(root)
    folder = root / FOLDER / f"reproduce-{os.getpid()}-{token_hex(4)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        git.add_worktree(root, folder, commit)
        yield folder
    finally:
        git.remove_worktree(root, folder)


def _remove_abandoned(root: Path) -> None:
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
        pass  # a process of another user
    return True


# --- comparison -------------------------------------------------------------------------------------------------------


def compare(
    published: Mapping[str, object], reproduced: Mapping[str, object], tolerance: Mapping[str, float]
) -> tuple[MetricComparison, ...]:
    """Every metric, those with a tolerance first; without any tolerance all metrics must be exactly equal."""
    tolerances = tolerance or dict.fromkeys(published, 0.0)
    names = dict.fromkeys([*tolerances, *sorted({*published, *reproduced})])
    return tuple(
        MetricComparison(name, published.get(name), reproduced.get(name), tolerances.get(name)) for name in names
    )


def is_reproduced(rows: Sequence[MetricComparison]) -> bool:
    """Whether every compared metric is within its tolerance."""
    return all(row.is_reproduced for row in rows)


def format_table(rows: Sequence[MetricComparison]) -> str:
    """The comparison as aligned text."""
    return table(
        ("metric", "published", "reproduced", "difference", "tolerance", "result"), [_cells(row) for row in rows]
    )


def _cells(row: MetricComparison) -> tuple[str, ...]:
    result = "not compared" if row.tolerance is None else "ok" if row.is_reproduced else "DIFFERS"
    difference = "" if row.difference is None else f"{row.difference:+.6g}"
    return row.metric, _text(row.published), _text(row.reproduced), difference, _text(row.tolerance), result


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
