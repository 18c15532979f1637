"""The places of one registry's objects."""

from pathlib import Path

import pytest

from registry.core.settings import RegistryFile, Remote, Settings
from registry.errors import StorageFailed
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
