"""What a DVC repository says of a folder that it tracks: its `.dir` object, and where the objects may be.

The repository may be anybody's. Of its files only a pointer, a `dvc.lock` and the URL of one remote are read, nothing
in it is run, and no option of its configuration is obeyed.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any, Protocol

from registry.core import documents
from registry.core.settings import DVC_CONFIG
from registry.core.wording import abbreviate
from registry.errors import InvalidDocument, NotFound, Refused
from registry.storage import dvc_config
from registry.storage.remote_options import is_true, scheme_of

_DIR = re.compile(r"[0-9a-f]{32}\.dir")
_SKIPPED = {".git", ".dvc", ".venv", "node_modules"}
_MAX_LISTED = 200_000  # files of a folder that are looked through for what is tracked
CLONE = "use --remote NAME for another one; or clone it, `dvc pull` there, and name the folder with the images"
_BY_NAME = ("version_aware", "worktree")  # options of remotes that keep no objects by MD5


class NotTracked(NotFound):
    """A repository that has no data at the path that was asked for."""


class Files(Protocol):
    """The files of a repository, at a commit or in a folder."""

    def has(self, path: str) -> bool:
        """Whether there is a file of this path."""

    def read(self, path: str) -> bytes:
        """A file. Raises NotFound."""

    def paths(self) -> Iterator[str]:
        """The paths of all files."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A folder that the repository tracks: the id of its `.dir` object, and which part of it was asked for.

    `is_legacy`: it was written by DVC 2, which keeps objects under other keys.
    """

    path: str
    md5: str
    inside: str = ""
    is_legacy: bool = False


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """Where a remote of the repository keeps its objects: its name, and a URL or the path of a folder."""

    name: str
    url: str


class Folder:
    """The files of a folder on this machine; symbolic links are no files of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, path: str) -> bool:
        """See `Files.has`."""
        file = self.root / path
        return file.is_file() and not file.is_symlink()

    def read(self, path: str) -> bytes:
        """See `Files.read`."""
        if not self.has(path):
            raise NotFound(f"{self.root / path} does not exist")
        return (self.root / path).read_bytes()

    def paths(self) -> Iterator[str]:
        """See `Files.paths`."""
        for at, folders, names in os.walk(self.root):
            folders[:] = sorted(set(folders) - _SKIPPED)
            yield from (Path(at, name).relative_to(self.root).as_posix() for name in sorted(names))


# --- what is tracked --------------------------------------------------------------------------------------------------


def find_tracked(files: Files, path: str, name: str) -> Tracked:
    """The folder at `path`, or the tracked one that it is in; also the path of a `.dvc` file.

    `name` is what messages call the repository. Raises NotFound with what is tracked, Refused for what is no folder.
    """
    wanted = normpath(path.removesuffix(".dvc"))
    if wanted.startswith(("../", "/")) or wanted in {".", ".."}:
        raise Refused(f"--path {path}: not a path in the repository", fix="write it from the top of the repository")
    found = next((out for at in _and_above(wanted) for out in _outputs_at(files, at)), None)
    if found is None:
        raise NotTracked(f"{name} tracks nothing at {wanted}", fix=_suggest(files))
    out, at = found
    md5 = str(out.get("md5", ""))
    if "files" in out or (not md5 and ("etag" in out or "version_id" in out)):
        raise Refused(
            f"{name}: {at} has no MD5: it is tracked by the versions of a bucket", fix="adopt that bucket's folder"
        )
    if not md5:
        raise Refused(f"{name}: {at} has no MD5", fix="run `dvc commit` and `dvc push` in that repository")
    if not _DIR.fullmatch(md5):
        raise Refused(f"{name}: {at} is one file, expected a folder of images", fix=_suggest(files))
    inside = wanted.removeprefix(at).strip("/")
    return Tracked(at, md5, inside, is_legacy=out.get("hash") != "md5")


def find_top(files: Files, path: str | None) -> str:
    """The folder of the DVC repository that has a path: one below the top, if that has a configuration of its own."""
    above = list(_and_above(dirname(normpath(path)))) if path and not path.startswith(("/", "..")) else []
    return next((folder for folder in above if files.has(join(folder, DVC_CONFIG))), "")


def inside(path: str, top: str) -> str:
    """A path from the top of the repository as one from that folder."""
    return normpath(path).removeprefix(f"{top}/") if top not in {"", "."} else path


def _and_above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = dirname(path)


def _outputs_at(files: Files, at: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The outputs at a path: of the `.dvc` file of its name, and of the `dvc.lock` files in and above its folder."""
    for file in (f"{at}.dvc", *(join(folder, "dvc.lock") for folder in (*_and_above(dirname(at)), ""))):
        if files.has(file):
            yield from ((out, at) for out, place in _outputs(files.read(file), file) if place == at)


def _outputs(data: bytes, file: str) -> list[tuple[Mapping[str, Any], str]]:
    """The outputs in a `.dvc` file or `dvc.lock`, each with its path from the top. Raises InvalidDocument."""
    found, document = list[tuple[Mapping[str, Any], str]](), documents.read_yaml(data, file).data
    try:
        groups = document["stages"].values() if file.endswith("dvc.lock") else [document]
        for group in groups:
            folder = join(dirname(file), str(group.get("wdir", ".")) if file.endswith(".dvc") else ".")
            found += [(dict(out), normpath(join(folder, str(out["path"])))) for out in group.get("outs", [])]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidDocument(file, "not a file that DVC writes", fix="write it again with DVC") from error
    return found


def list_tracked(files: Files) -> tuple[str, ...]:
    """The folders that a repository tracks, sorted."""
    found = set[str]()
    for number, path in enumerate(files.paths()):
        if number >= _MAX_LISTED:
            break
        if (path.endswith(".dvc") or path.rpartition("/")[2] == "dvc.lock") and files.has(path):
            try:
                outs = _outputs(files.read(path), path)
            except InvalidDocument:
                continue
            found |= {at for out, at in outs if _DIR.fullmatch(str(out.get("md5", ""))) and not at.startswith("../")}
    return tuple(sorted(found))


def _suggest(files: Files) -> str:
    found = list_tracked(files)
    if not found:
        return "name a folder that DVC tracks; this repository tracks none"
    return f"name a folder that it tracks with --path: {abbreviate(found, 10)}"


def require_path(files: Files, name: str) -> None:
    """Raise Refused, with what could be named, where no path was given."""
    raise Refused(f"{name} is a repository: it is not said which of its folders is meant", fix=_suggest(files))


# --- where the objects are --------------------------------------------------------------------------------------------


def find_remote(files: Files, name: str, chosen: str | None, *, is_local: bool) -> RemotePlace | None:
    """The remote that was chosen, else the default one, else the only one; None without any.

    Raises NotFound for one that is not there, and Refused for a place that is not read.
    """
    data = files.read(DVC_CONFIG) if files.has(DVC_CONFIG) else b""
    sections, remotes = dvc_config.read_sections(data, DVC_CONFIG), dvc_config.parse(data, DVC_CONFIG)
    default = str(sections.get("core", {}).get("remote") or "")
    wanted = chosen or default or (next(iter(remotes)) if len(remotes) == 1 else "")
    if not wanted:
        return None
    if wanted not in remotes:
        known = f"use --remote with one of {', '.join(remotes)}" if remotes else "leave --remote out"
        raise NotFound(f"{name} has no remote {wanted}", fix=known)
    remote = remotes[wanted]
    for option in _BY_NAME:
        if is_true(remote.options, option):
            fault = f"remote {wanted} of {name} is {option}: it keeps no objects by their MD5"
            raise Refused(fault, fix="adopt the folder in its bucket: --from URL")
    if "://" not in remote.url and not is_local:
        fault = f"remote {wanted} of {name} is a folder of another machine, {remote.url}"
        raise Refused(fault, fix=CLONE)
    if scheme_of(remote.url) not in {"", "s3", "gs", "azure", "http", "https"}:
        shown = remote.url.partition("?")[0].rpartition("@")[2]
        raise Refused(f"remote {wanted} of {name} is {shown}, which is not read here", fix=CLONE)
    return RemotePlace(wanted, _without_login(remote.url))


def _without_login(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else url
