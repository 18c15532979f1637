"""A tag of the tooling becomes a release with its wheel, from which a copy is made, and brought to the next one."""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.integrations.git_trees import WorkTree
from support import local_install, repositories
from support.act_runs import World, world
from support.repositories import git_in
from support.servers.github_answers import Fault
from support.workflow_engine import Again, Ran
from support.workflow_files import ROOT

pytestmark = pytest.mark.slow

BUILT = {"build": "success", "release": "success"}
WHEEL = "registry_as_code-1.0.0-py3-none-any.whl"
NOTES = "## 1.0.0\n\n### Added\n\n- **All of it**.\n\n## 0.9.0\n\n- Before.\n"


@pytest.fixture(scope="module")
def _tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tagged") / "world"
    root = top / "registry"
    for entry in WorkTree(ROOT).list():
        (root / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / entry.path, root / entry.path)
    (root / "CHANGELOG.md").write_text(NOTES)
    git_in(top, "init", "--quiet", "--initial-branch=main", str(root))
    (top / "home").mkdir()
    repositories.commit(root, "1.0.0")
    repositories.add_origin(root)
    git_in(root, "tag", "--annotate", "v1.0.0", "--message", "1.0.0")
    git_in(root, "push", "--quiet", "origin", "main", "v1.0.0")
    return top


@pytest.fixture
def tagged(_tagged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """This repository with a tag v1.0.0."""
    shutil.copytree(_tagged, tmp_path / "world", symlinks=True)
    monkeypatch.setenv("PYTHON", local_install.command())
    with world(tmp_path / "world", server=None) as found:
        yield found


def push(tagged: World, tag: str = "v1.0.0", again: Again | None = None, **repository: Any) -> Ran:
    """What GitHub runs for a tag."""
    about = {**tagged.repository(), "is_template": True, **repository}
    return tagged.start("push", "release.yml", {"ref": f"refs/tags/{tag}", "repository": about}, tag, again)


def test_a_tag_becomes_a_release_with_the_wheel_that_a_copy_was_proven_with(tagged: World) -> None:
    tagged.github.faults.append(Fault("/assets", 502, "no", "POST"))
    failed = push(tagged)
    assert failed.jobs == BUILT | {"release": "failure"}, failed.log
    assert [(release["draft"], release["assets"]) for release in tagged.github.releases] == [(True, [])]
    ran = push(tagged, again=Again(failed, ("release",)))
    assert (ran.code, ran.jobs) == (0, BUILT), ran.log
    assert "16 checks passed" in failed.said["build"]
    commit = git_in(tagged.root, "rev-parse", "v1.0.0^{}")
    assert f"registry, version 1.0.0 ({commit[:12]})" in failed.said["build"]
    [release] = tagged.github.releases
    [asset] = release["assets"]
    wheel = tagged.top / "artifacts" / str(ran.id) / "release" / WHEEL
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (release["tag_name"], release["draft"], release["make_latest"]) == ("v1.0.0", False, "true")
    assert release["body"] == f"### Added\n\n- **All of it**.\n\nThe wheel has the SHA-256 `{digest}`.\n"
    assert (asset["name"], asset["digest"]) == (WHEEL, f"sha256:{digest}")
    git_in(tagged.root, "remote", "set-url", "origin", str(tagged.origin))  # as in the job
    repositories.sh(tagged.root, sys.executable, "scripts/release.py", "build", "v1.0.0")
    assert (tagged.root / "build/release" / WHEEL).read_bytes() == wheel.read_bytes()  # built again, it is the same
    calls = len(tagged.github.made())
    assert push(tagged, again=Again(ran, ("release",))).jobs == BUILT
    assert len(tagged.github.made()) == calls
    asset["digest"] = f"sha256:{'0' * 64}"
    other = push(tagged, again=Again(ran, ("release",)))
    assert other.jobs == BUILT | {"release": "failure"}
    assert f"the release v1.0.0 has another {WHEEL}" in other.log
    assert len(tagged.github.made()) == calls


def test_a_copy_that_keeps_the_code_releases_nothing(tagged: World) -> None:
    assert push(tagged, is_template=False).jobs == {}


@pytest.mark.parametrize(
    ("tag", "file", "text", "words"),
    [
        ("v1.1.0", "CHANGELOG.md", NOTES, "the tag is v1.1.0, and the version in pyproject.toml 1.0.0"),
        ("v1.0.0", "CHANGELOG.md", "## Unreleased\n\n- All.\n", "hint: rename `## Unreleased` to `## 1.0.0`"),
    ],
    ids=["version", "notes"],
)
def test_a_release_needs_its_version_and_its_notes(tagged: World, tag: str, file: str, text: str, words: str) -> None:
    (tagged.root / file).write_text(text)
    git_in(tagged.root, "tag", "--force", tag, repositories.commit(tagged.root, "another"))
    git_in(tagged.root, "push", "--quiet", "--force", "origin", tag)
    ran = push(tagged, tag)
    assert ran.jobs == {"build": "failure"}
    assert words in ran.log
    assert tagged.github.releases == []
