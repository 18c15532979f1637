"""Bringing objects from staging and production into DVC's cache: what `dvc pull` fetches, from more than one remote.

An object comes to its name in the cache only whole and proven, and the `.dir` of a folder after all of its files, so
that a run that was killed anywhere is finished by the next one, which fetches only what is missing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.core import layout, manifests, names
from registry.core.pointers import object_key
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, Kind
from registry.errors import SHOWN, InvalidData, NotFound
from registry.storage.base import Store
from registry.storage.stores import Stores
from registry.storage.transfer import Progress, transfer
from registry.sync import inventory
from registry.sync.checkout import Placement
from registry.sync.inventory import Reached

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class Want:
    """An output to fetch: all of it (`path` is its own), or what lies at `path` inside it."""

    reached: Reached
    path: str

    @property
    def is_whole(self) -> bool:
        """Whether all of the output is wanted."""
        return self.path == self.reached.output.path


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to fetch. All are rows of `objects.expand`; those of `fetch` have the number of a remote, and their size.

    `found` is everything wanted, with a row for each file; `fetch` and `missing` have one for each object.
    """

    stores: Stores
    wants: tuple[Want, ...]
    found: "polars.DataFrame"
    fetch: "polars.DataFrame"
    missing: "polars.DataFrame"

    def __str__(self) -> str:
        count = self.found["md5"].n_unique()
        if not self.fetch.height:
            has = f"the cache has all {count:,} objects" if not self.missing.height else "no remote has what is missing"
            return f"nothing to fetch: {has}"
        size = f"{self.fetch['size'].sum():,} bytes"
        lines = (f"  {number:,} of {artifact}" for artifact, number in _per_artifact(self.fetch))
        return "\n".join([f"{self.fetch.height:,} of {count:,} objects, {size} → {self.stores.cache.url}", *lines])


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """What came: objects, bytes, and rows of `objects.expand` for what did not, each with its `state`."""

    count: int
    size: int
    lost: "polars.DataFrame"


# --- what, and from where ---------------------------------------------------------------------------------------------


def wanted(tree: Tree, targets: Sequence[str]) -> tuple[tuple[Want, ...], tuple[str, ...]]:
    """The outputs at `targets` (artifacts, outputs or parts of them; all artifacts when empty), and what has none yet.

    Raises NotFound for a target that is no data of the tree, InvalidName, InvalidDocument.
    """
    wants: dict[Want, None] = {}
    skipped = []
    for target in [text.rstrip("/") for text in targets] or map(str, layout.find(tree)):
        artifact = names.parse_id("/".join(target.split("/")[:2]))
        if not (outputs := inventory.outputs(tree, artifact)):
            manifests.read_document(tree, artifact)  # NotFound where there is no such artifact at all
            skipped.append(f"{artifact}: is not {'built' if artifact.kind is Kind.DATASET else 'trained'} yet")
            continue
        matched = [
            Want(Reached(artifact, out), max(out.path, target, key=len))
            for out in outputs
            if under(out.path, target) or (out.is_dir and under(target, out.path))
        ]
        if not matched:
            raise _unknown(artifact, target, [out.path for out in outputs])
        wants.update(dict.fromkeys(matched))
    return tuple(wants), tuple(skipped)


def _unknown(artifact: ArtifactId, target: str, known: Sequence[str]) -> NotFound:
    return NotFound(f"{target} is no data of {artifact}", fix=f"name {', '.join(known[:SHOWN])} or a part of it")


def plan(wants: Sequence[Want], stores: Stores) -> Plan:
    """What the cache lacks, and which remote has it. Raises NotFound for a part that its output does not have."""
    import polars as pl

    frames = [_expand(want, [stores.cache, *stores.downloads]) for want in wants]
    found = pl.concat([pl.DataFrame(schema=inventory.FORM), *frames]).unique(["root", "path"], maintain_order=True)
    once = found.unique("md5", maintain_order=True)
    left = once.join(inventory.held(stores.cache, once["md5"]), on="md5", how="anti", maintain_order="left")
    there = pl.concat([pl.DataFrame(schema=_LOCATED), *_locate(left["md5"], stores.downloads)])
    fetch = left.drop("size").join(there, on="md5", maintain_order="left")
    return Plan(stores, tuple(wants), found, fetch, left.join(there, on="md5", how="anti", maintain_order="left"))


_LOCATED = {"md5": str, "size": int, "remote": int}


def _expand(want: Want, stores: Sequence[Store]) -> "polars.DataFrame":
    """The rows of an output, or those of a part of it and the output's own."""
    import polars as pl

    found = inventory.expand([want.reached], stores)
    if want.is_whole:
        return found
    path = pl.col("path")
    part = found.filter(path.is_in([want.path, want.reached.output.path]) | path.str.starts_with(f"{want.path}/"))
    if part.height == 1 < found.height:
        raise _unknown(want.reached.artifact, want.path, [want.reached.output.path])
    return part


def _locate(md5s: "polars.Series", remotes: Sequence[Store]) -> Iterator["polars.DataFrame"]:
    """Columns md5, size (bytes) and the number of the first remote that has it; later ones are asked for the rest."""
    import polars as pl

    for number, store in enumerate(remotes):
        found = inventory.held(store, md5s)
        yield found.select("md5", "size", remote=pl.lit(number, pl.Int64))
        md5s = md5s.filter(~md5s.is_in(found["md5"].implode()))


# --- fetching ---------------------------------------------------------------------------------------------------------


def apply(plan: Plan, progress: Progress | None = None) -> Fetched:
    """Fetch what some remote has. An output that lacks a file afterwards does not get its `.dir` either.

    Raises InvalidData when the cache held damaged objects before, and StorageFailed.
    """
    import polars as pl

    files, lists = plan.fetch.filter(~pl.col("is_dir")), plan.fetch.filter(pl.col("is_dir"))
    came = _fetch(files, plan.stores, progress)
    lost = pl.concat([plan.missing.select("md5", state=pl.lit("missing")), _lost(files, came)])
    broken = plan.found.join(lost, on="md5", how="semi")["root"].unique()
    lists = lists.filter(~pl.col("root").is_in(broken.implode()))
    came = pl.concat([came, listed := _fetch(lists, plan.stores, progress)])
    lost = pl.concat([lost, _lost(lists, listed)])
    _require_sound(plan, lost)
    arrived = came.filter(pl.col("state") == "copied")
    rows = plan.found.unique("md5", maintain_order=True).join(lost, on="md5", maintain_order="left")
    return Fetched(arrived.height, int(arrived["size"].sum()), rows)


def _fetch(rows: "polars.DataFrame", stores: Stores, progress: Progress | None) -> "polars.DataFrame":
    """The results of `transfer`, one for each attempt: the next remotes are asked for what one did not give rightly."""
    import polars as pl

    results = [pl.DataFrame(schema={"md5": pl.String, "size": pl.Int64, "state": pl.String})]
    for number, remote in enumerate(stores.downloads):
        mine = rows.filter(pl.col("remote") <= number)
        done = transfer(remote, stores.cache, mine["md5"], asked=True, progress=progress).cast({"state": pl.String})
        results.append(done)
        rows = rows.join(done.filter(_is_here()), on="md5", how="anti", maintain_order="left")
    return pl.concat(results)


def _is_here() -> "polars.Expr":
    import polars as pl

    return pl.col("state").is_in(["copied", "present"])


def _lost(rows: "polars.DataFrame", came: "polars.DataFrame") -> "polars.DataFrame":
    """Columns md5 and state of the rows that no attempt brought: `corrupt` where one of them found it so."""
    import polars as pl

    failed = rows.select("md5").join(came.filter(_is_here()), on="md5", how="anti")
    return came.join(failed, on="md5", how="semi").group_by("md5", maintain_order=True).agg(pl.col("state").min())


def _require_sound(plan: Plan, lost: "polars.DataFrame") -> None:
    """What the cache had before was not read, but its sizes must add up."""
    import polars as pl

    whole = [want.reached.output.md5 for want in plan.wants if want.is_whole]
    broken = plan.found.join(lost, on="md5", how="semi")["root"]
    found = plan.found.filter(pl.col("root").is_in(whole) & ~pl.col("root").is_in(broken.implode()))
    sizes = inventory.held(plan.stores.cache, found["md5"])
    if faults := tuple(inventory.misfits(found, sizes, [plan.stores.cache])):
        fix = "delete the corrupt objects where they are, then run the same command again"
        raise InvalidData("objects in DVC's cache are damaged", faults, fix=fix)


def placements(plan: Plan) -> tuple[Placement, ...]:
    """What was wanted, for `links.place`. A part of what is wanted as a whole is not named again."""
    whole = {want.path for want in plan.wants if want.is_whole}
    wants = [want for want in plan.wants if want.is_whole or want.reached.output.path not in whole]
    return tuple(inventory.placement(want.reached.output, want.path, plan.found) for want in wants)


def require_all(plan: Plan, fetched: Fetched) -> None:
    """Raises InvalidData when objects did not come: names the first, and counts them by output."""
    if not (count := fetched.lost.height):
        return
    groups = fetched.lost.group_by("root", "state", maintain_order=True).agg("artifact", "path", "md5").rows()
    problems = [
        f"{owners[0]}: {len(paths):,} {state}, such as {paths[0]} ({object_key(md5s[0])})"
        for _, state, owners, paths, md5s in groups
    ]
    first = ", once what is corrupt in staging is deleted" if "corrupt" in fetched.lost["state"] else ""
    places = " or ".join(store.url for store in plan.stores.downloads)
    raise InvalidData(
        f"{count:,} object{'s' * (count != 1)} could not be had from {places}",
        problems,
        fix=f"`registry push` where the data is{first}; `registry fsck` for what was published",
    )


def _per_artifact(rows: "polars.DataFrame") -> Iterable[tuple[str, int]]:
    return rows.group_by("artifact", maintain_order=True).len().rows()
