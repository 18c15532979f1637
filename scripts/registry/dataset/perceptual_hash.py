"""Near-duplicate images: a fingerprint of each by its MD5, and the pairs whose fingerprints hardly differ.

A 64-bit hash compares neighbours in a 9 × 8 greyscale thumbnail (dHash): scaling and re-encoding change few of its
bits. Unrelated images on blank backgrounds share many bits, so a pair must also correlate in a 16 × 16 thumbnail.
"""

import statistics
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl
from PIL import Image
from polars import DataFrame, Series, col

from registry.dataset import contact_sheets, image_formats
from registry.storage import parquet_cache

PATH = "registry/fingerprints.1.parquet"  # in DVC's cache, beside the images; count up when `fingerprint` changes
MAX_DISTANCE = 4  # bits in which near-duplicates may differ
# The least correlation of their thumbnails. Of 2,000 digits of MNIST 3,541 pairs are within MAX_DISTANCE, and 3 of them
# correlate so much; re-encoded, scaled and brightened photographs reach 0.996 and more, cropped by 1% 0.986.
MIN_CORRELATION = 0.985
MIN_BITS = 8  # that are set, and that are not: an image with fewer shows too little to be compared

SCHEMA: parquet_cache.Schema = {"md5": pl.String, "hash": pl.UInt64, "grey": pl.Binary}  # null: no fingerprint
_PAIR = {"first": pl.String, "second": pl.String, "distance": pl.UInt32}
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # start, bits: of five, one is equal where four bits differ
_SLICE = 16  # hashes that are joined at a time, so that the candidates fit into memory
_MAX_CANDIDATES = 10_000  # pairs whose thumbnails are compared, nearest first: 60 µs each


class Fingerprint(NamedTuple):
    """The dHash of an image, and its 16 × 16 greyscale thumbnail (256 bytes)."""

    hash: int
    grey: bytes


def fingerprint(data: bytes) -> Fingerprint | None:
    """The fingerprint of an encoded image; None where it cannot be decoded, or shows too little."""
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > image_formats.MAX_PIXELS:
                return None
            image.draft("L", (72, 64))  # lets a JPEG skip detail that scaling would throw away
            turn = contact_sheets.TO_UPRIGHT.get(contact_sheets.orientation(image))
            grey = contact_sheets.to_rgb(image).convert("L")
    except (*contact_sheets.FAULTS, Image.DecompressionBombError):
        return None
    upright = grey if turn is None else grey.transpose(turn)
    small, large = (upright.resize(size, Image.Resampling.BOX).tobytes() for size in ((9, 8), (16, 16)))
    dhash = _dhash(small)
    return Fingerprint(dhash, large) if MIN_BITS <= dhash.bit_count() <= 64 - MIN_BITS else None


def _dhash(grey: bytes) -> int:
    """A bit for each of the 64 pixels that is darker than its right neighbour, in rows of nine."""
    bits = 0
    for row in range(0, 72, 9):
        for pixel in range(row, row + 8):
            bits = bits << 1 | (grey[pixel] < grey[pixel + 1])
    return bits


# --- pairs ------------------------------------------------------------------------------------------------------------


def find_pairs(some: DataFrame, others: DataFrame) -> DataFrame:
    """The near-duplicate pairs of `some` with each other and with `others`: columns first, second, distance.

    Both frames have the columns of SCHEMA, each md5 once and in one of them only. Nearest first. Four differing
    bits leave one of five bands equal, so only what shares a band is compared: not all with all.
    """
    mine, known = (frame.drop_nulls("hash") for frame in (some, pl.concat([some, others])))
    found = [frame for band in _BANDS for frame in _sharing(mine, known, *band)]
    # A pair of two of `some` is found from both sides.
    twice = col("second").is_in(some["md5"].implode()) & (col("first") > col("second"))
    every = pl.concat([DataFrame(schema=_PAIR), *found]).unique(["first", "second"]).filter(~twice)
    return _correlating(every.sort("distance", "first", "second").head(_MAX_CANDIDATES), known)


def _sharing(some: DataFrame, known: DataFrame, start: int, bits: int) -> Iterator[DataFrame]:
    band = ((col("hash") // 2**start) % 2**bits).alias("band")
    right = known.select("md5", "hash", band)
    differing = (col("hash") ^ col("hash_right")).bitwise_count_ones()
    for part in some.select("md5", "hash", band).iter_slices(_SLICE):
        both = part.join(right, on="band").filter(differing <= MAX_DISTANCE, col("md5") != col("md5_right"))
        yield both.select(first="md5", second="md5_right", distance=differing)


def _correlating(near: DataFrame, known: DataFrame) -> DataFrame:
    wanted = known.filter(col("md5").is_in(pl.concat([near["first"], near["second"]]).implode()))
    grey = dict(wanted.select("md5", "grey").iter_rows())
    similar = [_correlates(grey[first], grey[second]) for first, second, _ in near.iter_rows()]
    return near.filter(Series(similar, dtype=pl.Boolean))


def _correlates(first: bytes, second: bytes) -> bool:
    return first == second or statistics.correlation(first, second) >= MIN_CORRELATION


# --- cache ------------------------------------------------------------------------------------------------------------


def lookup(path: Path, md5s: Series) -> DataFrame:
    """The cached rows of `md5s`, in the columns of SCHEMA."""
    return parquet_cache.read(path, SCHEMA).filter(col("md5").is_in(md5s.implode()))


def record(path: Path, rows: DataFrame) -> None:
    """Cache rows in the columns of SCHEMA. Raises StorageFailed."""
    parquet_cache.add(path, rows, SCHEMA, ["md5"])


def to_frame(fingerprints: Mapping[str, Fingerprint | None]) -> DataFrame:
    """The fingerprint of each MD5, in the columns of SCHEMA; null where there is none."""
    rows = [(md5, *(found or (None, None))) for md5, found in fingerprints.items()]
    return DataFrame(rows, dict(SCHEMA), orient="row")
