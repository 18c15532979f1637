"""Plots that a team wrote, as Vega, Vega-Lite or SVG: drawn in a process with limits and without credentials that reads
nothing.
"""

import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

WORKER = "registry.integrations.vega_worker"
PATIENCE = 120  # seconds, should the process wait for something other than the processor
_READS = frozenset(("url", "image"))  # a key, or a type of mark: vl-convert fetches images of marks whatever it is told
_INSIDE = ("#", "data:image/png", "data:image/jpeg")  # links of an SVG: within it, or a picture that it holds


class CannotDraw(Exception):
    """Why a plot is not drawn, in words for a report."""


class Language(StrEnum):
    """What a plot is written in."""

    VEGA = "vega"
    VEGA_LITE = "vega-lite"
    SVG = "svg"


_TITLES = {Language.VEGA: "Vega", Language.VEGA_LITE: "Vega-Lite", Language.SVG: "vl-convert"}


def require_self_contained(template: Any) -> Language:
    """The language of a template. Raises CannotDraw for another one, or one that reads files or addresses."""
    schema = template.get("$schema") if isinstance(template, dict) else None
    languages = (Language.VEGA_LITE, Language.VEGA)
    found = next((one for one in languages if isinstance(schema, str) and f"/{one}/" in schema), None)
    if found is None:
        raise CannotDraw("the template is neither Vega-Lite nor Vega")
    if name := next((name for name in _names(template) if name in _READS), None):
        raise CannotDraw(f"the template has {name!r}, which could read a file or an address")
    return found


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


def read_svg(data: bytes) -> str:
    """An SVG without what is not drawn: document types, comments. Raises CannotDraw for one that reads or defines more.

    It is written again from what was read, so that the parser that draws it finds nothing else in it.
    """
    try:
        text = data.decode()
        if "<!ENTITY" in text:
            raise CannotDraw("the SVG defines entities")
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities it reads and expands nothing
        links = [link for one in root.iter() for name, link in one.items() if name.rpartition("}")[2] == "href"]
        if link := next((link for link in links if not link.startswith(_INSIDE)), None):
            raise CannotDraw(f"the SVG has the link {link[:100]!r}, which could read a file or an address")
        return ElementTree.tostring(root, "unicode")
    except (ValueError, RecursionError, ElementTree.ParseError) as error:
        raise CannotDraw("the SVG cannot be read") from error


def draw(plot: str, language: Language) -> bytes:
    """The plot as PNG. Raises CannotDraw where it cannot be drawn within the limits."""
    command = [sys.executable, "-I", "-m", WORKER, language]
    try:
        done = subprocess.run(
            command,
            check=False,
            input=plot.encode(),
            capture_output=True,
            timeout=PATIENCE,
            env={"LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise CannotDraw(f"it was not drawn within {PATIENCE} seconds") from error
    if done.returncode < 0:
        raise CannotDraw("it cannot be drawn within 2 GiB of memory and 30 s of processor time")
    if done.returncode:
        raise CannotDraw(f"{_TITLES[language]} cannot draw it")
    return done.stdout
