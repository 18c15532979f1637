"""The `registry` command in the process of the tests: fast, because nothing is imported again."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from registry.cli import main


def registry(words: Sequence[str], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> int:
    """Its exit code. What it and its children print is added to the files `out` and `err`."""
    with _inside(cwd, env, out, err):
        return main.run(list(words))


@contextlib.contextmanager
def _inside(cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> Iterator[None]:
    """This process as a step has it: its folder, its environment, and where it and its children write."""
    kept = [os.dup(number) for number in (1, 2)]
    with contextlib.ExitStack() as stack:
        for number, path in ((1, out), (2, err)):
            file = stack.enter_context(path.open("a", buffering=1))
            stack.callback(os.close, kept[number - 1])
            stack.callback(os.dup2, kept[number - 1], number)
            os.dup2(file.fileno(), number)
            redirect = contextlib.redirect_stdout if number == 1 else contextlib.redirect_stderr
            stack.enter_context(redirect(file))
        stack.enter_context(patch.dict(os.environ, env, clear=True))
        stack.enter_context(contextlib.chdir(cwd))
        yield
