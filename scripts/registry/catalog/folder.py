"""The folder of a site: which of its files are there as this program made them, and what is written and removed.

`built.json` in it says of each file what it was made from and the MD5 that it had then. A file that is another one now,
or was made by another program, is not known, and is made again. The record travels with the site, so that whoever keeps
the folder keeps what was built; losing it costs time alone.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

import registry
from registry.core import digests
from registry.core.atomic_write import write_atomically
from registry.core.layout import FOLDERS

RECORD = "built.json"
INCOMPLETE = "incomplete"  # the key of a file that lacks what no store had: the next build makes it again
_RUNTIME = "onnxruntime-web-"
_OURS = re.compile(  # what a build that was killed may have written without a record
    rf"{_RUNTIME}[^/]+/[^/]+|({'|'.join(FOLDERS)})[^/]+/(index\.html|sheets/[^/]+\.webp"
    r"|v[^/]+/(index\.html|sheet\.webp|croissant\.json|items/[^/]+/[^/]+\.js|changes/[^/]+\.html|try/[^/]+\.onnx))"
)
_LEFTOVER = re.compile(r"\.(.+)\.[^.]+\.tmp")  # of `write_atomically`


@dataclass(frozen=True, slots=True)
class Changed:
    """How many files the site has, how many of them were written now, and how many were removed.

    `erased` is how many releases lost something to an erasure.
    """

    kept: int
    written: int
    removed: int
    erased: int = 0


class _File(NamedTuple):
    md5: str
    key: str
    note: str


class Folder:
    """A site's folder during a build by a `program`. Paths are relative to it, with slashes.

    What `has` finds and `write` writes stays; `finish` removes the rest of what earlier builds wrote.
    """

    def __init__(self, root: Path, program: str) -> None:
        self.root = root
        self._program = program
        recorded = _read(root / RECORD)
        self._recorded = {*recorded.files}
        self._files = dict(recorded.files) if recorded.program == program else {}
        self._facts = dict(recorded.facts) if recorded.program == program else {}
        self._kept, self._written, self._recalled = set[str](), set[str](), set[str]()

    def has(self, *paths: str, key: str = "") -> bool:
        """Whether all these files are there as this program made them from what `key` stands for."""
        found = all(self._is_known(path, key) for path in paths)
        if found:
            self._kept |= {*paths}
        return found

    def _is_known(self, path: str, key: str) -> bool:
        known = self._files.get(path)
        if known is None or known.key != key:
            return False
        data = None if path in self._kept else self.read(path)
        return path in self._kept or (data is not None and digests.md5(data) == known.md5)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None where there is none."""
        try:
            return (self.root / path).read_bytes()
        except OSError:
            return None

    def note(self, path: str) -> str:
        """What was noted of a file that `has` finds."""
        return self._files[path].note

    def write(self, path: str, data: bytes, key: str = "", note: str = "") -> None:
        """Write a file, unless it is there with these bytes."""
        if self.read(path) != data:
            write_atomically(self.root / path, data)
            self._written.add(path)
        self._files[path] = _File(digests.md5(data), key, note)
        self._kept.add(path)

    def discard(self, *paths: str) -> None:
        """Have `finish` remove files that were found or written."""
        self._kept -= {*paths}

    def recall(self, name: str) -> Any:
        """The value that was remembered under a name, as JSON has it; None for none."""
        self._recalled.add(name)
        return self._facts.get(name)

    def remember(self, name: str, value: Any) -> None:
        """Keep a value for the next build, and as long as builds recall it."""
        self._recalled.add(name)
        self._facts[name] = value

    def finish(self) -> Changed:
        """Remove what earlier builds wrote and this one neither found nor wrote, and half-written files."""
        gone = {*self._find()} - self._kept
        for path in gone:
            (self.root / path).unlink()
            _remove_empty((self.root / path).parent)
        self._files = {path: one for path, one in self._files.items() if path in self._kept}
        self._facts = {name: one for name, one in self._facts.items() if name in self._recalled}
        return Changed(len(self._kept), len(self._written & self._kept), len(gone))

    def save(self) -> None:
        """Write down what is known of the files, also after a build that ended early."""
        data = {"program": self._program, "files": self._files, "facts": self._facts}
        text = json.dumps(data, indent=0, sort_keys=True).encode() + b"\n"
        if self.read(RECORD) != text:
            write_atomically(self.root / RECORD, text)

    def _find(self) -> Iterator[str]:
        """The files of a site that are there. Others, and the record, are not a site's."""
        for place, folders, names in os.walk(self.root):
            below = Path(place).relative_to(self.root).as_posix()
            if below == ".":
                folders[:] = [name for name in folders if f"{name}/" in FOLDERS or name.startswith(_RUNTIME)]
            for name in names:
                path, final = (f"{below}/{one}".removeprefix("./") for one in (name, _LEFTOVER.sub(r"\1", name)))
                if final in self._recorded or final in self._files or _OURS.fullmatch(final):
                    yield path


@contextmanager
def opened(root: Path) -> Iterator[Folder]:
    """A site's folder; what was built is recorded, however the build ends."""
    folder = Folder(root, program())
    folder.save()  # marks a new folder as a site
    try:
        yield folder
    finally:
        folder.save()


@cache
def program(package: Path = Path(registry.__file__).parent) -> str:
    """Another text for other code, templates or libraries."""
    files = sorted(path for path in package.rglob("*") if path.suffix != ".pyc" and path.is_file())
    code = [f"{path.relative_to(package).as_posix()} {digests.md5(path.read_bytes())}" for path in files]
    libraries = sorted(f"{one.name} {one.version}" for one in distributions())
    return hashlib.sha256("\n".join([*code, *libraries]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Record:
    program: str
    files: Mapping[str, _File]
    facts: Mapping[str, Any]


def _read(path: Path) -> _Record:
    """The record of the last build; an empty one where it is missing or damaged."""
    try:
        data = json.loads(path.read_bytes())
        files = {str(name): _File(*map(str, one)) for name, one in data["files"].items()}
        return _Record(str(data["program"]), files, dict(data["facts"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Record("", {}, {})


def _remove_empty(folder: Path) -> None:
    """Remove a folder without files, and those above it that have none then; a site's own has registry.json."""
    while not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
