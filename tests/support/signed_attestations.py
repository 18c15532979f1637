"""Attestations that are signed as GitHub's are, by authorities of our own: a trusted root that `gh` takes names these.

As in GitHub's own instance of Sigstore: a certificate for a workflow's identity, a signature over an in-toto statement,
and an RFC 3161 timestamp, which `openssl ts` makes. Sources: Sigstore, "Bundle format", "Fulcio OID information".
"""

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPOSITORY = "https://github.com/acme/data"
ISSUER = "https://token.actions.githubusercontent.com"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_FULCIO = "1.3.6.1.4.1.57264.1"
_TSA = """\
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
default_policy = 1.2.3.4.1
digests = sha256
signer_digest = sha256
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True)
class Signed:
    """A bundle, and the trusted root with the authorities that made it."""

    bundle: Path
    trusted_root: Path


@dataclass(frozen=True)
class Key:
    """A private key and its certificate."""

    private: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> str:
        """The certificate in base64."""
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()


@dataclass
class Identity:
    """Who a certificate is for: a run of a workflow, on a branch."""

    repository: str = REPOSITORY
    workflow: str = ".github/workflows/publish.yml"
    ref: str = "refs/heads/main"
    extensions: dict[int, str] = field(default_factory=dict)

    def names(self) -> dict[int, str]:
        """Fulcio's extensions, by the last part of their OID."""
        owner, signer = self.repository.rpartition("/")[0], f"{self.repository}/{self.workflow}@{self.ref}"
        return {
            8: ISSUER, 9: signer, 10: "0" * 40, 11: "github-hosted", 12: self.repository, 13: "0" * 40, 14: self.ref,
            16: owner, 18: signer, 20: "push", 21: f"{self.repository}/actions/runs/1/attempts/1", **self.extensions,
        }  # fmt: skip


def sign(folder: Path, sha256: str, identity: Identity | None = None) -> Signed:
    """An attestation of a file with this SHA-256."""
    who = identity or Identity()
    root, stamps = _issue("Acme roots"), _issue("Acme clocks")
    clock = _issue("Acme clock", stamps, usage=ExtendedKeyUsageOID.TIME_STAMPING)
    signer = _issue("", root, usage=ExtendedKeyUsageOID.CODE_SIGNING, identity=who)
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "release.json", "digest": {"sha256": sha256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": {"buildType": "https://actions.github.io/buildtypes/workflow/v1"}},
    }
    payload = json.dumps(statement).encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = signer.private.sign(signed, ec.ECDSA(hashes.SHA256()))
    stamp = base64.b64encode(_timestamp(folder, signature, clock, stamps)).decode()
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": {"rawBytes": signer.der},
            "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": stamp}]},
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    trusted = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": [_authority("https://ca.acme.example", [root])],
        "timestampAuthorities": [_authority("https://clock.acme.example", [clock, stamps])],
    }
    made = Signed(folder / "bundle.json", folder / "trusted-root.jsonl")
    made.bundle.write_text(json.dumps(bundle))
    made.trusted_root.write_text(f"{json.dumps(trusted)}\n")
    return made


def _issue(
    name: str, by: Key | None = None, *, usage: x509.ObjectIdentifier | None = None, identity: Identity | None = None
) -> Key:
    """A key with a certificate: an authority's own, or one for a use."""
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    named = ((NameOID.ORGANIZATION_NAME, "Acme"), (NameOID.COMMON_NAME, name)) if name else ()
    subject = x509.Name([x509.NameAttribute(kind, text) for kind, text in named])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(_key_usage(is_authority=by is None), critical=True)
    )
    if usage:
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=usage == ExtendedKeyUsageOID.TIME_STAMPING)
    if identity:
        names = identity.names()
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(names[9])]), critical=True
        )
        for number, text in names.items():
            value = text.encode()
            encoded = bytes([0x0C, len(value)]) + value  # a UTF8String of less than 128 bytes
            made = made.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{_FULCIO}.{number}"), encoded), critical=False
            )
    return Key(private, made.sign((by.private if by else private), hashes.SHA256()))


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    others = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(
        digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **others
    )


def _authority(uri: str, chain: Sequence[Key]) -> dict[str, object]:
    start = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    certificates = [{"rawBytes": key.der} for key in chain]
    subject = {"organization": "Acme", "commonName": uri}
    return {"subject": subject, "uri": uri, "certChain": {"certificates": certificates}, "validFor": {"start": start}}


def _timestamp(folder: Path, data: bytes, clock: Key, by: Key) -> bytes:
    """A response of an authority for timestamps (RFC 3161) for these bytes."""
    pem, key = serialization.Encoding.PEM, folder / "clock.key"
    plain = serialization.NoEncryption()
    key.write_bytes(clock.private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    for name, certificate in (("clock.crt", clock), ("chain.crt", by)):
        (folder / name).write_bytes(certificate.certificate.public_bytes(pem))
    (folder / "signature").write_bytes(data)
    (folder / "tsa.cnf").write_text(_TSA.format(folder=folder))
    (folder / "serial").write_text("01\n")
    query = ["openssl", "ts", "-query", "-data", "signature", "-sha256", "-cert", "-out", "query"]
    reply = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-signer", "clock.crt"]
    for command in (query, [*reply, "-inkey", "clock.key", "-chain", "chain.crt", "-out", "reply"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return (folder / "reply").read_bytes()
