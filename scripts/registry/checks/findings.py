"""What a rule yields; `check.run` adds the check's name and the artifact."""

from registry.core.values import Finding, Verdict


def wrong(message: str, path: str, line: int | None = None, fix: str = "") -> Finding:
    """The change cannot go on like this."""
    return Finding("", None, Verdict.WRONG, message, path, line, fix)


def ask(message: str, path: str, line: int | None = None, fix: str = "") -> Finding:
    """An owner has to look at it: no rule can say whether it is meant, or it could not be judged here."""
    return Finding("", None, Verdict.NEEDS_OWNER, message, path, line, fix)


def note(message: str, path: str, fix: str = "") -> Finding:
    """Nothing is wrong; this comes next."""
    return Finding("", None, Verdict.OK, message, path, None, fix)


def number(count: int, one: str, many: str = "") -> str:
    """`1 image`, `1,200 images`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def some(names: list[str] | tuple[str, ...], shown: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
