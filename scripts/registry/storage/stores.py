"""The places of one registry's objects: lake, staging, production, and DVC's caches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from registry.core import erasures
from registry.core.erasures import Erased
from registry.core.settings import Remote, Settings
from registry.errors import NotFound, Refused, StorageFailed
from registry.integrations import dvc
from registry.storage.base import Store
from registry.storage.cache import Cache, open_cache
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.storage.parallel import Cluster
from registry.storage.reader import ObjectReader
from registry.storage.remote_options import find_ignored

S = TypeVar("S", bound=Store)
_UNSENT = ("password", "sse_customer_key")  # which a worker has no place of its own for


@dataclass(frozen=True)
class Stores:
    """Where the objects of the registry at `root` are. Each store is opened once, at its first use.

    Opening makes no request; it raises StorageFailed for a URL that names no store, and InvalidDocument for a DVC
    configuration that cannot be read. `warn` receives what a person should know of damaged copies. With a `cluster`,
    maps over the objects of lake, staging and production run there; raises Refused for a place that it cannot reach.
    """

    root: Path
    settings: Settings
    warn: Callable[[str], None] = field(default=lambda _: None, repr=False)
    erased: Erased = erasures.NOTHING
    cluster: Cluster | None = None

    @cached_property
    def lake(self) -> Store:
        """The images under their UUIDs."""
        return self._open(self.settings.lake)

    @cached_property
    def staging(self) -> Store:
        """Where the objects of pull requests wait."""
        return self._open(self.settings.staging)

    @cached_property
    def production(self) -> Store:
        """Where released objects stay."""
        return self._open(self.settings.production)

    @cached_property
    def cache(self) -> Cache:
        """DVC's cache of this checkout, which need not exist yet; it has only what is proven."""
        return self._mark(open_cache(self.root))

    @cached_property
    def caches(self) -> tuple[Folder, ...]:
        """The caches that exist: of this checkout, then of the others that share its Git repository.

        Folders like any other: whoever reads an object from them verifies it.
        """
        return tuple(self._mark(Folder(path)) for path in dvc.cache_dirs(self.root))

    @cached_property
    def downloads(self) -> tuple[Store, ...]:
        """Where to download from: production, then staging. Where one cannot be read, `public` stands in, if any.

        With a `public` remote, both are asked whether they can be read.
        """
        own = (self.production, self.staging)
        if not self.settings.public:
            return own
        readable = tuple(store for store in own if _is_readable(store))
        return own if readable == own else (*readable, self._open(self.settings.public))

    @cached_property
    def reader(self) -> ObjectReader:
        """Objects by MD5: from the caches, then staging, then production."""
        return ObjectReader((*self.caches, self.staging, self.production), self.warn)

    def _open(self, remote: Remote) -> Store:
        for ignored in find_ignored(remote):
            self.warn(ignored.message)
        store = self._mark(open_store(remote, self.root))
        if self.cluster:
            _require_reachable(store, remote, self.cluster)
            store.cluster = self.cluster
        return store

    def _mark(self, store: S) -> S:
        """The store, which knows what was erased: nothing moves that from or to it, or reads it."""
        store.erased = self.erased
        return store


def _require_reachable(store: Store, remote: Remote, cluster: Cluster) -> None:
    """Raises Refused for what workers could not open: a copy into their own folder of that name would be lost."""
    if not (store.is_shared or cluster.is_here):
        fix = "use --scheduler local:N, or --scheduler none"
        raise Refused(f"{store.url} is a folder of this machine, which the workers of {cluster} do not have", fix=fix)
    if kept := next((name for name in _UNSENT if name in remote.options), ""):
        message = f"remote {remote.name}: {kept} stays on this machine, and workers have no place of their own for it"
        raise Refused(message, fix="use --scheduler none")


def _is_readable(store: Store) -> bool:
    try:
        store.require_readable()
    except (NotFound, StorageFailed):
        return False
    return True
