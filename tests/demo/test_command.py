"""The command `registry demo`: what it needs is there before it begins."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from registry.demo import command, story
from support.repositories import Run

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("makefile", ["Makefile", "scripts/registry/scaffold/templates/copy/Makefile"])
def test_make_demo_installs_what_the_story_imports(makefile: str) -> None:
    """The groups are read from the Makefile: a test that has every group installed cannot miss a package."""
    recipe = re.search(r"^demo:.*\n\t\$\(INSTALL\) ([a-z ]+)", (PROJECT / makefile).read_text(), re.MULTILINE)
    assert recipe
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = {re.split("[<>=]", one)[0] for group in recipe[1].split() for one in extras[group]}
    distributions = packages_distributions()
    for module in story.MODULES:
        assert {name.lower().replace("_", "-") for name in distributions[module]} & listed, (
            f"{module} is in no group of make demo"
        )


def test_a_missing_package_is_named_before_anything_is_made(
    run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "datasets" else True)
    done = run_registry(tmp_path, "demo", "--directory", str(tmp_path / "demo"))
    assert done.code == 1
    assert done.err.startswith("error: the demo needs packages that are not installed: datasets\n  hint: make demo; ")
    assert not (tmp_path / "demo").exists()
