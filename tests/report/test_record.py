import json
from collections.abc import Callable

import pytest

import situations
from registry import documents, schema
from registry.report import record
from registry.report.assemble import Report


@pytest.mark.parametrize("make", situations.EIGHT.values(), ids=situations.EIGHT)
def test_every_report_keeps_its_closed_schema(make: Callable[[], Report]) -> None:
    text = record.render(make())
    assert list(schema.judge(documents.Document("report.json", json.loads(text), {}), "report")) == []
    assert "NaN" not in text
    assert "Infinity" not in text


def test_what_is_no_number_is_null() -> None:
    told = json.loads(record.render(situations.blocked()))
    assert [one["new"] for one in told["models"][0]["metrics"]] == [0.8276, None]


def test_the_schema_is_closed() -> None:
    told = json.loads(record.render(situations.trained()))
    told["models"][0]["surprise"] = 1
    faults = list(schema.judge(documents.Document("report.json", told, {}), "report"))
    assert [fault.message for fault in faults] == ["models.0: unknown key 'surprise'"]
