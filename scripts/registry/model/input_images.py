"""Decodes an image the way a model file declares; training and judging call the same function."""

import io
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import IO, NamedTuple

import numpy
from PIL import Image, ImageOps

from registry.dataset import decoding
from registry.integrations import hardware
from registry.model.model_file import Crop, Filter, ImageInput
from registry.storage import parallel

FILTERS = {one: Image.Resampling[one.name] for one in Filter}
PER_WORKER = 256  # fewer images are decoded sooner by threads than another process has started


class Encoded(NamedTuple):
    """An image as a file: its path, which messages name, and its bytes; where these are None, the path is opened."""

    path: Path
    data: bytes | None = None

    @property
    def file(self) -> Path | IO[bytes]:
        """What a decoder opens."""
        return self.path if self.data is None else io.BytesIO(self.data)


class UndecodableImage(Exception):
    """An image that Pillow cannot decode."""


def decode(file: Path | IO[bytes], given: ImageInput) -> numpy.ndarray:
    """One image of any size and mode as (size, size, 3) uint8: upright, in RGB, cropped and scaled as declared.

    Raises UndecodableImage.
    """
    try:
        with Image.open(file, formats=("JPEG", "PNG", "WEBP")) as image:
            enough = math.ceil(2 * given.size / given.fraction)
            image.draft("RGB", (enough, enough))  # lets a JPEG skip detail that scaling would throw away
            # Not ImageOps.exif_transpose, which writes the EXIF again and so fails on a photo whose EXIF is broken.
            turn = decoding.TO_UPRIGHT.get(decoding.orientation(image))
            colors = decoding.to_rgb(image)
            upright = colors if turn is None else colors.transpose(turn)
            return numpy.asarray(_to_square(upright, given))
    except decoding.FAULTS as error:
        raise UndecodableImage(str(error)) from error


def decode_all(parts: Iterable[Sequence[Encoded]], given: ImageInput, workers: int = 0) -> Iterator[numpy.ndarray]:
    """Each image of all parts, in their order, decoded in so many processes; fewer than two: in threads of this one.

    Raises UndecodableImage, with the path, and MemoryError where a process was killed.
    """
    with _pool(workers) as pool:
        try:
            for images in parts:
                yield from pool.map(partial(_decode_named, given=given), images, chunksize=32)
        except BrokenExecutor as error:
            raise MemoryError("a process that decodes images was killed") from error


def useful_workers(images: int, sharing: int = 1) -> int:
    """The processes to decode so many images with, where `sharing` programs do so on this machine at once."""
    return min(hardware.cores() // sharing, images // PER_WORKER)


def _pool(workers: int) -> Executor:
    if workers < 2:
        return ThreadPoolExecutor()
    # Forked where that is sound: a fresh process imports the program that decodes, with PyTorch. No lock of another
    # thread is needed to decode, and none touches a GPU.
    start = get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, start, parallel.follow_parent)
    pool.submit(int)  # forks them now, before a thread reads the images
    return pool


def _decode_named(image: Encoded, given: ImageInput) -> numpy.ndarray:
    try:
        return decode(image.file, given)
    except UndecodableImage as error:
        raise UndecodableImage(f"{image.path}: cannot be decoded ({error})") from error


def _to_square(image: Image.Image, given: ImageInput) -> Image.Image:
    size, method = (given.size, given.size), FILTERS[given.filter]
    if given.crop is Crop.STRETCH:
        return image.resize(size, method)
    if given.crop is Crop.PAD:
        return ImageOps.pad(image, size, method, color="black")
    if given.fraction == 1:
        return ImageOps.fit(image, size, method)
    side = given.fraction * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize(size, method, box=(left, top, left + side, top + side))
