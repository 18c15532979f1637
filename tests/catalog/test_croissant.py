"""A release as Croissant: whole, in the page too, and by the files and columns that a fetched version has."""

import fnmatch
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlcroissant
import polars as pl
import pytest

from registry.core.settings import CatalogImages
from support import catalogs, pictured_catalogs
from support.pictured_catalogs import Pictured

PLACE = "datasets/pets/v1.0.0"
EMBEDDED = re.compile(r'<script type="application/ld\+json">(.*?)</script>', re.DOTALL)


def ids(value: Any) -> Iterator[str]:
    """The names that something is given, not those by which it is referred to."""
    if isinstance(value, dict):
        if "@id" in value and "@type" in value and "@context" not in value:
            yield value["@id"]
        yield from (name for key, one in value.items() if key != "@context" for name in ids(one))
    elif isinstance(value, list):
        yield from (name for one in value for name in ids(one))


def test_it_describes_the_files_that_are_fetched(tmp_path: Path) -> None:
    pictured = pictured_catalogs.made(20, 1)
    pictured.write(tmp_path, CatalogImages.NONE)
    found = json.loads((tmp_path / PLACE / "croissant.json").read_text())
    assert (found["conformsTo"], found["version"]) == ("http://mlcommons.org/croissant/1.1", "1.0.0")
    assert [name for name, number in Counter(ids(found)).items() if number > 1] == []
    images, tables = found["distribution"]
    fetched = [f"prepared/{path}" for path in pictured.pictures]
    assert all(any(fnmatch.fnmatch(path, pattern) for pattern in images["includes"]) for path in fetched)
    assert any(fnmatch.fnmatch("prepared/val/metadata.parquet", pattern) for pattern in tables["includes"])
    fields = {one["@id"]: one for records in found["recordSet"] for one in records["field"]}
    for name, number in (("images/uuid", 3), ("images/split", 1), ("images/label", 2)):
        pattern = fields[name]["source"]["transform"]["regex"]
        matched = re.match(pattern, fetched[0])  # from the start, as mlcroissant 1.1 does
        assert matched
        assert matched[1] == fetched[0].removesuffix(".jpg").split("/")[number]
    table = next(data for data in pictured.objects.values() if data[:4] == b"PAR1")
    columns = {one["source"]["extract"]["column"] for name, one in fields.items() if name.startswith("rows/")}
    assert columns == {*pl.read_parquet(io.BytesIO(table)).columns} - {"label"}


def fetch(folder: Path, pictured: Pictured) -> None:
    """Put what a consumer fetches beside the description."""
    lists = [json.loads(data) for name, data in pictured.objects.items() if name.endswith(".dir")]
    for row in max(lists, key=len):
        file = folder / "prepared" / row["relpath"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pictured.objects[row["md5"]])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlcroissant_accepts_it_and_loads_all_records_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    pictured = pictured_catalogs.made(20, 1)
    pictured.write(tmp_path, CatalogImages.NONE)
    fetch(tmp_path / PLACE, pictured)
    loaded = mlcroissant.Dataset(tmp_path / PLACE / "croissant.json")
    assert (loaded.metadata.issues.errors, loaded.metadata.issues.warnings) == (set(), set())
    images, rows = list(loaded.records("images")), list(loaded.records("rows"))
    paths = {"/".join(one[f"images/{part}"].decode() for part in ("split", "label", "uuid")) for one in images}
    assert {f"{path}.jpg" for path in paths} == {*pictured.pictures}
    assert {one["images/image"].mode for one in images} == {"RGB"}
    assert {one["rows/uuid"].decode() for one in rows} == {one["images/uuid"].decode() for one in images}
    assert {type(one["rows/is_indoors"]) for one in rows} == {bool}


def test_the_page_has_the_same_and_text_of_a_manifest_ends_nothing() -> None:
    catalog = catalogs.made(1, 2)
    files = catalogs.rendered(catalog)
    place = "datasets/pets/v1.1.0"
    [embedded] = EMBEDDED.findall(files[f"{place}/index.html"].decode())
    found = json.loads(embedded)
    assert found == json.loads(files[f"{place}/croissant.json"])
    assert found["url"] == "https://data.acme.example/datasets/pets/v1.1.0/index.html"
    assert "<" not in embedded
    assert found["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"


def test_neither_a_model_nor_a_withdrawn_release_is_offered() -> None:
    files = catalogs.rendered(catalogs.made(1, 3))
    assert [path for path in files if path.endswith("croissant.json")] == [
        "datasets/pets/v1.2.0/croissant.json", "datasets/pets/v1.1.0/croissant.json"
    ]  # fmt: skip
    assert not EMBEDDED.search(files["datasets/pets/v1.0.0/index.html"].decode())
