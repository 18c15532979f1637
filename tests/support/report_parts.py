"""What the situations of a report are made of: artifacts, counts, pictures and comparisons."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any

import polars as pl
from PIL import Image

from registry.core.check_names import CheckName
from registry.core.digests import md5
from registry.core.model_values import Gate
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
    Example,
    Thumbnail,
)
from registry.integrations.hardware import Hardware
from registry.model.changes import (
    Flip,
    GateResult,
    GateState,
    MetricChange,
    ModelChange,
    PairedComparison,
    ParamChange,
    Slice,
)
from registry.model.classification import TITLES
from registry.report.run_info import RunInfo
from support.model_frames import calibration, confusion, curves, flips, uuid

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
    added, removed, relabelled, moved, changed = counts.values()
    return Diff(before, after, added, removed, relabelled, moved, changed, rows=pl.DataFrame(), tables=False)


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


def picture(name: str, alt: str, colour: str = "#8fb3d9", width: int = 320, fault: str = "") -> Thumbnail:
    data = BytesIO()
    Image.new("RGB", (width, 240), colour).save(data, "WEBP", quality=1)
    return Thumbnail(name, alt, width, 240, data.getvalue(), fault)


def pair(place: int) -> Thumbnail:
    return picture(f"pair-{place}", "two images side by side: train/cat and test/cat", width=652)


def changed(title: str, total: int, caption: str, colour: str = "#8fb3d9") -> tuple[Example, ...]:
    """Examples of a change of a dataset: as many as there are, at most 12."""
    return tuple(
        Example(
            title,
            total,
            uuid(number),
            caption,
            picture(f"{title.lower()}-{number}", f"image of {caption}", colour),
        )
        for number in range(1, min(total, 12) + 1)
    )


def flipped(kind: Flip, total: int, colour: str) -> tuple[Example, ...]:
    """As many as there are, at most 12."""
    base, new = ("cat", "dog") if kind is Flip.BROKEN else ("dog", "cat")
    return tuple(
        Example(
            TITLES[kind],
            total,
            uuid(number),
            f"label cat; predicted {base} 0.81 → {new} 0.62",
            picture(f"{kind}-{number}", "image labelled cat", colour),
        )
        for number in range(1, min(total, 12) + 1)
    )


def paired(
    base: float, new: float, low: float, high: float, images: int = 203, p_value: float = 0.021
) -> PairedComparison:
    return PairedComparison(images, base, new, new - base, low, high, 0.95, 4, 11, p_value, "accuracy", True, True)


def model_change(**changes: Any) -> ModelChange:
    gates = (
        GateResult(Gate("accuracy", min=0.85), GateState.PASSED, "accuracy is 0.9310, expected at least 0.85", 14),
        GateResult(
            Gate("accuracy", no_worse_than="base"),
            GateState.PASSED,
            "accuracy is 0.9310 vs. 0.8966 on 203 shared test images (difference +0.0344, 95% CI +0.0049 to +0.0640): "
            "not significantly worse than the base",
            15,
        ),
        GateResult(
            Gate("f1", min=0.8, label="dog"), GateState.PASSED, "per_class.dog.f1 is 0.929, expected at least 0.8", 16
        ),
    )
    values = {
        "metrics": (
            MetricChange("accuracy", 0.8966, 0.931, better=True),
            MetricChange("loss", 0.2417, 0.2031, better=True),
            MetricChange("per_class.dog.f1", 0.89, 0.929, better=True),
        ),
        "params": (ParamChange("train.epochs", "5", "6"), ParamChange("train.mixup", None, "0.2")),
        "images": 203,
        "tests": 217,
        "shares": ("accuracy",),
        "comparison": paired(0.8966, 0.931, 0.0049, 0.0640),
        "gates": gates,
        "flips": flips(),
        "slices": (
            Slice("label", "cat", paired(0.894, 0.933, 0.0, 0.08, 104, 0.12)),
            Slice("camera", "XT-3", paired(0.82, 0.91, 0.02, 0.16, 60, 0.012)),
        ),
        "confusion": confusion(),
        "calibration": calibration(),
        "curves": curves(),
        "examples": (*flipped(Flip.BROKEN, 4, "#d98f8f"), *flipped(Flip.FIXED, 14, "#9fd98f")),
        **changes,
    }
    return ModelChange(MODEL, "Cat or dog", V100, V110, trained=True, **values)
