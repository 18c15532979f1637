"""Decodes an image the way a model file declares; training and judging call the same function."""

import math
from pathlib import Path

import numpy
from PIL import Image, ImageOps

from registry.dataset import decoding
from registry.model.model_file import Crop, Filter, ImageInput

FILTERS = {one: Image.Resampling[one.name] for one in Filter}


class UndecodableImage(Exception):
    """An image that Pillow cannot decode."""


def decode(path: Path, given: ImageInput) -> numpy.ndarray:
    """One image of any size and mode as (size, size, 3) uint8: upright, in RGB, cropped and scaled as declared.

    Raises UndecodableImage.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
            enough = math.ceil(2 * given.size / given.fraction)
            image.draft("RGB", (enough, enough))  # lets a JPEG skip detail that scaling would throw away
            # Not ImageOps.exif_transpose, which writes the EXIF again and so fails on a photo whose EXIF is broken.
            turn = decoding.TO_UPRIGHT.get(decoding.orientation(image))
            colors = decoding.to_rgb(image)
            upright = colors if turn is None else colors.transpose(turn)
            return numpy.asarray(_to_square(upright, given))
    except (*decoding.FAULTS, Image.DecompressionBombError) as error:
        raise UndecodableImage(str(error)) from error


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
