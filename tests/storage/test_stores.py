"""The places of one registry's objects."""

from dataclasses import replace
from pathlib import Path

import pytest

from registry.core.settings import RegistryFile, Remote, Settings
from registry.errors import Refused, StorageFailed
from registry.storage.parallel import Cluster
from registry.storage.stores import Stores
from support.object_folders import put_bodies
from support.repositories import md5


def settings(lake: str = "lake", public: str = "") -> Settings:
    """Settings with folders as remotes."""
    remotes = (Remote(lake), Remote("staging"), Remote("production"))
    file = RegistryFile("acme-data", ("@acme/data",), lake)
    return Settings(file, *remotes, public=Remote(public) if public else None)


def test_a_store_is_opened_when_it_is_used_and_once(registry_repo: Path) -> None:
    stores = Stores(registry_repo, settings(lake="ftp://lake"))
    assert stores.staging is stores.staging
    assert (stores.staging.url, stores.production.url) == (f"{registry_repo}/staging", f"{registry_repo}/production")
    with pytest.raises(StorageFailed, match=r"ftp://lake: not the URL of a store"):
        _ = stores.lake


def test_objects_are_read_from_the_cache_staging_and_production(registry_repo: Path) -> None:
    stores = Stores(registry_repo, settings())
    put_bodies(stores.cache, b"cached")
    put_bodies(stores.staging, b"staged")
    put_bodies(stores.production, b"released")
    for body in (b"cached", b"staged", b"released"):
        assert stores.reader(md5(body)) == body
    assert stores.reader(md5(b"other")) is None


def test_downloads_come_from_production_and_public_replaces_what_cannot_be_read(registry_repo: Path) -> None:
    own = Stores(registry_repo, settings())
    assert own.downloads == (own.production, own.staging)
    put_bodies(own.staging, b"staged")
    with_public = Stores(registry_repo, settings(public="public"))
    assert [store.url for store in with_public.downloads] == [f"{registry_repo}/staging", f"{registry_repo}/public"]
    put_bodies(own.production, b"released")
    both = Stores(registry_repo, settings(public="public"))
    assert both.downloads == (both.production, both.staging)


class Workers(Cluster):
    """A cluster that is asked for nothing but where it is."""

    def __init__(self, *, is_here: bool) -> None:
        self.workers, self.is_here = 2, is_here

    def __str__(self) -> str:
        return "tcp://10.0.0.5:8786"


def test_a_folder_is_for_workers_of_this_machine_only(registry_repo: Path) -> None:
    elsewhere = Stores(registry_repo, settings(), cluster=Workers(is_here=False))
    with pytest.raises(Refused) as refused:
        _ = elsewhere.staging
    assert str(refused.value) == (
        f"{registry_repo}/staging is a folder of this machine, which the workers of tcp://10.0.0.5:8786 do not have\n"
        "  hint: use --scheduler local:N, or --scheduler none"
    )
    here = Stores(registry_repo, settings(), cluster=(workers := Workers(is_here=True)))
    assert (here.lake.cluster, here.staging.cluster, here.production.cluster) == (workers,) * 3
    assert here.cache.cluster is None


@pytest.mark.parametrize("option", ["password", "sse_customer_key"])
def test_a_place_whose_key_stays_here_is_refused(registry_repo: Path, option: str) -> None:
    options = {option: "secret", "auth": "basic", "user": "me"} if option == "password" else {option: "A" * 43 + "="}
    lake = Remote("https://host/x" if option == "password" else "s3://lake", options, "lake")
    stores = Stores(registry_repo, replace(settings(), lake=lake), cluster=Workers(is_here=False))
    with pytest.raises(Refused, match=f"remote lake: {option} stays on this machine"):
        _ = stores.lake
