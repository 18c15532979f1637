"""What GitHub's answers have in common: pages, failures, and looking a row up."""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
Answer = tuple[int, Any]  # status and JSON


@dataclass
class Call:
    """A request as it came: the template of its path, the values in it, the query, and the body."""

    method: str
    template: str
    values: dict[str, str]
    query: dict[str, str]
    body: Any


@dataclass
class Fault:
    """What is answered instead, `times` times, to requests of `method` whose path holds `path`.

    With `executed`, the request has its effect before it is answered so, as behind a proxy that times out.
    """

    path: str
    status: int
    message: str = "told to fail"
    method: str = ""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    executed: bool = False


def error(message: str, status: int, *errors: Row) -> Row:
    """The body of a failure."""
    url = "https://docs.github.com/rest"
    return {"message": message, "documentation_url": url, "status": str(status)} | (
        {"errors": [*errors]} if errors else {}
    )


def not_found() -> Answer:
    """What GitHub says of what is not there, or not to be seen."""
    return 404, error("Not Found", 404)


def invalid(resource: str, field_: str, code: str = "already_exists") -> Answer:
    """A refusal of one field."""
    return 422, error("Validation Failed", 422, {"resource": resource, "code": code, "field": field_})


def paged(call: Call, rows: list[Row]) -> Answer:
    size, page = int(call.query.get("per_page", 30)), int(call.query.get("page", 1))
    return 200, rows[(page - 1) * size : page * size]


def found(rows: list[Row], name: str, value: Any) -> Answer:
    row = next((row for row in rows if str(row.get(name)) == str(value)), None)
    return (200, row) if row else not_found()


def updated(row: Row, body: Row) -> Row:
    row.update(body)
    return row
