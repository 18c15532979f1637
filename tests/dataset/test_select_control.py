"""That a result is complete is judged by the very query, whatever decides about its rows in Looker."""

import json
import random
from typing import Any

import pytest

from support import selections
from support.looker_datasets import COLUMNS, DATASET, Select, of, served
from support.servers.looker import LookerServer
from support.servers.looker_explores import ALL, Join, Measure, User, View

PHOTOS = selections.rows(40)
IDS = [str(row["images.uuid"]) for row in PHOTOS]
LABELS = View("labels", [{"labels.image": name, "labels.label": "cat"} for name in IDS[:30]])
REVIEWS = View(
    "reviews",
    [
        {"reviews.id": f"{name}{number}", "reviews.image": name, "reviews.reviewer": reviewer}
        for name in IDS[:3]
        for number, reviewer in enumerate(("ana", "ben"))
    ],
    (Measure("reviews.count", "count"),),
)
OF_LABELS = Join(LABELS, "${labels.image} = ${images.uuid}", "inner", "one_to_one")
OF_REVIEWS = Join(REVIEWS, "${reviews.image} = ${images.uuid}", "left_outer", "one_to_many")
OF_LABEL = COLUMNS | {"label": {"from": "labels.label", "type": "string"}}


def crowded() -> LookerServer:
    """Rows, a join that leaves some out and one that repeats some, and measures."""
    width = [row | {"images.width": place * 20} for place, row in enumerate(PHOTOS)]
    fields = Measure("images.count", "count"), Measure("images.avg_width", "average", "${images.width}")
    return served(width, *fields, joins=[OF_LABELS, OF_REVIEWS])


# --- complete ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "columns", "count"),
    [
        (of(), COLUMNS, 40),
        (of(), OF_LABEL, 30),
        (of(filters={"labels.label": "cat"}), COLUMNS, 30),
        (of(filters={"reviews.count": ">1"}), COLUMNS, 3),
        (of(filters={"images.avg_width": ">500"}), COLUMNS, 14),
        (of(filters={"reviews.count": "0", "images.avg_width": ">=100"}), OF_LABEL, 25),
        (of(filter_expression='${reviews.reviewer} = "ana"'), COLUMNS, 3),
        (of(filter_expression="${reviews.count} > 1 OR ${images.avg_width} > 500"), COLUMNS, 17),
        (of(), COLUMNS | {"reviews": {"from": "reviews.count", "type": "integer"}}, 40),
        (of(sorts=["images.width desc"]), COLUMNS, 40),
    ],
)
def test_joins_and_filters_on_measures_decide_about_rows_and_control(
    select: Select, source: dict[str, object], columns: dict[str, object], count: int
) -> None:
    with crowded().serve() as server:
        assert select(server, source, columns) == 0
    assert len(select.rows()) == count


@pytest.mark.parametrize(
    ("explore", "count", "note"),
    [
        ({"always_filter": {"images.label": "cat"}}, None,
         "explore images filters images.label by 'cat' where the query does not"),
        (
            {"conditionally_filter": {"images.label": "cat"}},
            None,
            "explore images filters images.label by 'cat', unless the query filters it or other fields",
        ),
        ({"sql_always_having": "${images.count} = 1", "joins": [OF_REVIEWS]}, 40, None),
        ({"sql_always_where": "${images.label} = 'dog'"}, None, None),
        ({"joins": [OF_LABELS], "always_join": ["labels"]}, 30, "the inner join labels is part of the query"),
    ],
)  # fmt: skip
def test_so_do_filters_that_lookml_adds(
    select: Select,
    capsys: pytest.CaptureFixture[str],
    explore: dict[str, Any],
    count: int | None,
    note: str | None,
) -> None:
    with served(PHOTOS, Measure("images.count", "count"), **explore).serve() as server:
        assert select(server) == 0
    labels = ["dog" if "sql_always_where" in explore else "cat"] if count is None else ["cat", "dog"]
    assert len(select.rows()) == (count or sum(row["images.label"] in labels for row in PHOTOS))
    out = capsys.readouterr().out
    assert note is None or note in out


@pytest.mark.parametrize("lacking", ["create_custom_fields", "see_sql", "see_lookml", "see_queries"])
def test_no_permission_is_needed_that_the_query_does_not_need(select: Select, lacking: str) -> None:
    ana = User("7", "Ana", permissions=ALL - {lacking})
    with crowded().serve() as server:
        server.users = [ana]
        assert select(server, of(), OF_LABEL) == 0


# --- cut off ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", [of(), of(filters={"images.avg_width": ">500"}), of(filters={"labels.label": "cat"})]
)
@pytest.mark.parametrize("cap", [1, 2, 13])
def test_a_result_that_was_cut_off_is_refused(
    select: Select, capsys: pytest.CaptureFixture[str], source: dict[str, object], cap: int
) -> None:
    with crowded().serve() as server:
        server.cap = cap
        assert select(server, source) == 1
    err = capsys.readouterr().err
    assert f"Looker returned {cap} row{'s' * (cap > 1)}, but not the last by uuid; nothing was written" in err
    assert (
        "hint: select again; if it is cut off again, ask a Looker admin for the permission download_without_limit"
        in err
    )
    assert not (select.root / DATASET / "raw.dvc").exists()


def test_a_key_that_may_not_download_without_limit_gets_no_short_dataset(
    select: Select, capsys: pytest.CaptureFixture[str]
) -> None:
    ana = User("7", "Ana", permissions=ALL - {"download_without_limit"})
    with served(selections.rows(5_001)).serve() as server:
        server.users = [ana]
        assert select(server) == 1
        assert "Looker returned 5,000 rows, but not the last by uuid" in capsys.readouterr().err
        server.rows = selections.rows(5_000)
        assert select(server) == 0


def test_a_cut_between_two_rows_of_the_last_image_is_found(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    last = max(IDS)
    twice = View("reviews", [{"reviews.image": last, "reviews.reviewer": name} for name in ("ana", "ben")])
    join = Join(twice, "${reviews.image} = ${images.uuid}", "left_outer", "one_to_many")
    columns = COLUMNS | {"reviewer": {"from": "reviews.reviewer", "type": "string", "nullable": True}}
    with served(PHOTOS, joins=[join]).serve() as server:
        server.cap = 40
        assert select(server, of(), columns) == 1
    assert "uuid: 1 duplicate UUID, whose rows differ in reviewer (reviews.reviewer)" in capsys.readouterr().err


@pytest.mark.parametrize(("cap", "code"), [(None, 0), (20, 1)])
def test_rows_in_another_order_than_the_query_s_are_judged_as_a_set(
    select: Select, monkeypatch: pytest.MonkeyPatch, cap: int | None, code: int
) -> None:
    rows = selections.rows(500)
    with served(rows).serve() as server:
        result, draw = server.result, random.Random(7)

        def shuffled(*args: Any, **kwargs: Any) -> str:
            found = json.loads(result(*args, **kwargs))
            return json.dumps(draw.sample(found, len(found))[:cap])

        monkeypatch.setattr(server, "result", shuffled)
        assert select(server) == code


@pytest.mark.parametrize("changed", ["added", "removed"])
def test_images_that_change_while_they_are_read(select: Select, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    """A result is whole as of its time: only an image that came and is the last one by uuid is taken for a cut."""
    with served(PHOTOS).serve() as server:
        result = server.result

        def changing(*args: Any, **kwargs: Any) -> str:
            said = result(*args, **kwargs)
            rows = [*PHOTOS, {**PHOTOS[0], "images.uuid": "ffffffff-ffff-4fff-bfff-ffffffffffff"}]
            server.rows = rows if changed == "added" else PHOTOS[:30]
            return said

        monkeypatch.setattr(server, "result", changing)
        assert select(server) == (1 if changed == "added" else 0)
    assert changed == "added" or len(select.rows()) == 40


# --- repeated rows, no rows -------------------------------------------------------------------------------------------


def test_rows_that_a_join_repeats_name_the_field(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    columns = COLUMNS | {"reviewer": {"from": "reviews.reviewer", "type": "string", "nullable": True}}
    with crowded().serve() as server:
        assert select(server, of(), columns) == 1
    err = capsys.readouterr().err
    cause = "because the join of reviews repeats rows"
    assert f"uuid: 3 duplicate UUIDs, whose rows differ in reviewer (reviews.reviewer), {cause}" in err
    assert "the join reviews is one_to_many" in err


def test_no_rows_name_the_user_and_what_it_may_see(select: Select, capsys: pytest.CaptureFixture[str]) -> None:
    tenants = [row | {"images.tenant": "acme"} for row in PHOTOS]
    with served(tenants, access_filters={"images.tenant": "tenant"}).serve() as server:
        server.users = [User("8", "Ben Ode")]  # whose user attribute is not set
        assert select(server) == 1
    fault, asker, filters, hint = capsys.readouterr().err.splitlines()[-4:]
    assert fault == "error: the Looker result has no rows; nothing was written"
    assert asker == "  the query was run by Ben Ode (user 8)"
    assert filters == "  explore images shows each user only some rows, by images.tenant (user attribute tenant)"
    assert hint.startswith("  hint: open the query in Looker as that user; correct the filters, or ask a Looker admin")
