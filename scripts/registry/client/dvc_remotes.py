"""The remotes of a registry, as DVC's configuration files name them, read by DVC's own parser (configobj) without DVC.

A consumer has no DVC. What is read here is what `dvc get` would: the registry's committed file, and this machine's own
(DVC's global and system files, and `config.local` of a clone), which override it. `storage.dvc_config` reads the same
with DVC; a contract test compares the two.
"""

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from configobj import ConfigObj, ConfigObjError

from registry.core import committed_config
from registry.core.settings import DVC_CONFIG, LOCAL_CONFIG, Remote, from_root
from registry.errors import InvalidDocument

_NAMED = re.compile(r'\s*remote\s*"(.*)"\s*')
_PATHS = ("credentialpath", "configpath")  # options that are paths, relative to the folder of their file
_FAULTS = (ConfigObjError, UnicodeError, RecursionError)
_APP = ("iterative", "dvc")

Options = Mapping[str, str]


def read(committed: bytes, root: Path | None = None) -> dict[str, Remote]:
    """The remotes by name, from the content of the committed file and from the files of this machine.

    `root` is the clone that the first is from, where there is one. Raises InvalidDocument, also for an option that no
    committed file may have, such as one that names a program.
    """
    committed_config.require_spelling(committed, DVC_CONFIG)
    shared = _parse(committed, DVC_CONFIG)
    for fault in committed_config.find_forbidden({"remote": shared}):
        raise InvalidDocument(DVC_CONFIG, fault.message, fix=f"report it to the owners of the registry: {fault.fix}")
    merged: dict[str, dict[str, str]] = {}
    for remotes in (*_own(), {name: _from_root(options) for name, options in shared.items()}, *_local(root)):
        for name, options in remotes.items():
            merged.setdefault(name, {}).update(options)
    return {
        name: Remote(options["url"], {key: value for key, value in options.items() if key != "url"}, name)
        for name, options in merged.items()
        if name in shared and options.get("url")
    }


def _from_root(options: Options) -> Options:
    return {**options, **({"url": from_root(options["url"])} if "url" in options else {})}


def _own() -> Iterator[Mapping[str, Options]]:
    """What DVC's system-wide file and this user's say; later ones override."""
    for folder in (os.environ.get("DVC_SYSTEM_CONFIG_DIR") or system_folder(), own_folder()):
        yield _read_file(Path(folder, "config"))


def _local(root: Path | None) -> Iterator[Mapping[str, Options]]:
    if root:
        yield _read_file(root / LOCAL_CONFIG)


def own_folder() -> str:
    """The folder of this user's configuration of DVC."""
    if found := os.environ.get("DVC_GLOBAL_CONFIG_DIR"):
        return found
    if sys.platform == "win32":
        return str(Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local", *_APP))
    usual = "Library/Application Support" if sys.platform == "darwin" else ".config"
    return str(Path(os.environ.get("XDG_CONFIG_HOME", "").strip() or Path.home() / usual, "dvc"))


def system_folder() -> str:
    """The folder of this machine's configuration of DVC."""
    if sys.platform == "win32":
        return str(Path(os.environ.get("PROGRAMDATA") or "C:/ProgramData", *_APP))
    if sys.platform == "darwin":
        return "/Library/Application Support/dvc"
    folders = os.environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)
    return str(Path(folders[0].strip() or "/etc/xdg", "dvc"))


def _read_file(path: Path) -> Mapping[str, Options]:
    """What a file of this machine says; nothing where there is none. Paths in it become absolute."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidDocument(str(path), f"cannot be read: {error.strerror}", fix="check its permissions") from error
    return {name: _absolute(options, path.parent) for name, options in _parse(data, str(path)).items()}


def _absolute(options: Options, folder: Path) -> Options:
    """The options with paths that do not depend on the folder of their file, as DVC makes them."""
    is_path = (name for name in (*_PATHS, "url") if name in options and "://" not in options[name])
    return {**options, **{name: os.path.normpath(folder / Path(options[name]).expanduser()) for name in is_path}}


def _parse(data: bytes, path: str) -> dict[str, dict[str, str]]:
    """The options of each remote, names in lower case, as DVC compares them. Raises InvalidDocument."""
    try:
        sections: dict[str, Any] = ConfigObj(io.StringIO(data.decode())).dict()
    except _FAULTS as error:
        fix = "correct that line: https://dvc.org/doc/user-guide/project-structure/configuration"
        raise InvalidDocument(path, f"not a DVC configuration file: {error}", fix=fix) from error
    found = {}
    for section, options in sections.items():
        if (named := _NAMED.fullmatch(section.lower())) and isinstance(options, dict):
            values = {key.lower(): value for key, value in options.items() if not isinstance(value, dict)}
            found[named[1]] = {key: one if isinstance(one, str) else ",".join(one) for key, one in values.items()}
    return found
