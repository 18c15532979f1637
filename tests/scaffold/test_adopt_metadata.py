"""Tables beside images become columns with types, as Hugging Face's imagefolder has them."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from registry.errors import InvalidData
from registry.scaffold import adopt_metadata
from registry.scaffold.adopt_metadata import Metadata

IMAGES = ("1.jpg", "2.jpg", "3.jpg")
ROWS: list[dict[str, Any]] = [
    {"file_name": "1.jpg", "label": "cat", "age": 3, "weight": 4.5, "tame": True, "born": date(2024, 2, 29),
     "seen": datetime(2026, 1, 31, 12, tzinfo=UTC), "note": "007", "boxes": [1, 2]},
    {"file_name": "2.jpg", "label": "dog", "age": None, "weight": 1.0, "tame": False, "born": None, "seen": None,
     "note": None, "boxes": None},
    {"file_name": "3.jpg", "label": "cat", "age": -1, "weight": None, "tame": None, "born": date(1999, 1, 1),
     "seen": datetime(2026, 1, 31, 13, 30, tzinfo=UTC), "note": "x", "boxes": []},
]  # fmt: skip
TYPES = {
    "age": "integer", "weight": "number", "tame": "boolean", "born": "date", "seen": "datetime", "note": "string",
}  # fmt: skip

FLAT = [{key: value for key, value in row.items() if key != "boxes"} for row in ROWS]


def plain(value: object) -> object:
    if isinstance(value, list):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date) else value


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(
        json.dumps({key: value if isinstance(value, list) else plain(value) for key, value in row.items()}) + "\n"
        for row in rows
    ).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    return pl.DataFrame([{key: plain(value) for key, value in row.items()} for row in rows]).write_csv().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(rows).write_parquet(out)
    return out.getvalue()


FORMS = {"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet}


def read(tables: Mapping[str, bytes], images: tuple[str, ...] = IMAGES) -> Metadata:
    return adopt_metadata.read([*tables], images, tables.__getitem__)


@pytest.mark.parametrize("form", FORMS)
def test_columns_have_the_types_of_their_values_in_each_form(form: str) -> None:
    found = read({f"metadata.{form}": FORMS[form](FLAT)})
    assert found.types == TYPES
    assert found.labels == {"1.jpg": "cat", "2.jpg": "dog", "3.jpg": "cat"}
    assert found.rows.to_dicts() == [{"path": row["file_name"], **{key: row[key] for key in TYPES}} for row in FLAT]


def test_the_same_rows_in_each_form_give_the_same_columns() -> None:
    frames = [read({f"metadata.{form}": write(FLAT)}).rows for form, write in FORMS.items()]
    assert frames[0].schema == frames[1].schema == frames[2].schema


def test_nested_values_are_texts_in_json_and_not_kept_of_parquet() -> None:
    found = read({"metadata.jsonl": as_jsonl(ROWS)})
    assert [json.loads(text) if text else None for text in found.rows["boxes"]] == [[1, 2], None, []]
    found = read({"metadata.parquet": as_parquet(ROWS)})
    assert found.notes == ("metadata.parquet: the columns boxes are not kept: their values are nested or binary",)
    assert found.types == TYPES


@pytest.mark.parametrize("text", ["", "NA", "NaN", "null", "None", "n/a", "#N/A"])
def test_what_pandas_takes_for_a_missing_value_in_csv_is_missing(text: str) -> None:
    found = read({"metadata.csv": f"file_name,age\n1.jpg,1\n2.jpg,{text}\n".encode()})
    assert found.types == {"age": "integer"}
    assert found.rows["age"].to_list() == [1, None]


@pytest.mark.parametrize("text", ["2026-01-31 12:00", "1,5", "007", "maybe", "12 kg"])
def test_a_text_that_readers_take_for_different_values_stays_a_text(text: str) -> None:
    found = read({"metadata.csv": f'file_name,x\n1.jpg,"{text}"\n2.jpg,1\n'.encode()})
    assert (found.types, found.rows["x"].to_list()) == ({"x": "string"}, [text, "1"])


def test_the_nearest_table_is_an_image_s() -> None:
    images = ("a/1.jpg", "a/b/2.jpg")
    found = read(
        {"metadata.csv": b"file_name,x\na/1.jpg,1\na/b/2.jpg,2\n", "a/b/metadata.csv": b"file_name,x\n2.jpg,3\n"},
        images,
    )
    assert dict(found.rows.rows()) == {"a/1.jpg": 1, "a/b/2.jpg": 3}


def test_rows_without_an_image_are_told() -> None:
    found = read({"metadata.csv": b"file_name,x\n1.jpg,1\n../9.jpg,2\nno.jpg,3\n"})
    assert found.notes == ("2 rows of tables without an image: ../9.jpg, no.jpg",)
    assert found.rows["path"].to_list() == ["1.jpg"]


def test_headers_become_names_that_a_column_may_have() -> None:
    head = "file_name,Camera ID,image,md5,2nd,ä,camera_id"
    found = read({"metadata.csv": f"{head}\n1.jpg,1,2,3,4,5,6\n".encode()})
    assert found.names == {
        "camera_id": "Camera ID", "source_image": "image", "source_md5": "md5", "c_2nd": "2nd", "column": "ä",
        "camera_id_": "camera_id",
    }  # fmt: skip
    assert "the column 'Camera ID' is called camera_id here" in found.notes


def test_a_column_of_splits_is_one_where_each_value_names_a_split() -> None:
    rows = "file_name,split\n1.jpg,train\n2.jpg,Validation\n3.jpg,{}\n"
    assert read({"metadata.csv": rows.format("").encode()}).splits == {"1.jpg": "train", "2.jpg": "val"}
    odd = read({"metadata.csv": rows.format("fold 3").encode()})
    assert (odd.splits, odd.names) == ({}, {"source_split": "split"})
    assert any("name no split (fold 3)" in note for note in odd.notes)


def test_uuids_of_a_table_count_where_each_row_has_its_own() -> None:
    uuids = [f"0A8C7F6E-0000-4000-8000-00000000000{number}" for number in range(3)]
    lines = "".join(f"{name},{uuid}\n" for name, uuid in zip(IMAGES, uuids, strict=True))
    found = read({"metadata.csv": f"file_name,uuid\n{lines}".encode()})
    assert list(found.uuids.values()) == [uuid.lower() for uuid in uuids]
    twice = read({"metadata.csv": f"file_name,uuid\n1.jpg,{uuids[0]}\n2.jpg,{uuids[0]}\n".encode()})
    assert (twice.uuids, twice.names) == ({}, {"source_uuid": "uuid"})


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("metadata.csv", b"name,x\n1.jpg,1\n", "has no column file_name"),
        ("metadata.csv", b"file_name,x\n,1\n", "rows without a value"),
        ("metadata.csv", b"file_name,x\n", "has no column file_name, or rows"),
        ("metadata.csv", b"file_name,x\n1.jpg\n", r"metadata\.csv:2: the row has another number of cells"),
        ("metadata.csv", b"file_name,x\n1.jpg,1,2\n", "another number of cells"),
        ("metadata.csv", b"file_name,x\n1.jpg,\xff\n", "cannot be read"),
        ("metadata.csv", b"file_name,x\n1.jpg,1\n1.jpg,2\n", r"1\.jpg has two rows"),
        ("metadata.jsonl", b'{"file_name": "1.jpg"}\n{"file_name": \n', r"metadata\.jsonl:2: not valid JSON"),
        ("metadata.jsonl", b'["1.jpg"]\n', "not a JSON object"),
        ("metadata.jsonl", b'{"file_name": "1.jpg", "x": NaN}\n', "NaN is not a JSON number"),
        ("metadata.parquet", b"PAR1", r"metadata\.parquet"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_believed_is_refused(name: str, data: bytes, fault: str) -> None:
    with pytest.raises(InvalidData, match=fault):
        read({name: data})
