"""What tests of Looker share."""

from collections.abc import Iterator

import pytest

from registry.integrations import looker_transport
from support.selections import rows
from support.servers.looker import LookerServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LookerServer]:
    """A Looker with 20 rows, to which the environment leads; waiting takes no time; nothing else is on the network."""

    def nowhere(*_: object, **__: object) -> None:
        raise AssertionError("a request went to another server")

    monkeypatch.setattr("requests.get", nowhere)
    monkeypatch.setattr(looker_transport, "PAUSES", (0, 0, 0, 0))
    for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET", "TIMEOUT", "VERIFY_SSL"):
        monkeypatch.delenv(f"LOOKERSDK_{name}", raising=False)
    with LookerServer(rows(20), commits={"acme_lookml": "5f1d" * 10}).serve() as served:
        for name, value in served.env().items():
            monkeypatch.setenv(name, value)
        yield served
