"""Whether every object that release tags reach is in production as its name says, and putting back what is missing.

Production is create-only, so what is missing can be put back, each object proven on the way and the `.dir` last, and
what is corrupt cannot be replaced: then the report says what an administrator has to do. A repair that was killed is
finished by the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from registry.core import layout
from registry.core.names import find_tags
from registry.core.pointers import object_key
from registry.core.values import Output, Tag
from registry.errors import SHOWN, InvalidDocument, Refused
from registry.integrations import git, git_trees
from registry.storage.base import Store
from registry.storage.transfer import Progress, audit, transfer
from registry.sync import inventory
from registry.sync.inventory import Reached

if TYPE_CHECKING:
    import polars

REMOVE = {"s3": "aws s3 rm", "gs": "gcloud storage rm"}  # by scheme: how an administrator deletes one object


@dataclass(frozen=True, slots=True)
class Version:
    """A release tag and what it reaches; `fault` says why that cannot be told."""

    tag: Tag
    commit: str
    reached: tuple[Reached, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one object. `state`: missing, corrupt, or wrong (what a tag or its pointer says is no use)."""

    state: str
    path: str
    md5: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one tag; `size` are the bytes of its objects that production has."""

    version: Version
    objects: int
    size: int
    faults: tuple[Fault, ...]

    def count(self, *states: str) -> int:
        """How many faults have one of these states."""
        return sum(fault.state in states for fault in self.faults)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """All objects of some tags: `found` as `objects.expand` gives them, `held` those that production has.

    `corrupt` and `odd` are outputs (by md5) whose list of files, as it is in production, is not what it should be.
    """

    found: "polars.DataFrame"
    held: "polars.DataFrame"
    corrupt: frozenset[str]
    odd: Mapping[str, str]


def survey(root: Path, *, every: bool, remote: str = "origin") -> tuple[Version, ...]:
    """The latest release of each artifact, or every one, as the remote has them. Raises Refused, ToolFailed."""
    known = remote if git.has_remote(root, remote) else None
    if not known and git.is_shallow(root):
        raise Refused("this clone is shallow and has no remote, so its tags may not be all", fix="make a whole clone")
    refs = git.tag_refs(root, known or ".")
    tags = find_tags([name for name, ref in refs.items() if ref.annotated])
    chosen = tags if every else tuple({tag.artifact: tag for tag in tags}.values())  # sorted: the last is the latest
    return tuple(_version(root, tag, refs[str(tag)].commit, known) for tag in chosen)


def _version(root: Path, tag: Tag, commit: str, remote: str | None) -> Version:
    if remote and not git.has_object(root, commit):
        git.fetch(root, [f"refs/tags/{tag}"], remote)
    with git_trees.Revision(root, commit) as tree:
        try:
            reached = inventory.reached(tree, tag.artifact)
        except InvalidDocument as error:
            return Version(tag, commit, (), error.message)
    return Version(tag, commit, reached, "" if reached else f"there is no pointer to data in {tag.artifact}")


# --- looking ----------------------------------------------------------------------------------------------------------


class _Listed(NamedTuple):
    found: "polars.DataFrame"
    is_corrupt: bool
    odd: str


def look(versions: Iterable[Version], production: Store, others: Sequence[Store] = ()) -> Seen:
    """What production has of these tags' objects; lists that it lacks are read from `others`. Raises StorageFailed."""
    import polars as pl

    once = {one.output.md5: one for version in versions for one in version.reached}
    listed = {md5: _list(one, production, others) for md5, one in once.items()}
    found = pl.concat([pl.DataFrame(schema=inventory.FORM), *(one.found for one in listed.values())])
    return Seen(
        found,
        inventory.held(production, found["md5"]),
        frozenset(md5 for md5, one in listed.items() if one.is_corrupt),
        {md5: one.odd for md5, one in listed.items() if one.odd},
    )


def _list(one: Reached, production: Store, others: Sequence[Store]) -> _Listed:
    is_corrupt, odd = False, ""
    for stores in ([production], others):
        try:
            found = inventory.expand([one], stores)
        except Refused as error:
            if stores[0] is production:
                is_corrupt = _is_corrupt(one.output, production)
                odd = "" if is_corrupt else error.message
            continue
        if not one.output.is_dir or found["size"][0] is not None:
            return _Listed(found, is_corrupt, odd or _odd(one.output, found))
    return _Listed(inventory.expand([one], []), is_corrupt, odd)


def _is_corrupt(out: Output, production: Store) -> bool:
    return audit(production, [out.md5])["state"][0] == "corrupt"


def _odd(out: Output, found: "polars.DataFrame") -> str:
    """What is wrong with a list of files that is what its name says."""
    import polars as pl

    if not out.is_dir:
        return ""
    if out.nfiles not in {None, found.height - 1}:
        return f"{out.path}: its list has {found.height - 1:,} files, its pointer says {out.nfiles:,}"
    owner = layout.owner_of(out.path)
    if not owner or out.path != layout.product_path(owner):
        return ""
    from registry.dataset import items

    names = found.filter(~pl.col("is_dir")).select("md5", relpath=pl.col("path").str.strip_prefix(f"{out.path}/"))
    strays = items.parse(names).unexpected_files
    return f"{out.path}: its list has {strays[0]!r}, neither an image of a class nor a table" if strays else ""


def suspects(seen: Seen, *, deep: bool) -> "polars.Series":
    """The md5s of objects that have to be read: all, or those of outputs whose sizes do not fit."""
    if deep:
        return seen.held["md5"]
    wrong = _sums(seen).filter("misfit")
    return seen.held.join(seen.found.join(wrong, on="root", how="semi"), on="md5", how="semi")["md5"]


def _sums(seen: Seen) -> "polars.DataFrame":
    """Columns root, path, total (what the pointer says) and have (both in bytes), misfit; of what is there."""
    import polars as pl

    have, is_file = pl.col("have"), ~pl.col("is_dir")
    whole, other = have.is_not_null().all(), pl.col("total").sum() != have.filter(is_file).sum()
    return (
        seen.found.join(seen.held.select("md5", have="size"), on="md5", how="left", maintain_order="left")
        .group_by("root", maintain_order=True)
        .agg(
            pl.col("path").first(),
            pl.col("total").sum(),
            have.filter(is_file).sum(),
            misfit=(pl.col("size") != have).any() | (whole & other),
        )
    )


def read(production: Store, md5s: "polars.Series", progress: Progress | None = None) -> frozenset[str]:
    """Those that hold other bytes than their name says. Raises StorageFailed."""
    import polars as pl

    return frozenset(audit(production, md5s, progress=progress).filter(pl.col("state") == "corrupt")["md5"])


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(versions: Iterable[Version], seen: Seen, corrupt: frozenset[str], production: Store) -> tuple[Row, ...]:
    """A row for each tag, given what was read and found corrupt."""
    corrupt |= seen.corrupt
    return tuple(_row(version, seen, corrupt, production) for version in versions)


def _row(version: Version, seen: Seen, corrupt: frozenset[str], production: Store) -> Row:
    import polars as pl

    if version.fault:
        return Row(version, 0, 0, (Fault("wrong", str(version.tag.artifact), "", version.fault),))
    roots = [one.output.md5 for one in version.reached]
    mine = seen.found.filter(pl.col("root").is_in(roots))
    once = mine.unique("md5", maintain_order=True)
    held = seen.held.join(once, on="md5", how="semi")
    faults = [
        *_missing(version, once.join(held, on="md5", how="anti"), mine, production),
        *(
            Fault(
                "corrupt", path, md5, f"{path}: {production.url}/{object_key(md5)} holds other bytes than its name says"
            )
            for path, md5 in once.filter(pl.col("md5").is_in(list(corrupt))).select("path", "md5").rows()
        ),
        *_wrong(roots, mine, seen, corrupt),
    ]
    return Row(version, once.height, int(held["size"].sum()), tuple(faults))


def _missing(
    version: Version, lost: "polars.DataFrame", mine: "polars.DataFrame", production: Store
) -> Iterator[Fault]:
    alone = {root for root, count in mine["root"].value_counts().rows() if count == 1}
    files = {one.output.md5: one.output.nfiles for one in version.reached if one.output.is_dir}
    for path, md5 in lost.select("path", "md5").rows():
        unknown = f", and with it which {files[md5]:,} files it lists" if md5 in alone and files.get(md5) else ""
        yield Fault("missing", path, md5, f"{path}: {production.url}/{object_key(md5)} is missing{unknown}")


def _wrong(roots: Sequence[str], mine: "polars.DataFrame", seen: Seen, corrupt: frozenset[str]) -> Iterator[Fault]:
    import polars as pl

    yield from (Fault("wrong", "", root, seen.odd[root]) for root in roots if root in seen.odd)
    blamed = {*seen.odd, *mine.filter(pl.col("md5").is_in(list(corrupt)))["root"]}
    sums = _sums(seen).filter("misfit", pl.col("root").is_in([root for root in roots if root not in blamed]))
    for root, path, total, have, _ in sums.sort("path").rows():
        yield Fault("wrong", path, root, f"{path}: its objects have {have:,} bytes, its pointer says {total:,}")


# --- repairing --------------------------------------------------------------------------------------------------------


def lost(seen: Seen) -> "polars.DataFrame":
    """The rows of `seen.found` whose objects production lacks, each object once."""
    return seen.found.join(seen.held, on="md5", how="anti").unique("md5", maintain_order=True)


def repair(seen: Seen, sources: Sequence[Store], production: Store, progress: Progress | None = None) -> int:
    """Put back what is missing and a source has as its name says; a `.dir` when all that it lists is there.

    Returns how many objects were put back. Raises StorageFailed.
    """
    import polars as pl

    gone = lost(seen)
    count = _bring(gone.filter(~pl.col("is_dir"))["md5"].to_list(), sources, production, progress)
    dirs = gone.filter("is_dir")["md5"].to_list()
    rows = seen.found.filter(~pl.col("is_dir"), pl.col("root").is_in(dirs))
    absent = set(rows.join(inventory.held(production, rows["md5"]), on="md5", how="anti")["root"])
    known = set(seen.found.filter("is_dir", pl.col("size").is_not_null())["root"])
    return count + _bring([md5 for md5 in dirs if md5 in known - absent], sources, production, progress)


def _bring(md5s: Sequence[str], sources: Sequence[Store], production: Store, progress: Progress | None) -> int:
    import polars as pl

    count, left = 0, md5s
    for source in sources:
        done = transfer(source, production, left, progress=progress)
        count += done.filter(pl.col("state") == "copied").height
        left = done.filter(~pl.col("state").is_in(["copied", "present"]))["md5"].to_list()
    return count


def sound_copies(rows: Iterable[Row], sources: Sequence[Store]) -> dict[str, str]:
    """Where there is a good copy of each corrupt object: md5 → the source's address."""
    import polars as pl

    corrupt = {fault.md5 for row in rows for fault in row.faults if fault.state == "corrupt"}
    sound = ((audit(source, corrupt).filter(pl.col("state") == "present")["md5"], source) for source in sources)
    return {md5: source.url for md5s, source in sound for md5 in md5s}


# --- saying it --------------------------------------------------------------------------------------------------------


def as_text(rows: Sequence[Row], production: Store, copies: Mapping[str, str]) -> str:
    """A table, the first ten faults, and what to do about them."""
    heads = ("tag", "objects", "bytes", "missing", "wrong")
    cells = [(str(row.version.tag), *(f"{number:,}" for number in _numbers(row).values())) for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [
        "  ".join(
            f"{cell:{'>' if place else '<'}{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (heads, *cells)
    ]
    faults = list({(fault.md5, fault.message): (row, fault) for row in reversed(rows) for fault in row.faults}.values())
    lines += [f"{row.version.tag}: {fault.message}" for row, fault in faults[:SHOWN]]
    lines += [f"… and {len(faults) - SHOWN:,} more"] * (len(faults) > SHOWN)
    return "\n".join([*lines, *_advice([fault for _, fault in faults], production, copies)]) + "\n"


def _numbers(row: Row) -> dict[str, int]:
    counts = {"missing": row.count("missing"), "wrong": row.count("corrupt", "wrong")}
    return {"objects": row.objects, "bytes": row.size, **counts}


def _advice(faults: Sequence[Fault], production: Store, copies: Mapping[str, str]) -> Iterator[str]:
    states = {fault.state for fault in faults}
    if "missing" in states:
        yield "hint: registry fsck --repair FROM (staging, cache, a remote, URL or folder) puts back what is missing"
    if "wrong" in states:
        yield "hint: registry withdraw ID VERSION --why TEXT: what a tag itself says wrong cannot be put right"
    corrupt = list(dict.fromkeys(fault.md5 for fault in faults if fault.state == "corrupt"))
    if corrupt:
        yield "hint: production is create-only, so nobody but an administrator can replace what is corrupt:"
        yield from (f"  {_removal(production, md5, copies.get(md5))}" for md5 in corrupt[:SHOWN])
        source = next((quote(copies[md5]) for md5 in corrupt if md5 in copies), "FROM")
        yield f"  then: registry fsck --repair {source}{'; once more for the rest' * (len(corrupt) > SHOWN)}"


def _removal(production: Store, md5: str, copy: str | None) -> str:
    place = f"{production.url}/{object_key(md5)}"
    command = REMOVE.get(place.partition("://")[0], "delete" if "://" in place else "rm -f")
    there = f"a sound copy is in {copy}" if copy else "not before --repair FROM names a sound copy: none is known yet"
    return f"{command} {quote(place)}  # {there}"


def as_json(rows: Sequence[Row], production: Store, copies: Mapping[str, str], repaired: int) -> dict[str, object]:
    """The same for programs, with every fault."""
    tags = [
        {
            "tag": str(row.version.tag),
            "commit": row.version.commit,
            **_numbers(row),
            "faults": [
                {
                    "state": fault.state,
                    "path": fault.path,
                    "md5": fault.md5,
                    "message": fault.message,
                    "sound_copy": copies.get(fault.md5),
                }
                for fault in row.faults
            ],
        }
        for row in rows
    ]
    return {"production": production.url, "whole": is_whole(rows), "repaired": repaired, "tags": tags}


def is_whole(rows: Iterable[Row]) -> bool:
    """Whether nothing is missing or wrong."""
    return not any(row.faults for row in rows)
