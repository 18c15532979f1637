"""Opens the store that a remote names."""

from pathlib import Path

from registry.core.settings import Remote
from registry.storage.base import Store
from registry.storage.local import Folder


def open_store(remote: Remote, root: Path) -> Store:
    """The store behind a URL (s3, gs, az or azure, http, https) or a folder (relative to `root`).

    Nothing is asked of it yet, and a folder need not exist. Raises StorageFailed for a URL that names no store.
    """
    if "://" not in remote.url or remote.url.startswith("file://"):
        return Folder(root / remote.url.removeprefix("file://"))
    from registry.storage.cloud import open_bucket

    return open_bucket(remote)
