"""`registry exclude`, on its own and as the report prints it beside near-duplicate pairs."""

import json
import shlex
from io import BytesIO

import pytest
import yaml
from PIL import Image

from dataset.test_perceptual_hash import encode, photo
from support.dataset_builds import PETS, ROWS, Desk, row, uuid
from support.repositories import commit, git_in

MANIFEST = f"{PETS}/dataset.yaml"


def excluded(desk: Desk) -> dict[str, str]:
    return yaml.safe_load((desk.root / MANIFEST).read_text()).get("exclude", {})


def test_the_command_of_the_report_removes_mirrored_copies_and_nothing_else(desk: Desk) -> None:
    originals = [photo(number, (320, 240)) for number in range(3)]
    for number, image in enumerate(originals):
        desk.put(number, encode(image, quality=90))
    assert desk.build().code == 0
    desk.run("check", "--fix")
    commit(desk.root, "pets")
    git_in(desk.root, "switch", "--quiet", "--create", "more")
    turns = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180)
    for number, (image, turn) in enumerate(zip(originals, turns, strict=True), 100):
        desk.put(number, encode(image.transpose(turn), quality=60))
    desk.select([*ROWS, *map(row, range(100, 104))])
    desk.put(103)
    desk.built()
    commit(desk.root, "more pets")

    assert desk.run("report").code == 0
    found = json.loads((desk.root / ".registry/report/report.json").read_text())
    (change,) = found["datasets"]
    assert {(pair["first"]["uuid"], pair["second"]["uuid"], pair["symmetry"]) for pair in change["duplicates"]} == {
        (uuid(0), uuid(100), "mirrored"), (uuid(1), uuid(101), "rotated by 90°"),
        (uuid(2), uuid(102), "rotated by 180°"),
    }  # fmt: skip
    assert {(pair["first"]["is_new"], pair["second"]["is_new"]) for pair in change["duplicates"]} == {(False, True)}
    markdown = (desk.root / ".registry/report/report.md").read_text()
    (command,) = (line for line in markdown.splitlines() if line.startswith("registry exclude "))
    pictures = sorted((desk.root / ".registry/report/pictures").glob("datasets-pets-pair-*"))
    widths = [Image.open(BytesIO(picture.read_bytes())).width for picture in pictures]
    assert widths == [652] * 3  # two of 320 pixels, side by side

    done = desk.run(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    assert excluded(desk) == {uuid(number): "near-duplicate" for number in (100, 101, 102)}
    assert done.out.splitlines()[-1] == f"hint: registry build {PETS}"
    desk.built()
    images = {path.rpartition("/")[2] for path in desk.files() if path.endswith(".jpg")}
    assert images == {f"{uuid(number)}.jpg" for number in (*range(40), 103)}
    commit(desk.root, "without copies")
    assert desk.run("report").code == 0
    (change,) = json.loads((desk.root / ".registry/report/report.json").read_text())["datasets"]
    assert change["duplicates"] == []


def test_reasons_that_are_there_stay_and_a_second_run_changes_nothing(desk: Desk) -> None:
    assert desk.run("exclude", PETS, uuid(1), "--why", "a drawing").code == 0
    done = desk.run("exclude", PETS, uuid(1), uuid(2), "--why", "near-duplicate")
    assert done.out.splitlines() == [f"{MANIFEST}: added 1 image to exclude:", f"hint: registry build {PETS}"]
    assert excluded(desk) == {uuid(1): "a drawing", uuid(2): "near-duplicate"}
    before = (desk.root / MANIFEST).read_bytes()
    done = desk.run("exclude", PETS, uuid(1), uuid(2), "--why", "near-duplicate")
    assert (done.code, done.out) == (0, "nothing to do: all of them are excluded already\n")
    assert (desk.root / MANIFEST).read_bytes() == before


@pytest.mark.parametrize(
    ("uuids", "why", "message"),
    [
        ((uuid(1), uuid(99)), "blurred", f"{uuid(99)}: not in the selection"),
        (("x",), "blurred", "x: not in the selection"),
        ((uuid(1),), "two\nlines", "exclude"),
        ((uuid(1),), "", "exclude"),
        ((uuid(1),), "<why>", "exclude"),
    ],
)
def test_what_cannot_be_excluded_changes_nothing(desk: Desk, uuids: tuple[str, ...], why: str, message: str) -> None:
    before = (desk.root / MANIFEST).read_bytes()
    done = desk.run("exclude", PETS, *uuids, "--why", why)
    assert done.code == 1
    assert message in done.err
    assert (desk.root / MANIFEST).read_bytes() == before
