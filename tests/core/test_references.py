"""How a consumer names a version: one grammar, and its inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import references
from registry.core.names import VERSION, InvalidName, parse_id, parse_version
from registry.core.references import Reference

IDS = st.from_regex(r"(?:datasets|models)/[a-z][a-z0-9]{0,8}(?:[_-][a-z0-9]{1,4})?", fullmatch=True).map(parse_id)
VERSIONS = st.from_regex(VERSION, fullmatch=True).map(parse_version)
STAGES = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9/_-]{0,8}[A-Za-z0-9])?", fullmatch=True)


@given(IDS, st.none() | VERSIONS, st.just("") | STAGES)
def test_what_is_written_is_read_as_the_same(artifact: object, version: object, stage: str) -> None:
    reference = Reference(artifact, None if stage else version, stage)  # type: ignore[arg-type]
    assert references.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    ["", "datasets/pets", "datasets/pets@", "datasets/pets@1.0.0", "datasets/pets@v1.0", "datasets/pets@v01.0.0",
     "datasets/pets@main", "datasets/pets#", "datasets/pets#-x", "datasets/pets#prod#1", "datasets/pets@v1.0.0#prod",
     "pets@v1.0.0", "../x@latest", "datasets/pets@v1.0.0\n", "datasets/pets@LATEST", "datasets/Pets@latest"],
)  # fmt: skip
def test_what_names_no_version_is_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(InvalidName) as raised:
        references.parse(text)
    assert raised.value.fix
