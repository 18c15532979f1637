"""Whether bytes are a valid image: of the type of the key's extension, complete, undamaged, of a reasonable size."""

from registry.dataset import image_formats, jpeg_validation, png_validation, webp_validation
from registry.dataset.image_formats import BY_EXTENSION, Format, InvalidImage

EMPTY = "empty file"


def find_fault(key: str, data: bytes, *, lenient: bool = False) -> str | None:
    """What is wrong with the image under `key`, in one line; None for a valid one.

    A PNG with the extension `.jpg` is invalid: browsers, object stores and single-format decoders rely on the name. All
    pixels are decoded, and what the decoder warns of is a fault; `lenient` accepts its warnings, and nothing else.
    """
    expected = BY_EXTENSION.get(key.rpartition(".")[2].lower())
    if not data:
        return EMPTY
    if len(data) > image_formats.MAX_BYTES:
        return image_formats.describe_too_large(len(data))
    if expected is None:
        return f"the extension is not one of {', '.join(BY_EXTENSION)}"
    if (found := image_formats.detect(data)) != expected:
        what = f"{found}: {image_formats.RENAME}" if found else image_formats.describe_foreign(data)
        return f"expected {expected}, found {what}"
    return _decode(expected, data, lenient=lenient)


def _decode(expected: Format, data: bytes, *, lenient: bool) -> str | None:
    try:
        match expected:
            case Format.JPEG:
                jpeg_validation.require_sound(data, lenient=lenient)
            case Format.PNG:
                png_validation.require_sound(data)
            case Format.WEBP:
                webp_validation.require_sound(data)
    except InvalidImage as fault:
        return _one_line(str(fault))
    except MemoryError:
        return "decoding takes more memory than this machine has free"
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises at hostile bytes is a fault of the image
        return f"cannot be decoded: {_one_line(str(error))}"
    return None


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:180] or "damaged data"
