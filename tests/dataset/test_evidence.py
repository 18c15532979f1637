"""That the same query was run is only said where the facts of both selections tell it."""

from dataclasses import replace

import pytest

from registry.core.values import Asker, Lookml, Selection
from registry.dataset import evidence
from registry.dataset.changes import DatasetChange, QueryChange
from support.report_parts import PETS, V100, digest, origin

OLD = origin(40, 2)
FILE = Selection(40, OLD.rows_hash, OLD.source_hash, "other.csv", OLD.selected_at, file_hash="5" * 64)


def changed(**changes: object) -> Selection:
    return origin(40, 9, **changes)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (OLD, changed(), QueryChange.RESULT),
        (OLD, changed(sql_hash=digest("other")), QueryChange.SQL),
        (OLD, changed(sql_hash=None), QueryChange.UNKNOWN),
        (replace(OLD, sql_hash=None), changed(), QueryChange.UNKNOWN),
        (replace(OLD, sql_hash=None), changed(sql_hash=None), QueryChange.UNKNOWN),
        (OLD, changed(query_hash=digest("the Look was edited")), QueryChange.QUERY),
        (OLD, changed(source_hash=digest("other filters")), QueryChange.QUERY),
        (OLD, replace(FILE, source_hash=digest("other columns")), QueryChange.QUERY),
        (OLD, FILE, QueryChange.FILE),
        (FILE, FILE, QueryChange.FILE),
        (FILE, changed(), QueryChange.UNKNOWN),
    ],
)
def test_how_the_query_of_two_selections_changed(old: Selection, new: Selection, expected: QueryChange) -> None:
    assert evidence.compare(old, new) is expected


LOOKML = Lookml("pets", "a0c3" * 10)
SQL = "query unchanged in the manifest, but Looker's SQL changed"
UNKNOWN = "query unchanged in the manifest; whether Looker's SQL is the same is not known"
INSTEAD = "instead of registry (service account 12)"


@pytest.mark.parametrize(
    ("new", "text"),
    [
        (changed(), "query and SQL unchanged"),
        (changed(asked_by=Asker("7", "Ana")), f"query and SQL unchanged (asked by Ana (user 7) {INSTEAD})"),
        (changed(sql_hash="x", lookml=LOOKML), f"{SQL} (LookML of pets changed from 5f1d5f1d5f to a0c3a0c3a0)"),
        (changed(sql_hash="x", asked_by=Asker("7")), f"{SQL} (asked by user 7 {INSTEAD})"),
        (changed(sql_hash="x", workspace="dev"), f"{SQL} (workspace dev instead of production)"),
        (changed(sql_hash="x"), f"{SQL} ({evidence.SAME})"),
        (changed(sql_hash="x", lookml=None), f"{SQL} (whether the user or LookML changed is not known)"),
        (changed(sql_hash=None, looker_release="26.24.1"), f"{UNKNOWN} (Looker 26.24.1 instead of 26.22.7)"),
        (FILE, "rows from a file; no query was run"),
        (changed(source_hash="y", lookml=LOOKML), "query changed"),
    ],
)
def test_the_change_in_words(new: Selection, text: str) -> None:
    assert evidence.describe(OLD, new) == text


def test_a_query_after_a_file_has_its_first_result() -> None:
    assert evidence.describe(FILE, OLD) == "first result of the query, after rows from the file other.csv"


def test_a_renamed_user_is_the_same_user() -> None:
    assert list(evidence.differences(OLD, changed(asked_by=Asker("12", "Registry bot", service_account=True)))) == []


@pytest.mark.parametrize(
    ("new", "text"),
    [(OLD, "first selection"), (FILE, "first selection, from a file; no query was run"), (None, "first selection")],
)
def test_a_first_selection_says_where_it_is_from(new: Selection | None, text: str) -> None:
    change = DatasetChange(PETS, "Pets", None, V100, QueryChange.FIRST, selections=(None, new))
    assert evidence.describe_change(change) == text
