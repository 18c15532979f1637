"""Vega-Lite templates that a team wrote: drawn in a process with limits and without credentials that reads nothing."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

WORKER = "registry.integrations.vega_worker"
PATIENCE = 120  # seconds, should the process wait for something other than the processor
_READS = frozenset(("url", "image"))  # a key, or a type of mark: vl-convert fetches images of marks whatever it is told


class CannotDraw(Exception):
    """Why a plot is not drawn, in words for a report."""


def require_self_contained(template: Any) -> None:
    """Raises CannotDraw for a template that is no Vega-Lite, or that reads files or addresses."""
    schema = template.get("$schema") if isinstance(template, dict) else None
    if not isinstance(schema, str) or "/vega-lite/" not in schema:
        raise CannotDraw("the template is not Vega-Lite")
    if found := next((name for name in _names(template) if name in _READS), None):
        raise CannotDraw(f"the template has {found!r}, which could read a file or an address")


def _names(value: Any) -> Iterator[str]:
    """Every key, and every type of mark."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from map(str, one)
            mark = one.get("mark")
            yield from [mark] if isinstance(mark, str) else []
            yield from [str(mark.get("type"))] if isinstance(mark, dict) else []
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def draw(specification: str) -> bytes:
    """The plot as PNG. Raises CannotDraw where it cannot be drawn within the limits."""
    command = [sys.executable, "-I", "-m", WORKER]
    try:
        done = subprocess.run(
            command,
            check=False,
            input=specification.encode(),
            capture_output=True,
            timeout=PATIENCE,
            env={"LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise CannotDraw(f"it was not drawn within {PATIENCE} seconds") from error
    if done.returncode < 0:
        raise CannotDraw("it cannot be drawn within 2 GiB of memory and 30 s of processor time")
    if done.returncode:
        raise CannotDraw("Vega-Lite cannot draw it")
    return done.stdout
