import subprocess
import sys

import pytest

from registry.cli import main
from registry.errors import Refused


def fail(error: BaseException):
    def command(*_args: object, **_kwargs: object) -> None:
        raise error

    return command


@pytest.mark.parametrize(("error", "code", "words"), [
    (Refused("no", fix="do that"), 1, "error: no\n  hint: do that\n"),
    (KeyboardInterrupt(), 130, "interrupted\n  hint: run the same command again to continue\n"),
    (ZeroDivisionError("oh"), 3, "this is a bug in registry\n  hint: report it with the lines above\n"),
])  # fmt: skip
def test_errors_become_messages_and_exit_codes(error, code, words, monkeypatch, capsys) -> None:
    monkeypatch.setattr(main.cli, "main", fail(error))
    assert main.run([]) == code
    assert capsys.readouterr().err.endswith(words)


def test_every_command_of_the_table_exists_and_explains_itself(capsys) -> None:
    for name, _ in main.COMMANDS:
        assert main.run([name, "--help"]) == 0
        assert f"Usage: registry {name}" in capsys.readouterr().out


def test_an_unknown_command_is_an_expected_failure(capsys) -> None:
    assert main.run(["chekc"]) == 1
    assert "No such command 'chekc'" in capsys.readouterr().err


def test_help_names_every_command(capsys) -> None:
    assert main.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name, _ in main.COMMANDS)


def test_outside_a_registry_a_hint_is_printed(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-m", "registry", "list"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not in a Git repository\n  hint: cd into your registry" in done.stderr


def test_shells_complete_commands() -> None:
    env = {"_REGISTRY_COMPLETE": "bash_complete", "COMP_WORDS": "registry pub", "COMP_CWORD": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-m", "registry"], env=env, capture_output=True, text=True)
    assert "publish" in done.stdout
