"""Opens the store that a remote names."""

from pathlib import Path

from registry.core.settings import Remote
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.storage.remote_options import require_store, require_usable


def open_store(remote: Remote, root: Path) -> Store:
    """The store behind a URL (s3, gs, azure, http, https) or a folder (relative to `root`).

    It makes no request, and a folder need not exist. Raises StorageFailed for a URL that names no store, and
    for options with which it cannot be used.
    """
    require_store(remote.url)
    require_usable(remote)
    if "://" not in remote.url or remote.url.startswith("file://"):
        return Folder(root / remote.url.removeprefix("file://"))
    # obstore takes 0.05 s to import, and botocore may take 0.2: a registry in folders need not wait for them.
    from registry.storage.cloud_config import open_bucket

    return open_bucket(remote)
