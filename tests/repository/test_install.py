"""`scripts/install.py`, run on a project of its own whose index is a folder of wheels."""

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support import repositories, wheels

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
INSTALL = runpy.run_path(str(ROOT / "scripts/install.py"))
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "registry"
version = "1.0.0"
dependencies = ["base"]

[project.optional-dependencies]
hooks = ["hook"]
train = ["trainer"]
"""
BACKEND = """
from wheels import write_wheel

ABOUT = (
    "Requires-Dist: base",
    "Provides-Extra: hooks",
    "Requires-Dist: hook; extra == 'hooks'",
    "Provides-Extra: train",
    "Requires-Dist: trainer; extra == 'train'",
)

def build_editable(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, "registry", "1.0.0", *ABOUT)
"""


NAMES = ("base", "hook", "trainer", "builder")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project with two groups, pinned to 1.0 of everything, with hashes; the folder `index` beside it has that."""
    root, index = tmp_path / "project", tmp_path / "index"
    (root / "scripts/registry").mkdir(parents=True)
    (root / "scripts/install.py").write_bytes((ROOT / "scripts/install.py").read_bytes())
    (root / "wheels.py").write_bytes(Path(wheels.__file__).read_bytes())
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PYPROJECT)
    index.mkdir()
    pin(root, "1.0")
    return root


@pytest.fixture(scope="module")
def _venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def project(fresh: Path, _venv: Path) -> Path:
    """`fresh`, with a .venv in which nothing is installed: making one takes longer than most installations here."""
    shutil.copytree(_venv, fresh / ".venv", symlinks=True, copy_function=os.link)
    return fresh


def pin(root: Path, version: str, *names: str) -> None:
    """Lock packages of the index, in a version that is made there."""
    groups = {"base": "base hooks train", "hook": "hooks", "trainer": "train gs", "builder": "build"}
    lines = []
    for name in names or NAMES:
        wheel = root.parent / "index" / wheels.write_wheel(root.parent / "index", name, version)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # {groups.get(name, 'dev')}\n")
    (root / "requirements.txt").write_text("".join(lines))
    (root / "requirements-torch.txt").write_text("")


def install(root: Path, *groups: str, uv: bool = True, **env: str) -> str:
    """Standard error of an installation that succeeds."""
    done = attempt(root, *groups, uv=uv, **env)
    assert done.returncode == 0, done.stderr
    return done.stderr


def attempt(root: Path, *groups: str, uv: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """pip is configured with the index beside the project and nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "INSTALLER"))}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin" if uv else "/usr/bin:/bin"
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(root.parent / "index")}
    command = [sys.executable, "scripts/install.py", *groups]
    return subprocess.run(command, cwd=root, env={**clean, "PATH": path, **pip, **env}, capture_output=True, text=True)


def versions(root: Path) -> dict[str, str]:
    packages = [str(folder) for folder in root.glob(".venv/lib/python*/site-packages")]
    found = {one.name: one.version for one in metadata.distributions(path=packages)}
    return {name: version for name, version in found.items() if name not in ("pip", "setuptools")}


@pytest.mark.parametrize("env", [{}, {"INSTALLER": "pip"}], ids=["uv", "pip"])
def test_groups_add_up_and_move_with_the_lock(project: Path, env: dict[str, str]) -> None:
    assert "with pip" not in install(project, **env)
    assert versions(project) == {"registry": "1.0.0", "builder": "1.0", "base": "1.0"}
    install(project, "train", **env)
    install(project, "hooks", **env)
    assert versions(project) == {"registry": "1.0.0", "builder": "1.0", "base": "1.0", "hook": "1.0", "trainer": "1.0"}
    assert install(project, "hooks", "train", **env) == install(project, **env) == ""

    pin(project, "2.0")
    said = install(project, "hooks", **env)
    assert said == "installing into .venv: registry hooks train (a minute or two)\n"
    assert versions(project) == {"registry": "1.0.0", "builder": "2.0", "base": "2.0", "hook": "2.0", "trainer": "2.0"}


@pytest.fixture
def copy(project: Path) -> Path:
    """`project` as a copy: without the code, with two commits of it in the repository `template` beside it."""
    index, template = project.parent / "index", project.parent / "template"
    reader = wheels.write_wheel(index, "yaml", "1.0", module="from json import loads as safe_load")
    digest = hashlib.sha256((index / reader).read_bytes()).hexdigest()
    with (project / "requirements.txt").open("a") as file:
        file.write(f"yaml==1.0 --hash=sha256:{digest}\n    # base\n")
    template.mkdir()
    for name in ("wheels.py", "backend.py", "pyproject.toml"):
        (project / name).rename(template / name)
    (template / "pyproject.toml").write_text(PYPROJECT.replace('"registry"', '"registry-as-code"'))
    (project / "scripts/registry").rmdir()
    repositories.git_in(template, "init", "--quiet")
    for number in (1, 2):
        build = f"""
def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, "registry_as_code", "1.0.0", module="commit = {number}")
"""
        (template / "backend.py").write_text(BACKEND + build)
        repositories.commit(template, str(number))
    pin_tooling(project, "HEAD^")
    return project


def pin_tooling(root: Path, revision: str) -> None:
    template = root.parent / "template"
    commit = repositories.git_in(template, "rev-parse", revision)
    pin = {"source": template.as_uri(), "version": "1.0.0", "commit": commit}
    (root / "registry.yaml").write_text(json.dumps({"template": pin}))


@pytest.mark.parametrize("env", [{}, {"INSTALLER": "pip"}], ids=["uv", "pip"])
def test_a_copy_has_the_tooling_of_the_commit_that_it_names(copy: Path, env: dict[str, str]) -> None:
    said = install(copy, "hooks", **env)
    assert "with pip" not in said
    assert installed_commit(copy) == "1"
    assert {"base", "hook"} <= versions(copy).keys()
    assert install(copy, "hooks", **env) == ""
    pin_tooling(copy, "HEAD")
    install(copy, **env)
    assert installed_commit(copy) == "2"


def installed_commit(root: Path) -> str:
    code = "import registry_as_code; print(registry_as_code.commit)"
    return subprocess.check_output([root / ".venv/bin/python", "-c", code], text=True).strip()


def test_a_copy_may_name_a_wheel_which_must_be_the_one_that_it_names(copy: Path) -> None:
    folder = copy.parent / "release"
    folder.mkdir()
    wheel = folder / wheels.write_wheel(folder, "registry_as_code", "1.0.0", module="commit = 'of a wheel'")
    pin = {"source": "https://example.org/x", "version": "1.0.0", "commit": "a" * 40}
    for digest, code in (("0" * 64, 1), (hashlib.sha256(wheel.read_bytes()).hexdigest(), 0)):
        named = {**pin, "wheel": f"{wheel.as_uri()}#sha256={digest}"}
        (copy / "registry.yaml").write_text(json.dumps({"template": named}))
        assert attempt(copy).returncode == code
    assert installed_commit(copy) == "of a wheel"


@pytest.mark.parametrize(
    "pin",
    [None, {}, {"source": "https://example.org/x", "commit": "main"}, {"source": "--help", "commit": "a" * 40}],
    ids=["no file", "nothing", "a branch", "an option"],
)
def test_a_pin_that_is_no_commit_is_refused(copy: Path, pin: dict[str, str] | None) -> None:
    (copy / "registry.yaml").unlink()
    if pin is not None:
        (copy / "registry.yaml").write_text(json.dumps({"template": pin}))
    done = attempt(copy)
    assert done.returncode == 1
    assert "registry.yaml: no valid template:, expected source (a URL), version and commit" in done.stderr


def test_a_venv_whose_python_is_gone_is_made_again(project: Path) -> None:
    install(project)
    for name in (project / ".venv/bin").glob("python*"):
        name.unlink()
    (project / ".venv/bin/python").symlink_to("/nowhere/python3")
    install(project)
    assert versions(project) == {"registry": "1.0.0", "builder": "1.0", "base": "1.0"}


def test_a_venv_without_pip_gets_it(fresh: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh / ".venv"], check=True)
    install(fresh)
    assert versions(fresh) == {"registry": "1.0.0", "builder": "1.0", "base": "1.0"}


def test_a_venv_of_another_checkout_is_left_as_it_is(fresh: Path) -> None:
    (fresh / ".venv").symlink_to(sys.prefix)
    state = Path(sys.prefix, "installed.json")
    before = state.read_bytes() if state.exists() else None
    assert install(fresh, "train") == ""
    assert (state.read_bytes() if state.exists() else None) == before


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"PIP_NO_BINARY": "other"}, "uv has no option for pip's setting no-binary"),
        ({"uv": ""}, "uv is not available"),
        ({"UV_CONFIG_FILE": "/nowhere/uv.toml"}, "uv failed"),
    ],
    ids=["unknown setting", "no uv", "uv fails"],
)
def test_pip_installs_what_uv_cannot(project: Path, env: dict[str, str], why: str) -> None:
    said = install(project, "hooks", **{**env, "uv": "uv" not in env})
    assert f"\n{why}\ninstalling with pip, which can take minutes\n" in said
    assert versions(project) == {"registry": "1.0.0", "builder": "1.0", "base": "1.0", "hook": "1.0"}


def test_uv_is_installed_if_there_is_none(fresh: Path) -> None:
    """The package is a stand-in that fails: that it was run shows that it was installed."""
    locked = (fresh / "requirements.txt").read_text()
    wheel = (
        fresh.parent / "index" / wheels.write_wheel(fresh.parent / "index", "uv", "1.0", program="#!/bin/sh\nexit 1\n")
    )
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (fresh / "requirements.txt").write_text(f"{locked}uv==1.0 \\\n    --hash=sha256:{digest}\n    # dev\n")
    assert "uv failed" in install(fresh, uv=False)
    assert (fresh / ".venv/bin/uv").is_file()


# --- hashes -----------------------------------------------------------------------------------------------------------

HOW = pytest.mark.parametrize("env", [{}, {"INSTALLER": "pip"}], ids=["uv, then pip", "pip"])


@HOW
@pytest.mark.parametrize("name", ["base", "builder", "trainer"])
def test_a_file_with_another_hash_is_refused(project: Path, env: dict[str, str], name: str) -> None:
    """The index has a wheel of the same name and version, and other content: that of every group, and what builds."""
    wheels.write_wheel(project.parent / "index", name, "1.0", "Summary: malicious")
    done = attempt(project, "train", **env)
    assert done.returncode != 0
    assert "HASHES" in done.stderr  # in pip's words, which is asked last
    assert name not in versions(project)
    assert not (project / ".venv/installed.json").exists()


def test_uv_by_itself_refuses_a_file_with_another_hash(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(project)
    wheels.write_wheel(project.parent / "index", "trainer", "1.0", "Summary: malicious")
    monkeypatch.chdir(project)
    monkeypatch.setenv("UV_CACHE_DIR", str(project / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    settings = {"no-index": "1", "find-links": str(project.parent / "index")}
    wanted = list(INSTALL["parts"](frozenset({"train"}), settings))
    assert INSTALL["uv"](wanted, settings) is False
    assert "trainer" not in versions(project)


@HOW
def test_a_package_that_the_lock_does_not_have_is_refused(project: Path, env: dict[str, str]) -> None:
    index = project.parent / "index"
    wheels.write_wheel(index, "unlocked", "1.0")
    wheel = index / wheels.write_wheel(index, "base", "1.0", "Requires-Dist: unlocked")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lines = (project / "requirements.txt").read_text()
    (project / "requirements.txt").write_text(re.sub(r"(?<=sha256:)[0-9a-f]{64}", digest, lines, count=1))
    done = attempt(project, **env)
    assert done.returncode != 0
    assert "unlocked" in done.stderr
    assert versions(project).keys() <= {"builder"}


@HOW
def test_torch_alone_may_come_from_elsewhere(project: Path, env: dict[str, str]) -> None:
    """Without a folder that has another build, its hash is compared, too."""
    index = project.parent / "index"
    listed = ""
    for name in ("torch", "cuda"):
        wheel = index / wheels.write_wheel(index, name, "1.0")
        listed += f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    (project / "requirements-torch.txt").write_text(listed)
    wheels.write_wheel(index, "torch", "1.0", "Summary: malicious")
    refused = attempt(project, "train", **env)
    assert refused.returncode != 0
    assert "torch" not in versions(project)
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    other = wheels.write_wheel(index, "torch", "1.0+cpu")
    (index / other).rename(index / other.replace("py3-none", f"{tag}-none"))
    install(project, "train", **env)
    found = versions(project)
    assert found["torch"] == "1.0+cpu"
    assert "cuda" not in found


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_the_locks_pin_all_of_pyproject_with_hashes_and_groups() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {"base": project["dependencies"], **project["optional-dependencies"]}
    locks = {name: list(INSTALL["packages"](ROOT / name)) for name in ("requirements.txt", "requirements-torch.txt")}
    pinned = {(package.name, package.version): package for lock in locks.values() for package in lock}
    assert len(pinned) > 200
    for group, requirements in asked.items():
        for one in map(Requirement, requirements):
            found = [package for (name, _), package in pinned.items() if name == one.name]
            assert found, f"{one}: make lock"
            assert all(one.specifier.contains(package.version) for package in found), f"{one}: make lock"
            assert one.name == "torch" or all(group in package.groups for package in found), f"{one}: make lock"
    assert [name for (name, _), package in pinned.items() if "--hash=sha256:" not in package.lines] == []
    assert [package.name for package in locks["requirements.txt"] if not package.groups] == []
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(backend) <= set(asked["build"])


# --- plug-ins of DVC --------------------------------------------------------------------------------------------------

PLUGINS = {
    "none": ("[core]\n    remote = staging\n", set()),
    "s3": ("['remote \"staging\"']\n    url = s3://acme/staging\n", set()),
    "gs": ("['remote \"staging\"']\n    url = gs://acme/staging\n", {"gs"}),
    "both": ('[\'remote "a"\']\nurl=azure://acme/a\n[\'remote "b"\']\n\turl = "gs://acme/b"\n', {"gs", "azure"}),
    "quotes, and in capitals": ("['remote \"a\"']\n    'url' = 'GS://acme/a'\n", {"gs"}),
    "CRLF": ("['remote \"a\"']\r\n    url = azure://acme/a\r\n", {"azure"}),
    "in a comment": ("['remote \"a\"']\n    # url = gs://acme/a\n    url = /data\n", set()),
    "of another option": ("['remote \"a\"']\n    url = s3://a/gs://b\n    endpointurl = gs://acme\n", set()),
    "no text": ("\xff\xfe\n['remote \"a\"']\nurl = gs://acme/a\n", {"gs"}),
}


@pytest.mark.parametrize(("config", "groups"), PLUGINS.values(), ids=PLUGINS)
def test_remotes_bring_the_plugins_that_open_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, groups: set[str]
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_bytes(config.encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    assert INSTALL["plugins"]() == groups


def test_a_remote_installs_its_plugin_at_the_next_command(project: Path) -> None:
    pyproject = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(f'{pyproject}gs = ["trainer"]\n')
    backend = (project / "backend.py").read_text()
    line = '    "Provides-Extra: gs",\n    "Requires-Dist: trainer; extra == \'gs\'",\n)'
    (project / "backend.py").write_text(backend.replace(")", line, 1))
    assert "gs" not in install(project, "hooks")
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("['remote \"staging\"']\n    url = gs://acme/staging\n")
    assert install(project, "hooks") == "installing into .venv: registry gs hooks (a minute or two)\n"
    assert versions(project) == {"registry": "1.0.0", "builder": "1.0", "base": "1.0", "hook": "1.0", "trainer": "1.0"}
    assert install(project) == ""


def test_without_a_configuration_of_dvc_there_are_no_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert INSTALL["plugins"]() == frozenset()


# --- pip's configuration ----------------------------------------------------------------------------------------------


def test_a_variable_overrides_a_section_which_overrides_global() -> None:
    listed = """:env:.find-links='/here'
global.find-links='/there'
global.timeout='5'
install.timeout='6'
download.timeout='7'
"""
    assert INSTALL["pip_settings"](listed) == {"find-links": "/here", "timeout": "6"}


def test_pips_configuration_is_passed_on_to_uv() -> None:
    passed_on = INSTALL["for_uv"](
        {
            "index-url": "https://index/simple", "extra-index-url": "https://a/simple https://b/simple",
            "cert": "/ca.pem", "cache-dir": "~/cache", "no-index": "false", "quiet": "1", "only-binary": ":all:",
            "constraint": "/constraints.txt",
        }
    )  # fmt: skip
    assert passed_on.arguments == [
        "--index-url", "https://index/simple", "--extra-index-url", "https://a/simple",
        "--extra-index-url", "https://b/simple", "--index-strategy", "unsafe-best-match",
    ]  # fmt: skip
    assert passed_on.variables == {"SSL_CERT_FILE": "/ca.pem", "UV_CACHE_DIR": str(Path.home() / "cache")}
    assert passed_on.unknown == ["no-index", "only-binary"]
