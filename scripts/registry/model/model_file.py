"""The contract of a model file, `model.onnx`: what it declares about its classes and its input.

Input `images`, uint8 (N, S, S, 3), RGB; the outputs are those of its task (`tasks.outputs`). Two entries of the
file's metadata are JSON: `classes`, a list of names in the order of the scores (a file that gives features has none),
and `input`, an object:

- `size`: S, in pixels
- `crop`: `center` (the centre square, the default), `pad` (the whole image, with black bars), or `stretch` (the whole
  image, scaled to a square)
- `fraction`: of the shorter side that the centre square takes, above 0 and at most 1 (the default)
- `filter`: how pixels are scaled: `nearest`, `bilinear`, `bicubic` (the default), `lanczos`, `box` or `hamming`
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from registry.core import documents
from registry.errors import InvalidDocument

NAME, SIDECAR = "model.onnx", "model.onnx.data"
IMAGES = "images"  # the name of the input
CLASSES, INPUT = "classes", "input"  # keys of the metadata
ANY = "any"  # an axis of an output whose size, above 0, is the model's own
MAX_BYTES = 2**31 - 1  # of a protobuf message
MAX_SIZE = 4_096  # pixels per side
MAX_CLASSES = 10_000  # as many as a dataset's manifest may have
MAX_NAME = 200  # characters of a class
TOLERANCE = 2e-3  # by which a score may differ on other hardware, and in another batch


class Crop(StrEnum):
    """Which part of an image the model sees."""

    CENTER = "center"
    PAD = "pad"
    STRETCH = "stretch"


class Filter(StrEnum):
    """How pixels are scaled, as Pillow names it."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"
    HAMMING = "hamming"


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How an image becomes the model's input; `size` in pixels per side."""

    size: int
    crop: Crop = Crop.CENTER
    fraction: float = 1.0
    filter: Filter = Filter.BICUBIC


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a valid model file declares: its classes, in the order of the scores, and its input.

    A file that gives features has no classes, and `features` numbers for an image (0: it gives scores, or was not run).
    """

    classes: tuple[str, ...]
    input: ImageInput
    features: int = 0


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """An output that a task asks of its model files: float32 (N, *axes), of finite numbers.

    An axis is a size, CLASSES (one for each class), or ANY. `sums_to_one`: the values of an image are shares.
    `tolerance`: by how much a value (above 1: in proportion to it) may differ for the same image in another batch.
    """

    name: str
    axes: tuple[int | str, ...]
    sums_to_one: bool = False
    tolerance: float = TOLERANCE

    def shape(self, classes: int) -> tuple[int | None, ...]:
        """The sizes of the axes behind N, for a number of classes; None for one that is the model's own."""
        return tuple({CLASSES: classes, ANY: None}[axis] if isinstance(axis, str) else axis for axis in self.axes)


class InvalidMetadata(ValueError):
    """An entry of the metadata that does not follow the contract."""


def parse_metadata(metadata: Mapping[str, str], *, has_classes: bool = True) -> ModelFile:
    """The declared classes, where a file has to have them, and input. Raises InvalidMetadata."""
    classes = _classes(_json(metadata, CLASSES)) if has_classes else ()
    return ModelFile(classes, _input(_json(metadata, INPUT)))


def format_metadata(file: ModelFile) -> dict[str, str]:
    """The entries of the metadata that `parse_metadata` reads."""
    classes = {CLASSES: json.dumps(file.classes, ensure_ascii=False)} if file.classes else {}
    return {**classes, INPUT: format_input(file.input)}


def format_input(given: ImageInput) -> str:
    """The entry `input` of the metadata."""
    values = {"size": given.size, "crop": given.crop, "fraction": given.fraction, "filter": given.filter}
    return json.dumps(values)


def parse_input(text: str) -> ImageInput:
    """What `format_input` writes. Raises InvalidMetadata."""
    return _input(_json({INPUT: text}, INPUT))


def _json(metadata: Mapping[str, str], key: str) -> object:
    if key not in metadata:
        raise InvalidMetadata(f"the metadata has no entry `{key}`")
    try:
        return documents.read_json(metadata[key].encode(errors="surrogatepass"), key)
    except InvalidDocument as error:
        raise InvalidMetadata(f"`{key}` of the metadata: {error.fault}") from error


def _classes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidMetadata("`classes` of the metadata is not a list of names")
    if not 2 <= len(value) <= MAX_CLASSES:
        raise InvalidMetadata(f"`classes` has {len(value):,} names, expected 2 to {MAX_CLASSES:,}")
    if len(set(value)) < len(value):
        raise InvalidMetadata("`classes` has a name twice")
    if odd := [name for name in value if not name.isprintable() or not 1 <= len(name) <= MAX_NAME]:
        raise InvalidMetadata(
            f"`classes` has a name that is not printable text of 1 to {MAX_NAME} characters: {odd[0][:40]!r}"
        )
    return tuple(value)


def _input(value: object) -> ImageInput:
    if not isinstance(value, dict):
        raise InvalidMetadata("`input` of the metadata is not an object")
    if unknown := sorted(value.keys() - {"size", "crop", "fraction", "filter"}):
        raise InvalidMetadata(f"`input` has an unknown key {unknown[0][:40]!r}")
    size, fraction = value.get("size"), value.get("fraction", 1.0)
    if type(size) is not int or not 1 <= size <= MAX_SIZE:
        raise InvalidMetadata(f"`size` of `input` is {_short(size)}, expected pixels from 1 to {MAX_SIZE:,}")
    if type(fraction) not in {int, float} or not math.isfinite(fraction) or not 0 < fraction <= 1:
        raise InvalidMetadata(f"`fraction` of `input` is {_short(fraction)}, expected a number above 0 and at most 1")
    crop, scaling = _one_of(Crop, "crop", value.get("crop", Crop.CENTER)), value.get("filter", Filter.BICUBIC)
    return ImageInput(size, Crop(crop), float(fraction), Filter(_one_of(Filter, "filter", scaling)))


def _one_of(choices: type[StrEnum], key: str, value: object) -> str:
    names = [choice.value for choice in choices]
    if not isinstance(value, str) or value not in names:
        raise InvalidMetadata(f"`{key}` of `input` is {_short(value)}, expected {', '.join(names[:-1])} or {names[-1]}")
    return value


def _short(value: object) -> str:
    return repr(value)[:40]
