import sys

import pytest

from registry.errors import NotFound, ToolFailed
from registry.integrations.process import run


def test_output_is_returned_and_the_command_is_shown(capsys) -> None:
    assert run(["printf", "a b"]) == b"a b"
    assert capsys.readouterr() == ("", "$ printf 'a b'\n")


def test_a_quiet_command_is_not_shown_and_can_be_fed(capsys) -> None:
    assert run(["cat"], stdin=b"x", quiet=True) == b"x"
    assert capsys.readouterr().err == ""


def test_a_failure_carries_command_code_and_words() -> None:
    with pytest.raises(ToolFailed) as error:
        run([sys.executable, "-c", "import sys; sys.exit('no such luck')"])
    assert (error.value.code, error.value.stderr) == (1, "no such luck\n")
    assert "exited 1\n  no such luck" in str(error.value)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(NotFound, match="no-such-program is not installed"):
        run(["no-such-program"])


def test_what_takes_too_long_is_killed() -> None:
    with pytest.raises(ToolFailed) as error:
        run([sys.executable, "-c", "import time; time.sleep(3600)"], timeout=0.2)
    assert (error.value.code, error.value.stderr) == (124, "killed after 0.2 seconds")
