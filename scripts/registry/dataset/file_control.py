"""What a file does not say by itself: the time zone of its times, and whether a limit cut it off.

It is said by the person who selects, else by the manifest, else by Looker: of a query or a Look, with an API key.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from registry.core.adoption import Adopted
from registry.core.values import DatasetManifest, Export, Look, LookerQuery
from registry.core.wording import plural
from registry.dataset import column_types, exports
from registry.dataset.exports import Zone
from registry.errors import NotFound, Refused, RegistryError, ServiceFailed

# Rows; Looker applies its own without a word, and so do spreadsheets (65,536 and 1,048,576 with the headers).
LIMITS = {**dict.fromkeys((500, 5_000, 100_000), "Looker"), **dict.fromkeys((65_535, 1_048_575), "a spreadsheet")}


@dataclass(frozen=True, slots=True)
class How:
    """What a person says about a file: the time zone of times that name none, and that no limit cut it off."""

    timezone: str | None = None
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class Learnt:
    """The time zone of a file, and what could not be learnt, each with the reason."""

    zone: Zone
    unknown: tuple[str, ...] = ()


def find_zone(manifest: DatasetManifest, how: How, root: Path) -> Learnt:
    """The time zone that was said, else that of the manifest's source; of a Look, as Looker says it."""
    if how.timezone:
        return Learnt(Zone(how.timezone, exports.TIMEZONE_OPTION))
    match manifest.source:
        case LookerQuery(timezone=timezone):
            return Learnt(Zone(timezone, "source.looker.timezone"))
        case Export(timezone=timezone):
            return Learnt(Zone(timezone, "source.export.timezone"))
        case Adopted():
            return Learnt(Zone())
        case Look() as look:
            has_times = any(column.type == "datetime" for column in manifest.columns)
            return _ask_zone(look, root) if has_times and _has_key(root) else Learnt(Zone())


def _has_key(root: Path) -> bool:
    from registry.integrations import looker_settings  # with the SDK, which takes half a second to import

    return looker_settings.has_key(root)


def _ask_zone(look: Look, root: Path) -> Learnt:
    from registry.integrations import looker_downloads  # the SDK takes half a second to import

    subject = f"the time zone of Look {look.id}"
    try:
        with TemporaryDirectory(prefix="registry-select-") as folder:
            timezone = looker_downloads.ask_zone(look, root=root, folder=Path(folder))
    except (ServiceFailed, Refused, NotFound) as error:
        return Learnt(Zone(), (f"{subject}: {error.message}",))
    unknown = () if timezone else (f"{subject}: it is the zone of each user",)
    return Learnt(Zone(timezone, f"Look {look.id}"), unknown)


def require_whole(frame: pl.DataFrame, name: str, manifest: DatasetManifest, how: How, root: Path) -> Iterator[str]:
    """Lines on why a file with as many rows as a limit has all of them. Raises Refused where that is not known.

    It is said (`--complete`), or Looker has no row that the file does not have.
    """
    writer = LIMITS.get(len(frame))
    if writer is None:
        return
    count = plural(len(frame), "row")
    if how.is_complete:
        yield f"{count}: a limit of downloads; confirmed with --complete"
        return
    fault = f"{name} has exactly {count}, at which {writer} cuts downloads off"
    fix = "export all results (in Looker: Limit, All Results); if it has all of them, add --complete"
    if isinstance(manifest.source, Export | Adopted) or not _has_key(root):
        raise Refused(fault, fix=fix)
    try:
        others = _count_others(frame, manifest, manifest.source, root)
    except RegistryError as error:
        raise Refused(f"{fault}; Looker could not be asked: {error.message}", fix=fix) from error
    if others:
        fault = (
            f"{fault}; Looker has {plural(others, 'image')} at least that {'is' if others == 1 else 'are'} not in it"
        )
        raise Refused(fault, fix=f"registry select {manifest.id}, which reads Looker itself; or export all results")
    yield f"{count}: a limit of downloads; Looker has no other rows"


def _count_others(frame: pl.DataFrame, manifest: DatasetManifest, source: LookerQuery | Look, root: Path) -> int:
    """How many images Looker has that the file does not have, as far as the first and last rows tell.

    A file of n rows has all of a query's where the query's first n + 1 rows by UUID and its last ones are all in it.
    """
    from registry.integrations import looker_downloads  # the SDK takes half a second to import

    with TemporaryDirectory(prefix="registry-select-") as folder:
        found = looker_downloads.sample(source, manifest.columns, rows=len(frame) + 1, root=root, folder=Path(folder))
        rows = [row for path in (found.first, found.last) for row in json.loads(path.read_bytes())]
    texts = pl.DataFrame({"uuid": [row.get(found.field) for row in rows]}, schema={"uuid": pl.String})
    uuids = texts.select(column_types.typed(column_types.text("uuid", "uuid"), "uuid", None)).unique()
    return uuids.join(frame, on="uuid", how="anti", nulls_equal=True).height
