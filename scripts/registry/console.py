"""What is written to standard output and standard error: visible lines, of which none is a command to who reads them.

Names of files and branches, bodies of servers, values of YAML and texts of exceptions are in most messages, and anybody
may have written them. A terminal obeys control characters. GitHub's runner obeys lines that begin with `::`, after
spaces, and lines that have `##[` anywhere (actions/runner, ActionCommand.cs). Escapes are those of JSON, so that JSON
that is printed stays the same JSON.
"""

import re
import sys

# Characters of `core.escaping` in Markdown that is printed: they have no width, break mentions and keep an order.
_OURS = {"\u2060", "\u200e", "\t"}
_COMMAND = re.compile(r"^(\s*):(?=:)")


def plain(text: str) -> str:
    """A text as one line, with every character escaped that is not printable, or could move a cursor or end a line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def indented(text: str) -> str:
    """A text with further lines, each of them plain and indented, as lists in messages are; others become its end."""
    return "\n  ".join(map(plain, text.split("\n  ")))


def lines(text: str) -> str:
    """A text of several lines, each of them plain and no command."""
    return "\n".join(map(_line, text.split("\n")))


def say(text: str, *, err: bool = False) -> None:
    """Print lines on standard output, or standard error; a line end at the end is not doubled."""
    _print(lines(text.removesuffix("\n")), err=err)


def fail(error: object, label: str = "error") -> None:
    """Print an error on standard error; `label` in colour on a terminal."""
    head = f"\x1b[31m\x1b[1m{label}\x1b[0m" if sys.stderr.isatty() else label
    _print(f"{head}: {lines(str(error))}", err=True)


def command(text: str, *, err: bool = False) -> None:
    """Print lines that are meant as commands to GitHub's runner; the caller has escaped what is in them."""
    _print(text.removesuffix("\n"), err=err)


def _print(text: str, *, err: bool = False) -> None:
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def _line(text: str) -> str:
    visible = text if text.isprintable() else "".join(map(_shown, text))
    return _COMMAND.sub(r"\1\\u003a", visible).replace("##[", r"#\u0023[")


def _shown(char: str) -> str:
    return char if char.isprintable() or char in _OURS else _escape(char)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
