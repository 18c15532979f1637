"""A Looker query as SQL, and its rows from SQLite.

Dimensions group, measures aggregate over the keys of their view (as Looker's symmetric aggregates), and a view is
joined only when a field of it is used: by the query's fields and filters, by what LookML always filters, or by another
join. https://cloud.google.com/looker/docs/how-looker-generates-sql
"""

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from support.servers.looker_explores import Dimension, Explore, Field, Measure, Row, User, View
from support.servers.looker_filters import condition, expression, quoted

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_AGGREGATES = {"sum": "sum_of", "average": "average_of", "min": "MIN", "max": "MAX"}


class Rejected(Exception):
    """What Looker says with `status` to a query that it cannot make SQL of; `field` is the key of the query."""

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status, self.field = status, field


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL without its limit, and the fields of its columns; `calculations` are those of table calculations."""

    sql: str
    fields: tuple[Field, ...]
    calculations: tuple[str, ...] = ()


class Compiler:
    """Makes one query of one user into SQL."""

    def __init__(self, explore: Explore, query: Mapping[str, Any], user: User, now: datetime) -> None:
        self.explore, self.query, self.user, self.now = explore, query, user, now
        self.fields: dict[str, Field] = explore.all_fields()
        self.zone = zone(query.get("query_timezone"))
        self.custom: dict[str, Row] = {}
        self.calculations: dict[str, str] = {}
        self.used: set[str] = set(explore.always_join)
        for one in json.loads(query.get("dynamic_fields") or "[]"):
            self._add_custom(one)

    def _add_custom(self, one: Row) -> None:
        if name := one.get("table_calculation"):
            self.calculations[str(name)] = str(one["expression"])
        elif name := one.get("dimension"):
            self.fields[str(name)] = Dimension(
                str(name), str(one.get("_type_hint") or "string"), label=str(one["label"])
            )
            self.custom[str(name)] = one
        elif name := one.get("measure"):
            if isinstance(self.field(str(one["based_on"]), "dynamic_fields"), Measure):
                raise Rejected(400, f"A custom measure cannot be based on {one['based_on']}", "dynamic_fields")
            self.fields[str(name)] = Measure(str(name), str(one["type"]), label=str(one.get("label") or name))
            self.custom[str(name)] = one

    # --- fields -------------------------------------------------------------------------------------------------------

    def field(self, name: str, where: str = "fields") -> Field:
        """A field of the explore or of the query. Raises Rejected."""
        if name not in self.fields and self.explore.is_open:
            self.fields[name] = Dimension(name)
        if name not in self.fields:
            raise (
                Rejected(400, f"Invalid filter: {name}")
                if where == "filters"
                else Rejected(422, f"unknown field {name}", where)
            )
        return self.fields[name]

    def sql(self, name: str, where: str = "fields") -> str:
        """A field's SQL, with its time in the zone of the query; its view is joined from now on."""
        one = self.field(name, where)
        if name in self.custom:
            return self._custom_sql(name)
        view = self.explore.view_of(name)
        self.used.add(view.name)
        if isinstance(one, Measure):
            return self._aggregate(one.type, self._plain(one, view) if one.sql else None, view)
        return self._in_zone(one, self._plain(one, view))

    def _plain(self, one: Field, view: View) -> str:
        """A field's own SQL; what it refers to is joined too."""
        if one.sql is None:
            return f'"{view.name}"."{one.name}"'
        return "(" + _REFERENCE.sub(lambda found: self.column(found[1]), one.sql) + ")"

    def column(self, name: str) -> str:
        """A dimension's SQL as it is in the database: LookML's `${view.field}`; measures as they are."""
        view = self.explore.view_of(name)
        self.used.add(view.name)
        one = self.fields.get(name)
        if isinstance(one, Measure):
            return self.sql(name)
        return self._plain(one, view) if one else f'"{view.name}"."{name}"'

    def _in_zone(self, one: Dimension, sql: str) -> str:
        if not one.type.startswith("date") or one.type == "date_raw":
            return sql
        moves = one.convert_tz and self.explore.has_timezone_support
        target = self.zone if moves else self.explore.database_timezone
        return f"looker_time({sql}, {quoted(self.explore.database_timezone)}, {quoted(target)}, {quoted(one.type)})"

    def _aggregate(self, kind: str, sql: str | None, view: View) -> str:
        key = f'"{view.name}"."{view.key()}"'
        if kind == "count":
            return f"COUNT(DISTINCT {key})"
        if kind == "count_distinct":
            return f"COUNT(DISTINCT {sql})"
        return f"{_AGGREGATES[kind]}({sql}{f', {key}' if kind in {'sum', 'average'} else ''})"

    def _custom_sql(self, name: str) -> str:
        one = self.custom[name]
        if "dimension" in one:
            return f"({self._expression(str(one['expression']))})"
        based_on = str(one["based_on"])
        tests = [self._expression(str(text)) for key in ("filter_expression", "expression") if (text := one.get(key))]
        filters = one.get("filters")
        tests += [self._filter(*each) for each in filters.items()] if isinstance(filters, Mapping) else []
        inner = self.sql(based_on)
        chosen = f"CASE WHEN {' AND '.join(f'({test})' for test in tests)} THEN {inner} END" if tests else inner
        return self._aggregate(str(one["type"]), chosen, self.explore.view_of(based_on))

    def _expression(self, text: str) -> str:
        try:
            return expression(text, lambda name: self.sql(name, "filter_expression"), self._filter)
        except ValueError as error:
            raise Rejected(400, f"The expression {text} is invalid: {error}", "filter_expression") from error

    def _filter(self, name: str, text: str) -> str:
        one = self.field(name, "filters")
        now = self.now.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        return condition(one.type, self.sql(name, "filters"), str(text), now)

    # --- the statement ------------------------------------------------------------------------------------------------

    def statement(self) -> Statement:
        """The query as SQL. Raises Rejected."""
        shown = [self.field(name) for name in self.query.get("fields") or ()]
        columns = [f'{self.sql(one.name)} AS "{one.name}"' for one in shown]
        where, having = self._conditions()
        groups = [str(number) for number, one in enumerate(shown, 1) if isinstance(one, Dimension)]
        lines = [f"SELECT {', '.join(columns)}", *self._tables()]
        lines += [f"WHERE {' AND '.join(f'({one})' for one in where)}"] * bool(where)
        lines += [f"GROUP BY {', '.join(groups)}"] * bool(groups)
        lines += [f"HAVING {' AND '.join(f'({one})' for one in having)}"] * bool(having)
        names = [one.name for one in shown]
        orders = [order for sort in self.query.get("sorts") or () if (order := _order(sort, names))]
        lines += [f"ORDER BY {', '.join(orders)}"] * bool(orders)
        return self._with_calculations(Statement("\n".join(lines), tuple(shown)))

    def _conditions(self) -> tuple[list[str], list[str]]:
        own = {name: str(text) for name, text in (self.query.get("filters") or {}).items()}
        always = {name: text for name, text in self.explore.always_filter.items() if name not in own}
        if not {*self.explore.unless, *self.explore.conditionally_filter} & own.keys():
            always |= self.explore.conditionally_filter
        tests: list[tuple[bool, str]] = []
        for name, text in {**own, **always}.items():
            tests.append((isinstance(self.field(name, "filters"), Measure), self._filter(name, text)))
        for name, attribute in self.explore.access_filters.items():
            allowed = self.user.attributes.get(attribute, "")
            tests.append((False, self._filter(name, allowed) if allowed else "0"))
        if whole := str(self.query.get("filter_expression") or ""):
            names = _REFERENCE.findall(whole)
            is_measured = any(isinstance(self.field(name, "filter_expression"), Measure) for name in names)
            tests.append((is_measured, self._expression(whole)))
        for lookml, is_measured in ((self.explore.sql_always_where, False), (self.explore.sql_always_having, True)):
            if lookml:
                tests.append((is_measured, _REFERENCE.sub(lambda found: self.column(found[1]), lookml)))
        return [sql for is_having, sql in tests if not is_having], [sql for is_having, sql in tests if is_having]

    def _tables(self) -> list[str]:
        joins = {join.view.name: join for join in self.explore.joins}
        needed: list[str] = []

        def add(name: str) -> None:
            if name in joins and name not in needed:
                for other in (*joins[name].required_joins, *_views(joins[name].on)):
                    if other != name:
                        add(other)
                needed.append(name)

        for name in joins:
            if name in self.used:
                add(name)
        lines = [f'FROM "{self.explore.base.name}"']
        for name in needed:
            join = joins[name]
            on = _REFERENCE.sub(lambda found: self.column(found[1]), join.on)
            lines.append(f'{join.type.upper().replace("_", " ")} JOIN "{name}" ON {on}')
        return lines

    def _with_calculations(self, inner: Statement) -> Statement:
        if not self.calculations:
            return inner
        shown = [
            f'{expression(text, lambda name: f"{chr(34)}{name}{chr(34)}", self._filter)} AS "{name}"'
            for name, text in self.calculations.items()
        ]
        return Statement(f"SELECT *, {', '.join(shown)} FROM ({inner.sql})", inner.fields, tuple(self.calculations))


def _views(on: str) -> list[str]:
    return [name.partition(".")[0] for name in _REFERENCE.findall(on)]


def _order(sort: str, shown: list[str]) -> str | None:
    name, _, direction = sort.partition(" ")
    return f'"{name}" {"DESC" if direction.startswith("desc") else "ASC"}' if name in shown else None


def zone(name: str | None) -> str:
    """A time zone that there is; whether Looker refuses others is not known, so this one takes UTC without a word."""
    with suppress(Exception):
        return ZoneInfo(name or "UTC").key
    return "UTC"


# --- SQLite -----------------------------------------------------------------------------------------------------------


def run(explore: Explore, statement: Statement, limit: int | None) -> list[Row]:
    """The rows of a statement; yesno is «Yes» or «No», as in all of Looker's formats."""
    with closing(sqlite3.connect(":memory:")) as database:
        for view in explore.views():
            _fill(database, view, statement)
        _add_functions(database)
        sql = statement.sql if limit is None else f"{statement.sql}\nLIMIT {limit}"
        names = [*(one.name for one in statement.fields), *statement.calculations]
        yesno = {one.name for one in statement.fields if one.type == "yesno"}
        found = [dict(zip(names, row, strict=True)) for row in database.execute(sql)]
        return [{key: _yes_or_no(value) if key in yesno else value for key, value in row.items()} for row in found]


def _yes_or_no(value: object) -> str:
    return "Yes" if value else "No"


def _fill(database: sqlite3.Connection, view: View, statement: Statement) -> None:
    asked = re.findall(rf'"{re.escape(view.name)}"\."([^"]+)"', statement.sql)  # of a table without rows
    columns = view.columns() or list(dict.fromkeys(asked)) or ["nothing"]
    database.execute(f'CREATE TABLE "{view.name}" ({", ".join(f"{chr(34)}{name}{chr(34)}" for name in columns)})')
    places = ", ".join("?" * len(columns))
    rows = ([_value(row.get(name)) for name in columns] for row in view.rows)
    database.executemany(f'INSERT INTO "{view.name}" VALUES ({places})', rows)


def _value(value: object) -> object:
    return value if value is None or isinstance(value, (int, float, str)) else json.dumps(value)


def _add_functions(database: sqlite3.Connection) -> None:
    functions: Mapping[str, Callable[..., str | float | None]] = {
        "looker_time": _looker_time,
        "is_null": lambda value: int(value is None),
        "concat_all": lambda *parts: "".join(str(part) for part in parts),
        "if_else": lambda test, yes, no: yes if test else no,
        "contains": lambda text, part: int(part in text),
        "starts_with": lambda text, part: int(text.startswith(part)),
        "ends_with": lambda text, part: int(text.endswith(part)),
        "floor_of": lambda value: int(value // 1),
        "mod_of": lambda value, divisor: value % divisor,
    }
    for name, function in functions.items():
        database.create_function(name, -1, function, deterministic=True)
    database.create_aggregate("sum_of", 2, _Sum)  # type: ignore[arg-type] # typeshed wants a result of SQLite's types
    database.create_aggregate("average_of", 2, _Average)  # type: ignore[arg-type]


class _Sum:
    """A sum over the rows of a view, each of which a join may repeat."""

    def __init__(self) -> None:
        self.values: dict[object, float] = {}

    def step(self, value: float | None, key: object) -> None:
        if value is not None:
            self.values[key] = value

    def finalize(self) -> float | None:
        return sum(self.values.values()) if self.values else None


class _Average(_Sum):
    def finalize(self) -> float | None:
        return sum(self.values.values()) / len(self.values) if self.values else None


_SHOWN = {"date_date": "%Y-%m-%d", "date_month": "%Y-%m", "date_year": "%Y", "date_hour": "%Y-%m-%d %H"}


def _looker_time(text: str | None, source: str, target: str, kind: str) -> str | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if len(text) > 10:  # a date alone has no zone
        moment = moment.replace(tzinfo=ZoneInfo(source)).astimezone(ZoneInfo(target))
    return moment.strftime(_SHOWN.get(kind, "%Y-%m-%d %H:%M:%S"))
