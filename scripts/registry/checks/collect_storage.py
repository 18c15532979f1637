"""Reads what a change does to the registry's storage locations, with DVC's own reader of `.dvc/config`."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from registry.checks.context import PlaceFault, StorageChange
from registry.core import artifact_files, committed_config, settings
from registry.core.artifact_files import Parsed
from registry.core.schema import Fault
from registry.core.settings import DVC_CONFIG, PATH, RegistryFile, Remote
from registry.core.tree import DictTree, Tree
from registry.errors import InvalidDocument, NotFound, StorageFailed
from registry.storage import dvc_config
from registry.storage.dvc_config import Sections
from registry.storage.endpoints import require_endpoint
from registry.storage.remote_options import find_ignored, require_dvc, require_store, require_usable

_TUNING = {"jobs", "checksum_jobs"}  # options that do not say where objects are, or who reads them


class _Read(NamedTuple):
    """Both files as they are read; None where one is not there or cannot be."""

    file: RegistryFile | None
    sections: Sections | None
    unreadable: tuple[Parsed[None], ...]

    @property
    def remotes(self) -> Mapping[str, Remote]:
        return dvc_config.remotes_of(self.sections) if self.sections else {}


def compare(tree: Tree, paths: frozenset[str], old: Mapping[str, bytes | None]) -> StorageChange:
    """What the changed `paths` do to both files; `old` has what they said before, None where there were none."""
    now = _read(tree)
    before = _read(DictTree({path: data for path, data in old.items() if data is not None}))
    return StorageChange(
        unreadable=now.unreadable,
        faults=tuple(_find_faults(tree, now)),
        moved={name: path for name, path in _find_moved(before, now) if path in paths},
        reconfigured=tuple(_find_reconfigured(before.sections, now.sections)),
    )


def _read(tree: Tree) -> _Read:
    file, sections, unreadable = None, None, []
    try:
        file = settings.read(tree)
    except InvalidDocument as error:
        unreadable.append(artifact_files.unreadable(error))
    except NotFound as error:
        unreadable.append(_absent(PATH, error))
    try:
        sections = dvc_config.read_committed(tree.read(DVC_CONFIG))
        settings.require_remotes(dvc_config.remotes_of(sections))
        unreadable += _forbidden(tree.read(DVC_CONFIG).decode(), sections)
    except InvalidDocument as error:
        unreadable.append(artifact_files.unreadable(error))
    except NotFound as error:
        unreadable.append(_absent(DVC_CONFIG, error))
    return _Read(file, sections, tuple(unreadable))


def _forbidden(text: str, sections: Sections) -> list[Parsed[None]]:
    """The file as one that has faults, where it says what no committed file may."""
    faults = [
        Fault(found.message, dvc_config.find_line(text, found.option) or 1, found.fix)
        for found in committed_config.find_forbidden(sections)
    ]
    return [Parsed(DVC_CONFIG, faults=tuple(faults))] * bool(faults)


def _absent(path: str, error: NotFound) -> Parsed[None]:
    return Parsed(path, faults=(Fault(error.message, 1, error.fix),))


def _find_faults(tree: Tree, now: _Read) -> Iterator[PlaceFault]:
    """Places that no store here or no DVC can open, and options that are not honoured."""
    for name, remote in now.remotes.items():
        line = dvc_config.find_line(tree.read(DVC_CONFIG).decode(errors="replace"), name) or 1
        try:
            require_dvc(remote.url)
            require_usable(remote)
            require_endpoint(remote.options.get("endpointurl", ""), name)
        except StorageFailed as error:
            yield PlaceFault(error.message, DVC_CONFIG, line, error.fix)
        for ignored in find_ignored(remote):
            fix = f"dvc remote modify --unset {name} {ignored.option}"
            yield PlaceFault(ignored.message, DVC_CONFIG, line, fix, is_wrong=False)
    if now.file:
        try:
            require_store(now.file.lake)
        except StorageFailed as error:
            yield PlaceFault(error.message, PATH, 1, error.fix)


def _find_moved(before: _Read, now: _Read) -> Iterator[tuple[str, str]]:
    """The locations that differ, each with the file that sets it; none where one of the two cannot be read."""
    if before.sections is not None and now.sections is not None:
        old, new = before.remotes, now.remotes
        for name in sorted(old.keys() | new.keys()):
            if _place(old.get(name)) != _place(new.get(name)):
                yield f"the remote {name}", DVC_CONFIG
    if before.file and now.file and before.file.lake != now.file.lake:
        yield "the lake", PATH


def _place(remote: Remote | None) -> object:
    return remote and (remote.url, {name: value for name, value in remote.options.items() if name not in _TUNING})


def _find_reconfigured(before: Sections | None, now: Sections | None) -> Iterator[str]:
    """The settings outside remotes that differ: DVC takes its default remote, cache and templates from them."""
    if before is None or now is None:
        return
    old, new = _flatten(before), _flatten(now)
    yield from (name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name))


def _flatten(sections: Sections) -> dict[str, object]:
    return {
        f"{section}.{name}": value
        for section, values in sections.items()
        if section != "remote"
        for name, value in values.items()
    }
