"""What is printed is visible lines, and none is a command: the one place that prints, and four ways that lead to it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import console, errors
from registry.cli import main
from registry.errors import InvalidData, InvalidDocument, RegistryError, ToolFailed
from support import repositories
from support.repositories import Run

# As GitHub's runner reads a line: actions/runner, src/Runner.Common/ActionCommand.cs, TryParseV2 and TryParse.
COMMAND = re.compile(r"\s*::|.*##\[", re.DOTALL)
ATTACKS = [
    "\n::add-mask::x",
    "\r::error::x",
    "##[add-mask]x",
    "\x1b[31m",
    "\x9b2J",
    "\u2028::x::",
    "\u202e",
    "\x85::x",
    "\v::",
]
texts = st.lists(st.sampled_from([*ATTACKS, "::", " ", "\n", "a", ":", "\x07", "\udc80", "\U000e0041"])).map("".join)


def is_harmless(text: str) -> bool:
    """Whether no line is a command, and no character acts."""
    split = text.split("\n")
    visible = all(char.isprintable() or char in "\t\u2060\u200e" for line in split for char in line)
    return visible and not any(map(COMMAND.match, split))


@given(texts)
def test_whatever_is_printed_is_visible_lines_and_no_command(text: str) -> None:
    assert is_harmless(console.lines(text))
    assert console.lines(console.lines(text)) == console.lines(text)


@given(st.text("abc :#[]é✅…—\u2060\t\n").filter(is_harmless))
def test_what_is_harmless_is_printed_as_it_is(text: str) -> None:
    assert console.lines(text) == text


@given(st.recursive(texts, lambda inner: st.dictionaries(texts, inner), max_leaves=4))
def test_json_stays_the_same_json(value: object) -> None:
    for form in (json.dumps(value, indent=2), json.dumps(value, ensure_ascii=False)):
        assert json.loads(console.lines(form)) == value


@given(texts, texts)
def test_an_error_is_its_own_lines_only(text: str, fix: str) -> None:
    for error, most in (
        (RegistryError(text, fix=fix), 2),
        (InvalidDocument(text, text, line=3, fix=fix), 2),
        (InvalidData("found", [text.replace("\n  ", "")] * 12, fix=fix), errors.SHOWN + 3),
    ):
        assert str(error).count("\n") < most
        assert is_harmless(console.lines(str(error)))
    for line in str(ToolFailed(["git", text], 1, text)).split("\n")[1:]:
        assert line.startswith("  ")


# --- ways -------------------------------------------------------------------------------------------------------------


def test_the_name_of_a_file(built_model: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a\n::add-mask::success\n.dvc", "b\x1b[31m.py", "##[add-mask]x.dvc", "::stop-commands::x.pth"):
        (built_model / "models/pets" / name).write_text("x: 1\n")
    repositories.commit(built_model, "names")
    for command in (("check", "--all"), ("pull",), ("push",), ("checkout",), ("list",), ("report", "--base", "HEAD~1")):
        done = run_registry(built_model, *command)
        assert is_harmless(done.out), (command, done.out)
        assert is_harmless(done.err), (command, done.err)
        assert "bug in registry" not in done.err


def test_the_name_of_a_branch(merged_model: Path, run_registry: Run) -> None:
    branch = "x##[add-mask]y"
    done = run_registry(merged_model, "report", "--base", branch)
    assert done.code == 1
    assert branch.replace("#[", "\\u0023[") in done.err
    done = run_registry(merged_model, "check", "--base", "::add-mask::x\n::y")
    assert done.code == 1
    assert is_harmless(done.err)


def test_a_label(built_model: Path, run_registry: Run) -> None:
    manifest = built_model / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("- cat\n", '- "cat\\n::add-mask::x\\e[31m"\n'))
    for command in (("check", "--all"), ("build", "datasets/pets"), ("list",), ("diff", "HEAD")):
        done = run_registry(built_model, *command)
        assert is_harmless(done.out), (command, done.out)
        assert is_harmless(done.err), (command, done.err)


def test_the_text_of_a_server_or_a_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    body = "denied\n::error file=x::y\n##[add-mask]z\x1b[2J"
    for error in (ToolFailed(["gh", "api"], 1, body), RuntimeError(body), RegistryError(body, fix=body)):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(main.cli, "main", fail)
        assert main.run([]) == (3 if isinstance(error, RuntimeError) else 1)
        assert is_harmless(capsys.readouterr().err)
