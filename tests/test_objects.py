"""Which objects pointers reach."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

import making
from registry import buckets, git, objects, pointers, tags
from registry.demo.seaweedfs import S3Server
from registry.errors import Refused
from registry.objects import Reached
from registry.settings import Remote
from registry.storage import open_store
from registry.stores import Folder
from registry.tree import DictTree

DATASET, MODEL = tags.parse_id("datasets/pets"), tags.parse_id("models/pets")


def cache(root: Path) -> Folder:
    return Folder(root / ".dvc/cache")


def expand(root: Path, stores: list[Folder]) -> pl.DataFrame:
    tree = git.Revision(root, "HEAD")
    return objects.expand([*objects.reached(tree, DATASET), *objects.reached(tree, MODEL)], stores)


def test_a_dataset_reaches_its_folders_and_a_model_what_it_was_trained_on(built_model: Path) -> None:
    found = expand(built_model, [cache(built_model)])
    assert sorted(found["path"]) == sorted(
        [
            "datasets/pets/prepared",
            *(f"datasets/pets/prepared/{path}" for path in making.PETS),
            *(f"datasets/pets/prepared/{split}/metadata.csv" for split in making.SPLITS),
            "datasets/pets/raw",
            "datasets/pets/raw/selection.parquet",
            "models/pets/model.safetensors",
        ]
    )
    assert set(found["md5"]) == {path.parent.name + path.name for path in cache(built_model).path.rglob("??/*")}
    assert found.filter(pl.col("size").is_null()).height == 9, "a file of a folder has no size of its own"


def test_an_output_that_git_keeps_is_no_object(built_model: Path) -> None:
    tree = git.Revision(built_model, "HEAD")
    assert [out.path for out in objects.outputs(tree, MODEL)] == ["models/pets/model.safetensors"]
    making.git_in(built_model, "rm", "--quiet", "--cached", "models/pets/metrics.json")
    paths = [out.path for out in objects.outputs(git.Index(built_model), MODEL)]
    assert paths == ["models/pets/metrics.json", "models/pets/model.safetensors"], "forgotten in Git, it is nowhere"


@pytest.mark.parametrize("part", ["prepared/train", "raw/selection.parquet"])
def test_a_model_that_depends_on_a_part_needs_the_whole_dataset(built_model: Path, part: str) -> None:
    """DVC keeps no object for a part of an output."""
    lock = built_model / "models/pets/dvc.lock"
    data = yaml.safe_load(lock.read_text())
    data["stages"]["train"]["deps"][0] |= {"path": f"../../datasets/pets/{part}", "md5": f"{'0' * 32}.dir"}
    making.write(lock, data)
    tree = git.WorkTree(built_model)
    assert objects.inputs(tree, MODEL) == objects.outputs(tree, DATASET)


def test_code_and_removed_artifacts_reach_nothing() -> None:
    tree = DictTree({"datasets/pets/dataset.yaml": b"name: pets\n"})
    assert objects.reached(tree, DATASET) == objects.reached(tree, MODEL) == ()


def test_the_first_store_with_the_right_list_of_files_is_read(built_model: Path) -> None:
    (good, bad), empty = (cache(built_model), Folder(built_model / "bad")), Folder(built_model / "empty")
    whole = expand(built_model, [good])
    for listing in good.path.rglob("*.dir"):
        path = making.place(bad.path, listing.parent.name + listing.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(json.dumps([]).encode())
    assert expand(built_model, [empty, bad, good]).equals(whole)
    with pytest.raises(Refused, match=r"files of datasets/pets/prepared holds other bytes .* in .*/bad"):
        expand(built_model, [empty, bad])
    alone = expand(built_model, [empty])
    assert alone.select("path", "size").rows() == [
        ("datasets/pets/prepared", None), ("datasets/pets/raw", None), ("models/pets/model.safetensors", 16),
    ]  # fmt: skip


def test_sizes_that_do_not_add_up_name_the_object_at_fault(built_model: Path) -> None:
    store = cache(built_model)
    found = expand(built_model, [store])
    assert list(objects.misfits(found, objects.held(store, found["md5"]), [store])) == []
    file = making.place(store.path, making.md5(b"one cat"))
    making.overwrite(file, b"one")
    (fault,) = objects.misfits(found, objects.held(store, found["md5"]), [store])
    assert fault.endswith(f"000000000001.jpg: {file} holds other bytes than its name says")
    (fault,) = objects.misfits(found, objects.held(store, found["md5"]), [])
    assert fault.startswith("datasets/pets/prepared: its objects have ")


def test_held_tells_of_what_is_there(built_model: Path) -> None:
    store = cache(built_model)
    md5s = pl.Series(["0" * 32, making.md5(b"one cat"), making.md5(b"one cat")])
    assert objects.held(store, md5s).select("md5", "size").rows() == [(making.md5(b"one cat"), 7)]
    assert objects.held(Folder(built_model / "nowhere"), md5s).height == 0


def test_a_pointer_of_one_file(registry_repo: Path) -> None:
    (registry_repo / "models/base").mkdir(parents=True)
    (registry_repo / "models/base/start.bin").write_bytes(b"weights from elsewhere")
    out = making.file_out(registry_repo, registry_repo / "models/base/start.bin")
    making.write(registry_repo / "models/base/start.bin.dvc", {"outs": [out]})
    (output,) = objects.outputs(git.WorkTree(registry_repo), tags.parse_id("models/base"))
    found = objects.expand([Reached(MODEL, output)], [])
    assert found.rows() == [
        ("models/pets", out["md5"], "models/base/start.bin", out["md5"], False, 22, 22),
    ]  # fmt: skip


@pytest.mark.parametrize("cost", [0, 10**6])
def test_a_bucket_tells_the_same_however_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: int
) -> None:
    """From listings across folders (`cost` 0), or a listing of each folder."""
    there, lost = ([making.md5(f"{kind} {number}".encode()) for number in range(60)] for kind in ("there", "lost"))
    for name, value in {"ASKED": 10, "FEW": 0, "LISTED": 7, "PAGE_COST": cost}.items():
        monkeypatch.setattr(buckets, name, value)
    with S3Server(tmp_path / "s3", buckets=("staging",)) as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        store = open_store(Remote("s3://staging/below"), tmp_path)
        for md5 in there:
            store.put(pointers.object_key(md5), md5.encode())
        store.put("files/md5/other", b"no object")
        store.put("aside/md5/00/1", b"no object")
        found = objects.held(store, pl.Series([*there, *lost]))
        assert sorted(found.select("md5", "size").rows()) == sorted((md5, 32) for md5 in there)
        none = objects.held(open_store(Remote("s3://staging/empty"), tmp_path), pl.Series(lost))
        assert none.height == 0
        pages = buckets.Bucket._pages
        monkeypatch.setattr(buckets.Bucket, "_pages", lambda *args: (page[::-1] for page in pages(*args)))
        assert sorted(objects.held(store, pl.Series([*there, *lost]))["md5"]) == sorted(there), "listed in no order"
