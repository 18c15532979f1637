"""Progress without a terminal, as Git's hooks show it."""

import pytest

from registry.core import progress


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes any time is told, and each state of it."""
    monkeypatch.setattr(progress, "DELAY", 1e-9)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr(progress, "MIN_INTERVAL", 0)


def count_to(total: int) -> None:
    with progress.bar("linking", total) as advance:
        for _ in range(total):
            advance(1, 0)


@pytest.mark.usefixtures("_impatient")
def test_hooks_tell_progress_by_lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROGRESS", "lines")
    count_to(3)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()
    assert all(line.startswith("registry: linking") for line in err.splitlines())
    assert "\r" not in err
    assert "3.00/3.00" in err


@pytest.mark.usefixtures("_impatient")
def test_without_a_terminal_there_is_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    count_to(3)
    assert capfd.readouterr() == ("", "")


def test_short_work_is_silent(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROGRESS", "lines")
    monkeypatch.setattr(progress, "DELAY", 1e9)
    count_to(3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_impatient")
def test_lines_have_an_interval(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROGRESS", "lines")
    monkeypatch.setattr(progress, "INTERVAL", 1e9)
    count_to(100)
    assert len(capfd.readouterr().err.splitlines()) == 1
