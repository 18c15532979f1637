"""What Looker keeps under an address: the query of a share link, of a Look or of a dashboard's tile, and its fields."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from looker_sdk.sdk.api40 import models

from registry.core.looker_addresses import (
    Address,
    DashboardAddress,
    ExploreAddress,
    LookAddress,
    Query,
    SharedQuery,
    require_same_for_all,
)
from registry.core.values import Look
from registry.errors import NotFound, Refused
from registry.integrations import looker_explore
from registry.integrations.looker_connection import Connection, connect
from registry.integrations.looker_explore import Explore
from registry.integrations.looker_host import require_same_looker
from registry.integrations.looker_responses import StatusError
from registry.integrations.looker_settings import INI

NOT_FOUND = 404
SEEN = "open the address in Looker; an API key sees only what its Looker user may see"
MAX_LABELS = 1000  # labels that are listed as classes
_KEPT = (
    "model,view,fields,pivots,fill_fields,filters,filter_expression,sorts,limit,total,row_total,subtotals,"
    "dynamic_fields,query_timezone"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What an address leads to. `types` are LookML's types by field, `measures` the fields that are measures.

    `unconverted` are fields whose times Looker leaves in the database's time zone, each with the reason. `look` is the
    saved Look whose query it is. `remarks` say what was not taken, `unknown` what Looker did not tell.
    """

    query: Query
    look: Look | None = None
    types: Mapping[str, str] | None = None
    measures: frozenset[str] = frozenset()
    unconverted: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read(address: Address, root: Path, tile: str | None = None) -> Kept:
    """The query that an address leads to, and its fields' types; `tile` is the id or the title of a dashboard's tile.

    Raises Refused for what is no query, and for an address of another Looker; NotFound; ServiceFailed.
    """
    with (
        TemporaryDirectory(prefix="registry-new-") as folder,
        connect(root / INI, Path(folder), _name(address)) as looker,
    ):
        require_same_looker(looker, address.origin)
        kept = _require_found(looker, address, tile)
        explore = looker.ask_optional("the types of the fields", lambda: _describe(looker, kept.query))
        kept = replace(kept, unknown=tuple(looker.unknown))
        if explore is None:
            return kept
        reasons = {name: reason for name in explore.types if (reason := looker_explore.unconverted(explore, name))}
        return replace(kept, types=explore.types, measures=frozenset(explore.measures), unconverted=reasons)


def read_labels(query: Query, label: str, root: Path) -> tuple[str, ...] | None:
    """The values of a field in a query's result, sorted; None where there are too many, or Looker does not tell."""
    body = models.WriteQuery(
        model=query.model,
        view=query.view,
        fields=[label],
        filters=dict(query.filters) or None,
        filter_expression=query.filter_expression,
        query_timezone=query.timezone,
    )
    subject = f"the labels of explore {query.view}"
    with TemporaryDirectory(prefix="registry-new-") as folder, connect(root / INI, Path(folder), subject) as looker:
        rows = looker.ask_optional("the labels", lambda: _rows(looker, body, label))
    return tuple(sorted(rows)) if rows is not None and len(rows) <= MAX_LABELS else None


def _rows(looker: Connection, body: models.WriteQuery, label: str) -> set[str]:
    name = looker.sdk.run_inline_query("json", body, limit=MAX_LABELS + 1, cache=False, apply_formatting=False)
    rows = json.loads(Path(str(name)).read_bytes())
    return {str(row[label]) for row in rows if isinstance(row, dict) and row.get(label) is not None}


def _name(address: Address) -> str:
    match address:
        case ExploreAddress():
            return f"explore {address.query.view} of model {address.query.model}"
        case SharedQuery():
            return f"query {address.slug}"
        case LookAddress():
            return f"Look {address.id}"
        case DashboardAddress():
            return f"dashboard {address.id}"


def _describe(looker: Connection, query: Query) -> Explore:
    try:
        return looker_explore.describe(looker, query.model, query.view)
    except StatusError as error:
        if error.status != NOT_FOUND:
            raise
        message = f"Looker at {looker.transport.host} has no explore {query.view} of model {query.model}"
        raise NotFound(message, fix=SEEN) from error


# --- what an address leads to -----------------------------------------------------------------------------------------


def _require_found(looker: Connection, address: Address, tile: str | None) -> Kept:
    try:
        return _resolve(looker, address, tile)
    except StatusError as error:
        if error.status != NOT_FOUND:
            raise
        raise NotFound(f"Looker at {looker.transport.host} has no {_name(address)}", fix=SEEN) from error


def _resolve(looker: Connection, address: Address, tile: str | None) -> Kept:
    match address:
        case ExploreAddress():
            return Kept(address.query)
        case SharedQuery():
            return Kept(_query(looker.sdk.query_for_slug(address.slug, fields=_KEPT)))
        case LookAddress():
            return _look(looker, address)
        case DashboardAddress():
            return _tile(looker, address, tile or address.tile)


def _look(looker: Connection, address: LookAddress) -> Kept:
    look = looker.sdk.look(address.id, fields="deleted,query")
    if look.deleted:
        raise NotFound(f"Look {address.id} was deleted", fix="restore it in Looker, or choose another")
    if look.query is None:
        message = f"Look {address.id} has no query: it shows a merged result, or its Explore is gone"
        raise Refused(message, fix="explore each of its source queries and use their addresses, or export it")
    if look.query.pivots:
        fix = "remove its pivots in Looker, or use the address of its Explore"
        raise Refused(f"Look {address.id} is pivoted, so its result is not a table of images", fix=fix)
    remarks = [
        f"the filter of {name} ({text}): the saved Look does not have it" for name, text in address.filters.items()
    ]
    return Kept(_query(look.query), Look(address.id, address.origin), remarks=tuple(remarks))


def _tile(looker: Connection, address: DashboardAddress, wanted: str | None) -> Kept:
    dashboard = looker.sdk.dashboard(address.id, fields="title,dashboard_elements")
    tiles = [one for one in dashboard.dashboard_elements or () if one.query or one.look_id or one.result_maker]
    found = [one for one in tiles if wanted is None or wanted in {str(one.id), one.title, one.title_text}]
    if len(found) != 1:
        listed = "; ".join(f"{one.title or 'untitled'} ({one.id})" for one in (found or tiles)) or "none"
        said = (
            f"{len(found)} tiles"
            if wanted is None
            else f"{len(found) or 'no'} tile{'s' * (len(found) != 1)} {wanted!r}"
        )
        message = f"dashboard {address.id} has {said}, expected one: {looker.transport.redact(listed)}"
        raise Refused(message, fix="choose one by its number, with --tile NUMBER")
    [element] = found
    return replace(_element(looker, address, element), remarks=tuple(_dashboard_filters(address, element)))


def _element(looker: Connection, address: DashboardAddress, element: models.DashboardElement) -> Kept:
    maker = element.result_maker
    if element.merge_result_id or (maker and maker.merge_result_id):
        fix = "explore each of its source queries and use their addresses, or export it and use source: export"
        raise Refused(f"tile {element.id} is a merged result, which is not one query", fix=fix)
    if element.look_id:
        return _look(looker, LookAddress(address.origin, str(element.look_id)))
    query = element.query or (maker and maker.query)
    if not query:
        fix = "model it in LookML and copy the Explore's address, or export it and use source: export"
        raise Refused(f"tile {element.id} has no query of an Explore", fix=fix)
    return Kept(_query(query))


def _dashboard_filters(address: DashboardAddress, element: models.DashboardElement) -> Iterator[str]:
    """What a dashboard adds to a tile's query: a copy of the query does not follow the dashboard's filters."""
    maker = element.result_maker
    for filterable in (maker.filterables if maker else None) or ():
        for heard in filterable.listen or ():
            name = heard.dashboard_filter_name or ""
            value = address.filters.get(name)
            shown = f" ({value})" if value else ""
            yield f"the dashboard's filter {name}{shown} of {heard.field}: write it under filters if it belongs"


def _query(kept: models.Query) -> Query:
    """A query as an Explore's address has it. Raises InvalidAddress for filters that depend on who asks."""
    filters = {name: str(text) for name, text in (kept.filters or {}).items() if str(text).strip()}
    require_same_for_all(filters)
    return Query(
        model=kept.model,
        view=kept.view,
        fields=tuple(kept.fields or ()),
        filters=filters,
        filter_expression=kept.filter_expression or None,
        sorts=tuple(kept.sorts or ()),
        timezone=kept.query_timezone or None,
        omitted=dict(_omitted(kept)),
    )


def _omitted(kept: models.Query) -> Iterator[tuple[str, str]]:
    for name in ("limit", "pivots", "fill_fields", "total", "row_total", "subtotals", "dynamic_fields"):
        value: Any = getattr(kept, name)
        if value:
            yield name, ",".join(value) if isinstance(value, (list, tuple)) else str(value)
