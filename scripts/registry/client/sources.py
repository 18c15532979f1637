"""Where a release is looked up: in a registry's Git repository, or in the `registry.json` of its catalog."""

from collections.abc import Callable

from registry.client import repositories
from registry.client.products import Product
from registry.core.references import Reference


def find(place: str, wanted: Reference, warn: Callable[[str], None]) -> Product:
    """The product of the release that a reference names; `place` is a URL, or a clone on this machine.

    `warn` is called with the reason of a version that is withdrawn, and with what is not known for certain. Raises
    NotFound, InvalidDocument, InvalidData, StorageFailed.
    """
    product = repositories.find(place, wanted, warn)
    if product.withdrawn:
        warn(f"{product.tag} is withdrawn: {product.withdrawn}")
    return product
