"""The grammar of an image's path in a version, `<split>/<label>/<uuid>.<extension>`, and of its key in the lake.

A version in parts (`core.parts`) has the prefix of the part behind the split: `<split>/0a/<label>/<uuid>.<extension>`.

A version may have a million images, so most readers and the writer are vectorised. They use the patterns and formats of
this module, too: the patterns are in the syntax that Python's `re` and Rust's `regex` (Polars) share, the formats are
for `str.format` and `polars.format` alike. `$` ends a pattern; in Python, use `re.fullmatch`, or a newline may follow.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from registry.core import parts
from registry.core.layout import SPLITS
from registry.core.names import InvalidName

METADATA = "metadata.parquet"  # the name of the table of a split, or of a part
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
FILE_NAME = rf"(?P<label>[^/]+)/(?P<uuid>{UUID})\.(?P<extension>[a-z]+)$"  # at the end of a path
_FOLDER = rf"(?P<split>{'|'.join(SPLITS)})(?:/(?P<prefix>{parts.FOLDER}))?"
ITEM_PATH = rf"^{_FOLDER}/{FILE_NAME}"
METADATA_PATH = rf"^{_FOLDER}/{METADATA.replace('.', '[.]')}$"

FILE_NAME_FORMAT = "{}/{}.{}"  # label, uuid, extension: what `metadata.parquet` calls file_name
ITEM_PATH_FORMAT = f"{{}}/{FILE_NAME_FORMAT}"  # split or part, label, uuid, extension

MAX_LABEL = 64
# A class as manifests may have it (`schemas/common.schema.json`): a folder on every system, Windows' devices excluded.
LABEL = re.compile(r"(?!(?i:con|prn|aux|nul|(?:com|lpt)[0-9])(?: *\..*)?$)[A-Za-z0-9][A-Za-z0-9 _.+-]*(?<![ .])")
_ITEM, _METADATA = re.compile(ITEM_PATH), re.compile(METADATA_PATH)

UUID_PLACEHOLDER = "{uuid}"
ANY_EXTENSION = "*"
EXTENSIONS = ("jpg", "jpeg", "png", "webp", "JPG", "JPEG", "PNG", "WEBP")  # of keys in the lake
EXTENSION = r"\.([A-Za-z]+)$"  # at the end of a key; a path in a version has it in lower case


@dataclass(frozen=True, slots=True, order=True)
class ItemPath:
    """Where an image lies in a dataset version; `parse` makes one from text."""

    split: str
    label: str
    uuid: str
    extension: str
    prefix: str = ""  # of a version in parts

    @property
    def folder(self) -> str:
        """The folder whose `metadata.parquet` has the image: its split's, or its part's."""
        return f"{self.split}/{self.prefix}" if self.prefix else self.split

    def __str__(self) -> str:
        return ITEM_PATH_FORMAT.format(self.folder, self.label, self.uuid, self.extension)


def parse(text: str) -> ItemPath:
    """`train/cat/0a8c7f6e-….jpg` → its parts. Raises InvalidName."""
    match = re.fullmatch(ITEM_PATH, text)
    if not match:
        raise InvalidName(f"{text!r} is not an image's path", fix="write <split>/<label>/<uuid>.<extension>")
    return ItemPath(**match.groupdict(default=""))


def find_fault(paths: Collection[str]) -> str:
    """What is wrong with the paths of the files of a version, as a list from elsewhere has them; empty if nothing is.

    Each is an image's path or that of a split's `metadata.parquet`, and no two are one file or folder where case does
    not matter.
    """
    folders: dict[str, str] = {}
    for path in paths:
        item = _ITEM.fullmatch(path)
        if not item and not _METADATA.fullmatch(path):
            return f"{path[:200]!r} is not the path of an image of a dataset"
        label = item["label"] if item else ""
        if item and not (LABEL.fullmatch(label) and len(label) <= MAX_LABEL):
            return f"{path[:200]!r}: {label[:MAX_LABEL]!r} is not a class that is a folder on every system"
        folder = path.rpartition("/")[0]
        if folders.setdefault(folder.lower(), folder) != folder:
            return f"{folders[folder.lower()]!r} and {folder!r} are one folder where case does not matter"
    repeated = len(paths) - len({path.lower() for path in paths})
    return f"{repeated:,} paths are listed twice, but for case" if repeated else ""


@dataclass(frozen=True, slots=True)
class LakeKeys:
    """The grammar of a manifest's `image`, such as `photos/{uuid}.jpg`; the extension `*` stands for all of EXTENSIONS.

    `format(uuid, extension)` and `parse` are each other's inverse. A key may have its extension in upper case; an
    image's path in a version has it in lower case.
    """

    folder: str  # all in front of the UUID
    suffix: str  # what is between the UUID and the extension
    extension: str

    @property
    def extensions(self) -> tuple[str, ...]:
        """The extensions that a key may have."""
        return EXTENSIONS if self.extension == ANY_EXTENSION else (self.extension,)

    def format(self, uuid: str = "{}", extension: str | None = None) -> str:
        """The key of an image; without a UUID, a format for one, as `polars.format` takes it."""
        return f"{self.folder}{uuid}{self.suffix}.{extension or self.extension}"

    def parse(self, key: str) -> tuple[str, str]:
        """The UUID and the extension of a key. Raises InvalidName."""
        pattern = rf"{re.escape(self.folder)}({UUID}){re.escape(self.suffix)}\.({'|'.join(self.extensions)})"
        if match := re.fullmatch(pattern, key):
            return match[1], match[2]
        raise InvalidName(f"{key!r} is not an image's key", fix=f"use {self.format(UUID_PLACEHOLDER)}")


def parse_lake_keys(template: str) -> LakeKeys:
    """A manifest's `image` that is valid by its schema."""
    folder, _, rest = template.partition(UUID_PLACEHOLDER)
    suffix, _, extension = rest.rpartition(".")
    return LakeKeys(folder, suffix, extension)
