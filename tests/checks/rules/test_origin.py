"""Rules on where rows came from, and on images that a new result lacks."""

from typing import Any

import pytest
import yaml

from registry.checks.context import Scope
from registry.core import manifests, names
from registry.core.tree import DictTree
from registry.core.values import Finding, Verdict
from registry.dataset import provenance
from support import memory_registries
from support.memory_registries import Registry, images

PETS = "datasets/pets"
RAW, MANIFEST = f"{PETS}/raw.dvc", f"{PETS}/dataset.yaml"
LOOKER = {"looker": {"model": "photos", "view": "images"}}


def of(source: dict[str, Any], facts: dict[str, Any]) -> Registry:
    """A dataset of this source whose `meta.selection` has these facts, too."""
    registry = Registry()
    memory_registries.put_dataset(registry, source=source)
    pointer = yaml.safe_load(registry.files[RAW])
    manifest = manifests.load_dataset(DictTree(registry.files), names.parse_id(PETS))
    current = {"source_hash": provenance.source_hash(manifest)}
    pointer["meta"]["selection"] = {**pointer["meta"]["selection"], **current, **facts}
    registry.files[RAW] = memory_registries.dump(pointer)
    registry.derive()
    return registry


def queried(query: dict[str, Any]) -> dict[str, Any]:
    return {"query": query, "query_hash": provenance.query_hash(query), "origin": "looker"}


RUN = {"model": "photos", "view": "images", "fields": ["uuid", "label"], "query_timezone": "UTC"}


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": {"images.tenant": "acme"}},
        {"fields": ["uuid"]},
        {"view": "others"},
        {"query_timezone": "Asia/Tokyo"},
    ],
    ids=str,
)
def test_a_recorded_query_that_is_not_the_manifest_s_is_wrong(changes: dict[str, Any]) -> None:
    (finding,) = of(LOOKER, queried(RUN | changes)).check(Scope.STAGED)
    assert (finding.check, finding.verdict, finding.path) == ("selection", Verdict.WRONG, RAW)
    assert finding.message == "meta.selection.query is not the query of dataset.yaml"
    assert finding.fix == f"registry select {PETS}"


def notes(registry: Registry) -> list[str]:
    from registry.checks import runner

    outcomes = runner.run(registry.gather(Scope.STAGED))
    found = [one for outcome in outcomes for one in outcome.findings if one.check == "selection"]
    assert {one.verdict for one in found} <= {Verdict.OK}
    return [one.message for one in found]


FROM_FILE = "the rows are from the file export.csv; the manifest's query was not run"


@pytest.mark.parametrize(
    ("source", "facts", "expected"),
    [
        (LOOKER, {}, [FROM_FILE]),
        ({"look": 42}, {}, [FROM_FILE]),
        ({"export": {"description": "the table of the photo desk"}}, {}, []),
        (LOOKER, queried(RUN), []),
        (LOOKER, queried(RUN | {"sorts": ["label"]}), []),
        ({"look": 42}, queried({"model": "photos"}), []),
    ],
)
def test_rows_of_a_file_in_place_of_a_query_are_a_note(
    source: dict[str, Any], facts: dict[str, Any], expected: list[str]
) -> None:
    registry = of(source, facts)
    assert registry.check(Scope.STAGED) == []
    assert notes(registry) == expected


@pytest.mark.parametrize(
    "source", [LOOKER, {"look": 42}, {"export": {"description": "by hand"}}], ids=["looker", "look", "export"]
)
def test_a_file_that_was_read_for_another_source_or_other_columns_is_outdated(source: dict[str, Any]) -> None:
    for changes in (
        {"source": {"look": 7}},
        {"columns": {"uuid": {"type": "uuid"}, "label": {"type": "string", "from": "x"}}},
    ):
        registry = of(source, {})
        registry.edit(MANIFEST, **changes)
        registry.derive()
        assert [(one.check, one.verdict) for one in registry.check(Scope.STAGED)] == [("selection", Verdict.WRONG)]


# --- removed images ---------------------------------------------------------------------------------------------------


def removed(limit: float | None, kept: int) -> list[Finding]:
    """Findings on expectations, where `kept` of the 20 images of the release are left."""
    registry = memory_registries.sound()
    registry.release(f"{PETS}@v1.0.0")
    left = dict(sorted(images().items())[:kept])
    expectations = {} if limit is None else {"expectations": {"max_removed_share": limit}}
    memory_registries.put_dataset(registry, "pets", left, version="2.0.0", **expectations)
    registry.derive()
    return [one for one in registry.check() if one.check == "expectations"]


@pytest.mark.parametrize(("limit", "kept"), [(None, 5), (0.25, 15), (1, 0), (0, 20)])
def test_images_may_be_removed_up_to_the_share(limit: float | None, kept: int) -> None:
    assert removed(limit, kept) == []


@pytest.mark.parametrize(
    ("limit", "kept", "text"),
    [
        (0.2, 15, "5 of the 20 images of 1.0.0 are removed (25.0%), expected at most 0.2 (max_removed_share)"),
        (0, 19, "1 of the 20 images of 1.0.0 are removed (5.0%), expected at most 0 (max_removed_share)"),
    ],
)
def test_more_are_wrong(limit: float, kept: int, text: str) -> None:
    (finding,) = removed(limit, kept)
    assert (finding.verdict, finding.message, finding.path) == (Verdict.WRONG, text, MANIFEST)
    assert finding.line is not None
