"""Bundles of attestations in the form of actions/attest, without a signature."""

import base64
import json
from pathlib import Path


def bundle(folder: Path, sha256: str) -> Path:
    """A bundle in Sigstore's form about a file with this SHA-256, without a signature."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "release.json", "digest": {"sha256": sha256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }
    envelope = {
        "payload": base64.b64encode(json.dumps(statement).encode()).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "AAAA"}],
    }
    media = "application/vnd.dev.sigstore.bundle.v0.3+json"
    material = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    file = folder / "bundle.json"
    file.write_text(json.dumps({"mediaType": media, "verificationMaterial": material, "dsseEnvelope": envelope}))
    return file
