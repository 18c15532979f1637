"""The URL of a storage service: what `endpointurl` may be."""

from urllib.parse import urlsplit

from registry.errors import StorageFailed

_EXAMPLE = "write https://HOST or https://HOST:PORT"


def require_endpoint(url: str, remote: str = "") -> str:
    """The URL without a slash at its end; an empty one is AWS's or Google's own. Raises StorageFailed.

    A path is refused because S3's signature covers it: no server can be at one.
    """
    if fault := _find_fault(url):
        place = f"remote {remote}: " if remote else ""
        raise StorageFailed(f"{place}endpoint {_redact(url)} {fault}", fix=_EXAMPLE)
    return url.rstrip("/")


def _find_fault(url: str) -> str:
    if not url:
        return ""
    if not url.lower().startswith(("http://", "https://")):
        return "does not start with https:// or http://"
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or any(char.isspace() or char in '"<>\\^`{|}' for char in url):
        return "is not a valid URL"
    if parts.username is not None:
        return "contains credentials; they belong into the environment (AWS_PROFILE, …)"
    if parts.path.strip("/") or "?" in url or "#" in url:
        return "has a path; the bucket belongs into the remote's url"
    return ""


def _redact(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}…@{rest.rpartition('@')[2]}" if "@" in rest else url
