"""Hints with commands: those that the source can print, those in the output of a command, and running them."""

import ast
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from support import repositories
from support.repositories import Run

SOURCE = Path(__file__).parents[2] / "scripts/registry"
# The demo's story is run whole by tests/demo; templates are files of an artifact.
APART = ("demo/scene.py", "demo/story.py", "scaffold/templates/")
TOOLS = "registry|dvc|git|gh|make|pip"
COMMAND = re.compile(rf"(?<![\w./-])(?:{TOOLS}) --?[a-z]+|(?<![\w./-])(?:{TOOLS}) [a-z][\w-]*")
# In the text of a hint a command ends at a backtick, a separator or a remark.
PRINTED = re.compile(rf"(?<![\w./-])(?:{TOOLS}) .+?(?=`|; |, | && | \(|: |$)", re.MULTILINE)
LINE = re.compile(r"^\s*(?:hint|then): (.*)$", re.MULTILINE)


class Hint(NamedTuple):
    """A command that a module names in a string: `registry pull` in `sync/pull.py`."""

    module: str
    command: str


# --- in the source ----------------------------------------------------------------------------------------------------


def in_source() -> dict[Hint, int]:
    """Every command in a string of the package, with its line; not docstrings, and not the help of commands."""
    found: dict[Hint, int] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).as_posix()
        if not module.startswith(APART):
            for line, text in _strings(ast.parse(path.read_text())):
                found |= {Hint(module, command): line for command in COMMAND.findall(text)}
    return found


def texts() -> Iterator[str]:
    """Every string of the package that it can print, with `{}` for what is filled in."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield from (text for _, text in _strings(ast.parse(path.read_text())))


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    skipped: set[int] = set()
    for node in ast.walk(tree):  # outer nodes come first
        if id(node) in skipped:
            skipped |= {id(child) for child in ast.iter_child_nodes(node)}
        elif isinstance(node, (ast.Expr, ast.keyword)) and _is_documentation(node):
            skipped.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(value) for value in node.values if isinstance(value, ast.Constant)}
            parts = [str(value.value) if isinstance(value, ast.Constant) else "{}" for value in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _is_documentation(node: ast.Expr | ast.keyword) -> bool:
    """Whether it is a docstring, or the help of a command."""
    if isinstance(node, ast.keyword):
        return node.arg in {"help", "epilog"}
    return isinstance(node.value, ast.Constant)


# --- in an output -----------------------------------------------------------------------------------------------------


def in_output(text: str) -> list[str]:
    """The commands in the hints of an output, in their order, each once."""
    commands = (command.group().rstrip() for line in LINE.findall(text) for command in PRINTED.finditer(line))
    return list(dict.fromkeys(commands))


def run(root: Path, command: str, values: Mapping[str, str], registry: Run | None = None) -> None:
    """Run the command of a hint as a person would, with `values` for its placeholders. It must succeed.

    `registry` runs that command, in place of a process of its own.
    """
    words = [values.get(word, word) for word in shlex.split(command)]
    if words[0] == "registry" and registry:
        made = registry(root, *words[1:])
        assert made.code == 0, f"{command}: {made.out}{made.err}"
        return
    if words[0] in {"registry", "dvc"}:
        words = [sys.executable, "-m", *words]
    # Where Git opens an editor for a message, this editor writes one.
    editor = {"GIT_EDITOR": "sh -c 'echo a message > \"$1\"' --"}
    done = repositories.sh(root, *words, env={**os.environ, **editor})
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
