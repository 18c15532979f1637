"""The commands of a page of the documentation, typed one after the other in one shell, as a reader types them."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ANYTHING = "…"  # in what a page shows: the rest of a line, or any lines where it stands alone
_BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_END = "\x1e"  # printed after each command, with its exit code


class Command(NamedTuple):
    """A command, the heading that it is under, and what the page shows below it; None where it shows nothing."""

    text: str
    heading: str
    shown: str | None = None

    @property
    def fails(self) -> bool:
        """Whether the page shows that it is refused."""
        return bool(re.search(r"^error: |: wrong: ", self.shown or "", re.MULTILINE))


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[Command]:
    """Those of a page's `sh` and `console` blocks: each line that is not continued, or a block with a here-document."""
    text, found = read(page), []
    for block in _BLOCK.finditer(text):
        heading = re.findall(r"^#+ (.*)", text[: block.start()], re.MULTILINE)[-1]
        lines = block[2].replace("\\\n", " ")
        if block[1] == "console":
            for part in re.split(r"^\$ ", lines, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                found.append(Command(command, heading, shown or None))
        elif "<<" in lines:
            found.append(Command(lines.strip(), heading))
        else:
            found += [Command(line.strip(), heading) for line in lines.splitlines() if line.strip()]
    return found


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows."""
    lines = [
        r"(?:.*\n)*" if line == ANYTHING else ".*".join(map(re.escape, line.rstrip().split(ANYTHING))) + r" *\n"
        for line in shown.splitlines()
    ]
    return bool(re.fullmatch("".join(lines), f"{printed.rstrip()}\n"))


def shows(message: str, source: str) -> bool:
    """Whether a message of a page is one that a string of the program makes: each `…` stands for what is filled in."""
    fixed = message.split(ANYTHING)
    return len("".join(fixed)) > 5 and bool(re.search(".*".join(map(re.escape, fixed)), source))


def environment(**more: str) -> dict[str, str]:
    """That of a reader in whose PATH are this project's programs, and whose output comes in the order of a terminal."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": os.environ["HOME"], "PATH": path, "PYTHONUNBUFFERED": "1", "BROWSER": "true", **more}


def type_all(typed: list[Command], cwd: Path, env: Mapping[str, str], replaced: Mapping[str, str] | None = None) -> str:
    """Type commands in one shell, and compare what they print with what the page shows; returns all that is printed.

    In the commands `replaced` texts stand for places that a reader has: a URL, a bucket, an editor.
    """
    script = []
    for command in typed:
        text = command.text
        for shown, real in (replaced or {}).items():
            text = text.replace(shown, real)
        expected = "-ne" if command.fails else "-eq"
        script.append(f"{text}\ncode=$?; printf '\\036'; [ $code {expected} 0 ] || exit 99\n")
    done = subprocess.run(
        ["bash", "-c", "".join(script)], cwd=cwd, env={**env}, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    *outputs, rest = done.stdout.split(_END)
    for place, (command, printed) in enumerate(zip(typed, outputs, strict=False)):
        last = place == len(outputs) - 1
        assert not (last and done.returncode), f"$ {command.text}\n{printed}"
        if command.shown is not None:
            assert matches(command.shown, printed), f"$ {command.text}\n{printed}\n— the page shows —\n{command.shown}"
    assert len(outputs) == len(typed), rest
    return "".join(outputs)
