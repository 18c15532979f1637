"""What Looker says of a query whose result was downloaded: its time zone, and rows to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from looker_sdk.sdk.api40.models import WriteQuery

from registry.core import looker_query
from registry.core.values import Column, Look, LookerQuery
from registry.integrations import looker_queries
from registry.integrations.looker_connection import Connection, connect
from registry.integrations.looker_host import require_same_looker
from registry.integrations.looker_settings import INI

LAST = 100  # rows in descending order


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a query as JSON arrays of objects by field name, `field` is that of UUIDs.

    `first` are the first rows by UUID, as many as were asked for or fewer; `last` at most LAST of the others' end.
    """

    first: Path
    last: Path
    field: str


def ask_zone(look: Look, *, root: Path, folder: Path) -> str | None:
    """The time zone of a Look's query; None where it has none, so that each user sees times of their own.

    Raises Refused for settings and for another Looker's address, and ServiceFailed.
    """
    with connect(root / INI, folder, f"Look {look.id}") as looker:
        require_same_looker(looker, look.origin)
        query = looker.sdk.look(look.id, fields="query").query
        return query.query_timezone or None if query else None


def sample(source: LookerQuery | Look, columns: Sequence[Column], *, rows: int, root: Path, folder: Path) -> Sample:
    """The first `rows` rows of a query by UUID, and its last, as files in `folder`.

    Where an API key may not download without limit, the first rows may be fewer; the last ones tell. Raises as
    `looker.run_query`.
    """
    subject = f"Look {source.id}" if isinstance(source, Look) else f"explore {source.view} of model {source.model}"
    with connect(root / INI, folder, subject) as looker:
        query, field = looker_queries.prepare(looker, source, columns).query, looker_query.uuid_field(columns)
        first = _run(looker, {**query, "sorts": [field]}, rows)
        last = _run(looker, {**query, "sorts": [f"{field} desc"]}, LAST)
    return Sample(first, last, field)


def _run(looker: Connection, query: Mapping[str, object], limit: int) -> Path:
    """Run a query; the transport writes the rows to a file and returns its name as the response."""
    body = WriteQuery(**query)  # type: ignore[arg-type]  # the fields of a query have many types
    return Path(str(looker.sdk.run_inline_query("json", body, limit=limit, cache=False, apply_formatting=False)))
