"""A registry of datasets and models, maintained like code. `registry.open` is how a program uses a release.

What this module offers is imported when it is asked for: each command imports this module.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.client.opened import Image as Image
    from registry.client.opened import Opened as Opened
    from registry.client.opened import open as open  # noqa: A004 - it is called registry.open

__all__ = ["Image", "Opened", "open"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("registry.client.opened"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
