"""Training results: the lock, metrics and plots that a training job hands to the jobs that judge and push them.

Code of the pull request wrote these files, so they are untrusted. Accepted are `dvc.lock`, and files with known endings
at the places that the model's `dvc.yaml` names as uncached metrics and plots: nothing that a person, DVC or Python
would read as an instruction, whatever `dvc.yaml` says. None of them is run or checked out.
"""

import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import join, normpath
from typing import Any

from registry.core import documents, layout, schema
from registry.core.tree import Changed, Tree, under
from registry.core.values import ArtifactId, Kind
from registry.errors import InvalidData, InvalidDocument
from registry.integrations import git_commits, git_trees
from registry.model.result_files import MAX_BYTES, fault_of_name, require_lock, require_metrics, require_plot

MAX_FILES = 1_000
MAX_TOTAL = 10_000_000  # bytes of all files: they stay in Git for good
FIX = "correct the pipeline in dvc.yaml, or see the log of the training job; then push again"


Stages = Mapping[str, Mapping[str, Any]]  # of a dvc.yaml that follows its schema


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder in Git that a training of `model` writes; `is_metrics`: its numbers must be finite."""

    model: ArtifactId
    path: str
    is_metrics: bool = False


def result_places(tree: Tree, model: ArtifactId) -> tuple[Place, ...]:
    """What a training of `model` writes: `dvc.lock`, and the metrics and plots that are not in DVC's cache.

    Raises InvalidDocument for a `dvc.yaml` that does not follow its schema.
    """
    stages = _stages(tree, model)
    found = (
        Place(model, normpath(f"{model}/{name}"), is_metrics=kind == "metrics")
        for stage in stages.values()
        for kind in ("metrics", "plots")
        for one in stage.get(kind, ())
        if isinstance(one, dict)
        for name, options in one.items()
        if options.get("cache") is False
    )
    inputs = set(_inputs(stages, model))
    own = (place for place in found if place.path.startswith(f"{model}/") and place.path not in inputs)
    return (Place(model, layout.lock_path(model)), *own) if stages else ()


def _stages(tree: Tree, model: ArtifactId) -> Stages:
    path = f"{model}/dvc.yaml"
    if not tree.has(path):
        return {}
    document = documents.read_yaml(tree.read(path), path)
    schema.require(document, "pipeline")
    stages: Stages = document.data["stages"]
    return stages


def _inputs(stages: Stages, model: ArtifactId) -> Iterator[str]:
    """What the stages of a pipeline depend on: no result may take its place."""
    for stage in stages.values():
        named = [one for one in stage.get("deps", ()) if isinstance(one, str)]
        files = [name for one in stage.get("params", ()) if isinstance(one, Mapping) for name in one]
        yield from (normpath(join(str(model), name)) for name in (*named, *files))


def pack(root: Path, models: Iterable[ArtifactId], folder: Path) -> tuple[str, ...]:
    """Copy the training results of `models` to `folder`, which is replaced; returns their paths."""
    tree = git_trees.WorkTree(root)
    paths = [path for model in models for path in _files_at(tree, result_places(tree, model))]
    shutil.rmtree(folder, ignore_errors=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(tree.read(path))
    return tuple(paths)


def _files_at(tree: Tree, places: Collection[Place]) -> Iterator[str]:
    """The files of a tree at or below these places."""
    return (entry.path for entry in tree.list() if any(under(entry.path, place.path) for place in places))


# --- accepting --------------------------------------------------------------------------------------------------------


def resulting_commit(
    root: Path,
    head: str,
    models: Collection[ArtifactId],
    folder: Path,
    derive: Callable[[Tree, Collection[ArtifactId]], Mapping[str, bytes]],
) -> str:
    """The commit that the results in `folder` make on top of `head`: `head` itself where nothing differs.

    It has the files that `derive` makes of a tree with the results, for the models that have new ones: their cards.
    The same results give the same commit, on any machine and at any time. Nothing is pushed. A missing folder means no
    results. Raises InvalidData and InvalidDocument for anything that a training of one of `models` does not write.
    """
    with git_trees.Revision(root, head) as tree:
        changes = dict(validate(tree, models, folder))
        new = {layout.owner_of(path) for path, data in changes.items() if _differs(tree, path, data)}
        changes |= derive(Changed(tree, changes), sorted(filter(None, new))) if new else {}
    return git_commits.commit_results(root, head, changes, _message(changes)) if changes else head


def _differs(tree: Tree, path: str, data: bytes | None) -> bool:
    return data is None or not tree.has(path) or tree.read(path) != data


def is_made_of(root: Path, commit: str, head: str) -> bool:
    """Whether a commit is one of training results on top of `head`."""
    return git_commits.is_result_of(root, commit, head)


def validate(tree: Tree, models: Collection[ArtifactId], folder: Path) -> Mapping[str, bytes | None]:
    """Path → its bytes (None: the training no longer writes it), for each training result for `tree`."""
    files = _read(folder)
    owners = {owner for path in files if (owner := layout.owner_of(path))}
    concerned = sorted(owner for owner in owners if owner in models and owner.kind is Kind.MODEL)
    places = {place.path: place for model in concerned for place in result_places(tree, model)}
    links = {entry.path for entry in tree.list() if entry.is_link}
    if faults := {path: fault for path in files if (fault := _fault(path, places, links))}:
        problems = [f"{path}: {fault}" for path, fault in faults.items()]
        raise InvalidData("unexpected files among the training results", problems, fix=FIX)
    for path, data in files.items():
        try:
            _require_form(tree, path, data, next(place for place in places.values() if under(path, place.path)))
        except InvalidDocument as error:
            raise InvalidDocument(path, error.fault, line=error.line, fix=error.fix or FIX) from error
    return {**dict.fromkeys(_files_at(tree, places.values())), **files}


def _fault(path: str, places: Mapping[str, Place], links: Collection[str]) -> str:
    place = next((place for name, place in places.items() if under(path, name)), None)
    if place is None:
        return "is neither dvc.lock, nor named for metrics or plots in dvc.yaml, of a model that the change concerns"
    if any(under(path, link) for link in links):
        return "is in the place of a symbolic link"
    return "" if path == layout.lock_path(place.model) else fault_of_name(path)


def _read(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode))
    names = {path: path.relative_to(folder).as_posix() for path in found}
    odd = [f"{name}: is not a regular file" for path, name in names.items() if not stat.S_ISREG(path.lstat().st_mode)]
    odd += [f"{name}: is {size:,} bytes" for path, name in names.items() if (size := path.lstat().st_size) > MAX_BYTES]
    total = sum(path.lstat().st_size for path in found)
    odd += [f"{len(names):,} files"] * (len(names) > MAX_FILES) + [f"{total:,} bytes in all"] * (total > MAX_TOTAL)
    if odd:
        expected = (
            f"expected at most {MAX_FILES:,} regular files as training results, "
            f"of at most {MAX_BYTES:,} bytes each and {MAX_TOTAL:,} in all"
        )
        raise InvalidData(expected, odd, fix=FIX)
    return {name: path.read_bytes() for path, name in names.items()}


def _require_form(tree: Tree, path: str, data: bytes, place: Place) -> None:
    """Raise InvalidDocument for what DVC and the training do not write."""
    if path == layout.lock_path(place.model):
        require_lock(data, path, _stages(tree, place.model).keys())
    elif place.is_metrics and path == place.path:
        require_metrics(data, path)
    else:
        require_plot(data, path)


def _message(files: Mapping[str, bytes | None]) -> str:
    models = sorted({str(layout.owner_of(path)) for path in files})
    return f"Train {', '.join(models)}\n\nResults of `dvc repro` in the pull request's training job.\n"
