"""What Pillow needs help with when it decodes photographs: orientation, modes, and what it raises for damaged files."""

from PIL import ExifTags, Image

TO_UPRIGHT = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for damaged images (see `image_formats`), and for a few bytes that say they are gigapixels.
FAULTS = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, MemoryError, RuntimeError),
    Image.DecompressionBombError,
)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF is broken."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except FAULTS:
        return 1
    return value if isinstance(value, int) else 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; 16-bit pixels keep their upper eight bits (Pillow would clip), transparent ones become white."""
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")
