"""`registry where`."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import polars as pl
from polars import DataFrame

from registry.cli import locating
from registry.cli.workspace import Workspace, here, warn
from registry.console import say
from registry.core import tombstones
from registry.core.progress import bar
from registry.core.values import Tag
from registry.core.wording import abbreviate, table
from registry.dataset import near_duplicates, perceptual_hash, thumbnails
from registry.errors import NotFound, RegistryError
from registry.release import stored_shards, where
from registry.release.history import Release
from registry.release.item_index import ItemIndex, Listed
from registry.release.stored_shards import StoredShards

Shards = Mapping[Tag, StoredShards]
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Query:
    """An image that is asked for: the text, the UUIDs and MD5s that it may be, and the bytes of a file."""

    text: str
    uuids: tuple[str, ...]
    md5s: tuple[str, ...]
    data: bytes | None = None


@click.command()
@click.argument("images", metavar="UUID|MD5|FILE...", nargs=-1, required=True)
@click.option("--near", is_flag=True, help="Also find near-duplicates; reads every image once.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(images: tuple[str, ...], form: str, *, near: bool) -> None:
    """Find the releases that have an image, the models that saw it, and their stages.

    An image is named by its UUID, by the MD5 of its bytes, or by a file with these bytes. What was never published is
    not searched. Of a release with shards (registry export), the one with the image is named. The exit code is 1 if a
    release could not be searched, because no store has its list of files.
    """
    space = here()
    queries = [_parse(text) for text in images]
    with locating.search(space) as searched:
        found = [searched.find(query.uuids, query.md5s, partial(_sha256_of, space, query)) for query in queries]
    alike = _find_near(space, searched.index, searched.known, queries, found) if near else [()] * len(queries)
    cases = [_find_cases(space, query, one) for query, one in zip(queries, found, strict=True)]
    shards = _find_shards(space, found)
    rows = ((*row, shards) for row in zip(queries, found, alike, cases, strict=True))
    if form == "json":
        say(json.dumps([_to_json(*row) for row in rows], indent=2))
    else:
        say("\n\n".join("\n".join(_lines(*row)) for row in rows))
    if unknown := sorted({tag for one in found for tag in one.absent}):
        raise NotFound(
            f"no store has the lists of files of {abbreviate(list(map(str, unknown)))}: these were not searched",
            fix="registry fsck --all-tags",
        )


def _find_cases(space: Workspace, query: _Query, found: where.Found) -> list[str]:
    """The cases that erased the image."""
    uuids = {*query.uuids, *(place.uuid for place in found.places)}
    md5s = {*query.md5s, *(place.md5 for place in found.places)}
    known = tombstones.by_case(space.tombstones.values()).items()
    return sorted(case for case, one in known if one.find_items(uuids) or one.find_objects(md5s))


def _find_shards(space: Workspace, found: Sequence[where.Found]) -> Shards:
    """The shards of the releases that have an image; where they cannot be read, which is told, none."""
    try:
        return stored_shards.find(space.stores.production, {place.release.tag for one in found for place in one.places})
    except RegistryError as error:
        warn(f"which shards have it is not known: {error.message}")
        return {}


def _shard_of(place: where.Place, shards: Shards) -> str | None:
    stored = shards.get(place.release.tag)
    file = stored.index.find(place.split, place.uuid) if stored else None
    return file.name if stored and file and file.name not in stored.missing else None


def _sha256_of(space: Workspace, query: _Query, md5: str) -> str | None:
    """The SHA-256 of an image; None where no store has it."""
    data = query.data if query.data is not None and md5 in query.md5s else space.read_object(md5)
    return None if data is None else hashlib.sha256(data).hexdigest()


def _parse(text: str) -> _Query:
    name = text.lower()
    if _UUID.fullmatch(name):
        return _Query(text, (name,), ())
    if _MD5.fullmatch(name):
        dashed = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
        return _Query(text, (dashed,), (name,))  # a UUID without dashes looks like an MD5
    try:
        data = Path(text).read_bytes()
    except OSError as error:
        fix = "name a UUID, the MD5 of an image, or a file"
        raise RegistryError(f"{text!r} is neither a UUID nor an MD5, and no file: {error.strerror}", fix=fix) from error
    return _Query(text, (), (hashlib.md5(data, usedforsecurity=False).hexdigest(),), data)


# --- near-duplicates --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Near:
    """An image that looks like the one asked for; `distance` in bits of the perceptual hash."""

    md5: str
    uuids: tuple[str, ...]
    distance: int


def _find_near(
    space: Workspace,
    index: ItemIndex,
    lists: frozenset[Listed],
    queries: Sequence[_Query],
    found: Sequence[where.Found],
) -> list[tuple[_Near, ...]]:
    images = index.images(lists).select("uuid", "md5").unique()
    cache = space.cache_dir / perceptual_hash.PATH
    md5s = images["md5"].unique().sort()
    with bar("reading images", md5s.len()) as progress:
        known = near_duplicates.fingerprints(md5s, space.read_object, cache, progress)
    if missing := md5s.len() - known.height:
        warn(f"{missing:,} images could not be read, and were not compared")
    return [_near_one(query, one, images, known) for query, one in zip(queries, found, strict=True)]


def _near_one(query: _Query, found: where.Found, images: DataFrame, known: DataFrame) -> tuple[_Near, ...]:
    mine = {place.md5 for place in found.places} | set(query.md5s)
    some = known.filter(pl.col("md5").is_in(list(mine)))
    if query.data is not None and some.is_empty():
        with thumbnails.without_warnings():
            some = perceptual_hash.to_frame({query.md5s[0]: perceptual_hash.fingerprint(query.data)})
    others = known.filter(~pl.col("md5").is_in(list(mine)))
    pairs = perceptual_hash.find_pairs(some, others).found
    uuids = dict(images.group_by("md5").agg("uuid").iter_rows())
    rows = ((other, distance) for first, second, distance in pairs.select("first", "second", "distance").iter_rows()
            for other in (first, second) if other not in mine)  # fmt: skip
    nearest: dict[str, int] = {}
    for md5, distance in rows:
        nearest[md5] = min(distance, nearest.get(md5, distance))
    return tuple(_Near(md5, tuple(sorted(uuids[md5])), distance) for md5, distance in sorted(nearest.items()))


# --- what is said -----------------------------------------------------------------------------------------------------


def _lines(
    query: _Query, found: where.Found, near: Sequence[_Near], cases: Sequence[str], shards: Shards
) -> Iterator[str]:
    names = sorted({f"{place.uuid}, MD5 {place.md5}" for place in found.places})
    yield f"{query.text}: " + ("; ".join(names) if names else "no dataset release has it")
    if cases:
        yield f"  erased ({tombstones.name_cases(cases)}): lists of files name it, its bytes are gone or will be"
    places = [(str(one.release.tag), _describe(one, shards), _state(one.release)) for one in found.places]
    uses = [(str(one.release.tag), one.sight.value, _state(one.release)) for one in found.uses]
    if rows := [*places, *uses]:
        yield from table(["", "", ""], rows, "  ").splitlines()[1:]
    for one in near:
        bits = f"{one.distance} bit{'' if one.distance == 1 else 's'}"
        yield f"  near-duplicate ({bits} of the perceptual hash): {', '.join(one.uuids)}, MD5 {one.md5}"


def _describe(place: where.Place, shards: Shards) -> str:
    shard = _shard_of(place, shards)
    return f"{place.split}/{place.label}" + (f", {shard}" if shard else "")


def _state(release: Release) -> str:
    stages = " ".join(f"[{stage}]" for stage in release.stages)
    return " ".join(filter(None, (stages, f"withdrawn: {release.withdrawn}" if release.withdrawn else "")))


def _to_json(
    query: _Query, found: where.Found, near: Sequence[_Near], cases: Sequence[str], shards: Shards
) -> dict[str, Any]:
    return {
        "query": query.text,
        "erased": list(cases),
        "datasets": [
            {
                **_release(one.release),
                "uuid": one.uuid,
                "md5": one.md5,
                "split": one.split,
                "label": one.label,
                "shard": _shard_of(one, shards),
            }
            for one in found.places
        ],
        "models": [{**_release(one.release), "saw": one.sight.value} for one in found.uses],
        "near_duplicates": [{"md5": one.md5, "uuids": list(one.uuids), "distance": one.distance} for one in near],
        "not_searched": list(map(str, found.absent)),
    }


def _release(release: Release) -> dict[str, Any]:
    tag: Tag = release.tag
    return {"tag": str(tag), "stages": list(release.stages), "withdrawn": release.withdrawn or None}
