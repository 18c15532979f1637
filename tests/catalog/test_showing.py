"""What the site shows of images: as much as registry.yaml allows, each picture drawn once, nothing that is erased."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image
from polars import DataFrame

from registry.catalog import columns, sheets, shown_items
from registry.core import tombstones
from registry.core.erasures import Erased, digest_of_item
from registry.core.settings import CatalogImages
from registry.core.tombstones import Reason, Tombstone
from support import pictured_catalogs, repositories
from support.memory_registries import uuid
from support.repositories import Run


def data(file: Path) -> dict[str, Any]:
    """What a script of data passes to the page."""
    text = file.read_text()
    assert text.startswith("registryCatalog(")
    found: dict[str, Any] = json.loads(text.removeprefix("registryCatalog(").removesuffix(");\n"))
    return found


def items(out: Path, version: str) -> Path:
    [folder] = (out / f"datasets/pets/{version}/items").iterdir()
    return folder


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


# --- what the setting allows ------------------------------------------------------------------------------------------


def test_without_images_nothing_of_a_single_image_is_in_the_site(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(40)
    catalog.write(tmp_path, CatalogImages.NONE)
    found = files(tmp_path)
    assert not any(path.endswith(".webp") or "/rows-" in path or "/codes-" in path for path in found)
    assert not any(uuid(0)[:13].encode() in one for one in found.values())
    page = found["datasets/pets/v1.1.0/index.html"]
    assert b"XT-3" in page
    assert b"grid.js" not in page


def test_a_sample_has_so_many_of_each_class_and_split_and_stays_with_later_versions(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(60)
    catalog.write(tmp_path, CatalogImages.SAMPLE)
    index = data(items(tmp_path, "v1.1.0") / "index.js")
    assert index["groups"] == [
        ["train", "cat", 12], ["train", "dog", 12], ["val", "cat", 6], ["val", "dog", 6], ["test", "cat", 6],
        ["test", "dog", 6],
    ]  # fmt: skip
    assert index["total"] == 132
    page = (tmp_path / "datasets/pets/v1.1.0/index.html").read_text()
    assert "A sample: 48 of 132 images, up to 12 of each class and split." in page
    uuids = [set(data(items(tmp_path, version) / "rows-0.js")["uuid"]) for version in ("v1.0.0", "v1.1.0")]
    assert len(uuids[0] & uuids[1]) > 24


def test_all_images_are_rows_in_chunks_with_their_columns_and_a_place_on_a_sheet(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(300, 1)
    catalog.write(tmp_path, CatalogImages.ALL)
    folder = items(tmp_path, "v1.0.0")
    index, parts = data(folder / "index.js"), [data(folder / f"rows-{at}.js") for at in (0, 1)]
    assert [len(part["uuid"]) for part in parts] == [500, 100]
    assert parts[0]["at"] == "rows-0"
    uuids = [one for part in parts for one in part["uuid"]]
    assert len(set(uuids)) == 600
    assert [*parts[0]] == ["at", "uuid", "place", "camera", "brightness", "taken_on", "is_indoors", "note"]
    [codes] = [
        data(folder / f"codes-{at}.js")["codes"] for at, one in enumerate(index["columns"]) if one["column"] == "camera"
    ]
    camera = next(one for one in index["columns"] if one["column"] == "camera")
    named = [camera["values"][ord(code) - shown_items.FIRST_CODE] for code in codes]
    assert named == [one or "(none)" for part in parts for one in part["camera"]]
    assert [named.count(value) for value in camera["values"]] == camera["counts"]


def test_the_picture_at_its_place_is_that_of_the_image(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(100)
    catalog.write(tmp_path, CatalogImages.ALL)
    folder = items(tmp_path, "v1.1.0")
    index, rows = data(folder / "index.js"), data(folder / "rows-0.js")
    labels = [label for _, label, number in index["groups"] for _ in range(number)]
    for label, place in zip(labels, rows["place"], strict=True):
        sheet, cell = divmod(place, sheets.CELLS)
        with Image.open(tmp_path / f"datasets/pets/sheets/{index['sheets'][sheet]}.webp") as page:
            row, column = divmod(cell, sheets.ACROSS)
            middle = page.convert("RGB").getpixel((column * sheets.SIDE + 40, row * sheets.SIDE + 40))
        assert isinstance(middle, tuple)
        assert (middle[1] > middle[0]) == (label == "cat"), (label, middle)


# --- only what is new is read -----------------------------------------------------------------------------------------


def test_a_later_release_adds_sheets_and_reads_only_what_is_new(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(100, 3)
    [one] = catalog.catalog.artifacts
    first = pictured_catalogs.with_releases(catalog, one.releases[1:])
    first.write(tmp_path / "steps", CatalogImages.ALL)
    before = files(tmp_path / "steps")
    catalog.asked.clear()
    catalog.write(tmp_path / "steps", CatalogImages.ALL)
    new = [repositories.md5(data) for path, data in catalog.pictures.items() if int(path[-9:-4]) % 100_000 >= 110]
    read = {md5 for md5 in catalog.asked if md5 in map(repositories.md5, catalog.pictures.values())}
    assert len(new) == 20
    assert set(new) <= read
    assert len(read - set(new)) <= shown_items.EXAMPLES
    after = files(tmp_path / "steps")
    assert {path for path in before if "/sheets/" in path or "/items/" in path} <= after.keys()
    catalog.write(tmp_path / "at-once", CatalogImages.ALL)
    assert files(tmp_path / "at-once") == after
    catalog.asked.clear()
    done = catalog.write(tmp_path / "steps", CatalogImages.ALL)
    assert (catalog.asked, done.written, done.removed) == ([], 0, 0)


def test_an_image_that_no_store_had_is_drawn_when_one_has_it(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(30)
    catalog.write(tmp_path / "whole", CatalogImages.ALL)
    lost = repositories.md5(next(iter(catalog.pictures.values())))
    kept = catalog.objects.pop(lost)
    catalog.write(tmp_path / "out", CatalogImages.ALL)
    whole, partial = files(tmp_path / "whole"), files(tmp_path / "out")
    assert [path for path in whole if path.endswith(".webp") and whole[path] != partial[path]]
    catalog.objects[lost] = kept
    catalog.write(tmp_path / "out", CatalogImages.ALL)
    assert files(tmp_path / "out") == whole


def test_a_release_whose_list_is_nowhere_has_its_page_and_is_told(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(20, 1)
    catalog.objects.clear()
    told: list[str] = []
    catalog.write(tmp_path, CatalogImages.ALL, warnings=told)
    assert [one.partition(": object ")[0] for one in told] == [
        "datasets/pets@v1.0.0: its images and columns are not shown"
    ]
    page = (tmp_path / "datasets/pets/v1.0.0/index.html").read_text()
    assert "Its columns are not known to this site" in page


# --- what must not be shown -------------------------------------------------------------------------------------------


def test_nothing_of_an_erased_image_is_left_in_a_site_that_had_it(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(40)
    catalog.write(tmp_path, CatalogImages.ALL)
    gone = uuid(3)
    old = files(tmp_path)
    index, rows = data(items(tmp_path, "v1.0.0") / "index.js"), data(items(tmp_path, "v1.0.0") / "rows-0.js")
    had_it = f"datasets/pets/sheets/{index['sheets'][rows['place'][rows['uuid'].index(gone)] // sheets.CELLS]}.webp"
    catalog.write(tmp_path, CatalogImages.ALL, Erased(frozenset({digest_of_item(gone)})))
    new = files(tmp_path)
    assert not any(gone.encode() in one for one in new.values())
    index, rows = data(items(tmp_path, "v1.1.0") / "index.js"), data(items(tmp_path, "v1.1.0") / "rows-0.js")
    assert (index["total"], rows["uuid"].count(None), rows["place"].count(None)) == (88, 1, 1)
    assert rows["note"][rows["uuid"].index(None)] is None
    assert had_it in old
    assert had_it not in new


def test_a_withdrawn_release_shows_no_images(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(20)
    latest, first = catalog.catalog.artifacts[0].releases
    changed = pictured_catalogs.with_releases(catalog, (pictured_catalogs.withdrawn(latest), first))
    changed.write(tmp_path, CatalogImages.ALL)
    assert not (tmp_path / "datasets/pets/v1.1.0/items").exists()
    assert (items(tmp_path, "v1.0.0") / "index.js").is_file()


# --- columns ----------------------------------------------------------------------------------------------------------


def test_columns_are_described_by_what_they_hold() -> None:
    rows = 1000
    found = columns.describe(
        DataFrame(
            {
                "uuid": [uuid(at) for at in range(rows)],
                "split": ["train"] * rows,
                "label": ["cat"] * rows,
                "few": [at % 3 for at in range(rows)],
                "many": [at / 10 for at in range(rows)],
                "constant": [1.5] * rows,
                "missing": pl.Series([None] * rows, dtype=pl.Float64),
                "text": [f"note {at}" for at in range(rows)],
                "skewed": [f"user {at % 40}" for at in range(rows)],
                "time": [datetime(2020 + at % 7, 1, 1) for at in range(rows)],
            }
        )
    )
    by_name = {one.column: one for one in found.distributions}
    assert by_name["few"].values == ("0", "1", "2")
    assert by_name["few"].counts == (334, 333, 333)
    assert by_name["many"].values[:2] == ("below 5", "5 to 10")
    assert set(by_name["many"].counts[1:-1]) == {50}
    assert by_name["constant"].counts == (1000,)
    assert by_name["missing"].values == ("(none)",)
    assert (by_name["text"].values, by_name["text"].distinct) == ((), 1000)
    assert (len(by_name["skewed"].values), by_name["skewed"].values[-1]) == (columns.MAX_VALUES, "others")
    assert by_name["time"].values == tuple(map(str, range(2020, 2027)))
    assert all(sum(one.counts) == rows for one in found.distributions if one.values)
    assert "text" not in found.codes.columns


# --- the command ------------------------------------------------------------------------------------------------------


def test_registry_yaml_says_which_images_are_shown(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    out = tmp_path / "site"
    assert run_registry(released_model, "catalog", "build", "--out", str(out)).code == 0
    assert not list(out.rglob("*.webp"))
    with (released_model / "registry.yaml").open("a") as settings:
        settings.write("catalog: {images: all}\n")
    assert run_registry(released_model, "catalog", "build", "--out", str(out)).code == 0
    assert sorted(path.parent.name for path in out.rglob("*.webp")) == ["sheets", "v1.0.0"]
    text = (released_model / "registry.yaml").read_text()
    (released_model / "registry.yaml").write_text(text.replace("images: all", "images: none"))
    assert run_registry(released_model, "catalog", "build", "--out", str(out)).code == 0
    assert not list(out.rglob("*.webp"))
    assert not list(out.rglob("rows-*.js"))


def test_a_tombstone_takes_an_image_out_of_the_site(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    with (released_model / "registry.yaml").open("a") as settings:
        settings.write("catalog: {images: all}\n")
    out, gone = tmp_path / "site", next(iter(repositories.PETS)).rpartition("/")[2].removesuffix(".jpg")
    assert run_registry(released_model, "catalog", "build", "--out", str(out)).code == 0
    assert [path for path, data in files(out).items() if gone.encode() in data]
    items = frozenset({digest_of_item(gone)})
    tombstone = Tombstone("case-1", Reason.CONSENT, "2026-11-29", "@acme/data", items, frozenset())
    repositories.write_bytes(released_model / tombstone.path, tombstones.write(tombstone))
    assert run_registry(released_model, "catalog", "build", "--out", str(out)).code == 0
    assert [path for path, data in files(out).items() if gone.encode() in data] == []
