"""What a report says of where a dataset's rows came from."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from registry.core.values import Delivery, Selection
from registry.dataset.changes import DatasetChange, QueryChange
from registry.report import dataset_section, html, markdown
from registry.report.assemble import assemble
from registry.report.blocks import Address, Block, Detail, Para, Strong, Table
from support.report_parts import PASSED, PETS, RUN_INFO, V100, V110, origin

OLD = origin(40, 2)
FILE = Selection(39, "6" * 64, OLD.source_hash, "other.csv", OLD.selected_at, file_hash="5" * 64)


def change(kind: QueryChange, old: Selection | None, new: Selection | None) -> DatasetChange:
    return DatasetChange(PETS, "Pets", V100 if old else None, V110, kind, selections=(old, new))


def blocks(kind: QueryChange, old: Selection | None, new: Selection | None) -> tuple[Block, ...]:
    return dataset_section.section(change(kind, old, new)).blocks


def details(found: tuple[Block, ...]) -> Iterator[Detail]:
    yield from (one for one in found if isinstance(one, Detail) and one.kind == "origin")


@pytest.mark.parametrize(
    ("kind", "old", "new", "is_strong"),
    [
        (QueryChange.SQL, OLD, origin(20, 9, sql_hash="x"), True),
        (QueryChange.FILE, OLD, FILE, True),
        (QueryChange.FILE, replace(FILE, rows=7), FILE, False),
        (QueryChange.RESULT, OLD, origin(50, 9), False),
        (QueryChange.UNKNOWN, OLD, origin(50, 9, sql_hash=None), False),
        (QueryChange.FIRST, None, FILE, False),
    ],
)
def test_rows_that_the_query_does_not_explain_are_emphasised(
    kind: QueryChange, old: Selection | None, new: Selection, *, is_strong: bool
) -> None:
    found = blocks(kind, old, new)
    assert isinstance(found[0], Para)
    assert isinstance(found[0].line[0], Strong) is is_strong
    (table,) = details(found)
    assert table.is_open is is_strong


def test_rows_that_did_not_change_have_no_table() -> None:
    assert list(details(blocks(QueryChange.UNCHANGED, OLD, OLD))) == []


def test_what_is_not_recorded_is_left_out() -> None:
    bare = replace(OLD, sql_hash=None, asked_by=None, lookml=None, looker_release=None, share_url=None)
    (table,) = details(blocks(QueryChange.FIRST, None, bare))
    assert isinstance(table.blocks[0], Table)
    assert [row[0] for row in table.blocks[0].rows] == [("rows",), ("from",), ("query",)]


def test_a_delivery_is_named() -> None:
    delivered = replace(FILE, delivery=Delivery("s3://acme/birds/2026-11-09.csv", "etag", "2026-11-09T03:37:00Z"))
    (table,) = details(blocks(QueryChange.FIRST, None, delivered))
    assert isinstance(table.blocks[0], Table)
    cell = (Address("s3://acme/birds/2026-11-09.csv"), ", written 2026-11-09T03:37:00Z")
    assert (("delivery",), cell) in table.blocks[0].rows


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://acme.example@evil.example/x", "https://x.example/)](y"]
)
def test_only_an_https_address_becomes_a_link(url: str) -> None:
    report = assemble(PASSED, [change(QueryChange.RESULT, OLD, origin(50, 9, share_url=url))], [], RUN_INFO)
    assert f'href="{url}' not in html.render(report)
    assert f"({url})" not in markdown.render(report, {})
