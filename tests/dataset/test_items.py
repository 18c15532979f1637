from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import parts
from registry.dataset import items
from registry.dataset.items import Items
from support.memory_registries import uuid

SPLITS = ("train", "val", "test")
Place = tuple[str, str, str]  # split, label, md5

places = st.tuples(
    st.sampled_from(SPLITS), st.sampled_from(["cat", "dog", "Great Dane"]), st.sampled_from(["a" * 32, "b" * 32])
)
versions = st.dictionaries(st.integers(0, 12), places, max_size=10)


def listing(files: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"md5": list(files.values()), "relpath": list(files)}, {"md5": pl.String, "relpath": pl.String})


def read(version: dict[int, Place]) -> Items:
    return items.parse(
        listing({f"{split}/{label}/{uuid(number)}.jpg": md5 for number, (split, label, md5) in version.items()})
    )


def flat(counts: object) -> Counter[tuple[str, str]]:
    return Counter({(split, label): count for split, classes in counts.items() for label, count in classes.items()})


def where(version: dict[int, Place], numbers: object) -> Counter[tuple[str, str]]:
    return Counter(version[number][:2] for number in numbers)


@given(versions, versions)
def test_the_difference_is_what_counting_by_hand_gives(old: dict[int, Place], new: dict[int, Place]) -> None:
    diff = items.compare(read(old), read(new))
    both = old.keys() & new.keys()
    assert flat(diff.before) == where(old, old)
    assert flat(diff.after) == where(new, new)
    assert flat(diff.added) == where(new, new.keys() - both)
    assert flat(diff.removed) == where(old, old.keys() - both)
    for place, counts in enumerate((diff.moved, diff.relabelled, diff.changed)):
        assert flat(counts) == where(new, [number for number in both if old[number][place] != new[number][place]])
    assert diff.rows.height == sum(old.get(number) != new.get(number) for number in old.keys() | new)
    assert diff.tables is False


@given(versions, versions)
def test_parts_differ_as_the_whole_does(old: dict[int, Place], new: dict[int, Place]) -> None:
    def part(version: dict[int, Place], prefix: str) -> Items:
        return read({number: place for number, place in version.items() if parts.prefix(uuid(number), 1) == prefix})

    whole = items.compare(read(old), read(new))
    joined = items.join([items.compare(part(old, prefix), part(new, prefix)) for prefix in "0123456789abcdef"])
    assert joined.rows.equals(whole.rows)
    counted = ("before", "after", "added", "removed", "relabelled", "moved", "changed", "tables", "erased")
    assert [getattr(joined, name) for name in counted] == [getattr(whole, name) for name in counted]


@given(versions)
def test_a_version_does_not_differ_from_itself(version: dict[int, Place]) -> None:
    diff = items.compare(read(version), read(version))
    assert diff.rows.is_empty()
    assert diff.added == diff.removed == diff.moved == diff.relabelled == diff.changed == {}


def test_the_rows_tell_what_was_and_what_is() -> None:
    a, b = "a" * 32, "b" * 32
    diff = items.compare(
        read({1: ("train", "cat", a), 2: ("val", "dog", a)}), read({2: ("val", "cat", b), 3: ("test", "dog", a)})
    )
    assert diff.rows.rows() == [
        (uuid(1), "train", "cat", a, None, None, None),
        (uuid(2), "val", "dog", a, "val", "cat", b),
        (uuid(3), None, None, None, "test", "dog", a),
    ]
    assert diff.rows.columns == ["uuid", "split_old", "label_old", "md5_old", "split_new", "label_new", "md5_new"]


def test_what_is_neither_an_item_nor_a_table_is_a_stray() -> None:
    strays = [
        "metadata.parquet", "readme.txt", "dev/cat/" + uuid(1) + ".jpg", "train/" + uuid(1) + ".jpg", "train/cat/1.jpg",
        "train/cat/x/" + uuid(1) + ".jpg", "train/cat/" + uuid(1), "train/cat/" + uuid(1).upper() + ".jpg",
        "train/cat/metadata.parquet", "train/cat/" + uuid(1) + ".jpg.exe", "train//" + uuid(1) + ".jpg",
    ]  # fmt: skip
    files = listing(dict.fromkeys([*strays, "train/cat/" + uuid(2) + ".jpg", "val/metadata.parquet"], "a" * 32))
    found = items.parse(files.with_columns(size=1))  # some callers have more columns
    assert found.unexpected_files == tuple(sorted(strays))
    assert found.tables == {"val": "a" * 32}
    assert found.frame.rows() == [(uuid(2), "train", "cat", "a" * 32)]


def test_a_table_that_differs_is_told() -> None:
    old, new = (items.parse(listing({"train/metadata.parquet": md5 * 32})) for md5 in "ab")
    diff = items.compare(old, new)
    assert (diff.tables, diff.rows.height) == (True, 0)


def test_counts_are_in_the_order_of_the_splits_and_then_of_the_classes() -> None:
    version = {1: ("test", "dog", "a"), 2: ("train", "dog", "a"), 3: ("train", "cat", "a"), 4: ("val", "cat", "a")}
    counts = items.count(read(version).frame)
    assert [(split, list(classes)) for split, classes in counts.items()] == [
        ("train", ["cat", "dog"]),
        ("val", ["cat"]),
        ("test", ["dog"]),
    ]


def test_a_repeated_uuid_is_found_with_its_places() -> None:
    names = [
        f"train/cat/{uuid(1)}.jpg",
        f"val/cat/{uuid(1)}.jpg",
        f"train/cat/{uuid(2)}.jpg",
        f"train/dog/{uuid(2)}.jpg",
        f"train/cat/{uuid(3)}.jpg",
    ]
    twice = items.find_repeated(items.parse(listing(dict.fromkeys(names, "a" * 32))))
    assert twice.select("uuid", "split", "label").rows() == [
        (uuid(1), "train", "cat"), (uuid(1), "val", "cat"), (uuid(2), "train", "cat"), (uuid(2), "train", "dog"),
    ]  # fmt: skip


def test_an_empty_version() -> None:
    empty = items.parse(listing({}))
    assert items.compare(empty, empty).after == {}
    assert items.find_repeated(empty).is_empty()


@pytest.mark.parametrize("digits", [1, 2])
def test_an_image_in_the_part_of_another_one_is_an_unexpected_file(digits: int) -> None:
    right = parts.prefix(uuid(1), digits)
    wrong = next(other for other in map(f"{{:0{digits}x}}".format, range(16)) if other != right)
    paths = [f"train/{prefix}/cat/{uuid(1)}.jpg" for prefix in (right, wrong)]
    found = items.parse(listing({**dict.fromkeys(paths, "a" * 32), f"train/{right}/metadata.parquet": "b" * 32}))
    assert found.frame.rows() == [(uuid(1), "train", "cat", "a" * 32)]
    assert found.unexpected_files == (paths[1],)
    assert found.tables == {f"train/{right}": "b" * 32}
