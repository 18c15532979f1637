"""Which objects the pointers of an artifact reach, and which of them a store has."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import polars as pl
from polars import DataFrame, Series, col

from registry.core import digests, layout, parts, pointers
from registry.core.digests import object_key
from registry.core.pointers import LockedFiles
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, Kind, Output
from registry.errors import InvalidDocument, NotFound, Refused
from registry.storage.base import Store
from registry.storage.states import ObjectState
from registry.storage.verify import audit
from registry.sync import dir_listing
from registry.sync.checkout import Placement

# A row for each file that an output (`root`, its md5) reaches, and one for the output itself. `size` is the object's,
# where DVC's formats have it; `total`, in the output's own row, is what its pointer has for all files; both in bytes.
# `erased`: no store may have the object any more. Ten million rows take 1.7 GB, and 0.7 GB without NAMES.
SCHEMA = pl.Schema(
    {"artifact": pl.Categorical(), "root": pl.Categorical(), "path": pl.String(), "md5": pl.String()}
    | {"is_dir": pl.Boolean(), "size": pl.Int64(), "total": pl.Int64(), "erased": pl.Boolean()}
)
NAMES = ("artifact", "path")  # the columns for messages, and for those who place files
SHORT = 100_000  # files in a list that is read beside others
SLICE = 500_000  # objects up to which a store is asked at once: Python's objects of that many keys take 100 MB
FOLDERS = 256  # in which a store has its objects
BATCH = 1000  # keys up to which a bucket is asked one by one, and not by a listing (cloud_listing.ONE_BY_ONE)
REPAIR = "run `registry push --deep` where the data is: it replaces corrupt objects in staging"
POINTERS = ("*.dvc", "*/dvc.lock")  # the files that `is_pointer` may accept, as a Git pathspec


@dataclass(frozen=True, slots=True)
class Reached:
    """An output that a version of `artifact` needs."""

    artifact: ArtifactId
    output: Output


def is_pointer(path: str) -> bool:
    """Whether a path is that of a `.dvc` file or a `dvc.lock` in an artifact's folder."""
    return path.endswith((".dvc", "/dvc.lock")) and layout.owner_of(path) is not None


def _read_pointer(tree: Tree, path: str) -> LockedFiles:
    """The outputs that one pointer tracks, and its dependencies. Raises InvalidDocument.

    A `dvc.lock` also lists outputs that Git keeps (metrics, plots: `cache: false` in dvc.yaml), and does not say which.
    """
    read = parse_outputs(tree.read(path), path)
    return LockedFiles(tuple(out for out in read.outs if path.endswith(".dvc") or not tree.list(out.path)), read.deps)


def parse_outputs(data: bytes, path: str) -> LockedFiles:
    """What the bytes of a pointer say. Raises InvalidDocument."""
    if path.endswith("/dvc.lock"):
        return pointers.read_lock(data, path)
    return LockedFiles(pointers.read_outputs(data, path), ())


@dataclass(frozen=True, slots=True)
class Tracked:
    """What an artifact's pointers name, sorted by path: its own outputs, and what a model was made from.

    That is the data that it was trained or measured on, and the files of models that it builds on.
    """

    outputs: tuple[Output, ...]
    inputs: tuple[Output, ...] = ()


def read_tracked(tree: Tree, artifact: ArtifactId) -> Tracked:
    """What an artifact's pointers name; each is parsed once. Raises InvalidDocument.

    DVC keeps no object for a part of an output (`prepared/train`), and none for a folder of several outputs: a model
    that was trained on one needs all outputs of that dataset in this tree.
    """
    own = _read_pointers(tree, artifact)
    found = set[Output]()
    for dep in own.deps if artifact.kind is Kind.MODEL else ():
        owner = layout.owner_of(dep.path)
        if owner and owner != artifact and not tree.list(dep.path):
            is_complete = dep.path.count("/") == 2 and not _is_in_parts(tree, dep.path)
            outs = [dep] if is_complete else _read_pointers(tree, owner).outs
            found.update([out for out in outs if under(out.path, dep.path)] or outs)
    return Tracked(own.outs, tuple(sorted(found, key=_path)))


def _is_in_parts(tree: Tree, path: str) -> bool:
    """Whether what a model was made from is several outputs here; an invalid pointer has a check of its own."""
    try:
        return any(parts.is_part(out.path) for out in read_outputs(tree, f"{path}.dvc"))
    except (InvalidDocument, NotFound):
        return False


def _read_pointers(tree: Tree, artifact: ArtifactId) -> LockedFiles:
    """All pointers in an artifact's folder that DVC would read, also those that `artifact_files` does not know."""
    paths = [entry.path for entry in tree.list(str(artifact)) if is_pointer(entry.path)]
    read = {path: _read_pointer(tree, path) for path in paths}
    outs = sorted((out for pointer in read.values() for out in pointer.outs), key=_path)
    lock = read.get(layout.lock_path(artifact))
    return LockedFiles(tuple(outs), lock.deps if lock else ())


def _path(output: Output) -> str:
    return output.path


def outputs(tree: Tree, artifact: ArtifactId) -> tuple[Output, ...]:
    """What an artifact's own pointers track, sorted by path. Raises InvalidDocument."""
    return _read_pointers(tree, artifact).outs


def read_outputs(tree: Tree, path: str) -> tuple[Output, ...]:
    """The outputs of one pointer; none for a file that is no pointer of an artifact. Raises InvalidDocument."""
    return _read_pointer(tree, path).outs if is_pointer(path) else ()


def reached(tree: Tree, artifact: ArtifactId) -> tuple[Reached, ...]:
    """Everything that a version of an artifact needs: its own outputs, and what a model was made from."""
    tracked = read_tracked(tree, artifact)
    return tuple(Reached(artifact, out) for out in (*tracked.outputs, *tracked.inputs))


def reached_by(tree: Tree, paths: Iterable[str]) -> tuple[Reached, ...]:
    """Everything that the artifacts need whose pointers are among `paths`. Raises InvalidDocument."""
    owners = sorted({owner for path in paths if is_pointer(path) and (owner := layout.owner_of(path))})
    return tuple(one for owner in owners for one in reached(tree, owner))


def expand(needed: Iterable[Reached], stores: Sequence[Store], *, named: bool = True) -> DataFrame:
    """Every object of these outputs, a row for each file: the columns of SCHEMA, or without NAMES.

    `.dir` objects are read from the first store with an intact copy; one that no store has gets its own row only.
    What was erased, as the stores know, is marked. Raises Refused for one of which all copies are corrupt.
    """
    by_md5: dict[str, Reached] = {}
    for one in needed:
        by_md5.setdefault(one.output.md5, one)
    columns = [name for name in SCHEMA if named or name not in NAMES]
    frames = dir_listing.map_lists(
        lambda one: [rows.select(columns) for rows in _expand_one(one, stores)], by_md5.values(), is_short
    )
    found = pl.concat([DataFrame(schema=SCHEMA).select(columns), *chain.from_iterable(frames)])
    gone = {md5 for store in stores for md5 in store.erased.find_objects(found["md5"])}
    return found.with_columns(erased=col("md5").is_in(list(gone)))


def is_short(one: Reached) -> bool:
    """Whether the list of files of an output, if it has one, is read beside others (`dir_listing.map_lists`)."""
    return (one.output.nfiles or 0) <= SHORT


def _expand_one(one: Reached, stores: Sequence[Store]) -> Iterator[DataFrame]:
    out = one.output
    listing = _read_listing(one, stores) if out.is_dir else None
    size = (len(listing) if listing else None) if out.is_dir else out.size
    row = (str(one.artifact), out.md5, out.path, out.md5, out.is_dir, size, out.size, False)
    yield DataFrame([row], SCHEMA, orient="row")
    if listing:
        same = {"artifact": str(one.artifact), "root": out.md5, "is_dir": False, "size": None, "total": None}
        same["erased"] = False
        columns = {name: pl.lit(value, SCHEMA[name]) for name, value in same.items()}
        path = pl.concat_str(pl.lit(f"{out.path}/"), "relpath")
        try:
            files = dir_listing.read(listing, out.md5)
        except Refused as error:
            raise Refused(f"{out.path}: {error.message}", fix=error.fix) from error
        yield files.select("md5", path=path, **columns).select(list(SCHEMA))


def _read_listing(one: Reached, stores: Sequence[Store]) -> bytes | None:
    corrupt = None
    for store in stores:
        for _ in range(2):  # the fault may lie in the transmission, and a person is told to delete the object
            try:
                data = store.get(object_key(one.output.md5))
            except NotFound:
                break
            if dir_listing.md5_of(data) == one.output.md5:
                return data
        else:
            corrupt = corrupt or store
    if corrupt:
        place = f"{one.output.path}: list of files {corrupt.url}/{object_key(one.output.md5)}"
        raise Refused(digests.describe_mismatch(place), fix=REPAIR)
    return None


def placement(outputs: Sequence[Output], path: str, found: DataFrame) -> Placement:
    """The files that belong at `path` by rows of `expand`: none where one was erased.

    That is an output, a part of it, or a folder of several outputs.
    """
    names = tuple(output.path for output in outputs)
    if not outputs[0].is_dir:
        rows = found.filter(col("root") == outputs[0].md5)
        return Placement(names, path, None if rows["erased"].any() else {path: outputs[0].md5})
    roots = {output.md5 for output in outputs}
    rows = found.filter(col("root").is_in(list(roots)))
    lists = rows.filter("is_dir", col("size").is_not_null())["root"]
    if rows["erased"].any() or lists.n_unique() < len(roots):
        return Placement(names, path, None)
    inside = (col("path") == path) | col("path").str.starts_with(f"{path}/")
    files = rows.filter(~col("is_dir") & inside)
    return Placement(names, path, dict(zip(files["path"], files["md5"], strict=True)))


def find_stored(store: Store, md5s: Series) -> DataFrame:
    """Those of `md5s` that a store has: columns md5, size (bytes) and etag."""
    folder, name = col("md5").str.slice(0, 2), col("md5").str.slice(2)
    key = pl.concat_str(pl.lit("files/md5/"), folder, pl.lit("/"), name).alias("key")
    asked = (some.to_frame().with_columns(key) for some in _slices(md5s.alias("md5").unique().sort()))
    found = (some.join(store.find_many(some["key"].to_list()), on="key") for some in asked)
    return pl.concat([some.select("md5", "size", "etag") for some in found])


def _slices(md5s: Series) -> Iterator[Series]:
    """Sorted MD5s in parts that share no folder of a store, so that a bucket lists none of them twice; at least one."""
    count = min(FOLDERS, 1 + len(md5s) // SLICE)
    edges = [md5s.search_sorted(f"{FOLDERS * number // count:02x}") for number in range(1, count)]
    for start, end in pairwise((0, *edges, len(md5s))):
        yield md5s.slice(start, end - start)


def find_stored_surely(store: Store, md5s: Series) -> DataFrame:
    """The same, where absence is reported: what a listing lacks is asked for one by one, as listings may lag behind.

    Where BATCH objects in a row are really absent, so are the others.
    """
    frames, left = [find_stored(store, md5s)], md5s.unique()
    left = left.filter(~left.is_in(frames[0]["md5"].implode())).sort()
    while left.len() and (frames[-1].height or len(frames) == 1):
        frames.append(find_stored(store, left.head(BATCH)))
        left = left.slice(BATCH)
    return pl.concat(frames)


def find_size_mismatches(found: DataFrame, sizes: DataFrame, stores: Sequence[Store]) -> Iterator[str]:
    """Describes outputs whose objects in `sizes` (md5, size) do not add up to the size in their pointer.

    `stores` are read to find which of them is corrupt.
    """
    for root, total, stored in find_mismatched(found, sizes).iter_rows():
        rows = found.filter(col("root") == root)
        corrupt = list(_describe_corrupt(rows, stores))
        yield from corrupt or [
            f"{rows['path'][0]}: its objects have {stored:,} bytes, expected {total:,} by its pointer"
        ]


def find_mismatched(found: DataFrame, sizes: DataFrame) -> DataFrame:
    """The outputs whose objects in `sizes` (md5, size) do not add up: columns root, total and stored (bytes).

    A folder's size in its pointer, `total`, is the sum over its files.
    """
    sums = (
        found.join(sizes.select("md5", stored="size"), on="md5", maintain_order="left")
        .group_by("root", maintain_order=True)
        .agg(
            col("total").sum(),
            col("stored").filter(~col("is_dir")).sum(),
            differs=(col("size") != col("stored")).any(),
        )
    )
    wrong = sums.filter(col("differs") | (col("total") != col("stored")))
    wrong = wrong.join(found.filter("erased"), on="root", how="anti", maintain_order="left")
    return wrong.select("root", "total", "stored")


def _describe_corrupt(found: DataFrame, stores: Sequence[Store]) -> Iterator[str]:
    for store in stores:
        corrupt = audit(store, found["md5"]).filter(col("state") == ObjectState.CORRUPT)
        for path, md5 in found.join(corrupt, on="md5").select("path", "md5").iter_rows():
            yield digests.describe_mismatch(f"{path}: {store.url}/{object_key(md5)}")
