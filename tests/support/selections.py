"""A dataset manifest, and rows that match it, for tests of selections."""

import csv
import json
import random
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import yaml

from registry.core import documents, manifests, schema
from registry.core.names import parse_id
from registry.core.values import DatasetManifest
from registry.dataset import exports

PHOTOS = parse_id("datasets/photos")
LOOKER = {
    "looker": {"model": "photos", "view": "images", "filters": {"images.label": "cat,dog"}, "sorts": ["images.uuid"]}
}
COLUMNS = {
    "uuid": {"from": "images.uuid", "type": "uuid"},
    "label": {"from": "images.label", "type": "string"},
    "camera": {"from": "images.camera", "type": "string", "nullable": True},
    "captured_at": {"from": "images.captured_at", "type": "datetime", "nullable": True},
}

Row = dict[str, object]


def text(source: Mapping[str, object] = LOOKER, columns: Mapping[str, object] = COLUMNS) -> bytes:
    """The YAML of a manifest."""
    return yaml.safe_dump(
        {
            "schema": 1, "name": "photos", "version": "1.0.0", "title": "Photos", "description": "Cats and dogs.",
            "owners": ["@acme/vision"], "license": "CC-BY-4.0", "source": dict(source), "image": "{uuid}.jpg",
            "columns": dict(columns), "classes": ["cat", "dog"],
            "split": {"salt": "photos", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}},
        },
        sort_keys=False,
    ).encode()  # fmt: skip


def manifest(source: Mapping[str, object] = LOOKER, columns: Mapping[str, object] = COLUMNS) -> DatasetManifest:
    """A manifest, parsed."""
    document = documents.read_yaml(text(source, columns), "datasets/photos/dataset.yaml")
    schema.require(document, "dataset")
    parsed = manifests.parse(document, PHOTOS)
    assert isinstance(parsed, DatasetManifest)
    return parsed


def rows(count: int, seed: int = 1) -> list[Row]:
    """Rows as Looker returns them."""
    draw = random.Random(seed)
    return [
        {
            "images.uuid": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            "images.label": draw.choice(["cat", "dog"]),
            "images.camera": draw.choice(["XT-3", "X100, «old»", None]),
            "images.captured_at": f"2024-03-{draw.randint(1, 28):02} 10:00:{draw.randint(0, 59):02}",
        }
        for _ in range(count)
    ]


def write_csv(path: Path, some: Sequence[Row], headers: Sequence[str] = ()) -> Path:
    """A CSV file with these rows, under their own headers or others."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(headers or some[0])
        writer.writerows(row.values() for row in some)
    return path


def write_json(path: Path, some: Sequence[Row]) -> Path:
    """A JSON file with these rows."""
    path.write_text(json.dumps(some))
    return path


def read_export(path: Path, expected: DatasetManifest, *, timezone: str | None = "UTC", name: str = "") -> pl.DataFrame:
    """The rows of a file, as they would be selected."""
    return exports.read(path, expected, zone=exports.Zone(timezone, "a test"), name=name).frame
