"""The reader of objects: it skips damaged copies, and says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.core import erasures
from registry.core.digests import object_key
from registry.core.erasures import Erased
from registry.errors import NotFound, StorageFailed
from registry.storage.local import Folder
from registry.storage.reader import LazyReader, ObjectReader, require_object
from support.object_folders import damage, put_bodies


class Unreadable(Folder):
    """A store that fails."""

    def read(self, key: str) -> Iterator[bytes]:
        raise StorageFailed(f"{key}: access denied")


def test_an_object_comes_from_the_first_store_with_an_intact_copy(tmp_path: Path) -> None:
    stores = [Unreadable(tmp_path / "x"), *(Folder(tmp_path / name) for name in ("empty", "damaged", "intact"))]
    [name] = put_bodies(stores[2], b"body")
    put_bodies(stores[3], b"body")
    damage(stores[2], name, b"BODY")
    warnings: list[str] = []
    read = ObjectReader(stores, warnings.append)
    assert (read(name), read(name), read("0" * 32)) == (b"body", b"body", None)
    place = f"{stores[2].url}/{object_key(name)}"
    assert len(warnings) == 2, "once for each damaged copy, and for a store that fails where no other has the object"
    assert warnings[1] == f"{object_key('0' * 32)}: access denied"
    assert warnings[0].startswith(f"{place}: checksum mismatch: content does not match its MD5 (found ")
    assert warnings[0].endswith("); the copy was skipped")


def test_why_stores_failed_is_told_where_no_other_has_the_object(tmp_path: Path) -> None:
    """Else expired credentials would read as lost data."""
    warnings: list[str] = []
    intact = Folder(tmp_path / "intact")
    [name] = put_bodies(intact, b"body")
    failing = (Unreadable(tmp_path / "x"), Unreadable(tmp_path / "y"))
    assert ObjectReader([*failing, intact], warnings.append)(name) == b"body"
    assert warnings == []
    read = ObjectReader(failing, warnings.append)
    assert [read(name), read("0" * 32)] == [None, None]
    assert warnings == [f"{object_key(name)}: access denied"] * 2, "once for each store"


def test_an_object_without_an_intact_copy_is_named(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    [name] = put_bodies(store, b"list of files", suffix=".dir")
    assert require_object(ObjectReader([store]), name) == b"list of files"
    damage(store, name, b"")
    with pytest.raises(
        NotFound, match=rf"datasets/pets/prepared \({name}\): no intact copy in DVC's cache, staging or"
    ):
        require_object(ObjectReader([store]), name, "datasets/pets/prepared")


def test_an_object_that_was_erased_is_not_called_lost(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    [name] = put_bodies(store, b"an image")
    store.erased = Erased(objects=frozenset({erasures.digest_of_object(name)}))
    for read in (ObjectReader([store]), LazyReader(lambda: ObjectReader([store]))):
        with pytest.raises(NotFound, match=f"object {name}: it was erased"):
            require_object(read, name)


def test_a_reader_that_cannot_be_opened_has_no_object() -> None:
    def fail() -> ObjectReader:
        raise NotFound("no settings")

    read = LazyReader(fail)
    assert (read("0" * 32), read.has_erased("0" * 32)) == (None, False)


def test_an_object_that_is_damaged_in_transmission_is_read_again(tmp_path: Path) -> None:
    class Noisy(Folder):
        """A store whose first response is damaged."""

        reads = 0

        def read(self, key: str) -> Iterator[bytes]:
            self.reads += 1
            yield from super().read(key) if self.reads > 1 else (b"noise",)

    store = Noisy(tmp_path)
    [name] = put_bodies(store, b"body")
    assert (ObjectReader([store])(name), store.reads) == (b"body", 2)
