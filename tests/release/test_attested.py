"""Attestations of release manifests, signed by authorities of our own, and judged by the real `gh`, offline."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import copy
from support import repositories, signed_attestations
from support.repositories import Run, production
from support.signed_attestations import Identity, Signed

TAG = "datasets/pets@v1.0.0"


@pytest.fixture(scope="module")
def root(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published registry."""
    root = copy(_merged, tmp_path_factory.mktemp("attested"))
    assert repositories.registry(root, "publish").returncode == 0
    return root


@pytest.fixture
def sha256(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """That of the manifest of a release, whose clone says that it is acme/data on GitHub."""
    monkeypatch.setenv("GH_REPO", "acme/data")
    (found,) = (production(root) / "releases/datasets/pets/1.0.0").glob("*.json")
    return found.stem


def verify(run: Run, root: Path, signed: Signed, trusted: Path | None = None) -> tuple[int, str]:
    """The exit code, and what is said of the attestation."""
    trusted_root = ("--trusted-root", str(trusted or signed.trusted_root))
    done = run(root, "verify", TAG, "--bundle", str(signed.bundle), *trusted_root)
    (line,) = (text for text in done.out.splitlines() if text.startswith("attestation: "))
    return done.code, line


def test_the_attestation_of_the_workflow_is_proved(root: Path, sha256: str, run_registry: Run, tmp_path: Path) -> None:
    found = verify(run_registry, root, signed_attestations.sign(tmp_path, sha256))
    assert found == (0, "attestation: proved: .github/workflows/publish.yml of acme/data made the manifest")


OTHERS = {
    "another branch": Identity(ref="refs/heads/feature"),
    "another workflow": Identity(workflow=".github/workflows/train.yml"),
    "another repository": Identity(repository="https://github.com/acme/other"),
    "a fork of the owner's name": Identity(repository="https://github.com/evil/data"),
    "another issuer": Identity(extensions={8: "https://token.actions.evil.example"}),
}


@pytest.mark.parametrize("identity", OTHERS.values(), ids=OTHERS)
def test_an_attestation_of_another_signer_is_wrong(
    identity: Identity, root: Path, sha256: str, run_registry: Run, tmp_path: Path
) -> None:
    code, line = verify(run_registry, root, signed_attestations.sign(tmp_path, sha256, identity))
    assert (code, line.startswith("attestation: wrong: gh: ")) == (1, True), line


def change_payload(bundle: dict[str, dict[str, str]]) -> None:
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"release.json", b"release.jsom")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def drop_timestamp(bundle: dict[str, dict[str, object]]) -> None:
    del bundle["verificationMaterial"]["timestampVerificationData"]


@pytest.mark.parametrize("change", [change_payload, drop_timestamp])
def test_a_bundle_that_was_changed_is_wrong(
    change: Callable[[dict[str, object]], None], root: Path, sha256: str, run_registry: Run, tmp_path: Path
) -> None:
    signed = signed_attestations.sign(tmp_path, sha256)
    bundle = json.loads(signed.bundle.read_text())
    change(bundle)
    signed.bundle.write_text(json.dumps(bundle))
    code, line = verify(run_registry, root, signed)
    assert (code, line.startswith("attestation: wrong: gh: ")) == (1, True), line


def test_authorities_that_are_not_trusted(root: Path, sha256: str, run_registry: Run, tmp_path: Path) -> None:
    """They have the same names, and other keys."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = (signed_attestations.sign(tmp_path / name, sha256) for name in ("ours", "theirs"))
    code, line = verify(run_registry, root, theirs, ours.trusted_root)
    assert (code, line.startswith("attestation: wrong: gh: ")) == (1, True), line


def test_an_attestation_of_another_release(root: Path, sha256: str, run_registry: Run, tmp_path: Path) -> None:
    signed = signed_attestations.sign(tmp_path, sha256[::-1])
    assert verify(run_registry, root, signed)[1].endswith("is about other files than this manifest")
