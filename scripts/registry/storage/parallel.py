"""Work spread over an executor: a map over partitions that tells how far it is, and stops when one of them fails."""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TYPE_CHECKING, Any

from registry.core.progress import Progress
from registry.errors import StorageFailed

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess


PART = 64  # objects in one task of an executor
ROUNDS = 8  # tasks for each lane, at least: with few of them most lanes wait for the last one


def spread(
    work: Callable[[Sequence[Any]], list[tuple]],
    items: Sequence[Any],
    *,
    lanes: int,
    progress: Progress | None,
    executor: Executor | None,
) -> list[tuple]:
    """`work` over partitions of `items`; each row's second field is the bytes that it moved. Keeps the items' order."""
    step = max(1, min(PART, len(items) // (lanes * ROUNDS)))
    parts = [items[start : start + step] for start in range(0, len(items), step)]
    done: dict[int, list[tuple]] = {}
    with nullcontext(executor) if executor else ThreadPoolExecutor(lanes) as pool:
        futures = {pool.submit(work, part): number for number, part in enumerate(parts)}
        try:
            for future in as_completed(futures):
                rows = done[futures[future]] = future.result()
                if progress:
                    progress(len(rows), sum(row[1] for row in rows))
        except BrokenExecutor as error:
            fix = "free memory, then run the same command again: what was stored stays"
            raise StorageFailed("a worker was killed, perhaps for want of memory", fix=fix) from error
        finally:
            for future in futures:  # after a failure or Ctrl-C; those that are done do not mind
                future.cancel()
    return [row for number in range(len(parts)) for row in done[number]]


def processes() -> Executor:
    """A process for each processor, none of which outlives this one."""
    # Spawned: a forked process would inherit the locks of threads that it does not have.
    return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _follow_parent)


def _follow_parent() -> None:
    """In a worker: Ctrl-C is for the parent to act on, and when the parent is killed, nobody is left behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with, args=(parent_process(),), daemon=True).start()


def _leave_with(parent: "BaseProcess") -> None:
    parent.join()
    os._exit(1)
