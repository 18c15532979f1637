"""Service accounts of Google: a file of credentials, and what is signed with its key."""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@dataclass
class ServiceAccount:
    """An account that may read, and write if `may_write`.

    `token` is what the token endpoint gives it, also for `subject`, the token of another issuer such as GitHub's.
    """

    email: str
    may_write: bool = True
    token: str = field(default_factory=lambda: f"ya29.{secrets.token_hex(16)}")
    subject: str = field(default_factory=lambda: secrets.token_hex(16))

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    def write(self, path: Path, token_uri: str) -> Path:
        """The JSON file that Google's console gives."""
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        content = {
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": secrets.token_hex(20),
            "private_key": self.key.private_bytes(*form).decode(),
            "client_email": self.email,
            "client_id": "1",
            "token_uri": token_uri,
        }
        path.write_text(json.dumps(content))
        return path

    def write_federated(self, path: Path, token_uri: str) -> Path:
        """The JSON file of a federated identity; its pool is no project's, about which google-auth would ask Google."""
        source = path.with_suffix(".token")
        source.write_text(self.subject)
        content = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/github",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": token_uri,
            "credential_source": {"file": str(source)},
        }
        path.write_text(json.dumps(content))
        return path

    def signed(self, token: str, audience: str) -> bool:
        """Whether a token (JWT, RS256) is this account's, and has not expired.

        Its audience is `audience`, or with a scope in its place none (Google, "Self-signed JWTs").
        """
        try:
            head, claims, signature = (_decode(part) for part in token.split("."))
            text = token.rpartition(".")[0].encode()
            self.key.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
            said = json.loads(claims)
            is_mine = json.loads(head)["alg"] == "RS256" and said["iss"] == self.email
            return bool(is_mine and said["exp"] > time.time() and said.get("aud", audience) == audience)
        except (ValueError, KeyError, InvalidSignature):
            return False


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
