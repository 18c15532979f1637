"""Lists of tracked folders: read and written as DVC does, and rejected in any other form."""

import hashlib
import json

import polars as pl
import pytest
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import Refused
from registry.sync import dir_listing

md5s = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
parts = st.from_regex(r"[A-Za-z0-9 _.+-]{0,8}[A-Za-z0-9]", fullmatch=True)
relpaths = st.lists(parts, min_size=1, max_size=3).map("/".join)


def is_a_folder(files: dict[str, str]) -> bool:
    """Whether no file has the name of a folder that others are in."""
    return not any(f"{one}/" == other[: len(one) + 1] for one in files for other in files)


listings = st.dictionaries(relpaths, md5s, max_size=6).filter(is_a_folder)


def frame(files: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"relpath": list(files), "md5": list(files.values())}, {"relpath": pl.String, "md5": pl.String})


@given(listings)
def test_a_listing_is_read_as_it_was_written_and_as_dvc_writes_it(files: dict[str, str]) -> None:
    data = dir_listing.write(frame(files))
    tree = Tree()
    for path, md5 in files.items():
        tree.add(tuple(path.split("/")), Meta(), HashInfo("md5", md5))
    tree.digest()
    assert data == tree.as_bytes()
    assert dir_listing.md5_of(data) == tree.oid
    assert dict(dir_listing.read(data, dir_listing.md5_of(data)).select("relpath", "md5").iter_rows()) == files


@pytest.mark.parametrize("name", ['a"b', "a\\b", "ä", "a\nb", "a\tb", "a\x7fb"])
def test_names_that_dvc_would_escape_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="must be printable ASCII"):
        dir_listing.write(frame({name: "0" * 32}))


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "..", ".", "", "a\\..\\b", "a/", "a\0b", "a\nb", None],
)  # fmt: skip
def test_a_file_that_would_land_elsewhere_is_refused(path: str | None) -> None:
    data = json.dumps([{"md5": "0" * 32, "relpath": path}]).encode()
    with pytest.raises(Refused, match="is not a file of its folder"):
        dir_listing.read(data, dir_listing.md5_of(data))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'[{"md5": "0", "relpath": "x"}]', "is not a file of its folder"),
        (b'[{"relpath": "x"}]', "is not a file of its folder"),
        (b'[{"md5": 3, "relpath": "x"}]', "not a"),
        (json.dumps([{"md5": "0" * 32, "relpath": "x"}] * 2).encode(), "is listed twice"),
        (b"{}", "not a"),
        (b"not json", "not a JSON list of files"),
        (b"", "not a JSON list of files"),
        (b"[[1, 2]]", "not a"),
    ],
)
def test_what_is_not_a_list_of_files_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(Refused, match=fault):
        dir_listing.read(data, dir_listing.md5_of(data))


def test_a_checksum_mismatch_is_refused() -> None:
    with pytest.raises(Refused, match="checksum mismatch"):
        dir_listing.read(b"[]", hashlib.md5(b"else").hexdigest() + ".dir")


def test_an_empty_folder() -> None:
    assert dir_listing.read(b"[]", dir_listing.md5_of(b"[]")).rows() == []
    assert dir_listing.write(frame({})) == b"[]"


@given(st.dictionaries(st.text(alphabet="a}{,: []", min_size=1, max_size=8).map("x{}x".format), md5s, max_size=8))
def test_a_long_list_is_read_in_parts_that_end_between_files(files: dict[str, str]) -> None:
    data = dir_listing.write(frame(files))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dir_listing, "_CHUNK", 10)
        assert dict(dir_listing.read(data, dir_listing.md5_of(data)).select("relpath", "md5").iter_rows()) == files
