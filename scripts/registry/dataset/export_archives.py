"""The one table in a compressed file: what is in it is judged as it is unpacked, and never put where it says.

A table of images has random UUIDs, which do not shrink: what grows a hundredfold is no such table.
"""

import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from registry.core import progress
from registry.core.wording import plural
from registry.errors import SHOWN, Refused

MAX_UNPACKED = 8 << 30  # bytes
MAX_GROWTH = 100
SMALL = 16 << 20  # bytes that may have grown more
_CHUNK = 1 << 20
_GZIP, _ZIP = b"\x1f\x8b", b"PK"
# What is in an Office document, which is a ZIP archive too.
_WORKBOOK = re.compile(r"xl/|\[Content_Types\]\.xml$|mimetype$", re.IGNORECASE)
_FAULTS = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)

Opened = Callable[[], IO[bytes] | BufferedIOBase]


class Unpacked(NamedTuple):
    """A file that can be read, and what messages call it."""

    path: Path
    name: str


@contextmanager
def unpack(path: Path, name: str, suffixes: Collection[str]) -> Iterator[Unpacked]:
    """The table in a gzip or ZIP file, by its first bytes, in a temporary folder; any other file as it is.

    `suffixes` are those of tables. Raises Refused where there is none, or several, and where it is damaged, encrypted,
    packed again or too large; and OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_GZIP):
        inner = name.removesuffix(".gz").removesuffix(".GZ")
        _require_suffix(inner, suffixes, name)
        with _written(lambda: gzip.GzipFile(path), path.stat().st_size, inner, name) as unpacked:
            yield Unpacked(unpacked, name)
    elif start.startswith(_ZIP) and path.suffix.lower() != ".xlsx":
        with _open_archive(path, name) as archive:
            member = _only_table(archive, name, suffixes)
            with _written(lambda: archive.open(member), member.compress_size, member.filename, name) as unpacked:
                yield Unpacked(unpacked, f"{name}: {_shown(member.filename)}")
    else:
        yield Unpacked(path, name)


def _require_suffix(inner: str, suffixes: Collection[str], name: str) -> None:
    if PurePosixPath(inner).suffix.lower() not in suffixes:
        fix = "name it as what is in it, such as export.csv.gz"
        raise Refused(f"{name} is compressed with gzip; its name does not say what is in it", fix=fix)


@contextmanager
def _open_archive(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Refused(f"{name} is a ZIP archive that is cut off or damaged", fix="export it again") from error
    with archive:
        yield archive


def _only_table(archive: zipfile.ZipFile, name: str, suffixes: Collection[str]) -> zipfile.ZipInfo:
    members = [one for one in archive.infolist() if not (one.is_dir() or _is_hidden(one.filename))]
    if any(_WORKBOOK.match(one.filename) for one in members):
        raise Refused(f"{name} is an Excel workbook or another document", fix="in Looker choose CSV, or JSON – Simple")
    tables = [one for one in members if PurePosixPath(one.filename).suffix.lower() in suffixes]
    shown = ", ".join(_shown(one.filename) for one in (tables or members)[:SHOWN]) or "no file"
    if not tables:
        raise Refused(f"{name} has no table in it, but {shown}", fix="put one CSV or JSON file into the archive")
    if len(tables) > 1:
        fault = f"{name} has {plural(len(tables), 'table')} in it, expected one: {shown}"
        raise Refused(fault, fix="unpack it, and select from one of them")
    if tables[0].flag_bits & 1:
        raise Refused(f"{name}: {shown} is encrypted", fix="unpack it with its password, and select from the table")
    return tables[0]


def _is_hidden(member: str) -> bool:
    """Whether a file is one that macOS adds."""
    return member.startswith("__MACOSX/") or PurePosixPath(member).name.startswith(".")


@contextmanager
def _written(opened: Opened, packed: int, inner: str, name: str) -> Iterator[Path]:
    """The unpacked bytes as a file; of the name that an archive gives it, only the ending is used."""
    with TemporaryDirectory(prefix="registry-export-") as folder:
        target = Path(folder, f"table{PurePosixPath(inner).suffix.lower()}")
        limit = min(MAX_UNPACKED, max(SMALL, MAX_GROWTH * packed))
        with target.open("wb") as out, progress.counter("unpacking", "B") as advance:
            for chunk in _chunks(opened, name):
                out.write(chunk)
                advance(len(chunk))
                if out.tell() > limit:
                    fault = f"{name} unpacks to more than {limit:,} bytes, expected a table of images"
                    raise Refused(fault, fix="export the columns of the manifest only")
        yield target


def _chunks(opened: Opened, name: str) -> Iterator[bytes]:
    try:
        with opened() as packed:
            while chunk := packed.read(_CHUNK):
                yield chunk
    except _FAULTS as error:
        fault = "is packed by a method that cannot be read" if isinstance(error, NotImplementedError) else "is damaged"
        raise Refused(f"{name} {fault}, or cut off", fix="export it again, or unpack it first") from error


def _shown(member: str) -> str:
    return repr(member if len(member) <= 80 else f"…{member[-80:]}")
