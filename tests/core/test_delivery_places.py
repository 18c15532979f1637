import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import delivery_places
from registry.core.delivery_places import SCHEMES, Place
from registry.errors import Refused

SIGNS = st.characters(codec="utf-8", exclude_characters="/\\?#*", exclude_categories=["C", "Z"])
PARTS = st.text(SIGNS, min_size=1).filter(lambda part: part not in {".", ".."})


@given(st.sampled_from(SCHEMES), st.lists(PARTS, min_size=1, max_size=4), st.booleans())
def test_a_place_is_written_as_it_was_read(scheme: str, parts: list[str], is_folder: bool) -> None:
    text = f"{scheme}://bucket/{'/'.join(parts)}{'/' if is_folder and scheme != 'https' else ''}"
    place = delivery_places.parse(text)
    assert str(place) == text
    assert delivery_places.parse(str(place)) == place


@pytest.mark.parametrize(
    ("text", "key", "taken", "left"),
    [
        ("s3://b/looker/", "", ["looker/a.csv", "looker/b c.json"], ["a.csv", "looker/x/a.csv", "lookers/a.csv"]),
        ("s3://b/", "", ["a.csv"], ["looker/a.csv"]),
        ("gs://b/looker/pets_*.csv", "", ["looker/pets_1.csv", "looker/pets_.csv"], ["looker/pets.csv", "pets_1.csv"]),
        ("azure://b/[x]/pets[1]*.csv", "", ["[x]/pets[1]a.csv"], ["[x]/pets1.csv", "x/pets[1].csv"]),
    ],
)
def test_which_files_of_a_folder_are_meant(text: str, key: str, taken: list[str], left: list[str]) -> None:
    place = delivery_places.parse(text)
    assert place.is_folder
    assert [one for one in (*taken, *left) if place.takes(one)] == taken


@pytest.mark.parametrize(
    ("text", "root", "key"),
    [
        ("s3://b/looker/latest.csv", "s3://b", "looker/latest.csv"),
        ("S3://b/a%20b.csv", "s3://b", "a%20b.csv"),
        ("https://files.acme.org:8443/a%20b/Pets.csv", "https://files.acme.org:8443", "a b/Pets.csv"),
        ("https://[::1]:8443/Pets*.csv", "https://[::1]:8443", "Pets*.csv"),
    ],
)
def test_one_file(text: str, root: str, key: str) -> None:
    place = delivery_places.parse(text)
    assert (place.root, place.key, place.is_folder) == (root, key, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://b/a.csv", "ftp://b/a.csv: unsupported scheme, expected s3://, gs://, azure://, https://"),
        ("http://b/a.csv", "unsupported scheme"),
        ("az://b/a.csv", "unsupported scheme"),
        ("file:///etc/passwd", "unsupported scheme"),
        ("s3://b", "s3://b: the URL names no file"),
        ("https://b/", "names no file"),
        ("https://b/looker/", "names no file"),
        ("s3:///a.csv", "names no bucket"),
        ("s3://-b/a.csv", "names no bucket"),
        ("s3://b//a.csv", "the path has an empty or invalid part"),
        ("s3://b/../a.csv", "the path has an empty or invalid part"),
        ("s3://b/*/a.csv", "the path has an empty or invalid part"),
        ("s3://b/a\nb.csv", "the path has an empty or invalid part"),
        ("s3://b/a\u202evsc.csv", "the path has an empty or invalid part"),
        ("s3://b/a\\b.csv", "the path has an empty or invalid part"),
        ("https://h:99999/a.csv", "not a URL"),
        ("https://[::1/a.csv", "not a URL"),
    ],
)
def test_what_is_no_place_is_refused(text: str, told: str) -> None:
    with pytest.raises(Refused) as error:
        delivery_places.parse(text)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["s3://AKIA:hunter2@b/a.csv", "https://ana:hunter2@h/a.csv", "https://h/a.csv?X-Amz-Signature=hunter2",
     "https://h/a.csv#hunter2", "azure://b/a.csv?sig=hunter2", "https://h/a.csv?"],
)  # fmt: skip
def test_a_login_in_a_url_is_neither_taken_nor_shown(text: str) -> None:
    with pytest.raises(Refused) as error:
        delivery_places.parse(text)
    assert "must not be recorded" in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/a", True),
        ("weird+x.1://b", True),
        ("a.csv", False),
        ("C:\\a.csv", False),
        ("C://a.csv", False),
        ("./s3://b/a", False),
    ],
)
def test_a_url_is_told_from_a_path(text: str, expected: bool) -> None:
    assert delivery_places.is_url(text) is expected


def test_a_place_of_azure_is_a_container_s() -> None:
    assert delivery_places.parse("azure://c/f/a.csv") == Place("azure://c", "f/a.csv")
