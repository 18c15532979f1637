"""What a training reads: the same images in the same order, from the folder or from shards, and no other bytes."""

import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy
import pytest

from conftest import copy
from registry.core import tombstones
from registry.core.erasures import digest_of_item
from registry.core.tombstones import Reason, Tombstone
from registry.dataset import shards
from registry.errors import RegistryError
from registry.integrations.dvc import configure_guest
from registry.model import features, reproduce, training_data
from registry.model.training_data import ShardedImages
from registry.storage.local import Folder
from support import model_files, repositories, sharded_registry
from support.dataset_builds import ROWS, Desk
from support.repositories import Run
from support.sharded_registry import COUNTS, DATA, FOLDER, TAG


@pytest.fixture(scope="module")
def _sharded(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def run(root: Path, *args: str) -> repositories.Outcome:
        done = repositories.registry(root, *args)
        return repositories.Outcome(done.returncode, done.stdout, done.stderr)

    root = copy(_registry, tmp_path_factory.mktemp("sharded"))
    sharded_registry.make(root, run)
    return root


@pytest.fixture
def data(_sharded: Path, tmp_path: Path) -> Path:
    """The dataset's folder in a registry where it is released, with shards."""
    return copy(_sharded, tmp_path) / DATA


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that were fetched."""
    get, names = Folder.get, list[str]()

    def logged(self: Folder, key: str) -> bytes:
        names.extend([Path(key).name] if key.endswith(".tar") else [])
        return get(self, key)

    monkeypatch.setattr(Folder, "get", logged)
    return names


def read(images: training_data.Images, rows: Sequence[int]) -> list[tuple[Path, bytes]]:
    found = [one for part in images.read(rows) for one in part]
    return [(one.path, one.path.read_bytes() if one.data is None else one.data) for one in found]


def test_folder_and_shards_give_the_same_images_in_the_same_order(data: Path) -> None:
    folder, sharded = (training_data.open_splits(data, from_shards=choice) for choice in (False, True))
    for split, count in COUNTS.items():
        rows = range(count)
        assert folder[split].paths == sharded[split].paths
        assert folder[split].md5s() == sharded[split].md5s()
        assert read(folder[split], rows) == read(sharded[split], rows)
        assert [path.stem for path in folder[split].paths] == sorted(
            (path.stem for path in folder[split].paths), key=shards.order
        )


def test_a_version_in_parts_is_read_as_one(registry_repo: Path, run_registry: Run) -> None:
    desk = Desk(registry_repo, run_registry)
    manifest = registry_repo / "datasets/pets/dataset.yaml"
    manifest.write_text(f"{manifest.read_text()}layout: {{folders: 16}}\n")
    for number in range(40):
        desk.put(number)
    desk.select(ROWS)
    desk.built()
    repositories.add_origin(registry_repo)
    repositories.merge(registry_repo, "datasets/pets 1.0.0")
    for command in (("pull",), ("publish",), ("export", TAG, "--shards")):
        assert desk.run(*command).code == 0
    folder, sharded = (training_data.open_splits(registry_repo / DATA, from_shards=choice) for choice in (False, True))
    for split in COUNTS:
        rows = range(len(folder[split].paths))
        assert read(folder[split], rows) == read(sharded[split], rows)
        assert folder[split].paths == sharded[split].paths
    assert sum(len(images.paths) for images in folder.values()) == 40


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_processes_fetch_shards_of_their_own_but_for_those_at_a_border(
    data: Path, fetched: list[str], processes: int
) -> None:
    train = training_data.open_shards(data)["train"]
    bounds = [25 * rank // processes for rank in range(processes + 1)]
    found = [path for start, end in pairwise(bounds) for path, _ in read(train, range(start, end))]
    assert found == train.paths
    borders = sum(bound not in {0, 7, 14, 21, 25} for bound in bounds)
    assert (len(fetched), len({*fetched})) == (4 + borders, 4)
    assert [path for path, _ in read(train, [3, 22])] == [train.paths[3], train.paths[22]]
    assert fetched[-2:] == ["train-000000.tar", "train-000003.tar"]


def test_shards_are_read_where_no_folder_and_no_production_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = data.parents[2]
    expected = read(training_data.open_folder(data / "train"), range(25))
    shutil.move(root / FOLDER, tmp_path / "elsewhere")
    shutil.rmtree(data)
    monkeypatch.setenv("REGISTRY_SHARDS", str(tmp_path / "elsewhere"))
    assert read(training_data.open_shards(data)["train"], range(25)) == expected


def test_a_reproduction_reads_the_shards_of_its_checkout(data: Path) -> None:
    root = data.parents[2]
    expected = read(training_data.open_folder(data / "train"), range(25))
    with reproduce.worktree(root, TAG) as folder:
        configure_guest(folder, root / ".dvc/cache")
        found = read(training_data.open_shards(folder / DATA)["train"], range(25))
    assert [(path.name, image) for path, image in found] == [(path.name, image) for path, image in expected]


def test_what_lost_images_to_an_erasure_is_not_trained_on(data: Path) -> None:
    items = frozenset({digest_of_item(training_data.open_folder(data / "val").paths[0].stem)})
    tombstone = Tombstone("case-1", Reason.CONSENT, "2026-11-29", "@acme/data", items, frozenset())
    repositories.write_bytes(data.parents[2] / tombstone.path, tombstones.write(tombstone))
    with pytest.raises(RegistryError, match=f"{TAG} lost 1 image to an erasure"):
        training_data.open_shards(data)


# --- other bytes ------------------------------------------------------------------------------------------------------


def swap_images(folder: Path) -> None:
    """Give an image the name of another one, in a shard that is whole otherwise."""
    data = (folder / "train-000001.tar").read_bytes()
    first, second, *_ = sorted(shards.read_images(data))
    found = data.replace(first.encode(), b"?" * len(first)).replace(second.encode(), first.encode())
    (folder / "train-000001.tar").write_bytes(found.replace(b"?" * len(first), second.encode()))


def damage(folder: Path) -> None:
    data = bytearray((folder / "train-000001.tar").read_bytes())
    data[2500] ^= 1
    (folder / "train-000001.tar").write_bytes(data)


def cut(folder: Path) -> None:
    (folder / "train-000001.tar").write_bytes((folder / "train-000001.tar").read_bytes()[:-9000])


def empty(folder: Path) -> None:
    (folder / "train-000001.tar").write_bytes(b"")


def replace(folder: Path) -> None:
    shutil.copy(folder / "train-000000.tar", folder / "train-000001.tar")


@pytest.mark.parametrize("change", [swap_images, damage, cut, empty, replace])
def test_other_bytes_are_an_error(data: Path, change: object) -> None:
    folder = data.parents[2] / FOLDER
    (folder / "train-000001.tar").chmod(0o644)
    change(folder)
    with pytest.raises(RegistryError, match=r"train-000001\.tar: (has not the image .*\.jpg|is no tar file)") as found:
        read(training_data.open_shards(data)["train"], range(25))
    assert found.value.fix == "registry fsck --deep"


def test_a_fault_of_the_transmission_is_read_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get, left = Folder.get, {"train-000000.tar"}

    def once_other(self: Folder, key: str) -> bytes:
        found = get(self, key)
        if (name := Path(key).name) in left:
            left.remove(name)
            return found[:-5000]
        return found

    monkeypatch.setattr(Folder, "get", once_other)
    assert len(read(training_data.open_shards(data)["train"], range(25))) == 25
    assert not left


def test_a_shard_or_index_that_is_missing_is_named_with_what_makes_it(data: Path, run_registry: Run) -> None:
    root, whole = data.parents[2], training_data.open_shards(data)["train"].paths
    (root / FOLDER / "train-000002.tar").unlink()
    with pytest.raises(RegistryError, match=r"train-000002\.tar is missing") as found:
        read(training_data.open_shards(data)["train"], range(25))
    shutil.rmtree(root / FOLDER)
    with pytest.raises(RegistryError, match=f"{TAG} has no shards in .*/production") as other:
        training_data.open_shards(data)
    assert found.value.fix == other.value.fix == f"registry export {TAG} --shards"
    assert run_registry(root, *found.value.fix.split()[1:]).code == 0
    assert training_data.open_shards(data)["train"].paths == whole


def test_what_was_built_since_the_release_has_no_shards(data: Path, run_registry: Run) -> None:
    root, more = data.parents[2], sharded_registry.images()
    del more[next(iter(more))]
    repositories.dataset(root, "pets", more, "1.0.0")
    with pytest.raises(RegistryError, match=f"{TAG}: the images of train are not those of its shards") as found:
        training_data.open_shards(data)
    assert "the version is the same: set version: 2.0.0" in run_registry(root, *found.value.fix.split()[1:]).out
    repositories.dataset(root, "pets", more, "2.0.0")
    with pytest.raises(RegistryError, match=r"datasets/pets@v2\.0\.0 is not released, and has no shards"):
        training_data.open_shards(data)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("datasets/none/prepared", "datasets/none does not exist"),
        ("elsewhere", "is not an artifact id"),
        ("/x", "is not an artifact id"),
    ],
)
def test_what_is_no_dataset_is_told(data: Path, folder: str, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        training_data.open_shards(data.parents[2] / folder)


# --- features ---------------------------------------------------------------------------------------------------------


def test_features_of_shards_are_those_of_the_folder(data: Path, tmp_path: Path, fetched: list[str]) -> None:
    (tmp_path / "backbone.onnx").write_bytes(model_files.backbone())
    backbone = features.load(tmp_path / "backbone.onnx")
    folder, sharded = (training_data.open_splits(data, from_shards=choice)["train"] for choice in (False, True))
    expected, found = (
        features.extract(backbone, images, tmp_path / images.__class__.__name__, mirror=True)
        for images in (folder, sharded)
    )
    assert (found.run, found.views, len(fetched)) == (50, 50, 4)
    assert numpy.array_equal(found.upright, expected.upright)
    assert numpy.array_equal(found.mirrored, expected.mirrored)
    assert features.extract(backbone, sharded, tmp_path / ShardedImages.__name__, mirror=True).run == 0
    assert len(fetched) == 4
