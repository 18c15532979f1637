"""Lists of tracked folders: read and written as DVC does, and rejected in any other form."""

import hashlib
import json
import re

import polars as pl
import pytest
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from hypothesis import given
from hypothesis import strategies as st

from registry.core import output_names
from registry.errors import Refused
from registry.sync import dir_listing

md5s = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
parts = st.from_regex(r"[A-Za-z0-9 _.+-]{0,8}[A-Za-z0-9]", fullmatch=True)
relpaths = st.lists(parts, min_size=1, max_size=3).map("/".join)


def is_a_folder(files: dict[str, str]) -> bool:
    """Whether no file has the name of a folder that others are in, and no name is another in other letters."""
    names = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 2)}
    nested = any(f"{one}/" == other[: len(one) + 1] for one in files for other in files)
    odd = any(re.search(f"{output_names.UNSAFE}|{output_names.OBEYED}", path) for path in files)
    return not nested and not odd and len({name.lower() for name in names}) == len(names)


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


READ_DIFFERENTLY = {
    "DVC's folder": ["train/.dvc/config"],
    "Git's attributes": ["train/.gitattributes"],
    "Git's folder as Windows abbreviates it": ["GIT~1/hooks/x"],
    "GitHub's folder in other letters": [".GitHub/x"],
    "Git's folder with a dot": [".git./x"],
    "a pointer": ["train/cat.dvc"],
    "a pipeline": ["train/DVC.yaml"],
    "Python's start": ["lib/sitecustomize.py"],
    "pytest's": ["conftest.py"],
    "an environment": [".venv/bin/python"],
    "direnv": [".envrc"],
    "an editor": [".vscode/tasks.json"],
    "a drive": ["C:/Windows/x"],
    "a stream": ["cat.jpg:evil"],
    "a dot at the end": ["cat./1.jpg"],
    "a space at the end": ["cat /1.jpg"],
    "right to left": ["cat\u202egpj.exe"],
    "no width": ["ca\u200bt.jpg"],
    "an escape": ["cat\x9b31m.jpg"],
    "a line separator": ["a\u2028b"],
    "a long name": ["x" * 256],
    "a long name of few letters": ["\N{CAT FACE}" * 64],
    "a long path": ["x/" * 600 + "x"],
    "two files in other letters": ["train/Cat.jpg", "train/cat.jpg"],
    "two folders in other letters": ["Train/1.jpg", "train/2.jpg"],
    "a folder and a file in other letters": ["Train/1.jpg", "train"],
    "one name, composed otherwise": ["M\u00fcller", "Mu\u0308ller"],
}


@pytest.mark.parametrize("names", READ_DIFFERENTLY.values(), ids=READ_DIFFERENTLY)
def test_a_name_that_is_more_than_a_name_is_refused(names: list[str]) -> None:
    data = json.dumps([{"md5": "0" * 32, "relpath": name} for name in names]).encode()
    md5 = dir_listing.md5_of(data)
    with pytest.raises(Refused, match=f"object {md5}: "):
        dir_listing.read(data, md5)
    assert len(dir_listing.read_foreign(data, md5)) == len(names)


@pytest.mark.parametrize("names", [["train/cat.dvc/1.jpg"], ["Cat/1.jpg", "cat/2.jpg"], ["a:b"]])
def test_nothing_is_written_that_is_not_read(names: list[str]) -> None:
    with pytest.raises(Refused) as error:
        dir_listing.write(frame(dict.fromkeys(names, "0" * 32)))
    assert error.value.fix == "rename the class"


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


@given(st.dictionaries(st.text(alphabet="a}{, []", min_size=1, max_size=8).map("x{}x".format), md5s, max_size=8))
def test_a_long_list_is_read_in_parts_that_end_between_files(files: dict[str, str]) -> None:
    data = dir_listing.write(frame(files))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dir_listing, "_CHUNK", 10)
        assert dict(dir_listing.read(data, dir_listing.md5_of(data)).select("relpath", "md5").iter_rows()) == files
