"""Requests without some of their headers, signed again: how a server sees them that does not know these headers."""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from support.servers.http_wire import Head

SOURCE, ABSENT = frozenset({"x-amz-copy-source-if-match"}), frozenset({"if-none-match"})
EVERY = SOURCE | ABSENT | {"if-match"}
_UNSIGNED = {"authorization", "accept", "accept-encoding", "user-agent", "connection", "expect", "content-length"}


@dataclass(frozen=True, slots=True)
class Ignore:
    """The server acts as if these headers (lower case) were not there; `sign` signs what is left."""

    headers: frozenset[str]
    sign: Callable[[Head], Head]

    def rewrite(self, head: Head) -> Head:
        """The request as the server understands it."""
        if not self.headers & head.headers.keys():
            return head
        return self.sign(Head(head.first, {k: v for k, v in head.headers.items() if k not in self.headers}, b""))


Ignoring = Callable[[frozenset[str]], Ignore]


class _Auth(S3SigV4Auth):
    """Signs the checksum of the body that the client wrote."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])


def signer(access_key: str, secret_key: str, region: str) -> Callable[[Head], Head]:
    """A function that signs a request with these keys."""

    def sign(head: Head) -> Head:
        method, target, version = head.first.split(" ")
        signed = {name: value for name, value in head.headers.items() if name not in _UNSIGNED}
        sha256 = signed.pop("x-amz-content-sha256")
        signed.pop("x-amz-date", None)
        request = AWSRequest(method, f"http://{signed['host']}{target}", headers=signed)
        request.context["sha256"] = sha256
        _Auth(Credentials(access_key, secret_key), "s3", region).add_auth(request)
        left = {name: value for name, value in head.headers.items() if name in _UNSIGNED - {"authorization", "expect"}}
        headers = {**left, **{name.lower(): value for name, value in request.headers.items()}}
        lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return Head(head.first, headers, "\r\n".join(lines).encode("latin-1"))

    return sign
