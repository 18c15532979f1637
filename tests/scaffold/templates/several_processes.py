"""Runs the template's train.py of the current folder in one of several processes, on the CPU, as on GPUs.

Batches are normalised over all processes: `nn.SyncBatchNorm`, which does it on GPUs, refuses the CPU. With `--die` the
last process ends in the second epoch, without a word. Where $READS is a folder, each process writes there which images
it read from shards.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

from registry.model.input_images import Encoded
from registry.model.training_data import ShardedImages


class BatchNormOfAll(nn.BatchNorm2d):
    """Normalisation with mean and variance over the images of all processes, computed in double precision."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and distributed.is_initialized()):
            return super().forward(x)
        exact = x.double()
        number = torch.full_like(exact[0, :, 0, 0], x.numel() / x.shape[1])
        total, squares, count = all_reduce(torch.stack([exact.sum((0, 2, 3)), exact.square().sum((0, 2, 3)), number]))
        mean = total / count
        variance = squares / count - mean.square()
        with torch.no_grad():
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).float(), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight / (variance + self.eps).sqrt()
        return (exact * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).float()


def end_in_the_second_epoch(batches):
    """`training_batches` whose last process is gone in the second epoch."""

    def until_then(split, size, seed, epoch, place, *, flip):
        if epoch == 2 and place.rank == place.size - 1:
            os._exit(9)
        return batches(split, size, seed, epoch, place, flip=flip)

    return until_then


def log_reads(folder: Path) -> None:
    """Write the paths of images that are read from shards to a file of this process."""
    read = ShardedImages.read

    def logged(images: ShardedImages, rows: Sequence[int]) -> Iterator[Sequence[Encoded]]:
        for part in read(images, rows):
            with (folder / os.environ["RANK"]).open("a") as file:
                file.writelines(f"{image.path}\n" for image in part)
            yield part

    ShardedImages.read = logged


def main() -> None:
    """Train."""
    nn.BatchNorm2d = BatchNormOfAll
    if "READS" in os.environ:
        log_reads(Path(os.environ["READS"]))
    sys.path.insert(0, str(Path.cwd()))
    train = __import__("train")
    if "--die" in sys.argv:
        sys.argv.remove("--die")
        train.training_batches = end_in_the_second_epoch(train.training_batches)
    train.main()


if __name__ == "__main__":
    main()
