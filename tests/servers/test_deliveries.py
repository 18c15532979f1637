"""Deliveries in Google Cloud Storage and Azure: as in S3, one file or the newest, with what the service says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.core import delivery_places
from registry.core.settings import Remote
from registry.dataset.exports import SUFFIXES
from registry.errors import NotFound, Refused, StorageFailed
from registry.storage import deliveries, logins
from support.cloud_registry import AzureCloud, Cloud, GoogleCloud
from support.servers import azurite_server, google_storage
from support.servers.google_storage import GoogleStorage


@pytest.fixture(params=["azure", "gs"])
def cloud(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A service with the bucket `lake`, and the environment with which it is used."""
    if request.param == "azure":
        with azurite_server.run("lake") as server:
            made: Cloud = AzureCloud(server)
            use(made, monkeypatch)
            yield made
        return
    with google_storage.serve(GoogleStorage({"lake": {}})) as service:
        made = GoogleCloud(service, tmp_path)
        use(made, monkeypatch)
        yield made


def use(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.env().items():
        monkeypatch.setenv(name, value)


def fetch(cloud: Cloud, path: str, folder: Path) -> tuple[bytes, deliveries.Delivered]:
    place = delivery_places.parse(f"{cloud.scheme}://lake/{path}")
    file, found = deliveries.download(deliveries.find(place, {}, SUFFIXES), folder)
    return file.read_bytes(), found


@pytest.mark.parametrize("name", ["latest.csv", "Pets – März 2024.csv", "a+b=c%20d.csv.gz"])
def test_a_file_is_read_with_what_the_service_says_of_it(cloud: Cloud, tmp_path: Path, name: str) -> None:
    cloud.put("lake", f"looker/{name}", b"uuid,label\n")
    data, found = fetch(cloud, f"looker/{name}", tmp_path)
    assert data == b"uuid,label\n"
    assert found.delivery.url == f"{cloud.scheme}://lake/looker/{name}"
    assert found.delivery.etag
    again = deliveries.find(delivery_places.parse(found.url), {}, SUFFIXES)
    assert again.delivery == found.delivery
    cloud.put("lake", f"looker/{name}", b"uuid,label\n1,2\n")
    assert deliveries.find(delivery_places.parse(found.url), {}, SUFFIXES).delivery.etag != found.delivery.etag


def test_a_folder_has_one_newest_file(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put("lake", "looker/pets_1.csv", b"1")
    assert fetch(cloud, "looker/", tmp_path)[0] == b"1"
    cloud.put("lake", "looker/below/pets_2.csv", b"2")
    cloud.put("lake", "lookers/pets_3.csv", b"3")
    assert fetch(cloud, "looker/", tmp_path)[1].others == 0
    cloud.put("lake", "looker/birds_1.csv", b"4")
    with pytest.raises(Refused, match="has files of several deliveries"):
        fetch(cloud, "looker/", tmp_path)
    assert fetch(cloud, "looker/pets_*.csv", tmp_path)[0] == b"1"


def test_what_is_not_there_is_told(cloud: Cloud, tmp_path: Path) -> None:
    for path in ("looker/nothing.csv", "looker/"):
        with pytest.raises((NotFound, StorageFailed)):
            fetch(cloud, path, tmp_path)


# --- logins -----------------------------------------------------------------------------------------------------------

REMOTES = {
    "staging": Remote("s3://acme-staging/x", {"profile": "staging"}, "staging"),
    "production": Remote("gs://acme-production", {"credentialpath": "p.json"}, "production"),
    "public": Remote("https://files.acme.org/public", {"auth": "basic", "user": "u", "password": "hush"}, "public"),
}
OF_DELIVERIES: dict[str, Any] = {"deliveries": Remote("s3://other", {"profile": "looker"}, "deliveries")}


@pytest.mark.parametrize(
    ("url", "remotes", "name"),
    [
        ("s3://acme-looker/a.csv", REMOTES, "staging"),
        ("s3://acme-looker/a.csv", REMOTES | OF_DELIVERIES, "deliveries"),
        ("s3://acme-staging/a.csv", REMOTES | OF_DELIVERIES, "staging"),
        ("gs://acme-production/a.csv", REMOTES, "production"),
        ("gs://acme-looker/a.csv", REMOTES, ""),
        ("azure://acme-looker/a.csv", REMOTES | OF_DELIVERIES, ""),
        ("https://files.acme.org/a.csv", REMOTES, "public"),
        ("https://files.acme.org:8443/a.csv", REMOTES, ""),
        ("https://evil.example/a.csv", REMOTES, ""),
    ],
)
def test_the_login_of_a_remote_is_used_in_its_own_kind_of_store(
    url: str, remotes: dict[str, Remote], name: str
) -> None:
    found = logins.remote_for(delivery_places.parse(url).root, remotes, (deliveries.REMOTE, "staging"))
    assert found.name == name
    assert found.options == (remotes[name].options if name else {})
