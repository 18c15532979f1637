"""Compressed deliveries: one table in a ZIP or gzip file is read; all else is named, and nothing is put anywhere."""

import gzip
import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from registry.dataset import export_archives
from registry.errors import InvalidData, Refused
from support.selections import manifest, read_export, rows, write_csv

PHOTOS = manifest()


@pytest.fixture
def table(tmp_path: Path) -> bytes:
    return write_csv(tmp_path / "plain.csv", rows(20)).read_bytes()


def zipped(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def refusal(path: Path) -> str:
    before = sorted(path.parent.iterdir())
    with pytest.raises((InvalidData, Refused)) as error:
        read_export(path, PHOTOS, name=path.name)
    assert sorted(path.parent.iterdir()) == before
    return str(error.value)


@pytest.mark.parametrize(
    "members",
    [
        ("pets.csv",),
        ("dashboard-pets/Cats and dogs.csv",),
        ("__MACOSX/._pets.csv", "pets.csv", ".DS_Store", "folder/.hidden.csv"),
        ("README.md", "pets.CSV", "chart.png"),
        ("../../../etc/cron.d/pets.csv",),
        ("/etc/pets.csv",),
        ("C:\\Windows\\pets.csv",),
    ],
    ids=["one", "folder", "macOS", "other files", "upwards", "absolute", "Windows"],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_the_only_table_of_an_archive_is_read(
    tmp_path: Path, table: bytes, members: tuple[str, ...], method: int
) -> None:
    contents = {name: table if name.lower().endswith("pets.csv") or "dogs" in name else b"?" for name in members}
    contents |= {name: b"?" for name in members if "._" in name}
    file = zipped(tmp_path / "e.zip", contents, method)
    before = sorted(tmp_path.iterdir())
    assert read_export(file, PHOTOS).equals(read_export(tmp_path / "plain.csv", PHOTOS))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["e.csv.gz", "e.CSV.GZ", "e.csv"])
def test_a_table_that_is_compressed_with_gzip_is_read(tmp_path: Path, table: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(table[:700]) + gzip.compress(table[700:]))  # as `cat` joins them
    assert read_export(tmp_path / name, PHOTOS).height == 20


def test_json_in_an_archive_is_read(tmp_path: Path) -> None:
    row = b'[{"uuid": "0a8c7f6e-0000-4000-8000-00000000000a", "label": "cat", "camera": 1, "captured_at": null}]'
    assert read_export(zipped(tmp_path / "e.zip", {"a.json": row}), PHOTOS).height == 1


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a.csv": b"x", "b/c.tsv": b"y"}, "e.zip has 2 tables in it, expected one: 'a.csv', 'b/c.tsv'"),
        ({"a.png": b"x"}, "e.zip has no table in it, but 'a.png'"),
        ({"a.zip": b"PK", "b.csv.gz": b"x"}, "e.zip has no table in it, but 'a.zip', 'b.csv.gz'"),
        ({}, "e.zip has no table in it, but no file"),
        ({"[Content_Types].xml": b"", "xl/workbook.xml": b""}, "e.zip is an Excel workbook"),
        ({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}, "e.zip is an Excel workbook"),
        ({"a\x1b[31m.png": b"x"}, r"but 'a\x1b[31m.png'"),
        ({"a.csv": b"<html><body>Log in"}, "e.zip: 'a.csv' is an HTML or XML page"),
        ({"a.csv": gzip.compress(b"x")}, "e.zip: 'a.csv' has"),
    ],
)
def test_an_archive_without_exactly_one_table_is_named(tmp_path: Path, members: Mapping[str, bytes], told: str) -> None:
    assert told in refusal(zipped(tmp_path / "e.zip", members))


def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path, table: bytes) -> None:
    whole = zipped(tmp_path / "e.zip", {"a.csv": table}).read_bytes()
    packed = gzip.compress(table)
    for end in range(4, len(whole), 37):
        (tmp_path / "e.zip").write_bytes(whole[:end])
        assert refusal(tmp_path / "e.zip")
    for end in range(2, len(packed), 37):
        (tmp_path / "e.csv.gz").write_bytes(packed[:end])
        assert refusal(tmp_path / "e.csv.gz").startswith("e.csv.gz is damaged, or cut off")


def test_damaged_bytes_in_an_archive_are_refused(tmp_path: Path, table: bytes) -> None:
    data = bytearray(zipped(tmp_path / "e.zip", {"a.csv": table}).read_bytes())
    data[200] ^= 0xFF
    (tmp_path / "e.zip").write_bytes(data)
    assert "is damaged, or cut off" in refusal(tmp_path / "e.zip")


@pytest.mark.parametrize("name", ["e.zip", "e.csv.gz"])
def test_what_grows_a_hundredfold_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(export_archives, "SMALL", 1 << 20)
    bomb = b"uuid,label\n" + bytes(40 << 20)
    if name == "e.zip":
        zipped(tmp_path / name, {"a.csv": bomb})
    else:
        (tmp_path / name).write_bytes(gzip.compress(bomb))
    assert f"{name} unpacks to more than" in refusal(tmp_path / name)


def test_a_size_that_an_archive_makes_up_does_not_matter(tmp_path: Path, table: bytes) -> None:
    """The sizes in both headers of the member say four gigabytes; its checksum and its compressed size are true."""
    data = bytearray(zipped(tmp_path / "e.zip", {"a.csv": table}).read_bytes())
    for sign, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(sign) + place, 0xFFFFFF00)
    (tmp_path / "e.zip").write_bytes(data)
    assert read_export(tmp_path / "e.zip", PHOTOS).height == 20


def test_an_encrypted_archive_is_named(tmp_path: Path, table: bytes) -> None:
    data = bytearray(zipped(tmp_path / "e.zip", {"a.csv": table}).read_bytes())
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + place] |= 1
    (tmp_path / "e.zip").write_bytes(data)
    assert "e.zip: 'a.csv' is encrypted" in refusal(tmp_path / "e.zip")


def test_a_method_that_python_cannot_read_is_named(tmp_path: Path, table: bytes) -> None:
    """Windows packs large files with Deflate64."""
    data = bytearray(zipped(tmp_path / "e.zip", {"a.csv": table}).read_bytes())
    for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(sign) + place, 9)
    (tmp_path / "e.zip").write_bytes(data)
    assert "is packed by a method that cannot be read" in refusal(tmp_path / "e.zip")


@pytest.mark.parametrize("name", ["e.gz", "e.tar.gz", "e"])
def test_a_name_that_does_not_say_what_is_compressed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"x"))
    assert "its name does not say what is in it" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("e.xlsx", b"PK\x03\x04", "e.xlsx is an Excel workbook, expected a table"),
        ("e.xls", b"\xd0\xcf\x11\xe0", "e.xls is an Excel workbook, expected a table"),
        ("e.html", b"<table>", "e.html is a web page, expected a table"),
        ("e.md", b"| uuid | label |", "e.md is a Markdown document, expected a table"),
        ("e.png", b"\x89PNG", "e.png is a picture of a table, expected a table"),
        ("e.csv", b"\xd0\xcf\x11\xe0 workbook", "e.csv is an Excel workbook"),
        ("e.csv", b"<!doctype html><title>Log in</title>", "e.csv is an HTML or XML page"),
        ("e.csv", b"looker_error\nQuery killed\n", "e.csv has an error of Looker's in place of rows"),
        ("e.csv", b"BZh91AY", "e.csv is a compressed file"),
    ],
)
def test_other_downloads_are_named_with_what_to_choose(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    said = refusal(tmp_path / name)
    assert told in said
    assert "in Looker" in said or "decompress it" in said


def test_an_excel_workbook_under_another_name_is_named(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/worksheets/sheet1.xml", "")
    (tmp_path / "e.csv").write_bytes(out.getvalue())
    assert "e.csv is an Excel workbook or another document" in refusal(tmp_path / "e.csv")
