"""What is remembered of images, and what no longer holds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from registry.dataset import validation_cache
from registry.storage.base import StoredObject, to_frame

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)


def seen(key: str, *, size: int = 9, etag: str = "e1", at: datetime = OLD) -> StoredObject:
    return StoredObject(key, size, etag, int(at.timestamp() * 1e6))


def look_up(path: Path, lake: str, objects: list[StoredObject], *, lenient: bool = False) -> pl.DataFrame:
    return validation_cache.lookup(path, lake, to_frame(objects), lenient=lenient)


def remember(
    path: Path, lake: str, objects: dict[StoredObject, str], read_from: datetime = NOW, *, lenient: bool = False
) -> None:
    validation_cache.record(
        path,
        lake,
        to_frame(objects).with_columns(md5=pl.Series(list(objects.values()), dtype=pl.String)),
        read_from,
        lenient=lenient,
    )


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "images.parquet"


def test_cached_results_are_returned_in_the_order_of_the_lookup(notes: Path) -> None:
    remember(notes, "lake", {seen("a"): "1" * 32, seen("b"): "2" * 32})
    known = look_up(notes, "lake", [seen("b"), seen("c"), seen("a")])
    assert known["key", "md5"].rows() == [("b", "2" * 32), ("c", None), ("a", "1" * 32)]


@pytest.mark.parametrize(
    "changed", [seen("a", size=8), seen("a", etag="e2"), seen("a", at=OLD + timedelta(microseconds=1))]
)
def test_an_object_that_the_store_describes_otherwise_is_unknown(notes: Path, changed: StoredObject) -> None:
    remember(notes, "lake", {seen("a"): "1" * 32})
    assert look_up(notes, "lake", [changed])["md5"].to_list() == [None]
    remember(notes, "lake", {changed: "2" * 32})
    assert look_up(notes, "lake", [changed, seen("a")])["md5"].to_list() == ["2" * 32, None]


def test_an_object_that_changed_while_it_was_read_is_not_noted(notes: Path) -> None:
    remember(notes, "lake", {seen("a", at=NOW - timedelta(seconds=1)): "1" * 32, seen("b", at=NOW): "2" * 32})
    assert validation_cache.validated(notes).is_empty()


def test_lakes_do_not_mix(notes: Path) -> None:
    remember(notes, "lake", {seen("a"): "1" * 32})
    remember(notes, "other", {seen("a"): "2" * 32})
    assert look_up(notes, "lake", [seen("a")])["md5"].to_list() == ["1" * 32]
    assert look_up(notes, "other", [seen("a")])["md5"].to_list() == ["2" * 32]


def test_objects_are_proven_by_their_own_md5(notes: Path) -> None:
    assert validation_cache.validated(notes).is_empty()
    remember(notes, "lake", {seen("a"): "1" * 32, seen("b"): "1" * 32})
    validation_cache.record_objects(notes, listed({"2" * 32: "a.jpg", "3" * 32: "b.jpg"}), lenient=False)
    validation_cache.record_objects(notes, listed({"3" * 32: "b.jpg"}), lenient=False)
    assert sorted(validation_cache.validated(notes)["md5"]) == ["1" * 32, "2" * 32, "3" * 32]


def listed(paths: dict[str, str]) -> pl.DataFrame:
    """MD5 → path, as rows of a version."""
    return pl.DataFrame({"md5": list(paths), "path": list(paths.values())}, {"md5": pl.String, "path": pl.String})


def test_valid_bytes_are_an_image_of_one_format() -> None:
    known = pl.DataFrame({"md5": ["1" * 32], "format": ["jpg"], "lenient": [False]})
    for path, is_new in (("a.jpg", False), ("train/cat/a.jpeg", False), ("a.JPG", False), ("a.png", True)):
        new = validation_cache.find_new(listed({"1" * 32: path}), known, lenient=False)
        assert len(new) == is_new, path


@pytest.mark.parametrize("endings", [("jpg", "png"), ("JPG", "webp")])
def test_an_object_is_known_by_its_own_format_only(notes: Path, endings: tuple[str, str]) -> None:
    validation_cache.record_objects(notes, listed({"1" * 32: f"a.{endings[0]}"}), lenient=False)
    known = validation_cache.validated(notes)
    new = [validation_cache.find_new(listed({"1" * 32: f"b.{ending}"}), known, lenient=False) for ending in endings]
    assert [len(found) for found in new] == [0, 1]


def test_what_was_validated_leniently_counts_for_lenient_datasets_only(notes: Path) -> None:
    remember(notes, "lake", {seen("a.jpg"): "1" * 32}, lenient=True)
    validation_cache.record_objects(notes, listed({"2" * 32: "b.jpg"}), lenient=True)
    known, images = validation_cache.validated(notes), listed({"1" * 32: "a.jpg", "2" * 32: "b.jpg"})
    for lenient, expected in ((True, ["1" * 32]), (False, [None])):
        assert look_up(notes, "lake", [seen("a.jpg")], lenient=lenient)["md5"].to_list() == expected
        assert len(validation_cache.find_new(images, known, lenient=lenient)) == (0 if lenient else 2)


def test_what_was_validated_strictly_counts_for_lenient_datasets_too(notes: Path) -> None:
    remember(notes, "lake", {seen("a.jpg"): "1" * 32})
    assert look_up(notes, "lake", [seen("a.jpg")], lenient=True)["md5"].to_list() == ["1" * 32]


def test_results_of_the_former_validation_are_forgotten(notes: Path) -> None:
    former = to_frame([seen("a")]).with_columns(lake=pl.lit("lake"), md5=pl.lit("1" * 32))
    notes.parent.mkdir(parents=True)
    former.write_parquet(notes)
    assert validation_cache.validated(notes).is_empty()
    assert validation_cache.PATH.endswith("images.2.parquet")
