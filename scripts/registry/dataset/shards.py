"""Shards: the images of a split in tar files, as WebDataset and Hugging Face read them; the same bytes on any machine.

A sample is three members that stand together, named by the image's UUID:

| member        | content                                                                                    |
|---------------|--------------------------------------------------------------------------------------------|
| `<uuid>.cls`  | the number of the class, from 0, in the order of the manifest's `classes`                  |
| `<uuid>.jpg`  | the image, byte for byte as the version has it, with the ending that it has there          |
| `<uuid>.json` | the row of the split's `metadata.parquet`; dates and times are texts in ISO 8601           |

Samples are sorted by a hash of the UUID: each shard mixes the classes of its split, and the shard of an image follows
from its UUID. Headers are USTAR without owners and times, and written here: those of Python's `tarfile` differ from
version to version.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.core import digests, item_paths
from registry.dataset import metadata_tables
from registry.dataset.metadata_tables import FILE_NAME, LABEL
from registry.errors import InvalidData, Refused

IMAGES = 1000  # in one shard, at most
BYTES = 256 << 20  # of images in one shard, at most, as it has to fit in memory; a larger image is a shard by itself
_BLOCK = 512  # bytes, of which a tar file is made
_END = bytes(2 * _BLOCK)
SCHEMA = pl.Schema({"uuid": pl.String, "extension": pl.String, "md5": pl.String, "size": pl.Int64, "order": pl.String})


class Sample(NamedTuple):
    """An image in a shard: `size` in bytes, and its row of metadata as JSON."""

    uuid: str
    extension: str
    md5: str
    size: int
    label: int
    row: bytes

    def before(self) -> bytes:
        """The bytes in front of the image."""
        return _member(f"{self.uuid}.cls", str(self.label).encode()) + _header(self._image, self.size)

    def after(self) -> bytes:
        """The bytes behind the image."""
        return bytes(-self.size % _BLOCK) + _member(f"{self.uuid}.json", self.row)

    @property
    def _image(self) -> str:
        return f"{self.uuid}.{self.extension}"


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One file of a split's series. `rows` are its images in order: the columns of SCHEMA, and `row` with metadata."""

    split: str
    number: int
    rows: DataFrame

    @property
    def name(self) -> str:
        """Its file: `train-000000.tar`."""
        return f"{self.split}-{self.number:06}.tar"

    @property
    def size(self) -> int:
        """The bytes of its images."""
        return int(self.rows["size"].sum())

    @property
    def last(self) -> str:
        """The `order` of its last image."""
        return str(self.rows["order"][-1])

    def samples(self) -> list[Sample]:
        """Its images in order."""
        known = self.rows.select("uuid", "extension", "md5", "size", "row").iter_rows()
        return [
            Sample(uuid, extension, md5, size, row[LABEL], _to_json(row)) for uuid, extension, md5, size, row in known
        ]


def order(uuid: str) -> str:
    """What the images of a split are sorted by."""
    return hashlib.sha256(f"shard\0{uuid}".encode()).hexdigest()


# --- plan -------------------------------------------------------------------------------------------------------------


def plan(split: str, files: DataFrame, table: DataFrame) -> tuple[Shard, ...]:
    """The shards of a split; none where it has no image.

    `files` are the images of the split (columns path, md5 and size in bytes), `table` is its `metadata.parquet`. Raises
    Refused where they do not have the same images.
    """
    name = col("path").str.strip_prefix(f"{split}/")
    parts = name.str.extract_groups(item_paths.FILE_NAME).struct.field("uuid", "extension")
    images = files.select(name.alias(FILE_NAME), parts, "md5", "size")
    rows = images.join(table.select(FILE_NAME, row=pl.struct(table.columns)), on=FILE_NAME, how="full", coalesce=True)
    if other := rows.filter(col("md5").is_null() | col("row").is_null())[FILE_NAME].to_list():
        fault = f"{split}/metadata.parquet and the images of {split} differ, as in {min(other)!r}"
        raise Refused(fault, fix="registry build: the next version has both from one selection")
    placed = rows.with_columns(order=pl.Series([*map(order, rows["uuid"])], dtype=pl.String)).sort("order")
    bounds = _bounds(placed["size"].to_list())
    parts_of = (placed.slice(start, end - start) for start, end in bounds)
    return tuple(Shard(split, number, part.select(*SCHEMA, "row")) for number, part in enumerate(parts_of))


def _bounds(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where shards begin and end: with equal numbers of images, as far as BYTES allows."""
    number = -(-len(sizes) // IMAGES)
    at_most = -(-len(sizes) // number) if number else 0
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == at_most or total + size > BYTES):
            yield start, index
            start, total = index, 0
        total += size
    if sizes:
        yield start, len(sizes)


# --- bytes ------------------------------------------------------------------------------------------------------------


def write(samples: Sequence[Sample], images: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The pieces of a shard's bytes; `images` are those of the samples."""
    for sample, image in zip(samples, images, strict=True):
        yield sample.before()
        yield image
        yield sample.after()
    yield _END


def find_fault(samples: Sequence[Sample], data: bytes) -> str:
    """What is wrong with the bytes of a shard that should have these samples; empty where they are what `write` gives.

    Each image is proven by its MD5, all other bytes by writing them again.
    """
    view, at = memoryview(data), 0
    images = list[memoryview]()
    for sample in samples:
        at += len(sample.before())
        images.append(view[at : at + sample.size])
        at += sample.size + len(sample.after())
    if at + len(_END) != len(data):
        return f"has {len(data):,} bytes, expected {at + len(_END):,}"
    at = 0
    for piece in write(samples, images):
        if view[at : at + len(piece)] != piece:
            return f"other bytes than expected at {at:,}"
        at += len(piece)
    wrong = (one for one, image in zip(samples, images, strict=True) if digests.md5(image) != one.md5)
    return next((f"{sample.uuid} in it is another image" for sample in wrong), "")


def read_images(data: bytes) -> Mapping[str, memoryview]:
    """The images in the bytes of a shard by file name, not proven. Raises InvalidData for what is no tar file."""
    view = memoryview(data)
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = [one for one in tar if not one.name.endswith((".cls", ".json"))]
    except tarfile.TarError as error:
        raise InvalidData(f"is no tar file ({error})", ()) from error
    return {one.name: view[one.offset_data : one.offset_data + one.size] for one in files}


def _to_json(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_to_text).encode()


def _to_text(value: object) -> str:
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    raise TypeError(value)


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)


def _header(name: str, size: int) -> bytes:
    """The header of a regular file that all may read, of 1970, of user and group 0 (POSIX.1-1988, ustar)."""
    mode, zero, digits = b"0000644\0", b"0000000\0", f"{size:011o}\0".encode()
    start = name.encode().ljust(100, b"\0") + mode + zero + zero + digits + b"0" * 11 + b"\0"
    rest = (b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + zero + zero).ljust(_BLOCK - 156, b"\0")
    total = sum(start) + 8 * ord(" ") + sum(rest)
    return start + f"{total:06o}\0 ".encode() + rest


# --- readers ----------------------------------------------------------------------------------------------------------


def features(classes: Sequence[str], extensions: Sequence[str], table: pl.Schema) -> Mapping[str, object]:
    """What Hugging Face's `Features.from_dict` takes, for `load_dataset("webdataset", features=...)`.

    Without it, types are guessed from the first five samples: a column that is empty there, or an ending that is not
    there, would fail in a later one.
    """
    text: Mapping[str, object] = {"dtype": "string", "_type": "Value"}
    return {
        "__key__": text,
        "__url__": text,
        "cls": {"names": list(classes), "_type": "ClassLabel"},
        **{extension: {"_type": "Image"} for extension in extensions},
        "json": {name: metadata_tables.json_feature(dtype) for name, dtype in table.items()},
    }
