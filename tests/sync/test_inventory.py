"""Which objects pointers reach, and which of them a store has."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from registry.core import digests, names
from registry.core.settings import Remote
from registry.core.tree import DictTree
from registry.demo.seaweedfs import S3Server
from registry.errors import Refused
from registry.integrations import git_trees
from registry.storage import cloud, cloud_listing
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.sync import inventory
from registry.sync.inventory import Reached
from support import repositories

DATASET, MODEL = names.parse_id("datasets/pets"), names.parse_id("models/pets")


def cache(root: Path) -> Folder:
    return Folder(root / ".dvc/cache")


def expand(root: Path, stores: list[Folder]) -> pl.DataFrame:
    tree = git_trees.Revision(root, "HEAD")
    return inventory.expand([*inventory.reached(tree, DATASET), *inventory.reached(tree, MODEL)], stores)


def test_a_dataset_reaches_its_folders_and_a_model_what_it_was_trained_on(built_model: Path) -> None:
    found = expand(built_model, [cache(built_model)])
    assert sorted(found["path"]) == sorted(
        [
            "datasets/pets/prepared",
            *(f"datasets/pets/prepared/{path}" for path in repositories.PETS),
            *(f"datasets/pets/prepared/{split}/metadata.parquet" for split in repositories.SPLITS),
            "datasets/pets/raw",
            "datasets/pets/raw/selection.parquet",
            "models/pets/model.onnx",
            "models/pets/predictions.parquet",
        ]
    )
    assert set(found["md5"]) == {path.parent.name + path.name for path in cache(built_model).path.rglob("??/*")}
    assert found.filter(pl.col("size").is_null()).height == 9, "a file of a folder has no size of its own"


def test_an_output_that_git_keeps_is_no_object(built_model: Path) -> None:
    tree = git_trees.Revision(built_model, "HEAD")
    assert [out.path for out in inventory.outputs(tree, MODEL)] == [
        "models/pets/model.onnx", "models/pets/predictions.parquet",
    ]  # fmt: skip
    repositories.git_in(built_model, "rm", "--quiet", "--cached", "models/pets/metrics.json")
    paths = [out.path for out in inventory.outputs(git_trees.Index(built_model), MODEL)]
    assert paths[0] == "models/pets/metrics.json", "forgotten in Git, it is nowhere"


@pytest.mark.parametrize("part", ["prepared/train", "raw/selection.parquet"])
def test_a_model_that_depends_on_a_part_needs_all_of_the_dataset(built_model: Path, part: str) -> None:
    """DVC keeps no object for a part of an output."""
    lock = built_model / "models/pets/dvc.lock"
    data = yaml.safe_load(lock.read_text())
    data["stages"]["train"]["deps"][0] |= {"path": f"../../datasets/pets/{part}", "md5": f"{'0' * 32}.dir"}
    repositories.write(lock, data)
    tree = git_trees.WorkTree(built_model)
    assert inventory.read_tracked(tree, MODEL).inputs == inventory.outputs(tree, DATASET)


def test_code_and_removed_artifacts_reach_nothing() -> None:
    tree = DictTree({"datasets/pets/dataset.yaml": b"name: pets\n"})
    assert inventory.reached(tree, DATASET) == inventory.reached(tree, MODEL) == ()


def test_the_first_store_with_the_right_list_of_files_is_read(built_model: Path) -> None:
    (good, bad), empty = (cache(built_model), Folder(built_model / "bad")), Folder(built_model / "empty")
    whole = expand(built_model, [good])
    for listing in good.path.rglob("*.dir"):
        path = repositories.place(bad.path, listing.parent.name + listing.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(json.dumps([]).encode())
    assert expand(built_model, [empty, bad, good]).equals(whole)
    with pytest.raises(Refused, match=r"datasets/pets/prepared: list of files .*/bad/.*\.dir: checksum mismatch"):
        expand(built_model, [empty, bad])
    alone = expand(built_model, [empty])
    sizes = {
        name: (built_model / "models/pets" / name).stat().st_size for name in ("model.onnx", "predictions.parquet")
    }
    assert alone.select("path", "size").rows() == [
        ("datasets/pets/prepared", None), ("datasets/pets/raw", None),
        *((f"models/pets/{name}", size) for name, size in sizes.items()),
    ]  # fmt: skip


def test_sizes_that_do_not_add_up_name_the_object_at_fault(built_model: Path) -> None:
    store = cache(built_model)
    found = expand(built_model, [store])
    assert list(inventory.find_size_mismatches(found, inventory.find_stored(store, found["md5"]), [store])) == []
    file = repositories.place(store.path, repositories.md5(b"one cat"))
    repositories.overwrite(file, b"one")
    (fault,) = inventory.find_size_mismatches(found, inventory.find_stored(store, found["md5"]), [store])
    assert fault.endswith(f"000000000001.jpg: {file}: checksum mismatch: content does not match its MD5")
    (fault,) = inventory.find_size_mismatches(found, inventory.find_stored(store, found["md5"]), [])
    assert fault.startswith("datasets/pets/prepared: its objects have ")


def test_find_stored_returns_the_objects_that_exist(built_model: Path) -> None:
    store = cache(built_model)
    md5s = pl.Series(["0" * 32, repositories.md5(b"one cat"), repositories.md5(b"one cat")])
    assert inventory.find_stored(store, md5s).select("md5", "size").rows() == [(repositories.md5(b"one cat"), 7)]
    assert inventory.find_stored(Folder(built_model / "nowhere"), md5s).height == 0


def test_a_pointer_of_one_file(registry_repo: Path) -> None:
    (registry_repo / "models/base").mkdir(parents=True)
    (registry_repo / "models/base/start.bin").write_bytes(b"weights from elsewhere")
    out = repositories.file_out(registry_repo, registry_repo / "models/base/start.bin")
    repositories.write(registry_repo / "models/base/start.bin.dvc", {"outs": [out]})
    (output,) = inventory.outputs(git_trees.WorkTree(registry_repo), names.parse_id("models/base"))
    found = inventory.expand([Reached(MODEL, output)], [])
    assert found.rows() == [
        ("models/pets", out["md5"], "models/base/start.bin", out["md5"], False, 22, 22, False),
    ]  # fmt: skip


@pytest.mark.s3
@pytest.mark.parametrize("cost", [0, 10**6])
def test_every_way_of_listing_gives_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: int) -> None:
    """From listings across folders (`cost` 0), or a listing of each folder."""
    there, lost = (
        [repositories.md5(f"{kind} {number}".encode()) for number in range(60)] for kind in ("there", "lost")
    )
    for name, value in {"ONE_BY_ONE": 10, "FEW_IN_FOLDER": 0, "PAGE": 7, "PAGE_COST": cost}.items():
        monkeypatch.setattr(cloud_listing, name, value)
    monkeypatch.setattr(inventory, "SLICE", 50)
    with S3Server(tmp_path / "s3", buckets=("staging",)) as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        store = open_store(Remote("s3://staging/below"), tmp_path)
        for md5 in there:
            store.put(digests.object_key(md5), md5.encode())
        store.put("files/md5/other", b"no object")
        store.put("aside/md5/00/1", b"no object")
        found = inventory.find_stored(store, pl.Series([*there, *lost]))
        assert sorted(found.select("md5", "size").rows()) == sorted((md5, 32) for md5 in there)
        none = inventory.find_stored(open_store(Remote("s3://staging/empty"), tmp_path), pl.Series(lost))
        assert none.height == 0
        pages = cloud.Bucket._list_pages
        monkeypatch.setattr(
            cloud.Bucket, "_list_pages", lambda *args, **more: (page[::-1] for page in pages(*args, **more))
        )
        assert sorted(inventory.find_stored(store, pl.Series([*there, *lost]))["md5"]) == sorted(there), (
            "listed in no order"
        )
