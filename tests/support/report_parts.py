"""What the situations of a report are made of: artifacts, counts, sheets and comparisons."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO

import polars as pl
from PIL import Image

from registry.core.check_names import CheckName
from registry.core.digests import md5
from registry.core.values import (
    ArtifactId,
    Asker,
    Counts,
    Diff,
    Kind,
    Lookml,
    Outcome,
    Selection,
    Version,
)
from registry.dataset.changes import (
    DuplicateItem,
    Sheet,
)
from registry.integrations.hardware import Hardware
from registry.model.changes import Example, Flip, PairedComparison
from registry.model.classification import TITLES
from registry.report.run_info import RunInfo
from support.model_frames import uuid

PETS, MODEL = ArtifactId(Kind.DATASET, "pets"), ArtifactId(Kind.MODEL, "pets")
V100, V110, V120, V200 = Version(1, 0, 0), Version(1, 1, 0), Version(1, 2, 0), Version(2, 0, 0)
NOTHING: Counts = {}
BEFORE: Counts = {"train": {"cat": 800, "dog": 760}, "val": {"cat": 100, "dog": 95}, "test": {"cat": 104, "dog": 99}}
HARDWARE = Hardware("AMD EPYC 7763", 4, "NVIDIA H100", "570.86", 81.4, 31_000_000, 1_430_000_000)
RUN_INFO = RunInfo(
    ("git checkout 5f1d", "registry pull", "registry report --base origin/main"), "0" * 38 + "a1", "5f1d" * 10, HARDWARE
)
PASSED = tuple(
    Outcome(name, artifact)
    for name in (CheckName.MANIFEST, CheckName.VERSION, CheckName.ITEMS, CheckName.SPLITS)
    for artifact in (PETS, MODEL)
)


def diff(before: Counts, after: Counts, **kinds: Counts) -> Diff:
    counts = dict.fromkeys(("added", "removed", "relabelled", "moved", "changed"), NOTHING) | kinds
    return Diff(before, after, **counts, rows=pl.DataFrame(), tables=False)


def origin(rows: int, day: int, **changes: object) -> Selection:
    """The origin of rows that Looker returned."""
    made = Selection(
        rows,
        digest(f"{rows} rows"),
        digest("source"),
        "looker",
        datetime(2026, 11, day, 3, 37, tzinfo=UTC),
        query={"model": "pets", "view": "images", "fields": ["images.uuid"]},
        query_hash=digest("query"),
        sql_hash=digest("SELECT 1"),
        asked_by=Asker("12", "registry", service_account=True),
        workspace="production",
        lookml=Lookml("pets", "5f1d" * 10),
        looker_release="26.22.7",
        share_url="https://acme.cloud.looker.com/x/AbCdEf",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def digest(text: str) -> str:
    """The SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()


def plus(counts: Counts, other: Counts, sign: int = 1) -> Counts:
    return {
        split: {label: number + sign * other.get(split, {}).get(label, 0) for label, number in labels.items()}
        for split, labels in counts.items()
    }


def item(number: int, split: str, label: str, data: str, *, is_new: bool = False) -> DuplicateItem:
    return DuplicateItem(uuid(number), split, label, md5(data.encode()), is_new)


def sheet(name: str, title: str, total: int, colour: str = "#8fb3d9") -> Sheet:
    picture = BytesIO()
    Image.new("RGB", (480, 120), colour).save(picture, "WEBP", quality=1)
    return Sheet(name, title, total, min(20, total), 480, 120, f"{min(20, total)} {name} images", picture.getvalue())


def examples(kind: Flip, total: int, colour: str) -> tuple[Example, ...]:
    """As many as there are, at most 12."""
    base, new = ("cat", "dog") if kind is Flip.BROKEN else ("dog", "cat")
    return tuple(
        Example(
            TITLES[kind],
            total,
            uuid(number),
            f"label cat; predicted {base} 0.81 → {new} 0.62",
            sheet(f"{kind}-{number}", f"cat: {uuid(number)}", 1, colour),
        )
        for number in range(1, min(total, 12) + 1)
    )


def paired(
    base: float, new: float, low: float, high: float, images: int = 203, p_value: float = 0.021
) -> PairedComparison:
    return PairedComparison(images, base, new, new - base, low, high, 0.95, 4, 11, p_value)


# --- situations -------------------------------------------------------------------------------------------------------
