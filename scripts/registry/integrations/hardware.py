"""The machine, and what the process has used of it: shown in reports, never used in decisions."""

import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from registry.core.wording import plural
from registry.errors import ToolFailed
from registry.integrations.process import run


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine on which a report was made; the only part of a report that may differ between machines.

    `seconds` is the duration, `pulled` the bytes of data that were fetched, `peak` the peak memory in bytes.
    """

    processor: str
    cores: int
    gpu: str = ""
    driver: str = ""
    seconds: float = 0.0
    pulled: int = 0
    peak: int = 0


_CPUS = Path("/proc/cpuinfo")


def measure(started: float, pulled: int) -> Hardware:
    """The machine, the seconds since `started` (of `time.monotonic`), and the peak memory."""
    gpu, driver = gpu_and_driver()
    seconds = round(time.monotonic() - started, 1)
    return Hardware(_processor(), cores(), gpu, driver, seconds, pulled, _peak_memory())


def machine() -> str:
    """The machine in words: `NVIDIA H200, driver 570.1, AMD EPYC 9654, 16 cores`."""
    gpu, driver = gpu_and_driver()
    cards = [gpu, f"driver {driver}"] if gpu else []
    return ", ".join([*cards, _processor(), plural(cores(), "core")])


def cores() -> int:
    """The cores that this process may use; on macOS, where processes have no affinity, all of them."""
    process = psutil.Process()
    return len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1


def _peak_memory() -> int:
    """The peak memory of this process, or of the largest child where that is more (POSIX), in bytes.

    psutil knows a peak on Windows only.
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # only here: it exists on POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * unit


def _processor() -> str:
    lines = _CPUS.read_text().splitlines() if _CPUS.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def gpu_and_driver() -> tuple[str, str]:
    """The GPUs' names, each once, and their driver; empty where there is none."""
    if not shutil.which("nvidia-smi"):
        return "", ""
    try:
        rows = (
            run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], quiet=True)
            .decode()
            .splitlines()
        )
    except ToolFailed:
        return "", ""
    gpus = [row.split(", ") for row in rows if row.count(", ") == 1]
    names = sorted({name for name, _ in gpus})
    return ", ".join(names), gpus[0][1] if gpus else ""
