"""Runs the tests under the conditions of other machines: `make conditions [ONLY="busy umask"] [ARGS="tests/sync"]`.

ARGS is passed to pytest; without it the whole suite runs once per condition. The exit code is 1 if any run failed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
OTHER_FILE_SYSTEMS = ("/dev/shm", "/var/tmp", "/tmp")
BUSY_LOOPS = 8


class Settings(NamedTuple):
    """How pytest is started."""

    env: Mapping[str, str]
    umask: int = -1  # the caller's
    runs: int = 1
    args: tuple[str, ...] = ()


Condition = Callable[[Path], AbstractContextManager[Settings]]


@contextmanager
def busy(_: Path) -> Iterator[Settings]:
    """Eight endless loops compete for the processors."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY_LOOPS)]
    try:
        yield Settings(os.environ)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextmanager
def umask(_: Path) -> Iterator[Settings]:
    """New files are readable by their owner alone."""
    yield Settings(os.environ, umask=0o077)


@contextmanager
def tmpdir(_: Path) -> Iterator[Settings]:
    """Temporary files are on another file system than the checkout, so that nothing can be linked or renamed there."""
    other = next((one for one in OTHER_FILE_SYSTEMS if Path(one).is_dir() and is_elsewhere(one)), None)
    if not other:
        sys.exit("no other file system is known here; hint: TMPDIR=/a/folder/on/another make test")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Settings({**os.environ, "TMPDIR": folder})


def is_elsewhere(folder: str) -> bool:
    """Whether it is on another file system than the checkout."""
    return Path(folder).stat().st_dev != ROOT.stat().st_dev


@contextmanager
def locale(_: Path) -> Iterator[Settings]:
    """No language, and no encoding but ASCII."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    yield Settings({**kept, "LC_ALL": "C"})


@contextmanager
def home(folder: Path) -> Iterator[Settings]:
    """An empty home, and no variable but that and PATH: no ~/.gitconfig, no settings of any program."""
    yield Settings({"HOME": str(folder), "PATH": os.environ["PATH"]})


@contextmanager
def twice(_: Path) -> Iterator[Settings]:
    """Two runs in one checkout."""
    yield Settings(os.environ, runs=2)


@contextmanager
def apt_full(folder: Path) -> Iterator[Settings]:
    """No browser in .venv, and all its packages in apt's cache: the tests in the browser."""
    with without_browser(folder) as settings:
        command = ["apt-get", "install", "--download-only", "--yes", "-o", "Debug::NoLocking=1"]
        subprocess.run([*command, "chromium-headless-shell"], env=settings.env, check=True, stdout=subprocess.DEVNULL)
        yield settings


@contextmanager
def apt_empty(folder: Path) -> Iterator[Settings]:
    """No browser in .venv, and nothing in apt's cache: the tests in the browser."""
    with without_browser(folder) as settings:
        yield settings


@contextmanager
def without_browser(folder: Path) -> Iterator[Settings]:
    """The browser in .venv is moved away, and apt's cache is an empty folder."""
    config = folder / "apt.conf"
    config.write_text(f'Dir::Cache::archives "{folder}";\n')
    own = Path(sys.prefix) / "chromium"
    if own.exists():
        own.rename(own.with_name("chromium-before"))
    try:
        yield Settings({**os.environ, "APT_CONFIG": str(config)}, args=("-m", "browser"))
    finally:
        shutil.rmtree(own.with_name("chromium-before"), ignore_errors=True)


CONDITIONS: Mapping[str, Condition] = {
    "busy": busy,
    "umask": umask,
    "tmpdir": tmpdir,
    "locale": locale,
    "home": home,
    "twice": twice,
    "apt-full": apt_full,
    "apt-empty": apt_empty,
}


def run(condition: Condition, args: list[str]) -> bool:
    """Whether all tests passed under it."""
    pytest = Path(sys.executable).with_name("pytest")
    with tempfile.TemporaryDirectory() as folder, condition(Path(folder)) as settings:
        command = [str(pytest), "-n", "2", *args, *settings.args]
        done = [subprocess.run(command, cwd=ROOT, env=settings.env, umask=settings.umask) for _ in range(settings.runs)]
    return not any(one.returncode for one in done)


def main() -> None:
    """Run each condition that was asked for, and print which passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("args", nargs="*", help="for pytest")
    asked, more = parser.parse_known_args()
    passed = {}
    for name in asked.only:
        print(f"--- {name}: {CONDITIONS[name].__doc__}", flush=True)
        passed[name] = run(CONDITIONS[name], [*asked.args, *more])
    print(*(f"{name}: {'passed' if good else 'failed'}" for name, good in passed.items()), sep="\n")
    sys.exit(0 if all(passed.values()) else 1)


if __name__ == "__main__":
    main()
