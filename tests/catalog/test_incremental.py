"""A build makes again what changed and nothing else, and what it leaves is, byte for byte, what a first build gives."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.catalog import folder, releases, writing
from registry.catalog.folder import Folder
from registry.catalog.options import Options
from registry.catalog.site import Catalog
from registry.core.erasures import Erased, digest_of_item
from registry.core.settings import CatalogImages
from registry.core.tombstones import Reason, Tombstone
from registry.core.tree import DictTree
from support import catalogs, pictured_catalogs, repositories
from support.memory_registries import uuid
from support.pictured_catalogs import Pictured


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pictured() -> Pictured:
    return pictured_catalogs.made(12, 3)


@pytest.fixture(scope="module")
def built(pictured: Pictured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its site with all images."""
    out = tmp_path_factory.mktemp("built")
    pictured.write(out, CatalogImages.ALL)
    return out


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return shutil.copytree(built, tmp_path / "site")


def without(pictured: Pictured, at: int) -> Pictured:
    """The same without a release, counted from the latest one."""
    [one] = pictured.catalog.artifacts
    return pictured_catalogs.with_releases(pictured, (*one.releases[:at], *one.releases[at + 1 :]))


def changed(pictured: Pictured, at: int, **changes: Any) -> Pictured:
    """The same with another release."""
    [one] = pictured.catalog.artifacts
    found = (*one.releases[:at], replace(one.releases[at], **changes), *one.releases[at + 1 :])
    return pictured_catalogs.with_releases(pictured, found)


def with_fields(pictured: Pictured, **changes: Any) -> Pictured:
    return replace(pictured, catalog=replace(pictured.catalog, **changes))


TOMBSTONE = Tombstone(
    "DSR-1", Reason.CONSENT, "2026-11-29", "@acme/data", frozenset({digest_of_item(uuid(3))}), frozenset()
)
ERASED = Erased(TOMBSTONE.items)


@pytest.mark.parametrize("at", range(3))
def test_a_new_release_of_any_line(at: int, pictured: Pictured, built: Path, tmp_path: Path) -> None:
    without(pictured, at).write(tmp_path, CatalogImages.ALL)
    pictured.write(tmp_path, CatalogImages.ALL)
    assert files(tmp_path) == files(built)
    pictured.asked.clear()
    done = pictured.write(tmp_path, CatalogImages.ALL)
    assert (pictured.asked, done.written, done.removed) == ([], 0, 0)


CHANGES: dict[str, Callable[[Pictured], Pictured]] = {
    "a tag is gone": lambda now: without(now, 1),
    "a withdrawn release": lambda now: changed(now, 1, withdrawn="labels are wrong"),
    "a moved stage": lambda now: changed(now, 0, stages=("prod",)),
    "a tag of another day": lambda now: changed(now, 0, seconds=1_780_000_000),
    "another name": lambda now: with_fields(now, name="acme-images"),
    "another address": lambda now: with_fields(now, address="https://data.acme.example/"),
    "another repository": lambda now: with_fields(now, repository="https://github.com/acme/other"),
    "a public place of objects": lambda now: with_fields(now, objects="https://objects.acme.example"),
    "an erased item": lambda now: changed(with_fields(now, tombstones=(TOMBSTONE,)), 2, withdrawn="erased"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_registry(change: str, pictured: Pictured, site: Path, tmp_path: Path) -> None:
    after = CHANGES[change](pictured)
    erased = ERASED if after.catalog.tombstones else Erased()
    after.write(site, CatalogImages.ALL, erased)
    after.write(tmp_path / "at-once", CatalogImages.ALL, erased)
    assert files(site) == files(tmp_path / "at-once")
    after.asked.clear()
    done = after.write(site, CatalogImages.ALL, erased)
    assert (after.asked, done.written, done.removed) == ([], 0, 0)


@pytest.mark.parametrize("images", [CatalogImages.NONE, CatalogImages.SAMPLE])
def test_another_setting_of_images(
    images: CatalogImages, pictured: Pictured, built: Path, site: Path, tmp_path: Path
) -> None:
    pictured.write(site, images)
    pictured.write(tmp_path / "at-once", images)
    assert files(site) == files(tmp_path / "at-once")
    pictured.write(site, CatalogImages.ALL)
    assert files(site) == files(built)


@pytest.mark.parametrize("at", range(3))
def test_files_that_were_edited_or_deleted_are_made_again(at: int, pictured: Pictured, built: Path, site: Path) -> None:
    paths = sorted(files(site).keys() - {folder.RECORD})
    for path in paths[at::3]:
        (site / path).unlink()
    for path in paths[(at + 1) % 3 :: 3]:
        (site / path).write_bytes(b"edited")
    pictured.write(site, CatalogImages.ALL)
    assert files(site) == files(built)


def test_files_of_a_site_that_no_build_has_recorded_are_removed(pictured: Pictured, built: Path, site: Path) -> None:
    for name in ("v1.0.0/changes/other.html", "v9.0.0/index.html", "sheets/0.webp", "v1.0.0/items/x/index.js"):
        repositories.write_bytes(site / "datasets/pets" / name, b"of another build")
    repositories.write_bytes(site / "datasets/notes.txt", b"ours")
    pictured.write(site, CatalogImages.ALL)
    assert files(site) == {**files(built), "datasets/notes.txt": b"ours"}


def test_a_build_that_was_stopped_is_finished_by_the_next_one(pictured: Pictured, built: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def read_until(limit: int) -> Callable[[str], bytes | None]:
        left = iter(range(limit))

        def read(md5: str) -> bytes | None:
            if next(left, None) is None:
                raise Stopped
            return pictured.objects[md5]

        return read

    pictured.asked.clear()
    pictured.write(tmp_path / "whole", CatalogImages.ALL)
    reads = len(pictured.asked)
    for limit in (0, 1, reads // 2):
        options = Options(
            read_until(limit), pictured.trees.__getitem__, Path("none"), CatalogImages.ALL, lambda _: None
        )
        with pytest.raises(Stopped):
            writing.write(tmp_path / "out", pictured.catalog, options)
    pictured.asked.clear()
    pictured.write(tmp_path / "out", CatalogImages.ALL)
    assert len(pictured.asked) < reads
    assert files(tmp_path / "out") == files(built)


def test_what_a_killed_build_left_is_found_out(pictured: Pictured, built: Path, tmp_path: Path) -> None:
    """It had written files, and half of one, and not what it knew of them."""
    without(pictured, 0).write(tmp_path, CatalogImages.ALL)
    record = (tmp_path / folder.RECORD).read_bytes()
    pictured.write(tmp_path, CatalogImages.ALL)
    for left in (record, record[: len(record) // 2], b""):
        (tmp_path / folder.RECORD).write_bytes(left)
        for path in ("index.html", "datasets/pets/v1.2.0/index.html"):
            (tmp_path / path).with_name(f".{Path(path).name}.k2_9xyz7.tmp").write_bytes(b"half")
        pictured.write(tmp_path, CatalogImages.ALL)
        assert files(tmp_path) == files(built)


def test_another_program_makes_everything_again(
    pictured: Pictured, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(folder, "program", lambda: "older")
        older.setattr(releases, "changes", lambda *_: "as an older program said")
        pictured.write(tmp_path, CatalogImages.ALL)
    assert b"as an older program said" in files(tmp_path)["datasets/pets/v1.0.0/index.html"]
    pictured.write(tmp_path, CatalogImages.ALL)
    assert files(tmp_path) == files(built)


def test_another_program_is_one_with_other_code_templates_or_names_of_them(tmp_path: Path) -> None:
    said = set[str]()
    for at, (path, text) in enumerate([("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("templates/a.html", "")]):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        said.add(folder.program.__wrapped__(tmp_path))
        assert len(said) == at + 1
    (tmp_path / "a.pyc").write_bytes(b"compiled")
    assert folder.program.__wrapped__(tmp_path) in said


def rendered(catalog: Catalog, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a build writes or writes once more, by its own account."""
    found, write = list[str](), Folder.write
    with monkeypatch.context() as watched:
        watched.setattr(Folder, "write", lambda self, path, *rest: (found.append(path), write(self, path, *rest))[1])
        options = Options(lambda _: None, lambda _: DictTree({}), out, CatalogImages.NONE, lambda _: None)
        writing.write(out, catalog, options)
    return found


def test_a_new_release_renders_what_names_it_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = catalogs.made(3, 3)
    first, *others = now.artifacts
    assert str(first.artifact) == "datasets/pets"
    before = replace(now, artifacts=(replace(first, releases=first.releases[1:]), *others))
    rendered(before, tmp_path / "site", monkeypatch)
    found = rendered(now, tmp_path / "site", monkeypatch)
    everywhere = {"registry.json", "index.html", "feed.xml"}
    lineage = {"models/pets/index.html"}
    assert {path for path in found if not path.startswith("datasets/pets/")} == everywhere | lineage
    assert rendered(now, tmp_path / "site", monkeypatch) == []
