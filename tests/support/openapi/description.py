"""GitHub's own description of its API: judges requests and answers, and completes answers that say only the essential.

The two are apart: what `complete` makes is judged as strictly as what comes from anywhere else.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

FILE = Path(__file__).parent / "github.json"
JSON, BYTES = "application/json", "application/octet-stream"
SAMPLES = {"date-time": "2026-01-01T00:00:00Z", "uri": "https://github.com/sample", "email": "tess@example.com"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer. `template` is a path of the description, `path` the same with (encoded) values."""

    method: str  # in lower case
    template: str
    path: str
    query: dict[str, str]
    body: bytes
    status: int
    answer: bytes
    host: str = "https://api.github.com"
    content: str = JSON


@cache
def load() -> dict[str, Any]:
    """The description."""
    loaded: dict[str, Any] = json.loads(FILE.read_text())
    return loaded


@cache
def _judge() -> OpenAPI:
    return OpenAPI.from_dict(load())


def responses(method: str, template: str) -> dict[str, Any]:
    """Status → what such an answer is."""
    found: dict[str, Any] = load()["paths"][template][method]["responses"]
    return found


def faults(exchange: Exchange) -> list[str]:
    """What in an exchange is not as GitHub describes it, a line each."""
    asked = MockRequest(
        exchange.host, exchange.method, exchange.path, args=exchange.query, data=exchange.body or None,
        content_type=exchange.content,
    )  # fmt: skip
    answered = MockResponse(exchange.answer, status_code=exchange.status, content_type=JSON)
    failed = exchange.status >= 400
    found = []
    if not failed:  # a wrong request is what 4xx is for
        found += _tried("request", exchange, lambda: _judge().validate_request(asked))
    if not failed or str(exchange.status) in responses(exchange.method, exchange.template):
        found += _tried("answer", exchange, lambda: _judge().validate_response(asked, answered))
    return found


def _tried(what: str, exchange: Exchange, judge: Callable[[], None]) -> list[str]:
    try:
        judge()
    except OpenAPIError as error:
        cause = error.__cause__ or error
        reasons = [f"{'.'.join(map(str, one.path))} {one.message}" for one in getattr(cause, "schema_errors", ())]
        return [f"{what} of {exchange.method} {exchange.path} ({exchange.status}): {'; '.join(reasons) or cause}"]
    return []


def complete(method: str, template: str, status: int, known: Any) -> Any:
    """An answer that says at least what is `known`, and the simplest that GitHub describes of all else."""
    content = _resolved(responses(method, template)[str(status)]).get("content", {})
    return _filled(content[JSON]["schema"], known) if JSON in content else known


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        _, _, group, name = node["$ref"].split("/")
        node = load()["components"][group][name]
    return node


_NOTHING: Any = object()  # stands for no value where None is one


def _filled(schema: dict[str, Any], known: Any = _NOTHING) -> Any:
    schema = _resolved(schema)
    if isinstance(known, dict) and (kinds := schema.get("discriminator")):
        schema = _resolved({"$ref": kinds["mapping"][known[kinds["propertyName"]]]})
    if isinstance(known, list):
        return [_filled(schema.get("items", {}), one) for one in known]
    if isinstance(known, dict) or (known is _NOTHING and _is_object(schema)):
        return _object(schema, {} if known is _NOTHING else known)
    return _sample(schema) if known is _NOTHING else known


def _is_object(schema: dict[str, Any]) -> bool:
    return not schema.get("nullable") and (schema.get("type") == "object" or "properties" in schema)


def _object(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    parts = [_resolved(one) for one in (schema, *schema.get("allOf", ()))]
    properties = {name: one for part in parts for name, one in part.get("properties", {}).items()}
    needed = [name for part in parts for name in part.get("required", ()) if name not in known]
    made = {name: _filled(properties.get(name, {})) for name in needed}
    return made | {name: _filled(properties.get(name, {}), one) for name, one in known.items()}


def _sample(schema: dict[str, Any]) -> Any:
    if schema.get("nullable"):
        return None
    for choices in ("allOf", "oneOf", "anyOf"):
        if choices in schema:
            return _filled(schema[choices][0])
    if "enum" in schema:
        return schema["enum"][0]
    plain: dict[str, Any] = {"array": [], "boolean": False, "integer": 0, "number": 0, "object": {}}
    return plain.get(schema.get("type", ""), SAMPLES.get(schema.get("format", ""), "sample"))
