"""Fetches the product of a release into a folder: each file proven before it has its name, and only those missing.

A file that is there is read, and believed only with its MD5. The folder of a dataset holds files of that release and
no others, as readers of datasets take every image for data. Nothing is ever overwritten or deleted.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from registry.client import listing
from registry.client.products import Product
from registry.core import digests, parts, tombstones, wording
from registry.core.progress import Progress
from registry.core.values import Kind, Output, Tag
from registry.errors import SHOWN, InvalidData, NotFound, Refused, StorageFailed
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.storage.parallel import parallel_map
from registry.storage.states import ObjectResult, ObjectState
from registry.storage.verified_reads import NotIntact, VerifiedChunks, retry_corrupt

Warn = Callable[[str], None]

MODE = 0o666  # less the umask
OTHER_FOLDER = "name another folder with --out; nothing was changed in this one"


@dataclass(frozen=True, slots=True)
class Plan:
    """The MD5 of each file to fetch by its path in `folder`, and how many files are there.

    `size` is the number of bytes to fetch, where it is known; 0 where it is not.
    """

    tag: Tag
    folder: Path
    stores: tuple[Store, ...]
    missing: Mapping[str, str]
    present: int
    size: int = 0

    def __str__(self) -> str:
        files = wording.plural(len(self.missing), "file")
        return f"{self.tag}: {files} to fetch into {self.folder}, {self.present:,} are there"


@dataclass(frozen=True, slots=True)
class Fetched:
    """How many files were fetched, and their bytes."""

    count: int
    size: int


# --- planning ---------------------------------------------------------------------------------------------------------


def plan(product: Product, folder: Path, split: str = "", warn: Warn = lambda _: None) -> Plan:
    """What of the product, or of one split of a dataset, `folder` lacks.

    Raises Refused for what is there and not the release's, and where some of the files were erased: the others would
    look like the whole. Raises NotFound for a split without images, InvalidData and StorageFailed where the list of
    files is not available.
    """
    released, total = _released(product, warn)
    wanted = {path: md5 for path, md5 in released.items() if not split or path.startswith(f"{split}/")}
    if not wanted:
        there = wording.join(sorted({path.partition("/")[0] for path in released}), "and")
        raise NotFound(f"{product.tag} has no images in {split}", fix=f"choose one of {there}")
    _require_none_erased(product, wanted, folder)
    found = dict(_walk(folder)) if product.tag.artifact.kind is Kind.DATASET else _there(folder, released)
    if others := sorted(found.keys() - released.keys()):
        fault = f"{folder / others[0]} is not in {product.tag}, and readers would take it for a part of it"
        raise Refused(fault, fix=OTHER_FOLDER)
    present = _hash(folder, [path for path in wanted if path in found])
    for path, md5 in present.items():
        if md5 != wanted[path]:
            fault = f"{folder / path} has another content than in {product.tag}"
            raise Refused(fault, fix=f"move it away, or {OTHER_FOLDER}")
    missing = {path: md5 for path, md5 in wanted.items() if path not in present}
    return Plan(product.tag, folder, product.stores, missing, len(present), 0 if split or present else total)


def _require_none_erased(product: Product, wanted: Mapping[str, str], folder: Path) -> None:
    """Raise Refused where files were erased; those that `folder` still has are named."""
    cases = {name: set(one.find_objects(wanted.values())) for name, one in product.erased.items()}
    gone = [path for path, md5 in wanted.items() if any(md5 in one for one in cases.values())]
    if gone:
        said = tombstones.name_cases(name for name, one in cases.items() if one)
        were = "were" if len(gone) > 1 else "was"
        fault = f"{product.tag} is not whole: {len(gone):,} of its {len(wanted):,} files {were} erased ({said})"
        there = [f"{folder / path} was erased: delete it here, too" for path in gone if os.path.lexists(folder / path)]
        fix = f"take {product.good}" if product.good else "ask the registry's owners for a version without them"
        raise Refused(f"{fault}; nothing was fetched", lines=there[:SHOWN], fix=fix)


def _released(product: Product, warn: Warn) -> tuple[Mapping[str, str], int]:
    """The MD5 of each file by its path below the product's folder, and the bytes of all."""
    with ThreadPoolExecutor(Folder.concurrency) as pool:
        found = pool.map(lambda output: _read_output(product, output, warn), product.outputs)
        return dict(chain.from_iterable(files.items() for files in found)), sum(one.size for one in product.outputs)


def _read_output(product: Product, output: Output, warn: Warn) -> Mapping[str, str]:
    """The MD5 of each file of one output."""
    if not output.is_dir:
        return {output.path.rpartition("/")[2]: output.md5}
    data, part = _read_list(product, output.md5, warn), parts.name_of(output.path)
    return listing.parse(data, output.md5, f"{product.tag}: list of files {output.md5}", part)


def _read_list(product: Product, md5: str, warn: Warn) -> bytes:
    """The list of files of a folder, from the first store that has it intact.

    Raises InvalidData where none has, and StorageFailed where none can be read.
    """
    problems, failed = list[str](), list[StorageFailed]()
    for store in product.stores:
        found = list[bytes]()
        try:
            result = retry_corrupt(store, md5, partial(_read_whole, store, md5, found))
        except StorageFailed as error:
            failed.append(error)
            continue
        if found:
            for reason in failed:
                warn(str(reason))
            return found[0]
        problems.append(f"its list of files {_describe(result)}")
    if failed and not problems:
        raise failed[-1]
    raise _not_intact(product.tag, [*problems, *(reason.message for reason in failed)], product.stores)


def _read_whole(store: Store, md5: str, found: list[bytes]) -> ObjectResult:
    """Read an object, and add its bytes to `found` if they are intact."""
    chunks = VerifiedChunks(store, md5)
    try:
        found.append(b"".join(chunks()))
    except NotIntact as fault:
        return ObjectResult(md5, chunks.size, fault.state)
    return ObjectResult(md5, chunks.size, ObjectState.PRESENT)


def _describe(result: ObjectResult) -> str:
    fault = "is missing" if result.state is ObjectState.MISSING else f"has a {digests.CHECKSUM_MISMATCH}"
    return f"{fault} (object {result.md5})"


def _not_intact(tag: Tag, problems: list[str], stores: tuple[Store, ...]) -> InvalidData:
    places = wording.join([store.url for store in stores], "or")
    fix = "get read access to that storage; where it is readable, ask the registry's owners to run `registry fsck`"
    return InvalidData(f"{tag}: no intact copy in {places}", problems, fix=fix)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Everything in a folder that a reader would see, by path; a link to a folder counts as a file. Raises Refused."""
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is a file, expected a folder", fix=OTHER_FOLDER)
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(base, name).is_symlink()]
        for name in (*names, *links):
            if not name.startswith("."):
                yield Path(base, name).relative_to(folder).as_posix(), Path(base, name)


def _there(folder: Path, released: Mapping[str, str]) -> Mapping[str, Path]:
    """Those of the files that a folder has; what else it has is not looked at."""
    return {path: folder / path for path in released if os.path.lexists(folder / path)}


def _hash(folder: Path, paths: list[str]) -> Mapping[str, str]:
    """The MD5 of each file by its path; empty for what is no file."""
    with ThreadPoolExecutor(Folder.concurrency) as pool:
        return dict(zip(paths, pool.map(_hash_file, [folder / path for path in paths]), strict=True))


def _hash_file(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    except OSError as error:
        fault = f"{path}: {(error.strerror or str(error)).lower()}"
        raise StorageFailed(fault, fix="get read permission for that path") from error


# --- fetching ---------------------------------------------------------------------------------------------------------


def apply(plan: Plan, progress: Progress | None = None, warn: Warn = lambda _: None) -> Fetched:
    """Fetch what is missing. Raises InvalidData for objects of which no store has an intact copy; the others arrive.

    `warn` is called for a store that failed, where another is left. Raises StorageFailed where none can be read.
    """
    source = _Source(plan, Folder(plan.folder, MODE), warn)
    concurrency = max(store.concurrency for store in plan.stores)
    results = parallel_map(source.fetch, list(plan.missing), concurrency=concurrency, progress=progress)
    problems = [
        f"{path} {_describe(result)}"
        for path, result in zip(plan.missing, results, strict=True)
        if not result.state.is_stored
    ]
    if problems:
        raise _not_intact(plan.tag, problems, plan.stores)
    return Fetched(len(results), sum(result.moved for result in results))


@dataclass(slots=True)
class _Source:
    """The stores of a plan; one that failed is not asked again while another is left. Thread-safe."""

    plan: Plan
    destination: Folder
    warn: Warn
    failed: set[str] = field(default_factory=set)

    def fetch(self, path: str) -> ObjectResult:
        """Write one file, from the first store that has its object intact."""
        md5, stores = self.plan.missing[path], self.plan.stores
        result = ObjectResult(md5, 0, ObjectState.MISSING)
        for store in (store for store in stores if store.url not in self.failed):
            try:
                found = retry_corrupt(store, md5, partial(self._write, store, path, md5))
            except StorageFailed as error:
                if store is stores[-1]:
                    raise
                self._leave(store, error)
                continue
            if found.state.is_stored:
                return found
            result = found if found.state is ObjectState.CORRUPT else result
        return result

    def _leave(self, store: Store, error: StorageFailed) -> None:
        if store.url not in self.failed:
            self.failed.add(store.url)
            self.warn(str(error))

    def _write(self, store: Store, path: str, md5: str) -> ObjectResult:
        chunks = VerifiedChunks(store, md5)
        try:
            is_new = self.destination.write(path, chunks)
        except NotIntact as fault:
            return ObjectResult(md5, chunks.size, fault.state)
        if not is_new and _hash_file(self.plan.folder / path) != md5:
            raise Refused(f"{self.plan.folder / path} appeared meanwhile with another content", fix=OTHER_FOLDER)
        return ObjectResult(md5, chunks.size, ObjectState.COPIED)
