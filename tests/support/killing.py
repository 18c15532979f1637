"""Kills commands at random moments on S3, runs them again, and reports whether anything was lost.

`make test` runs a few rounds, `make soak` runs them for minutes: `python -m support.killing --minutes 10 [--seed N]`.
A round is determined by its seed, which it prints: with it the round can be repeated.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.patience import PATIENCE
from support.s3_registry import Scene, World, open_world, scenes
from support.servers.fault_proxy import Fault, Wait
from support.servers.http_wire import Request

KILLED = ("build", "push", "pull", "publish", "fsck", "export")
JITTER = (
    0.04  # seconds after a request within which the kill happens; TAIL after the last request, where Git and DVC work
)
TAIL = 0.8


@dataclass(frozen=True)
class Moment:
    """When a command is killed: `seconds` after its `request`th request (0: after its start)."""

    request: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.0f} ms after request {self.request}"


@dataclass(frozen=True)
class Round:
    """One command that is killed once, or again in the run that continues its work."""

    seed: int
    command: str
    moments: tuple[Moment, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.command} killed {', again '.join(map(str, self.moments))}"


def make_round(seed: int, played: Mapping[str, Scene], command: str = "") -> Round:
    """The round of a seed, of `command` if given."""
    chance = random.Random(seed)
    chosen = chance.choice(KILLED)
    scene = played[command or chosen]
    return Round(seed, scene.name, tuple(_moment(chance, scene.requests) for _ in range(chance.choice((1, 1, 2)))))


def _moment(chance: random.Random, requests: int) -> Moment:
    request = chance.randint(0, requests)
    return Moment(request, chance.uniform(0, JITTER if 0 < request < requests else TAIL))


def run_round(world: World, scene: Scene, this: Round) -> list[str]:
    """The violations after a round; an empty list is success."""
    world.enter(scene.begin)
    wrong: list[str] = []
    for moment in this.moments:
        _kill(world, scene, moment)
        wrong += _broken(world, scene, f"killed {moment}")
    world.proxy.clear()
    process = world.start(*scene.args)
    out, err = process.communicate(timeout=PATIENCE)
    if process.returncode:
        wrong.append(f"run again, it exits with {process.returncode}: {out}{err}")
    wrong += _broken(world, scene, "run again")
    now = world.trace()
    differing = [name for name, value in scene.end.items() if now[name] != value]
    return wrong + [f"run again, {name} differs: {_difference(scene.end[name], now[name])}" for name in differing]


def _broken(world: World, scene: Scene, when: str) -> Iterator[str]:
    """Violations of promise 1, and corrupt objects. A repair begins with a broken promise."""
    if scene.name != "fsck":
        yield from (f"{when}: {fault}" for fault in world.broken_promises())
    yield from (f"{when}: checksum mismatch: {key}" for key in world.wrong_objects())


def _difference(before: object, now: object) -> str:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return f"{before!r} → {now!r}"
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key}: {before.get(key)!r} → {now.get(key)!r}" for key in keys[:3])


def _kill(world: World, scene: Scene, moment: Moment) -> None:
    """Send SIGKILL to the command and all that it started, unless it has ended."""
    world.proxy.clear()
    has_come, count = threading.Event(), 0

    def watch(_: Request) -> bool:
        nonlocal count
        count += 1
        if count >= moment.request:
            has_come.set()
        return False

    world.proxy.add(Fault(Wait(0), watch, times=None))
    process = world.start(*scene.args)
    try:
        _wait(process, has_come if moment.request else None, moment.seconds)
    finally:
        _end(process)
    for lock in world.origin.rglob("*.lock"):  # a real Git server would run elsewhere, and not be killed
        lock.unlink()


def _wait(process: "subprocess.Popen[str]", event: threading.Event | None, seconds: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while event and not event.wait(0.005) and process.poll() is None and time.monotonic() < deadline:
        pass
    time.sleep(seconds)


def _end(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):  # it has ended, and its workers with it
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# --- make soak --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Run rounds until the time is over; exit with 1 and the seed at the first violation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="run only the round of this seed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with _isolated_home(folder / "home"), open_world(folder / "world") as world:
            sys.exit(_soak(world, asked.minutes, asked.seed))


def _soak(world: World, minutes: float, seed: int | None) -> int:
    played, start = scenes(world), time.monotonic()
    first = random.SystemRandom().randrange(10**9) if seed is None else seed
    for number in range(first, first + 10**9):
        this, begun = make_round(number, played), time.monotonic()
        wrong = run_round(world, played[this.command], this)
        print(f"{this}: {'LOST' if wrong else 'nothing lost'} ({time.monotonic() - begun:.1f} s)", flush=True)
        if wrong:
            print("\n".join(wrong), f"repeat it: make soak SEED={number}", sep="\n")
            return 1
        if seed is not None or time.monotonic() - start > minutes * 60:
            return 0
    return 0


@contextmanager
def _isolated_home(home: Path) -> Iterator[None]:
    """A home folder without the user's settings."""
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname = Tess Ter\nemail = tess@example.com\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n"
    )
    for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_", "AWS_"))]:
        del os.environ[name]
    os.environ |= {
        "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(home / "dvc"),
    }  # fmt: skip
    yield


if __name__ == "__main__":
    main()
