"""Azure Blob Storage: logins that cannot work are said for what they are, and nothing secret is shown."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from registry.core.settings import Remote
from registry.errors import NotFound, RegistryError, StorageFailed
from registry.storage import cloud_config
from registry.storage.base import Store
from registry.storage.open import open_store
from support.servers import azurite_server
from support.servers.azurite_server import ACCOUNT, KEY, Azurite

CONTAINER, MISSING = "data", "files/md5/00/1"
OTHER_KEY = "QUJD" * 21 + "QUI="
REQUESTS: dict[str, Callable[[Store], object]] = {
    "find": lambda store: store.find(MISSING),
    "get": lambda store: store.get(MISSING),
    "list": lambda store: store.list(),
    "find many": lambda store: store.find_many([MISSING]),
    "put": lambda store: store.put("new", b"new"),
    "replace": lambda store: store.replace("new", lambda: iter([b"new"])),
    "delete": lambda store: store.delete([MISSING]),
    "require": lambda store: store.require_readable(),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Azurite]:
    with azurite_server.run(CONTAINER) as server:
        yield server


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cloud_config.RETRIES, "max_retries", 1)
    monkeypatch.setitem(cloud_config.RETRIES, "retry_timeout", timedelta(seconds=1))


def open_azure(url: str = f"azure://{CONTAINER}", **options: str) -> Store:
    return open_store(Remote(url, options, "staging"), Path())


def sas(server: Azurite, permissions: str, hours: int = 1) -> str:
    token = server.sas(permissions, valid_for=timedelta(hours=hours))
    return server.connection_string(login=f"SharedAccessSignature={token}")


LOGINS: dict[str, tuple[Callable[[Azurite], str], str]] = {
    "account that is not there": (lambda server: server.connection_string(account="unknown"), "does not exist"),
    "another account's key": (
        lambda server: server.connection_string(login=f"AccountKey={OTHER_KEY}"),
        "access denied (",
    ),
    "half a key": (lambda server: server.connection_string(login=f"AccountKey={KEY[:21]}"), "is not base64"),
    "key with a space": (
        lambda server: server.connection_string(login=f"AccountKey={KEY[:8]} {KEY[8:]}"),
        "not base64",
    ),
    "expired SAS": (lambda server: sas(server, "rwdl", -1), "the shared access signature expired at 20"),
    "SAS without signature": (
        lambda server: server.connection_string(login="SharedAccessSignature=sv=2024-01-01&sp=r"),
        "has no signature (sig=)",
    ),
    "nothing that names an account": (lambda _: "hush", "names no account"),
    "account with a path": (lambda _: f"AccountName=a b/c;AccountKey={KEY}", "is not a valid URL"),
    "emulator that is off": (lambda _: connection_to_a_closed_port(), "the connection was refused"),
}


def connection_to_a_closed_port() -> str:
    """Of a port on which no program listens: 1 is reserved."""
    return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/{ACCOUNT}"


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_that_cannot_work_is_said_for_what_it_is(server: Azurite, login: str) -> None:
    connect, words = LOGINS[login]
    wrong = []
    for name, request in REQUESTS.items():
        with pytest.raises(StorageFailed) as caught:
            request(open_azure(connection_string=connect(server)))
        said = str(caught.value)
        is_right = words in said and caught.value.fix and "{" not in said and " profile NAME" not in said
        leaks = [secret for secret in (KEY[:12], OTHER_KEY, "sig=ey", "hush") if secret in said]
        wrong += [] if is_right and not leaks else [f"{name}: {said}"]
    assert wrong == []


@pytest.mark.parametrize("container", ["nothing", "No_Container"])
def test_a_missing_container_is_no_missing_object(server: Azurite, container: str) -> None:
    store = open_azure(f"azure://{container}/prefix", connection_string=server.connection_string())
    for request in REQUESTS.values():
        with pytest.raises(StorageFailed, match="the container does not exist"):
            request(store)


def test_a_signature_that_permits_reading_only(server: Azurite) -> None:
    server.client().get_blob_client(CONTAINER, "there").upload_blob(b"there", overwrite=True)
    for prefix in ("", "?"):  # the portal copies a token with a question mark
        login = sas(server, "rl").replace("SharedAccessSignature=", f"SharedAccessSignature={prefix}")
        store = open_azure(connection_string=login)
        assert (store.get("there"), store.find(MISSING)) == (b"there", None)
        with pytest.raises(StorageFailed, match=r"new: access denied \(writing\)\n.* connection_string TEXT"):
            store.put("new", b"")


def test_no_login_at_all(server: Azurite) -> None:
    endpoint = f"AccountName={ACCOUNT};BlobEndpoint={server.url}/{ACCOUNT}"
    with pytest.raises(StorageFailed, match="no valid credentials"):  # obstore asks for a managed identity
        open_azure(connection_string=endpoint).find(MISSING)
    anonymous = open_azure(connection_string=endpoint, allow_anonymous_login="true")
    with pytest.raises(RegistryError, match=r"credentials|denied|exist"):
        anonymous.put("new", b"")


def test_objects_are_created_once_and_deleted_as_often_as_one_likes(server: Azurite) -> None:
    store = open_azure(f"azure://{CONTAINER}/ü b", connection_string=server.connection_string())
    assert [store.put("a+é 1", body) for body in (b"first", b"second")] == [True, False]
    assert store.get("a+é 1") == b"first"
    store.replace("a+é 1", lambda: iter([b"third"]))
    assert store.list()["key"].to_list() == ["a+é 1"]
    store.put("b", b"")
    store.delete(["gone", "a+é 1", "gone too", "b"])
    store.delete(["b"])
    assert store.list().height == 0
    with pytest.raises(NotFound):
        store.get("b")


# --- erasing ----------------------------------------------------------------------------------------------------------


def test_an_erasure_takes_snapshots_and_no_other_blob(server: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server.connection_string())
    store = open_azure(f"azure://{CONTAINER}/erased")
    for body in (b"first", b"second"):
        store.replace("a", lambda body=body: iter([body]))
        server.client().get_blob_client(CONTAINER, "erased/a").create_snapshot()
    store.put("ab", b"another")
    store.erase(["a", "gone"])
    container = server.client().get_container_client(CONTAINER)
    assert [one.name for one in container.list_blobs("erased/", include=["snapshots", "versions"])] == ["erased/ab"]
    store.erase(["a", "ab"])


def test_an_erasure_with_a_signature_that_may_only_read(server: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server.connection_string())
    open_azure().put("kept", b"an image")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", sas(server, "rl"))
    with pytest.raises(StorageFailed, match="could not be erased: Azure answered Authorization"):
        open_azure().erase(["kept"])
    assert server.get(CONTAINER, "kept") == b"an image"
