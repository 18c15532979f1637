"""The grammar of an image's path in a version, `<split>/<label>/<uuid>.<extension>`, and of its key in the lake.

A version may have a million images, so most readers and the writer are vectorised. They use the patterns and formats of
this module, too: the patterns are in the syntax that Python's `re` and Rust's `regex` (Polars) share, the formats are
for `str.format` and `polars.format` alike. `$` ends a pattern; in Python, use `re.fullmatch`, or a newline may follow.
"""

import re
from dataclasses import dataclass

from registry.core.layout import SPLITS
from registry.core.names import InvalidName

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
FILE_NAME = rf"(?P<label>[^/]+)/(?P<uuid>{UUID})\.(?P<extension>[a-z]+)$"  # at the end of a path
ITEM_PATH = rf"^(?P<split>{'|'.join(SPLITS)})/{FILE_NAME}"
METADATA_PATH = rf"^(?P<split>{'|'.join(SPLITS)})/metadata\.csv$"

FILE_NAME_FORMAT = "{}/{}.{}"  # label, uuid, extension: what `metadata.csv` calls file_name
ITEM_PATH_FORMAT = f"{{}}/{FILE_NAME_FORMAT}"  # split, label, uuid, extension
METADATA_FORMAT = "{}/metadata.csv"  # split

UUID_PLACEHOLDER = "{uuid}"


@dataclass(frozen=True, slots=True, order=True)
class ItemPath:
    """Where an image lies in a dataset version; `parse` makes one from text."""

    split: str
    label: str
    uuid: str
    extension: str

    def __str__(self) -> str:
        return ITEM_PATH_FORMAT.format(self.split, self.label, self.uuid, self.extension)


def parse(text: str) -> ItemPath:
    """`train/cat/0a8c7f6e-….jpg` → its parts. Raises InvalidName."""
    match = re.fullmatch(ITEM_PATH, text)
    if not match:
        raise InvalidName(f"{text!r} is not an image's path", fix="write <split>/<label>/<uuid>.<extension>")
    return ItemPath(**match.groupdict())


def lake_key_format(template: str) -> str:
    """A manifest's `image`, such as `photos/{uuid}.jpg`, as a format for the UUID: `photos/{}.jpg`."""
    return template.replace(UUID_PLACEHOLDER, "{}")


def extension(template: str) -> str:
    """The file name extension of a manifest's `image`, without its dot; a version's images have the same one."""
    return template.rpartition(".")[2]
