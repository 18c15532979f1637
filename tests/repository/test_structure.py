"""What keeps the repository readable: short files, no home folders, known tools in workflows, complete markers."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from support.workflow_files import steps

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
TEXTS = {name: path.read_text(errors="ignore") for name in TRACKED if (path := ROOT / name).is_file()}
# What a step of a workflow may start: the registry, tools of its environment, and what GitHub's machines have.
PROGRAMS = {
    "registry",
    "dvc",
    "gto",
    "pre-commit",
    "make",
    "git",
    "gh",
    "cat",
    "echo",
    "tar",
    "test",
    "scripts/release.py",
}
HOME = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w+")


def test_a_module_has_at_most_400_lines() -> None:
    modules = {
        name: text for name, text in TEXTS.items() if re.match(r"(scripts|benchmarks|tests/support)/.*\.py", name)
    }
    assert {name: lines for name, text in modules.items() if (lines := text.count("\n")) > 400} == {}


def test_no_script_has_the_name_of_a_package() -> None:
    """An editable installation puts scripts/ on the path of every program, and of every package that is built."""
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert scripts.isdisjoint({*sys.stdlib_module_names, *packages_distributions(), "pip", "setuptools", "wheel"})


def test_no_file_names_a_home_folder() -> None:
    assert {name: HOME.findall(text) for name, text in TEXTS.items() if HOME.search(text)} == {}


def test_steps_of_workflows_call_the_registry_and_known_tools() -> None:
    commands = [step["run"].removeprefix(".venv/bin/").removeprefix("python ") for _, step in steps() if "run" in step]
    assert {command.split()[0] for command in commands} <= PROGRAMS


def test_what_starts_an_s3_server_is_marked() -> None:
    """Below tests/faults and tests/servers everything is marked by conftest.py."""
    others = {name: text for name, text in TEXTS.items() if re.match(r"tests/(?!faults|servers).*/test_\w+\.py", name)}
    starting = re.compile(r"^from .* import .*\bS3Server\b|^from support.s3_registry", re.MULTILINE)
    assert [name for name, text in others.items() if starting.search(text) and "pytest.mark.s3" not in text] == []
