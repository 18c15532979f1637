from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from registry.core import pointers
from registry.core.values import Asker, Lookml, Output, Selection
from registry.dataset import provenance
from registry.errors import InvalidDocument
from support.selections import COLUMNS, LOOKER, manifest

RAW = Output("datasets/photos/raw", f"{'a' * 32}.dir", 7, 1)
QUERY = {"model": "photos", "filters": {"images.label": "cat,dog"}, "fields": ["images.uuid"]}
FULL = Selection(
    rows=3,
    rows_hash="1" * 64,
    source_hash="2" * 64,
    origin="looker",
    selected_at=datetime(2024, 1, 31, 12, tzinfo=UTC),
    query=QUERY,
    query_hash=provenance.query_hash(QUERY),
    sql_hash="3" * 64,
    asked_by=Asker("12", "registry", service_account=True),
    workspace="production",
    lookml=Lookml("photos", "4" * 40),
    looker_release="26.22.7",
    share_url="https://acme.cloud.looker.com/x/AbC",
)
FILE = Selection(1, "1" * 64, "2" * 64, "ünï: 'x'.csv", FULL.selected_at, file_hash="5" * 64)


@pytest.mark.parametrize("facts", [FULL, FILE, replace(FULL, sql_hash=None, asked_by=Asker("7"), lookml=None)])
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
            "source_hash": "2",
            "origin": "export.csv",
            "selected_at": "2024-01-31T12:00:00Z",
        }
    }


@pytest.mark.parametrize("facts", [None, {"rows": 1}, [1], {"selected_at": 3}])
def test_a_pointer_without_the_facts_is_refused(facts: object) -> None:
    with pytest.raises(InvalidDocument, match=r"raw\.dvc:[0-9]+: meta\.selection is missing or invalid"):
        provenance.read(pointers.write_pointer(RAW, {"selection": facts}), "raw.dvc")


@pytest.mark.parametrize(
    "changes",
    [
        {"query": QUERY | {"filters": {}}}, {"query": None}, {"query_hash": None}, {"asked_by": "registry"},
        {"asked_by": {"name": "registry"}}, {"asked_by": {"id": 12}}, {"lookml": {"project": "photos", "commit": None}},
        {"asked_by": {"id": "12", "service_account": "yes"}}, {"asked_by": {"id": "12", "admin": True}},
        {"workspace": 1}, {"surprise": "x"}, {"query": {1: "a", "b": 2}}, {"query": QUERY | {"at": FULL.selected_at}},
    ],
    ids=str,
)  # fmt: skip
def test_facts_that_were_edited_are_refused(changes: dict[str, object]) -> None:
    facts = {**provenance.to_meta(FULL)["selection"], **changes}
    facts = {name: fact for name, fact in facts.items() if fact is not None}
    with pytest.raises(InvalidDocument, match=r"meta\.selection is missing or invalid|for DVC"):
        provenance.read(pointers.write_pointer(RAW, {"selection": facts}), "raw.dvc")


@pytest.mark.parametrize(
    "look", ["7", "https://acme.cloud.looker.com/looks/7", "https://acme.cloud.looker.com/looks/7/"]
)
def test_a_look_is_the_same_source_by_its_number_and_its_address(look: str) -> None:
    assert provenance.source_hash(manifest({"look": look})) == provenance.source_hash(manifest({"look": 7}))


def test_the_source_is_the_manifest_s_source_and_columns_and_nothing_else() -> None:
    one = manifest()
    words = replace(one, title="Other words", classes=("cat",), image="x/{uuid}.png")
    asked = {"looker": LOOKER["looker"] | {"filters": {"images.label": "cat"}}}
    retyped = COLUMNS | {"camera": {"from": "images.camera", "type": "integer", "nullable": True}}
    nullable = COLUMNS | {"captured_at": {"from": "images.captured_at", "type": "datetime"}}
    assert provenance.source_hash(one) == provenance.source_hash(words)
    assert provenance.source_hash(one) == provenance.source_hash(manifest(columns=nullable))
    others = [
        manifest(asked),
        manifest({"look": 7}),
        manifest({"export": {"description": "by hand"}}),
        manifest(columns=retyped),
    ]
    assert len({provenance.source_hash(other) for other in (one, *others)}) == 5


def test_the_hash_of_a_query_is_that_of_what_was_asked_in_any_order() -> None:
    queries = ({"filters": {"a": "1", "b": "2"}}, {"filters": {"b": "2", "a": "1"}}, {"filters": {"a": "1"}})
    hashes = [provenance.query_hash(query) for query in queries]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_of_a_source_never_changes() -> None:
    """Every registry's `raw.dvc` holds one."""
    query = (
        '{"LookerQuery": {"filter_expression": null, "filters": {"images.label": "cat,dog"}, "model": "photos", '
        '"sorts": ["images.uuid"], "timezone": "UTC", "view": "images"}}'
    )
    columns = (
        '[["uuid", "images.uuid", "uuid"], ["label", "images.label", "string"], '
        '["camera", "images.camera", "string"], ["captured_at", "images.captured_at", "datetime"]]'
    )
    assert provenance.source_hash(manifest()) == sha256(f"[{query}, {columns}]".encode()).hexdigest()
