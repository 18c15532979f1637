"""Files of GitHub releases: manifests are attached, attested ones get their bundle, and each step can be repeated."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import attestations, repositories
from support.repositories import Run, origin, production
from support.servers.github import Fault, GitHub, serve

DATASET, MODEL = "datasets/pets@v1.0.0", "models/pets@v1.0.0"


@pytest.fixture
def hub(merged_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """`merged_model`'s origin, as GitHub has it."""
    with serve(GitHub(origin=origin(merged_model))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def assets(hub: GitHub) -> dict[str, list[str]]:
    """The names of each release's files."""
    return {row["tag_name"]: [asset["name"] for asset in row["assets"]] for row in hub.releases}


def manifests(root: Path) -> dict[str, str]:
    """The SHA-256 of each tag's manifest, as production has it."""
    found = (production(root) / "releases").rglob("*.json")
    return {
        f"{file.parents[1].relative_to(production(root) / 'releases')}@v{file.parent.name}": file.stem for file in found
    }


def test_a_manifest_that_could_not_be_attached_is_attached_by_the_next_run(
    hub: GitHub, merged_model: Path, run_registry: Run
) -> None:
    hub.faults = [Fault("/assets", 500, method="POST", times=9)]
    done = run_registry(merged_model, "publish")
    assert done.refused("all tags are published, but GitHub releases are missing: ")
    assert assets(hub) == {DATASET: [], MODEL: []}
    hub.faults = []
    assert run_registry(merged_model, "publish").code == 0
    assert assets(hub) == {DATASET: ["release.json"], MODEL: ["release.json"]}
    digests = {row["tag_name"]: row["assets"][0]["digest"] for row in hub.releases}
    assert digests == {tag: f"sha256:{sha256}" for tag, sha256 in manifests(merged_model).items()}
    assert "attached" not in run_registry(merged_model, "publish").out


def test_manifests_are_attested_once(hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path) -> None:
    assert run_registry(merged_model, "publish").code == 0
    listed = tmp_path / "unattested.txt"
    assert run_registry(merged_model, "ci", "unattested", "--out", str(listed)).out == "2 release manifests to attest\n"
    known = manifests(merged_model)
    assert listed.read_text() == f"{known[DATASET]}  {DATASET}\n{known[MODEL]}  {MODEL}\n"
    bundle = attestations.bundle(tmp_path, known[DATASET])
    done = run_registry(merged_model, "ci", "attach-attestation", str(bundle))
    assert done.out == f"{DATASET}: attached the attestation to the GitHub release\n"
    assert assets(hub) == {DATASET: ["release.json", "release.sigstore.json"], MODEL: ["release.json"]}
    assert run_registry(merged_model, "ci", "attach-attestation", str(bundle)).out == ""
    listed.unlink()
    assert run_registry(merged_model, "ci", "unattested", "--out", str(listed)).code == 0
    assert listed.read_text() == f"{known[MODEL]}  {MODEL}\n"
    run_registry(merged_model, "ci", "attach-attestation", str(attestations.bundle(tmp_path, known[MODEL])))
    listed.unlink()
    assert run_registry(merged_model, "ci", "unattested", "--out", str(listed)).out == "0 release manifests to attest\n"
    assert not listed.exists()


def test_a_manifest_that_production_has_no_more_is_left_to_verify(
    hub: GitHub, merged_model: Path, run_registry: Run
) -> None:
    hub.faults = [Fault("/assets", 500, method="POST", times=9)]
    assert run_registry(merged_model, "publish").code == 1
    hub.faults = []
    lost, changed = sorted((production(merged_model) / "releases").rglob("*.json"))
    lost.unlink()
    repositories.overwrite(changed, b"{}")
    assert hashlib.sha256(b"{}").hexdigest() != changed.stem
    assert run_registry(merged_model, "publish").code == 0
    assert assets(hub) == {DATASET: [], MODEL: []}
