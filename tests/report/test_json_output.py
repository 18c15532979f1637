import json
from collections.abc import Callable

import pytest

from registry.core import documents, schema
from registry.report import json_output
from registry.report.assemble import Report
from support import report_situations


@pytest.mark.parametrize("make", report_situations.SITUATIONS.values(), ids=report_situations.SITUATIONS)
def test_every_report_keeps_its_closed_schema(make: Callable[[], Report]) -> None:
    text = json_output.render(make())
    assert list(schema.find_faults(documents.Document("report.json", json.loads(text), {}), "report")) == []
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_number_that_is_not_finite_is_null() -> None:
    report = json.loads(json_output.render(report_situations.blocked()))
    assert [one["new"] for one in report["models"][0]["metrics"]] == [0.8276, None]


def test_the_schema_is_closed() -> None:
    report = json.loads(json_output.render(report_situations.trained()))
    report["models"][0]["surprise"] = 1
    faults = list(schema.find_faults(documents.Document("report.json", report, {}), "report"))
    assert [fault.message for fault in faults] == ["models.0: unknown key 'surprise'"]
