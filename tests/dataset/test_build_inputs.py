"""`registry build` and its inputs: the selection that raw.dvc names, and the lake."""

import json
import shutil
from collections.abc import Mapping

import polars as pl
import pytest
import yaml

from registry.dataset import exports
from registry.sync import dir_listing
from support.dataset_builds import MANIFEST, PETS, ROWS, Desk, uuid
from support.repositories import md5

# --- the selection ----------------------------------------------------------------------------------------------------


def test_a_dataset_without_a_selection_is_told(desk: Desk) -> None:
    (desk.root / PETS / "raw.dvc").unlink()
    done = desk.build()
    assert done.err == (
        "looking up the images of datasets/pets\n"
        "error: datasets/pets/raw.dvc does not exist: datasets/pets has no selection\n"
        "  hint: registry select datasets/pets\n"
    )


def test_a_selection_that_was_edited_by_hand_is_refused(desk: Desk) -> None:
    file = desk.root / PETS / "raw/selection.parquet"
    file.write_bytes(exports.write_selection(exports.read_selection(file.read_bytes(), "").head(10)))
    assert "raw/selection.parquet: the MD5 differs from the one in raw.dvc" in desk.build().err
    assert not desk.staging.exists()


def test_a_selection_of_another_query_is_refused(desk: Desk) -> None:
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(manifest.read_text().replace("description: by hand", "description: by another hand"))
    done = desk.build()
    assert done.refused(f"{PETS}/dataset.yaml: the query (source and columns) changed after the selection in raw.dvc")
    assert f"hint: registry select {PETS}" in done.err
    assert not desk.staging.exists()


@pytest.mark.parametrize("where", [".dvc/cache", ".registry/staging", ".registry/production"])
def test_a_selection_that_is_not_checked_out_is_taken_from_where_it_is(desk: Desk, where: str) -> None:
    shutil.rmtree(desk.root / PETS / "raw")
    if where != ".dvc/cache":
        (desk.root / where).parent.mkdir(exist_ok=True)
        (desk.root / ".dvc/cache").rename(desk.root / where)
    assert desk.built().startswith("40 images: 0 validated before, 40 validated now")


def test_a_selection_that_is_nowhere_is_told(desk: Desk) -> None:
    shutil.rmtree(desk.root / PETS / "raw")
    shutil.rmtree(desk.root / ".dvc/cache")
    assert "datasets/pets: no copy of the selection in DVC's cache, staging or production" in desk.build().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uuid": "../../../etc/passwd"}, "'../../../etc/passwd' is not a UUID"),
        ({"uuid": uuid(1)}, f"duplicate UUID {uuid(1)}"),
        ({"label": "../../x"}, f"{uuid(0)}: label '../../x' is not in classes"),
        ({"label": None}, f"{uuid(0)}: label None is not in classes"),
    ],
)
def test_a_hostile_selection_is_refused(desk: Desk, change: Mapping[str, str | None], words: str) -> None:
    file = desk.root / PETS / "raw/selection.parquet"
    good = exports.read_selection(file.read_bytes(), "")
    first = good.head(1).with_columns(**{name: pl.lit(value, pl.String) for name, value in change.items()})
    forge(desk, pl.concat([first, good[1:]]))
    done = desk.build()
    assert done.code == 1
    assert words in done.err
    assert not desk.staging.exists()


def test_a_selection_of_other_columns_is_refused(desk: Desk) -> None:
    file = desk.root / PETS / "raw/selection.parquet"
    forge(desk, exports.read_selection(file.read_bytes(), "").drop("camera"))
    assert "the selection has the columns uuid, label, size, captured_at, expected" in desk.build().err


def test_a_selection_of_another_type_is_refused(desk: Desk) -> None:
    good = exports.read_selection((desk.root / PETS / "raw/selection.parquet").read_bytes(), "")
    forge(desk, good.with_columns(size=pl.col("size").cast(pl.String)))
    assert "the selection's column size has the type String, expected Float64" in desk.build().err
    forge(desk, good.with_columns(uuid=pl.int_range(len(good))))
    assert "the selection's column uuid has the type Int64, expected String" in desk.build().err


def test_a_selection_without_a_value_that_the_manifest_requires_is_refused(desk: Desk) -> None:
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(
        manifest.read_text().replace("camera: {type: string, nullable: true}", "camera: {type: string}")
    )
    assert "camera: 10 rows without a value" in desk.build().err


def forge(desk: Desk, rows: pl.DataFrame) -> None:
    """A selection of any rows, its pointer to match."""
    data = exports.write_selection(rows)
    (desk.root / PETS / "raw/selection.parquet").unlink()
    (desk.root / PETS / "raw/selection.parquet").write_bytes(data)
    listing = dir_listing.md5_of(json.dumps([{"md5": md5(data), "relpath": "selection.parquet"}]).encode())
    path = desk.root / PETS / "raw.dvc"
    pointer = yaml.safe_load(path.read_text())
    pointer["outs"][0] |= {"md5": listing, "size": len(data)}
    path.write_text(yaml.safe_dump(pointer, sort_keys=False))


# --- the lake ---------------------------------------------------------------------------------------------------------


def test_a_lake_that_is_not_there_is_named(desk: Desk) -> None:
    shutil.rmtree(desk.lake)
    assert f"error: {desk.lake}: no such file or directory\n  hint: " in desk.build().err


def test_a_lake_that_has_none_of_the_images_is_not_forty_faults(desk: Desk) -> None:
    (desk.lake / "photos").rename(desk.lake / "photographs")
    done = desk.build("--exclude-faulty")
    assert done.err == (
        "looking up the images of datasets/pets\n"
        f"error: none of 40 images exists in the lake: {desk.lake}/photos/{uuid(0)}.jpg\n"
        "  hint: check lake: in registry.yaml and image: in dataset.yaml\n"
    )


def test_excluding_every_image_leaves_no_version(desk: Desk) -> None:
    lines = "".join(f"\n  {name}: blurred" for name, *_ in ROWS)
    (desk.root / PETS / "dataset.yaml").write_text(MANIFEST.replace("exclude: {}", f"exclude:{lines}"))
    assert "datasets/pets/dataset.yaml: exclude: removes every image" in desk.build().err
