"""Numbers, lists and tables in words."""

import pytest

from registry.core import wording


@pytest.mark.parametrize(("number", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images")])
def test_plural(number: int, text: str) -> None:
    assert wording.plural(number, "image") == text


def test_an_odd_plural() -> None:
    assert [wording.plural(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_size(number: int, text: str) -> None:
    assert wording.size(number) == text


def test_join() -> None:
    assert [wording.join(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert wording.join(["a", "b", "c"], "or") == "a, b or c"


def test_a_table_has_numbers_on_the_right_and_no_spaces_at_the_end() -> None:
    rows = [("cat", 1200, "x"), ("a long name", 7, "")]
    assert wording.table(("class", "images", ""), rows, "  ") == (
        "  class          images\n  cat             1,200  x\n  a long name         7"
    )


def test_text_that_looks_like_a_number_stays_text() -> None:
    assert wording.table(("version",), [("1.10",), ("007",)]) == "version\n1.10\n007"


def test_an_empty_table_is_its_headers() -> None:
    assert wording.table(("a", "b"), []) == "a    b"
