"""A parallel map over Python's Executor interface: threads by default, processes or a cluster on demand."""

import gc
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TYPE_CHECKING, Protocol, TypeVar

from registry.core.progress import Progress
from registry.errors import StorageFailed
from registry.storage.once import once

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess


PARTITION = 64  # items in one task of an executor, at most, unless asked otherwise
CLUSTER_PARTITION = 1000  # of a cluster, where a task costs 3 ms beside its work
TASKS_PER_WORKER = 8  # at least: with few tasks most workers wait for the last one


class Moved(Protocol):
    """A result that knows how many bytes were read or written for it, for progress."""

    @property
    def moved(self) -> int:
        """Bytes."""


class Cluster(Executor):
    """An executor whose `workers` are processes that have this code, and reach the stores that are shared.

    `is_here`: they are on this machine, and have its folders too.
    """

    workers: int
    is_here: bool


Item = TypeVar("Item")
Result = TypeVar("Result", bound=Moved)


def parallel_map(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    concurrency: int,
    progress: Progress | None = None,
    executor: Executor | None = None,
    most: int = PARTITION,
) -> list[Result]:
    """`work` of every item, in the items' order. The first exception ends it; tasks that have not begun are cancelled.

    `concurrency` is the number of threads where no `executor` is given, of workers where one is, and of threads in each
    worker of a cluster; with one that uses other processes, `work` and the items are pickled. `most` is the number of
    items in one task, at most, but for a cluster. Raises StorageFailed when a worker process dies.
    """
    if isinstance(executor, Cluster):
        task = partial(_map_in_threads, work, concurrency)
        size = _partition(len(items), executor.workers, CLUSTER_PARTITION)
    else:
        task, size = partial(_map, work), _partition(len(items), concurrency, most)
    partitions = [items[start : start + size] for start in range(0, len(items), size)]
    done: dict[int, list[Result]] = {}
    with nullcontext(executor) if executor else ThreadPoolExecutor(concurrency) as pool:
        futures = {pool.submit(task, part): number for number, part in enumerate(partitions)}
        try:
            for future in as_completed(futures):
                results = done[futures[future]] = future.result()
                if progress:
                    progress(len(results), sum(result.moved for result in results))
        except BrokenExecutor as error:
            raise StorageFailed(
                "a worker process was killed, perhaps because memory ran out",
                fix="free memory, then run the same command again: it continues where it stopped",
            ) from error
        finally:
            for future in futures:  # after a failure or Ctrl-C; without effect on those that are done
                future.cancel()
    return [result for number in range(len(partitions)) for result in done[number]]


def _partition(items: int, workers: int, most: int) -> int:
    return max(1, min(most, items // (workers * TASKS_PER_WORKER)))


def _map_in_threads(work: Callable[[Item], Result], concurrency: int, items: Sequence[Item]) -> list[Result]:
    """In a worker of a cluster: all its tasks share its threads."""
    return list(once(ThreadPoolExecutor, concurrency).map(work, items))


def _map(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]


def processes() -> Executor:
    """A process for each processor; all of them end with this one."""
    # Spawned: a forked process would inherit locks without the threads that hold them.
    return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), follow_parent)


def follow_parent() -> None:
    """In a worker: ignore Ctrl-C, which the parent handles, and exit when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(50_000, 20, 20)  # as of a command (cli.main)
    if parent := parent_process():
        Thread(target=_exit_with, args=(parent,), daemon=True).start()


def _exit_with(parent: "BaseProcess") -> None:
    parent.join()
    os._exit(1)
