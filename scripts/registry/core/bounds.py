"""The largest numbers that documents may hold; the schemas have them as `maximum`.

Without them, a number in a pull request's file would reach code that cannot hold it: a progress bar, a sum of 64 bits,
memory that is reserved. Python's `int("1_0")`, `int(True)` and `int(1.5)` are numbers, too, so types are compared.
"""

MAX_COUNT = 1_000_000_000  # of files, rows, images
MAX_SIZE = 1 << 50  # bytes: 1 PiB


def count(value: object) -> int:
    """A number of things. Raises ValueError where it is no integer from 0 to MAX_COUNT."""
    return _within(value, MAX_COUNT)


def size(value: object) -> int:
    """A number of bytes. Raises ValueError where it is no integer from 0 to MAX_SIZE."""
    return _within(value, MAX_SIZE)


def _within(value: object, limit: int) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise ValueError(f"expected an integer from 0 to {limit:,}, found {str(value)[:40]}")
    return value
