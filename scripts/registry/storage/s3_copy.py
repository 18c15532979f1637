"""Copies from bucket to bucket inside S3, which obstore does not offer.

A CopyObject through botocore's client takes four times the processor time of one that is signed here and sent by
`http.client` (benchmarks/zero_copy.py). No response and no header is ever shown: they may hold what was signed.
"""

import http.client
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import unquote

from registry.core.settings import UNNAMED, Remote
from registry.errors import NotFound
from registry.storage import faults, retry
from registry.storage.base import Copier, StoredObject
from registry.storage.cloud_errors import describe
from registry.storage.connection import Channel, is_reachable_by_python
from registry.storage.faults import Access, Details, Fault
from registry.storage.once import once
from registry.storage.remote_options import without_secrets
from registry.storage.s3_credentials import Credentials
from registry.storage.s3_signing import S3Location, sign_put

TRANSIENT_STATUSES = {408, 409, 429, 500, 502, 503, 504}  # 409: another write to that key
TRANSIENT_CODES = {"RequestTimeout", "InternalError", "SlowDown", "ServiceUnavailable", "Throttling"}
# The copy has only the original's bytes: S3 would copy tags too, which needs a permission of its own.
BYTES_ONLY = {"x-amz-metadata-directive": "REPLACE", "x-amz-tagging-directive": "REPLACE"}
CREATE_ONLY = {"if-none-match": "*"}
OF_NO_OBJECT = f'"{"0" * 32}"'  # an ETag
_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([^<&\"]+)")


def can_copy(source: S3Location, destination: S3Location) -> bool:
    """Whether one service has both with one login, and Python's client reaches it."""
    same = (source.endpoint, source.login) == (destination.endpoint, destination.login)
    return same and not source.login.is_anonymous and is_reachable_by_python(destination.server)


@dataclass(frozen=True, slots=True)
class Response:
    """S3's response: its status, what an error says (a 200 may carry one), and the ETag of a copy.

    `is_page`: it is not S3's, but a web page.
    """

    status: int
    details: Details = faults.NOTHING
    etag: str = ""
    is_page: bool = False

    @property
    def is_transient(self) -> bool:
        """Whether the request should be sent again."""
        return self.status in TRANSIENT_STATUSES or self.details.code in TRANSIENT_CODES


NO_RESPONSE = Response(0)  # or an incomplete one


Open = Callable[[str], tuple[StoredObject, Iterator[bytes]]]
Has = Callable[[str], bool]


class ServerSideCopier(Copier):
    """CopyObject between two locations of one service; `open_` reads at the source, `has` asks the destination."""

    max_bytes = 5 << 30  # S3's limit for CopyObject; no object with a plain ETag is larger

    def __init__(
        self,
        source: S3Location,
        destination: S3Location,
        open_: Open,
        has: Has,
        *,
        remote: Remote = UNNAMED,
        is_create_only: bool = False,
    ) -> None:
        self._source, self._destination, self._read, self._has = source, destination, open_, has
        self._remote = remote  # the destination's
        self._is_create_only = is_create_only  # whether the service honours If-None-Match
        self._local = threading.local()
        self._credentials: Credentials | None = None

    def __reduce__(self) -> tuple[Callable[..., "ServerSideCopier"], tuple[Hashable, ...]]:
        locations = self._source, self._destination
        remote = without_secrets(self._remote)
        return once, (_remake, *locations, self._read, self._has, remote, self._is_create_only)

    def honours_conditions(self, key: str) -> bool:
        """See `Copier.honours_conditions`. Ceph 16, moto 5.2 and rclone 1.75 ignore both conditions.

        ministack 1.5 ignores If-None-Match of copies: there, each key is looked up before an object is copied to it.
        """
        onto_itself = {"x-amz-copy-source": self._destination.path(key), **BYTES_ONLY}
        if not self._refuses(key, {**onto_itself, "x-amz-copy-source-if-match": OF_NO_OBJECT}):
            return False
        self._is_create_only = self._refuses(key, {**onto_itself, **CREATE_ONLY})
        return True

    def _refuses(self, key: str, headers: Mapping[str, str]) -> bool:
        response = self._request(key, headers)
        if response is NO_RESPONSE or response.is_transient:
            self._interpret(response, key, key)
        return response.status == HTTPStatus.PRECONDITION_FAILED

    def read(self, source: str) -> tuple[StoredObject, Iterator[bytes]]:
        """See `Copier.read`."""
        return self._read(source)

    def copy(self, source: str, key: str, etag: str) -> str | None:
        """See `Copier.copy`."""
        if not self._is_create_only and self._has(key):
            return None
        headers = {
            "x-amz-copy-source": self._source.path(source),
            "x-amz-copy-source-if-match": f'"{etag}"',
            **BYTES_ONLY,
            **(CREATE_ONLY if self._is_create_only else {}),
        }
        return self._interpret(self._request(key, headers), source, key)

    def _interpret(self, response: Response, source: str, key: str) -> str | None:
        if response.etag:
            return response.etag
        if response.status == HTTPStatus.PRECONDITION_FAILED:
            return None
        if response.details.code == "NoSuchKey":
            raise NotFound(f"s3:/{unquote(self._source.path(source))} does not exist")
        fault = describe(_find_fault(response), self._remote, Access.WRITE, self._destination)
        raise faults.failed(f"s3:/{unquote(self._destination.path(key))}", fault)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _request(self, key: str, headers: Mapping[str, str]) -> Response:
        """PUT without a body, sent again while that may help."""
        response = NO_RESPONSE
        for delay in retry.delays():
            time.sleep(delay)
            try:
                response = self._send(key, headers)
            except (OSError, http.client.HTTPException):
                self._local.connection = None
                response = NO_RESPONSE
            if response is not NO_RESPONSE and not response.is_transient:
                break
        return response

    def _send(self, key: str, headers: Mapping[str, str]) -> Response:
        location = self._destination
        if self._credentials is None:
            self._credentials = location.login.find_credentials()
        encrypted = {**headers, **location.encryption.headers, **self._source.encryption.source_headers}
        signed = sign_put(self._credentials(), location, key, encrypted, datetime.now(UTC))
        channel = getattr(self._local, "connection", None) or self._connect()
        response = channel.put(location.request_path(key), signed)
        return _parse(response.status, response.read(), response.headers.get("x-amz-bucket-region") or "")

    def _connect(self) -> Channel:
        channel = self._destination.connection.connect(self._destination.server, self._remote)
        self._local.connection = channel
        return channel


def _remake(
    source: S3Location, destination: S3Location, open_: Open, has: Has, remote: Remote, is_create_only: bool
) -> ServerSideCopier:
    return ServerSideCopier(source, destination, open_, has, remote=remote, is_create_only=is_create_only)


def _parse(status: int, body: bytes, region: str) -> Response:
    etag = _ETAG.search(body) if b"<CopyObjectResult" in body else None
    if etag or b"</CopyObjectResult>" in body:  # rclone 1.75 gives no ETag for an object copied onto itself
        return Response(status, etag=etag[1].decode() if etag else "")
    text = body.decode(errors="replace")
    details = faults.read_details(text)
    is_page = faults.is_page(text) and not text.lstrip().startswith(("<?xml", "<CopyObjectResult"))
    if status == HTTPStatus.OK and not details.code and not is_page:
        return NO_RESPONSE  # cut off
    return Response(status, details._replace(region=details.region or region), is_page=is_page)


def _find_fault(response: Response) -> Fault:
    if response is NO_RESPONSE:
        return faults.UNREACHABLE
    if response.is_page and response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return faults.NOT_A_STORE
    return faults.find_fault(response.status, response.details)
