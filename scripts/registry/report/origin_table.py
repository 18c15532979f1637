"""The table of a report that says where a dataset's rows came from: query, user, SQL and LookML, before and now."""

from collections.abc import Callable, Iterator

from registry.core.values import Selection
from registry.dataset.evidence import SHORT, describe_asker
from registry.report.blocks import Address, Block, Code, Detail, Line, Table

NONE: Line = ("–",)


def blocks(old: Selection | None, new: Selection | None, *, is_open: bool) -> Iterator[Block]:
    """The table, folded unless `is_open`; nothing where the origin of the new rows is not recorded."""
    sides = [side for side in (old, new) if side]
    if new is None:
        return
    rows = [((name,), *(cell(side) or NONE for side in sides)) for name, cell in _ROWS if any(map(cell, sides))]
    head = ("origin", "before", "now") if old else ("origin", "now")
    yield Detail("origin", "Origin of the rows", (Table(head, "l" * len(head), tuple(rows)),), is_open)


def _rows(side: Selection) -> Line:
    return (f"{side.rows:,}, selected {side.selected_at:%Y-%m-%d %H:%M} UTC",)


def _from(side: Selection) -> Line:
    if side.query_hash is None:
        return (
            "file " if side.file_hash else "adopted from ",
            Code(side.origin),
            *((", SHA-256 ", Code(side.file_hash[:SHORT])) if side.file_hash else ()),
        )
    return ("Looker",) if side.looker_release is None else (f"Looker {side.looker_release}",)


def _delivery(side: Selection) -> Line:
    return (Address(side.delivery.url), f", written {side.delivery.modified}") if side.delivery else ()


def _query(side: Selection) -> Line:
    hashed: Line = (Code(side.query_hash[:SHORT]),) if side.query_hash else ()
    return (*hashed, " ", Address(side.share_url)) if side.share_url else hashed


def _asked_by(side: Selection) -> Line:
    return (describe_asker(side.asked_by),) if side.asked_by else ()


def _sql(side: Selection) -> Line:
    return (Code(side.sql_hash[:SHORT]),) if side.sql_hash else ()


def _lookml(side: Selection) -> Line:
    if side.lookml is None:
        return ()
    workspace = f", {side.workspace}" if side.workspace else ""
    return (f"{side.lookml.project} at ", Code(side.lookml.commit[:SHORT]), workspace)


_ROWS: tuple[tuple[str, Callable[[Selection], Line]], ...] = (
    ("rows", _rows),
    ("from", _from),
    ("delivery", _delivery),
    ("query", _query),
    ("asked by", _asked_by),
    ("SQL", _sql),
    ("LookML", _lookml),
)
