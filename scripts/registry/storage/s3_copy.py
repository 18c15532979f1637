"""What of S3 obstore does not do: find who signs as DVC does, and copy from bucket to bucket inside the service.

botocore finds the keys and renews them, but a CopyObject through its client takes four times the processor time of one
that is signed here and sent by `http.client` (benchmarks/zero_copy.py). No answer and no header is ever shown: they may
hold what was signed.
"""

import hashlib
import hmac
import http.client
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from registry.errors import NotFound, StorageFailed
from registry.storage.base import Copier, Object
from registry.storage.s3_credentials import Login, keys_of

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials


PATIENCE = 30.0  # seconds after which no further try of one request begins
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0  # seconds; the first and the longest time between tries, halved by chance
CONNECT, READ = 5.0, 60.0  # seconds to wait for a connection, and for the next bytes of an answer
PASSING = {408, 409, 429, 500, 502, 503, 504}  # S3 says to ask again (409: another write to that key)
PASSING_CODES = {"RequestTimeout", "InternalError", "SlowDown", "ServiceUnavailable", "Throttling"}
# Some servers refuse a header that they do not know: 501 in S3's list of errors, in others' a 400.
UNKNOWN_HEADER = {"NotImplemented", "InvalidArgument", "InvalidRequest"}
# The copy gets nothing of what the original had but its bytes. Without the last, tags would be read, with a right of
# its own; without the first, it would overwrite.
CAREFUL = {"if-none-match": "*", "x-amz-tagging-directive": "REPLACE"}
_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([^<&\"]+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")
DENIED = (
    "access denied",
    "see that your credentials are current and may do this, and that this machine's clock is right",
)
_EXPIRED = ("your credentials have expired", "log in again, then run the same command again: what was stored stays")
WORDS = {
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": ("this machine's clock is off", "set it, then run the same command again"),
    "NoSuchBucket": ("it does not exist", "look at its address"),
    "SlowDown": ("the server asks to slow down", "run the same command again later: what was stored stays"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, or a prefix in one (no slash at its ends), at an endpoint ("" is AWS itself)."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    login: Login

    @property
    def address(self) -> str:
        """Where its service listens."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"

    def path(self, key: str) -> str:
        """An object's path in a request, as it is signed."""
        return quote("/".join(["", self.bucket, *filter(None, [self.prefix]), key]), safe="/~")


def can_copy(source: Place, destination: Place) -> bool:
    """Whether one service, asked by one identity, has both; not through a proxy, which `http.client` does not know."""
    same = (source.endpoint, source.login) == (destination.endpoint, destination.login)
    parts = urlsplit(destination.address)
    signed = same and not source.login.is_anonymous
    return signed and (parts.scheme not in getproxies() or bool(proxy_bypass(parts.netloc)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What S3 said: the status, its word for an error (a 200 may carry one), and the ETag of a copy."""

    status: int
    code: str = ""
    etag: str = ""

    @property
    def is_passing(self) -> bool:
        """Whether it is worth asking again."""
        return self.status in PASSING or self.code in PASSING_CODES


LOST = Answer(0)  # no answer came, or half of one


Open = Callable[[str], tuple[Object, Iterator[bytes]]]
Has = Callable[[str], bool]


class Inside(Copier):
    """CopyObject between two places of one service: `open_` reads at the source, `has` asks the destination."""

    largest = 5 << 30  # S3's limit for CopyObject; no object with a plain ETag is larger

    def __init__(self, source: Place, destination: Place, open_: Open, has: Has) -> None:
        self._source, self._destination, self._read, self._has = source, destination, open_, has
        self._is_heeded: bool | None = None  # None: not known yet
        self._open()

    def _open(self) -> None:
        self._local, self._learning, self._credentials = threading.local(), threading.Lock(), None
        is_tls = self._destination.address.startswith("https:")
        self._tls = ssl.create_default_context() if is_tls else None

    def __reduce__(self) -> tuple[type["Inside"], tuple[Place, Place, Open, Has]]:
        return Inside, (self._source, self._destination, self._read, self._has)

    def read(self, source: str) -> tuple[Object, Iterator[bytes]]:
        """See `Copier.read`."""
        return self._read(source)

    def copy(self, source: str, key: str, etag: str) -> str | None:
        """See `Copier.copy`."""
        headers = {
            "x-amz-copy-source": self._source.path(source),
            "x-amz-copy-source-if-match": f'"{etag}"',
            "x-amz-metadata-directive": "REPLACE",
        }
        if self._is_heeded is not False:
            answer = self._ask(key, headers | CAREFUL)
            if answer.code not in UNKNOWN_HEADER:
                if answer.etag and self._is_heeded is None:
                    self._learn(key, headers)
                return self._judge(answer, source, key)
        if self._has(key):  # asked before, where a server heeds no If-None-Match of copies
            return None
        answer = self._ask(key, headers)
        self._is_heeded = False if answer.etag else self._is_heeded
        return self._judge(answer, source, key)

    def _learn(self, key: str, headers: Mapping[str, str]) -> None:
        """See whether the condition is heeded, by repeating a copy just made: some servers do not know it, and copy."""
        with self._learning:
            if self._is_heeded is None:
                again = self._ask(key, headers | CAREFUL)
                known = again.etag or again.status == HTTPStatus.PRECONDITION_FAILED
                self._is_heeded = not again.etag if known else None

    def _judge(self, answer: Answer, source: str, key: str) -> str | None:
        if answer.etag:
            return answer.etag
        if answer.status == HTTPStatus.PRECONDITION_FAILED:
            return None
        if answer.code == "NoSuchKey":
            raise NotFound(f"s3:/{unquote(self._source.path(source))} does not exist")
        fault, fix = _in_words(answer)
        raise StorageFailed(f"s3:/{unquote(self._destination.path(key))}: {fault}", fix=fix)

    # --- on the wire --------------------------------------------------------------------------------------------------

    def _ask(self, key: str, headers: Mapping[str, str]) -> Answer:
        """PUT without a body, again while that helps."""
        answer = LOST
        for wait in waits():
            time.sleep(wait)
            try:
                answer = self._send(key, headers)
            except (OSError, http.client.HTTPException):
                self._local.connection = None
                answer = LOST
            if answer is not LOST and not answer.is_passing:
                break
        return answer

    def _send(self, key: str, headers: Mapping[str, str]) -> Answer:
        place = self._destination
        self._credentials = self._credentials or place.login.find()
        signed = sign(keys_of(self._credentials), place, key, headers, datetime.now(UTC))
        connection = getattr(self._local, "connection", None) or self._connect()
        connection.request("PUT", place.path(key), b"", signed)
        answer = connection.getresponse()
        return _parse(answer.status, answer.read())

    def _connect(self) -> http.client.HTTPConnection:
        host = urlsplit(self._destination.address).netloc
        if self._tls:
            connection = http.client.HTTPSConnection(host, timeout=CONNECT, context=self._tls)
        else:
            connection = http.client.HTTPConnection(host, timeout=CONNECT)
        connection.connect()
        connection.sock.settimeout(READ)
        self._local.connection = connection
        return connection


def sign(
    keys: "ReadOnlyCredentials", place: Place, key: str, headers: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """The headers (lower case) of a PUT without a body, with Signature V4 over all of them.

    As botocore's S3SigV4Auth signs (a test compares them), at a fifth of its time. AWS's description: "Create a signed
    AWS API request".
    """
    time_, empty = now.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256().hexdigest()
    token = {"x-amz-security-token": keys.token} if keys.token else {}
    own = {"host": urlsplit(place.address).netloc, "x-amz-content-sha256": empty, "x-amz-date": time_}
    found = dict(sorted({**headers, **own, **token}.items()))
    names = ";".join(found)
    lines = "".join(f"{name}:{value}\n" for name, value in found.items())
    request = f"PUT\n{place.path(key)}\n\n{lines}\n{names}\n{empty}"
    scope = f"{time_[:8]}/{place.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{time_}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = _hmac(_signing_key(keys.secret_key, time_[:8], place.region), text).hex()
    credential = f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}"
    return {**found, "authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def waits() -> Iterator[float]:
    """Seconds before each try, drawn from a growing range, so that many who wait do not come back together.

    There is a second one however long the first took: it may have met with silence.
    """
    start, longest = time.monotonic(), FIRST_WAIT
    yield 0
    yield random.uniform(0, longest)  # noqa: S311 - no secret
    while time.monotonic() - start < PATIENCE:
        yield random.uniform(0, longest)  # noqa: S311 - no secret
        longest = min(2 * longest, LONGEST_WAIT)


def _parse(status: int, body: bytes) -> Answer:
    etag = _ETAG.search(body) if b"<CopyObjectResult" in body else None
    code = _CODE.search(body) if not etag else None
    if status == HTTPStatus.OK and not (etag or code):
        return LOST  # cut off, or from something that is not S3
    return Answer(status, code[1].decode() if code else "", etag[1].decode() if etag else "")


def _in_words(answer: Answer) -> tuple[str, str]:
    """The fault and the next step."""
    if answer.code in WORDS:
        return WORDS[answer.code]
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return DENIED
    if answer == LOST:
        return "the server could not be reached", "look at the address and the network, then run the same command again"
    return (
        f"the server answered {answer.status} {answer.code}".rstrip(),
        "try again; if it stays, ask who runs the server",
    )
