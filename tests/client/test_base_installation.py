"""The base installation: a consumer's commands and `registry.open` need few libraries, and nothing of Unix."""

import subprocess
import sys
from pathlib import Path

import pytest

import registry
from support.repositories import PETS

# What is in extras, and what Python has on Unix alone.
EXTRAS = "altair datasets dvc google gto jinja2 looker_sdk numpy onnx onnxruntime PIL polars pre_commit psutil torch"
ABSENT = [*EXTRAS.split(), "simplejpeg", "tabulate", "vl_convert", "fcntl", "grp", "pwd", "resource", "termios"]
WITHOUT = f"""
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
for name in {ABSENT!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
"""


def run(code: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program in a Python that has the base installation alone."""
    return subprocess.run(
        [sys.executable, "-c", f"{WITHOUT}\n{code}", *args], cwd=cwd, capture_output=True, text=True, check=False
    )


COMMAND = "from registry.cli.main import run; sys.exit(run(sys.argv[1:]))"


def test_a_release_is_fetched_and_opened(released_model: Path, tmp_path: Path) -> None:
    got = run(COMMAND, "get", "datasets/pets@latest", "--repo", str(released_model), "--out", "got", cwd=tmp_path)
    assert (got.returncode, got.stdout.endswith("8 files fetched, 3.3 kB\n")) == (0, True), got.stderr
    opened = run(
        "import registry; [print(one.path.as_posix()) for one in registry.open('datasets/pets', 'v1.0.0',"
        f" repo={str(released_model)!r}, folder='got').images()]",
        cwd=tmp_path,
    )
    assert opened.stdout.split() == [f"got/{path}" for split in ("train", "val", "test")
                                     for path in sorted(PETS) if path.startswith(split)], opened.stderr  # fmt: skip


def test_the_base_installation_is_at_most_20_packages() -> None:
    """Measured with uv in an empty environment: 19 packages with this one, 58 MB."""
    lock = (Path(registry.__file__).parents[2] / "requirements.txt").read_text()
    base = [line for line in lock.splitlines() if line.startswith("    # base")]
    assert 10 < len(base) + 1 <= 20


@pytest.mark.parametrize("words", ["--help", "--version", "get --help", "outdated --help"])
def test_help_needs_no_extra(words: str, tmp_path: Path) -> None:
    done = run(COMMAND, *words.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout != "") == (0, True), done.stderr


def test_an_output_of_windows_lacks_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    done = run("from registry.cli.main import main; main()", "--help", cwd=tmp_path)
    assert (done.returncode, "new \\u2192 select" in done.stdout) == (0, True), done.stderr


def test_a_command_that_needs_more_says_what_to_install(tmp_path: Path) -> None:
    done = run(COMMAND, "build", "--help", cwd=tmp_path)
    assert done.returncode == 1
    assert "which is not installed: it comes with the extra `registry`\n  hint: pip install '" in done.stderr


@pytest.mark.slow
def test_types_hold_on_windows() -> None:
    root = Path(registry.__file__).parents[2]
    commands = [root / f"scripts/registry/cli/commands/{name}.py" for name in ("get", "outdated")]
    files = [*(root / "scripts/registry/client").glob("*.py"), *commands]
    options = ("--platform", "win32", "--no-warn-unreachable", "--cache-dir", ".venv/mypy-win32")
    command = [sys.executable, "-m", "mypy", *options, *map(str, files)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
