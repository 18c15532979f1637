"""Numbers, lists and tables as text, the same in every message and report."""

from collections.abc import Sequence

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def plural(number: int, noun: str, nouns: str = "") -> str:
    """`1 image`, `1,200 images`; `nouns` where the plural is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def size(number: int) -> str:
    """A number of bytes in decimal units: `1 byte`, `999 bytes`, `1.2 MB`."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else plural(number, "byte")


def join(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def abbreviate(words: Sequence[str], shown: int = 3, total: int | None = None) -> str:
    """`a, b, c and 1,200 more`: the first words of a list, and how many of `total` (default: the list) are left."""
    total = len(words) if total is None else total
    return ", ".join(words[:shown]) + (f" and {total - shown:,} more" if total > shown else "")


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "") -> str:
    """Aligned columns under their headers: text to the left, numbers (with thousands separators) to the right."""
    from tabulate import tabulate  # only here: it takes 40 ms to import, and a hook that prints no table must be fast

    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    align = ["right" if rows and all(isinstance(row[i], int) for row in rows) else "left" for i in range(len(headers))]
    text = tabulate(cells, headers, tablefmt="plain", disable_numparse=True, colalign=align if rows else None)
    return "\n".join(f"{indent}{line.rstrip()}" for line in text.splitlines())
