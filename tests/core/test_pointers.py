import hashlib
import json

import polars as pl
import pytest
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from hypothesis import given
from hypothesis import strategies as st

from registry.core import documents, pointers
from registry.core.values import Build, Output
from registry.errors import InvalidDocument, Refused
from support import memory_registries

md5s = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
sizes = st.integers(0, 1 << 50)
parts = st.from_regex(r"[A-Za-z0-9 _.+-]{0,8}[A-Za-z0-9]", fullmatch=True)
relpaths = st.lists(parts, min_size=1, max_size=3).map("/".join)


def is_a_folder(files: dict[str, str]) -> bool:
    """Whether no file has the name of a folder that others are in."""
    return not any(f"{one}/" == other[: len(one) + 1] for one in files for other in files)


listings = st.dictionaries(relpaths, md5s, max_size=6).filter(is_a_folder)


def frame(files: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame({"relpath": list(files), "md5": list(files.values())}, {"relpath": pl.String, "md5": pl.String})


# --- names of objects -------------------------------------------------------------------------------------------------


@given(st.one_of(md5s, md5s.map("{}.dir".format)))
def test_an_object_s_key_leads_back_to_its_md5(md5: str) -> None:
    assert pointers.object_md5(pointers.object_key(md5)) == md5


@given(st.text(alphabet="abf019/.dirmes5-", max_size=50))
def test_no_other_key_is_an_object_s(key: str) -> None:
    md5 = pointers.object_md5(key)
    assert md5 is None or pointers.object_key(md5) == key


@pytest.mark.parametrize(
    "key",
    ["", "files/md5", "files/md5/ab", "files/md5/AB/" + "0" * 30, "files/md5/ab/" + "0" * 29, "ab/" + "0" * 30,
     "files/md5/ab/" + "0" * 30 + ".tmp", "x/files/md5/ab/" + "0" * 30, "files/md5/ab/../" + "0" * 30],
)  # fmt: skip
def test_keys_of_no_object(key: str) -> None:
    assert pointers.object_md5(key) is None


# --- .dvc files -------------------------------------------------------------------------------------------------------


@given(names, md5s, sizes, st.none() | sizes)
def test_a_pointer_is_read_as_it_was_written(name: str, md5: str, size: int, nfiles: int | None) -> None:
    output = Output(f"datasets/pets/{name}", f"{md5}.dir" if nfiles is not None else md5, size, nfiles)
    data = pointers.write_pointer(output, {"build": {"images": 3}})
    assert pointers.read_pointer(data, "datasets/pets/x.dvc") == output
    assert pointers.read_meta(data, "x.dvc") == {"build": {"images": 3}}


def test_a_pointer_is_written_in_dvc_s_own_form() -> None:
    output = Output("datasets/pets/raw", "0" * 32 + ".dir", 5, 1)
    assert pointers.write_pointer(output, {}) == (
        b"outs:\n- md5: 00000000000000000000000000000000.dir\n  size: 5\n  nfiles: 1\n  hash: md5\n  path: raw\n"
    )


def test_an_md5_that_yaml_could_take_for_a_number_stays_a_text() -> None:
    for md5 in ("1" * 32, "1" * 15 + "e" + "1" * 16, "0" * 32):
        output = Output("datasets/pets/x", md5, 1)
        assert pointers.read_pointer(pointers.write_pointer(output, {}), "datasets/pets/x.dvc") == output


def build_of(meta: object) -> Build | None:
    data = memory_registries.dump({"outs": [], "meta": meta})
    return pointers.parse_build(documents.read_yaml(data, "prepared.dvc"))


def test_how_it_was_built() -> None:
    build = {"selection": "s", "rule": "r", "images": 3, "counts": {"train": {"cat": 1, "1": 2}}}
    assert build_of({"build": build}) == Build("s", "r", 3, {"train": {"cat": 1, "1": 2}})
    assert build_of({}) is None


SOUND = {"selection": "s", "rule": "r", "images": 3, "counts": {}}


@pytest.mark.parametrize(
    "build",
    [3, [], "x", {}, {**SOUND, "counts": [1]}, {**SOUND, "images": "many"}, {**SOUND, "counts": {"a": 3}},
     {**SOUND, "counts": {"a": {"b": None}}}, {name: SOUND[name] for name in ("selection", "rule", "images")}],
    ids=str,
)  # fmt: skip
def test_a_build_in_another_form_is_refused(build: object) -> None:
    with pytest.raises(InvalidDocument, match="is not what `registry build` writes"):
        build_of({"build": build})


# --- dvc.lock ---------------------------------------------------------------------------------------------------------


def lock(**entry: object) -> bytes:
    whole = {"path": "x", "hash": "md5", "md5": "0" * 32, "size": 1} | entry
    stages = {"train": {"cmd": "c", "deps": [{key: value for key, value in whole.items() if value is not None}]}}
    return memory_registries.dump({"schema": "2.0", "stages": stages})


def test_the_paths_of_a_lock_start_at_the_root() -> None:
    _, deps = pointers.read_lock(lock(path="../../datasets/pets/prepared"), "models/pets/dvc.lock")
    assert deps == (Output("datasets/pets/prepared", "0" * 32, 1),)


@pytest.mark.parametrize(
    "entry",
    [{"path": "../../../etc/passwd"}, {"path": "/etc/passwd"}, {"path": 3}, {"path": None}, {"md5": "xyz"}, {"md5": 3},
     {"md5": None}, {"hash": None}, {"hash": "etag"}],
    ids=str,
)  # fmt: skip
def test_an_entry_that_leads_out_or_has_no_hash_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(InvalidDocument):
        pointers.read_lock(lock(**entry), "models/pets/dvc.lock")


@pytest.mark.parametrize("data", [b"[]", b"3", b"stages: []", b"stages: {a: 3}", b"stages: {a: {outs: 3}}", b"a: 1"])
def test_what_is_no_lock_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidDocument):
        pointers.read_lock(data, "models/pets/dvc.lock")


# --- .dir objects -----------------------------------------------------------------------------------------------------


@given(listings)
def test_a_listing_is_read_as_it_was_written_and_as_dvc_writes_it(files: dict[str, str]) -> None:
    data = pointers.write_dir(frame(files))
    tree = Tree()
    for path, md5 in files.items():
        tree.add(tuple(path.split("/")), Meta(), HashInfo("md5", md5))
    tree.digest()
    assert data == tree.as_bytes()
    assert pointers.dir_md5(data) == tree.oid
    assert dict(pointers.read_dir(data, pointers.dir_md5(data)).select("relpath", "md5").iter_rows()) == files


@pytest.mark.parametrize("name", ['a"b', "a\\b", "ä", "a\nb", "a\tb", "a\x7fb"])
def test_names_that_dvc_would_escape_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="must be plain ASCII"):
        pointers.write_dir(frame({name: "0" * 32}))


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "..", ".", "", "a\\..\\b", "a/", "a\0b", "a\nb", None],
)  # fmt: skip
def test_a_file_that_would_land_elsewhere_is_refused(path: str | None) -> None:
    data = json.dumps([{"md5": "0" * 32, "relpath": path}]).encode()
    with pytest.raises(Refused, match="is no file of its folder"):
        pointers.read_dir(data, pointers.dir_md5(data))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'[{"md5": "0", "relpath": "x"}]', "is no file of its folder"),
        (b'[{"relpath": "x"}]', "is no file of its folder"),
        (b'[{"md5": 3, "relpath": "x"}]', "is no"),
        (json.dumps([{"md5": "0" * 32, "relpath": "x"}] * 2).encode(), "lists a file twice"),
        (b"{}", "is no"),
        (b"not json", "is not a list of files"),
        (b"", "is not a list of files"),
        (b"[[1, 2]]", "is no"),
    ],
)
def test_what_is_no_list_of_files_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(Refused, match=fault):
        pointers.read_dir(data, pointers.dir_md5(data))


def test_other_bytes_than_the_name_says_are_refused() -> None:
    with pytest.raises(Refused, match="holds other bytes than its name says"):
        pointers.read_dir(b"[]", hashlib.md5(b"else").hexdigest() + ".dir")


def test_an_empty_folder() -> None:
    assert pointers.read_dir(b"[]", pointers.dir_md5(b"[]")).rows() == []
    assert pointers.write_dir(frame({})) == b"[]"


@given(st.dictionaries(st.text(alphabet="a}{,: []", min_size=1, max_size=8).map("x{}x".format), md5s, max_size=8))
def test_a_long_list_is_read_in_parts_that_end_between_files(files: dict[str, str]) -> None:
    data = pointers.write_dir(frame(files))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pointers, "_PART", 10)
        assert dict(pointers.read_dir(data, pointers.dir_md5(data)).select("relpath", "md5").iter_rows()) == files
