"""A dataset's images as tensors: decoded once, kept on the device, handed out in batches."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import Tensor
from tqdm import tqdm

from registry.model import input_images
from registry.model.input_images import UndecodableImage
from registry.model.model_file import ImageInput

MEMORY_SHARE = 0.5  # of the GPU's free memory that one split may take; a larger one is copied batch by batch


@dataclass(frozen=True, slots=True)
class Split:
    """N images sorted by path: pixels (N, S, S, 3) uint8, and each label's index in `classes`, -1 if unknown."""

    paths: list[Path]
    images: Tensor
    targets: Tensor


def choose_device() -> torch.device:
    """The GPU if there is one, else the CPU with one thread.

    With several threads, sums depend on the number of cores, so that another machine trains another model; and torch
    2.13 crashed in the backward pass of small layers (oneDNN: 6 of 16 runs at width 4 on two threads, none on one).
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(1)
    return torch.device("cpu")


def image_paths(split: Path) -> list[Path]:
    """The images <label>/<uuid>.jpg of a split, sorted; empty if the split does not exist."""
    return sorted(path for path in split.glob("*/*") if not path.name.startswith("."))


def find_classes(data: Path) -> list[str]:
    """The labels of the training split, sorted."""
    classes = sorted({path.parent.name for path in image_paths(data / "train")})
    if not classes:
        raise SystemExit(f"{data / 'train'}: no images; run `dvc pull`, or build the dataset")
    if len(classes) == 1:
        raise SystemExit(f"{data / 'train'}: {classes[0]!r} is the only label, expected at least two")
    return classes


def load_split(split: Path, classes: list[str], size: int, device: torch.device) -> Split:
    """Decode all images of a split, in threads (Pillow releases the GIL while it decodes)."""
    paths = image_paths(split)
    images = torch.empty(len(paths), size, size, 3, dtype=torch.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda path: decode(path, size), paths)
        for row, pixels in zip(images.numpy(), tqdm(decoded, f"read {split.name}", len(paths), delay=2), strict=True):
            row[:] = pixels
    indices = {label: index for index, label in enumerate(classes)}
    targets = torch.tensor([indices.get(path.parent.name, -1) for path in paths], dtype=torch.int64)
    location = device if fits(images, device) else "cpu"
    return Split(paths, images.to(location), targets.to(location))


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether a split can stay in the device's memory."""
    return device.type == "cpu" or images.nbytes <= MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]


def decode(path: Path, size: int) -> numpy.ndarray:
    """One image as (size, size, 3) uint8, decoded as the judge decodes it for this model."""
    try:
        return input_images.decode(path, ImageInput(size))
    except UndecodableImage as error:
        raise SystemExit(f"{path}: cannot be decoded ({error}); exclude it in dataset.yaml") from error


def batches(split: Split, order: Tensor, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and targets on the device, in this order, in batches of nearly equal length, at most `size`."""
    location = split.images.device
    stream = None if location.type == device.type else torch.cuda.Stream(device)
    for rows in order.to(location).tensor_split(math.ceil(len(order) / size)):
        batch = split.images[rows], split.targets[rows]
        yield batch if stream is None else copy_async(stream, batch)


def copy_async(stream: torch.cuda.Stream, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Copy a batch from pinned memory while the GPU still computes on the previous one."""
    with torch.cuda.stream(stream):
        images, targets = (part.pin_memory().to(stream.device, non_blocking=True) for part in batch)
    computing = torch.cuda.current_stream(stream.device)
    computing.wait_stream(stream)
    images.record_stream(computing)
    targets.record_stream(computing)
    return images, targets


def augment(images: Tensor, flip: bool) -> Tensor:
    """Shift each image by up to an eighth of its size (edge pixels are repeated); with `flip`, mirror half of them."""
    count, size, device = len(images), images.shape[1], images.device
    limit = size // 8
    shift = torch.randint(-limit, limit + 1, (2, count, 1), device=device)
    rows, columns = (torch.arange(size, device=device) + shift).clamp(0, size - 1)
    if flip:
        columns = torch.where(torch.rand(count, 1, device=device) < 0.5, columns, columns.flip(1))
    return images[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]
