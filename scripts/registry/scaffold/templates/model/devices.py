"""Where a training runs: on a GPU or the CPU, in one process or in several that torchrun started on one machine."""

import errno
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Rows = TypeVar("Rows", Tensor, range)


@dataclass(frozen=True, slots=True)
class Place:
    """The device of a process, and its rank among `size` processes."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that reports and writes files."""
        return self.rank == 0

    @property
    def has_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def share(self, rows: Rows) -> Rows:
        """The rows, a slice, that this process works on; the shares differ in length by one at most."""
        bounds = [len(rows) * rank // self.size for rank in (self.rank, self.rank + 1)]
        return rows[slice(*bounds)]

    def gather(self, share: Tensor, count: int) -> Tensor:
        """All `count` rows of bytes, of which each process has its share; on the CPU, in memory of all processes."""
        if self.size == 1:
            return share
        shape = (count, *share.shape[1:])
        if count and not share.is_cuda and sys.platform == "linux":
            rows = self._shared(shape)
            self.share(rows)[:] = share
            distributed.barrier()
            return rows
        rows = torch.empty(shape, dtype=share.dtype, device=share.device)
        self.share(rows)[:] = share
        for rank in range(self.size):
            distributed.broadcast(Place(self.device, rank, self.size).share(rows), src=rank)
        return rows

    def _shared(self, shape: tuple[int, ...]) -> Tensor:
        """Bytes in a file without a name, which every process maps; it is gone with the last of them."""
        size, names = math.prod(shape), [""]
        with tempfile.TemporaryFile() as file:  # in $TMPDIR; /dev/shm has 64 MB in a container
            if self.is_first:
                os.posix_fallocate(file.fileno(), 0, size)  # or a full disk would end the process at its first write
                names = [f"/proc/{os.getpid()}/fd/{file.fileno()}"]
            distributed.broadcast_object_list(names)
            rows = torch.from_file(names[0], shared=True, size=size, dtype=torch.uint8)
            distributed.barrier()
        return rows.view(shape)

    def total(self, numbers: Tensor) -> Tensor:
        """The sum of these numbers over all processes."""
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers


def find_place() -> Place:
    """The GPU of this process if there is one, else the CPU with one thread.

    With several threads, sums depend on the number of cores, so that another machine trains another model; and torch
    2.13 crashed in the backward pass of small layers (oneDNN: 6 of 16 runs at width 4 on two threads, none on one).
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        return Place(torch.device("cpu"), rank, size)
    if size > (count := torch.cuda.device_count()):
        raise SystemExit(f"{size} processes, but {count} GPU(s); write --nproc-per-node {count} in dvc.yaml")
    # On another GPU the bytes differ in any case, and `registry reproduce` compares metrics: so cuDNN may try its
    # algorithms on the first batches, and keep the fastest instead of the deterministic ones.
    torch.backends.cudnn.benchmark = True
    torch.cuda.set_device(rank)
    return Place(torch.device("cuda", rank), rank, size)


@contextmanager
def connected(place: Place) -> Iterator[None]:
    """Connect the processes with each other, if there are several."""
    if place.size > 1:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if place.has_gpu else "gloo")
    yield
    if place.size > 1:  # not after an error: the others may wait for this process, which torchrun ends by its exit code
        distributed.destroy_process_group()


def move(network: nn.Module, place: Place) -> nn.Module:
    """The network on the device, its memory in the order that is fast for convolutions (channels last).

    Several GPUs normalise over a whole batch, as one does. nn.SyncBatchNorm needs a GPU: on the CPU, where several
    processes are for trials, each normalises over its part.
    """
    if place.size > 1 and place.has_gpu:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network.to(place.device, memory_format=torch.channels_last)


def for_training(network: nn.Module, place: Place, *, compiled: bool) -> nn.Module:
    """The same weights; in several processes with the mean of their gradients, and compiled if asked."""
    trained = nn.parallel.DistributedDataParallel(network) if place.size > 1 else network
    return torch.compile(trained) if compiled else trained


def half_precision(place: Place) -> torch.autocast:
    """bfloat16 on a GPU, full precision on the CPU."""
    return torch.autocast(place.device.type, torch.bfloat16, enabled=place.has_gpu)


@contextmanager
def one_line_if_memory_is_short() -> Iterator[None]:
    """Say in one line that memory ran out, and what helps."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise SystemExit(f"{tempfile.gettempdir()} is full; set TMPDIR to one with space for the images") from error
    except (MemoryError, RuntimeError) as error:  # on the CPU, torch raises a plain RuntimeError
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        reason = str(error).partition("\n")[0]
        raise SystemExit(f"out of memory; lower batch_size, width or image_size in params.yaml ({reason})") from error
