"""The house stands as CONTRIBUTING.md draws it: every module has a floor, and imports run downwards only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scripts" / "registry"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts and path.name != "__init__.py")
STAGES, DOOR = "stages; none imports another", "door"


def floors() -> dict[str, tuple[int, str]]:
    """Module → (its place in the table, counted from the lowest, and its floor's name)."""
    table = re.findall(r"^\| ([a-z][^|]+?) \| (`.+?) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    listed = [(name, floor) for floor, modules in table for name in re.findall(r"`(\w+)`", modules)]
    return {name: (place, floor) for place, (name, floor) in enumerate(listed)}


FLOORS = floors()


def room(path: Path) -> str:
    """A module's name, or that of the package it lies in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The rooms of `registry` that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "registry":
            parts = node.module.split(".")
            yield from ([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("registry."))


def test_every_module_has_a_floor() -> None:
    rooms = {room(path) for path in MODULES} - {"__main__"}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    name = room(path)
    place, floor = FLOORS.get(name, (len(FLOORS), DOOR))
    for other in set(imported(path)) - {name}:
        other_place, other_floor = FLOORS[other]
        assert other_place < place, f"{name} imports {other}, which is not below it"
        same_stage = {name, other} <= {"facts", "checks", "check"}
        assert floor != STAGES or other_floor != STAGES or same_stage, f"the stage {name} imports the stage {other}"


def test_every_module_says_what_it_owns() -> None:
    silent = [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []
