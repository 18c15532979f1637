import pytest
from gto.constants import tag_re
from hypothesis import given
from hypothesis import strategies as st

from registry.core import names
from registry.core.names import InvalidName
from registry.core.values import ArtifactId, Kind, Tag, Version

NAMES = st.from_regex(names.NAME, fullmatch=True).filter(lambda name: len(name) <= names.MAX_NAME)
ids = st.builds(ArtifactId, st.sampled_from(Kind), NAMES)
numbers = st.integers(0, 999_999_999)
versions = st.builds(Version, numbers, numbers, numbers)


@given(ids)
def test_an_id_is_read_as_it_is_written(artifact: ArtifactId) -> None:
    assert names.parse_id(str(artifact)) == artifact


@given(versions)
def test_a_version_is_read_as_it_is_written(version: Version) -> None:
    assert names.parse_version(str(version)) == version


@given(st.builds(Tag, ids, versions))
def test_a_tag_is_read_as_it_is_written(tag: Tag) -> None:
    assert names.parse_tag(str(tag)) == tag
    assert names.find_tags([str(tag)]) == (tag,)


@given(st.text())
def test_whatever_is_read_as_a_tag_is_written_so(text: str) -> None:
    try:
        tag = names.parse_tag(text)
    except InvalidName:
        return
    assert str(tag) == text


@given(st.builds(Tag, ids, versions))
def test_gto_reads_the_same_in_a_tag(tag: Tag) -> None:
    match = tag_re.match(str(tag))
    assert (match["artifact"], match["version"]) == (str(tag.artifact), f"v{tag.version}")


@pytest.mark.parametrize(
    "text",
    [
        "", "pets", "datasets", "datasets/", "/datasets/pets", "datasets//pets", "datasets/pets/x", "dataset/pets",
        "other/pets",
        "datasets/../../etc/passwd", "datasets/..", "datasets/.", "datasets/.git", "datasets/pets.v1", "datasets/Pets",
        "datasets/-pets", "datasets/pets-", "datasets/pe__ts", "datasets/1pets", "datasets/pets\n", "\ndatasets/pets",
        "datasets/pets\0", "datasets/pe ts", "datasets/\u0440ets", "datasets/p\u200bets", "datasets/pe\u0301ts",
        "datasets/p\uff45ts",
        "datasets/pets//", "datasets\\pets", "datasets/" + "p" * 65, "datasets/pets@v1.0.0", "datasets/\u0661",
    ],
)  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(InvalidName):
        names.parse_id(text)


def test_an_id_may_end_as_a_shell_completes_it() -> None:
    assert str(names.parse_id("datasets/pets/")) == "datasets/pets"


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-rc1", "1.0.0+x", "1.0.0\n", " 1.0.0", "1.0.\u0660",
        "1.0.1234567890",
    ],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(InvalidName):
        names.parse_version(text)


@pytest.mark.parametrize(
    "text", ["datasets/pets", "datasets/pets@1.0.0", "datasets/pets@v1.0", "datasets/pets#prod#1", "@v1.0.0"]
)
def test_what_is_no_tag(text: str) -> None:
    with pytest.raises(InvalidName):
        names.parse_tag(text)


def test_tags_of_others_are_passed_over_and_the_rest_is_sorted_by_version() -> None:
    listed = [
        "datasets/pets@v10.0.0",
        "v1.0",
        "models/pets@v1.0.0",
        "datasets/pets@v9.0.0",
        "datasets/pets/@v1.0.0",
        "datasets/pets#prod#1",
    ]
    assert [str(tag) for tag in names.find_tags(listed)] == [
        "datasets/pets@v9.0.0", "datasets/pets@v10.0.0", "models/pets@v1.0.0",
    ]  # fmt: skip


def test_a_name_that_is_none_says_what_one_is() -> None:
    with pytest.raises(InvalidName, match="lower-case letters and digits, words joined by _ or -, at most 64"):
        names.parse_name("Pets!")
