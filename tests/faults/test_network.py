"""Faults of networks and servers: each command overcomes or reports them, and never accepts corrupt content."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import pytest

from registry.storage import cloud_config, cloud_listing, connection, retry
from support.patience import PATIENCE
from support.s3_registry import Scene, World
from support.servers.fault_proxy import (
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    SLOW_DOWN,
    Answer,
    Corrupt,
    Deed,
    Fault,
    Reset,
    Stale,
    Truncate,
    Wait,
    always,
    only,
)
from support.servers.http_wire import Request

COMMANDS = ("build", "push", "check", "publish", "fsck", "fetch")
STALL = Wait(3600)
SKEWED = Answer(403, "RequestTimeTooSkewed", "The difference between the request time and the server's is too large.")

# --- the table --------------------------------------------------------------------------------------------------------

PASSING: Mapping[str, Deed] = {
    "500": INTERNAL_ERROR,
    "503": SLOW_DOWN,
    "reset": Reset(),
    "reset when done": Reset(served=True),
    "stall": STALL,
    "corrupt": Corrupt(),
}
# What stays, and the words of which each message has one: that of the first request which meets it.
LASTING: Mapping[str, tuple[Deed, tuple[str, ...]]] = {
    "503": (SLOW_DOWN, ("the server limits the rate of requests", "the server responded with 503")),
    "reset": (Reset(), ("the connection broke before the response", "the server could not be reached")),
    "stall": (STALL, ("the connection timed out", "the server could not be reached")),
    "truncated": (Truncate(), ("the connection broke before the response was complete",)),
    "corrupt": (Corrupt(), ("checksum mismatch", "do not match the checksum that the server has")),
    "expired": (EXPIRED_TOKEN, ("the credentials have expired",)),
    "clock": (SKEWED, ("this machine's clock is wrong", "that this machine's clock is right")),
}


def is_read(request: Request) -> bool:
    """Whether its response has the content of an object."""
    return request.kind == "get"


def first_reads() -> Callable[[Request], bool]:
    """Whether it is the first request for an object: identical bytes of two responses are trusted, and hashed."""
    seen: set[str] = set()

    def when(request: Request) -> bool:
        if not is_read(request) or request.target in seen:
            return False
        seen.add(request.target)
        return True

    return when


@contextmanager
def hurried(scene: Scene, deed: str = "", *, stays: bool = False) -> Iterator[None]:
    """Pauses between attempts take a hundredth of their time.

    A command gives up early only if a fault is permanent, and requests time out early only in a stall, and then not
    before three times what the whole command took undisturbed: a busy machine is not to look like a fault.
    """
    silence = max(1.5, 3 * scene.seconds) if deed == "stall" else PATIENCE
    backoff = {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(milliseconds=50), "base": 2}
    tries = {"backoff": backoff, "retry_timeout": timedelta(seconds=2 if stays and deed == "stall" else PATIENCE)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud_config, "RETRIES", {**cloud_config.RETRIES, **tries})
        patch.setattr(cloud_config, "READ_TIMEOUT", silence)
        patch.setattr(cloud_config, "WRITE_TIMEOUT", silence)
        patch.setattr(connection, "COPY_TIMEOUT", silence)
        patch.setattr(retry, "RETRY_SECONDS", 0.2 if stays else PATIENCE)
        patch.setattr(retry, "LONGEST_DELAY", 0.05)
        yield


@pytest.fixture
def scene(world: World, played: Mapping[str, Scene], command: str) -> Iterator[Scene]:
    """A command that is about to begin; afterwards nothing is wrong with the network any more."""
    world.enter(played[command].begin)
    yield played[command]
    world.proxy.clear()


def ends_well(world: World, scene: Scene) -> bool:
    """Whether, once the network is sound, the command run again leaves what it always does."""
    world.proxy.clear()
    done = world.run(*scene.args)
    assert done.code == 0, done.err
    assert world.broken_promises() == []
    return world.trace() == scene.end


@pytest.mark.parametrize("deed", PASSING)
@pytest.mark.parametrize("command", COMMANDS)
def test_transient_faults_are_retried(world: World, scene: Scene, deed: str) -> None:
    if deed == "corrupt":
        world.proxy.add(Fault(Corrupt(), first_reads(), times=2))
    else:
        times = 1 if deed == "stall" else 2
        world.proxy.add(Fault(PASSING[deed], times=times), Fault(PASSING[deed], times=times, after=scene.requests // 2))
    with hurried(scene, deed):
        done = world.run(*scene.args)
    assert done.code == 0, done.out + done.err
    assert world.trace() == scene.end


@pytest.mark.parametrize("command", ["build", "push"])
def test_an_upload_that_times_out_is_sent_again(world: World, scene: Scene) -> None:
    """It is create-only, so obstore does not repeat it."""
    world.proxy.add(Fault(STALL, only("put")))
    with hurried(scene, "stall"):
        done = world.run(*scene.args)
    assert done.code == 0, done.out + done.err
    assert world.trace() == scene.end


@pytest.mark.parametrize("deed", LASTING)
@pytest.mark.parametrize("command", COMMANDS)
def test_permanent_faults_are_reported_and_nothing_is_lost(world: World, scene: Scene, deed: str) -> None:
    what, words = LASTING[deed]
    on_bodies = isinstance(what, Truncate | Corrupt)
    world.proxy.add(Fault(what, is_read if on_bodies else always, None, after=0 if on_bodies else scene.requests // 2))
    with hurried(scene, deed, stays=True):
        done = world.run(*scene.args)
    said = done.out + done.err
    assert world.leaks(said) == []
    if (scene.name, deed) == ("build", "corrupt"):
        return  # a lake's ETag need not be an MD5: two identical responses are trusted
    if done.code == 0:
        assert on_bodies, said
        assert world.trace() == scene.end, "it did not need what was not available"
    else:
        ended = deed in {"expired", "clock"} and scene.name != "check"  # which has findings, and names what is unknown
        assert done.code == (4 if ended else 1), said
        assert "hint: " in said
        assert any(word in said for word in words), said
    assert world.wrong_objects() == []
    assert ends_well(world, scene)


# --- listings from before ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_a_listing_from_before(world: World, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every listing says what there was when the buckets were empty."""
    monkeypatch.setattr(cloud_listing, "ONE_BY_ONE", 0)  # listed, not asked for one by one
    monkeypatch.setattr(cloud_listing, "FEW_IN_FOLDER", 0)
    world.proxy.add(Fault(Stale(), only("list"), None))
    begin = {name: world.contents(name) for name in scene.begin.buckets}
    world.fill({name: {} for name in begin})
    with hurried(scene):
        world.run(*scene.args)
        world.fill(begin)
        done = world.run(*scene.args)
    assert done.code == 0 or (done.code == 1 and "hint: " in done.out + done.err), done.out + done.err
    assert world.wrong_objects() == []
    assert scene.name == "fsck" or world.broken_promises() == []
    assert ends_well(world, scene)
