"""Where the tests' browser comes from, with programs in place of a browser and of apt-get."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from support import browser

STARTS = "#!/bin/sh\necho '<html></html>'\n"
BROKEN = "#!/bin/sh\necho 'error while loading shared libraries: libpulse.so.0' >&2\nexit 127\n"
# Puts what lies beside it into the folder that is named in place of apt's cache.
APT_GET = """#!/bin/sh
echo "$@" >> "$0.log"
for word; do case "$word" in Dir::Cache::archives=*) cp "$(dirname "$0")"/*.deb "${word#*=}";; esac; done
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of PATH, on a machine without a browser: what its own fetched one lies in is `own`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cp", "dirname", "dpkg", "dpkg-deb", "env", "rm", "sh", "tar"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(browser, "OWN", tmp_path / "own")
    monkeypatch.setattr(browser, "MAC", str(tmp_path / "nowhere"))
    return folder


def find() -> list[str]:
    return browser.find.__wrapped__()


def package(machine: Path, text: str) -> None:
    """A package as Debian's is laid out, which apt-get has."""
    root = machine.parent / "package"
    program(root / "usr/lib/chromium/chromium-headless-shell", text)
    program(root / "usr/lib/x86_64-linux-gnu/pulseaudio/libpulsecommon.so", "")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN").chmod(0o755)  # dpkg-deb refuses one that umask made private
    (root / "DEBIAN/control").write_text(
        "Package: chromium\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "--build", root, machine / "chromium.deb"], check=True, capture_output=True)
    program(machine / "apt-get", APT_GET)


def test_the_first_on_path_that_starts_is_taken(machine: Path) -> None:
    program(machine / "chromium", BROKEN)
    program(machine / "google-chrome", STARTS)
    assert find() == [str(machine / "google-chrome")]


def test_one_that_is_named_has_to_start(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "chromium", STARTS)
    monkeypatch.setenv("CHROMIUM", str(program(machine / "mine", BROKEN)))
    with pytest.raises(AssertionError, match="mine does not start: exit code 127: error while loading"):
        find()


def test_without_apt_get_the_next_step_is_named(machine: Path) -> None:
    with pytest.raises(AssertionError, match="install Chromium, or name one: CHROMIUM="):
        find()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="not a Debian")
class TestDebian:
    def test_one_is_fetched_once_with_its_libraries(self, machine: Path) -> None:
        package(machine, STARTS)
        libraries, program = find()[1:]
        assert Path(program).is_relative_to(browser.OWN)
        assert libraries == f"LD_LIBRARY_PATH={browser.OWN}/usr/lib/x86_64-linux-gnu/pulseaudio"
        assert find()[1:] == [libraries, program]
        assert len((machine / "apt-get.log").read_text().splitlines()) == 1

    def test_one_that_no_longer_starts_is_fetched_again(self, machine: Path) -> None:
        package(machine, STARTS)
        program(browser.OWN / "usr/lib/chromium/chromium-headless-shell", BROKEN)
        assert browser.fault(find()) == ""

    def test_what_does_not_start_is_not_kept(self, machine: Path) -> None:
        package(machine, BROKEN)
        with pytest.raises(AssertionError, match=r"does not start here: install Chromium, or name one(.|\n)*libpulse"):
            find()
        assert sorted(path.name for path in machine.parent.iterdir()) == [".chromium-lock", "bin", "package"]

    def test_of_several_that_need_one_only_one_fetches_it(self, machine: Path) -> None:
        package(machine, STARTS)
        threads = [threading.Thread(target=find) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len((machine / "apt-get.log").read_text().splitlines()) == 1
