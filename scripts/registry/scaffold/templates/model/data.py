"""A dataset's images as tensors: read and decoded once in parallel, kept on the device, handed out in batches."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from devices import Place
from torch import Tensor
from tqdm import tqdm

from registry.errors import RegistryError
from registry.model import input_images
from registry.model.input_images import UndecodableImage
from registry.model.model_file import ImageInput
from registry.model.training_data import Images, open_splits

MEMORY_SHARE = 0.5  # of the GPU's free memory that one split may take; a larger one is copied batch by batch


@dataclass(frozen=True, slots=True)
class Split:
    """N images in their order: pixels (N, S, S, 3) uint8, and each label's index in `classes`, -1 if unknown."""

    images: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process has of a batch of `total` images, on its device."""

    images: Tensor
    targets: Tensor
    total: int


def open_images(data: Path, *, from_shards: bool) -> Mapping[str, Images]:
    """The images of each split, in the folder or in the shards of the release: the same ones, in the same order."""
    try:
        return open_splits(data, from_shards=from_shards)
    except RegistryError as error:
        raise SystemExit(f"error: {error}") from error


def find_classes(data: Path, images: Mapping[str, Images]) -> list[str]:
    """The labels of the training split, sorted. Test images must exist, too: better seen before a long training."""
    classes = sorted({path.parent.name for path in images["train"].paths})
    if not classes:
        raise SystemExit(f"{data / 'train'}: no images; run `dvc pull`, or build the dataset")
    if len(classes) == 1:
        raise SystemExit(f"{data / 'train'}: {classes[0]!r} is the only label, expected at least two")
    if not images["test"].paths:
        fix = "run `dvc pull`; or give `test` a share of `split` in dataset.yaml, and run `registry build`"
        raise SystemExit(f"{data / 'test'}: no images to measure the model on; {fix}")
    return classes


def decode_split(name: str, images: Images, size: int, place: Place) -> Tensor:
    """The images of a split that this process decodes, (n, size, size, 3) uint8, as the judge decodes them."""
    rows = place.share(range(len(images.paths)))
    found = torch.empty(len(rows), size, size, 3, dtype=torch.uint8)
    workers = input_images.useful_workers(len(rows), place.size)
    decoded = input_images.decode_all(images.read(rows), ImageInput(size), workers)
    shown = tqdm(decoded, f"read {name}", len(rows), delay=2, disable=not place.is_first)
    try:
        for row, pixels in zip(found.numpy(), shown, strict=True):
            row[:] = pixels
    except UndecodableImage as error:
        raise SystemExit(f"{error}; exclude it in dataset.yaml") from error
    except RegistryError as error:
        raise SystemExit(f"error: {error}") from error
    return found


def load_split(name: str, images: Images, share: Tensor, classes: list[str], place: Place) -> Split:
    """A split of whose images this process has decoded its share: on the device, if it fits there."""
    indices = {label: index for index, label in enumerate(classes)}
    labels = [path.parent.name for path in images.paths]
    targets = torch.tensor([indices.get(label, -1) for label in labels], dtype=torch.int64)
    if place.is_first and (unknown := sorted({*labels} - indices.keys())):
        tqdm.write(f"{name}: no image in train is labelled {', '.join(unknown)}; the model will not know it")
    location = place.device if fits(len(labels) * math.prod(share.shape[1:]), place) else torch.device("cpu")
    return Split(place.gather(share.to(location), len(labels)), targets.to(location))


def fits(size: int, place: Place) -> bool:
    """Whether so many bytes can stay in the memory of each process's device."""
    lacks = place.has_gpu and size > MEMORY_SHARE * torch.cuda.mem_get_info(place.device)[0]
    return not place.total(torch.tensor(int(lacks), device=place.device)).item()


# --- batches ----------------------------------------------------------------------------------------------------------


def training_batches(split: Split, size: int, seed: int, epoch: int, place: Place, *, flip: bool) -> Iterator[Batch]:
    """One epoch: every image once. Seed, epoch and an image's index alone decide its place and augmentation."""
    random = numpy.random.default_rng([seed, epoch])
    count, limit = len(split.images), split.images.shape[1] // 8
    order = torch.from_numpy(random.permutation(count))
    shifts = torch.from_numpy(random.integers(-limit, limit, (count, 2), endpoint=True))
    mirrored = torch.from_numpy(random.random(count) < (0.5 if flip else 0))
    parts = (split.images, split.targets, *(part.to(split.images.device) for part in (shifts, mirrored)))
    for total, (images, targets, *how) in batches(parts, order, size, place):
        yield Batch(augment(images, *how), targets, total)


def validation_batches(split: Split, size: int, place: Place) -> Iterator[Batch]:
    """Every image of a split once, as it is."""
    order = torch.arange(len(split.images))
    for total, (images, targets) in batches((split.images, split.targets), order, size, place):
        yield Batch(images, targets, total)


def batches(
    parts: tuple[Tensor, ...], order: Tensor, size: int, place: Place
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """The lengths of batches, at most `size` and nearly equal, and this process's rows of each, on its device."""
    location = parts[0].device
    stream = torch.cuda.Stream(place.device) if location != place.device else None
    for rows in order.to(location).tensor_split(math.ceil(len(order) / size)):
        mine = place.share(rows)
        batch = tuple(part[mine] for part in parts)
        yield len(rows), batch if stream is None else copy_async(stream, batch)


def copy_async(stream: torch.cuda.Stream, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy a batch from pinned memory while the GPU still computes on the previous one."""
    with torch.cuda.stream(stream):
        copied = tuple(part.pin_memory().to(stream.device, non_blocking=True) for part in batch)
    computing = torch.cuda.current_stream(stream.device)
    computing.wait_stream(stream)
    for part in copied:
        part.record_stream(computing)
    return copied


def augment(images: Tensor, shifts: Tensor, mirrored: Tensor) -> Tensor:
    """Shift each image by `shifts` (N, 2) pixels, repeating those at the edge, and mirror those that are `mirrored`."""
    size = images.shape[1]
    rows, columns = (torch.arange(size, device=images.device) + shifts.T[..., None]).clamp(0, size - 1)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    first = torch.arange(len(images), device=images.device)
    return images[first[:, None, None], rows[:, :, None], columns[:, None, :]]
