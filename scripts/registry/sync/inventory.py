"""Which objects the pointers of an artifact reach, and which of them a store has."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.core import layout, pointers
from registry.core.pointers import object_key
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Output
from registry.errors import NotFound, Refused
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.storage.transfer import audit
from registry.sync import dir_listing
from registry.sync.checkout import Placement

if TYPE_CHECKING:
    import polars


# A row for each file that an output (`root`, its md5) reaches, and one for the output itself. `size` is the object's,
# where DVC's formats tell it; `total` is, in the output's own row, what its pointer says of all files. Both in bytes.
FORM = {"artifact": str, "root": str, "path": str, "md5": str, "is_dir": bool, "size": int, "total": int}
POINTERS = ("*.dvc", "*/dvc.lock")  # the files that `is_pointer` may know, in Git's words


@dataclass(frozen=True, slots=True)
class Reached:
    """An output of DVC's that a version of `artifact` needs."""

    artifact: ArtifactId
    output: Output


def is_pointer(path: str) -> bool:
    """Whether a path is that of a `.dvc` file or a `dvc.lock` in an artifact's folder."""
    return path.endswith((".dvc", "/dvc.lock")) and layout.owner_of(path) is not None


def read_outputs(tree: Tree, path: str) -> tuple[Output, ...]:
    """The objects that one pointer tracks. Raises InvalidDocument.

    A `dvc.lock` also lists outputs that Git keeps (metrics, plots: `cache: false` in dvc.yaml), and does not say which.
    """
    if path.endswith(".dvc"):
        return (pointers.read_pointer(tree.read(path), path),)
    outs = pointers.read_lock(tree.read(path), path).outs
    return tuple(out for out in outs if not tree.list(out.path))


def outputs(tree: Tree, artifact: ArtifactId) -> tuple[Output, ...]:
    """What an artifact's own pointers track, sorted by path. Raises InvalidDocument."""
    paths = [entry.path for entry in tree.list(str(artifact)) if is_pointer(entry.path)]
    return tuple(sorted((out for path in paths for out in read_outputs(tree, path)), key=lambda out: out.path))


def inputs(tree: Tree, artifact: ArtifactId) -> tuple[Output, ...]:
    """The data that a model was trained on, as its `dvc.lock` names it; nothing for a dataset. Raises InvalidDocument.

    DVC keeps no object for a part of an output (`prepared/train`): then it is all of the dataset in this tree.
    """
    lock = layout.lock_path(artifact)
    if artifact.kind is Kind.DATASET or not tree.has(lock):
        return ()
    deps = pointers.read_lock(tree.read(lock), lock).deps
    found = set()
    for dep in deps:
        owner = layout.owner_of(dep.path)
        if owner and owner.kind is Kind.DATASET and not tree.list(dep.path):
            is_whole = dep.path.count("/") == 2
            found.update([dep] if is_whole else outputs(tree, owner))
    return tuple(sorted(found, key=lambda out: out.path))


def reached(tree: Tree, artifact: ArtifactId) -> tuple[Reached, ...]:
    """Everything that a version of an artifact needs: its own outputs, and what a model was trained on."""
    return tuple(Reached(artifact, out) for out in (*outputs(tree, artifact), *inputs(tree, artifact)))


def expand(needed: Iterable[Reached], stores: Sequence[Store]) -> "polars.DataFrame":
    """Every object of these outputs, a row for each file: the columns of FORM.

    `.dir` objects are read from the first store that has them as their name says; one that is nowhere stands for itself
    alone. Raises Refused for one that is corrupt wherever it is.
    """
    import polars as pl

    once: dict[str, Reached] = {}
    for one in needed:
        once.setdefault(one.output.md5, one)
    frames = (frame for one in once.values() for frame in _expand_one(one, stores))
    return pl.concat([pl.DataFrame(schema=FORM), *frames])


def _expand_one(one: Reached, stores: Sequence[Store]) -> Iterator["polars.DataFrame"]:
    import polars as pl

    out = one.output
    listing = _read_listing(one, stores) if out.is_dir else None
    size = (len(listing) if listing else None) if out.is_dir else out.size
    yield pl.DataFrame(
        [(str(one.artifact), out.md5, out.path, out.md5, out.is_dir, size, out.size)], FORM, orient="row"
    )
    if listing:
        same = {"artifact": str(one.artifact), "root": out.md5, "is_dir": False, "size": None, "total": None}
        columns = {name: pl.lit(value).cast(FORM[name]) for name, value in same.items()}
        path = pl.concat_str(pl.lit(f"{out.path}/"), "relpath")
        yield dir_listing.read(listing, out.md5).select("md5", path=path, **columns).select(list(FORM))


def _read_listing(one: Reached, stores: Sequence[Store]) -> bytes | None:
    corrupt = None
    for store in stores:
        for _ in range(2):  # a bit may have changed on its way here, and somebody is told to delete it
            try:
                data = store.get(object_key(one.output.md5))
            except NotFound:
                break
            if dir_listing.md5_of(data) == one.output.md5:
                return data
        else:
            corrupt = corrupt or store
    if corrupt:
        fault = f"{one.artifact}: the list of files of {one.output.path} holds other bytes than its name says"
        raise Refused(f"{fault}, in {corrupt.url}", fix=repair(one.output.md5, corrupt))
    return None


def placement(output: Output, path: str, found: "polars.DataFrame") -> Placement:
    """What belongs at `path`, an output or a part of it: rows of `expand` say which files, unless they lack."""
    import polars as pl

    if not output.is_dir:
        return Placement(output.path, path, {path: output.md5})
    rows = found.filter(pl.col("root") == output.md5)
    if not rows.filter("is_dir")["size"].count():
        return Placement(output.path, path, None)
    inside = (pl.col("path") == path) | pl.col("path").str.starts_with(f"{path}/")
    return Placement(output.path, path, dict(rows.filter(~pl.col("is_dir") & inside).select("path", "md5").rows()))


def placements(tree: Tree, paths: Iterable[str], cache: Path) -> tuple[Placement, ...]:
    """What belongs at the outputs of these pointers, as far as `cache` knows. Raises InvalidDocument, Refused."""
    stores, found = [Folder(cache)], []
    for path in paths:
        owner = layout.owner_of(path)
        found += [Reached(owner, out) for out in read_outputs(tree, path)] if owner else []
    return tuple(placement(one.output, one.output.path, expand([one], stores)) for one in found)


def repair(md5: str, store: Store) -> str:
    """What to do about an object that holds other bytes than its name says."""
    return f"delete {store.url}/{object_key(md5)}, then run `registry push` where the data is"


def held(store: Store, md5s: "polars.Series") -> "polars.DataFrame":
    """Those of `md5s` that a store has: columns md5, size (bytes) and etag."""
    import polars as pl

    folder, name = pl.col("md5").str.slice(0, 2), pl.col("md5").str.slice(2)
    wanted = pl.DataFrame({"md5": md5s.unique()}).with_columns(
        key=pl.concat_str(pl.lit("files/md5/"), folder, pl.lit("/"), name)
    )
    return wanted.join(store.look(wanted["key"].to_list()), on="key").select("md5", "size", "etag")


def misfits(found: "polars.DataFrame", sizes: "polars.DataFrame", stores: Sequence[Store]) -> Iterator[str]:
    """Outputs whose objects in `sizes` (md5, size) do not add up to what their pointer says, and whose fault that is.

    A folder's size in its pointer is the sum over its files. To tell which of them is wrong, `stores` are read.
    """
    import polars as pl

    sums = (
        found.join(sizes.select("md5", have="size"), on="md5", maintain_order="left")
        .group_by("root", maintain_order=True)
        .agg(
            pl.col("path").first(),
            pl.col("total").sum(),
            pl.col("have").filter(~pl.col("is_dir")).sum(),
            wrong=(pl.col("size") != pl.col("have")).any(),
        )
    )
    for root, path, total, have, _ in sums.filter(pl.col("wrong") | (pl.col("total") != pl.col("have"))).rows():
        blamed = list(_corrupt(found.filter(pl.col("root") == root), stores))
        yield from blamed or [f"{path}: its objects have {have:,} bytes, its pointer says {total:,}"]


def _corrupt(found: "polars.DataFrame", stores: Sequence[Store]) -> Iterator[str]:
    import polars as pl

    for store in stores:
        corrupt = audit(store, found["md5"]).filter(pl.col("state") == "corrupt")
        for path, md5 in found.join(corrupt, on="md5").select("path", "md5").rows():
            yield f"{path}: {store.url}/{object_key(md5)} holds other bytes than its name says"
