"""Every command that opens a store, with every answer that is no object: said for what it is, and nothing is written.

`tests/storage/test_cloud_errors.py` has the answers of one request each; here a command may swallow or rename them.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from registry.storage import cloud_config, retry
from support import certificates
from support.patience import PATIENCE
from support.s3_registry import PETS, Scene, World
from support.servers.fault_proxy import (
    EXPIRED_TOKEN,
    SLOW_DOWN,
    Answer,
    Deed,
    Fault,
    FaultProxy,
    Page,
    Reset,
    Truncate,
    always,
    only,
)
from support.servers.http_wire import Request
from support.servers.relay import TlsFront

# --- the commands -----------------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command, the scene in whose beginning it runs, and whether it needs the content of an object there."""

    scene: str
    args: tuple[str, ...]
    reads: bool = True


COMMANDS = {
    "build": Command("build", ("build", PETS)),
    "push": Command("push", ("push",), reads=False),
    "check": Command("check", ("check", "--all", "--remote")),
    "publish": Command("publish", ("publish",)),
    "fsck": Command("fsck", ("fsck",)),
    "fsck --deep": Command("fsck", ("fsck", "--deep")),
    "fsck --repair": Command("fsck", ("fsck", "--repair", "staging")),
    "pull": Command("fetch", ("pull", "--rev", "HEAD")),
    "gc": Command("fetch", ("gc", "--plan")),
    "verify": Command("fetch", ("verify", f"{PETS}@v1.0.0", "../part")),
}

# --- the answers ------------------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
REGION = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>eu-west-1</Region></Error>"
KMS = b"<Error><Code>AccessDenied</Code><Message>not authorized to perform: kms:Decrypt</Message></Error>"
MOVED = b"<Error><Code>PermanentRedirect</Code><Message>use another endpoint</Message></Error>"
NO_STORE = ("the server does not answer as an object store does", r"`dvc remote modify \w+ endpointurl URL`")
IN_REGION = ("the bucket is in the region eu-west-1", r"dvc remote modify (\w+) region eu-west-1")
AGAIN = "then run the same command again"
BROKEN = ("the connection broke before the response was complete", f"check the network, {AGAIN}")


class Case(NamedTuple):
    """What befalls which requests, and what is said of it: the words of the fault, and the pattern of the hint."""

    deed: Deed
    words: tuple[str, str]
    when: Callable[[Request], bool] = always
    on_reads: bool = False


ENDED = ("the server does not know this access key", "the credentials have expired", "no valid credentials: the login")
READS = only("get", "copy")
ANSWERS = {
    "no bucket": Case(Answer(404, "NoSuchBucket", "no"), ("the bucket does not exist", "check the endpoint, and")),
    "another region": Case(Page(301, MOVED, {"x-amz-bucket-region": "eu-west-1"}), IN_REGION),
    "signed for another region": Case(Page(400, REGION, {}), IN_REGION),
    "unknown key": Case(
        Answer(403, "InvalidAccessKeyId", "no"), ("the server does not know this access key", "check the endpoint")
    ),
    "wrong secret": Case(Answer(403, "SignatureDoesNotMatch", "no"), ("the signature does not match", "log in again")),
    "expired": Case(EXPIRED_TOKEN, ("the credentials have expired", f"log in again, {AGAIN}")),
    "ended, as some servers say it": Case(
        Answer(403, "AccessDenied", "The token has expired"), ("the credentials have expired", f"log in again, {AGAIN}")
    ),
    "denied": Case(Answer(403, "AccessDenied", "no"), ("access denied (", r"dvc remote modify --local \w+ profile")),
    "KMS": Case(Page(403, KMS, {}), ("its KMS key cannot be used", "ask the owner of the key"), READS, on_reads=True),
    "archived": Case(
        Answer(403, "InvalidObjectState", "no"),
        ("the object is archived", "ask an administrator"),
        READS,
        on_reads=True,
    ),
    "web page": Case(Page(200, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "page of a broken proxy": Case(
        Page(502, HTML, {"Content-Type": "text/html"}), ("the server responded with 502", "try again")
    ),
    "nothing": Case(Page(200, b"", {}), NO_STORE),
    "login page": Case(Page(302, b"", {"Location": "/login"}), NO_STORE),
    "cut": Case(Truncate(), BROKEN, only("get"), on_reads=True),
    "reset": Case(Reset(), BROKEN),
    "slow down": Case(SLOW_DOWN, ("the server limits the rate of requests", f"wait, {AGAIN}")),
}
GONE = Case(Answer(404, "NoSuchKey", "no"), ("missing", ""), READS)


@contextmanager
def hasty() -> Iterator[None]:
    """Few attempts, each at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "RETRY_SECONDS", 0.0)
        patch.setitem(cloud_config.RETRIES, "max_retries", 1)
        patch.setitem(cloud_config.RETRIES, "retry_timeout", timedelta(seconds=PATIENCE))
        patch.setitem(cloud_config.RETRIES, "backoff", {"init_backoff": timedelta(milliseconds=1)})
        yield


@pytest.fixture
def command(world: World, played: Mapping[str, Scene], name: str) -> Iterator[Command]:
    """A command in its state; where it reads lists of files, no cache has them."""
    chosen = COMMANDS[name]
    world.enter(played[chosen.scene].begin)
    if chosen.scene != "push":
        shutil.rmtree(world.root / ".dvc/cache", ignore_errors=True)
    part = world.root.parent / "part"
    part.mkdir()
    (part / "one.jpg").write_bytes(b"a part of the data")
    yield chosen
    world.proxy.clear()


def faults_in(said: str, words: tuple[str, str]) -> list[str]:
    """What is wrong with what was said: the fault with its place, and below it the hint."""
    fault, hint = words
    lines = said.splitlines()
    named = [number for number, line in enumerate(lines) if fault in line and re.search(r"s3://\w+", line)]
    if not named:
        return [f"nothing says {fault!r}"]
    below = [lines[number + 1] if number + 1 < len(lines) else "" for number in named]
    wrong = [line for line in below if not re.search(rf"hint: .*{hint}", line)]
    return [f"another hint: {line}" for line in wrong]


def problems(world: World, command: Command, words: tuple[str, str]) -> list[str]:
    """What is wrong with a run of the command."""
    with hasty():
        done = world.run(*command.args)
    said = done.out + done.err
    ended = words[0].startswith(ENDED)
    # `check` goes on without what it cannot verify, and has findings.
    expected = 4 if ended and command.args[0] != "check" else 1
    found = faults_in(said, words) if done.code == expected else [f"exit code {done.code}, expected {expected}"]
    found += ["damage is told"] if ended and re.search("corrupt|missing|mismatch|withdraw", said) else []
    found += ["a placeholder is printed"] if re.search(r"\{\w+\}|REMOTE|Traceback", said) else []
    found += [f"leaked {one}" for one in world.leaks(said)]
    return [f"{problem}\n{said}" for problem in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_answer_is_said_for_what_it_is(world: World, command: Command) -> None:
    before, wrong = world.trace(), []
    for answer, case in ANSWERS.items():
        if case.on_reads and not command.reads:
            continue
        world.proxy.add(Fault(case.deed, case.when, None))
        wrong += [f"{answer}: {problem}" for problem in problems(world, command, case.words)]
        world.proxy.clear()
    assert wrong == []
    assert world.trace() == before


@pytest.mark.parametrize("name", ["build", "publish", "fsck", "fsck --deep", "fsck --repair", "pull"])
def test_objects_that_are_listed_and_not_given_are_missing(world: World, command: Command) -> None:
    """They vanished in between, or the server is wrong: no reason to withdraw a version."""
    before = world.trace()
    world.proxy.add(Fault(GONE.deed, GONE.when, None))
    with hasty():
        done = world.run(*command.args)
    assert done.code == 1
    assert "missing" in done.out + done.err
    assert "withdraw" not in done.out + done.err
    world.proxy.clear()
    assert world.trace() == before


# --- no answer at all -------------------------------------------------------------------------------------------------


@contextmanager
def closed_port(_: FaultProxy, __: Path) -> Iterator[str]:
    """The address of a port where no server is."""
    with FaultProxy("http://127.0.0.1:9") as closed:
        url = closed.url
    yield url


@contextmanager
def unknown_host(_: FaultProxy, __: Path) -> Iterator[str]:
    """A name that no DNS has (RFC 6761)."""
    yield "http://s3.invalid:9000"


@contextmanager
def unknown_ca(proxy: FaultProxy, folder: Path) -> Iterator[str]:
    """A server with a certificate of its own."""
    with TlsFront(proxy.url, certificates.make().write(folder / "server.pem")) as front:
        yield front.url


@contextmanager
def no_tls(proxy: FaultProxy, _: Path) -> Iterator[str]:
    """A server without TLS, under a URL with https."""
    host, port = proxy.upstream
    yield f"https://{host}:{port}"


ADDRESSES = {
    "refused": (closed_port, ("the connection was refused: no server listens at that port", "check the port in")),
    "no host": (unknown_host, ("", "check the .*network")),  # a resolver may be silent instead
    "unknown CA": (unknown_ca, ("certificate is not trusted: no CA", r"modify --local \w+ ssl_verify /PATH/ca.pem")),
    "no TLS": (no_tls, ("the server does not use TLS at this port", "begins with http://")),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_address_is_said(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, wrong = world.trace(), []
    for address, (made, words) in ADDRESSES.items():
        with made(world.proxy, tmp_path) as url:
            monkeypatch.setitem(world.env, "AWS_ENDPOINT_URL", url)
            wrong += [f"{address}: {problem}" for problem in problems(world, command, words)]
    assert wrong == []
    assert world.trace() == before


@pytest.mark.parametrize("name", ["build"])
def test_the_lakes_hints_leave_staging_alone(world: World, command: Command) -> None:
    """It has staging's options, where no remote is called lake: another region is not to become staging's."""
    for answer, hint in (
        ("no bucket", "and the bucket's name: lake: in registry.yaml has its URL"),
        ("another region", "hint: dvc remote add lake s3://lake && dvc remote modify lake region eu-west-1"),
        ("denied", "`dvc remote add lake s3://lake && dvc remote modify --local lake profile NAME`"),
    ):
        world.proxy.clear()
        world.proxy.add(Fault(ANSWERS[answer].deed, always, None))
        assert hint in world.run(*command.args).err
