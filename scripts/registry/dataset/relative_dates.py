"""The filters of a dataset's query that are relative to the time of the query, such as `7 days`."""

from collections.abc import Mapping
from typing import Any

from registry.core import looker_dates
from registry.core.looker_dates import RelativeFilter
from registry.core.values import DatasetManifest, Look, LookerQuery


def find(
    manifest: DatasetManifest, query: Mapping[str, Any] | None, types: Mapping[str, str] | None = None
) -> tuple[RelativeFilter, ...]:
    """The relative filters of a manifest's source.

    `query` is the one that Looker ran (`Selection.query`), where there is one: only it says what a Look filters.
    `types` are Looker's types by field, as far as they are known.
    """
    source = manifest.source
    if isinstance(source, LookerQuery):
        return looker_dates.find_relative(source.filters, source.filter_expression, manifest.columns, types)
    if not isinstance(source, Look) or query is None:
        return ()
    filters, expression = query.get("filters"), query.get("filter_expression")
    texts = {str(field): str(text) for field, text in filters.items()} if isinstance(filters, Mapping) else {}
    return looker_dates.find_relative(texts, str(expression or ""), manifest.columns, types)
