"""Running Looker queries: a manifest's source becomes rows in a file, a control of them, and their origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from looker_sdk.sdk.api40.models import WriteQuery

from registry.core import looker_query
from registry.core.values import Column, Look, LookerQuery
from registry.integrations import looker_explore, looker_origin, looker_queries
from registry.integrations.looker_connection import Connection, connect
from registry.integrations.looker_explore import Explore, Query
from registry.integrations.looker_origin import Origin
from registry.integrations.looker_queries import Prepared
from registry.integrations.looker_settings import INI

LAST = 100  # rows at the other end of a result that must be part of it


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query: `rows` is a JSON array of objects by field name, sorted by UUID.

    `last` has at most LAST rows of the same query in descending order: where the result is complete, they are part of
    it. `query` is the query that was run, `timezone` that of its times, `repeating` are joins that may repeat rows by
    field. `notes` are lines on what decides about the rows and is not in the manifest; `unknown` lines name what Looker
    did not tell, and the reason. A Look shows `limit` rows in the `order` of these fields. `types` are LookML's,
    by field.
    """

    rows: Path
    last: Path
    query: Mapping[str, object]
    timezone: str
    origin: Origin
    repeating: Mapping[str, str]
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    limit: int | None = None
    order: tuple[str, ...] = ()
    types: Mapping[str, str] | None = None


def run_query(source: LookerQuery | Look, columns: Sequence[Column], *, root: Path, folder: Path) -> QueryResult:
    """Every row of a manifest's source, left as a file in `folder`, and the last rows, queried by themselves.

    Looker truncates results without saying so (by default after 5,000 rows, or where the API key may not download
    without limit), so the caller has to compare. The control is the very query, sorted the other way round: its joins,
    filters on measures and filters that LookML adds are the same, it needs no permission that the query does not need,
    and no limit truncates its first rows.
    Raises ServiceFailed; NotFound and Refused for a Look that is not such a table; Refused where Looker's description
    of the explore says that times have no known zone, or that the result could not be verified.
    """
    with connect(root / INI, folder, _name(source)) as looker:
        prepared = looker_queries.prepare(looker, source, columns)
        query, field = prepared.query, looker_query.uuid_field(columns)
        explore = _describe(looker, query)
        _require_zone(looker, query, source)
        notes = _examine(explore, prepared, columns) if explore else ()
        origin = looker_origin.learn(looker, WriteQuery(**query), explore.project if explore else None)
        rows = _run(looker, WriteQuery(**query))
        last = _run(looker, WriteQuery(**{**query, "sorts": [f"{field} desc"]}), limit=LAST)
    return QueryResult(
        rows,
        last,
        query,
        str(query["query_timezone"]),
        origin,
        looker_explore.repeating_joins(explore, query) if explore else {},
        (*prepared.notes, *notes),
        tuple(looker.unknown),
        prepared.limit,
        prepared.order,
        explore.types if explore else None,
    )


def generated_sql(source: LookerQuery | Look, columns: Sequence[Column], *, root: Path) -> str:
    """The SQL that Looker generates for a manifest's source, as Looker words it; nothing is run.

    Raises as `run_query`; the API key needs the permission see_sql.
    """
    with (
        TemporaryDirectory(prefix="registry-select-") as folder,
        connect(root / INI, Path(folder), _name(source)) as looker,
    ):
        return looker_origin.generated_sql(looker, WriteQuery(**looker_queries.prepare(looker, source, columns).query))


def _name(source: LookerQuery | Look) -> str:
    return f"Look {source.id}" if isinstance(source, Look) else f"explore {source.view} of model {source.model}"


def _describe(looker: Connection, query: Query) -> Explore | None:
    model, view = str(query["model"]), str(query["view"])
    return looker.ask_optional("the description of the explore", lambda: looker_explore.describe(looker, model, view))


def _require_zone(looker: Connection, query: Query, source: Look | LookerQuery) -> None:
    zone = str(query["query_timezone"])
    if zone == "UTC":
        return
    where = f"Look {source.id}" if isinstance(source, Look) else "source.looker.timezone"
    known = looker.ask_optional("its time zones", looker.sdk.all_timezones)
    if names := [one.value for one in known or () if one.value]:
        looker_explore.require_zone(names, zone, where)


def _examine(explore: Explore, prepared: Prepared, columns: Sequence[Column]) -> tuple[str, ...]:
    """Lines on what decides about rows. Raises Refused for what would make them wrong or could not be verified."""
    looker_explore.require_times(explore, columns)
    looker_explore.require_sortable(explore, looker_query.uuid_field(columns))
    effects = looker_explore.effects_of_dropping(explore, prepared.query, prepared.dropped)
    return (*effects, *looker_explore.notes(explore, prepared.query))


def _run(looker: Connection, query: WriteQuery, *, limit: int = -1) -> Path:
    """Run a query; the transport below writes the rows to a file and returns its name as the response."""
    return Path(str(looker.sdk.run_inline_query("json", query, limit=limit, cache=False, apply_formatting=False)))
