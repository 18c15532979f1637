"""No secret is in the output of a command, successful or not, nor in any file that it leaves."""

from collections.abc import Mapping

import pytest

from support.patience import PATIENCE
from support.s3_registry import Scene, World
from support.servers.fault_proxy import Answer, Fault

COMMANDS = ("build", "push", "check", "publish", "fsck", "pull")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_in_output_or_files(world: World, played: Mapping[str, Scene], command: str) -> None:
    """As a process of its own, with all that libraries may log. What fails is looked at in `test_network`."""
    scene = played[command]
    world.enter(scene.begin)
    process = world.start(*scene.args, RUST_LOG="trace", RUST_BACKTRACE="1")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert world.leaks(out + err) == []
    assert world.leaks_in_files() == []


@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_when_a_server_repeats_it(world: World, played: Mapping[str, Scene], command: str) -> None:
    """S3's answer to a wrong signature holds the access key and what was to be signed."""
    scene, key = played[command], world.server.credentials().access_key
    words = f"The signature that we calculated does not match: {key} AWS4-HMAC-SHA256 X-Amz-Signature={key}"
    world.enter(scene.begin)
    world.proxy.add(Fault(Answer(403, "SignatureDoesNotMatch", words), times=None))
    done = world.run(*scene.args)
    assert (done.code, world.leaks(done.out + done.err)) == (1, []), done.err
    assert world.leaks_in_files() == []
