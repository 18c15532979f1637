"""What obstore says of a failure, in our words; its own may hold signatures and tokens, and are never shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from registry.errors import NotFound, StorageFailed
from registry.storage import s3_copy, s3_credentials


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what obstore raises of a place into NotFound or StorageFailed."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except (FileNotFoundError, NotFoundError) as error:
        raise NotFound(f"{place} does not exist") from error
    except (OSError, ValueError, BaseError) as error:
        fault, fix = _in_words(error)
        # Without the cause: its text may carry what was signed.
        raise StorageFailed(f"{place}: {fault}", fix=fix) from None


_STATUSES = {
    # A HEAD's answer has no body to say more.
    "400": ("the server refused the request (400)", "see that your credentials have not expired, and the region"),
    "401": s3_copy.DENIED,
    "403": s3_copy.DENIED,
    "404": ("it does not exist", "look at its address"),
}


def _in_words(error: Exception) -> tuple[str, str]:
    from obstore.exceptions import (
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
        UnknownConfigurationKeyError,
    )

    text, code = str(error).split("\n", 1)[0], re.search(r"<Code>(\w+)</Code>", str(error))
    if code and code[1] in s3_copy.WORDS:
        return s3_copy.WORDS[code[1]]
    if isinstance(error, PreconditionError):
        return "it was changed while it was read", "run the same command again"
    if "credential provider" in text:
        return "there are no current credentials for it", s3_credentials.LOG_IN
    if isinstance(error, (PermissionError, PermissionDeniedError, UnauthenticatedError)):
        return s3_copy.DENIED
    if status := re.search(r"status code: (\d{3})", text):
        again = f"the server answered {status[1]}", "try again; if it stays, ask who runs the server"
        return _STATUSES.get(status[1], again)
    if isinstance(error, UnknownConfigurationKeyError):
        return "an option is not known", "look at this remote's options in .dvc/config"
    if isinstance(error, ValueError):
        return "not a name for an object", "keys are names joined by single slashes"
    if "token request" in text or "credential" in text.lower():
        return "there are no credentials for it", "log in to that cloud, or set its environment variables"
    if "kind: Timeout" in str(error):
        return "the server fell silent", "look at the network, then run the same command again: what was stored stays"
    return "the server could not be reached", "look at the address and the network, then run the same command again"
