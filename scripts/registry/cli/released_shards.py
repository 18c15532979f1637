"""Which releases have shards, for the commands that tell what there is."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from registry.cli.workspace import Workspace, warn
from registry.core import settings
from registry.core.values import Tag
from registry.errors import RegistryError
from registry.release import stored_shards
from registry.release.overview import Overview
from registry.storage import dvc_config


def add(space: Workspace, artifacts: Sequence[Overview], tags: Iterable[Tag] | None = None) -> tuple[Overview, ...]:
    """The artifacts with the shards of these releases, or of all. Where production cannot be asked, that is told."""
    every = [release.tag for one in artifacts for release in one.releases if not release.fault]
    try:
        production = space.stores.production
        address = settings.public_address(dvc_config.parse(space.tree.read(settings.DVC_CONFIG)))
        stored = stored_shards.find(production, every if tags is None else tags)
        found = stored_shards.describe(stored, address or production.url)
    except RegistryError as error:
        warn(f"which releases have shards is not known: {error.message}")
        return tuple(artifacts)
    return tuple(replace(one, shards={tag: found[tag] for tag in one.users if tag in found}) for one in artifacts)
