"""A registry with a lake of images, whose dataset is selected and built by the commands."""

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import polars
import yaml
from PIL import Image

from support.repositories import Outcome, Run, place

PETS = "datasets/pets"
POINTER = f"{PETS}/prepared.dvc"
MANIFEST = """\
schema: 1
name: pets
version: 1.0.0
title: Pets
description: Pets at home.
owners: ["@acme/vision"]
license: CC-BY-4.0
source: {export: {description: by hand, timezone: UTC}}
image: "photos/{uuid}.jpg"  # where the photo desk puts them
columns:
  uuid: {type: uuid}
  label: {type: string}
  camera: {type: string, nullable: true}
  size: {type: number, nullable: true}
  captured_at: {type: datetime, nullable: true}
classes: [cat, dog, "no"]
split:
  salt: pets
  ratios: {train: 0.6, val: 0.2, test: 0.2}
exclude: {}
"""
Row = Sequence[str]  # uuid, label, camera, size, captured_at


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012x}"


def row(number: int, label: str = "") -> Row:
    camera, size = ["", "a,b", 'the "big" one', f"cam {number % 3}"][number % 4], ["", "1.5", "2e3"][number % 3]
    return uuid(number), label or ["cat", "dog", "no"][number % 3], camera, size, ["", "2026-01-31 12:00"][number % 2]


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 9), (number % 256, 7, number // 256)).save(out, "JPEG", comment=b"%d" % number)
    return out.getvalue()


ROWS = tuple(map(row, range(40)))


class Desk:
    """A registry with a lake, and the commands that build its dataset."""

    def __init__(self, root: Path, run: Run) -> None:
        self.root, self._run = root, run
        self.lake, self.staging = root / ".registry/lake", root / ".registry/staging"
        self.production, self.pointer = root / ".registry/production", root / POINTER
        if not (root / PETS).exists():
            (root / PETS).mkdir(parents=True)
            (root / PETS / "dataset.yaml").write_text(MANIFEST)

    def photo(self, number: int) -> Path:
        return self.lake / "photos" / f"{uuid(number)}.jpg"

    def put(self, number: int, data: bytes | None = None) -> None:
        """A photo that has been there for a minute."""
        self.photo(number).parent.mkdir(parents=True, exist_ok=True)
        self.photo(number).write_bytes(picture(number) if data is None else data)
        os.utime(self.photo(number), (time.time() - 60,) * 2)

    def select(self, rows: Sequence[Row]) -> None:
        with (self.root / "export.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("uuid", "label", "camera", "size", "captured_at"), *rows])
        done = self._run(self.root, "select", PETS, "--from", "export.csv")
        assert done.code == 0, done.err
        (self.root / "export.csv").unlink()

    def run(self, *args: str) -> Outcome:
        return self._run(self.root, *args)

    def build(self, *args: str) -> Outcome:
        return self.run("build", PETS, *args)

    def built(self, *args: str) -> str:
        done = self.build(*args)
        assert done.code == 0, done.err
        return done.out

    def files(self) -> dict[str, str]:
        """The files of the version by path, as md5s, read by the formats alone."""
        listing = place(self.staging, yaml.safe_load(self.pointer.read_text())["outs"][0]["md5"])
        return {item["relpath"]: item["md5"] for item in json.loads(listing.read_bytes())}

    def table(self, split: str) -> polars.DataFrame:
        return polars.read_parquet(place(self.staging, self.files()[f"{split}/metadata.parquet"]))
