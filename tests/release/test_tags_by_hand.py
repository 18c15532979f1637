"""Tags that were made by hand, all in one registry: each command says what they are."""

import json
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import copy
from registry.cli import main
from support import hints, repositories
from support.repositories import Outcome, git_in, origin

GOOD = "datasets/pets@v1.0.0"
NAME = "is named neither as a release (ID@vMAJOR.MINOR.PATCH) nor as a stage (ID#STAGE#NUMBER)"
LIGHT = "is a lightweight tag, which DVC, GTO and the registry ignore"


@dataclass(frozen=True)
class Case:
    """A tag, what `list` says of it, and where another command has other words."""

    tag: str
    says: str
    others: Mapping[str, str] = field(default_factory=dict)
    is_light: bool = False
    place: str = "HEAD"


# Those that look like a release: `list` and `show` have them, as wrong.
RELEASES = (
    Case("datasets/pets@v1.2.0", "the manifest of its commit says 1.0.0", {"fsck": "manifest of this commit says 1.0"}),
    Case("datasets/pets@v1.1.0", "its commit is not on the default branch, so no publish made it",
         {"fsck": "the commit is not on the default branch, so no publish made the tag",
          "get": "datasets/pets@v1.1.0 was made by hand: MD5 alone proves its files"},
         place="feature"),
    Case("datasets/birds@v1.0.0", "its commit has no version that can be read",
         {"fsck": "no pointer to data", "get": "no datasets/birds/dataset.yaml",
          "verify": "tag: wrong: its commit has no datasets/birds/dataset.yaml"}),
    Case("datasets/pets@v1.3.0", "its commit has no version that can be read",
         {"fsck": "the tag leads to no commit", "get": "leads to no commit", "verify": "leads to no commit"},
         place="HEAD:registry.yaml"),
    Case("datasets/pets@v1.4.0", "the manifest of its commit says 1.0.0", {"fsck": "manifest of this commit says 1.0"},
         place=f"refs/tags/{GOOD}"),
)  # fmt: skip
# Those that do not, or not quite: `list` and `fsck` warn of them, in the same words.
STRAYS = (
    Case("datasets/pets@v2.0.0", LIGHT,
         {"show": LIGHT, "get": "is no release of", "verify": "tag: wrong: it is a lightweight tag"}, is_light=True),
    Case("datasets/pets@v1.1", NAME, {"show": "'1.1' is not a version", "get": "'1.1' is not a version"}),
    Case("datasets/pets@1.0.0", NAME, {"show": "is not a tag", "get": "'1.0.0' is not a version"}),
    Case("datasets/pets@v1.1.0-rc.1", NAME, {"show": "is not a version", "get": "is not a version"}),
    Case("models/pets#prod#7", "where no release of models/pets is", {"get": "is no stage of"}, place="HEAD~1"),
    Case("models/pets#blob#8", "where no release of models/pets is", {"get": "is no stage of"},
         place="HEAD:registry.yaml"),
    Case("models/birds#prod#1", "where no release of models/birds is", {"get": "has no release of models/birds"}),
    Case("models/pets#light#2", LIGHT, {"get": "is no stage of"}, is_light=True, place="models/pets@v1.0.0^{}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def root(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published registry in which all of these tags were made and pushed."""
    root = copy(_merged, tmp_path_factory.mktemp("by-hand"))
    assert repositories.registry(root, "publish").returncode == 0
    git_in(root, "switch", "--quiet", "--create", "feature")
    manifest = root / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("version: 1.0.0", "version: 1.1.0"))
    repositories.commit(root, "a version that was never merged")
    git_in(root, "switch", "--quiet", "main")
    for case in (*RELEASES, *STRAYS):
        how = [] if case.is_light else ["--annotate", "--message", "by hand"]
        git_in(root, "tag", *how, case.tag, case.place)
    git_in(root, "tag", "--annotate", "--message", "right", "models/pets#dev#7", "models/pets@v1.0.0^{}")
    git_in(root, "push", "--quiet", "--tags", "origin", "main")
    return root


@pytest.fixture(scope="module")
def run(root: Path) -> Iterator[dict[str, Outcome]]:
    """What each command says that reads all tags; by its first word."""
    commands = ("list", "fsck --all-tags", "check --all", "publish", "catalog build --out site")
    done = {one.split()[0]: repositories.registry(root, *one.split()) for one in commands}
    return {name: Outcome(one.returncode, one.stdout, one.stderr) for name, one in done.items()}


def registry(root: Path, capfd: pytest.CaptureFixture[str], *args: str) -> Outcome:
    capfd.readouterr()
    with chdir(root):
        code = main.run(list(args))
    return Outcome(code, *capfd.readouterr())


# --- commands that read all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", RELEASES, ids=lambda case: case.tag)
def test_what_looks_like_a_release_is_wrong(case: Case, run: Mapping[str, Outcome]) -> None:
    [said] = [line for line in run["fsck"].out.splitlines() if line.startswith(f"{case.tag}: ")]
    assert case.others["fsck"] in said


@pytest.mark.parametrize("case", STRAYS, ids=lambda case: case.tag)
def test_what_is_no_release_is_named(case: Case, run: Mapping[str, Outcome]) -> None:
    for text in (run["list"].err, run["fsck"].out):
        [said] = [line.strip() for line in text.splitlines() if line.strip().startswith(f"{case.tag}: ")]
        assert said.endswith(case.says)


def test_none_is_taken_for_a_release(root: Path, run: Mapping[str, Outcome]) -> None:
    assert (run["list"].code, run["fsck"].code, run["check"].code) == (0, 1, 1), "fsck: those that look like releases"
    assert run["publish"].code == 0
    assert run["publish"].out == f"{GOOD}: already published\nmodels/pets@v1.0.0: already published\n"
    assert "datasets/pets@v1.4.0 was made by hand: the manifest of its commit says 1.0.0" in run["check"].out
    assert "from datasets/pets@v1.0.0" in run["list"].out, "the data that the model was trained on"
    assert "[dev]" in run["list"].out
    assert "[prod]" not in run["list"].out
    assert run["catalog"].code == 0
    found = json.loads((root / "site/registry.json").read_text())
    faults = {row["tag"]: row["fault"] for one in found["artifacts"] for row in one["releases"]}
    expected = {case.tag: case.says for case in RELEASES} | {GOOD: None, "models/pets@v1.0.0": None}
    assert faults == expected


def test_the_next_step_deletes_one(root: Path, run: Mapping[str, Outcome]) -> None:
    tag = STRAYS[1].tag
    for text in (run["list"].err, run["fsck"].out):
        [command] = [one for one in hints.in_output(text) if one.startswith("git push origin :refs/tags/TAG")][:1]
        assert command.startswith("git push origin :refs/tags/TAG deletes")
    git_in(root, "push", "--quiet", "origin", f":refs/tags/{tag}")
    assert tag not in git_in(origin(root), "tag").split()


# --- commands that are given one --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*RELEASES, *STRAYS], ids=lambda case: case.tag)
def test_a_command_that_is_given_one(case: Case, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = registry(root, capfd, "show", case.tag)
    if case in RELEASES:
        assert (shown.code, f"wrong: {case.says}" in shown.out, "registry get" in shown.out) == (0, True, False)
        assert "it is no release" in shown.out
    else:
        assert shown.refused(case.others.get("show", "is not an artifact id"))
    asked = case.tag.rpartition("#")[0] if "#" in case.tag else case.tag
    got = registry(root, capfd, "get", asked, "--repo", str(root), "--out", str(tmp_path / "out"))
    assert case.others.get("get", case.says) in got.err
    assert (got.code, (tmp_path / "out").exists()) == ((0, True) if case.place == "feature" else (1, False))
    verified = registry(root, capfd, "verify", case.tag)
    words = case.others.get("verify", f"tag: wrong: {case.says}" if case in RELEASES else "is not a ")
    assert words in verified.out + verified.err
    assert (verified.code, "hint: " in verified.err) == (1, True)
