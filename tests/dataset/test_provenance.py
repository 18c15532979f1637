from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from registry.core import pointers
from registry.core.values import Output, Selection
from registry.dataset import provenance
from registry.errors import InvalidDocument
from support.selections import COLUMNS, LOOKER, manifest

RAW = Output("datasets/photos/raw", f"{'a' * 32}.dir", 7, 1)
FULL = Selection(
    rows=3,
    rows_hash="1" * 64,
    query_hash="2" * 64,
    origin="looker",
    selected_at=datetime(2024, 1, 31, 12, tzinfo=UTC),
    share_url="https://acme.cloud.looker.com/x/AbC",
    looker_release="26.22.7",
    sql_hash="3" * 64,
    query={"model": "photos", "filters": {"images.label": "cat,dog"}, "fields": ["images.uuid"]},
)


@pytest.mark.parametrize("facts", [FULL, Selection(1, "1" * 64, "2" * 64, "ünï: 'x'.csv", FULL.selected_at)])
def test_what_raw_dvc_holds_reads_back(facts: Selection) -> None:
    pointer = pointers.write_pointer(RAW, provenance.to_meta(facts))
    assert provenance.read(pointer, "raw.dvc") == facts
    assert pointers.read_pointer(pointer, "datasets/photos/raw.dvc") == RAW


def test_times_are_kept_in_utc_and_what_is_unknown_is_left_out() -> None:
    berlin = datetime(2024, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
    meta = provenance.to_meta(Selection(1, "1", "2", "export.csv", berlin))
    assert meta == {
        "selection": {
            "rows": 1,
            "rows_hash": "1",
            "query_hash": "2",
            "origin": "export.csv",
            "selected_at": "2024-01-31T12:00:00Z",
        }
    }


@pytest.mark.parametrize("facts", [None, {"rows": 1}, [1], {"selected_at": 3}])
def test_a_pointer_without_the_facts_is_refused(facts: object) -> None:
    with pytest.raises(InvalidDocument, match=r"raw\.dvc:[0-9]+: meta\.selection is missing or invalid"):
        provenance.read(pointers.write_pointer(RAW, {"selection": facts}), "raw.dvc")


def test_the_query_is_the_source_and_the_columns_and_nothing_else() -> None:
    one = manifest()
    words = replace(one, title="Other words", classes=("cat",), image="x/{uuid}.png")
    asked = {"looker": LOOKER["looker"] | {"filters": {"images.label": "cat"}}}
    retyped = COLUMNS | {"camera": {"from": "images.camera", "type": "integer", "nullable": True}}
    nullable = COLUMNS | {"captured_at": {"from": "images.captured_at", "type": "datetime"}}
    assert provenance.query_hash(one, None) == provenance.query_hash(words, {"fields": ["whatever"]})
    assert provenance.query_hash(one, None) == provenance.query_hash(manifest(columns=nullable), None)
    others = [
        manifest(asked),
        manifest({"look": 7}),
        manifest({"export": {"description": "by hand"}}),
        manifest(columns=retyped),
    ]
    assert len({provenance.query_hash(other, None) for other in (one, *others)}) == 5


def test_a_look_s_question_is_also_the_query_that_it_holds() -> None:
    look = manifest({"look": 7})
    queries = ({"filters": {"a": "1", "b": "2"}}, {"filters": {"b": "2", "a": "1"}}, {"filters": {"a": "1"}})
    hashes = [provenance.query_hash(look, query) for query in queries]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_of_a_question_never_changes() -> None:
    """Every registry's `raw.dvc` holds one."""
    query = (
        '{"LookerQuery": {"filter_expression": null, "filters": {"images.label": "cat,dog"}, "model": "photos", '
        '"sorts": ["images.uuid"], "timezone": "UTC", "view": "images"}}'
    )
    columns = (
        '[["uuid", "images.uuid", "uuid"], ["label", "images.label", "string"], '
        '["camera", "images.camera", "string"], ["captured_at", "images.captured_at", "datetime"]]'
    )
    assert provenance.query_hash(manifest(), None) == sha256(f"[{query}, {columns}]".encode()).hexdigest()
