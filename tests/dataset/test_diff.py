import json
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw

from registry.core import manifests, names
from registry.core.tree import DictTree
from registry.core.values import Bump, Selection, Version
from registry.dataset import diff, provenance
from registry.dataset.changes import DatasetChange, QueryChange
from registry.dataset.diff import DiffOptions
from registry.dataset.distribution import describe
from registry.errors import NotFound
from registry.storage.reader import ABSENT
from support import memory_registries, repositories
from support.memory_registries import Registry, uuid
from support.repositories import Run

PETS = "datasets/pets"
MANIFEST, RAW, PREPARED = (f"{PETS}/{name}" for name in ("dataset.yaml", "raw.dvc", "prepared.dvc"))
COLUMNS = {
    "uuid": {"type": "uuid"}, "label": {"type": "string"}, "camera": {"type": "string", "nullable": True},
}  # fmt: skip
Item = tuple[str, str, str, bytes]  # split, label, camera, image


def items(number: int = 120) -> dict[int, Item]:
    """Cats and dogs by turns, every sixth from an XT-3, the others from three cameras; eight of ten in train."""
    splits = {8: "val", 9: "test"}
    return {
        row: (
            splits.get(row % 10, "train"),
            "cat" if row % 2 else "dog",
            "XT-3" if row % 6 == 0 else f"c{row % 4}",
            f"image {row}".encode(),
        )
        for row in range(number)
    }


def put(
    registry: Registry, rows: Mapping[int, Item], *, rows_hash: str = "same", query: object = None, **changes: object
) -> None:
    """`datasets/pets` with these items, as `select` and `build` write it."""
    memory_registries.put_dataset(registry, "pets", {}, columns=COLUMNS, **changes)
    files: dict[str, bytes] = {}
    for split in repositories.SPLITS:
        part = sorted(
            (label, uuid(row), camera, data) for row, (one, label, camera, data) in rows.items() if one == split
        )
        files |= {f"{split}/{label}/{name}.jpg": data for label, name, _, data in part}
        if part:
            files[f"{split}/metadata.parquet"] = repositories.table(
                [f"{label}/{name}.jpg" for label, name, _, _ in part],
                ["cat", "dog"],
                uuid=[name for _, name, _, _ in part],
                camera=[camera for _, _, camera, _ in part],
            )
    memory_registries.put_folder(registry, PETS, "prepared", files, {})
    manifest = manifests.load(DictTree(registry.files), names.parse_id(PETS))
    asked = query or {"model": "pets", "view": "images"}
    selection = Selection(
        len(rows),
        rows_hash,
        provenance.source_hash(manifest),
        "looker",
        datetime(2026, 1, 1, tzinfo=UTC),
        query=asked,
        query_hash=provenance.query_hash(asked),
        sql_hash="7" * 64,
    )
    memory_registries.put_folder(
        registry, PETS, "raw", {"selection.parquet": rows_hash.encode()}, provenance.to_meta(selection)
    )


def compare(
    registry: Registry, before: Mapping[str, bytes], *, notes: Path = Path("/nowhere"), near: int | None = None
) -> tuple[DatasetChange, ...]:
    objects = DiffOptions(registry.objects.get, notes, pictures=near is not None, near_duplicates=near)
    return diff.compare(DictTree(before), DictTree(registry.files), objects)


def change(rows: Mapping[int, Item], new: Mapping[int, Item], **changes: object) -> DatasetChange:
    """The change from `datasets/pets` 1.0.0."""
    registry = Registry()
    put(registry, rows)
    before = dict(registry.files)
    put(registry, new, **{"rows_hash": "other", **changes})
    (found,) = compare(registry, before)
    return found


# --- items ------------------------------------------------------------------------------------------------------------


def test_a_camera_that_is_removed_is_told_with_what_it_demands() -> None:
    rows = items()
    found = change(rows, {row: item for row, item in rows.items() if item[2] != "XT-3"}, version="1.1.0")
    assert [describe(one) for one in found.concentrations if one.column == "camera"] == [
        "100% of the removed images have camera=XT-3, 6.0 times its share of all images"
    ]
    assert found.diff.removed == {"train": {"dog": 16}, "val": {"dog": 4}}
    assert (found.required_bump.bump, found.declared, found.query_change) == (
        Bump.MAJOR,
        Bump.MINOR,
        QueryChange.RESULT,
    )
    assert (found.old, found.new, found.unknown) == (Version(1, 0, 0), Version(1, 1, 0), "")
    assert found.bytes_after < found.bytes_before
    assert [shift.column for shift in found.shifts] == ["camera"]


def test_labels_and_splits_that_change_are_counted_by_where_from_and_where_to() -> None:
    rows = items()
    moved = {row: ("test", *rows[row][1:]) for row in range(1, 8)}
    relabelled = {row: (rows[row][0], "cat", *rows[row][2:]) for row in (10, 12)}
    found = change(rows, {**rows, **moved, **relabelled})
    assert found.transitions.rows() == [("label", "dog", "cat", 2), ("split", "train", "test", 7)]
    assert "label" not in {one.column for one in found.concentrations if one.kind == "relabelled"}


def test_the_first_version_and_a_removed_dataset() -> None:
    registry = Registry()
    empty = dict(registry.files)
    put(registry, items(20))
    (first,) = compare(registry, empty)
    assert (first.old, first.new, first.query_change) == (None, Version(1, 0, 0), QueryChange.FIRST)
    assert (sum(map(len, first.diff.added.values())), first.required_bump, first.concentrations) == (4, None, ())
    there, registry.files = registry.files, empty
    (gone,) = compare(registry, there)
    assert (gone.old, gone.new, gone.bytes_after) == (Version(1, 0, 0), None, 0)
    assert gone.title == "Pets at home"
    assert gone.diff.removed == first.diff.added


def test_words_alone_read_no_object() -> None:
    registry = Registry()
    put(registry, items(20))
    before = dict(registry.files)
    registry.edit(MANIFEST, version="1.0.1", description="Other words.", owners=["@acme/data"])
    registry.files[f"{PETS}/README.md"] = b"# Pets, in other words\n"
    registry.objects.clear()
    (found,) = compare(registry, before)
    assert found.metadata_changes == ("description", "owners", "README.md")
    assert (found.query_change, found.diff, found.unknown) == (QueryChange.UNCHANGED, None, "")
    assert (found.required_bump.bump, found.declared) == (Bump.PATCH, Bump.PATCH)


def test_what_does_not_differ_is_not_told_and_what_is_nowhere_cannot_be_asked_for() -> None:
    registry = Registry()
    put(registry, items(20))
    assert compare(registry, dict(registry.files)) == ()
    tree, objects = DictTree(registry.files), DiffOptions({}.get, Path("/nowhere"))
    with pytest.raises(NotFound, match="datasets/birds"):
        diff.compare(tree, tree, objects, names.parse_id("datasets/birds"))


@pytest.mark.parametrize("gone", ["old", "new"])
def test_a_list_that_is_nowhere_is_said(gone: str) -> None:
    registry = Registry()
    put(registry, items(20))
    before = dict(registry.files)
    put(registry, items(30), version="1.1.0")
    files = before if gone == "old" else registry.files
    md5 = yaml.safe_load(files[PREPARED])["outs"][0]["md5"]
    del registry.objects[md5]
    (found,) = compare(registry, before)
    assert found.unknown == f"object {md5}: {ABSENT}"
    assert (found.diff, found.new, found.required_bump.bump) == (None, Version(1, 1, 0), Bump.MINOR)


def test_metadata_that_is_nowhere_or_broken_leaves_the_rest() -> None:
    rows = items(20)
    registry = Registry()
    put(registry, rows)
    before = dict(registry.files)
    put(registry, {row: item for row, item in rows.items() if row % 6}, version="2.0.0")
    table = next(md5 for md5, data in registry.objects.items() if data.startswith(b"PAR1"))
    for data, words in ((None, "no intact copy"), (b"PAR1 no", "metadata.parquet is not a valid Parquet file")):
        registry.objects |= {table: data}
        (found,) = compare(registry, before)
        assert words in found.unknown
        assert (found.diff.removed["train"], found.required_bump.bump, found.shifts) == ({"dog": 3}, Bump.MAJOR, ())


def test_a_version_without_metadata_is_compared_but_for_its_columns() -> None:
    registry = Registry()
    put(registry, items(20))
    before = dict(registry.files)
    put(registry, items(30), version="1.1.0")
    listed = json.loads(registry.objects[yaml.safe_load(registry.files[PREPARED])["outs"][0]["md5"]])
    images = {one["relpath"]: registry.objects[one["md5"]] for one in listed if one["relpath"].endswith(".jpg")}
    memory_registries.put_folder(registry, PETS, "prepared", images, {})
    (found,) = compare(registry, before)
    assert found.unknown == f"{PETS} 1.1.0: no metadata.parquet in prepared; its columns cannot be compared"
    assert (sum(found.diff.added["train"].values()), found.shifts) == (8, ())


def test_an_unreadable_manifest_is_reported_with_its_line() -> None:
    registry = Registry()
    put(registry, items(20))
    before = dict(registry.files)
    registry.edit(MANIFEST, classes=[])
    (found,) = compare(registry, before)
    line = next(n for n, text in enumerate(registry.files[MANIFEST].splitlines(), 1) if text.startswith(b"classes"))
    assert found.unknown.startswith(f"{MANIFEST}:{line}: ")
    assert (found.old, found.new, found.diff) == (Version(1, 0, 0), Version(1, 0, 0), None)
    assert found.title == "Pets at home"


def test_the_same_bytes_in_two_splits_are_found() -> None:
    rows = items()
    found = change(rows, {**rows, 500: ("test", "cat", "c1", rows[1][3]), 501: ("train", "cat", "c1", rows[2][3])})
    pairs = [
        (one.first.uuid, one.second.uuid, one.second.split, one.second.is_new, one.is_identical)
        for one in found.duplicates
    ]
    assert pairs == [(uuid(1), uuid(500), "test", True, True), (uuid(2), uuid(501), "train", True, True)]


@pytest.mark.parametrize(
    ("old", "new", "bump"),
    [
        ("1.2.3", "2.0.0", Bump.MAJOR), ("1.2.3", "1.3.0", Bump.MINOR), ("1.2.3", "1.2.4", Bump.PATCH),
        ("1.2.3", "1.2.3", Bump.NONE), ("2.0.0", "1.9.9", Bump.NONE),
    ],
)  # fmt: skip
def test_the_declared_bump(old: str, new: str, bump: Bump) -> None:
    assert diff.declared_bump(names.parse_version(old), names.parse_version(new)) is bump


# --- the query --------------------------------------------------------------------------------------------------------

QUERY = {"looker": {"model": "photos", "view": "images", "filters": {"images.quality": ">=3"}}}


def asked(old: object, new: object, **more: object) -> DatasetChange:
    """The change from one source to another; `more` goes to the second `put`."""
    registry = Registry()
    put(registry, items(20), source=old, query=more.pop("old_query", None))
    before = dict(registry.files)
    put(registry, items(20), source=new, **more)
    (found,) = compare(registry, before)
    return found


def test_a_filter_that_changed_is_told_as_lines() -> None:
    other = {"looker": {**QUERY["looker"], "filters": {"images.quality": ">=4", "images.label": "cat,dog"}}}
    found = asked(QUERY, other)
    old, new = (set(text.splitlines()) for text in found.queries)
    assert found.query_change is QueryChange.QUERY
    assert old - new == {"filter images.quality: >=3"}
    assert new - old == {"filter images.quality: >=4", "filter images.label: cat,dog"}


def test_a_column_that_comes_from_elsewhere_is_another_question() -> None:
    found = change(items(20), items(20), source={"export": {"description": "by another team"}})
    assert found.query_change is QueryChange.QUERY
    assert found.queries[1].splitlines() == [
        "export: by another team", "column uuid: uuid (uuid)", "column label: label (string)",
        "column camera: camera (string)",
    ]  # fmt: skip


def test_a_look_whose_query_was_changed_in_looker_is_another_question() -> None:
    look = {"look": 42}
    old, new = ({"fields": ["images.uuid"], "filters": {"images.quality": one}} for one in (">=3", ">=4"))
    found = asked(look, look, old_query=old, query=new)
    assert found.query_change is QueryChange.QUERY
    assert set(found.queries[1].splitlines()) - set(found.queries[0].splitlines()) == {"filters images.quality: >=4"}


def test_a_new_query_that_was_not_run_yet_is_reported() -> None:
    registry = Registry()
    put(registry, items(20), source=QUERY)
    before = dict(registry.files)
    registry.edit(MANIFEST, source={"look": 7})
    (found,) = compare(registry, before)
    assert found.query_change is QueryChange.QUERY
    assert "registry select" in found.unknown


# --- pictures ---------------------------------------------------------------------------------------------------------


def photo(seed: int, size: tuple[int, int] = (160, 120)) -> bytes:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    pen = ImageDraw.Draw(image)
    for place in range(6):
        x, y = (seed * 7919 + place * 104_729) % 160 * size[0] // 160, (seed * 31 + place * 1299) % 120 * size[1] // 120
        box = (x - size[0] // 5, y - size[1] // 5, x + size[0] // 5, y + size[1] // 5)
        pen.ellipse(box, ((seed * 53 + place * 90) % 256, (seed * 97) % 256, place * 40))
    out = BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def test_pictures_and_images_that_look_the_same(tmp_path: Path) -> None:
    registry = Registry()
    rows = {row: (*item[:3], photo(row)) for row, item in items(20).items()}
    put(registry, rows)
    before = dict(registry.files)
    smaller = {row: item for row, item in rows.items() if row not in (4, 6)} | {3: (rows[3][0], "dog", *rows[3][2:])}
    put(registry, {**smaller, 700: ("test", "cat", "c1", photo(5, (320, 240)))}, rows_hash="other", version="2.0.0")
    (found,) = compare(registry, before, near=19, notes=tmp_path / "fingerprints.parquet")
    assert [(one.title, one.total, one.caption, one.picture.name) for one in found.examples] == [
        ("Added", 1, "test/cat", "added-1"),
        ("Removed", 2, "train/dog", "removed-1"),
        ("Removed", 2, "train/dog", "removed-2"),
        ("Relabelled", 1, "train/cat → train/dog", "relabelled-1"),
    ]
    (pair,) = found.duplicates
    assert (pair.first.uuid, pair.second.uuid, pair.is_identical) == (uuid(5), uuid(700), False)
    assert (pair.first.is_new, pair.second.is_new) == (False, True)
    (picture,) = found.pairs
    assert (picture.name, picture.alt) == ("pair-1", "two images side by side: train/cat and test/cat")
    assert found.unknown == found.search_skipped == ""
    (large,) = compare(registry, before, near=18, notes=tmp_path / "fingerprints.parquet")
    assert (large.duplicates, large.unknown) == ((), "")
    assert large.search_skipped == "19 images exceed report.near_duplicates in registry.yaml (18)"
    registry.objects = {md5: data for md5, data in registry.objects.items() if not data.startswith(b"\xff\xd8")}
    (again,) = compare(registry, before, near=19, notes=tmp_path / "fingerprints.parquet")
    assert again.duplicates == found.duplicates  # from the cache
    (blind,) = compare(registry, before, near=19, notes=tmp_path / "other.parquet")
    assert ": 1 of 1 new images and 18 of 18 other images could not be read" in blind.unknown


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_compares_the_last_commit_with_what_is_there(built_dataset: Path, run_registry: Run) -> None:
    quiet = run_registry(built_dataset, "diff")
    assert (quiet.code, quiet.out) == (0, "no dataset differs\n")
    repositories.dataset(built_dataset, "pets", repositories.MORE_PETS, "1.0.0")
    told = run_registry(built_dataset, "diff", "datasets/pets")
    assert told.code == 0
    assert next(line.split() for line in told.out.splitlines() if "added " in line) == ["added", "0", "0", "1", "1"]
    assert "1 image was added. An addition is minor; the version is the same: set version: 1.1.0" in told.out
    repositories.git_in(built_dataset, "add", "--all")
    assert run_registry(built_dataset, "diff", "--staged").out == told.out
    repositories.commit(built_dataset, "more")
    assert run_registry(built_dataset, "diff", "HEAD~1", "HEAD").out == told.out
    data = json.loads(run_registry(built_dataset, "diff", "HEAD~1", "--format", "json").out)
    assert data["datasets"][0]["diff"]["added"] == {"test": {"cat": 1}}
    assert data["datasets"][0]["required_bump"]["bump"] == "minor"
    shown = run_registry(built_dataset, "diff", "HEAD~1", "--format", "md").out.splitlines()
    assert (shown[0], shown[-1], "\n".join(shown[1:-1]) + "\n") == ("~~~~text", "~~~~", told.out)


def test_the_command_writes_pictures_and_says_what_they_show(built_dataset: Path, run_registry: Run) -> None:
    repositories.dataset(built_dataset, "pets", repositories.MORE_PETS, "1.1.0")
    done = run_registry(built_dataset, "diff", "--pictures", "pictures")
    assert done.code == 0
    assert done.err == f"wrote pictures/pets-added-1.webp: {uuid(6)} (test/cat), no image: not an image\n"
    assert (built_dataset / "pictures/pets-added-1.webp").read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nothing",), 1, "'nothing' is not a revision"),
        (("datasets/birds",), 1, "datasets/birds: no such dataset in"),
        (("models/pets",), 1, "is a model"),
        (("HEAD", "HEAD", "HEAD"), 1, "too many revisions"),
        (("datasets/pets", "datasets/dogs"), 1, "too many datasets"),
    ],
)
def test_the_command_says_what_it_cannot_compare(
    built_dataset: Path, run_registry: Run, args: tuple[str, ...], code: int, words: str
) -> None:
    done = run_registry(built_dataset, "diff", *args)
    assert (done.code, words in done.err) == (code, True)
