"""Translates obstore's errors into ours; their own text may hold signatures and tokens, and is never shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import NamedTuple

from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from registry.core.settings import UNNAMED, Remote
from registry.errors import LoginEnded, NotFound, StorageFailed
from registry.storage import faults
from registry.storage.connection import is_reachable_by_python
from registry.storage.faults import Access, Fault
from registry.storage.remote_options import scheme_of
from registry.storage.s3_signing import S3Location

_BY_TYPE: tuple[tuple[tuple[type[Exception], ...], Fault], ...] = (
    ((PreconditionError,), Fault("the object changed while it was read", "run the same command again")),
    ((PermissionError, PermissionDeniedError, UnauthenticatedError), faults.DENIED),
)
# rustls's names. It refuses a CA's certificate as a server's own, which `openssl req -x509` makes and OpenSSL takes.
_CERTIFICATES = {
    "UnknownIssuer": "no CA that this machine trusts has signed it",
    "NotValidForName": "it is for another host name",
    "Expired": "it has expired",
    "NotValidYet": "it is not valid yet",
    "CaUsedAsEndEntity": "it is a CA's own certificate; the server needs one with CA:FALSE",
}
# Rust's names in the source of an error, of obstore 0.12 with hyper 1.
_BY_TEXT: tuple[tuple[str, Fault], ...] = (
    ("kind: Timeout", faults.TIMEOUT),
    ('"dns error"', faults.NO_HOST),
    ("kind: ConnectionRefused", faults.REFUSED),
    ("InvalidContentType", faults.NO_TLS),  # of rustls, where the first byte is no TLS
    ("IncompleteBody", faults.BROKEN),
    ("IncompleteMessage", faults.BROKEN),
    ("kind: ConnectionReset", faults.BROKEN),
    ("Parse(", faults.NOT_A_STORE),  # no HTTP
)
# obstore's words for credentials that it cannot use, before any request; a request for a token comes first.
_NO_CREDENTIALS = (
    "credential provider",
    "token request",
    "Invalid Access Key",
    "Error reading pem file",
    "Unable to sign",
)
_NO_CREDENTIALS_FILE = ("service account file", "application credentials")
_STATUS = re.compile(r"status code: (\d{3})[^:\n]*(?:: (.*?))?(?:\n\nDebug source|\Z)", re.DOTALL)
_REGION_TIMEOUT = 5.0  # seconds to ask in which region a bucket is


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of which remote; `location` only for S3."""

    remote: Remote = UNNAMED
    access: Access | None = None
    location: S3Location | None = None


class Failure(NamedTuple):
    """An error response: its status, 0 where there was none, and its body, empty where it has none (HEAD)."""

    status: int
    body: str


@contextmanager
def translate_errors(place: str, asked: Asked | None = None) -> Iterator[None]:
    """Turn obstore's exceptions about `place`, a store or an object, into NotFound or StorageFailed."""
    asked = asked or Asked()
    try:
        yield
    except StorageFailed:
        raise
    except (FileNotFoundError, NotFoundError) as error:
        failure = read_failure(str(error))
        if faults.read_details(failure.body).code in faults.NO_BUCKET_CODES or _is_page(failure, place):
            _fail(place, _find_fault(error, place, asked), asked)
        if asked.access is Access.WRITE:
            _fail(place, faults.NO_BUCKET, asked)
        raise NotFound(f"{place} does not exist") from error
    except (OSError, ValueError, BaseError) as error:
        _fail(place, _find_fault(error, place, asked), asked)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of obstore's Rust; it is no Exception
            raise
        raise StorageFailed(
            f"{place}: obstore failed: {error}", fix="check the URL and the options of this remote"
        ) from None


def _fail(place: str, fault: Fault, asked: Asked) -> None:
    fault = describe(fault, asked.remote, asked.access, asked.location)
    # Without the cause: its text may have what was signed.
    raise faults.failed(place, fault) from None


def describe(fault: Fault, remote: Remote, access: Access | None, location: S3Location | None) -> Fault:
    """The fault in the words of the remote, and where access was denied, what was asked and by whom."""
    if fault is faults.DENIED and access:
        whom = f", as {location.login.describe()}" if location else ""
        fault = Fault(f"{fault.message} ({access}{whom})", fault.fix)
    return fault.for_remote(remote)


def read_failure(text: str) -> Failure:
    """What obstore's message says of the response."""
    found = _STATUS.search(text)
    return Failure(int(found[1]), (found[2] or "").strip()) if found else Failure(0, "")


def _is_page(failure: Failure, place: str) -> bool:
    """Whether a bucket would not have answered so; the 5xx of a proxy in front of it says enough by its status."""
    return not scheme_of(place).startswith("http") and failure.status < 500 and faults.is_page(failure.body)


def _find_fault(error: Exception, place: str, asked: Asked) -> Fault:
    text = str(error)
    if "InvalidCertificate(" in text:
        detail = text.partition("InvalidCertificate(")[2]
        reason = next((words for name, words in _CERTIFICATES.items() if name in detail), "it is not valid")
        return faults.untrusted_certificate(reason)
    first, failure = text.split("\n", 1)[0], read_failure(text)
    if any(words in first for words in _NO_CREDENTIALS):
        return faults.EXPIRED if f"provider: {LoginEnded.__name__}: " in first else faults.NO_LOGIN
    if any(words in first for words in _NO_CREDENTIALS_FILE):
        return faults.BAD_FILE
    if "redirect without LOCATION" in first:
        region = _find_region(asked.location) if asked.location else ""
        return faults.in_region(region) if region else faults.WRONG_REGION
    if _is_no_store(first, failure, place):
        return faults.NOT_A_STORE
    if isinstance(error, PreconditionError):
        return _BY_TYPE[0][1]
    if failure.status:
        return faults.find_fault(failure.status, faults.read_details(failure.body))
    by_type = next((fault for types, fault in _BY_TYPE if isinstance(error, types)), None)
    return by_type or _find_by_text(error, text, first)


def _is_no_store(first: str, failure: Failure, place: str) -> bool:
    malformed = ("invalid list response", "Header missing", "following redirect")
    is_redirect = 300 <= failure.status < 400 and not faults.read_details(failure.body).code
    return any(words in first for words in malformed) or is_redirect or _is_page(failure, place)


def _find_by_text(error: Exception, text: str, first: str) -> Fault:
    if isinstance(error, UnknownConfigurationKeyError):
        return Fault("unknown option", "check the options of this remote in .dvc/config")
    if isinstance(error, ValueError):
        return Fault("invalid object key", "use names joined by single slashes")
    if "credential" in first.lower():
        return faults.NO_LOGIN
    return next((fault for words, fault in _BY_TEXT if words in text), faults.UNREACHABLE)


def _find_region(location: S3Location) -> str:
    """The region of a bucket, which S3 tells anybody who asks; empty where it does not answer."""
    if not is_reachable_by_python(location.address):
        return ""
    connection = replace(location.connection, read_timeout=_REGION_TIMEOUT)
    with suppress(OSError, HTTPException, StorageFailed):
        return (
            connection.connect(location.address, UNNAMED).head(f"/{location.bucket}").get("x-amz-bucket-region") or ""
        )
    return ""
