"""Running Looker queries: a manifest's source becomes rows in a file, Looker's own count of them, and their origin."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from looker_sdk.sdk.api40.models import WriteQuery

from registry.core.values import Column, Look, LookerQuery
from registry.errors import NotFound, Refused, ServiceFailed
from registry.integrations.looker_connection import Connection, connect
from registry.integrations.looker_host import require_same_looker
from registry.integrations.looker_settings import INI

COUNT = "registry_images"

Query = dict[str, Any]  # fields of Looker's WriteQuery, as JSON: the API defines their types


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query: `rows` is a JSON array of objects by field name, `images` Looker's own count of UUIDs.

    `query` is the query that was run, `timezone` that of its times. What Looker did not tell is None, and a line of
    `unknown` names it and the reason.
    """

    rows: Path
    images: int
    query: Mapping[str, object]
    timezone: str
    share_url: str | None
    sql_hash: str | None
    release: str | None
    unknown: tuple[str, ...] = ()


def run_query(source: LookerQuery | Look, columns: Sequence[Column], *, root: Path, folder: Path) -> QueryResult:
    """Every row of a manifest's source, left as a file in `folder`, and Looker's own count of the images.

    Looker truncates results without saying so (by default after 5,000 rows, or where the API key may not download
    without limit), so the caller has to compare. The count is a custom measure, the number of distinct values of the
    uuid's field under the same filters: it needs no measure in a view and no permission to run SQL, is one row that no
    limit truncates, and is right where a join repeats rows.
    Raises ServiceFailed; NotFound and Refused for a Look that is not such a table.
    """
    with connect(root / INI, folder, _name(source)) as looker:
        query = _query(looker, source, columns)
        body = WriteQuery(**query)
        release = looker.ask_optional("Looker's release", lambda: _release(looker))
        share_url = looker.ask_optional("the share link", lambda: _share_url(looker, body))
        sql_hash = looker.ask_optional("the generated SQL", lambda: _sql_hash(looker, body))
        rows = _run(looker, body)
        images = _count_images(looker, query, next(column.source for column in columns if column.name == "uuid"))
    zone = str(query["query_timezone"])
    return QueryResult(rows, images, query, zone, share_url, sql_hash, release, tuple(looker.unknown))


def generated_sql(source: LookerQuery | Look, columns: Sequence[Column], *, root: Path) -> str:
    """The SQL that Looker generates for a manifest's source, as Looker words it; nothing is run.

    Raises as `run_query`; the API key needs the permission see_sql.
    """
    with (
        TemporaryDirectory(prefix="registry-select-") as folder,
        connect(root / INI, Path(folder), _name(source)) as looker,
    ):
        return _sql(looker, WriteQuery(**_query(looker, source, columns)))


def _name(source: LookerQuery | Look) -> str:
    return f"Look {source.id}" if isinstance(source, Look) else f"explore {source.view} of model {source.model}"


# --- queries ----------------------------------------------------------------------------------------------------------


def _query(looker: Connection, source: LookerQuery | Look, columns: Sequence[Column]) -> Query:
    return _look_query(looker, source, columns) if isinstance(source, Look) else _inline_query(source, columns)


def _inline_query(source: LookerQuery, columns: Sequence[Column]) -> Query:
    return _without_empty(
        model=source.model,
        view=source.view,
        fields=list(dict.fromkeys(column.source for column in columns)),
        filters=dict(source.filters),
        filter_expression=source.filter_expression,
        sorts=list(source.sorts),
        query_timezone=source.timezone,
    )


def _look_query(looker: Connection, source: Look, columns: Sequence[Column]) -> Query:
    """A Look's current query, so that the hashed query is the one that runs; without the Look's limit and totals."""
    require_same_looker(looker, source.origin)
    look = looker.sdk.look(source.id, fields="deleted,query")
    query = look.query
    if look.deleted or query is None:
        raise NotFound(f"Look {source.id} was deleted", fix="restore it in Looker, or name another in source.look")
    if query.pivots:
        raise Refused(
            f"Look {source.id} is pivoted, so its result is not a table of images", fix="remove its pivots in Looker"
        )
    fields = list(query.fields or [])
    if missing := [column.source for column in columns if column.source not in fields]:
        shown = ", ".join(fields)
        fix = "add the field to the Look, or correct `from` under columns in the manifest"
        raise NotFound(f"Look {source.id} has no field {missing[0]}; it has {shown}", fix=fix)
    return _without_empty(
        model=query.model,
        view=query.view,
        fields=fields,
        filters=dict(query.filters or {}),
        filter_expression=query.filter_expression,
        sorts=list(query.sorts or []),
        dynamic_fields=query.dynamic_fields,
        query_timezone=query.query_timezone or "UTC",
    )


def _without_empty(**fields: object) -> Query:
    return {name: value for name, value in fields.items() if value}


def _run(looker: Connection, query: WriteQuery) -> Path:
    """Run a query; the transport below writes the rows to a file and returns its name as the response."""
    return Path(str(looker.sdk.run_inline_query("json", query, limit=-1, cache=False, apply_formatting=False)))


def _count_images(looker: Connection, query: Query, field: str) -> int:
    """The number of distinct values of a field, under the filters of a query."""
    measure = {"measure": COUNT, "based_on": field, "type": "count_distinct", "label": "Images", "expression": ""}
    hints = {"_kind_hint": "measure", "_type_hint": "number"}
    # Filters may use the query's other custom fields; its table calculations need columns that this query lacks.
    others = [custom for custom in json.loads(query.get("dynamic_fields", "[]")) if "table_calculation" not in custom]
    counting = {**query, "fields": [COUNT], "sorts": [], "dynamic_fields": json.dumps([*others, measure | hints])}
    rows = json.loads(_run(looker, WriteQuery(**counting)).read_bytes())
    try:
        return int(rows[0][COUNT]) if rows else 0
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceFailed("Looker returned no number of images", fix="try again") from error


def _release(looker: Connection) -> str | None:
    return looker.sdk.versions(fields="looker_release_version").looker_release_version


def _share_url(looker: Connection, query: WriteQuery) -> str | None:
    # The SDK requires model and view in the response.
    return looker.sdk.create_query(query, fields="model,view,share_url").share_url


def _sql_hash(looker: Connection, query: WriteQuery) -> str:
    return sha256(_sql(looker, query).encode()).hexdigest()


def _sql(looker: Connection, query: WriteQuery) -> str:
    return str(looker.sdk.run_inline_query("sql", query, limit=-1))
