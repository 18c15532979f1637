"""Where a bucket is, and AWS Signature Version 4 for requests to it."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

from registry.storage.connection import Connection
from registry.storage.s3_credentials import Keys, Login
from registry.storage.s3_encryption import Encryption

EMPTY_BODY = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket, or a prefix in one (no slash at its ends), at an endpoint ("" is AWS itself).

    `is_virtual`: requests go to the bucket's own host name (`addressing_style = virtual`).
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    login: Login
    is_virtual: bool = False
    encryption: Encryption = field(default_factory=Encryption)
    connection: Connection = field(default_factory=Connection)

    @property
    def address(self) -> str:
        """The URL of the service."""
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return self.endpoint or f"https://s3.{self.region}.{domain}"

    @property
    def server(self) -> str:
        """The URL of the server that requests go to."""
        scheme, _, host = self.address.partition("://")
        return f"{scheme}://{self.bucket}.{host}" if self.is_virtual else self.address

    def path(self, key: str) -> str:
        """An object's path from the service: its bucket and key, quoted as for a signature."""
        return quote("/".join(["", self.bucket, *filter(None, [self.prefix]), key]), safe="/~")

    def request_path(self, key: str) -> str:
        """The path in a request to `server`."""
        return self.path(key).removeprefix(f"/{self.bucket}") if self.is_virtual else self.path(key)


def sign_put(keys: Keys, location: S3Location, key: str, headers: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The headers (lower case) of a PUT without a body, with a signature over all of them.

    The result is that of botocore's S3SigV4Auth (a test compares them) in a fifth of its time. Source: AWS, "Create a
    signed AWS API request".
    """
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    day = timestamp[:8]
    token = {"x-amz-security-token": keys.token} if keys.token else {}
    own = {"host": urlsplit(location.server).netloc, "x-amz-content-sha256": EMPTY_BODY, "x-amz-date": timestamp}
    signed = dict(sorted({**headers, **own, **token}.items()))
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    request = f"PUT\n{location.request_path(key)}\n\n{lines}\n{names}\n{EMPTY_BODY}"
    scope = f"{day}/{location.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = _hmac(_signing_key(keys.secret_key, day, location.region), text).hex()
    credential = f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}"
    return {**signed, "authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
