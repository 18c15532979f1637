import json

import polars as pl
import pytest

from registry.core import names
from registry.core.values import Bump, Diff, RequiredBump, Version
from registry.dataset import diff_output
from registry.dataset.changes import (
    Concentration,
    DatasetChange,
    DuplicateItem,
    DuplicatePair,
    Example,
    QueryChange,
    Shift,
    Symmetry,
    Thumbnail,
)
from support.memory_registries import uuid

PETS = names.parse_id("datasets/pets")
COUNTS = {"train": {"cat": 1200, "dog": 800}, "test": {"cat": 100, "dog": 100}}
ROWS = pl.DataFrame({"uuid": [uuid(1)], "label_old": ["cat"], "label_new": [None]}, strict=False)
CHANGE = DatasetChange(
    PETS,
    "Pets at home",
    Version(1, 0, 0),
    Version(1, 1, 0),
    QueryChange.QUERY,
    ("look 7\ncolumn uuid: uuid (uuid)", "look 8\ncolumn uuid: uuid (uuid)"),
    Diff(COUNTS, {"train": {"cat": 1200, "dog": 797}, "test": {"cat": 101, "dog": 100}}, {"test": {"cat": 1}},
         {"train": {"dog": 3}}, {}, {}, {}, ROWS, tables=True),
    RequiredBump(Bump.MAJOR, "3 images were removed", "A removal is major"),
    Bump.MINOR,
    1_234_000,
    999,
    pl.DataFrame([("label", "cat", "dog", 1)], ["what", "old", "new", "items"], orient="row"),
    (Concentration("removed", "camera", "XT-3", 3, 1.0, 5.1),),
    (Shift("camera", 0.25, 0.001, pl.DataFrame({"value": ["XT-3"], "before": [0.5], "after": [float("nan")]})),),
    ("weight",),
    (DuplicatePair(DuplicateItem(uuid(1), "train", "cat", "a", is_new=False),
                   DuplicateItem(uuid(2), "test", "dog", "a", is_new=False)),
     DuplicatePair(DuplicateItem(uuid(3), "train", "cat", "b", is_new=False),
                   DuplicateItem(uuid(4), "train", "cat", "c", is_new=True), 1, Symmetry.MIRRORED)),
    (),
    (Example("Removed", 3, uuid(1), "train/dog", Thumbnail("removed-1", "image of train/dog", 9, 9, b"RIFF")),),
    ("title",),
    "whether it rains",
)  # fmt: skip
TEXT = f"""\
datasets/pets 1.0.0 → 1.1.0: Pets at home
  unknown: whether it rains
  query changed
    - look 7
    + look 8

  images      train    test    all
  before      2,000     200  2,200
  added           0       1      1
  removed         3       0      3
  after       1,997     201  2,198

  class      before    added    removed    after
  cat         1,300        1          0    1,301
  dog           900        0          3      897

  label cat → dog: 1 image
  100% of the removed images have camera=XT-3, 5.1 times its share of all images
  distribution shift in camera: 25.0% (total variation distance)
  test/dog/{uuid(2)} is identical to train/cat/{uuid(1)} (in another split)
  train/cat/{uuid(4)} is a near-duplicate of train/cat/{uuid(3)} (new, mirrored, distance 1 bit)
  size 1.2 MB → 999 bytes
  metadata-only changes: title
  3 images were removed. A removal is major; the version bump is minor: set version: 2.0.0
"""


def test_the_whole_text() -> None:
    assert diff_output.as_text([CHANGE]) == TEXT


def test_several_datasets_and_none() -> None:
    assert diff_output.as_text([CHANGE, CHANGE]) == f"{TEXT}\n{TEXT}"
    assert diff_output.as_text([]) == "no dataset differs\n"
    assert diff_output.as_markdown([]) == "No dataset differs.\n"


@pytest.mark.parametrize(
    ("old", "new", "head"),
    [
        (None, Version(1, 0, 0), "datasets/pets 1.0.0 (new): Pets"),
        (Version(1, 0, 0), None, "datasets/pets 1.0.0 (removed): Pets"),
        (Version(1, 0, 0), Version(1, 0, 0), "datasets/pets 1.0.0: Pets"),
    ],
)
def test_the_head_of_a_first_a_removed_and_an_unmoved_version(
    old: Version | None, new: Version | None, head: str
) -> None:
    assert diff_output.as_text([DatasetChange(PETS, "Pets", old, new)]).splitlines()[0] == head


def test_an_invalid_manifest_has_no_query_change() -> None:
    broken = DatasetChange(PETS, "Pets", Version(1, 0, 0), Version(1, 0, 0), unknown="dataset.yaml:3: a tab")
    assert diff_output.as_text([broken]) == "datasets/pets 1.0.0: Pets\n  unknown: dataset.yaml:3: a tab\n"


def test_nothing_from_a_manifest_is_markup_or_moves_a_cursor() -> None:
    hostile = DatasetChange(PETS, "~~~~ @acme <b>\x1b[31m\n~~~~", None, Version(1, 0, 0), unknown="\n~~~~\n\x1b")
    assert "\x1b" not in diff_output.as_text([hostile])
    lines = diff_output.as_markdown([hostile]).splitlines()
    assert [place for place, line in enumerate(lines) if line.startswith("~~~~")] == [0, len(lines) - 1]


def test_a_hundred_classes_are_not_all_shown() -> None:
    many = {f"c{number:02}": number + 1 for number in range(100)}
    diff = Diff({"train": many}, {}, {}, {"train": many}, {}, {}, {}, ROWS, tables=False)
    text = diff_output.as_text([DatasetChange(PETS, "Pets", Version(1, 0, 0), None, diff=diff)])
    assert "and 88 more classes" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  c")][1:] == [
        f"c{number}" for number in range(88, 100)
    ]


def test_the_json_has_everything_but_pictures_and_no_number_that_is_none() -> None:
    text = diff_output.as_json([CHANGE])
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (found,) = data["datasets"]
    assert (data["schema"], found["id"], found["old"], found["query_change"]) == (1, "datasets/pets", "1.0.0", "query")
    assert found["required_bump"] == {"bump": "major", "what": "3 images were removed", "why": "A removal is major"}
    assert found["shifts"][0]["table"] == [{"value": "XT-3", "before": 0.5, "after": None}]
    assert found["examples"][0]["picture"]["alt"] == "image of train/dog"
    assert "image" not in found["examples"][0]["picture"]
    assert found["diff"]["rows"][0]["uuid"] == uuid(1)
