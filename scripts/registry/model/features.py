"""Runs a backbone, a model that gives features, on images: each image once, as `feature_memory` remembers it.

An image is run alone and on one thread, and several images at a time: what a sum gives in its last bits depends on the
batch and on the number of threads, so that an image would have other features beside other images. Threads are enough:
Pillow and onnxruntime release the interpreter's lock while they work.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy
import onnxruntime

from registry.core.model_values import FEATURES
from registry.errors import Refused
from registry.model import feature_memory, model_file, onnx_process, onnx_session, tasks
from registry.model.feature_memory import Source, View
from registry.model.input_images import Encoded, UndecodableImage, decode
from registry.model.model_file import ImageInput
from registry.model.training_data import Images

KEPT = 64  # images after which features are written to the memory, so that a killed run loses no more


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a backbone gives for images, in their order: float32 (images, D); `mirrored` is None where not asked for.

    `run` counts the views (images, and their mirror images) that were run for it, `views` all that it consists of.
    """

    upright: numpy.ndarray
    mirrored: numpy.ndarray | None
    run: int
    views: int


@dataclass(frozen=True, slots=True)
class Backbone:
    """A model file that gives features, by what is remembered of it."""

    path: Path
    source: Source


def load(path: Path) -> Backbone:
    """A backbone, judged in its form. Raises NotFound, InvalidData where it is not a file that gives features."""
    declared = onnx_process.inspect(path, tasks.outputs(FEATURES))
    return Backbone(path, Source(_md5(path), declared.input, declared.features))


def extract(
    backbone: Backbone,
    images: Images,
    memory: Path,
    progress: Callable[[int], None] = lambda _: None,
    *,
    mirror: bool = False,
) -> Features:
    """The features of images, with those of their mirror images where `mirror` says so.

    `progress` is called with how many more of the views are known. Raises Refused for an image that cannot be decoded,
    StorageFailed where the file `memory` cannot be used.
    """
    md5s = images.md5s()
    rows = {md5: row for row, md5 in enumerate(md5s)}
    views = [View(md5, mirrored) for mirrored in ((False, True) if mirror else (False,)) for md5 in rows]
    with feature_memory.open_memory(memory, backbone.source) as remembered:
        found = remembered.find(views)
        progress(len(found))
        missing = [view for view in views if view not in found]
        for made in _run(backbone, missing, images, rows):
            remembered.keep(made)
            found |= made
            progress(len(made))
    width = backbone.source.width
    upright, mirrored = (_stack([View(md5, flag) for md5 in md5s], found, width) for flag in (False, True))
    return Features(upright, mirrored if mirror else None, len(missing), len(views))


def _stack(views: Sequence[View], found: Mapping[View, numpy.ndarray], width: int) -> numpy.ndarray:
    table = numpy.zeros((len(views), width), numpy.float32)
    for row, view in zip(table, views, strict=True):
        row[:] = found.get(view, 0)
    return table


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _run(
    backbone: Backbone, views: Sequence[View], images: Images, rows: Mapping[str, int]
) -> Iterator[dict[View, numpy.ndarray]]:
    """The features of views, some at a time; each image is read once. Raises Refused."""
    if not views:
        return
    session, given = onnx_session.open_session(backbone.path, 1, use_gpu=onnx_session.has_gpu()), backbone.source.input
    wanted: dict[int, list[View]] = {}
    for view in views:
        wanted.setdefault(rows[view.md5], []).append(view)
    ascending = sorted(wanted)
    left = iter(ascending)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in images.read(ascending):
            todo = [(view, image) for image, row in zip(part, left, strict=False) for view in wanted[row]]
            for some in (todo[start : start + KEPT] for start in range(0, len(todo), KEPT)):
                made = pool.map(lambda one: _run_one(session, one[1], given, mirror=one[0].mirrored), some)
                yield dict(zip([view for view, _ in some], made, strict=True))


def _run_one(
    session: onnxruntime.InferenceSession, image: Encoded, given: ImageInput, *, mirror: bool
) -> numpy.ndarray:
    try:
        pixels = decode(image.file, given)
    except UndecodableImage as error:
        fix = "exclude the image in dataset.yaml, then build"
        raise Refused(f"{image.path} cannot be decoded: {error}", fix=fix) from error
    seen = numpy.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels
    (made,) = session.run([FEATURES], {model_file.IMAGES: seen[None]})
    values: numpy.ndarray = made[0]
    if not numpy.isfinite(values).all():
        raise Refused(
            f"the backbone gives features of {image.path} that are not finite numbers", fix="use another backbone"
        )
    return values
