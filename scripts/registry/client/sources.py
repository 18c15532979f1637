"""Where a release is looked up: in a registry's Git repository, or in the `registry.json` of its catalog."""

from collections.abc import Callable

from registry.client import catalogs, repositories
from registry.client.products import Product
from registry.core.references import Reference
from registry.core.withdrawals import Withdrawal


def find(place: str, wanted: Reference, warn: Callable[[str], None]) -> Product:
    """The product of the release that a reference names.

    `place` is the address of a Git repository or a clone on this machine; or that of a `registry.json`, or of the site
    that has one, with a slash at its end.
    `warn` is called with the reason of a version that is withdrawn and the one to use instead, and with what is not
    known for certain. Raises NotFound, InvalidDocument, InvalidData, StorageFailed.
    """
    catalog = catalogs.read(place)
    product = repositories.find(place, wanted, warn) if catalog is None else catalogs.find(catalog, place, wanted)
    if product.withdrawn:
        warn(str(Withdrawal(product.tag, product.withdrawn, product.good)))
    return product
