"""Translates obstore's errors into ours; their own text may hold signatures and tokens, and is never shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from registry.errors import NotFound, StorageFailed
from registry.storage.s3_copy import DENIED, FAULTS, UNREACHABLE, Fault, describe_status
from registry.storage.s3_credentials import LOG_IN

_BY_STATUS = {
    # The response to a HEAD has no body with details.
    "400": Fault("the server rejected the request (400)", "check the region, and that your credentials are valid"),
    "401": DENIED,
    "403": DENIED,
    "404": Fault("the bucket does not exist", "check the address"),
}
_BY_TYPE: tuple[tuple[tuple[type[Exception], ...], Fault], ...] = (
    ((PreconditionError,), Fault("the object changed while it was read", "run the same command again")),
    ((PermissionError, PermissionDeniedError, UnauthenticatedError), DENIED),
)
_NO_KEYS = Fault("no valid credentials", LOG_IN)
_TIMEOUT = Fault(
    "the connection timed out", "check the network, then run the same command again: it continues where it stopped"
)


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn obstore's exceptions about `place`, a store or an object, into NotFound or StorageFailed."""
    try:
        yield
    except (FileNotFoundError, NotFoundError) as error:
        raise NotFound(f"{place} does not exist") from error
    except (OSError, ValueError, BaseError) as error:
        fault = _find_fault(error)
        # Without the cause: its text may have what was signed.
        raise StorageFailed(f"{place}: {fault.message}", fix=fault.fix) from None


def _find_fault(error: Exception) -> Fault:
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    if code and code[1] in FAULTS:
        return FAULTS[code[1]]
    if "credential provider" in text.split("\n", 1)[0]:
        return _NO_KEYS
    by_type = next((fault for types, fault in _BY_TYPE if isinstance(error, types)), None)
    return by_type or _find_by_text(error, text)


def _find_by_text(error: Exception, text: str) -> Fault:
    first = text.split("\n", 1)[0]
    if status := re.search(r"status code: (\d{3})", first):
        return _BY_STATUS.get(status[1]) or describe_status(status[1])
    if isinstance(error, UnknownConfigurationKeyError):
        return Fault("unknown option", "check the options of this remote in .dvc/config")
    if isinstance(error, ValueError):
        return Fault("invalid object key", "use names joined by single slashes")
    if "token request" in first or "credential" in first.lower():
        return _NO_KEYS
    return _TIMEOUT if "kind: Timeout" in text else UNREACHABLE
