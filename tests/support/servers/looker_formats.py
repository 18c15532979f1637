"""A result in the formats that Looker downloads, delivers and answers with."""

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence

from support.servers.looker_explores import Field, Measure, Row, label_of, short_label

MEDIA_TYPES = {
    "json": "application/json;charset=utf-8", "json_label": "application/json;charset=utf-8",
    "json_detail": "application/json;charset=utf-8", "json_bi": "application/json;charset=utf-8",
    "csv": "text/csv;charset=utf-8", "txt": "text/plain;charset=utf-8", "html": "text/html;charset=utf-8",
    "md": "text/markdown;charset=utf-8", "sql": "text/plain;charset=utf-8",
}  # fmt: skip


def render(kind: str, rows: Sequence[Row], fields: Sequence[Field], *, is_formatted: bool) -> str:
    """Rows as `kind`. Raises KeyError for a format that is not known here."""
    by_name = {one.name: one for one in fields}
    shown = [{name: formatted(value, by_name.get(name)) for name, value in row.items()} for row in rows]
    values = shown if is_formatted else rows
    heads = [label_of(by_name[name]) if name in by_name else name for name in _names(rows, fields)]
    match kind:
        case "json":
            return _json(values)
        case "json_label":
            return _json([dict(zip(heads, row.values(), strict=True)) for row in values])
        case "json_detail" | "json_bi":
            return json.dumps(
                {
                    "fields": _described(fields),
                    "data": [_cells(row, text) for row, text in zip(rows, shown, strict=True)],
                }
            )
        case "csv" | "txt":
            return _delimited(heads, values, "," if kind == "csv" else "\t")
        case "html" | "md":
            return _table(heads, values, kind)
    raise KeyError(kind)


def formatted(value: object, field: Field | None) -> object:
    """A value as a person sees it, by the field's value_format."""
    form = field.value_format if field else None
    if form is None or not isinstance(value, (int, float)):
        return value
    before = "$" if form.startswith("$") else ""
    places = len(form.rstrip("%").partition(".")[2])
    if form.endswith("%"):
        return f"{value * 100:,.{places}f}%"
    return f"{before}{value:,.{places}f}" if "," in form else f"{before}{value:.{places}f}"


def _names(rows: Sequence[Row], fields: Sequence[Field]) -> list[str]:
    return list(rows[0]) if rows else [one.name for one in fields]


def _json(rows: Sequence[Row]) -> str:
    return f"[{','.join(f'{chr(10)}{json.dumps(row)}' for row in rows)}]"


def _delimited(heads: Sequence[str], rows: Sequence[Row], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(["" if value is None else value for value in row.values()] for row in rows)
    return text.getvalue()


def _table(heads: Sequence[str], rows: Sequence[Row], kind: str) -> str:
    if kind == "md":
        lines = [heads, ["---"] * len(heads), *([str(value) for value in row.values()] for row in rows)]
        return "\n".join(f"|{'|'.join(line)}|" for line in lines) + "\n"
    cells = ["".join(f"<td>{html.escape(str(value))}</td>" for value in row.values()) for row in rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f"<!DOCTYPE html><table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def _cells(row: Row, text: Row) -> Mapping[str, object]:
    return {
        name: {"value": value, **({"rendered": text[name]} if text[name] != value else {})}
        for name, value in row.items()
    }


def _described(fields: Sequence[Field]) -> Mapping[str, object]:
    def one(field: Field) -> Mapping[str, object]:
        return {"name": field.name, "type": field.type, "label": label_of(field), "label_short": short_label(field)}

    return {
        "dimensions": [one(field) for field in fields if not isinstance(field, Measure)],
        "measures": [one(field) for field in fields if isinstance(field, Measure)],
        "pivots": [], "table_calculations": [],
    }  # fmt: skip
