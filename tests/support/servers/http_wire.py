"""HTTP/1.1 and S3 as bytes on a connection: heads, bodies in pieces, and what a request asks of which object."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from urllib.parse import parse_qsl, unquote, urlsplit

PIECE = 64 << 10  # bytes passed on at once
LISTING = {"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type"}
OF_AN_OBJECT = {"versionId", "x-id"}  # queries with which a request is still for the object itself, as presigned ones


class Cut(Exception):
    """The other side went away in the middle."""


@dataclass(frozen=True, slots=True)
class Head:
    """A first line and headers: `raw` is how they came, names in `headers` are in lower case."""

    first: str
    headers: Mapping[str, str]
    raw: bytes

    def says(self, name: str, word: str) -> bool:
        """Whether the header is there and holds the word."""
        return word in self.headers.get(name, "").lower()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked; `number` counts from 1.

    `kind` is one of put, get, head, list, copy, delete; begin, part, copy-part, complete, abort (multipart uploads);
    other.
    """

    number: int
    method: str
    target: str
    headers: Mapping[str, str]
    kind: str
    bucket: str
    key: str


def read_head(reader: BufferedIOBase) -> Head | None:
    """None where the other side has closed. `Expect` is left out of `raw`: whoever reads the body answers it."""
    lines = []
    while (line := reader.readline(PIECE)).strip():
        lines.append(line)
    if not lines or not line:
        return None
    pairs = (line.decode("latin-1").partition(":") for line in lines[1:])
    return Head(
        lines[0].decode("latin-1").rstrip(),
        {name.lower(): value.strip() for name, _, value in pairs},
        b"".join(line for line in lines if not line.lower().startswith(b"expect:")) + b"\r\n",
    )


def read_body(reader: BufferedIOBase, head: Head) -> Iterator[tuple[bytes, bytes]]:
    """The body that `head` announces, in pieces: each as it came, and what it carries. Raises Cut."""
    if head.says("transfer-encoding", "chunked"):
        yield from _read_chunks(reader)
        return
    left = int(head.headers.get("content-length", 0))
    while left:
        if not (piece := reader.read1(min(left, PIECE))):
            raise Cut
        left -= len(piece)
        yield piece, piece


def _read_chunks(reader: BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    size = -1
    while size:
        line = reader.readline(PIECE)
        if not line.strip():
            raise Cut
        size = int(line.split(b";")[0], 16)
        payload = reader.read(size)
        yield line + payload, payload
        if size:
            yield reader.readline(PIECE), b""
    end = reader.readline(PIECE)
    while end.strip():  # trailers
        yield end, b""
        end = reader.readline(PIECE)
    yield end, b""


def with_length(head: Head, length: int) -> bytes:
    """A head, as bytes, for a body of so many bytes in one piece."""
    framing = (b"transfer-encoding:", b"content-length:")
    lines = [line for line in head.raw.rstrip().split(b"\r\n") if not line.lower().startswith(framing)]
    return b"\r\n".join([*lines, b"Content-Length: %d" % length, b"", b""])


def parse_request(number: int, head: Head) -> Request:
    """What a request asks, where buckets are the first part of the path."""
    method, target, _ = head.first.split(" ")
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if not name.startswith("X-Amz-")}
    kind = _kind(method, bool(key), query, "x-amz-copy-source" in head.headers)
    return Request(number, method, target, head.headers, kind, bucket, key)


def _kind(method: str, has_key: bool, query: set[str], is_copy: bool) -> str:
    match method:
        case "POST" if "delete" in query:
            return "delete"
        case "POST" if "uploads" in query:
            return "begin"
        case "POST" if "uploadId" in query:
            return "complete"
        case "DELETE" if "uploadId" in query:
            return "abort"
        case "PUT" if "partNumber" in query:
            return "copy-part" if is_copy else "part"
        case "PUT" if is_copy:
            return "copy"
        case "GET" if not has_key and query <= LISTING:
            return "list"
        case "GET" | "HEAD" | "PUT" | "DELETE" if has_key and query <= OF_AN_OBJECT:
            return method.lower()
    return "other"
