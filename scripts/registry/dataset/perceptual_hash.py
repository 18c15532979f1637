"""Which images look the same: what is kept of each by its MD5, and the pairs that hardly differ in it.

A 64-bit hash compares neighbours of a 9 × 8 grey picture (dHash): scaling and re-encoding change few of its bits.
Blank backgrounds make strangers alike in it, so a pair must also agree in a 16 × 16 grey picture.
"""

import statistics
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl
from PIL import Image
from polars import DataFrame, Series, col

from registry.core.atomic_write import write_atomically
from registry.dataset import contact_sheets, image_validation

PATH = "registry/likeness.1.parquet"  # in DVC's cache, beside the images; count up when `look` gives others
NEAR = 4  # bits in which two images that look the same may differ
# What the grey pictures of such a pair agree in, as a correlation. Of 2,000 digits of MNIST 3,541 pairs are near, and 3
# agree so much; re-encoded, scaled and brightened photographs agree in 0.996 and more, cropped by 1% in 0.986.
AGREED = 0.985
PLAIN = 8  # bits that are set and not, at least, where an image shows enough to be told from others

FORM = {"md5": pl.String, "hash": pl.UInt64, "grey": pl.Binary}  # hash and grey are null where `look` says nothing
_PAIR = {"first": pl.String, "second": pl.String, "distance": pl.UInt32}
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # start, bits: of five, one is equal where four bits differ
_SLICE = 16  # hashes that are looked for at a time, so that the candidates fit into memory
_MOST = 10_000  # near pairs whose grey pictures are compared, nearest first: 60 µs each

Fingerprint = tuple[int, bytes]


def fingerprint(data: bytes) -> Fingerprint | None:
    """The hash and the grey picture of an image's bytes; None where it cannot be decoded, or shows too little."""
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > image_validation.MAX_PIXELS:
                return None
            image.draft("L", (72, 64))  # lets a JPEG skip detail that scaling would throw away
            turn = contact_sheets.TO_UPRIGHT.get(contact_sheets.orientation(image))
            grey = contact_sheets.to_rgb(image).convert("L")
    except (*contact_sheets.FAULTS, Image.DecompressionBombError):
        return None
    upright = grey if turn is None else grey.transpose(turn)
    small, large = (upright.resize(size, Image.Resampling.BOX).tobytes() for size in ((9, 8), (16, 16)))
    found = _differences(small)
    return (found, large) if PLAIN <= found.bit_count() <= 64 - PLAIN else None


def _differences(grey: bytes) -> int:
    """A bit for each of the 64 pixels that is darker than its right neighbour, in rows of nine."""
    found = 0
    for row in range(0, 72, 9):
        for place in range(row, row + 8):
            found = found << 1 | (grey[place] < grey[place + 1])
    return found


# --- pairs ------------------------------------------------------------------------------------------------------------


def find_pairs(some: DataFrame, others: DataFrame) -> DataFrame:
    """The pairs of `some` with each other, and with `others`, that look the same: columns first, second, distance.

    Both frames have the columns of FORM, each md5 once and in one of them only. Nearest first. Four differing
    bits leave one of five bands equal, so only what shares a band is compared: not all with all.
    """
    mine, known = (frame.drop_nulls("hash") for frame in (some, pl.concat([some, others])))
    found = [frame for band in _BANDS for frame in _sharing(mine, known, *band)]
    # A pair of two of `some` is found from both sides.
    twice = col("second").is_in(some["md5"].implode()) & (col("first") > col("second"))
    every = pl.concat([DataFrame(schema=_PAIR), *found]).unique(["first", "second"]).filter(~twice)
    return _agreeing(every.sort("distance", "first", "second").head(_MOST), known)


def _sharing(some: DataFrame, known: DataFrame, start: int, bits: int) -> Iterator[DataFrame]:
    band = ((col("hash") // 2**start) % 2**bits).alias("band")
    right = known.select("md5", "hash", band)
    differing = (col("hash") ^ col("hash_right")).bitwise_count_ones()
    for part in some.select("md5", "hash", band).iter_slices(_SLICE):
        both = part.join(right, on="band").filter(differing <= NEAR, col("md5") != col("md5_right"))
        yield both.select(first="md5", second="md5_right", distance=differing)


def _agreeing(near: DataFrame, known: DataFrame) -> DataFrame:
    wanted = known.filter(col("md5").is_in(pl.concat([near["first"], near["second"]]).implode()))
    grey = dict(wanted.select("md5", "grey").iter_rows())
    agreed = [_agree(grey[first], grey[second]) for first, second, _ in near.iter_rows()]
    return near.filter(Series(agreed, dtype=pl.Boolean))


def _agree(first: bytes, second: bytes) -> bool:
    return first == second or statistics.correlation(first, second) >= AGREED


# --- memory -----------------------------------------------------------------------------------------------------------


def lookup(path: Path, md5s: Series) -> DataFrame:
    """What is known of those of `md5s` that were looked at before: the columns of FORM."""
    return _read(path).filter(col("md5").is_in(md5s.implode()))


def record(path: Path, looks: DataFrame) -> None:
    """Remember looks (the columns of FORM). Losing the file costs time alone. Raises StorageFailed."""
    out = BytesIO()
    both = pl.concat([looks, _read(path)]).unique("md5", keep="first", maintain_order=True)
    both.write_parquet(out, compression="zstd", compression_level=1)
    write_atomically(path, out.getvalue())


def to_frame(looks: dict[str, Fingerprint | None]) -> DataFrame:
    """What `look` says of the image under each md5, in the columns of FORM."""
    rows = [(md5, *(found or (None, None))) for md5, found in looks.items()]
    return DataFrame(rows, FORM, orient="row")


def _read(path: Path) -> DataFrame:
    """All notes; none where the file is missing, broken or of another form."""
    try:
        notes = pl.read_parquet(BytesIO(path.read_bytes()))
    except (OSError, pl.exceptions.PolarsError):
        return DataFrame(schema=FORM)
    return notes if notes.schema == FORM else DataFrame(schema=FORM)
