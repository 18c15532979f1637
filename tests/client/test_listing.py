"""Lists of files that are hostile: a file would be written wherever they say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client import listing
from registry.core import digests, item_paths, schema
from registry.core.documents import Document
from registry.core.item_paths import LABEL, MAX_LABEL
from registry.errors import InvalidData

UUID = "0a8c7f6e-0000-4000-8000-000000000001"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
CAT = f"train/cat/{UUID}.jpg"
HOSTILE = [
    f"../cat/{UUID}.jpg", f"/train/cat/{UUID}.jpg", f"train/../{UUID}.jpg", f"train/./{UUID}.jpg", f"train//{UUID}.jpg",
    f"train/a\\b/{UUID}.jpg", f"train/C:/{UUID}.jpg", f"train/con/{UUID}.jpg", f"train/Aux.x/{UUID}.jpg",
    f"train/cat./{UUID}.jpg", f"train/.git/{UUID}.jpg", f"train/{'x' * 65}/{UUID}.jpg", f"train/cat/{UUID}.jpg\n",
    f"train/ca\tt/{UUID}.jpg", f"train/cät/{UUID}.jpg", "train/cat/conftest.py", "metadata.parquet", "",
    f"other/cat/{UUID}.jpg", "train/metadata.parquet/x", f"train/cat/{UUID.upper()}.jpg",
]  # fmt: skip


def dump(*rows: object) -> bytes:
    return json.dumps(list(rows)).encode()


def parse(data: bytes) -> object:
    return listing.parse(data, f"{digests.md5(data)}.dir", "list")


def test_a_list_as_dvc_writes_it_is_read() -> None:
    data = dump({"md5": MD5, "relpath": "train/metadata.parquet"}, {"md5": MD5, "relpath": CAT})
    assert parse(data) == {CAT: MD5, "train/metadata.parquet": MD5}


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_no_dataset_has_is_refused(path: str) -> None:
    with pytest.raises(InvalidData, match="list: "):
        parse(dump({"md5": MD5, "relpath": path}))


@pytest.mark.parametrize(
    "others", [[CAT], [f"train/Cat/{UUID}.png"], [CAT.replace("cat", "CAT")]], ids=["twice", "folder", "file"]
)
def test_paths_that_are_one_somewhere_are_refused(others: list[str]) -> None:
    with pytest.raises(InvalidData, match=r"listed twice|one folder where case"):
        parse(dump(*({"md5": MD5, "relpath": path} for path in [CAT, *others])))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[1]", dump({"md5": MD5}), dump({"md5": "x", "relpath": CAT}), dump({"md5": None, "relpath": CAT}),
     dump({"md5": MD5, "relpath": CAT, "isexec": True}), dump({"md5": MD5, "relpath": 1}), b"[" * 100_000, b"\xff",
     b'[{"md5": "' + MD5.encode() + b'", "relpath": "x", "relpath": "' + CAT.encode() + b'"}]'],
)  # fmt: skip
def test_what_is_no_list_of_files_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData, match="list"):
        parse(data)


def test_a_list_with_another_md5_is_refused() -> None:
    with pytest.raises(InvalidData, match="checksum mismatch"):
        listing.parse(b"[]", f"{MD5}.dir", "list")


@given(st.text(st.sampled_from("aAcCoOnNuUxX lptm1 ._+-é/"), max_size=8) | st.just("x" * 65))
def test_a_class_is_what_manifests_may_have(label: str) -> None:
    document = Document("x.yaml", {"classes": [label]}, {(): 1, ("classes",): 2})
    is_wrong = any(fault.line == 2 for fault in schema.find_faults(document, "dataset"))
    assert bool(LABEL.fullmatch(label) and len(label) <= MAX_LABEL) != is_wrong
    if "/" not in label:  # train/1/a/… is the class a in a part
        assert bool(item_paths.find_fault([f"train/{label}/{UUID}.jpg"])) == is_wrong
