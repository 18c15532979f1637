"""Decodes an image the way a model file declares; training and judging call the same function."""

import math
from pathlib import Path

import numpy
from PIL import ExifTags, Image, ImageOps

from registry.model.model_file import Crop, Filter, ImageInput

TO_UPRIGHT = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FILTERS = {one: Image.Resampling[one.name] for one in Filter}


class UndecodableImage(Exception):
    """An image that Pillow cannot decode."""


def decode(path: Path, given: ImageInput) -> numpy.ndarray:
    """One image of any size and mode as (size, size, 3) uint8: upright, in RGB, cropped and scaled as declared.

    Raises UndecodableImage.
    """
    try:
        with Image.open(path) as image:
            enough = math.ceil(2 * given.size / given.fraction)
            image.draft("RGB", (enough, enough))  # lets a JPEG skip detail that scaling would throw away
            # Not ImageOps.exif_transpose, which writes the EXIF again and so fails on a photo whose EXIF is broken.
            turn = TO_UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            upright = to_rgb(image).transpose(turn) if turn is not None else to_rgb(image)
            return numpy.asarray(_to_square(upright, given))
    except (OSError, RuntimeError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
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


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; 16-bit pixels keep their upper eight bits (Pillow would clip), transparent ones become white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")
