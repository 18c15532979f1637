"""Files with metrics that a training writes: hostile ones are refused in each of DVC's three forms."""

import pytest

from registry.core import declared_results
from registry.errors import InvalidDocument

NUMBER = "9" * 5_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", f"a = {NUMBER}"),
        ("a.toml", "a = " + "[" * 100_000),
        ("a.toml", "a" + ".a" * 5_000 + "=1"),
        ("a.json", f'{{"a": {NUMBER}}}'),
        ("a.json", '{"a":' * 100_000),
        ("a.json", "[]"),
        ("a.yaml", f"a: {NUMBER}"),
        ("a.yaml", "{a: " * 100_000),
        ("a.yaml", "0: 1"),
    ],
)
def test_hostile_metrics_are_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidDocument, match=name):
        declared_results.read_metrics(text.encode(), name)
