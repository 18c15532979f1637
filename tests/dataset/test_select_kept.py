"""A dataset that was adopted is selected from Looker from then on: given splits stay, by uuid or by MD5."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import yaml

from registry.cli import main
from support import adoption, repositories
from support.adoption import PETS
from support.looker_datasets import COLUMNS, DATASET, Select, served
from support.repositories import git_in, md5
from support.selections import Row

WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
KEPT = {
    **COLUMNS,
    "md5": {"from": "images.md5", "type": "string", "nullable": True},
    "given_split": {"type": "string", "nullable": True, "kept": True},
}
WITHOUT_MD5 = {name: column for name, column in KEPT.items() if name != "md5"}
RATIOS = {"train": 0.5, "val": 0.25, "test": 0.25}
SPLIT = {"salt": "photos", "ratios": RATIOS, "given": "given_split"}
SPLITS = {md5(data): path.split("/")[0] for path, data in PETS.items()}
NEW = "7a8c7f6e-0000-4000-8000-{:012}"


@pytest.fixture
def adopted(select: Select, tmp_path: Path) -> pl.DataFrame:
    """The selection of `datasets/photos` as it was adopted, with its splits; committed."""
    photos = adoption.fill(tmp_path / "photos", PETS)
    assert main.run(["adopt", DATASET, "--from", str(photos), *WORDS]) == 0
    repositories.commit(select.root, "as it was adopted")
    return select.rows()


def in_looker(adopted: pl.DataFrame, root: Path) -> list[Row]:
    """Rows of the adopted images, every other one under a UUID of Looker's own; the lake has the images."""
    rows = list[Row]()
    for place, (uuid, label, file, digest) in enumerate(adopted.select("uuid", "label", "file", "md5").rows()):
        name = NEW.format(place) if place % 2 else uuid
        rows.append({"images.uuid": name, "images.label": label, "images.md5": digest.upper()})
        repositories.write_bytes(root / f".registry/lake/{name}.jpg", PETS[file])
    return rows


def new_rows(root: Path, numbers: Sequence[int]) -> list[Row]:
    for number in numbers:
        repositories.write_bytes(root / f".registry/lake/{NEW.format(number)}.jpg", adoption.picture(number))
    return [{"images.uuid": NEW.format(one), "images.label": "cat", "images.md5": None} for one in numbers]


def test_given_splits_stay_and_new_rows_are_assigned(
    select: Select, adopted: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = in_looker(adopted, select.root)
    rows[0]["images.label"] = "dog" if rows[0]["images.label"] == "cat" else "cat"
    rows = [*rows[:-1], *new_rows(select.root, range(100, 103))]
    more = {"split": SPLIT, "version": "2.0.0", "expectations": {"splits": {}}}
    with served(rows).serve() as server:
        assert select(server, columns=KEPT, **more) == 0
        said = capsys.readouterr().out
        assert "given_split: kept for 15 rows (8 by uuid and 7 by md5); 3 rows without a value, to be assigned" in said
        made = select.rows()
        given = {row["md5"].lower(): row["given_split"] for row in made.rows(named=True) if row["md5"]}
        assert given == {digest: SPLITS[digest] for digest in given}
        assert made.filter(pl.col("given_split").is_null())["uuid"].to_list() == [
            NEW.format(n) for n in (100, 101, 102)
        ]
        assert main.run(["build", DATASET]) == 0
        pointer = (select.root / DATASET / "raw.dvc").read_bytes()
        repositories.commit(select.root, "from Looker")
        assert select.again() == 0  # by uuid alone from now on, and the same bytes
        assert "kept for 18 rows (18 by uuid)" in capsys.readouterr().out
        assert (select.root / DATASET / "raw.dvc").read_bytes() == pointer
    listed = adoption.listed(select.root, "photos")
    placed = {digest: path.split("/")[0] for path, digest in listed.items() if path.endswith(".jpg")}
    assert {digest: split for digest, split in placed.items() if digest in SPLITS} == given
    assert main.run(["check", "--fix"]) == 0
    capsys.readouterr()
    main.run(["check", "--all"])
    assert "wrong" not in capsys.readouterr().out


def test_given_splits_are_not_lost_without_a_word(
    select: Select, adopted: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in in_looker(adopted, select.root) if str(row["images.uuid"]).startswith("7a8c")]
    before = (select.root / DATASET / "raw.dvc").read_bytes()
    with served(rows).serve() as server:
        assert select(server, columns=WITHOUT_MD5, split=SPLIT) == 1
        said = capsys.readouterr().err
        assert "none of 16 rows of the selection before is found by uuid, and the source has no column md5" in said
        assert (select.root / DATASET / "raw.dvc").read_bytes() == before
        assert select(server, columns=KEPT, split=SPLIT) == 0
        assert "kept for 8 rows (8 by md5)" in capsys.readouterr().out


def test_rows_that_have_to_be_pulled_are_asked_for(
    select: Select, adopted: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    adoption.without(select.root, f"{DATASET}/raw")
    with served(in_looker(adopted, select.root)).serve() as server:
        assert select(server, columns=KEPT, split=SPLIT) == 1
        assert f"registry pull {DATASET}" in capsys.readouterr().err
        git_in(select.root, "stash", "--quiet")
        assert main.run(["pull", DATASET]) == 0
        git_in(select.root, "stash", "pop", "--quiet")
        assert select.again() == 0


@pytest.mark.parametrize(
    "column", [{"type": "string", "kept": True}, {"type": "string", "nullable": True, "kept": True, "from": "a.b"}]
)
def test_a_kept_column_has_no_source_and_may_be_empty(
    select: Select, column: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    with served([]).serve() as server:
        assert select(server, columns={**COLUMNS, "given_split": column}, split=SPLIT) == 1
    assert "columns.given_split" in capsys.readouterr().err
    assert yaml.safe_load((select.root / DATASET / "dataset.yaml").read_text())["columns"]["given_split"] == column
