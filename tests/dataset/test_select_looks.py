"""Of a Look only the fields of the manifest's columns are queried, and what of it is not taken is told."""

import json
from typing import Any

import pytest

from support import selections
from support.looker_datasets import COLUMNS, Select, served
from support.servers.looker import LookerServer
from support.servers.looker_explores import Join, Measure, View

ROWS = [row | {"images.rank": place} for place, row in enumerate(selections.rows(40))]
IDS = [str(row["images.uuid"]) for row in ROWS]
REVIEWS = View(
    "reviews",
    [{"reviews.id": f"{name}{who}", "reviews.image": name, "reviews.reviewer": who}
     for name in IDS[:3] for who in ("ana", "ben")],
    (Measure("reviews.count", "count"),),
)  # fmt: skip
LABELS = View("labels", [{"labels.image": name, "labels.label": "cat"} for name in IDS[:30]])
FIELDS = ["images.uuid", "images.label"]


def run(select: Select, query: dict[str, Any], columns: dict[str, object] | None = None) -> tuple[int, LookerServer]:
    """Select a Look with these keys of its query."""
    joins = [
        Join(LABELS, "${labels.image} = ${images.uuid}", "inner", "one_to_one"),
        Join(REVIEWS, "${reviews.image} = ${images.uuid}", "left_outer", "one_to_many"),
    ]
    saved = {"id": "70", "model": "photos", "view": "images", "fields": FIELDS, "limit": "500"} | query
    with served(ROWS, Measure("images.count", "count"), joins=joins).serve() as server:
        server.looks = {"42": {"id": "42", "title": "Newest", "deleted": False, "query": saved}}
        return select(server, {"look": 42}, columns or COLUMNS), server


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize(
    ("query", "notes"),
    [
        ({}, []),
        ({"limit": "5", "sorts": ["images.rank desc"]},
         ["note: Look 42 shows 5 rows by images.rank desc; all 40 were taken"]),
        ({"limit": "5"}, ["note: Look 42 shows 5 rows; all 40 were taken"]),
        ({"limit": "40"}, []),
        ({"fields": [*FIELDS, "reviews.reviewer"]},
         ["note: Look 42: not part of the query: field reviews.reviewer, which no column names"]),
        ({"total": True}, ["note: Look 42: not part of the query: totals"]),
        ({"fields": [*FIELDS, "images.rank", "images.camera"], "row_total": "right"},
         ["note: Look 42: not part of the query: fields images.rank and images.camera, which no column names; totals"]),
        ({"dynamic_fields": json.dumps([{"table_calculation": "twice", "expression": "2 * ${images.rank}"}])},
         ["note: Look 42: not part of the query: table calculation twice"]),
        ({"fields": [*FIELDS, "labels.label"]},
         ["note: Look 42: not part of the query: field labels.label, which no column names",
          "note: the inner join labels of the Look is not part of the query: rows without a match stay in it"]),
    ],
)  # fmt: skip
def test_what_of_a_look_is_not_taken_is_told(
    select: Select, capsys: pytest.CaptureFixture[str], query: dict[str, Any], notes: list[str]
) -> None:
    code, server = run(select, query)
    assert code == 0
    assert told(capsys) == notes
    assert {tuple(call.body["fields"]) for call in server.paths("/queries/run/json")} == {tuple(FIELDS)}
    assert len(select.rows()) == 40


def test_a_measure_that_is_computed_for_other_rows_than_the_look_s_is_told(
    select: Select, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run(select, {"fields": [*FIELDS, "reviews.reviewer"], "filters": {"reviews.count": ">1"}})
    assert code == 0
    assert len(select.rows()) == 3
    note = "note: reviews.count: computed for each row of the query, so without reviews.reviewer not as in the Look"
    assert note in told(capsys)


CUSTOM = {"dimension": "half", "expression": "${images.rank} / 2", "label": "Half", "_type_hint": "number"}
OTHER = {"dimension": "third", "expression": "${images.rank} / 3", "label": "Third"}
ON_CUSTOM = {"dimension": "quarter", "expression": "${half} / 2", "label": "Quarter"}


@pytest.mark.parametrize(
    ("query", "columns", "kept"),
    [
        ({"filters": {"half": "<5"}}, COLUMNS, ["half"]),
        ({"filter_expression": "${half} < 5"}, COLUMNS, ["half"]),
        ({"fields": [*FIELDS, "half"]}, COLUMNS | {"half": {"type": "number"}}, ["half"]),
        ({"fields": [*FIELDS, "half", "third"]}, COLUMNS, []),
    ],
)
def test_custom_fields_come_along_where_the_query_needs_them(
    select: Select, query: dict[str, Any], columns: dict[str, object], kept: list[str]
) -> None:
    code, server = run(select, query | {"dynamic_fields": json.dumps([CUSTOM, OTHER])}, columns)
    assert code == 0
    for call in server.paths("/queries/run/json"):
        assert [one["dimension"] for one in json.loads(call.body.get("dynamic_fields", "[]"))] == kept


@pytest.mark.parametrize(
    ("look", "message"),
    [
        ({"dynamic_fields": json.dumps([{"table_calculation": "twice", "expression": "1"}])},
         "Look 42: twice is a table calculation, which Looker computes from the rows that it shows"),
        ({"pivots": ["images.label"]}, "Look 42 is pivoted"),
        ({}, "Look 42 has no field twice; it has images.uuid, images.label"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_column_is_told_before_the_query(
    select: Select, capsys: pytest.CaptureFixture[str], look: dict[str, Any], message: str
) -> None:
    code, server = run(select, look, COLUMNS | {"twice": {"type": "integer"}})
    assert code == 1
    assert message in capsys.readouterr().err
    assert not server.paths("/queries/run/json")


def test_a_look_of_merged_results_is_not_called_deleted(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    with served(ROWS).serve() as server:
        server.looks = {"42": {"id": "42", "title": "Merged", "deleted": False, "query": None}}
        assert select(server, {"look": 42}) == 1
    assert "Look 42 has no query of its own" in capsys.readouterr().err
