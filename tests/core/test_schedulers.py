"""The grammar of addresses of schedulers, which the schema of registry.yaml has, too."""

import json
import re
from pathlib import Path

import pytest

from registry.core import schedulers
from registry.core.schedulers import Scheduler
from registry.errors import Refused

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/registry.schema.json").read_text())
PATTERN = SCHEMA["properties"]["scheduler"]["pattern"]
VALID = ["tcp://10.0.0.5:8786", "tls://dask.example.com:8786", "tcp://[::1]:8786", "local:1", "local:64"]
INVALID = [
    "", "none", "10.0.0.5:8786", "tcp://host", "tcp://host:", "tcp://host:8786/x", "tcp://user@host:1", "http://host:80",
    "local:0",
    "local:100", "local:", "local:2 ", "tcp://a b:1", "tcp://host:8786\n", "inproc://x:1", "tcp://:1",
]  # fmt: skip


@pytest.mark.parametrize("text", VALID)
def test_addresses(text: str) -> None:
    assert str(schedulers.parse(text)) == text
    assert re.search(PATTERN, text)
    assert schedulers.parse(text).is_here == text.startswith("local:")


def test_a_cluster_here_has_workers() -> None:
    assert schedulers.parse("local:4") == Scheduler("local:4", 4)


@pytest.mark.parametrize("text", INVALID)
def test_other_texts(text: str) -> None:
    with pytest.raises(Refused, match="is no address of a scheduler"):
        schedulers.parse(text)
    assert not re.fullmatch(PATTERN, text)
