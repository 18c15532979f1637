"""Split assignment: a pure function of the manifest's rule and a row, so that no row ever moves between splits.

The rule: the first 8 bytes of SHA-256 over `salt`, a zero byte, and the group (or the uuid where there is none), as a
fraction of 2^64, against the cumulative ratios. Adding or removing rows moves no other row; a group shares one text, so
it is never divided. A rule with a `given` column takes the split that a row has there, and assigns the others.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import accumulate

import polars as pl

from registry.core.values import SplitRule


def assign(rule: SplitRule, keys: Iterable[str]) -> Iterator[str]:
    """The split of each key (a group's value as text, or a uuid), in order."""
    names = tuple(rule.ratios)
    # Exact integers, so that the limits are the same on every machine; the last one is 2^64 whatever the ratios are.
    limits = [int(ratio * 2**64) for ratio in accumulate(rule.ratios.values())]
    start = sha256(rule.salt.encode() + b"\0")
    for key in keys:
        digest = start.copy()
        digest.update(key.encode())
        number = int.from_bytes(digest.digest()[:8], "big")
        yield names[bisect_right(limits, number)]


def split_column(rule: SplitRule, rows: pl.DataFrame) -> pl.Series:
    """The split of each row, as a column `split`. A row without a group is assigned by its uuid."""
    key = pl.col("uuid")
    if rule.group_by:
        # The prefix keeps a group's text from being equal to a uuid.
        group = pl.col(rule.group_by).cast(pl.String)
        key = pl.when(group.is_null()).then(key).otherwise(pl.concat_str(pl.lit("group:"), group))
    given = pl.col(rule.given) if rule.given else pl.lit(None, pl.String)
    asked = rows.select(key.alias("key"), given.alias("given"))
    open_ = asked.filter(pl.col("given").is_null())["key"]
    assigned = pl.Series("split", list(assign(rule, open_)), dtype=pl.String)
    found = asked["given"].clone().alias("split")
    if len(open_):
        found = found.scatter(found.is_null().arg_true(), assigned)
    return found.cast(pl.Enum(list(rule.ratios)))
