"""The first page: a card for each artifact, what the search looks in, and what it is filtered by."""

from collections.abc import Mapping
from dataclasses import dataclass

from registry.catalog import releases
from registry.catalog.pictures import Sparkline
from registry.core.values import DatasetManifest
from registry.release.history import Release
from registry.release.overview import Overview


@dataclass(frozen=True, slots=True)
class Card:
    """An artifact on the first page: what is shown of it, what the search looks in, and what it is filtered by."""

    one: Overview
    latest: Release | None
    line: Sparkline | None
    amount: str
    words: str
    facets: Mapping[str, tuple[str, ...]]


def card(one: Overview) -> Card:
    """The card of an artifact."""
    manifest, latest = one.manifest, releases.latest_good(one)
    classes = manifest.classes if isinstance(manifest, DatasetManifest) else ()
    columns = tuple(column.name for column in manifest.columns) if isinstance(manifest, DatasetManifest) else ()
    stages = tuple(sorted({stage for release in one.releases for stage in release.stages}))
    owners = manifest.owners if manifest else ()
    words = [
        str(one.artifact),
        *((manifest.title, manifest.description) if manifest else ()),
        *classes,
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
            "license": (manifest.license,) if manifest else (),
            "stage": stages,
            "state": (one.state,),
        },
    )
