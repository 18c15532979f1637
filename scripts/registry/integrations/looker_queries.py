"""The query of a manifest's source: the fields of its columns, all rows in the order of their UUIDs."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from looker_sdk.sdk.api40.models import LookWithQuery
from looker_sdk.sdk.api40.models import Query as SavedQuery

from registry.core import looker_query
from registry.core.values import Column, Look, LookerQuery
from registry.core.wording import join, plural
from registry.errors import NotFound, Refused
from registry.integrations.looker_connection import Connection
from registry.integrations.looker_explore import Query
from registry.integrations.looker_host import require_same_looker

Custom = dict[str, Any]  # a custom field or table calculation, as Looker's dynamic_fields describe it


@dataclass(frozen=True, slots=True)
class Prepared:
    """A query to run; of a Look also what it does not take over.

    `limit` is the number of rows that the Look shows, `order` the fields that it sorts by, `dropped` its fields that no
    column names.
    """

    query: Query
    limit: int | None = None
    order: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(looker: Connection, source: LookerQuery | Look, columns: Sequence[Column]) -> Prepared:
    """The query of a source. Raises ServiceFailed; NotFound and Refused for a Look that is not such a table."""
    return (
        _of_look(looker, source, columns)
        if isinstance(source, Look)
        else Prepared(looker_query.of_source(source, columns))
    )


# --- Looks ------------------------------------------------------------------------------------------------------------


def _of_look(looker: Connection, source: Look, columns: Sequence[Column]) -> Prepared:
    require_same_looker(looker, source.origin)
    look = looker.sdk.look(source.id, fields="deleted,query")
    saved, fields = _require_table(look, source), looker_query.fields(columns)
    customs = _customs(saved)
    _require_fields(saved, customs, source, fields)
    query = looker_query.without_empty(
        model=saved.model,
        view=saved.view,
        fields=fields,
        filters=dict(saved.filters or {}),
        filter_expression=saved.filter_expression,
        sorts=[looker_query.uuid_field(columns)],
        query_timezone=saved.query_timezone or "UTC",
    )
    if used := list(_used(customs, query)):
        query["dynamic_fields"] = json.dumps(used)
    calculations = [str(one["table_calculation"]) for one in customs if "table_calculation" in one]
    dropped = tuple(name for name in saved.fields or () if name not in {*fields, *calculations})
    limit = int(saved.limit) if saved.limit and saved.limit.isdecimal() else None
    notes = tuple(_untaken(saved, calculations, dropped))
    taken = [f"Look {source.id}: not part of the query: {'; '.join(notes)}"] if notes else []
    return Prepared(query, limit, tuple(saved.sorts or ()), dropped, tuple(taken))


def _require_table(look: LookWithQuery, source: Look) -> SavedQuery:
    if look.deleted:
        raise NotFound(f"Look {source.id} was deleted", fix="restore it in Looker, or name another in source.look")
    if look.query is None:
        fix = "save one query as a Look; rows of merged results can be exported, and read with --from"
        raise Refused(f"Look {source.id} has no query of its own", fix=fix)
    if look.query.pivots:
        fix = "remove its pivots in Looker"
        raise Refused(f"Look {source.id} is pivoted, so its result is not a table of images", fix=fix)
    return look.query


def _customs(saved: SavedQuery) -> list[Custom]:
    try:
        found = json.loads(saved.dynamic_fields or "[]")
    except ValueError:
        found = []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _require_fields(saved: SavedQuery, customs: Sequence[Custom], source: Look, fields: Sequence[str]) -> None:
    calculations = {one.get("table_calculation") for one in customs}
    for name in fields:
        if name in calculations:
            raise Refused(
                f"Look {source.id}: {name} is a table calculation, which Looker computes from the rows that it shows",
                fix="write it as a custom dimension in Looker, or a dimension in LookML",
            )
        if name not in (saved.fields or ()):
            shown = ", ".join(saved.fields or ())
            fix = "add the field to the Look, or correct `from` under columns in the manifest"
            raise NotFound(f"Look {source.id} has no field {name}; it has {shown}", fix=fix)


def _used(customs: Sequence[Custom], query: Query) -> Iterator[Custom]:
    """The custom fields that a query needs for its fields and filters, or for others of them."""
    needed = {*query["fields"], *query.get("filters", {}), *_words(query.get("filter_expression", ""))}
    fields = {str(one.get("dimension") or one.get("measure")): one for one in customs if "table_calculation" not in one}
    while more := {name for name in needed & fields.keys() for name in _words(json.dumps(fields[name]))} - needed:
        needed |= more
    yield from (one for name, one in fields.items() if name in needed)


def _words(text: str) -> set[str]:
    return {*re.findall(r"[\w.]+", text)}


def _untaken(saved: SavedQuery, calculations: Sequence[str], dropped: Sequence[str]) -> Iterator[str]:
    if dropped:
        yield f"{'fields' if len(dropped) > 1 else 'field'} {join(list(dropped))}, which no column names"
    if calculations:
        yield f"{plural(len(calculations), 'table calculation').split(' ', 1)[1]} {join(list(calculations))}"
    if saved.total or saved.row_total or saved.subtotals:
        yield "totals"
