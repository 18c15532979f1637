"""Which header of a download is which field: by name, by label, by what the manifest lists; never by guessing."""

import pytest

from registry.core.values import Column
from registry.dataset import export_headers

UUID = Column("uuid", "images.uuid", "uuid", nullable=False)
LABEL = Column("label", "images.label", "string", nullable=False)
TAKEN = Column("taken_at", "images.captured_time", "datetime", nullable=True)
BLURRY = Column("blurry", "images.is_blurry", "boolean", nullable=True)
REVIEWER = Column("reviewer", "reviews.reviewer_name", "string", nullable=True)
COLUMNS = (UUID, LABEL, TAKEN, BLURRY)


def names(*headers: str, columns: tuple[Column, ...] = COLUMNS) -> dict[str, str]:
    found = export_headers.match(headers, columns)
    assert found.problems == ()
    return dict(found.headers)


def problems(*headers: str, columns: tuple[Column, ...] = COLUMNS) -> str:
    return "\n".join(export_headers.match(headers, columns).problems)


@pytest.mark.parametrize(
    "headers",
    [
        ("images.uuid", "images.label", "images.captured_time", "images.is_blurry"),
        ("Images UUID", "Images Label", "Images Captured Time", "Images Is Blurry (Yes / No)"),
        ("Images Uuid", "IMAGES LABEL", "images_captured_time", "Images Is Blurry (Yes/No)"),
        ("Photos UUID", "Photos Label", "Photos Captured Time", "Photos Is Blurry (Yes / No)"),
        ("Fotos &amp; Bilder UUID", "Fotos & Bilder Label", "Fotos & Bilder Captured Time", "Fotos & Bilder Is Blurry"),
        ("UUID", "Label", "Captured Time", "Is Blurry (Ja / Nein)"),
        ("uuid", "label", "taken_at", "blurry"),
        ("Images\u00a0UUID", "Images Label", "Images  Captured Time", "images.is_blurry"),
    ],
    ids=["json", "view", "case", "view label", "escaped", "field label", "own names", "spaces"],
)
def test_headers_as_looker_writes_them(headers: tuple[str, ...]) -> None:
    assert tuple(names("", "Rank", *headers).values()) == headers


def test_a_label_of_a_field_is_listed_in_the_manifest() -> None:
    by_file = Column("uuid", "images.uuid", "uuid", nullable=False, headers=("Photo ID", "Bild-Nr."))
    for header in ("images.uuid", "Photo ID", "Bild-Nr.", "photo id", "bild nr"):
        assert names(header, "label", columns=(by_file, LABEL))["uuid"] == header


def test_a_listed_header_goes_before_one_that_resembles_the_field() -> None:
    by_file = Column("uuid", "images.uuid", "uuid", nullable=False, headers=("Photo ID",))
    assert names("Images UUID", "uuid", "Photo ID", "label", columns=(by_file, LABEL))["uuid"] == "Photo ID"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (("Images UUID", "uuid", "label"), "uuid matches several columns: 'Images UUID', 'uuid'"),
        (("images.uuid", "images.uuid", "label"), "uuid matches several columns: 'images.uuid', 'images.uuid'"),
        (("Images UUID", "IMAGES UUID", "label"), "uuid matches several columns: 'Images UUID', 'IMAGES UUID'"),
        (
            ("Photos UUID", "Photos Label", "Reviews UUID", "Reviews Label"),
            "'Reviews UUID'; write the right one as in from: [images.uuid, \"Photos UUID\"]",
        ),
    ],
)
def test_two_headers_that_match_one_column_are_refused_by_name(headers: tuple[str, ...], told: str) -> None:
    assert told in problems(*headers, columns=(UUID, LABEL))


def test_two_listed_headers_in_one_file_are_refused_by_name() -> None:
    by_file = Column("uuid", "images.uuid", "uuid", nullable=False, headers=("Photo ID",))
    assert "uuid matches several columns: 'Photo ID', 'images.uuid'" in problems(
        "Photo ID", "images.uuid", "label", columns=(by_file, LABEL)
    )


def test_one_header_is_not_taken_for_two_fields() -> None:
    other = Column("other", "cameras.label", "string", nullable=True, headers=("Label",))
    mine = Column("label", "images.label", "string", nullable=False, headers=("Label",))
    assert problems("uuid", "Label", columns=(UUID, mine, other)) == (
        "'Label' matches several columns of the manifest: label (images.label) and other (cameras.label)"
    )


def test_one_field_may_be_two_columns() -> None:
    again = Column("family", "images.label", "string", nullable=True)
    assert names("Images UUID", "Images Label", columns=(UUID, LABEL, again))["family"] == "Images Label"


@pytest.mark.parametrize("header", ["Photo Reviews Reviewer Name", "Reviewer Name", "Camera Reviewer Name"])
def test_a_view_s_label_that_one_column_alone_has_is_suggested_and_not_believed(header: str) -> None:
    """`Camera Label` must not become the label of the images because nothing else ends in `Label`."""
    told = problems("Images UUID", "Images Label", header, columns=(UUID, LABEL, REVIEWER))
    assert told.splitlines()[1].strip() == (
        f'reviews.reviewer_name or reviewer; if {header!r} is it, write from: [reviews.reviewer_name, "{header}"]'
    )


def test_a_field_with_a_label_of_its_own_does_not_hide_the_others() -> None:
    headers = ("Photos Photo ID", "Photos Label", "Photos Captured Time", "Photos Is Blurry")
    assert problems(*headers).splitlines()[1:] == ["      images.uuid or uuid"]


def test_a_view_whose_name_is_in_the_file_has_no_other_label() -> None:
    told = problems("Images UUID", "Camera Label", "Camera Captured Time", "Camera Is Blurry")
    assert told.startswith("3 columns are missing")


def test_a_header_with_quotes_is_suggested_as_yaml_reads_it() -> None:
    told = problems("Images UUID", 'The "best" reviewer name', columns=(UUID, REVIEWER))
    assert r'from: [reviews.reviewer_name, "The \"best\" reviewer name"]' in told


def test_yes_no_belongs_to_a_yesno_only() -> None:
    answer = Column("answer", "images.answer", "string", nullable=True)
    assert "1 column is missing" in problems("Images Answer (Yes / No)", "uuid", columns=(UUID, answer))
