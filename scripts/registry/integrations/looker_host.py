"""Whether an address belongs to the Looker that the API key is of."""

from contextlib import suppress
from urllib.parse import urlsplit

from registry.errors import Refused, ServiceFailed
from registry.integrations.looker_connection import Connection


def require_same_looker(looker: Connection, origin: str | None) -> None:
    """Raise Refused where an address names another Looker: its ids and slugs mean something else here.

    `origin` is `https://HOST` of the address; None is any. The API may have a host or a port of its own, so Looker is
    also asked for the address of its pages.
    """
    if origin is None or _host(origin) == looker.transport.host:
        return
    pages = None
    with suppress(ServiceFailed):
        pages = looker.sdk.versions(fields="web_server_url").web_server_url
    if pages is None or _host(origin) != _host(pages):
        raise Refused(
            f"the address is one of {_host(origin)}, but the API key is one of {looker.transport.host}",
            fix=f"set LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET to a key of {_host(origin)}",
        )


def _host(url: str) -> str | None:
    return urlsplit(url).hostname
