"""The query that Looker is to run for a manifest's source and columns, with the names of Looker's API."""

from collections.abc import Mapping, Sequence

from registry.core.values import Column, LookerQuery


def fields(columns: Sequence[Column]) -> list[str]:
    """The fields of the columns, each once."""
    return list(dict.fromkeys(column.source for column in columns))


def uuid_field(columns: Sequence[Column]) -> str:
    """The field that UUIDs are read from."""
    return next(column.source for column in columns if column.name == "uuid")


def of_source(source: LookerQuery, columns: Sequence[Column]) -> dict[str, object]:
    """The query of an inline source, in the order of uuid; empty parts are left out."""
    return without_empty(
        model=source.model,
        view=source.view,
        fields=fields(columns),
        filters=dict(source.filters),
        filter_expression=source.filter_expression,
        sorts=[uuid_field(columns)],
        query_timezone=source.timezone,
    )


def without_empty(**parts: object) -> dict[str, object]:
    """The parts of a query that say something."""
    return {name: part for name, part in parts.items() if part}


def is_same(query: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether two queries have the same rows: order decides about none."""
    return _unordered(query) == _unordered(other)


def _unordered(query: Mapping[str, object]) -> dict[str, object]:
    return {name: part for name, part in query.items() if name != "sorts"}
