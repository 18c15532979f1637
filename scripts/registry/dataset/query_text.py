"""A dataset's query as lines of text, so that two versions of it can be compared line by line."""

from collections.abc import Iterator, Mapping

from registry.core.adoption import Adopted
from registry.core.values import DatasetManifest, Look, LookerQuery, Selection


def render(manifest: DatasetManifest, selection: Selection | None) -> str:
    """The source and the columns; of a Look also the query that it had when `selection` was made."""
    lines = [*_source_lines(manifest, selection)]
    for column in manifest.columns:
        source = "as in the selection before" if column.kept else " or ".join((column.source, *column.headers))
        lines.append(f"column {column.name}: {source} ({column.type})")
    return "\n".join(lines)


def _source_lines(manifest: DatasetManifest, selection: Selection | None) -> Iterator[str]:
    source = manifest.source
    if isinstance(source, LookerQuery):
        yield f"looker {source.model}/{source.view}"
        yield from (f"filter {field}: {value}" for field, value in sorted(source.filters.items()))
        yield from (f"filter expression: {line}" for line in (source.filter_expression or "").splitlines())
        yield from (f"sort {field}" for field in source.sorts)
        yield f"timezone {source.timezone}"
    elif isinstance(source, Look):
        yield f"look {source.id}"
        query = (selection.query if selection else None) or {}
        yield from (f"{name} {line}" for name in sorted(query) for line in _entries(query[name]))
    elif isinstance(source, Adopted):
        yield f"adopted from {source}"
        yield from (f"md5 {md5}" for md5 in (source.md5,) if md5)
    else:
        yield f"export: {source.description}"
        yield from (f"timezone {zone}" for zone in (source.timezone,) if zone)
        yield from (f"from {place}" for place in (source.place,) if place)


def _entries(value: object) -> Iterator[str]:
    """A value of a Looker query, each entry of a mapping or a list on a line of its own."""
    if isinstance(value, Mapping):
        yield from (f"{name}: {value[name]}" for name in sorted(value))
    elif isinstance(value, list | tuple):
        yield from map(str, value)
    elif value is not None:
        yield str(value)
