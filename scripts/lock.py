"""Write requirements.txt and requirements-torch.txt: every version of every group of pyproject.toml, with its hashes.

Usage: .venv/bin/python scripts/lock.py [--upgrade]

Pins stay unless pyproject.toml rules them out, or with --upgrade. The comment below each package names the groups of
pyproject.toml that need it (`base` is what fetching a release needs, `registry` what a registry does), which
`scripts/install.py` reads. torch and what it alone requires, CUDA on Linux, are in a file of their own: they are
replaced where pip is configured with another build of torch.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

LOCK, TORCH = Path("requirements.txt"), Path("requirements-torch.txt")
WORK = Path(".venv/lock.txt")
UV = ".venv/bin/uv"
HEADS = {
    LOCK: "# Written by `make lock`: all that is installed, with its hashes, and the groups that need it.\n",
    TORCH: "# Written by `make lock`: torch and what it alone requires, as on PyPI.\n",
}
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==[^\n]*(?:\n +--hash[^\n]*)*", re.MULTILINE)


class Pin(NamedTuple):
    """A version of a package with its hashes. A package has several where versions of Python need different ones."""

    name: str
    lines: str


def pins(lock: str) -> tuple[Pin, ...]:
    """The pins of a lock, in their order."""
    return tuple(Pin(found[1], found[0]) for found in _PIN.finditer(lock))


def compile_all(*, upgrade: bool) -> tuple[Pin, ...]:
    """All groups, with hashes; pins stay that are in the files now."""
    known = (path.read_text() for path in HEADS if path.is_file())
    WORK.write_text("" if upgrade else "".join(known))
    resolve(["pyproject.toml", "--all-extras", "--generate-hashes", "--output-file", str(WORK)])
    return pins(WORK.read_text())


def names(requirements: Iterable[str]) -> frozenset[str]:
    """The packages that some requirements need, in the versions of the lock."""
    text = "".join(f"{one}\n" for one in requirements)
    return frozenset(pin.name for pin in pins(resolve(["-", "--constraints", str(WORK)], text)))


def resolve(arguments: list[str], text: str = "") -> str:
    """The output of `uv pip compile`."""
    command = [
        UV,
        "pip",
        "compile",
        "--universal",
        "--python-version",
        "3.11",
        "--no-annotate",
        "--no-header",
        "--quiet",
    ]
    return subprocess.run([*command, *arguments], input=text, check=True, stdout=subprocess.PIPE, text=True).stdout


def groups() -> dict[str, list[str]]:
    """The requirements of each group, `base` first."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    return {"base": project["dependencies"], **project["optional-dependencies"]}


def lines(locked: Iterable[Pin], needed: dict[str, frozenset[str]]) -> Iterator[str]:
    """The pins with the groups that need them."""
    for pin in locked:
        yield f"{pin.lines}\n    # {' '.join(group for group, those in needed.items() if pin.name in those)}\n"


def main(*, upgrade: bool) -> None:
    """Compile everything once, and then the names of each group."""
    locked = compile_all(upgrade=upgrade)
    without = {name: [one for one in asked if not one.startswith("torch=")] for name, asked in groups().items()}
    needed = {name: names(asked) for name, asked in without.items()}
    others, torch = frozenset().union(*needed.values()), names(["torch"])
    needed["train"] |= torch & others
    small, large = (pin for pin in locked if pin.name in others), (pin for pin in locked if pin.name in torch - others)
    LOCK.write_text(HEADS[LOCK] + "".join(lines(small, needed)))
    TORCH.write_text(HEADS[TORCH] + "".join(f"{pin.lines}\n" for pin in large))


if __name__ == "__main__":
    main(upgrade="--upgrade" in sys.argv[1:])
