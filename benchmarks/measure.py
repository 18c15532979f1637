"""Run the programs that benchmarks/README.md names, and write what they print into it: `make bench`.

A block of the page is a command, and what it printed the last time, with the commit and the machine that it ran on:

    <!-- measured: TMPDIR=/dev/shm benchmarks/build.py --images 20000 -->
    …
    <!-- end -->

Each block is written as soon as its program ends, so that an interrupted run keeps what it has measured. A program that
fails leaves its block as it was.

python benchmarks/measure.py [PART OF A COMMAND …]
"""

import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "benchmarks/README.md"
BLOCK = re.compile(r"<!-- measured: (?P<command>[^\n]+) -->\n.*?<!-- end -->\n", re.DOTALL)
SETTING = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True, slots=True)
class Command:
    """A program of this folder with its arguments, as the page has it, and the variables that are set for it."""

    text: str

    @property
    def env(self) -> dict[str, str]:
        """The variables that stand before the program."""
        return dict(word.split("=", 1) for word in shlex.split(self.text) if SETTING.fullmatch(word))

    @property
    def args(self) -> list[str]:
        """The program and its arguments."""
        return [word for word in shlex.split(self.text) if not SETTING.fullmatch(word)]

    def __str__(self) -> str:
        return self.text.replace("benchmarks/", "python benchmarks/", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="run only the commands that are, or else contain, one of these")
    only = parser.parse_args().only
    chosen = choose([*commands(PAGE.read_text())], only)
    if not chosen:
        raise SystemExit(f"{PAGE.relative_to(ROOT)} has no command with {' or '.join(map(repr, only))}")
    commit, failed = describe_commit(), []
    for number, command in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {command}", file=sys.stderr, flush=True)
        where, begun = describe_machine(commit), time.monotonic()
        done = run(command)
        if done.returncode or not done.stdout.strip():
            failed.append(command)
            continue
        PAGE.write_text(write(PAGE.read_text(), command, f"{where}, {time.monotonic() - begun:,.0f} s", done.stdout))
    if failed:
        raise SystemExit("failed, and not written: " + "; ".join(map(str, failed)))


def choose(known: Sequence[Command], only: Sequence[str]) -> list[Command]:
    """The commands that contain one of these words, or all; a word that is a whole command chooses that one alone."""
    whole = {one.text for one in known}.intersection(only)
    parts = [part for part in only if part not in whole]
    return [one for one in known if not only or one.text in whole or any(part in one.text for part in parts)]


def run(command: Command) -> subprocess.CompletedProcess[str]:
    """Run a program and take what it prints; its progress is shown."""
    env = {**os.environ, **command.env}
    program = [sys.executable, *command.args]
    return subprocess.run(program, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)


def commands(page: str) -> Iterator[Command]:
    """The commands of the page's blocks, in their order."""
    return (Command(block["command"]) for block in BLOCK.finditer(page))


def write(page: str, command: Command, where: str, printed: str) -> str:
    """The page with what a command printed, and where it ran."""
    text = f"<!-- measured: {command.text} -->\n`{command}`, {where}.\n\n{printed.strip()}\n<!-- end -->\n"
    return BLOCK.sub(lambda block: text if block["command"] == command.text else block[0], page)


def describe_commit() -> str:
    """The commit that is checked out, and whether the programs are as it has them."""
    changed = git("status", "--porcelain", "--", "scripts", "benchmarks/*.py", "requirements.txt")
    return git("rev-parse", "--short=9", "HEAD").strip() + (" with changes" if changed else "")


def git(*args: str) -> str:
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def describe_machine(commit: str) -> str:
    """Commit, date, processor, memory and the load before the run, in words."""
    today = datetime.datetime.now(datetime.UTC).date()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    machine = f"{os.cpu_count()} cores ({processor()}), {memory:.0f} GB, Python {platform.python_version()}"
    return f"commit {commit}, {today}, {machine}, load {os.getloadavg()[0]:.1f} before"


def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
