"""README.md shows what is there: a finding as it is printed, targets of make, real commands; and it is one page."""

import re
from pathlib import Path

from registry.cli import main
from support import repositories
from support.repositories import Run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAX_LINES = 90


def test_the_finding_is_printed_so(released_model: Path, run_registry: Run) -> None:
    finding = re.search(r"```text\n(.*?)```", README, re.DOTALL)[1]
    images = dict(list(repositories.PETS.items())[:-1])
    repositories.dataset(released_model, "pets", images, "1.1.0")
    assert finding in run_registry(released_model, "check").out


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    block = re.search(r"## Two commands\n.*?```sh\n(.*?)```", README, re.DOTALL)[1]
    assert [line.split()[:2] for line in block.splitlines()] == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{name}:.* ##", makefile, re.MULTILINE) for name in ("demo", "test"))
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_picture_is_of_real_commands() -> None:
    assert "(docs/images/loop.svg)" in README
    drawn = set(re.findall(r"registry (\w+)", (ROOT / "docs/images/loop.svg").read_text()))
    assert drawn == {"select", "build", "check", "report", "publish"} & {name for name, _ in main.COMMANDS}


def test_it_is_one_page() -> None:
    assert len(README.splitlines()) <= MAX_LINES
