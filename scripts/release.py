"""A release of the tooling: its wheel is built, proven by a copy that installs it, and put into a release on GitHub.

Usage: .venv/bin/python scripts/release.py build TAG | prove | publish TAG

`build` refuses a tag that is not `v` and the version of pyproject.toml, and a version without notes in CHANGELOG.md.
`publish` can be repeated from any point: the release is a draft until it has its wheel, and a wheel that is there is
never replaced, because copies have its SHA-256.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from registry.console import fail, say
from registry.errors import NotFound, Refused, RegistryError
from registry.integrations import github
from registry.integrations.github import Repository

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build/release"
NOTES = BUILT / "notes.md"
_COPY = ("--owner", "@acme/data", "--bucket", ".registry", "--lake", ".registry/lake")
_PERSON = ("-c", "user.name=registry", "-c", "user.email=registry@localhost")


def build(tag: str) -> None:
    """Write the wheel and the notes of the tag's release into build/release. Raises Refused."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        fix = f"set the version in pyproject.toml, commit, and tag that commit; or tag v{version}"
        raise Refused(f"the tag is {tag}, and the version in pyproject.toml {version}", fix=fix)
    notes = notes_of(version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    BUILT.mkdir(parents=True, exist_ok=True)
    for old in BUILT.iterdir():
        old.unlink()
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel")
    _run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(BUILT), str(ROOT))
    NOTES.write_text(f"{notes}\n\nThe wheel has the SHA-256 `{_digest(_wheel())}`.\n", encoding="utf-8")


def notes_of(version: str, changelog: str) -> str:
    """What CHANGELOG.md says of a version. Raises Refused where it says nothing."""
    found = re.search(rf"^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not (found and found[1].strip()):
        fix = f"rename `## Unreleased` to `## {version}`, commit, and tag that commit"
        raise Refused(f"CHANGELOG.md says nothing under `## {version}`", fix=fix)
    return found[1].strip()


def prove() -> None:
    """Make a copy with the wheel, which installs it in a .venv of its own and passes `make test` with it."""
    wheel = _wheel()
    with tempfile.TemporaryDirectory() as folder:
        package, copy = Path(folder, "package"), Path(folder, "registry")
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
        _run(*pip, "--no-deps", "--target", str(package), str(wheel))
        from_wheel = {**os.environ, "PYTHONPATH": str(package)}
        registry = (sys.executable, "-m", "registry")
        _run(*registry, "--version", cwd=Path(folder), env=from_wheel)
        _run(*registry, "init", copy.name, *_COPY, "--wheel", wheel.as_uri(), cwd=Path(folder), env=from_wheel)
        _run("git", "add", "--all", cwd=copy)
        _run("git", *_PERSON, "commit", "--quiet", "--message", "A copy", cwd=copy)
        _run("make", "test", cwd=copy)
        _run(".venv/bin/registry", "--version", cwd=copy)


def publish(tag: str) -> None:
    """Make the release of a tag, or complete it. Raises Refused for one with another wheel, and ServiceFailed."""
    wheel, repository = _wheel(), github.connect(ROOT)
    releases = f"repos/{repository}/releases"
    release = next((row for row in github.get_all(repository, releases) if row["tag_name"] == tag), None)
    if release is None:
        text = {"tag_name": tag, "name": tag, "body": NOTES.read_text(encoding="utf-8")}
        release = github.send(repository, "POST", releases, {**text, "draft": True})
    _attach(repository, release, wheel)
    if release["draft"]:
        # Of the releases of this repository, those of datasets are never the latest one.
        release = github.send(
            repository, "PATCH", f"{releases}/{release['id']}", {"draft": False, "make_latest": "true"}
        )
    say(f"released: {release['html_url']}")


def _attach(repository: Repository, release: Mapping[str, Any], wheel: Path) -> None:
    found = next((row for row in release["assets"] if row["name"] == wheel.name), None)
    if found is None:
        url = release["upload_url"].partition("{")[0]
        github.upload(repository, f"{url}?name={quote(wheel.name)}", wheel)
    elif found["digest"] != f"sha256:{_digest(wheel)}":
        raise Refused(
            f"the release {release['tag_name']} has another {wheel.name}: {found['digest']}, expected {_digest(wheel)}",
            fix="release a new version: what copies have installed must not change",
        )


def _wheel() -> Path:
    """The wheel in build/release. Raises NotFound."""
    found = sorted(BUILT.glob("*.whl"))
    if len(found) != 1:
        raise NotFound(f"{BUILT} has {len(found)} wheels, expected 1", fix="scripts/release.py build TAG")
    return found[0]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _run(*command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a command that shows what it does. Raises Refused if it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Refused(f"`{' '.join(command)}` failed with {done.returncode}", fix="see the lines above")


ACTIONS: Mapping[str, Callable[..., None]] = {"build": build, "prove": prove, "publish": publish}


def main(words: list[str]) -> int:
    """Run an action and return the exit code."""
    try:
        ACTIONS[words[0]](*words[1:])
    except RegistryError as error:
        fail(error, error.label)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
