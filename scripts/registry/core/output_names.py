"""The names that no output may have: what a tool obeys wherever it finds it, and what a system takes for another name.

The patterns of `OBEYED` and `UNSAFE` are in the syntax that Python's `re` and Rust's `regex` (Polars) share: a version
may list a million files. They are for whole relative paths, and meant for `search`.
"""

import re
from collections.abc import Iterable
from posixpath import splitext

from registry.core.tree import under

# What people, DVC or a command read as an instruction.
DOCUMENTS = frozenset({"dvc.yaml", "dvc.lock", "model.yaml", "dataset.yaml", "params.yaml", "registry.yaml"})
# What pytest, pip, make and linters read in the folder in which they are run.
TOOLS = frozenset(
    {"conftest.py", "pytest.ini", "tox.ini", "setup.py", "setup.cfg", "pyproject.toml", "ruff.toml", "mypy.ini"}
    | {"requirements.txt", "pip.conf", "makefile", "gnumakefile", "dockerfile", "pyvenv.cfg"}
)
CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".sh", ".bat", ".cmd", ".ps1", ".pth", ".dvc")
MAX_BYTES = 255  # of a name, on the file systems of Linux, macOS and Windows
MAX_PATH = 1_000  # bytes: Linux refuses a path of more than 4,096, the folder of the registry included

_START, _END = r"(?i:(?:^|/)(?:", r")[. ]*(?:/|$))"
# Where data may have any other name, as in a folder that a training writes. `git~1` is how Windows abbreviates `.git`.
OBEYED = (
    _START + r"\.git[^/]*|git~[0-9]+|\.dvc[^/]*|[^/]*\.dvc|dvc\.(?:yaml|lock)|\.venv|pyvenv\.cfg|\.envrc|\.vscode"
    r"|(?:conftest|sitecustomize|usercustomize)\.py" + _END
)
# No relative path below a folder, or one that another system reads otherwise.
UNSAFE = r"^$|^/|/$|//|(?:^|/)\.{1,2}(?:/|$)|[. ](?:/|$)|[\x00-\x1f\x7f-\x9f\\:]"
_UNSAFE, _OBEYED = re.compile(UNSAFE), re.compile(OBEYED)


def find_fault(path: str) -> str:
    """What is wrong with the path of an output, relative to its pipeline or pointer; empty where nothing is."""
    parts = path.split("/")
    if _UNSAFE.search(path) or not path.isprintable():
        return "is no path below this folder that all systems read alike"
    if hidden := [part for part in parts if part.startswith(".")]:
        return f"has the hidden part {hidden[0]}"
    if reserved := [part for part in parts if part.lower() in DOCUMENTS | TOOLS]:
        return f"has the reserved name {reserved[0]}"
    if splitext(path)[1].lower() in CODE or _OBEYED.search(path):
        return "is a file that DVC, Python or a shell runs or obeys"
    return find_excess(path)


def find_overlap(path: str, others: Iterable[str]) -> str:
    """Whether an output is another one, or lies in it, or the other way round; empty where it does not."""
    found = next((one for one in others if under(path, one) or under(one, path)), None)
    return "" if found is None else f"overlaps the output {found}"


def find_excess(path: str) -> str:
    """Whether a path, or a name in it, is longer than file systems take; empty where it is not."""
    longest = max(len(part.encode("utf-8", "surrogatepass")) for part in path.split("/"))
    if longest > MAX_BYTES:
        return f"has a name of {longest:,} bytes; the limit is {MAX_BYTES}"
    size = len(path.encode("utf-8", "surrogatepass"))
    return f"has {size:,} bytes; the limit is {MAX_PATH:,}" if size > MAX_PATH else ""
