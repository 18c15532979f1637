"""A Dask cluster behind Python's Executor interface, with its errors in our words.

A task is a function of this package by its name, stores without their credentials, and keys: so every worker has this
code in this version, and a login of its own. What a task does can be done twice, as every command can be run again.
"""

import asyncio
import hashlib
import logging
import signal
import socket
import warnings
from asyncio import CancelledError as LoopCancelled
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast

import dask
import distributed
from dask.utils import parse_timedelta
from distributed import Client, KilledWorker, LocalCluster, Security, get_worker
from distributed.comm.core import CommClosedError
from distributed.comm.core import connect as connect_comm
from distributed.scheduler import NoValidWorkerError, NoWorkerError

from registry.core.extras import DISTRIBUTION
from registry.core.progress import waiting
from registry.core.schedulers import Scheduler
from registry.core.wording import join, plural
from registry.errors import ClusterFailed, RegistryError
from registry.storage.parallel import Cluster

AGAIN = "run the same command again: it continues where it stopped"
PATIENCE = "registry.workers-within"  # in Dask's configuration: how long to wait for a worker
CONNECT_WITHIN = "10s"
LOOK_EVERY = 2  # seconds between two looks whether there still is a worker
_PACKAGE = Path(__file__).parents[1]
_LOST = (CancelledError, LoopCancelled, CommClosedError, ConnectionError)
_STRANGE = (ImportError, AttributeError)  # where a task names what a worker does not have


@contextmanager
def connect(scheduler: Scheduler) -> Iterator["DaskCluster"]:
    """The cluster of a scheduler, which has a worker, and only workers with this code. Raises ClusterFailed."""
    _silence()
    with ExitStack() as stack, warnings.catch_warnings(action="ignore", category=UserWarning):
        _require_certificates(scheduler)
        with _translate(scheduler), waiting(f"connecting to {scheduler}"):
            place = stack.enter_context(_start(scheduler.workers)) if scheduler.is_here else _require_answer(scheduler)
            client = stack.enter_context(Client(place, timeout=CONNECT_WITHIN, set_as_default=False, name="registry"))
        with _translate(scheduler), waiting(f"waiting for a worker at {scheduler}"):
            workers = _find_workers(client, scheduler)
            _require_same(client, scheduler)
        yield stack.enter_context(DaskCluster(client, scheduler, workers))


def _start(workers: int) -> LocalCluster:
    # What is started here inherits the mask: Ctrl-C ends this process, which ends its workers. The tracker of
    # multiprocessing, where it is started first, takes the mask away.
    resource_tracker.ensure_running()
    unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # With certificates of its own: without them, any user of this machine could send it tasks.
        return LocalCluster(
            n_workers=workers, threads_per_worker=2, processes=True, security=True, dashboard_address=None,
            silence_logs=logging.CRITICAL, env={"PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)


def _require_answer(scheduler: Scheduler) -> str:
    """The address of a scheduler that answers in time: a client itself waits for ever for one that only listens."""

    async def ask() -> None:
        args = Security().get_connection_args("client")
        await (await connect_comm(scheduler.address, timeout=CONNECT_WITHIN, **args)).close()

    try:
        asyncio.run(asyncio.wait_for(ask(), parse_timedelta(CONNECT_WITHIN)))
    except TimeoutError:
        raise OSError(f"no answer within {CONNECT_WITHIN}") from None
    return scheduler.address


def _require_certificates(scheduler: Scheduler) -> None:
    """Raises ClusterFailed where Dask's configuration has none for tls://, or none that can be read."""
    if not scheduler.address.startswith("tls://"):
        return
    fault = f"{scheduler} needs the certificate of a client"
    try:
        if Security().get_connection_args("client")["ssl_context"]:
            return
    except OSError as error:  # ssl.SSLError is one
        fault = f"{scheduler}: the certificate of the client cannot be read: {error}"
    names = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
    fix = f"set {join([f'DASK_DISTRIBUTED__COMM__TLS__{name}' for name in names])} to files in PEM form"
    raise ClusterFailed(fault, fix=fix)


def _silence() -> None:
    """Keep what the libraries log to themselves: what matters of it is in our messages."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"distributed", "tornado", "asyncio"}:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _patience() -> float:
    return float(parse_timedelta(dask.config.get(PATIENCE, "60s")))


class DaskCluster(Cluster):
    """The workers of a scheduler. A future fails with ClusterFailed where none is left, or the scheduler is gone."""

    def __init__(self, client: Client, scheduler: Scheduler, workers: int) -> None:
        self._client, self._scheduler = client, scheduler
        self.workers, self.is_here = workers, scheduler.is_here
        self._pending: set[Future[Any]] = set()
        self._closed = Event()
        self._watch = Thread(target=self._look, daemon=True)
        self._watch.start()

    def __str__(self) -> str:
        return str(self._scheduler)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function in a worker; what it raises is that of RegistryError, with the worker's name."""
        future = Future[Any]()
        with _translate(self._scheduler):
            # Not pure: a second audit is not to be answered with the result of the first.
            task = self._client.submit(_run, code(), partial(fn, *args, **kwargs), pure=False)
        self._pending.add(future)
        future.add_done_callback(partial(self._forget, task))
        task.add_done_callback(partial(self._hand_over, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - of Executor
        """End looking after the workers; `connect` closes the connection, and the scheduler drops what is left."""
        self._closed.set()

    def _forget(self, task: "distributed.Future[Any]", future: Future[Any]) -> None:
        self._pending.discard(future)
        task.release()  # the last one for a task: the scheduler cancels it

    def _hand_over(self, future: Future[Any], task: "distributed.Future[Any]") -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            with _translate(self._scheduler):
                result = task.result()
        except BaseException as error:  # noqa: BLE001 - handed over to whoever asks the future
            future.set_exception(error)
        else:
            future.set_result(result)

    def _look(self) -> None:
        without = 0.0
        while not self._closed.wait(LOOK_EVERY):
            info = self._client.scheduler_info(n_workers=1)
            without = 0.0 if info.get("workers") or not self._pending else without + LOOK_EVERY
            if without >= _patience():
                for future in list(self._pending):
                    if future.set_running_or_notify_cancel():
                        future.set_exception(_no_worker(self._scheduler))


# --- in a worker ------------------------------------------------------------------------------------------------------


def _run(expected: str, work: Callable[[], Any]) -> Any:
    """Do a task, and put the worker's name on what it raises."""
    place = f"{get_worker().address} on {socket.gethostname()}"
    if code() != expected:
        raise ClusterFailed(f"worker {place} has registry {code()}, expected {expected}", fix=_SAME)
    try:
        return work()
    except RegistryError as error:
        error.message = f"{error.message}\n  in worker {place}"
        raise


@cache
def code() -> str:
    """The version of this package and a digest of what tasks are made of: `1.0.0 (3f2a91c04d5e)`."""
    digest = hashlib.sha256()
    for path in sorted([*_PACKAGE.glob("*.py"), *_PACKAGE.glob("*/*.py")]):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        number = version(DISTRIBUTION)
    except PackageNotFoundError:
        number = "unknown"
    return f"{number} ({digest.hexdigest()[:12]})"


# --- before anything runs ---------------------------------------------------------------------------------------------

_SAME = "start scheduler and workers from one image with the requirements.txt and the version of this registry"


def _find_workers(client: Client, scheduler: Scheduler) -> int:
    """How many workers there are, after at most the patience of the configuration."""
    task = client.submit(socket.gethostname, pure=False)  # which is what makes an adaptive cluster start one
    try:
        task.result(timeout=_patience())
    except TimeoutError:
        raise _no_worker(scheduler) from None
    return max(1, len(client.scheduler_info(n_workers=-1)["workers"]))


def _no_worker(scheduler: Scheduler) -> ClusterFailed:
    fix = f"start workers (dask worker {scheduler}), then {AGAIN}; DASK_REGISTRY__WORKERS_WITHIN=5m waits longer"
    return ClusterFailed(f"{scheduler} has no worker, and none came within {_patience():,.0f} s", fix=fix)


def _require_same(client: Client, scheduler: Scheduler) -> None:
    """Raises ClusterFailed, with every worker that has other versions than this process, before any task is sent."""
    found = cast("Mapping[str, Any]", client.get_versions())
    faults = list(find_differences(found))
    if not faults:
        faults = [
            f"{who} has {_describe(answer)}, expected registry {code()}"
            for who, answer in _ask_code(client)
            if answer != code()
        ]
    if faults:
        raise ClusterFailed(f"{scheduler} has other versions than this machine", lines=_first(faults), fix=_SAME)


def _ask_code(client: Client) -> Iterator[tuple[str, object]]:
    """What scheduler and workers say of their code: the scheduler unpickles tasks, too."""
    try:
        yield "the scheduler", client.run_on_scheduler(code)
    except _STRANGE as error:
        yield "the scheduler", error
    for address, answer in sorted(client.run(code, on_error="return").items()):
        yield f"worker {address}", answer


def find_differences(found: Mapping[str, Any]) -> Iterator[str]:
    """What of scheduler and workers differs from this client, in the result of Dask's `Client.get_versions`."""
    here = _versions(found["client"])
    workers = [(f"worker {address}", one) for address, one in sorted(found["workers"].items())]
    for who, of in [("the scheduler", found["scheduler"]), *workers]:
        there = _versions(of)
        yield from (
            f"{who} has {name} {there[name]}, expected {one}" for name, one in here.items() if there[name] != one
        )


def _versions(of: Mapping[str, Any]) -> dict[str, str]:
    """What has to be equal: Python but for its patches, as tasks are pickled, and Dask, whose protocol changes."""
    packages = of["packages"]
    return {
        "Python": ".".join(packages["python"].split(".")[:2]),
        **{name: str(packages[name]) for name in ("dask", "distributed")},
    }


def _describe(answer: object) -> str:
    return f"no registry ({answer})" if isinstance(answer, Exception) else f"registry {answer}"


def _first(faults: list[str], shown: int = 10) -> list[str]:
    rest = len(faults) - shown
    return [*faults[:shown], *([f"… and {rest:,} more"] if rest > 0 else [])]


# --- the engine's errors ----------------------------------------------------------------------------------------------


@contextmanager
def _translate(scheduler: Scheduler) -> Iterator[None]:
    """Turn the errors of Dask into ClusterFailed."""
    try:
        yield
    except KilledWorker as error:
        times = plural(error.allowed_failures + 1, "worker")
        raise ClusterFailed(
            f"{times} of {scheduler} died in the same task, the last one at {error.last_worker.address}",
            fix=f"look at its log, perhaps memory ran out (dask worker --memory-limit); then {AGAIN}",
        ) from None
    except (NoWorkerError, NoValidWorkerError):
        raise _no_worker(scheduler) from None
    except _LOST:
        raise ClusterFailed(f"the connection to {scheduler} was lost", fix=f"start it again, then {AGAIN}") from None
    except OSError as error:
        fix = "check the address, and that a scheduler runs there (dask scheduler)"
        raise ClusterFailed(f"{scheduler} does not answer: {error}", fix=fix) from None
    except (*_STRANGE, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "deserialization of the task graph" not in str(error):
            raise  # of the task itself
        reason = str(error).partition("\n")[0]
        message = f"a process of {scheduler} has another version of this package: {reason}"
        raise ClusterFailed(message, fix=_SAME) from None
