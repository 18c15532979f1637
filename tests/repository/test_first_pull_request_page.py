"""Every command of docs/first-pull-request.md and docs/runner.md is run, or parsed by the program that it calls."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import repositories
from support.cloudformation import REQUIRED, Stack
from support.repositories import Run
from support.servers.github import GitHub, serve
from support.workflow_files import GITHUB, ROOT, WORKFLOWS

PAGE = (ROOT / "docs/first-pull-request.md").read_text()
RUNNER = (ROOT / "docs/runner.md").read_text()
PROGRAMS = ("registry", "make", "git", "gh")
STEPS = [row.split(" | ") for row in re.findall(r"^\| (\d+ \| .*) \|$", PAGE, re.MULTILINE)]


def commands(text: str) -> list[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [span for span in re.findall(r"`([^`]+)`", prose) if span.split()[0] in PROGRAMS and " " in span]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve(GitHub("acme/data", teams={"acme/vision": 5}, members={"acme/vision": ("ada", "bob")})) as hub:
        hub.users |= {"ada": 1, "bob": 2}
        hub.writers += ["acme/vision", "ada", "bob"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for name, value in {**hub.env(), "PATH": path}.items():
            monkeypatch.setenv(name, value)
        yield hub


@pytest.fixture
def copy(tmp_path: Path, run_registry: Run) -> Path:
    """A new copy of the template, after `registry init`."""
    first = run_registry(tmp_path, "init", "data", "--owner", "@ada", "--bucket", ".registry", "--lake", "lake")
    assert first.code == 0, first.err
    root = tmp_path / "data"
    (root / ".venv").symlink_to(Path(sys.prefix))
    repositories.add_origin(root)
    return root


def test_the_steps_are_typed_in_their_order(copy: Path, github: GitHub, run_registry: Run) -> None:
    repositories.commit(copy, "set up")
    repositories.git_in(copy, "push", "--quiet", "--set-upstream", "origin", "main")
    done: list[str] = []
    for number, step, check in STEPS:
        asked = commands(step) + commands(check)
        if number == "5":  # `Init` of the stack, with what the step adds
            [more] = re.findall(r"`(--again [^`]+)`", step)
            asked.insert(0, f"{Stack(**REQUIRED).outputs['Init']} {more}")
        for command in asked:
            if number == "6":
                repositories.commit(copy, "configure")
            if command.startswith("registry "):
                ran = run_registry(copy, *command.split()[1:])
                assert ran.code == 0, f"{command}\n{ran.out}\n{ran.err}"
            elif command.startswith("gh ") and not command.startswith("gh api"):
                require_known(command)
            else:
                ran = repositories.sh(copy, *command.split())
                assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
            done.append(command)
    assert [number for number, _, _ in STEPS] == [str(place + 1) for place in range(len(STEPS))]
    assert {"make setup", "registry protect --apply", "registry check --all", "git push", "registry list"} <= {*done}
    assert github.rulesets != []


def require_known(command: str) -> None:
    """`gh` has the command and its options; what it asks GitHub for is not stood in for."""
    words = [word for word in command.split() if not word.startswith("-")]
    shown = subprocess.run([*words[:3], "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert f"gh {words[1]} {words[2]}" in shown.stdout
    assert [word for word in command.split() if word.startswith("--") and word not in shown.stdout] == []


def test_the_actions_to_allow_are_those_of_the_workflows() -> None:
    uses = {use for path in GITHUB.rglob("*.yml") for use in re.findall(r"uses: ([\w-]+/[\w-]+)@", path.read_text())}
    foreign = {use for use in uses if not use.startswith(("actions/", "github/"))}
    assert set(re.findall(r"`([\w-]+/[\w-]+)@\*`", PAGE)) == foreign


def test_the_messages_are_those_of_the_program() -> None:
    files = [*(ROOT / "scripts/registry/report").glob("*.py"), ROOT / "scripts/registry/cli/commands/ci.py"]
    program = "\n".join(path.read_text() for path in files)
    for words in ("a draft", "programs changed, and the job", "did not run", "models are not reproduced"):
        assert words in PAGE
        assert words in program


@pytest.mark.usefixtures("github")
def test_the_labels_and_variables_of_the_runner_are_those_of_the_workflows() -> None:
    pull, night = WORKFLOWS["pull-request"], WORKFLOWS["nightly"]
    assert "| pull requests | `self-hosted`, `gpu` |" in RUNNER
    assert pull["jobs"]["train"]["runs-on"] == ["self-hosted", "gpu"]
    assert "| nightly models | `self-hosted`, `trusted-gpu` |" in RUNNER
    assert night["jobs"]["models"]["runs-on"] == ["self-hosted", "trusted-gpu"]
    assert "gh variable set TRUSTED_RUNNER --body true" in RUNNER
    assert "vars.TRUSTED_RUNNER == 'true'" in night["jobs"]["models"]["if"]
    named = [command for command in commands(RUNNER) if command.startswith("gh variable")]
    assert len(named) == 1
    for command in named:
        require_known(command)


def test_a_runner_for_one_job_is_configured(github: GitHub, tmp_path: Path) -> None:
    [ask, start] = re.findall(r"^(gh api .*|\./run\.sh .*)$", RUNNER, re.MULTILINE)
    runner = tmp_path / "run.sh"
    runner.write_text('#!/bin/sh\necho "$@"\n')
    runner.chmod(0o755)
    script = f"{ask.replace('OWNER/NAME', github.repository)}\n{start}\n"
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "--jitconfig eyJ9\n"), done.stderr
    [call] = [call for call in github.calls if call.method == "POST"]
    assert call.body["labels"] == ["self-hosted", "gpu"]
