"""A consumer without DVC reads the remotes of a registry as DVC itself does."""

from pathlib import Path

import platformdirs.macos
import platformdirs.unix
import pytest
from dvc import dirs
from dvc.cli import main
from dvc.config import Config

from registry.client import dvc_remotes
from registry.core.settings import DVC_CONFIG
from registry.errors import InvalidDocument
from registry.storage import dvc_config

COMMITTED = [
    ("add", "public", "https://data.acme.example/"),
    ("add", "archive", "s3://acme-archive/x"),
    ("modify", "production", "url", "s3://acme-production"),
    ("modify", "production", "region", "eu-central-1"),
]
LOCAL = [
    ("modify", "--local", "production", "profile", "team"),
    ("modify", "--local", "staging", "url", "../elsewhere"),
]
GLOBAL = [("add", "--global", "archive", "s3://other"), ("modify", "--global", "archive", "credentialpath", "~/keys")]


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))


def configure(root: Path, *commands: tuple[str, ...]) -> None:
    for command in commands:
        assert main(["--cd", str(root), "remote", *command]) == 0


def test_the_remotes_are_those_that_dvc_reads(registry_repo: Path) -> None:
    configure(registry_repo, *COMMITTED, *GLOBAL, *LOCAL)
    committed = (registry_repo / DVC_CONFIG).read_bytes()
    ours, theirs = dvc_remotes.read(committed, registry_repo), dvc_config.load(registry_repo)

    def places(remotes: object) -> dict[str, tuple[str, dict[str, str]]]:
        assert isinstance(remotes, dict)
        found = {name: (str(registry_repo / remote.url), dict(remote.options)) for name, remote in remotes.items()}
        return {name: (url if "://" not in remotes[name].url else remotes[name].url, options)
                for name, (url, options) in found.items()}  # fmt: skip

    assert places(ours) == places(theirs)
    assert ours["production"].options == {"region": "eu-central-1", "profile": "team"}


def test_a_name_that_only_this_machine_has_is_no_remote_of_the_registry(registry_repo: Path) -> None:
    configure(registry_repo, ("add", "--global", "public", "https://mine.example"))
    assert "public" not in dvc_remotes.read((registry_repo / DVC_CONFIG).read_bytes())


@pytest.mark.parametrize(
    "line", ["    configpath = evil", "    ssl_verify = false", "    verify = false", "    profile = me", '  "url" = x']
)
def test_a_committed_file_can_name_no_program_and_no_person(registry_repo: Path, line: str) -> None:
    text = f"{(registry_repo / DVC_CONFIG).read_text().rstrip()}\n{line}\n"
    with pytest.raises(InvalidDocument):
        dvc_remotes.read(text.encode())


def test_dvcs_folders_are_where_dvc_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.delenv(name)
    own, system = dvc_remotes.own_folder(), dvc_remotes.system_folder()
    assert (own, system) == (dirs.global_config_dir(), dirs.system_config_dir())
    for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "darwin")
    mac = platformdirs.macos.MacOS(dirs.APPNAME, dirs.APPAUTHOR)
    assert (dvc_remotes.own_folder(), dvc_remotes.system_folder()) == (mac.user_config_dir, mac.site_config_dir)
    monkeypatch.setattr("sys.platform", "linux")
    for value in ("", "/one:/two"):
        monkeypatch.setenv("XDG_CONFIG_DIRS", value)
        unix = platformdirs.unix.Unix(dirs.APPNAME, dirs.APPAUTHOR)
        assert dvc_remotes.system_folder() == unix.site_config_dir
    assert Config.CONFIG == "config"
