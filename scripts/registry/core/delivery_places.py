"""Where deliveries lie: the grammar of a URL of one file, of the newest one in a folder, or of those with a name.

`s3://bucket/looker/pets.csv`, `s3://bucket/looker/`, `s3://bucket/looker/pets_*.csv`; also gs:// and azure://. A web
server has single files only, under https://. A URL has no login, so that it may be committed and shown.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import basename
from urllib.parse import unquote, urlsplit

from registry.errors import Refused

BUCKETS = ("s3", "gs", "azure")
SCHEMES = (*BUCKETS, "https")
FORM = "write s3://BUCKET/FOLDER/FILE.csv, or s3://BUCKET/FOLDER/ for its newest file; also gs://, azure://, https://"

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Place:
    """`root` is the URL of the bucket or server; `path` the key, of which the last part may be empty or have a `*`."""

    root: str
    path: str

    def __str__(self) -> str:
        return f"{self.root}/{self.path}"

    @property
    def scheme(self) -> str:
        """`s3`, `gs`, `azure` or `https`."""
        return self.root.partition("://")[0]

    @property
    def key(self) -> str:
        """The key of the one file, without the escapes of a web address."""
        return unquote(self.path) if self.scheme == "https" else self.path

    @property
    def folder(self) -> str:
        """The key of the folder; empty for the bucket itself."""
        return self.path.rpartition("/")[0]

    @property
    def is_folder(self) -> bool:
        """Whether it is the newest of several files."""
        return self.path.endswith("/") or not self.path or self.is_pattern

    @property
    def is_pattern(self) -> bool:
        """Whether it says what the files are called."""
        return "*" in basename(self.path) and self.scheme in BUCKETS

    def takes(self, key: str) -> bool:
        """Whether a file is one of those meant: directly in the folder, and of the name."""
        folder, _, name = key.rpartition("/")
        pattern = basename(self.path).replace("[", "[[]")
        return folder == self.folder and (not self.is_pattern or fnmatchcase(name, pattern))


def is_url(text: str) -> bool:
    """Whether a text is a URL, of whatever scheme, and not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def parse(text: str) -> Place:
    """A URL as a place. Raises Refused where it is none, or has a login or a signature in it."""
    scheme = text.partition("://")[0].lower()
    shown = _without_login(text)
    if scheme not in SCHEMES:
        raise Refused(f"{shown}: unsupported scheme, expected {', '.join(f'{one}://' for one in SCHEMES)}", fix=FORM)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise Refused(f"{shown}: not a URL", fix=FORM) from error
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in text or "#" in text:
        fault = f"{shown}: the URL has a login, a query or a signature, which must not be recorded"
        raise Refused(fault, fix="download the file, and give its path")
    if not _HOST.fullmatch(parts.netloc):
        raise Refused(f"{shown}: the URL names no bucket or server", fix=FORM)
    place = Place(f"{scheme}://{parts.netloc}", text.partition("://")[2].partition("/")[2])
    _require_path(place, shown, has_path="/" in text.partition("://")[2])
    return place


def _require_path(place: Place, shown: str, *, has_path: bool) -> None:
    *folders, name = place.path.split("/")
    names = [*folders, name] if name else folders
    is_valid = all(part and part.isprintable() and "\\" not in part and part not in {".", ".."} for part in names)
    if not is_valid or any("*" in part for part in folders):
        raise Refused(f"{shown}: the path has an empty or invalid part", fix=FORM)
    if not has_path or (place.scheme == "https" and place.is_folder):
        raise Refused(f"{shown}: the URL names no file", fix=FORM)


def _without_login(text: str) -> str:
    """A URL as it may be shown."""
    scheme, _, rest = re.split(r"[?#]", text, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return "".join(sign if sign.isprintable() else " " for sign in shown)[:300]
