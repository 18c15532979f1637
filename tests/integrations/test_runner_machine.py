"""`registry ci runner`: what jobs on a GPU runner need, beside what the machine has."""

import shutil
import sys
from pathlib import Path

import pytest

from registry.integrations import runner_machine
from support.repositories import Run

JIT = '\ufeff{"agentId": 7, "agentName": "gpu-1", "ephemeral": true, "workFolder": "_work"}'


def program(path: Path, said: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with GitHub's runner, on a machine whose driver and torch fit; `bin` is all of its PATH."""
    folder = tmp_path / "actions-runner"
    program(folder / "bin/Runner.Listener", "2.330.0")
    (folder / ".runner").write_text(JIT, encoding="utf-8")
    for name in ("git", "make", "tar", "sh"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "/bin/true")
    program(tmp_path / "bin/nvidia-smi", "NVIDIA H200, 570.1")
    program(tmp_path / "bin/python", "13.0 True")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    monkeypatch.setattr(runner_machine, "DISK", 1)
    return folder


def test_a_machine_that_fits(machine: Path, run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(tmp_path, "ci", "runner", str(machine))
    assert done.code == 0, done.out + done.err
    assert "ok    GitHub's runner: 2.330.0\n" in done.out
    assert "ok    one job: ephemeral\n" in done.out
    assert "ok    driver: 570.1 (NVIDIA H200)\n" in done.out
    assert "wrong" not in done.out


def old(machine: Path) -> None:
    program(machine / "bin/Runner.Listener", "2.327.0")


def without(name: str) -> object:
    return lambda machine: (machine.parent / "bin" / name).unlink()


def permanent(machine: Path) -> None:
    (machine / ".runner").write_text(JIT.replace("true", "false"), encoding="utf-8")


def unreadable(machine: Path) -> None:
    (machine / ".runner").write_bytes(b"\xff")


def old_driver(machine: Path) -> None:
    program(machine.parent / "bin/python", "13.0 False")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (old, "wrong GitHub's runner: 2.327.0\n      hint: unpack release 2.327.1 or later"),
        (permanent, "wrong one job: every job\n      hint: register it with --ephemeral"),
        (unreadable, "wrong one job: every job"),
        (without("git"), "wrong git: missing\n      hint: install git"),
        (without("nvidia-smi"), "wrong driver: missing\n      hint: install the NVIDIA driver"),
        (old_driver, "wrong torch: CUDA build 13.0\n      hint: update the driver to one for CUDA 13.0"),
    ],
)
def test_a_machine_that_does_not_fit(machine: Path, run_registry: Run, tmp_path: Path, change, words: str) -> None:
    change(machine)
    done = run_registry(tmp_path, "ci", "runner", str(machine))
    assert done.refused("this machine does not fit")
    assert words in done.out


def test_a_machine_without_github_s_runner(machine: Path, run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(tmp_path, "ci", "runner", str(tmp_path / "nowhere"))
    assert done.refused("this machine does not fit: GitHub's runner")
    assert "one job: not registered yet" in done.out


def test_a_machine_with_little_space(
    machine: Path, run_registry: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_machine, "DISK", 10**18)
    assert run_registry(tmp_path, "ci", "runner", str(machine)).refused("this machine does not fit: disk")
