"""What a test says of an explore: views with rows and fields, joins, filters that LookML sets, and who may see what.

A view's rows are keyed by the full names of its fields, and their types follow from the values; `fields` adds others or
says more of them. SQL is SQLite's, with `${view.field}` as in LookML. An explore whose labels lie in a joined view, in
a warehouse that keeps Berlin's time, seen by two users of whom one sees the rows of one tenant only:

    images = View("images", rows, (
        Dimension("images.captured_raw", "date_raw", sql="${images.captured_time}"),
        Dimension("images.received_time", "date_time", convert_tz=False),
        Measure("images.count", "count"),
    ))
    labels = View("labels", [{"labels.image": "…", "labels.label": "cat"}])
    explore = Explore(
        "photos", "images", images,
        joins=[Join(labels, on="${labels.image} = ${images.uuid}", type="inner", relationship="one_to_one")],
        always_filter={"images.label": "-EMPTY"}, access_filters={"images.tenant": "tenant"},
        database_timezone="Europe/Berlin",
    )
    ana, ben = User("7", "Ana"), User("8", "Ben", attributes={"tenant": "acme"}, permissions=ALL - {"see_sql"})
    with LookerServer(explores=[explore], users=[ana, ben]).serve() as server:
        environment = server.env(ben)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, object]

# Looker's permissions that something here asks for.
ALL = frozenset(
    {
        "access_data",
        "explore",
        "see_looks",
        "see_sql",
        "see_lookml",
        "see_queries",
        "download_with_limit",
        "download_without_limit",
        "create_custom_fields",
        "see_user_dashboards",
        "see_lookml_dashboards",
    }
)


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dimension of Looker's `type`; `sql` defaults to the column of its name; `label` is that of the field alone."""

    name: str
    type: str = "string"
    sql: str | None = None
    label: str | None = None
    convert_tz: bool = True
    value_format: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure: count, count_distinct, sum, average, min or max; `sql` is what it is over."""

    name: str
    type: str = "count"
    sql: str | None = None
    label: str | None = None
    value_format: str | None = None
    hidden: bool = False


Field = Dimension | Measure


@dataclass
class View:
    """A table and its fields; `primary_key` is the field that is different in every row, by default the first."""

    name: str
    rows: Sequence[Row]
    fields: Sequence[Field] = ()
    primary_key: str | None = None

    def all_fields(self) -> dict[str, Field]:
        """The fields that are told, and those that the rows have."""
        inferred: dict[str, Field] = {name: _infer(name, self.rows) for name in self.columns()}
        return inferred | {one.name: one for one in self.fields}

    def columns(self) -> list[str]:
        """The columns of its table."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def key(self) -> str | None:
        return self.primary_key or next(iter(self.columns()), None)


def _infer(name: str, rows: Sequence[Row]) -> Dimension:
    value = next((row[name] for row in rows if row.get(name) is not None), None)
    if isinstance(value, bool):
        return Dimension(name, "yesno")
    if isinstance(value, (int, float)):
        return Dimension(name, "number")
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text):
        return Dimension(name, "date_time")
    return Dimension(name, "date_date", convert_tz=False) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else Dimension(name)


@dataclass
class Join:
    """A view that comes along in a query when one of its fields is used; `on` is LookML's sql_on."""

    view: View
    on: str
    type: str = "left_outer"
    relationship: str = "many_to_one"
    required_joins: Sequence[str] = ()


@dataclass
class Explore:
    """An explore: `access_filters` are user attributes by field, `always_filter` filters by field."""

    model: str
    name: str
    base: View
    joins: Sequence[Join] = ()
    always_filter: Mapping[str, str] = field(default_factory=dict)
    conditionally_filter: Mapping[str, str] = field(default_factory=dict)  # unless `unless` or it is filtered
    unless: Sequence[str] = ()
    sql_always_where: str | None = None
    sql_always_having: str | None = None
    access_filters: Mapping[str, str] = field(default_factory=dict)
    always_join: Sequence[str] = ()
    has_timezone_support: bool = True
    database_timezone: str = "UTC"
    project: str = "acme_lookml"
    is_open: bool = False  # whether every field is known, as of an explore whose table is empty

    def views(self) -> Iterator[View]:
        """The base view and the joined ones."""
        yield self.base
        yield from (join.view for join in self.joins)

    def all_fields(self) -> dict[str, Field]:
        """The fields of all views by full name."""
        return {name: one for view in self.views() for name, one in view.all_fields().items()}

    def view_of(self, name: str) -> View:
        """The view of a field."""
        return next((view for view in self.views() if name in view.all_fields()), self.base)


@dataclass(frozen=True, slots=True)
class User:
    """A user with an API key, with user attributes and the models that it may see (None: all)."""

    id: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    permissions: frozenset[str] = ALL
    models: frozenset[str] | None = None
    is_service_account: bool = False

    @property
    def client_id(self) -> str:
        return f"id-fK3vPq9{self.id}"

    @property
    def client_secret(self) -> str:
        return f"Zx81/Lm+Qw&secret{self.id}"


def label_of(one: Field) -> str:
    """A field's full label, as heads of CSV downloads have it: the view's, the field's, and a tail for yesno."""
    view = one.name.partition(".")[0]
    return f"{_words(view)} {short_label(one)}" if "." in one.name else short_label(one)


def short_label(one: Field) -> str:
    """A field's label without that of its view."""
    tail = " (Yes / No)" if one.type == "yesno" else ""
    return (one.label or _words(one.name.rpartition(".")[2])) + tail


def _words(name: str) -> str:
    return " ".join(word if word.isupper() else word.title() for word in name.split("_"))


def describe(explore: Explore) -> dict[str, Any]:
    """An explore as Looker's API describes it (LookmlModelExplore)."""
    fields = explore.all_fields().values()
    return {
        "id": f"{explore.model}::{explore.name}",
        "name": explore.name,
        "label": _words(explore.name),
        "model_name": explore.model,
        "view_name": explore.base.name,
        "project_name": explore.project,
        "has_timezone_support": explore.has_timezone_support,
        "access_filters": [{"field": name, "user_attribute": one} for name, one in explore.access_filters.items()],
        "always_filter": [{"name": name, "value": value} for name, value in explore.always_filter.items()],
        "conditionally_filter": [
            {"name": name, "value": value} for name, value in explore.conditionally_filter.items()
        ],
        "always_join": [*explore.always_join],
        "joins": [
            {
                "name": join.view.name,
                "type": join.type,
                "relationship": join.relationship,
                "sql_on": join.on,
                "required_joins": [*join.required_joins],
                "dependent_fields": re.findall(r"\$\{([\w.]+)\}", join.on),
            }
            for join in explore.joins
        ],
        "fields": {
            "dimensions": [_describe_field(one, explore) for one in fields if isinstance(one, Dimension)],
            "measures": [_describe_field(one, explore) for one in fields if isinstance(one, Measure)],
            "filters": [],
            "parameters": [],
        },
    }


def _describe_field(one: Field, explore: Explore) -> dict[str, Any]:
    view = explore.view_of(one.name)
    is_time = one.type.startswith("date")
    described = {
        "name": one.name,
        "type": one.type,
        "label": label_of(one),
        "label_short": short_label(one),
        "view": view.name,
        "view_label": _words(view.name),
        "category": "dimension" if isinstance(one, Dimension) else "measure",
        "measure": isinstance(one, Measure),
        "hidden": one.hidden,
        "is_numeric": one.type in {"number", "count", "count_distinct", "sum", "average"},
        "is_timeframe": is_time,
        "primary_key": one.name == view.key(),
        "value_format": one.value_format,
        "dimension_group": _group(one.name) if is_time and one.type != "date" else None,
    }
    return described | ({"convert_tz": one.convert_tz} if isinstance(one, Dimension) and is_time else {})


def _group(name: str) -> str:
    return re.sub(r"_(raw|time|date|month|year|week|hour|minute|second)$", "", name)
