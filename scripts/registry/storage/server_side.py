"""Whether objects can be copied inside the service that two stores share, without passing this machine."""

from collections.abc import Callable

from registry.storage.base import Copier, Store

OBJECTS = "files/md5"  # DVC's folder


def find_copier(source: Store, destination: Store, seed: Callable[[], None]) -> Copier | None:
    """The copier from `source` to `destination`; None where they share no service, or it ignores a copy's conditions.

    The service is asked by one or two requests for an object that the destination has, which they leave as it is. Where
    it has none, `seed` stores one that it needs. Raises StorageFailed.
    """
    copier = destination.copier_from(source)
    if not copier:
        return None
    if copier.is_conditional is None:
        own = _find_smallest(destination)
        if own is None:
            seed()
            own = _find_smallest(destination)
        copier.is_conditional = copier.honours_conditions(own) if own is not None else None
    return copier if copier.is_conditional else None


def _find_smallest(store: Store) -> str | None:
    """The key of the smallest object in the first page of a listing that is not empty."""
    objects = [one for one in next(store.scan(OBJECTS), []) if one.size]
    return min(objects, key=lambda one: one.size).key if objects else None
