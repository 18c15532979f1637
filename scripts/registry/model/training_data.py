"""Where a training gets the images of a dataset: its folder, or the shards of its release.

Both give the same images in the same order, that of shards, so a training makes the same model of either. Which images
these are, the dataset's pointer says, by the MD5 of each. Shards only bring the bytes, and nothing in them is trusted:
an image that is not the one of the list is read again, and then is an error.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl
from polars import DataFrame, Series, col

from registry.console import say
from registry.core import artifact_files, digests, item_paths, layout, names, parts, settings, tombstones
from registry.core.layout import SPLITS
from registry.core.settings import Remote
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Tag
from registry.core.wording import plural
from registry.dataset import shard_index, shards, version_files
from registry.dataset.shard_index import ShardFile, ShardIndex
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused, StorageFailed
from registry.integrations import git
from registry.integrations.git_trees import WorkTree
from registry.model import reproduce
from registry.model.input_images import Encoded
from registry.storage import dvc_config
from registry.storage.base import Store, prefetch
from registry.storage.open import open_store
from registry.storage.reader import ObjectReader
from registry.storage.stores import Stores
from registry.sync import inventory

PLACE = "REGISTRY_SHARDS"  # a folder or URL with the shards, in place of production


class Images(ABC):
    """The images of a split: `paths` are `<data>/<split>/<label>/<uuid>.jpg`, in the order of shards.

    Of images in shards these files need not exist.
    """

    paths: Sequence[Path]

    @abstractmethod
    def md5s(self) -> Sequence[str]:
        """Their MD5s."""

    @abstractmethod
    def read(self, rows: Sequence[int]) -> Iterator[Sequence[Encoded]]:
        """Those at these places of `paths`, which ascend, in parts that fit in memory. Raises RegistryError."""


def open_splits(data: Path, *, from_shards: bool) -> Mapping[str, Images]:
    """The images of each split of a dataset, whose folder is `datasets/NAME/prepared`. Raises RegistryError."""
    return open_shards(data) if from_shards else {split: open_folder(data / split) for split in SPLITS}


@dataclass(frozen=True, slots=True)
class Files(Images):
    """Images in files."""

    paths: Sequence[Path]

    def md5s(self) -> Sequence[str]:
        """See `Images.md5s`."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(_md5, self.paths))

    def read(self, rows: Sequence[int]) -> Iterator[Sequence[Encoded]]:
        """See `Images.read`; a file is opened by who decodes it."""
        yield [Encoded(self.paths[row]) for row in rows]


def open_folder(split: Path) -> Files:
    """The images in the folder of a split; none where there is no such folder."""
    folders = [table.parent for table in split.glob(f"*/{item_paths.METADATA}")] or [split]  # the parts of the split
    found = (path for folder in folders for path in folder.glob("*/*") if not path.name.startswith("."))
    return Files(sorted(found, key=lambda path: (shards.order(path.stem), path)))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


# --- shards -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShardedImages(Images):
    """Images in the shards `files`, which are below the folder `prefix` of `place`; `listed` are their MD5s."""

    paths: Sequence[Path]
    listed: Sequence[str]
    tag: Tag
    files: Sequence[ShardFile]
    place: Store
    prefix: str

    def md5s(self) -> Sequence[str]:
        """See `Images.md5s`."""
        return self.listed

    def read(self, rows: Sequence[int]) -> Iterator[Sequence[Encoded]]:
        """See `Images.read`: a shard at a time, while the next is fetched; one without such images is not."""
        ends = list(accumulate(file.images for file in self.files))
        cuts = [0, *(bisect_left(rows, end) for end in ends)]
        wanted = zip(self.files, pairwise(cuts), strict=True)
        return prefetch(self._read(file.name, rows[start:end]) for file, (start, end) in wanted if start < end)

    def _read(self, name: str, rows: Sequence[int]) -> Sequence[Encoded]:
        fault = ""
        for _ in range(2):  # the fault may lie in the transmission
            try:
                return self._prove(rows, shards.read_images(self.place.get(f"{self.prefix}{name}")))
            except InvalidData as error:
                fault = error.message
            except NotFound as error:
                fix = f"registry export {self.tag} --shards"
                raise NotFound(f"{self.place.url}/{self.prefix}{name} is missing", fix=fix) from error
        raise StorageFailed(f"{self.place.url}/{self.prefix}{name}: {fault}", fix="registry fsck --deep")

    def _prove(self, rows: Sequence[int], images: Mapping[str, memoryview]) -> Sequence[Encoded]:
        """The images at these places, from those of their shard. Raises InvalidData for others."""
        found = [Encoded(self.paths[row], bytes(images.get(self.paths[row].name, b""))) for row in rows]
        for row, image in zip(rows, found, strict=True):
            if digests.md5(image.data or b"") != self.listed[row]:
                raise InvalidData(f"has not the image {image.path.name} of {self.tag}", ())
        return found


def open_shards(data: Path) -> Mapping[str, ShardedImages]:
    """The images of the version that a dataset's manifest names, in the shards of its release. Raises RegistryError.

    They are read from production, or from `public` where that cannot be read; or from the folder or URL in
    $REGISTRY_SHARDS.
    """
    folder = Path(os.path.abspath(data))  # noqa: PTH100 - a link to elsewhere stays what the user named
    dataset, root = names.parse_id("/".join(folder.parts[-3:-1])), folder.parents[2]
    tree = WorkTree(root)
    tag = Tag(
        dataset, artifact_files.read_artifact(artifact_files.list_files(tree), dataset).manifest.require().version
    )
    home = _home(root)
    erased = tombstones.read_valid(WorkTree(home))
    stores = Stores(home, settings.join(settings.read(WorkTree(home)), dvc_config.load(home)), _warn, erased)
    listed = _list(tree, dataset, ObjectReader((*stores.caches, *stores.downloads), _warn))
    if gone := erased.find_items(listed["uuid"]):
        raise Refused(f"{tag} lost {plural(len(gone), 'image')} to an erasure", fix="train on a version without them")
    place, prefix = _place(stores, tag)
    try:
        index = _read_index(place, f"{prefix}{shard_index.NAME}", tag)
    except NotFound as error:
        if str(tag) not in git.tag_names(root):
            fix = "train on the folder, without --shards, or on a release"
            raise NotFound(f"{tag} is not released, and has no shards", fix=fix) from error
        raise NotFound(f"{tag} has no shards in {place.url}", fix=f"registry export {tag} --shards") from error
    found = dict[str, ShardedImages]()
    for split, files in index.splits.items():
        own = listed.filter(col("split") == split)
        if not _has(files, own["uuid"]):
            fault = f"{tag}: the images of {split} are not those of its shards in {place.url}"
            raise Refused(fault, fix=f"registry diff {dataset}")
        paths = [data / path for path in own["relpath"]]
        found[split] = ShardedImages(paths, own["md5"].to_list(), tag, files, place, prefix)
    return found


def _read_index(place: Store, key: str, tag: Tag) -> ShardIndex:
    try:
        return shard_index.parse(place.get(key), key, tag)
    except InvalidDocument:  # the fault may lie in the transmission
        return shard_index.parse(place.get(key), key, tag)


def _has(files: Sequence[ShardFile], uuids: Series) -> bool:
    """Whether shards are of these images, in their order; they are not where a version was built again."""
    ends = list(accumulate(file.images for file in files))
    return max(ends, default=0) == len(uuids) and all(
        shards.order(uuids[end - 1]) == file.last for file, end in zip(files, ends, strict=True)
    )


def _home(root: Path) -> Path:
    """The checkout that says where the stores are and what was erased: the one in which a training is reproduced."""
    main = git.worktrees(root)[0]
    return main if root.is_relative_to(main / reproduce.FOLDER) else root


def _warn(message: str) -> None:
    say(f"warning: {message}", err=True)


def _list(tree: Tree, dataset: ArtifactId, read: ObjectReader) -> DataFrame:
    """The images of a dataset in the order of shards: relpath, md5, split, uuid. Raises NotFound, Refused."""
    outputs = inventory.read_outputs(tree, layout.prepared_pointer(dataset))
    files = version_files.read(parts.of_outputs(outputs), read, layout.product_path(dataset))
    groups = col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("split", "uuid")
    images = files.select("relpath", "md5", groups).drop_nulls()
    order = pl.Series([*map(shards.order, images["uuid"])], dtype=pl.String)
    return images.with_columns(order=order).sort("order", "relpath")


def _place(stores: Stores, tag: Tag) -> tuple[Store, str]:
    if place := os.environ.get(PLACE):
        return open_store(Remote(place), Path()), ""
    return stores.downloads[0], f"{shard_index.folder(tag)}/"
