"""The tables of benchmarks/README.md are written by its programs, and no program is forgotten."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
COMMANDS = re.findall(
    r"^<!-- measured: (?:TMPDIR=\S+ )?benchmarks/(\S+)(.*) -->$", (FOLDER / "README.md").read_text(), re.M
)
PAGE = """# Benchmarks

Words before.

<!-- measured: benchmarks/good.py --images 2 -->
<!-- end -->
Words between.
<!-- measured: GREETING=hello benchmarks/good.py --images 3 -->
what was measured before
<!-- end -->
<!-- measured: benchmarks/bad.py -->
what was measured before
<!-- end -->
"""
GOOD = 'import os, sys\nprint("| a |\\n|---|\\n|", *sys.argv[1:], os.environ.get("GREETING", ""), "|")\n'
BAD = 'print("half a table")\nraise SystemExit(3)\n'


def test_every_program_is_on_the_page() -> None:
    assert {name for name, _ in COMMANDS} == {path.name for path in FOLDER.glob("*.py")} - {"measure.py", "launch.py"}


@pytest.mark.parametrize(("program", "args"), COMMANDS)
def test_a_command_of_the_page_has_the_options_of_its_program(program: str, args: str) -> None:
    known = (FOLDER / program).read_text()
    assert [option for option in re.findall(r"--[a-z-]+", args) if f'"{option}"' not in known] == []


def test_every_table_stands_in_a_block_of_a_command() -> None:
    page = (FOLDER / "README.md").read_text()
    rest = re.sub(r"<!-- measured: .*?<!-- end -->", "", page, flags=re.DOTALL)
    assert [line for line in rest.splitlines() if line.startswith("|")] == []


@pytest.fixture
def measure(tmp_path: Path) -> Path:
    """`measure.py` in a repository with a page of its own."""
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(FOLDER / "measure.py", tmp_path / "benchmarks")
    for name, text in {"README.md": PAGE, "good.py": GOOD, "bad.py": BAD}.items():
        (tmp_path / "benchmarks" / name).write_text(text)
    for command in ("init --quiet", "add --all", "-c user.name=a -c user.email=a commit --quiet --message first"):
        subprocess.run(["git", "-C", str(tmp_path), *command.split()], check=True)
    return tmp_path / "benchmarks/measure.py"


def run(program: Path, *only: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, program, *only], capture_output=True, text=True, check=False)


def test_what_a_program_prints_is_written_with_its_commit_and_machine(measure: Path) -> None:
    done = run(measure, "good")
    page = measure.with_name("README.md").read_text()
    assert (done.returncode, done.stdout) == (0, "")
    where = (
        r"commit [0-9a-f]{9}, \d{4}-\d\d-\d\d, \d+ cores \(.+\), \d+ GB, Python 3[\d.]+, load [\d.]+ before, \d+ s\."
    )
    expected = rf"`python benchmarks/good.py --images 2`, {where}\n\n\| a \|\n\|---\|\n\| --images 2  \|\n<!-- end -->"
    assert re.search(expected, page)
    assert "`GREETING=hello python benchmarks/good.py --images 3`" in page
    assert "| --images 3 hello |" in page
    assert page.count("what was measured before") == 1
    again = run(measure, "good")
    assert (again.returncode, measure.with_name("README.md").read_text().count("| a |")) == (0, 2)


def test_a_whole_command_chooses_no_longer_one(measure: Path) -> None:
    page = measure.with_name("README.md")
    page.write_text(PAGE.replace("bad.py", "good.py"))
    assert run(measure, "benchmarks/good.py").returncode == 0
    assert page.read_text().count("| a |") == 1
    assert "`python benchmarks/good.py`, commit" in page.read_text()


def test_a_program_that_fails_leaves_its_block_and_the_others_are_written(measure: Path) -> None:
    done = run(measure)
    page = measure.with_name("README.md").read_text()
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "failed, and not written: python benchmarks/bad.py")
    assert "half a table" not in page
    assert page.endswith("<!-- measured: benchmarks/bad.py -->\nwhat was measured before\n<!-- end -->\n")
    assert page.count("| a |") == 2


def test_changed_programs_are_told_beside_the_commit(measure: Path) -> None:
    measure.with_name("good.py").write_text(GOOD + "\n")
    assert run(measure, "good").returncode == 0
    assert "with changes, " in measure.with_name("README.md").read_text()


def test_a_word_that_no_command_has_is_refused(measure: Path) -> None:
    done = run(measure, "better")
    assert (done.returncode, done.stderr) == (1, "benchmarks/README.md has no command with 'better'\n")
