"""Near-duplicate images: a fingerprint of each by its MD5, and the pairs whose fingerprints hardly differ.

A 64-bit hash compares neighbours in a 9 × 8 greyscale thumbnail (dHash): scaling and re-encoding change few of its
bits. Unrelated images on blank backgrounds share many bits, so a pair must also correlate in a 16 × 16 thumbnail.
Mirrored and rotated copies have other hashes, so an image has one for each of the eight symmetries of a square.
"""

import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image
from polars import DataFrame, Series, col

from registry.dataset import decoding, image_formats
from registry.dataset.changes import Symmetry
from registry.storage import parquet_cache

PATH = "registry/fingerprints.2.parquet"  # in DVC's cache, beside the images; count up when `fingerprint` changes
MAX_DISTANCE = 4  # bits in which near-duplicates may differ
# The least correlation of their thumbnails. Of 2,000 digits of MNIST 3,541 pairs are within MAX_DISTANCE, and 3 of them
# correlate so much; re-encoded, scaled and brightened photographs reach 0.996 and more, cropped by 1% 0.986.
MIN_CORRELATION = 0.985
MIN_BITS = 8  # that are set, and that are not: an image with fewer shows too little to be compared

SCHEMA: parquet_cache.Schema = {"md5": pl.String, "hashes": pl.List(pl.UInt64), "grey": pl.Binary}  # null: none
_PAIR = {"first": pl.String, "second": pl.String, "distance": pl.UInt32, "symmetry": pl.UInt32}
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # start, bits: of five, one is equal where four bits differ
_JOINED = 2_000_000  # pairs that one join may give at worst, so that they fit into memory
MAX_CANDIDATES = 200_000  # pairs whose thumbnails are compared, nearest first
ENOUGH = 10 * MAX_CANDIDATES  # where the search ends: thousands of shots of one scene have millions of them

SIDE = 16  # of the thumbnail, in pixels
Thumbnail = npt.NDArray[np.uint8]  # of SIDE × SIDE pixels
_SYMMETRIES: tuple[tuple[Image.Transpose | None, Symmetry], ...] = (  # the identity first
    (None, Symmetry.NONE),
    (Image.Transpose.FLIP_LEFT_RIGHT, Symmetry.MIRRORED),
    (Image.Transpose.FLIP_TOP_BOTTOM, Symmetry.FLIPPED),
    (Image.Transpose.ROTATE_180, Symmetry.ROTATED_180),
    (Image.Transpose.ROTATE_90, Symmetry.ROTATED_90),
    (Image.Transpose.ROTATE_270, Symmetry.ROTATED_90),
    (Image.Transpose.TRANSPOSE, Symmetry.MIRRORED_ROTATED),
    (Image.Transpose.TRANSVERSE, Symmetry.MIRRORED_ROTATED),
)


class Fingerprint(NamedTuple):
    """The dHash of an image in each of its eight symmetries, upright first, and its 16 × 16 greyscale thumbnail."""

    hashes: tuple[int, ...]
    grey: bytes


def _apply(transpose: Image.Transpose | None, image: Image.Image) -> Image.Image:
    return image if transpose is None else image.transpose(transpose)


def _pixel_orders() -> Thumbnail:
    """Of each symmetry, where the 256 pixels of the thumbnail come from."""
    places = Image.frombytes("L", (SIDE, SIDE), bytes(range(SIDE * SIDE)))
    return np.array([np.frombuffer(_apply(transpose, places).tobytes(), np.uint8) for transpose, _ in _SYMMETRIES])


def fingerprint(data: bytes) -> Fingerprint | None:
    """The fingerprint of an encoded image; None where it cannot be decoded, or shows too little."""
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > image_formats.MAX_PIXELS:
                return None
            image.draft("L", (72, 64))  # lets a JPEG skip detail that scaling would throw away
            turn = decoding.TO_UPRIGHT.get(decoding.orientation(image))
            grey = decoding.to_rgb(image).convert("L")
    except decoding.FAULTS:
        return None
    upright = _apply(turn, grey)
    square = upright.resize((72, 72), Image.Resampling.BOX)  # of 9 × 8 and of 8 × 9 equal boxes
    hashes = tuple(
        _dhash(_apply(transpose, square).resize((9, 8), Image.Resampling.BOX).tobytes()) for transpose, _ in _SYMMETRIES
    )
    if not MIN_BITS <= hashes[0].bit_count() <= 64 - MIN_BITS:
        return None
    return Fingerprint(hashes, upright.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes())


def _dhash(grey: bytes) -> int:
    """A bit for each of the 64 pixels that is darker than its right neighbour, in rows of nine."""
    bits = 0
    for row in range(0, 72, 9):
        for pixel in range(row, row + 8):
            bits = bits << 1 | (grey[pixel] < grey[pixel + 1])
    return bits


# --- pairs ------------------------------------------------------------------------------------------------------------


class Pairs(NamedTuple):
    """Near-duplicate pairs, nearest first, and how many candidates at least were too many to be compared.

    `found` has the columns first, second (MD5s), distance (bits) and symmetry (text, see `Symmetry`). A candidate is an
    image in one symmetry beside another image; two new ones can be candidates in both orders.
    """

    found: DataFrame
    omitted: int


def find_pairs(some: DataFrame, others: DataFrame) -> Pairs:
    """The near-duplicate pairs of `some` with each other and with `others`, in any symmetry.

    Both frames have the columns of SCHEMA, each md5 once and in one of them only. Four differing bits leave one of five
    bands equal, so only what shares a band is compared: not all with all.
    """
    mine, known = (frame.drop_nulls("hashes") for frame in (some, pl.concat([some, others])))
    if mine.is_empty():
        return Pairs(_named(DataFrame(schema=_PAIR)), 0)
    turned = mine.select("md5", hash="hashes").with_columns(symmetry=pl.lit(list(range(len(_SYMMETRIES)))))
    turned = turned.explode("hash", "symmetry").with_columns(col("symmetry").cast(pl.UInt32))
    turned = turned.filter(col("hash").bitwise_count_ones().is_between(MIN_BITS, 64 - MIN_BITS))
    upright = known.select("md5", hash=col("hashes").list.first())
    candidates, omitted = _nearest(_candidates(turned, upright))
    similar = _correlating(candidates, known)
    # A pair of two of `some` is found from both sides, and an image that is symmetric in several symmetries.
    is_reversed = col("second").is_in(some["md5"].implode()) & (col("first") > col("second"))
    ordered = similar.with_columns(
        first=pl.when(is_reversed).then("second").otherwise("first"),
        second=pl.when(is_reversed).then("first").otherwise("second"),
    )
    found = ordered.unique(["first", "second"], keep="first", maintain_order=True).sort("distance", "first", "second")
    return Pairs(_named(found), omitted)


def _nearest(parts: Iterator[DataFrame]) -> tuple[DataFrame, int]:
    """The MAX_CANDIDATES nearest, and how many others there were when the search ended. Holds one part in memory."""
    nearest, seen = DataFrame(schema=_PAIR), 0
    for part in filter(len, parts):
        seen += part.height
        nearest = pl.concat([nearest, part]).sort("distance", "symmetry", "first", "second").head(MAX_CANDIDATES)
        if seen >= ENOUGH:
            break
    return nearest, seen - nearest.height


def _named(pairs: DataFrame) -> DataFrame:
    names = {place: symmetry.value for place, (_, symmetry) in enumerate(_SYMMETRIES)}
    return pairs.with_columns(col("symmetry").replace_strict(names, return_dtype=pl.String))


def _candidates(turned: DataFrame, upright: DataFrame) -> Iterator[DataFrame]:
    """Each candidate once, in parts: of those that share several bands, the first one gives it."""
    differing = col("hash") ^ col("hash_right")
    near = (differing.bitwise_count_ones() <= MAX_DISTANCE) & (col("md5") != col("md5_right"))
    for number, band in enumerate(_BANDS):
        is_first = pl.all_horizontal(True, *(_bits(differing, *earlier) != 0 for earlier in _BANDS[:number]))
        right = upright.with_columns(band=_bits(col("hash"), *band))
        for part in turned.with_columns(band=_bits(col("hash"), *band)).iter_slices(max(1, _JOINED // upright.height)):
            both = part.join(right, on="band").filter(near).filter(is_first)
            distance = differing.bitwise_count_ones()
            yield both.select("symmetry", first="md5", second="md5_right", distance=distance).select(list(_PAIR))


def _bits(value: pl.Expr, start: int, bits: int) -> pl.Expr:
    return value.floordiv(2**start).mod(2**bits)


def _correlating(near: DataFrame, known: DataFrame) -> DataFrame:
    """The pairs whose thumbnails correlate, the first one's in that symmetry."""
    wanted = known.filter(col("md5").is_in(pl.concat([near["first"], near["second"]]).implode()))
    grey = {md5: np.frombuffer(data, np.uint8) for md5, data in wanted.select("md5", "grey").iter_rows()}
    orders = _pixel_orders()
    similar = [
        _correlation(grey[first][orders[symmetry]], grey[second]) >= MIN_CORRELATION
        for first, second, _, symmetry in near.iter_rows()
    ]
    return near.filter(Series(similar, dtype=pl.Boolean))


def _correlation(first: Thumbnail, second: Thumbnail) -> float:
    """Pearson's correlation of two thumbnails; 1 for equal ones, even of one colour."""
    if (first == second).all():
        return 1
    one, other = first - first.mean(), second - second.mean()
    return float(one @ other / math.sqrt(float(one @ one) * float(other @ other) or 1))


# --- cache ------------------------------------------------------------------------------------------------------------


def lookup(path: Path, md5s: Series) -> DataFrame:
    """The cached rows of `md5s`, in the columns of SCHEMA."""
    return parquet_cache.read(path, SCHEMA).filter(col("md5").is_in(md5s.implode()))


def record(path: Path, rows: DataFrame) -> None:
    """Cache rows in the columns of SCHEMA. Raises StorageFailed."""
    parquet_cache.add(path, rows, SCHEMA, ["md5"])


def to_frame(fingerprints: Mapping[str, Fingerprint | None]) -> DataFrame:
    """The fingerprint of each MD5, in the columns of SCHEMA; null where there is none."""
    rows = [
        (md5, *((list(found.hashes), found.grey) if found else (None, None))) for md5, found in fingerprints.items()
    ]
    return DataFrame(rows, dict(SCHEMA), orient="row")
