"""Values of a comparison as JSON, the same in `registry diff --format json` and in report.json."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from polars import DataFrame

from registry.core.values import ArtifactId, Bump, Version


def to_json(value: Any) -> Any:  # values of any type, as `json.dumps` takes them
    """A value for JSON: dataclasses become objects without images, frames lists of rows, NaN and infinity null."""
    match value:
        case Bump():
            return value.name.lower()
        case Version() | ArtifactId():
            return str(value)
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case float():
            return value if math.isfinite(value) else None
        case str() | int() | None:
            return value
        case DataFrame():
            return [to_json(row) for row in value.to_dicts()]
        case Mapping():
            return {key: to_json(one) for key, one in value.items()}
    if is_dataclass(value):
        names = [field.name for field in fields(value) if not isinstance(getattr(value, field.name), bytes)]
        return {name: to_json(getattr(value, name)) for name in names}
    return [to_json(one) for one in value]
