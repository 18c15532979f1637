"""The first page: a card for each artifact, what the search looks in, and what it is filtered by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from registry.catalog import releases
from registry.catalog.pictures import Sparkline
from registry.core.values import ArtifactId, DatasetManifest, ModelManifest
from registry.release.history import Release
from registry.release.overview import Overview

FACETS = ("kind", "owner", "class", "stage", "license", "state")
CLASSES = 50  # that one can filter by; the search finds every class


@dataclass(frozen=True, slots=True)
class Card:
    """An artifact on the first page: what is shown of it, what the search looks in, and what it is filtered by."""

    one: Overview
    latest: Release | None
    line: Sparkline | None
    amount: str
    words: str
    facets: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Home:
    """The cards, and the values of each facet, as they are listed; `more` classes are not."""

    cards: tuple[Card, ...]
    facets: Mapping[str, tuple[str, ...]]
    more: int


def home(artifacts: Sequence[Overview]) -> Home:
    """What the first page shows of all artifacts."""
    by_id = {one.artifact: one for one in artifacts}
    classes = {one.artifact: _classes(one, by_id) for one in artifacts}
    frequent = Counter(name for found in classes.values() for name in found)
    listed = tuple(sorted(frequent, key=lambda name: (-frequent[name], name))[:CLASSES])
    cards = tuple(_card(one, classes[one.artifact], frozenset(listed)) for one in artifacts)
    facets = {
        name: listed if name == "class" else tuple(sorted({value for card in cards for value in card.facets[name]}))
        for name in FACETS
    }
    return Home(cards, facets, len(frequent) - len(listed))


def _classes(one: Overview, artifacts: Mapping[ArtifactId, Overview]) -> tuple[str, ...]:
    """The classes of a dataset, or of the one that a model is measured on."""
    manifest = one.manifest
    if isinstance(manifest, ModelManifest) and manifest.dataset and manifest.dataset in artifacts:
        manifest = artifacts[manifest.dataset].manifest
    return manifest.classes if isinstance(manifest, DatasetManifest) else ()


def _card(one: Overview, classes: Sequence[str], listed: AbstractSet[str]) -> Card:
    manifest, latest = one.manifest, releases.latest_good(one)
    own = manifest.classes if isinstance(manifest, DatasetManifest) else ()
    columns = tuple(column.name for column in manifest.columns) if isinstance(manifest, DatasetManifest) else ()
    stages = tuple(sorted({stage for release in one.releases for stage in release.stages}))
    owners = manifest.owners if manifest else ()
    words = [
        str(one.artifact),
        *((manifest.title, manifest.description) if manifest else ()),
        *own,
        *columns,
        *owners,
    ]
    return Card(
        one,
        latest,
        releases.line(one),
        releases.amount(latest),
        " ".join(words).lower(),
        {
            "kind": (one.artifact.kind.value,),
            "owner": owners,
            "class": tuple(name for name in classes if name in listed),
            "license": (manifest.license,) if manifest else (),
            "stage": stages,
            "state": (one.state,),
        },
    )
