"""JSON in one form, for documents that are named or compared by their bytes."""

import json


def write(value: object) -> str:
    """Keys sorted, no spaces, characters as they are; NaN is an error."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
