"""Responses of Google Cloud Storage, and its errors in the words of the XML and of the JSON API."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from support.servers.google_storage import GoogleObject

_XML = "<?xml version='1.0' encoding='UTF-8'?>"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; Content-Length is added."""

    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class GoogleError(Exception):
    """A refusal: its status, the XML API's code and the JSON API's reason, and a message."""

    def __init__(self, status: HTTPStatus, code: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.reason, self.message = status, code, reason, message


NO_BUCKET = GoogleError(HTTPStatus.NOT_FOUND, "NoSuchBucket", "notFound", "The specified bucket does not exist.")
NO_OBJECT = GoogleError(HTTPStatus.NOT_FOUND, "NoSuchKey", "notFound", "The specified key does not exist.")
NO_UPLOAD = GoogleError(HTTPStatus.NOT_FOUND, "NoSuchUpload", "notFound", "The requested upload was not found.")
CHANGED = GoogleError(
    HTTPStatus.PRECONDITION_FAILED,
    "PreconditionFailed",
    "conditionNotMet",
    "At least one of the pre-conditions you specified did not hold.",
)
UNMODIFIED = GoogleError(HTTPStatus.NOT_MODIFIED, "NotModified", "notModified", "Not modified.")
BAD_RANGE = GoogleError(
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange", "requestedRangeNotSatisfiable", "Invalid range."
)
ANONYMOUS = GoogleError(
    HTTPStatus.UNAUTHORIZED, "AuthenticationRequired", "required", "Anonymous caller does not have storage.objects.get"
)
UNAUTHENTICATED = GoogleError(HTTPStatus.UNAUTHORIZED, "AuthenticationRequired", "authError", "Invalid Credentials")
DENIED = GoogleError(HTTPStatus.FORBIDDEN, "AccessDenied", "forbidden", "Access denied.")
NO_POLICY = GoogleError(
    HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed", "conditionNotMet", "Soft delete policy is required."
)
UNKNOWN = GoogleError(
    HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", "notImplemented", "The emulator does not know this."
)


def as_xml(error: GoogleError) -> Answer:
    """As the XML API says it."""
    body = f"{_XML}<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>".encode()
    return Answer(error.status, body, {"Content-Type": "application/xml; charset=UTF-8"})


def as_json(error: GoogleError) -> Answer:
    """As the JSON API says it."""
    detail = {"message": error.message, "domain": "global", "reason": error.reason}
    body = {"error": {"code": int(error.status), "message": error.message, "errors": [detail]}}
    return _json(body, error.status)


def _json(body: object, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json; charset=UTF-8"})


# --- both -------------------------------------------------------------------------------------------------------------


def media(found: "GoogleObject", asked: Mapping[str, str]) -> Answer:
    """An object's bytes, or a range of them, if the conditions of the request hold. Raises GoogleError."""
    if (wanted := asked.get("if-match")) and wanted not in ("*", found.etag):
        raise CHANGED
    if (wanted := asked.get("if-none-match")) and wanted in ("*", found.etag):
        raise UNMODIFIED
    headers = {
        "Content-Type": "application/octet-stream",
        "ETag": found.etag,
        "Last-Modified": format_datetime(found.updated, usegmt=True),
        "x-goog-generation": str(found.generation),
        "x-goog-stored-content-length": str(len(found.data)),
    }
    size, status, data = len(found.data), HTTPStatus.OK, found.data
    if span := re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", "")):
        start, end = int(span[1]), min(int(span[2] or size), size - 1)
        if start >= size:
            raise BAD_RANGE
        data, status = data[start : end + 1], HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Answer(status, data, headers)


# --- the XML API ------------------------------------------------------------------------------------------------------


def stored(made: "GoogleObject") -> Answer:
    """After an upload."""
    return Answer(HTTPStatus.OK, headers={"ETag": made.etag, "x-goog-generation": str(made.generation)})


def listing(bucket: str, objects: Sequence["GoogleObject"], *, is_last: bool) -> Answer:
    """A page of a listing; it is continued after its last key."""
    contents = "".join(
        f"<Contents><Key>{escape(one.name)}</Key><Generation>{one.generation}</Generation>"
        f"<LastModified>{_time(one.updated)}</LastModified><ETag>{escape(one.etag)}</ETag>"
        f"<Size>{len(one.data)}</Size></Contents>"
        for one in objects
    )
    more = "" if is_last else f"<NextContinuationToken>{escape(objects[-1].name)}</NextContinuationToken>"
    body = f"<Name>{bucket}</Name><IsTruncated>{str(not is_last).lower()}</IsTruncated>{more}{contents}"
    return _document("ListBucketResult", body)


def upload(bucket: str, key: str, name: str) -> Answer:
    """The beginning of an upload in parts."""
    body = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
    return _document("InitiateMultipartUploadResult", body)


def completed(bucket: str, made: "GoogleObject") -> Answer:
    """The end of an upload in parts."""
    body = f"<Bucket>{bucket}</Bucket><Key>{escape(made.name)}</Key><ETag>{escape(made.etag)}</ETag>"
    answer = _document("CompleteMultipartUploadResult", body)
    return Answer(answer.status, answer.body, {**answer.headers, "x-goog-generation": str(made.generation)})


def _document(name: str, body: str) -> Answer:
    text = f"{_XML}<{name} xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{body}</{name}>"
    return Answer(HTTPStatus.OK, text.encode(), {"Content-Type": "application/xml; charset=UTF-8"})


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- the JSON API -----------------------------------------------------------------------------------------------------


def read_related(content_type: str, body: bytes) -> tuple[Mapping[str, object], bytes]:
    """The metadata and the bytes of an upload as multipart/related. Raises GoogleError."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    pieces = body.split(f"--{boundary[1]}".encode()) if boundary else []
    if len(pieces) != 4:
        raise UNKNOWN
    about, data = (re.split(rb"\r?\n\r?\n", piece, maxsplit=1)[1] for piece in pieces[1:3])
    return json.loads(about), data.removesuffix(b"\n").removesuffix(b"\r")


def resource(bucket: str, found: "GoogleObject") -> Answer:
    """What the JSON API says of an object."""
    return _json(_resource(bucket, found))


def listing_json(
    bucket: str, objects: Sequence["GoogleObject"], folders: Sequence[str], token: str | None, *, is_gone: bool = False
) -> Answer:
    """A page of a listing; `is_gone`: of what soft delete keeps, for a week."""
    body: dict[str, object] = {"kind": "storage#objects"}
    more = {"softDeleteTime": "2030-01-01T00:00:00Z", "hardDeleteTime": "2030-01-08T00:00:00Z"} if is_gone else {}
    if objects:
        body["items"] = [{**_resource(bucket, one), **more} for one in objects]
    if folders:
        body["prefixes"] = list(folders)
    if token:
        body["nextPageToken"] = token
    return _json(body)


def _resource(bucket: str, found: "GoogleObject") -> dict[str, object]:
    about: dict[str, object] = {
        "kind": "storage#object",
        "id": f"{bucket}/{found.name}/{found.generation}",
        "name": found.name,
        "bucket": bucket,
        "generation": str(found.generation),
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "size": str(len(found.data)),
        "timeCreated": _time(found.updated),
        "updated": _time(found.updated),
        "etag": base64.b64encode(str(found.generation).encode()).decode(),
    }
    return about if found.is_composed else {**about, "md5Hash": base64.b64encode(found.md5).decode()}
