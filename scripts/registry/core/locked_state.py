"""What a tree has now in the place of what a `dvc.lock` recorded: the hashes of files, the values of parameters."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from typing import Any

from registry.core import digests, documents, layout
from registry.core.artifact_files import Files, Lock, Parsed, read_lock, read_pointer, unreadable
from registry.errors import InvalidDocument


@dataclass(frozen=True, slots=True)
class LockedState:
    """What a tree has in the place of what a `dvc.lock` recorded.

    `md5s` has the dependencies and outputs that Git tracks or a pointer of another artifact names, by path; `recipe` is
    in the form of `Lock.recipe`. Parameters in the files `unreadable` are as they were.
    """

    md5s: Mapping[str, str]
    recipe: str
    unreadable: tuple[Parsed[None], ...] = ()


def read_locked_state(files: Files, path: str, lock: Lock) -> LockedState:
    """What the tree has in the place of what the `dvc.lock` at `path` recorded."""
    outputs = (*lock.deps, *lock.outs)
    md5s = {output.path: md5 for output in outputs if (md5 := _current_md5(files, output.path, path))}
    locked: dict[str, dict[str, Any]] = json.loads(lock.recipe)
    params, faulty = dict[str, Mapping[str, Any]](), list[Parsed[None]]()
    for name, values in locked.items():
        try:
            params[name] = _current_params(files, normpath(join(dirname(path), name)), values)
        except InvalidDocument as error:
            params[name] = values
            faulty.append(unreadable(error))
    return LockedState(md5s, json.dumps(params, sort_keys=True), tuple(faulty))


def _current_md5(files: Files, path: str, lock_path: str) -> str | None:
    entry = files.entries.get(path)
    if entry and not entry.is_link and entry.size <= documents.MAX_BYTES:
        return digests.md5(files.tree.read(path))
    if f"{path}.dvc" in files.entries:
        pointer = read_pointer(files, f"{path}.dvc").value
        return (pointer.md5 or None) if pointer else None
    owner = layout.owner_of(path)  # of the file of another model that is trained here, which its lock has
    other = layout.lock_path(owner) if owner else ""
    lock = read_lock(files, other).value if other != lock_path and other in files.entries else None
    return next((out.md5 for out in lock.outs if out.path == path), None) if lock else None


def _current_params(files: Files, path: str, locked: Mapping[str, Any]) -> Mapping[str, Any]:
    if path not in files.entries:
        return dict.fromkeys(locked)
    if not path.endswith((".yaml", ".json")):
        return locked  # a form that only DVC reads
    data = files.read(path)
    values = documents.read_json(data, path) if path.endswith(".json") else documents.read_yaml(data, path).data
    return {name: _look_up(values, name) for name in locked}


def _look_up(values: Any, name: str) -> Any:
    for key in name.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values
