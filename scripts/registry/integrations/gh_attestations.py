"""Attestations of GitHub Actions: what a bundle is about, and whether `gh` finds its signature good."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry.errors import InvalidDocument, NotFound, RegistryError, ToolFailed
from registry.integrations.github import Repository
from registry.integrations.process import run, tool_path

WORKFLOW = ".github/workflows/publish.yml"
TIMEOUT = 120  # seconds
MAX_BYTES = 16 << 20
_NO_BUNDLE = "not a bundle of attestations"
# What gh (2.102) says where it has no trusted root: it downloads Sigstore's and GitHub's.
_NO_ROOT = ("creating Sigstore verifier", "no valid Sigstore verifiers")


class NotVerified(RegistryError):
    """The signature could not be looked at."""


def read_subjects(bundle: Path) -> frozenset[str]:
    """The SHA-256 of all files that the attestations of a bundle name; one bundle, or one a line.

    Raises InvalidDocument.
    """
    try:
        data = bundle.read_bytes()
        if len(data) > MAX_BYTES:
            raise InvalidDocument(str(bundle), f"file is {len(data):,} bytes, the limit is {MAX_BYTES:,}")
        bundles = _parse(data)
        if not bundles:
            raise InvalidDocument(str(bundle), _NO_BUNDLE)
        return frozenset(subject for one in bundles for subject in _subjects(one))
    except (OSError, ValueError, LookupError, TypeError, RecursionError, binascii.Error) as error:
        raise InvalidDocument(str(bundle), _NO_BUNDLE) from error


def _parse(data: bytes) -> list[Any]:
    try:
        return [json.loads(data)]
    except ValueError:
        return [json.loads(line) for line in data.splitlines() if line.strip()]


def _subjects(bundle: Any) -> Iterator[str]:
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
    for subject in statement["subject"]:
        yield str(subject["digest"]["sha256"])


def verify(repository: Repository, branch: str, file: Path, bundle: Path, trusted_root: Path | None = None) -> None:
    """Verify that a workflow of this repository attested a file: `publish.yml` on this branch, and no other.

    On any other branch, who may push can run a workflow of that name. `trusted_root` is a file of `gh attestation
    trusted-root`, without which gh downloads it. Raises NotVerified where gh is not installed or has no trusted root,
    ToolFailed where the signature is not good.
    """
    root = ["--custom-trusted-root", str(trusted_root)] if trusted_root else []
    host = "" if repository.host == "github.com" else f"{repository.host}/"
    command = ["gh", "attestation", "verify", str(file), "--bundle", str(bundle), "--repo", str(repository)]
    command += ["--signer-workflow", f"{host}{repository}/{WORKFLOW}"]
    command += ["--source-ref", f"refs/heads/{branch}", *root]
    try:
        run(command, env={"PATH": tool_path(), "GH_HOST": repository.host}, quiet=True, timeout=TIMEOUT)
    except NotFound as error:
        raise NotVerified("GitHub's command line is not installed", fix="install it: https://cli.github.com") from error
    except ToolFailed as error:
        if any(word in error.stderr for word in _NO_ROOT):
            fault = f"no trusted root in {trusted_root}" if trusted_root else "no trusted root could be downloaded"
            raise NotVerified(
                fault, fix="name what `gh attestation trusted-root` printed: --trusted-root FILE"
            ) from error
        raise
