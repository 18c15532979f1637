"""Promise 5: no item is in two splits, and none ever moves between splits, unless the split rule changed."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core.values import SplitRule
from registry.dataset.splits import assign, split_column

RATIOS = {"train": Fraction(8, 10), "val": Fraction(1, 10), "test": Fraction(1, 10)}


def rule(ratios: dict[str, Fraction] = RATIOS, salt: str = "pets", group_by: str | None = None) -> SplitRule:
    return SplitRule(salt, ratios, group_by)


@st.composite
def rules(draw: st.DrawFn, group_by: str | None = None) -> SplitRule:
    cuts = sorted(draw(st.tuples(st.integers(0, 1000), st.integers(0, 1000))))
    shares = (cuts[0], cuts[1] - cuts[0], 1000 - cuts[1])
    ratios = {name: Fraction(share, 1000) for name, share in zip(RATIOS, shares, strict=True)}
    return SplitRule(draw(st.text(min_size=1, max_size=10)), ratios, group_by)


uuids = st.uuids().map(str)
cameras = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "ä", ""]))
grouped_rows = st.dictionaries(uuids, cameras, min_size=1, max_size=40)


def frame(rows: dict[str, str | None]) -> pl.DataFrame:
    return pl.DataFrame({"uuid": list(rows), "camera": list(rows.values())}, schema={"uuid": str, "camera": str})


def placed(one: SplitRule, rows: dict[str, str | None]) -> dict[str, str]:
    return dict(zip(rows, split_column(one, frame(rows)), strict=True))


# By coreutils, not by Python: printf 'pets\0%s' KEY | sha256sum; the first 16 hex digits are the place.
PINNED = [
    ("0a8c7f6e-0000-4000-8000-000000000001", 0x99CED5FDF478CCF3, "train"),
    ("0a8c7f6e-0000-4000-8000-000000000002", 0xE633CCD0FC72E04D, "val"),  # 0.8992…
    ("0a8c7f6e-0000-4000-8000-000000000009", 0xEFD16C83FF786AEB, "test"),
    ("0a8c7f6e-0000-4000-8000-00000000000a", 0xD476CF5547F6BBE8, "val"),
    ("group:camera-7", 0x9F346F75D13EF626, "train"),
    ("group:ä", 0x46069C2E600C6F97, "train"),
]


@pytest.mark.parametrize(("key", "place", "split"), PINNED)
def test_a_row_is_where_sha256_says_on_any_machine(key: str, place: int, split: str) -> None:
    assert list(assign(rule(), [key])) == [split]


@pytest.mark.parametrize(("key", "place", "_"), PINNED)
def test_the_line_between_two_splits_belongs_to_the_later_one(key: str, place: int, _: str) -> None:
    def split(edge: int) -> str:
        first = Fraction(edge, 2**64)
        return next(assign(rule({"train": first, "val": 1 - first, "test": Fraction(0)}), [key]))

    assert (split(place), split(place + 1)) == ("val", "train")


@given(uuids)
def test_a_ratio_of_zero_gets_no_row_and_a_ratio_of_one_gets_all(uuid: str) -> None:
    for name in RATIOS:
        ratios = {other: Fraction(other == name) for other in RATIOS}
        assert list(assign(rule(ratios), [uuid])) == [name]


def test_ratios_that_add_up_to_one_only_exactly_leave_no_row_out() -> None:
    thirds = rule(dict.fromkeys(RATIOS, Fraction(1, 3)))
    assert set(assign(thirds, map(str, range(1000)))) == set(RATIOS)


@given(rules("camera"), grouped_rows)
def test_every_item_is_in_one_split(one: SplitRule, rows: dict[str, str | None]) -> None:
    splits = split_column(one, frame(rows))
    assert splits.name == "split"
    assert len(splits) == len(rows)
    assert set(splits) <= {name for name, ratio in one.ratios.items() if ratio}


@given(rules("camera"), grouped_rows, grouped_rows, st.randoms())
def test_no_item_moves_when_others_come_and_go(
    one: SplitRule, before: dict[str, str | None], added: dict[str, str | None], numbers: object
) -> None:
    kept = {uuid: camera for uuid, camera in before.items() if numbers.random() < 0.7}
    after = list({**added, **kept}.items())
    numbers.shuffle(after)
    old, new = placed(one, before), placed(one, dict(after))
    assert {uuid: old[uuid] for uuid in kept} == {uuid: new[uuid] for uuid in kept}


@given(rules("camera"), grouped_rows)
def test_no_group_is_divided(one: SplitRule, rows: dict[str, str | None]) -> None:
    splits = placed(one, rows)
    for camera in set(rows.values()) - {None}:
        assert len({splits[uuid] for uuid, owner in rows.items() if owner == camera}) == 1


@given(rules(), uuids)
def test_a_row_without_a_group_is_where_it_would_be_without_grouping(one: SplitRule, uuid: str) -> None:
    grouped = SplitRule(one.salt, one.ratios, "camera")
    assert placed(grouped, {uuid: None}) == placed(one, {uuid: "a"})


@given(uuids)
def test_a_group_called_like_a_uuid_is_not_that_uuids(uuid: str) -> None:
    one = rule(salt="pets", group_by="camera")
    expected = next(assign(one, [f"group:{uuid}"]))
    assert split_column(one, frame({"x": uuid})).to_list() == [expected]


@pytest.mark.parametrize("group", [7, True, 0.5])
def test_groups_of_any_type_stay_whole(group: object) -> None:
    rows = pl.DataFrame({"uuid": [str(number) for number in range(50)], "camera": [group] * 50})
    assert split_column(rule(group_by="camera"), rows).n_unique() == 1


@settings(max_examples=5)
@given(st.text(min_size=1, max_size=20))
def test_many_items_keep_the_ratios(salt: str) -> None:
    counts = Counter(assign(rule(salt=salt), (f"{number:08x}-0000-4000-8000-000000000000" for number in range(20_000))))
    for name, ratio in RATIOS.items():
        # Six standard deviations of a binomial count: never by chance.
        assert abs(counts[name] - 20_000 * ratio) < 6 * (20_000 * ratio * (1 - ratio)) ** 0.5


def test_another_salt_is_another_split() -> None:
    keys = [str(number) for number in range(1000)]
    assert list(assign(rule(salt="pets"), keys)) != list(assign(rule(salt="pest"), keys))


def test_the_column_knows_every_split_in_order() -> None:
    assert split_column(rule(), frame({"x": None})).dtype == pl.Enum(["train", "val", "test"])


# --- given splits -----------------------------------------------------------------------------------------------------

given_rows = st.dictionaries(uuids, st.sampled_from([None, *RATIOS]), min_size=1, max_size=40)


def placed_as_given(one: SplitRule, rows: dict[str, str | None]) -> dict[str, str]:
    frame = pl.DataFrame({"uuid": [*rows], "own": [*rows.values()]}, schema={"uuid": pl.String, "own": pl.String})
    return dict(zip(rows, split_column(one, frame), strict=True))


@given(rules(), given_rows)
def test_a_row_keeps_the_split_that_it_has_and_the_others_are_assigned_as_without(
    one: SplitRule, rows: dict[str, str | None]
) -> None:
    found = placed_as_given(replace(one, given="own"), rows)
    assigned = placed(one, dict.fromkeys(rows))
    assert found == {uuid: split or assigned[uuid] for uuid, split in rows.items()}


@given(rules(), given_rows, given_rows)
def test_no_item_moves_when_rows_with_and_without_a_split_come(
    one: SplitRule, before: dict[str, str | None], added: dict[str, str | None]
) -> None:
    rule = replace(one, given="own")
    old, new = placed_as_given(rule, before), placed_as_given(rule, {**added, **before})
    assert {uuid: new[uuid] for uuid in before} == old
