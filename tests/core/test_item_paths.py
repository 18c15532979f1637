import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import item_paths, schema
from registry.core.item_paths import ItemPath
from registry.core.layout import SPLITS
from registry.core.names import InvalidName

UUID = "0a8c7f6e-0000-4000-8000-000000000001"
FIELDS = ("split", "label", "uuid", "extension")

splits = st.sampled_from(SPLITS)
labels = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,20}", fullmatch=True)
uuids = st.uuids().map(str)
extensions = st.sampled_from(("jpg", "jpeg", "png", "webp"))
prefixes = st.from_regex(r"[0-9a-f]{0,2}", fullmatch=True)
items = st.builds(ItemPath, splits, labels, uuids, extensions, prefixes)
folders = st.from_regex(r"(?:[A-Za-z0-9_-]{1,8}/){0,2}[A-Za-z0-9_.-]{0,8}", fullmatch=True)
# In pieces, so that texts that are nearly paths are frequent.
texts = st.lists(st.sampled_from([*SPLITS, "/", "cat", UUID, UUID.upper(), ".", "jpg", "JPG", "\n", ""])).map("".join)


@given(items)
def test_a_path_is_parsed_as_it_was_written(item: ItemPath) -> None:
    assert item_paths.parse(str(item)) == item


@given(texts)
def test_a_text_that_is_parsed_is_written_the_same(text: str) -> None:
    try:
        item = item_paths.parse(text)
    except InvalidName:
        return
    assert str(item) == text


@given(items)
def test_polars_writes_and_reads_the_same_paths(item: ItemPath) -> None:
    columns = pl.DataFrame({name: [getattr(item, name)] for name in FIELDS})
    path = columns.select(path=pl.format(item_paths.ITEM_PATH_FORMAT, pl.lit(item.folder), *FIELDS[1:]))
    assert path.item() == str(item)
    read = path.select(pl.col("path").str.extract_groups(item_paths.ITEM_PATH)).unnest("path")
    assert read.select(FIELDS).equals(columns)
    assert read["prefix"].to_list() == [item.prefix or None]
    name = path.select(pl.col("path").str.extract_groups(item_paths.FILE_NAME)).unnest("path")
    assert name.equals(columns.drop("split"))


@given(texts)
def test_polars_reads_no_other_paths(text: str) -> None:
    is_path = pl.Series([text]).str.contains(item_paths.ITEM_PATH).item()
    assert is_path == (re.fullmatch(item_paths.ITEM_PATH, text) is not None)


@pytest.mark.parametrize(
    "text",
    ["", "train", f"train/{UUID}.jpg", f"cat/{UUID}.jpg", f"training/cat/{UUID}.jpg", f"train/cat/x/{UUID}.jpg",
     f"train//{UUID}.jpg", f"train/abc/cat/{UUID}.jpg", f"train/0A/cat/{UUID}.jpg",
     f"train/cat/{UUID.upper()}.jpg", f"train/cat/{UUID}", f"train/cat/{UUID}.",
     "train/cat/1.jpg", f"train/cat/{UUID}.JPG", f"train/cat/{UUID}.tar.gz", f"train/cat/{UUID}.jpg\n",
     f"/train/cat/{UUID}.jpg", "train/metadata.parquet"],
)  # fmt: skip
def test_other_paths_are_no_images(text: str) -> None:
    with pytest.raises(InvalidName):
        item_paths.parse(text)


@given(items)
def test_a_table_s_path_is_read_as_it_was_written(item: ItemPath) -> None:
    match = re.fullmatch(item_paths.METADATA_PATH, f"{item.folder}/{item_paths.METADATA}")
    assert match
    assert (match["split"], match["prefix"] or "") == (item.split, item.prefix)


def test_manifests_have_the_same_uuids() -> None:
    common = json.loads((schema.folder() / "common.schema.json").read_bytes())
    assert common["$defs"]["uuid"]["pattern"] == f"^{item_paths.UUID}$"


# --- keys in the lake -------------------------------------------------------------------------------------------------


endings = st.sampled_from((*item_paths.EXTENSIONS, item_paths.ANY_EXTENSION))
suffixes = st.from_regex(r"[A-Za-z0-9_-]{0,8}", fullmatch=True)


@given(folders, suffixes, endings, uuids)
def test_a_lake_key_is_parsed_as_it_was_written(folder: str, suffix: str, ending: str, uuid: str) -> None:
    keys = item_paths.parse_lake_keys(f"{folder}{{uuid}}{suffix}.{ending}")
    assert keys.format("{uuid}") == f"{folder}{{uuid}}{suffix}.{ending}"
    for extension in keys.extensions:
        key = keys.format(uuid, extension)
        assert keys.parse(key) == (uuid, extension)
        assert key == pl.select(pl.format(keys.format(extension=extension), pl.lit(uuid))).item()
        assert re.search(item_paths.EXTENSION, key)[1] == extension


@given(folders, suffixes, endings, st.text(max_size=60) | st.from_regex(rf"photos/{item_paths.UUID}\.(jpg|\*|gif)\n?"))
def test_a_key_that_is_parsed_is_written_the_same(folder: str, suffix: str, ending: str, text: str) -> None:
    keys = item_paths.parse_lake_keys(f"{folder}{{uuid}}{suffix}.{ending}")
    for key in (text, f"{folder}{UUID}{suffix}.{ending}", f"{folder}{UUID}{suffix}.jpg\n", f"{folder}{UUID}.png"):
        try:
            uuid, extension = keys.parse(key)
        except InvalidName:
            continue
        assert keys.format(uuid, extension) == key


def test_the_schema_knows_the_same_endings() -> None:
    dataset = json.loads((schema.folder() / "dataset.schema.json").read_bytes())
    pattern = dataset["properties"]["image"]["pattern"]
    for ending in (*item_paths.EXTENSIONS, item_paths.ANY_EXTENSION):
        assert re.fullmatch(pattern, f"photos/{{uuid}}.{ending}")
    for ending in ("gif", "Jpg", "", "jp*", "**", "*.jpg"):
        assert not re.search(pattern, f"photos/{{uuid}}.{ending}")
