"""The bill of materials of a training: what the locks of the tagged commit prescribe, the same everywhere."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.core import lock_files
from registry.errors import InvalidDocument
from support import repositories
from support.repositories import Run, git_in, origin
from support.servers.github import GitHub, serve
from support.workflow_files import ROOT

MODEL = "models/pets@v1.0.0"
A, B, C = "a" * 64, "b" * 64, "c" * 64
LOCK = f"""\
# Written by `make lock`: all that is installed, with its hashes, and the groups that need it.
adlfs==2026.8.0 \\
    --hash=sha256:{A}
    # azure
Build_Tool.x==1!2.0+local \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # build dev
linter==3.0 \\
    --hash=sha256:{A}
    # hooks dev
loader==4.0 ; sys_platform == 'linux' \\
    --hash=sha256:{C}
    # hf train
"""
TORCH = f"# Written by `make lock`: torch alone.\ntorch==2.0 \\\n    --hash=sha256:{B}\n"


@pytest.fixture
def locked(merged_model: Path) -> Path:
    """`merged_model`, whose commit has locks; not published."""
    (merged_model / "requirements.txt").write_text(LOCK)
    (merged_model / "requirements-torch.txt").write_text(TORCH)
    repositories.merge(merged_model, "locks")
    return merged_model


@pytest.fixture
def released(locked: Path, run_registry: Run) -> Path:
    """`locked`, published."""
    git_in(locked, "tag", "--annotate", MODEL, "--message", "by hand")
    return locked


def packages(document: dict[str, Any]) -> dict[str, list[str]]:
    """The hashes of each package, by its package URL."""
    return {
        one["purl"]: [row["content"] for row in one["externalReferences"][0]["hashes"]]
        for one in document["components"]
        if "purl" in one
    }


def test_it_has_what_a_training_installs_with_all_hashes(released: Path, run_registry: Run, tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    done = run_registry(released, "sbom", MODEL, "--out", str(out))
    assert (done.code, done.out) == (0, f"{out}: the bill of materials of {MODEL}, 3 packages\n")
    found = json.loads(out.read_text())
    assert packages(found) == {
        "pkg:pypi/build-tool-x@1%212.0%2Blocal": [A, B],
        "pkg:pypi/loader@4.0": [C],
        "pkg:pypi/torch@2.0": [B],
    }
    assert found["components"][1]["properties"] == [{"name": "registry:marker", "value": "sys_platform == 'linux'"}]
    refs = [one["bom-ref"] for one in found["components"]]
    assert found["dependencies"] == [{"ref": MODEL, "dependsOn": refs}]
    assert found["metadata"]["properties"][0]["value"] == git_in(released, "rev-parse", f"{MODEL}^{{commit}}")
    assert found["metadata"]["component"]["licenses"] == [{"license": {"name": "Apache-2.0"}}]
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")


def test_the_same_release_gives_the_same_bytes_and_another_one_another_number(
    released: Path, run_registry: Run, tmp_path: Path
) -> None:
    first = run_registry(released, "sbom", MODEL).out
    git_in(tmp_path, "clone", "--quiet", str(released), "clone")
    git_in(tmp_path / "clone", "remote", "set-url", "origin", git_in(released, "remote", "get-url", "origin"))
    (released / "requirements.txt").write_text("")  # the tag decides, not the files here
    assert run_registry(tmp_path / "clone", "sbom", MODEL).out == run_registry(released, "sbom", MODEL).out == first
    (released / "requirements.txt").write_text(LOCK.replace("loader==4.0", "loader==4.1"))
    repositories.merge(released, "another loader")
    git_in(released, "tag", "--force", "--annotate", MODEL, "--message", "by hand")
    second = run_registry(released, "sbom", MODEL).out
    assert json.loads(first)["serialNumber"] != json.loads(second)["serialNumber"]
    assert "pkg:pypi/loader@4.1" in second


def test_the_locks_of_this_repository_are_read_as_they_are_installed() -> None:
    install = runpy.run_path(str(ROOT / "scripts/install.py"))
    for name in (lock_files.LOCK, lock_files.TORCH):
        found = [(one.name, one.version, one.groups) for one in lock_files.parse((ROOT / name).read_text(), name)]
        assert found == [(one.name, one.version, one.groups) for one in install["packages"](ROOT / name)]
        hashes = sum(len(one.hashes) for one in lock_files.parse((ROOT / name).read_text(), name))
        assert hashes == (ROOT / name).read_text().count("--hash=sha256:")
    assert install["ALWAYS"] == lock_files.ALWAYS


def test_the_plug_ins_of_the_remotes_belong_to_it() -> None:
    config = "['remote \"production\"']\n    url = azure://pets/production\n"
    assert lock_files.training_groups(config) - lock_files.training_groups("") == {"azure"}


@pytest.mark.parametrize(
    "line",
    ["-r other.txt", "--index-url https://example.com", "loader>=4.0", "loader @ https://example.com/x.whl",
     "loader==4.0 --hash=md5:00", "    --hash=sha256:00"],
)  # fmt: skip
def test_a_lock_that_says_more_than_is_read_is_refused(line: str) -> None:
    with pytest.raises(InvalidDocument, match=r"requirements.txt:2: .* is no package with its version, hash or groups"):
        list(lock_files.parse(f"# a lock\n{line}\n", "requirements.txt"))


def test_what_has_none(released: Path, merged_model: Path, run_registry: Run) -> None:
    dataset = run_registry(released, "sbom", "datasets/pets@v1.0.0")
    assert (dataset.code, dataset.err) == (1, "error: datasets/pets@v1.0.0 is a dataset: nothing was trained for it\n")
    assert run_registry(released, "sbom", "models/pets@v9.0.0").refused(": not published", "registry show models/pets")
    manifest = released / "models/pets/model.yaml"
    text = manifest.read_text().replace("trained_on:", "origin: {url: https://example.com/zoo}\nmeasured_on:")
    manifest.write_text(text)
    repositories.commit(released, "from elsewhere")
    git_in(released, "tag", "--force", "--annotate", MODEL, "--message", "by hand")
    why = "was trained elsewhere (https://example.com/zoo): its environment is not known here"
    assert run_registry(released, "sbom", MODEL).err == f"error: {MODEL} {why}\n"
    manifest.write_text(text.replace("origin: {url: https://example.com/zoo}\nmeasured_on:", "trained_on:"))
    (released / "requirements.txt").unlink()
    repositories.commit(released, "no lock")
    git_in(released, "tag", "--force", "--annotate", MODEL, "--message", "by hand")
    why = "its commit has no requirements.txt with packages of a training"
    assert run_registry(released, "sbom", MODEL).err == f"error: {MODEL}: {why}\n"


@pytest.fixture
def hub(locked: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """`locked`'s origin, as GitHub has it."""
    with serve(GitHub(origin=origin(locked))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def test_it_is_attached_to_the_release_once_and_counted_in_the_dossier(
    hub: GitHub, locked: Path, run_registry: Run
) -> None:
    new = "models/pets@v1.1.0"
    repositories.model(locked, "pets", b"weights of 1.1.0", "1.1.0", wrong=1)
    repositories.merge(locked, "the first model that was trained with locks")
    done = run_registry(locked, "publish")
    assert done.code == 0, done.err
    assert f"{new}: attached the bill of materials of its training to the GitHub release\n" in done.out
    assets = {row["tag_name"]: [asset["name"] for asset in row["assets"]] for row in hub.releases}
    listed = {"datasets/pets@v1.0.0": ["release.json"], MODEL: ["release.json"]}
    assert assets == listed | {new: ["release.json", "sbom.cdx.json"]}
    assert "attached" not in run_registry(locked, "publish").out
    dossier = run_registry(locked, "dossier", new).out
    assert f"3 packages with their hashes: registry sbom {new}" in dossier.replace("\u2060", "")
