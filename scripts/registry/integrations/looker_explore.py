"""What Looker's description of an explore says about a query: joins, filters that it adds, and units of times."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from looker_sdk.sdk.api40.models import LookmlModelExplore, LookmlModelExploreField, LookmlModelExploreJoins

from registry.core import looker_dates
from registry.core.values import Column
from registry.core.wording import join
from registry.errors import Refused
from registry.integrations.looker_connection import Connection

Query = dict[str, Any]  # fields of Looker's WriteQuery, as JSON: the API defines their types

_FIELD = "name,type,view,convert_tz,sortable"
_DESCRIBED = (
    "name,project_name,has_timezone_support,access_filters,always_filter,conditionally_filter,always_join,"
    f"joins(name,type,relationship,required_joins,dependent_fields),fields(dimensions({_FIELD}),measures({_FIELD}))"
)
_REFERENCE = re.compile(r"\$\{([^}]+)\}")
_EFFECTS = {
    "inner": "rows without a match in it are left out",
    "cross": "each row is repeated for each of its rows",
    "full_outer": "rows of it without a match are added",
}
_REPEATING = {"one_to_many", "many_to_many"}


@dataclass(frozen=True, slots=True)
class Join:
    """A joined view: its type, its relationship (`one_to_many`), and the views that come along with it."""

    type: str
    relationship: str
    needs: tuple[str, ...] = ()


NO_JOIN = Join("", "")


@dataclass(frozen=True, slots=True)
class Explore:
    """An explore as the API key's user sees it: fields by name, joins by view, filters that are always applied.

    `access_filters` are user attributes by the field that they filter.
    """

    name: str
    project: str | None
    converts_times: bool
    dimensions: Mapping[str, LookmlModelExploreField]
    measures: Mapping[str, LookmlModelExploreField]
    joins: Mapping[str, Join]
    always_join: tuple[str, ...]
    access_filters: Mapping[str, str]
    always_filter: Mapping[str, str]
    conditional_filter: Mapping[str, str]

    @property
    def types(self) -> Mapping[str, str]:
        """LookML's types by field."""
        return {name: one.type or "" for name, one in (*self.dimensions.items(), *self.measures.items())}

    def view_of(self, field: str) -> str:
        """The view of a field; of a custom one the part before the dot."""
        known = self.dimensions.get(field) or self.measures.get(field)
        return (known and known.view) or field.partition(".")[0]


def describe(looker: Connection, model: str, explore: str) -> Explore:
    """Looker's description of an explore. Raises ServiceFailed."""
    found = looker.sdk.lookml_model_explore(model, explore, fields=_DESCRIBED)
    return _parse(found, explore)


def _parse(found: LookmlModelExplore, name: str) -> Explore:
    fields = found.fields
    joins = {one.name: _parse_join(one) for one in found.joins or () if one.name}
    return Explore(
        name,
        found.project_name,
        found.has_timezone_support is not False,
        {one.name: one for one in (fields and fields.dimensions) or () if one.name},
        {one.name: one for one in (fields and fields.measures) or () if one.name},
        joins,
        (*(found.always_join or ()),),
        {one.field: one.user_attribute or "" for one in found.access_filters or () if one.field},
        {one.name: one.value or "" for one in found.always_filter or () if one.name},
        {one.name: one.value or "" for one in found.conditionally_filter or () if one.name},
    )


def _parse_join(join: LookmlModelExploreJoins) -> Join:
    views = [name.partition(".")[0] for name in join.dependent_fields or ()]
    return Join(join.type or "left_outer", join.relationship or "", (*(join.required_joins or ()), *views))


# --- before the query -------------------------------------------------------------------------------------------------


def require_times(explore: Explore, columns: Sequence[Column]) -> None:
    """Refuse a time that Looker does not convert to the query's time zone, unless its column names a zone.

    Looker leaves `convert_tz: no` fields, raw timeframes, texts, and all times of a connection without time zone
    support in the database's time zone, which the API does not tell. Raises Refused.
    """
    for column in columns:
        if column.type == "datetime" and column.timezone is None and (reason := unconverted(explore, column.source)):
            raise Refused(
                f"columns.{column.name}: Looker does not convert {column.source} to the query's time zone ({reason}), "
                "so its times are in the database's",
                fix=f"add the database's time zone to columns.{column.name}, for example timezone: UTC",
            )


def unconverted(explore: Explore, name: str) -> str:
    """Why Looker does not convert a field to the query's time zone; empty where it does."""
    field = explore.dimensions.get(name) or explore.measures.get(name)
    if field is None:
        return ""
    if not explore.converts_times:
        return "the connection has no time zone support"
    if field.convert_tz is False:
        return "convert_tz: no"
    return {"date_raw": "a raw value", "string": "a text"}.get(field.type or "", "")


def require_sortable(explore: Explore, field: str) -> None:
    """Refuse a uuid that Looker cannot sort by: whether a result is complete could not be told. Raises Refused."""
    known = explore.dimensions.get(field) or explore.measures.get(field)
    if known is not None and known.sortable is False:
        raise Refused(
            f"Looker cannot sort by {field}, so whether a result has all rows cannot be verified",
            fix="name another field for uuid, or one that LookML lets sort",
        )


def notes(explore: Explore, query: Query) -> Iterator[str]:
    """What decides about rows and is not in the query: inner joins, filters of the explore, filters by user."""
    for view in _joined(explore, query):
        if effect := _EFFECTS.get(explore.joins[view].type):
            yield f"the {explore.joins[view].type} join {view} is part of the query: {effect}"
    own = query.get("filters", {}).keys()
    added = {name: text for name, text in explore.always_filter.items() if name not in own}
    for name, text in added.items():
        yield (
            f"explore {explore.name} filters {name} by {text!r} where the query does not; written under filters in "
            "the manifest, it is part of the query"
        )
    defaults = {} if explore.conditional_filter.keys() & own else explore.conditional_filter
    for name, text in defaults.items():
        yield (
            f"explore {explore.name} filters {name} by {text!r}, unless the query filters it or other fields that "
            "LookML names"
        )
    yield from map(str, looker_dates.find_relative({**added, **defaults}, None, (), explore.types))
    if explore.access_filters:
        filters = join([f"{field} (user attribute {one})" for field, one in explore.access_filters.items()])
        yield f"explore {explore.name} shows each user only some rows, by {filters}"


def require_zone(known: Sequence[str], zone: str, where: str) -> None:
    """Refuse a time zone that Looker does not know: what it does with another one is not defined. Raises Refused."""
    if zone not in known:
        near = get_close_matches(zone, known, 1)
        fix = f"write {near[0]}" if near else "write a name of the IANA time zone database, such as Europe/Berlin"
        raise Refused(f"{where}: Looker does not know the time zone {zone!r}", fix=fix)


def repeating_joins(explore: Explore, query: Query) -> dict[str, str]:
    """The fields of a query that a join repeats rows for, and that join in words."""
    found = {}
    for field in query["fields"]:
        view = explore.view_of(field)
        if (relationship := explore.joins.get(view, NO_JOIN).relationship) in _REPEATING:
            found[field] = f"the join {view} is {relationship}"
    return found


def _joined(explore: Explore, query: Query) -> list[str]:
    """The joins that are part of a query, in the explore's order: of its fields and filters, and what they need."""
    needed: set[str] = set()
    more = {*_views(explore, query), *explore.always_join}
    while more := more - needed:
        needed |= more
        more = {name for view in more for name in explore.joins.get(view, NO_JOIN).needs}
    return [view for view in explore.joins if view in needed]


def _views(explore: Explore, query: Query) -> Iterator[str]:
    names = [*query["fields"], *query.get("filters", {}), *_REFERENCE.findall(query.get("filter_expression") or "")]
    yield from map(explore.view_of, names)


def effects_of_dropping(explore: Explore, query: Query, dropped: Sequence[str]) -> Iterator[str]:
    """How rows differ from a Look's, where fields of it that no column names are not part of the query."""
    joined = _joined(explore, query)
    for view in _joined(explore, {**query, "fields": [*query["fields"], *dropped]}):
        if view not in joined and explore.joins[view].type == "inner":
            yield f"the inner join {view} of the Look is not part of the query: rows without a match stay in it"
    measures = [name for name in (*query["fields"], *query.get("filters", {})) if name in explore.measures]
    if measures and (dimensions := [name for name in dropped if name not in explore.measures]):
        yield f"{join(measures)}: computed for each row of the query, so without {join(dimensions)} not as in the Look"
