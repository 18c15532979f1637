"""DVC's configuration, read and validated by DVC itself (dvc.config, 3.67): four files of it, or one in a tree.

A reader of our own would obey what DVC refuses, and the other way round: configobj interpolates values and has its own
idea of a section's name, and the schema knows which option belongs to which scheme. Importing dvc.config takes 0.15 s.
"""

import io
import os
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO

from configobj import ConfigObjError
from dvc.config import Config, ConfigError
from dvc.config_schema import REMOTE_SCHEMAS
from voluptuous import Invalid

from registry.core import committed_config
from registry.core.settings import DVC_CONFIG, LOCAL_CONFIG, Remote, from_root
from registry.errors import InvalidDocument
from registry.storage.remote_options import scheme_of

# What DVC's reader and schema raise: for a list where the schema expects a URL, for example, an AttributeError.
_FAULTS = (ConfigError, Invalid, ConfigObjError, UnicodeError, AttributeError, TypeError, ValueError, RecursionError)
_PREFIX = "config file error: "

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _File:
    """One configuration file: how messages name it, what it says, and its text."""

    name: str
    sections: Sections
    text: str

    def options_of(self, remote: str) -> Mapping[str, Any]:
        """What it says of a remote, `url` among it."""
        values = self.sections["remote"].get(remote)
        return values if isinstance(values, Mapping) else {}


def load(root: Path) -> dict[str, Remote]:
    """The remotes of the registry at `root` by name, as its four configuration files together say.

    Raises InvalidDocument, with DVC's words, for the file at fault, and for a committed file that says what none may:
    a pull request must not choose what a clone runs or where it looks.
    """
    paths = _paths(root)
    files = [_read_file(path, _display_name(path, root)) for path in paths if path.is_file()]
    try:
        merged = dict(Config(root / ".dvc", validate=False))
        Config.validate(merged)
    except _FAULTS as error:
        raise _explain(error, files) from None
    for file in files:
        if file.name == DVC_CONFIG:
            _require_allowed(file)
    return remotes_of(merged, root)


def parse(data: bytes, path: str = DVC_CONFIG) -> dict[str, Remote]:
    """The remotes of one file's content, such as a pull request's `.dvc/config`. Raises InvalidDocument."""
    return remotes_of(read_sections(data, path))


def read_sections(data: bytes, path: str = DVC_CONFIG) -> Sections:
    """Everything that one file's content says, by section and name; `remote` has a mapping for each remote.

    Raises InvalidDocument where DVC would refuse it.
    """
    file = _File(path, _parse(data, path), data.decode(errors="replace"))
    try:
        Config.validate(deepcopy(file.sections))
    except _FAULTS as error:
        raise _explain(error, [file]) from None
    return file.sections


def read_committed(data: bytes, path: str = DVC_CONFIG) -> Sections:
    """What a committed file says. Raises InvalidDocument for one in another form than DVC writes, before reading it."""
    committed_config.require_spelling(data, path)
    return read_sections(data, path)


def _paths(root: Path) -> tuple[Path, ...]:
    """DVC's configuration files; later ones override."""
    config = Config.__new__(Config)  # without reading anything
    folders = [Path(config.get_dir(level)) / "config" for level in ("system", "global")]
    return (*folders, root / DVC_CONFIG, root / LOCAL_CONFIG)


def _display_name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _read_file(path: Path, name: str) -> _File:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidDocument(name, f"cannot be read: {error.strerror}", fix="check its permissions") from error
    if name == DVC_CONFIG:
        committed_config.require_spelling(data, name)
    return _File(name, _parse(data, name), data.decode(errors="replace"))


def _require_allowed(file: _File) -> None:
    for fault in committed_config.find_forbidden(file.sections):
        raise InvalidDocument(file.name, fault.message, line=find_line(file.text, fault.option), fix=fault.fix)


def _parse(data: bytes, path: str) -> Sections:
    class Content:
        """The file system that DVC opens the file in."""

        @staticmethod
        def open(_: str) -> TextIO:
            return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")

    try:
        sections: Sections = Config.load_file(path, Content)
    except _FAULTS as error:
        message = str(error).removeprefix(_PREFIX)
        found = re.search(r"at line (\d+)\.?$", message)
        line = int(found[1]) if found else None
        raise InvalidDocument(
            path, f"not a DVC configuration file: {message.rstrip('.')}", line=line, fix=_EDIT
        ) from None
    return sections


# --- faults -----------------------------------------------------------------------------------------------------------

_EDIT = "correct that line: https://dvc.org/doc/user-guide/project-structure/configuration"


def _explain(error: Exception, files: list[_File]) -> InvalidDocument:
    """The fault at the place in the file that DVC's message names (`data['remote']['staging']['endpoint_url']`)."""
    message = str(error).removeprefix(_PREFIX)
    if isinstance(error, (AttributeError, TypeError)):  # voluptuous would have said so, but urlparse fails first
        return InvalidDocument(
            DVC_CONFIG, "a URL is a list of values", fix="quote the URL, because it contains a comma"
        )
    keys = re.findall(r"\['([^']+)'\]", message)
    at_fault = next((file for file in reversed(files) if _has(file.sections, keys)), None)
    name = at_fault.name if at_fault else DVC_CONFIG
    line = find_line(at_fault.text, keys[-1]) if at_fault and keys else None
    return InvalidDocument(name, message, line=line, fix=_suggest(message, keys, files))


def _has(sections: object, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(sections, Mapping) or key not in sections:
            return False
        sections = sections[key]
    return True


def find_line(text: str, key: str) -> int | None:
    """The first line that sets this name, or opens its section, from 1; in any case, as DVC compares them."""
    pattern = re.compile(rf"""^\s*(\[.*["']?{re.escape(key)}["']?|["']?{re.escape(key)}["']?\s*=)""", re.IGNORECASE)
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)


def _suggest(message: str, keys: list[str], files: list[_File]) -> str:
    match keys:
        case ["remote", remote, option] if "extra keys" in message:
            urls = [str(values["url"]) for file in files if "url" in (values := file.options_of(remote))]
            close = get_close_matches(option, options_of(scheme_of(urls[-1])), 1, 0.7) if urls else []
            return f"use {close[0]}" if close else f"remove {option}: DVC has no such option for this remote"
        case ["remote", _] if "az://" in message:
            return "write azure:// instead of az://"
    return _EDIT


def options_of(scheme: str) -> frozenset[str]:
    """The options that DVC's schema allows for a remote of this scheme ("" is a folder); none for an unknown one."""
    return frozenset(str(option) for option in REMOTE_SCHEMAS.get(scheme, ()))


# --- remotes ----------------------------------------------------------------------------------------------------------


def remotes_of(sections: Sections, root: Path | None = None) -> dict[str, Remote]:
    """The remotes by name; with `root`, DVC has made the paths of folders absolute."""
    found = {}
    for name, values in sections.get("remote", {}).items():
        if isinstance(values, Mapping):
            options = {key: value if isinstance(value, str) else ",".join(value) for key, value in values.items()}
            url = options.pop("url", "")
            found[name] = Remote(_relative(url, root) if root else from_root(url), options, name)
    return found


def _relative(url: str, root: Path) -> str:
    """The URL; of a folder, which DVC has made absolute, the path from the root where it lies inside."""
    folder = Path(url)
    if "://" not in url and folder.is_relative_to(absolute := os.path.abspath(root)):  # noqa: PTH100 - as DVC does
        return folder.relative_to(absolute).as_posix()
    return url
