"""What this machine is, and what this process has used of it: told in reports, decided upon by nobody."""

import os
import platform
import resource
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from registry.errors import ToolFailed
from registry.integrations.process import run


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where and how a report was made; the only part of it that may differ from one machine to the next.

    `seconds` is the duration, `pulled` bytes of data that were fetched, `peak` bytes of memory.
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
    """The machine, the seconds since `started` (of `time.monotonic`), and the peak memory of us or of a child."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * unit
    gpu, driver = _gpu()
    return Hardware(_processor(), _cores(), gpu, driver, round(time.monotonic() - started, 1), pulled, peak)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    lines = _CPUS.read_text().splitlines() if _CPUS.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _gpu() -> tuple[str, str]:
    """The GPUs' names, each once, and their driver; empty where there is none."""
    if not shutil.which("nvidia-smi"):
        return "", ""
    try:
        told = run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], quiet=True).decode()
    except ToolFailed:
        return "", ""
    rows = [line.split(", ") for line in told.splitlines() if line.count(", ") == 1]
    names = sorted({name for name, _ in rows})
    return ", ".join(names), rows[0][1] if rows else ""
