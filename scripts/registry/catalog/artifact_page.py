"""The page of an artifact: its releases side by side, and what they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.catalog import pictures, releases
from registry.catalog.comparing import Compared
from registry.catalog.pictures import Node
from registry.catalog.showing import Shown
from registry.core import consuming
from registry.core.values import DatasetManifest, ModelManifest, Tag
from registry.release.history import Release
from registry.release.overview import Overview

COMPARED = 6  # versions in a table of metrics


@dataclass(frozen=True, slots=True)
class Row:
    """A release in the table of an artifact."""

    release: Release
    amount: str
    users: tuple[Tag, ...]
    changes: str
    compared: Compared | None


def values(
    one: Overview,
    near: Sequence[Node],
    repository: str,
    compared: Mapping[Tag, Compared | None],
    shown: Shown | None,
) -> dict[str, Any]:
    """What the page of an artifact shows.

    `near` are its releases and those beside them in the lineage, `shown` is what there is of the latest good one.
    """
    latest = releases.latest_good(one)
    rows = [
        Row(
            release,
            releases.amount(release),
            one.users[release.tag],
            releases.changes(one, release),
            compared.get(release.tag),
        )
        for release in one.releases
    ]
    return {
        "one": one,
        "manifest": one.manifest,
        "classes": one.manifest.classes if isinstance(one.manifest, DatasetManifest) else (),
        "intended_use": one.manifest.intended_use if isinstance(one.manifest, ModelManifest) else "",
        "latest": latest,
        "sheet": latest is not None and shown is not None and bool(shown.items.sheets),
        "rows": rows,
        "line": releases.line(one),
        "lineage": pictures.lineage(near, [release.tag for release in one.releases]),
        "metrics": _metrics(one),
        "snippets": consuming.snippets(
            latest.tag, repository, sidecar=latest.has_sidecar, shards=one.whole_shards(latest.tag)
        )
        if latest
        else (),
    }


def _metrics(one: Overview) -> tuple[Sequence[Release], list[tuple[str, list[str]]]]:
    """The latest releases of a model, and their metrics side by side."""
    shown = [release for release in one.releases if releases.numbers(release)][:COMPARED]
    names = dict.fromkeys(name for release in shown for name in releases.numbers(release))
    return shown, [(name, [releases.numbers(release).get(name, "–") for release in shown]) for name in names]
