import hashlib
from collections import Counter
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from PIL import Image, ImageDraw

from registry.dataset import change_examples, items, near_duplicates
from registry.dataset.changes import DuplicateItem, DuplicatePair
from registry.dataset.items import Items
from support.memory_registries import uuid


def photo(seed: int, size: tuple[int, int] = (160, 120)) -> bytes:
    """A few blobs of light, as different from another seed's as photographs are."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    pen, (wide, high) = ImageDraw.Draw(image), size
    for place in range(8):
        dice = hashlib.sha256(f"{seed} {place}".encode()).digest()
        x, y, reach = dice[0] * wide / 255, dice[1] * high / 255, (dice[2] / 4 + 20) * wide / 255
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), tuple(dice[3:6]))
    out = BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def version(images: dict[int, tuple[str, str, bytes]]) -> tuple[Items, dict[str, bytes]]:
    """Items (number → split, label, bytes), and the objects that they are."""
    names = {f"{split}/{label}/{uuid(row)}.jpg": data for row, (split, label, data) in images.items()}
    md5s = [hashlib.md5(data).hexdigest() for data in names.values()]
    listed = pl.DataFrame({"md5": md5s, "relpath": list(names)}, {"md5": pl.String, "relpath": pl.String})
    return items.parse(listed), dict(zip(md5s, names.values(), strict=True))


def item(number: int, split: str, label: str, data: bytes = b"a") -> DuplicateItem:
    return DuplicateItem(uuid(number), split, label, hashlib.md5(data).hexdigest(), is_new=False)


OLD = {row: ("test" if row > 8 else "train", "cat" if row % 2 else "dog", photo(row)) for row in range(10)}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "fingerprints.parquet"


def test_only_new_images_are_compared_with_the_rest(notes: Path) -> None:
    """That two old images look the same was there before, and is not this change's affair."""
    old, _ = version({**OLD, 10: ("train", "cat", photo(1, (320, 240)))})
    new, objects = version(
        {**OLD, 10: ("train", "cat", photo(1, (320, 240))), 20: ("val", "dog", photo(9, (320, 240)))}
    )
    found, unknown, _ = near_duplicates.find_near(
        near_duplicates.new_uuids(items.compare(old, new)), new, objects.get, notes
    )
    assert [(one.first.uuid, one.second.uuid, one.first.split, one.second.split) for one in found] == [
        (uuid(9), uuid(20), "test", "val")
    ]
    assert 0 <= found[0].distance <= 4
    assert unknown == ""


def test_two_new_images_that_look_the_same_are_one_pair(notes: Path) -> None:
    old, _ = version(OLD)
    new, objects = version({**OLD, 20: ("val", "dog", photo(50)), 21: ("val", "dog", photo(50, (320, 240)))})
    found, *_ = near_duplicates.find_near(near_duplicates.new_uuids(items.compare(old, new)), new, objects.get, notes)
    assert [{one.first.uuid, one.second.uuid} for one in found] == [{uuid(20), uuid(21)}]


def test_an_image_with_other_bytes_is_looked_at_and_a_relabelled_one_is_not(notes: Path) -> None:
    old, _ = version(OLD)
    copy = ("train", "cat", photo(2, (320, 240)))
    new, objects = version({**OLD, 1: copy, 3: (OLD[3][0], "dog", OLD[3][2])})
    found, *_ = near_duplicates.find_near(near_duplicates.new_uuids(items.compare(old, new)), new, objects.get, notes)
    assert [{one.first.uuid, one.second.uuid} for one in found] == [{uuid(1), uuid(2)}]
    relabelled, _ = version({**OLD, 3: (OLD[3][0], "dog", OLD[3][2])})
    assert near_duplicates.new_uuids(items.compare(old, relabelled)).is_empty()


def test_every_image_is_read_once_and_remembered_where_that_can_be_written(tmp_path: Path) -> None:
    old, _ = version(OLD)
    new, objects = version({**OLD, 20: ("val", "dog", photo(9, (320, 240)))})
    (tmp_path / "file").touch()
    for notes, reads in ((tmp_path / "notes", 11), (tmp_path / "file/notes", 22)):
        read: list[str] = []
        told: list[int] = []

        def reader(md5: str, read: list[str] = read) -> bytes:
            read.append(md5)
            return objects[md5]

        for _ in range(2):
            found, unknown, _ = near_duplicates.find_near(
                near_duplicates.new_uuids(items.compare(old, new)),
                new,
                reader,
                notes,
                lambda images, _size, told=told: told.append(images),
            )
            assert ([{one.first.uuid, one.second.uuid} for one in found], unknown) == ([{uuid(9), uuid(20)}], "")
        assert (len(read), sum(told)) == (reads, 22)


def test_what_cannot_be_read_does_not_keep_it_from_what_can(notes: Path) -> None:
    old, _ = version(OLD)
    new, objects = version({**OLD, 20: ("val", "dog", photo(5, (320, 240)))})
    here = {md5: data for md5, data in objects.items() if data in (OLD[5][2], photo(5, (320, 240)))}
    found, unknown, _ = near_duplicates.find_near(
        near_duplicates.new_uuids(items.compare(old, new)), new, here.get, notes
    )
    assert [{one.first.uuid, one.second.uuid} for one in found] == [{uuid(5), uuid(20)}]
    assert unknown == "near-duplicates of unreadable images: 9 of 10 other images could not be read"


def test_images_that_show_nothing_are_told(notes: Path) -> None:
    """Black frames, closed shutters, empty scans: each has its own bytes, and none looks more like one than another."""
    old, _ = version(OLD)
    plain = {row: ("val", "dog", blank(row)) for row in range(20, 25)}
    new, objects = version({**OLD, **plain})
    new_uuids = near_duplicates.new_uuids(items.compare(old, new))
    assert near_duplicates.find_near(new_uuids, new, objects.get, notes) == (
        (), "", "5 new images of one colour, or nearly",
    )  # fmt: skip


def blank(grey: int) -> bytes:
    out = BytesIO()
    Image.new("L", (64, 48), grey).save(out, "PNG")
    return out.getvalue()


def test_every_copy_stands_beside_the_first_of_its_kind() -> None:
    new, _ = version({1: ("train", "cat", b"a"), 2: ("test", "cat", b"a"), 3: ("val", "dog", b"a"), 4: OLD[4]})
    none = pl.Series([], dtype=pl.String)
    first, second, third = item(1, "train", "cat"), item(2, "test", "cat"), item(3, "val", "dog")
    found = near_duplicates.find_identical(new, none)
    assert found == (DuplicatePair(first, second), DuplicatePair(first, third))
    assert all(pair.is_identical and pair.crosses_splits for pair in found)
    assert near_duplicates.find_identical(version(OLD)[0], none) == ()
    found = near_duplicates.find_identical(new, pl.Series([uuid(1), uuid(3)]))
    assert [(pair.first.uuid, pair.second.uuid, pair.first.is_new, pair.second.is_new) for pair in found] == [
        (uuid(2), uuid(1), False, True),
        (uuid(2), uuid(3), False, True),
    ]


def test_leaks_come_first_and_not_all_are_shown() -> None:
    def pair(number: int, split: str, distance: int, *, exact: bool = False) -> DuplicatePair:
        second = item(number + 1, split, "cat", b"a" if exact else b"b")
        return DuplicatePair(item(number, "train", "cat"), second, distance)

    ranked = [pair(1, "test", 0, exact=True), pair(3, "val", 4), pair(2, "train", 0, exact=True), pair(4, "train", 1)]
    assert near_duplicates.rank(iter(reversed(ranked))) == (tuple(ranked), 0)
    many = [pair(number, "train", 2) for number in range(60)]
    assert near_duplicates.rank(iter(many)) == (tuple(many[:50]), 10)


def test_examples_show_classes_and_ways_evenly_and_only_what_is_there() -> None:
    old, objects = version({row: ("train", "cat" if row < 40 else "dog", photo(row, (40, 30))) for row in range(50)})
    gone = {row: ("train", "cat" if row < 40 else "dog", photo(row, (40, 30))) for row in (0, 41)}
    new, _ = version({**gone, 41: ("test", "fox", gone[41][2])})
    read: Counter[str] = Counter()

    def reader(md5: str) -> bytes:
        read[md5] += 1
        return objects[md5]

    *removed, relabelled = change_examples.render(items.compare(old, new), reader)
    assert {(one.title, one.total) for one in removed} == {("Removed", 48)}
    assert Counter(one.caption for one in removed) == {"train/cat": 6, "train/dog": 6}
    assert (relabelled.title, relabelled.total, relabelled.uuid) == ("Relabelled", 1, uuid(41))
    assert (relabelled.caption, relabelled.picture.alt) == ("train/dog → test/fox", "image of train/dog → test/fox")
    assert (len(read), max(read.values())) == (13, 1)  # nothing but what is shown
