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


def remember(path: Path, lake: str, objects: dict[StoredObject, str], read_from: datetime = NOW) -> None:
    validation_cache.record(
        path, lake, to_frame(objects).with_columns(md5=pl.Series(list(objects.values()), dtype=pl.String)), read_from
    )


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "images.parquet"


def test_cached_results_are_returned_in_the_order_of_the_lookup(notes: Path) -> None:
    remember(notes, "lake", {seen("a"): "1" * 32, seen("b"): "2" * 32})
    known = validation_cache.lookup(notes, "lake", to_frame([seen("b"), seen("c"), seen("a")]))
    assert known["key", "md5"].rows() == [("b", "2" * 32), ("c", None), ("a", "1" * 32)]


@pytest.mark.parametrize(
    "changed", [seen("a", size=8), seen("a", etag="e2"), seen("a", at=OLD + timedelta(microseconds=1))]
)
def test_an_object_that_the_store_describes_otherwise_is_unknown(notes: Path, changed: StoredObject) -> None:
    remember(notes, "lake", {seen("a"): "1" * 32})
    assert validation_cache.lookup(notes, "lake", to_frame([changed]))["md5"].to_list() == [None]
    remember(notes, "lake", {changed: "2" * 32})
    assert validation_cache.lookup(notes, "lake", to_frame([changed, seen("a")]))["md5"].to_list() == ["2" * 32, None]


def test_an_object_that_changed_while_it_was_read_is_not_noted(notes: Path) -> None:
    remember(notes, "lake", {seen("a", at=NOW - timedelta(seconds=1)): "1" * 32, seen("b", at=NOW): "2" * 32})
    assert validation_cache.validated_md5s(notes).is_empty()


def test_lakes_do_not_mix(notes: Path) -> None:
    remember(notes, "lake", {seen("a"): "1" * 32})
    remember(notes, "other", {seen("a"): "2" * 32})
    assert validation_cache.lookup(notes, "lake", to_frame([seen("a")]))["md5"].to_list() == ["1" * 32]
    assert validation_cache.lookup(notes, "other", to_frame([seen("a")]))["md5"].to_list() == ["2" * 32]


def test_objects_are_proven_by_their_own_md5(notes: Path) -> None:
    assert validation_cache.validated_md5s(notes).is_empty()
    remember(notes, "lake", {seen("a"): "1" * 32, seen("b"): "1" * 32})
    validation_cache.record_objects(notes, ["2" * 32, "3" * 32])
    validation_cache.record_objects(notes, ["3" * 32])
    assert sorted(validation_cache.validated_md5s(notes)) == ["1" * 32, "2" * 32, "3" * 32]
