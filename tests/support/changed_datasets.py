"""A dataset in memory that moved to its next version, and what the checks find in that change."""

from typing import Any

from registry.checks.context import Scope
from registry.core.values import Finding
from support import memory_registries
from support.memory_registries import Registry

PETS = "datasets/pets"
MANIFEST, RAW, PREPARED = f"{PETS}/dataset.yaml", f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"
CHANGED = {MANIFEST, RAW, PREPARED}


def changed(pictures: dict[str, bytes] | None = None, **changes: Any) -> Registry:
    """A sound registry whose dataset moved to 2.0.0 with these images and keys."""
    registry = memory_registries.sound()
    registry.edit(MANIFEST, **{"version": "2.0.0", **changes})
    if pictures is not None:
        memory_registries.build(registry, "pets", pictures)
    registry.derive()
    return registry


def check(registry: Registry, scope: Scope = Scope.STAGED) -> list[Finding]:
    """What the checks find in its change."""
    return registry.check(scope, CHANGED)
