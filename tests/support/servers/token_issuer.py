"""Who vouches on loopback: GitHub's issuer of job tokens, with its keys on HTTP, and a certificate for 127.0.0.1."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from registry.demo.seaweedfs import Certificate

GITHUB = "https://token.actions.githubusercontent.com"


class Issuer:
    """Signs tokens as GitHub does; who is to trust it finds its keys at `keys_url` while it serves."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.keys_url = ""

    def token(self, claims: Mapping[str, object]) -> str:
        """A token (JWT, RS256) of these claims, valid for five minutes."""
        now = int(time.time())
        times = {"iss": GITHUB, "iat": now, "nbf": now - 60, "exp": now + 300, "jti": f"{time.time_ns()}"}
        text = f"{_packed({'alg': 'RS256', 'typ': 'JWT', 'kid': 'loopback'})}.{_packed(times | dict(claims))}"
        return f"{text}.{_base64(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    @contextmanager
    def serve(self) -> Iterator["Issuer"]:
        """Listen on a free port of loopback."""
        with ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._keys())) as server:
            self.keys_url = f"http://127.0.0.1:{server.server_address[1]}/keys"
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()

    def _keys(self) -> bytes:
        numbers = self._key.public_key().public_numbers()
        key = {
            name: _base64(number.to_bytes(256).lstrip(b"\0")) for name, number in (("n", numbers.n), ("e", numbers.e))
        }
        return json.dumps({"keys": [{"kty": "RSA", "kid": "loopback", "use": "sig", "alg": "RS256", **key}]}).encode()


def make_certificate(folder: Path) -> Certificate:
    """A certificate for 127.0.0.1 that vouches for itself, valid for a day."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")]),
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    made.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.touch(mode=0o600)
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _packed(content: Mapping[str, object]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _handler(body: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
