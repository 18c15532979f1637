"""A prepared dataset is read as it is by Hugging Face, torchvision's ImageFolder, pandas, Polars, PyArrow and DuckDB.

All of them give the same rows, types and labels in every split, whatever the values are.
"""

import importlib.metadata
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pandas
import polars as pl
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image

from registry.dataset import metadata_tables
from registry.dataset.image_validation import find_fault
from support import image_folder, memory_registries
from support.dataset_builds import Desk, row
from support.odd_images import SOUND, photo
from support.repositories import Run

SPLITS = {"train": 0, "val": 1, "test": 2}  # and the first image of each
NAMES = {"train": "train", "val": "validation", "test": "test"}  # Hugging Face's
WORDS = ("None", "null", "NA", "N/A", "nan", "NaN", "NULL", "<NA>", "#N/A", "-nan", "", "true", "False", "yes", "inf")
NUMBERS = ("007", "1e5", "1_000", "0x1F", "-0", "12.0", "1,5", "१२", "9223372036854775808", "2024-01-31", "12:00")
SPACES = (" blank", "blank ", "\t", "two\nlines", "cr\rlf\r\n", "\u00a0", "\u2028", "a\x00b", "\ufeff")
MARKS = ('the "big" one', "it's", "a,b;c", "\\N", '"', "''", "=1+1", "@SUM(A1)", "+1", "-1", "{}", "[1]", '{"a": 1}')
LETTERS = ("é", "e\u0301", "日本", "🐈", "ﬁ", "\u202egnp", "\ud7ff", "\U0010ffff")
TEXTS = (*WORDS, *NUMBERS, *SPACES, *MARKS, *LETTERS)
MOMENT = datetime(2024, 1, 31, 12, 0, 0, 1, tzinfo=UTC)
# By column: its type, and the value of each split's image.
COLUMNS: Mapping[str, tuple[pl.DataType, Sequence[object]]] = {
    "only_in_train": (pl.String(), ("cam-3", None, None)),
    "only_in_test": (pl.Datetime("us", "UTC"), (None, None, MOMENT)),
    "nowhere": (pl.String(), (None, None, None)),
    "no_number": (pl.Float64(), (None, None, None)),
    "looks_like_others": (pl.String(), ("1", "2024-01-31", "true")),
    "integer": (pl.Int64(), (2**63 - 1, None, -(2**63))),
    "number": (pl.Float64(), (1e300, 3.0, None)),
    "boolean": (pl.Boolean(), (True, None, False)),
    "day": (pl.Date(), (date(1, 1, 1), None, date(9999, 12, 31))),
    "moment": (pl.Datetime("us", "UTC"), (MOMENT, None, datetime(1700, 1, 1, tzinfo=UTC))),
    "split_": (pl.String(), ("train", "val", "test")),
    "index": (pl.Int64(), (0, 0, 0)),
    "images": (pl.String(), ("../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x.jpg")),
}
LABELS = (
    ("cat", "guinea pig"),
    ("None", "cat"),
    ("null", "NA", "nan"),
    ("true", "false"),
    ("007", "7"),
    ("1e5", "100000"),
    ("no", "yes"),
    ("train", "test", "val"),
    ("image", "label", "data"),
    ("0", "1"),
    ("1", "01", "1.0", "1e"),
    ("z", "b", "a"),
    ("only",),
    ("cat.jpg", "a.b", "train.parquet", "x.dvc"),
    ("c++", "a b  c", "x_", "metadata"),
    ("test", "eval board", "cat-test", "dev.1", "validation"),
)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def write_prepared(root: Path, classes: Sequence[str], rows: Mapping[str, pl.DataFrame]) -> Path:
    """The images of each split (columns label and any others), and the tables that `registry build` writes."""
    for split, frame in rows.items():
        names = [f"{label}/{uuid(number)}.jpg" for number, label in enumerate(frame["label"], 100 * SPLITS[split])]
        for number, name in enumerate(names):
            (root / split / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 4 % 256, SPLITS[split], 0)).save(root / split / name)
        table = frame.with_columns(file_name=pl.Series(names, dtype=pl.String))
        (root / split / "metadata.parquet").write_bytes(metadata_tables.write(table, classes))
    return root


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):  # -> a DatasetDict
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    def load(folder: Path | None, **options: object):  # -> a DatasetDict
        cache = str(tmp_path_factory.mktemp("cache"))
        place = {} if folder is None else {"data_dir": str(folder)}
        return datasets.load_dataset("imagefolder", **place, cache_dir=cache, **options)

    return load


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", LABELS, ids="-".join)
def test_labels_are_classes_that_agree_with_the_folders(tmp_path: Path, load, classes: Sequence[str]) -> None:
    write_prepared(tmp_path, classes, {split: pl.DataFrame({"label": classes}) for split in SPLITS})
    loaded = load(tmp_path)
    assert {name: part.num_rows for name, part in loaded.items()} == dict.fromkeys(NAMES.values(), len(classes))
    for split, name in NAMES.items():
        part, tables = loaded[name], [*readers(tmp_path / split / "metadata.parquet")]
        label = part.features["label"]
        assert (type(label).__name__, label.names) == ("ClassLabel", list(classes))
        assert [label.int2str(number) for number in part["label"]] == part["label_name"] == tables[0]["label_name"]
        folders = [Path(image.filename).parent.name for image in part["image"]]
        assert folders == part["label_name"]
        assert all(table == tables[0] for table in tables)
        images = image_folder.read(tmp_path / split)
        seen = {f"{images.classes[number]}/{Path(file).name}" for file, number in images.samples}
        assert seen == set(tables[0]["file_name"])


def test_a_split_that_lacks_a_class_numbers_it_all_the_same(tmp_path: Path, load) -> None:
    rows = {"train": ["cat", "dog"], "val": ["dog"], "test": ["dog", "dog"]}
    write_prepared(tmp_path, ["cat", "dog"], {name: pl.DataFrame({"label": labels}) for name, labels in rows.items()})
    loaded = load(tmp_path)
    assert {name: part["label"][:] for name, part in loaded.items()} == {
        "train": [0, 1], "validation": [1], "test": [1, 1],
    }  # fmt: skip


@pytest.mark.parametrize("only", SPLITS)
def test_a_dataset_of_one_split(tmp_path: Path, load, only: str) -> None:
    write_prepared(tmp_path, ["cat", "dog"], {only: pl.DataFrame({"label": ["dog", "cat"]})})
    loaded = load(tmp_path)
    assert {name: part["label_name"][:] for name, part in loaded.items()} == {NAMES[only]: ["cat", "dog"]}


@pytest.mark.parametrize("empty", ["", "val"])
def test_a_card_names_the_files_of_each_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    """`load_dataset` of a folder in a clone reads the card, and takes no other file for data."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    registry = memory_registries.Registry()
    named = {path: data for path, data in memory_registries.images().items() if not path.startswith(f"{empty}/")}
    memory_registries.put_dataset(registry, "pets", named)
    registry.derive()
    memory_registries.put_on_disk(registry, tmp_path)
    folder = tmp_path / "datasets/pets"
    splits = [split for split in SPLITS if split != empty]
    labels = pl.DataFrame({"label": ["dog", "cat"]})
    write_prepared(folder / "prepared", ["cat", "dog"], dict.fromkeys(splits, labels))
    (folder / "raw").mkdir()
    (folder / "raw/selection.parquet").write_bytes((folder / "prepared/train/metadata.parquet").read_bytes())
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: part["label_name"][:] for name, part in loaded.items()} == {
        NAMES[split]: ["cat", "dog"] for split in splits
    }


# --- values -----------------------------------------------------------------------------------------------------------


def test_texts_stay_the_texts_that_they_are(tmp_path: Path, load) -> None:
    rows = {"label": ["cat"] * len(TEXTS), "note": TEXTS, "other": [*TEXTS[1:], None]}
    write_prepared(tmp_path, ["cat"], {split: pl.DataFrame(rows) for split in SPLITS})
    check(tmp_path, load(tmp_path), {"note": rows["note"], "other": rows["other"]})


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_column_of_one_text_is_a_column_of_texts(tmp_path: Path, text: str) -> None:
    write_prepared(tmp_path, ["cat"], {"val": pl.DataFrame({"label": ["cat"] * 2, "note": [text, None]})})
    for table in readers(tmp_path / "val/metadata.parquet"):
        assert table["note"] == [text, None]


def test_types_are_the_same_in_every_split(tmp_path: Path, load) -> None:
    rows = {
        split: pl.DataFrame(
            {"label": ["cat"], **{name: [values[number]] for name, (_, values) in COLUMNS.items()}},
            {"label": pl.String(), **{name: dtype for name, (dtype, _) in COLUMNS.items()}},
        )
        for split, number in SPLITS.items()
    }
    write_prepared(tmp_path, ["cat"], rows)
    loaded = load(tmp_path)
    for number, (split, name) in enumerate(NAMES.items()):
        check(tmp_path, {name: loaded[name]}, {column: [values[number]] for column, (_, values) in COLUMNS.items()})
        table, first = (tmp_path / part / "metadata.parquet" for part in (split, "train"))
        assert loaded[name].features == loaded["train"].features
        assert pl.read_parquet_schema(table) == pl.read_parquet_schema(first)
        assert pandas.read_parquet(table).dtypes.equals(pandas.read_parquet(first).dtypes)
    both = pandas.concat([pandas.read_parquet(tmp_path / split / "metadata.parquet") for split in SPLITS])
    assert both["integer"].to_list() == [2**63 - 1, pandas.NA, -(2**63)]
    whole = pl.read_parquet(tmp_path / "*" / "metadata.parquet")
    assert sorted(whole["images"]) == sorted(COLUMNS["images"][1])


def test_one_split_is_read_by_itself(tmp_path: Path, load) -> None:
    write_prepared(tmp_path, ["cat", "dog"], {split: pl.DataFrame({"label": ["dog", "cat"]}) for split in SPLITS})
    for split in SPLITS:
        loaded = load(tmp_path, split=NAMES[split])
        assert loaded["label_name"][:] == ["cat", "dog"]
        (alone,) = load(tmp_path / split).values()
        assert (alone["label"][:], alone.features) == (loaded["label"][:], loaded.features)


@pytest.mark.parametrize("classes", [("cat", "dog"), ("test", "eval board", "None"), ("true", "007")], ids="-".join)
def test_one_split_is_read_from_its_files_alone(tmp_path: Path, load, classes: Sequence[str]) -> None:
    """As README says it of a split that was fetched by itself: not by `data_dir`, see the next test."""
    write_prepared(tmp_path, classes, {"test": pl.DataFrame({"label": classes})})
    loaded = load(None, data_files=str(tmp_path / "test/**"), split="train")
    assert sorted(loaded["label_name"]) == sorted(classes)
    assert loaded.features["label"].names == list(classes)


@pytest.mark.parametrize("label", ["test", "eval board"])
def test_hugging_face_takes_a_class_for_a_split_where_its_folder_is_the_data_dir(
    tmp_path: Path, load, label: str
) -> None:
    """The other images are left out without a word. Should this fail one day, README's sentence on it can go."""
    write_prepared(tmp_path, [label, "cat"], {"test": pl.DataFrame({"label": [label, "cat"]})})
    assert [part.num_rows for part in load(tmp_path / "test").values()] == [1]


def test_a_stream_has_the_rows_and_features_of_a_download(tmp_path: Path, load) -> None:
    rows = {"label": ["cat", "None", "dog"], "note": ["null", None, "007"]}
    write_prepared(tmp_path, ["None", "dog", "cat"], {split: pl.DataFrame(rows) for split in SPLITS})
    loaded, stream = load(tmp_path), load(tmp_path, streaming=True)
    for name in NAMES.values():
        assert stream[name].features == loaded[name].features
        for one, other in zip(stream[name], loaded[name], strict=True):
            assert {key: value for key, value in one.items() if key != "image"} == {
                key: value for key, value in other.items() if key != "image"
            }
            assert one["image"].size == other["image"].size


def test_the_tables_of_all_splits_are_read_at_once(tmp_path: Path) -> None:
    """Also where a column is empty in the first of them."""
    rows = {
        split: pl.DataFrame(
            {"label": ["cat", "None"], **{name: [values[number]] * 2 for name, (_, values) in COLUMNS.items()}},
            {"label": pl.String(), **{name: dtype for name, (dtype, _) in COLUMNS.items()}},
        )
        for split, number in SPLITS.items()
    }
    write_prepared(tmp_path, ["None", "cat"], rows)
    files, columns = sorted(tmp_path.glob("*/metadata.parquet")), ["label", "label_name", *COLUMNS]
    expected = pl.concat(pl.read_parquet(file) for file in files).select(columns)
    queried = duckdb.sql(
        f"SELECT {', '.join(columns)} FROM '{tmp_path}/*/metadata.parquet' ORDER BY filename, file_name"
    )
    assert queried.pl().cast(expected.schema).equals(expected)  # type: ignore[arg-type]
    assert [str(type_) for type_ in queried.types[:4]] == ["BIGINT", "VARCHAR", "VARCHAR", "TIMESTAMP WITH TIME ZONE"]
    arrow = pyarrow.dataset.dataset([str(file) for file in files], format="parquet").to_table(columns=columns)
    assert pl.from_arrow(arrow).equals(expected)
    hive = pyarrow.dataset.dataset(str(tmp_path), format="parquet", exclude_invalid_files=True)
    assert hive.count_rows() == len(expected)
    frames = pandas.concat([pandas.read_parquet(file, columns=columns) for file in files])
    assert frames["integer"].dtype == "Int64"
    assert pl.from_pandas(frames["label_name"].reset_index(drop=True)).to_list() == expected["label_name"].to_list()


def test_torchvision_is_the_release_that_fits_torch() -> None:
    """Makefile names it, not requirements.txt."""
    [about] = importlib.metadata.distributions(path=[str(image_folder.FOLDER)])
    torch_release = torch.__version__.partition("+")[0]
    assert torch_release in {str(asked.specifier).lstrip("=") for asked in map(Requirement, about.requires or ())}


# --- images ----------------------------------------------------------------------------------------------------------


def test_what_the_registry_calls_sound_is_read(tmp_path: Path, load) -> None:
    """Hugging Face turns an image as its EXIF says, torchvision does not; each takes the first image of a file."""
    (tmp_path / "train/cat").mkdir(parents=True)
    names = [f"cat/{uuid(number)}.{file.ending.lower()}" for number, file in enumerate(SOUND.values())]
    for name, file in zip(names, SOUND.values(), strict=True):
        (tmp_path / "train" / name).write_bytes(file.data)
    table = pl.DataFrame({"label": ["cat"] * len(names), "file_name": names})
    (tmp_path / "train/metadata.parquet").write_bytes(metadata_tables.write(table, ["cat"]))
    sizes = [(200, 1) if name == "one row" else (97, 83) for name in SOUND]
    with warnings.catch_warnings(action="ignore"):  # Pillow's of damaged EXIF
        assert image_folder.read(tmp_path / "train").sizes == sizes
        turned = [image.size for image in load(tmp_path)["train"]["image"]]
    assert dict(zip(SOUND, turned, strict=True)) == dict(zip(SOUND, sizes, strict=True)) | {"rotated by exif": (83, 97)}


def test_hugging_face_cannot_turn_an_image_whose_exif_pillow_cannot_write(tmp_path: Path, load) -> None:
    """A fraction where a text belongs, beside an orientation: sound, and read by the training, but not by Pillow's
    `exif_transpose`, by which Hugging Face decodes. Should this fail one day, decision 22 can forget it.
    """
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    data = photo(exif=exif).replace(b"\x01\x1a\x00\x05", b"\x01\x0f\x00\x05")
    assert find_fault("a.jpg", data) is None
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / f"train/cat/{uuid(0)}.jpg").write_bytes(data)
    part = load(tmp_path)["train"]
    with pytest.raises(AttributeError):
        part[0]
    assert image_folder.read(tmp_path / "train").sizes == [(97, 83)]


# --- from a query to the readers --------------------------------------------------------------------------------------


def test_what_select_and_build_make_is_read(registry_repo: Path, run_registry: Run, load) -> None:
    desk = Desk(registry_repo, run_registry)
    for number in range(40):
        desk.put(number)
    manifest = desk.root / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace('[cat, dog, "no"]', '["None", "null", "true", "no"]'))
    labels = ["None", "null", "true", "no"]
    desk.select([(*row(number, labels[number % 4])[:4], "") for number in range(40)])
    desk.built()
    assert run_registry(registry_repo, "pull").code == 0
    loaded = load(desk.root / "datasets/pets/prepared")
    assert sum(part.num_rows for part in loaded.values()) == 40
    for part in loaded.values():
        label = part.features["label"]
        assert label.names == labels
        assert [label.int2str(number) for number in part["label"]] == part["label_name"][:]
        assert [Path(image.filename).parent.name for image in part["image"]] == part["label_name"][:]
        assert part.features == loaded["train"].features
        assert str(part.features["captured_at"].dtype) == "timestamp[us, tz=UTC]"


# --- readers ----------------------------------------------------------------------------------------------------------


def check(root: Path, loaded: Mapping[str, object], columns: Mapping[str, Sequence[object]]) -> None:
    """Every reader has these values."""
    for split, name in NAMES.items():
        if name in loaded:
            for table in readers(root / split / "metadata.parquet"):
                assert {column: table[column] for column in columns} == {
                    column: list(values) for column, values in columns.items()
                }
            assert {column: loaded[name][column][:] for column in columns} == {
                column: list(values) for column, values in columns.items()
            }


def readers(file: Path) -> list[dict[str, list[object]]]:
    """The columns of a table as PyArrow, Polars, pandas and DuckDB read them."""
    frame = pandas.read_parquet(file)
    values = {name: [None if pandas.isna(value) else value for value in frame[name]] for name in frame.columns}
    queried = duckdb.read_parquet(str(file)).pl().to_dict(as_series=False)
    return [pq.read_table(file).to_pydict(), pl.read_parquet(file).to_dict(as_series=False), values, queried]
