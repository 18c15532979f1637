from typing import Any

import pytest
import yaml

from registry.checks import runner
from registry.checks.context import Scope
from registry.core.values import Finding, Verdict
from registry.dataset import provenance
from support import memory_registries
from support.memory_registries import Registry, images

PETS = "datasets/pets"
MANIFEST, RAW, PREPARED = f"{PETS}/dataset.yaml", f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"
COLUMNS = {
    "uuid": {"type": "uuid"},
    "label": {"type": "string"},
    "shot": {"type": "datetime", "from": "images.shot", "nullable": True},
}


def looker(**filters: str) -> dict[str, Any]:
    named = {f"images.{name}": text for name, text in filters.items()}
    return {"looker": {"model": "photos", "view": "images", "filters": named}}


def selected(registry: Registry, source: dict[str, Any], query: dict[str, Any] | None = None) -> Registry:
    """The registry with its dataset selected again by this source, of whose Look Looker ran this query."""
    registry.edit(MANIFEST, source=source, columns=COLUMNS)
    memory_registries.build(registry, "pets", images())
    if query is not None:
        pointer = yaml.safe_load(registry.files[RAW])
        pointer["meta"]["selection"] |= {"query": query, "query_hash": provenance.query_hash(query)}
        registry.files[RAW] = memory_registries.dump(pointer)
    registry.derive()
    return registry


def find(registry: Registry, check: str = "relative-dates") -> list[Finding]:
    """What the check finds, notes too."""
    outcomes = runner.run(registry.gather(Scope.STAGED, {MANIFEST, RAW, PREPARED}))
    return [one for outcome in outcomes if outcome.check == check for one in outcome.findings]


@pytest.mark.parametrize(
    "source",
    [
        looker(shot="7 days"),
        looker(captured_date="last month"),
        looker(label="cat", created_month="3 months ago for 2 months"),
        looker(shot="after 2 weeks ago"),
        looker(shot="2024-01-01, today"),
        {"looker": {"model": "photos", "view": "images", "filter_expression": "${images.shot} > add_days(-7, now())"}},
    ],
    ids=str,
)
def test_an_owner_decides_whether_images_may_leave_with_each_refresh(source: dict[str, Any]) -> None:
    [finding] = find(selected(memory_registries.sound(), source))
    assert (finding.verdict, finding.path) == (Verdict.NEEDS_OWNER, MANIFEST)
    assert "relative to the time of the query: with each refresh images leave the dataset" in finding.message
    assert finding.line is not None


@pytest.mark.parametrize(
    "source",
    [
        looker(shot="after 2025-01-01"),
        looker(label="today"),
        looker(shot="2024"),
        looker(),
        {"export": {"description": "7 days"}},
    ],
    ids=str,
)
def test_fixed_dates_and_texts_are_left_alone(source: dict[str, Any]) -> None:
    assert find(selected(memory_registries.sound(), source)) == []


def test_a_filter_that_only_gains_images_is_a_note() -> None:
    [finding] = find(selected(memory_registries.sound(), looker(shot="before 2 weeks ago")))
    assert finding.verdict is Verdict.OK
    assert "images enter the dataset" in finding.message


def test_a_look_s_filters_are_read_where_it_was_selected() -> None:
    query = {"model": "photos", "view": "images", "filters": {"images.shot": "7 days", "images.label": "today"}}
    [finding] = find(selected(memory_registries.sound(), {"look": 42}, query))
    assert finding.verdict is Verdict.NEEDS_OWNER
    assert 'the filter "7 days" of images.shot' in finding.message
    assert find(selected(memory_registries.sound(), {"look": 42}, {"filters": ["7 days"]})) == []


@pytest.mark.parametrize(
    ("source", "query"),
    [(looker(shot="7 days"), None), ({"look": 42}, {"filters": {"images.shot": "7 days"}})],
    ids=["query", "look"],
)
def test_what_the_latest_release_has_too_was_approved(source: dict[str, Any], query: dict[str, Any] | None) -> None:
    registry = selected(memory_registries.sound(), source, query)
    registry.edit(MANIFEST, version="2.0.0")
    registry.release(f"{PETS}@v2.0.0")
    registry.edit(MANIFEST, version="2.0.1", title="Pets of this week")
    registry.derive()
    assert [finding.verdict for finding in find(registry)] == [Verdict.OK]
    changed = {"filters": {"images.shot": "3 days"}} if query else None
    again = selected(registry, source if query else looker(shot="3 days"), changed)
    assert [finding.verdict for finding in find(again)] == [Verdict.NEEDS_OWNER]


# --- deliveries -------------------------------------------------------------------------------------------------------


def delivered(place: str) -> dict[str, Any]:
    return {"export": {"description": "weekly", "from": place}}


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (looker(), "s3://lake/looker/", "rows are read from s3://lake/looker/"),
        (
            delivered("s3://lake/looker/"),
            "s3://other/looker/",
            "rows are read from s3://other/looker/, before from s3://lake/looker/",
        ),
        (delivered("s3://lake/looker/a.csv"), "https://files.acme.org/a.csv", "rows are read from https://files.acme"),
        (delivered("s3://lake/looker/a.csv"), "s3://lake/looker/a*.csv", "rows are read from s3://lake/looker/a*.csv"),
        (delivered("s3://lake/looker/a.csv"), "s3://lake/looker/a.csv", ""),
    ],
)
def test_an_owner_confirms_a_new_place_of_deliveries(before: dict[str, Any], now: str, message: str) -> None:
    registry = selected(memory_registries.sound(), before)
    registry.edit(MANIFEST, version="2.0.0")
    registry.release(f"{PETS}@v2.0.0")
    selected(registry, delivered(now))
    found = find(registry, "deliveries")
    assert [one.verdict for one in found] == [Verdict.NEEDS_OWNER] * bool(message)
    assert all(one.message.startswith(message) and one.line for one in found)


def test_a_dataset_without_deliveries_needs_no_owner_for_them() -> None:
    for source in (looker(), {"look": 7}, {"export": {"description": "by hand"}}):
        assert find(selected(memory_registries.sound(), source), "deliveries") == []
