import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import documents, pointers
from registry.core.values import Build, Output
from registry.errors import InvalidDocument
from support import memory_registries

md5s = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
sizes = st.integers(0, 1 << 50)


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


@given(names, md5s, sizes, st.none() | st.integers(0, 1_000_000_000))
def test_a_pointer_is_read_as_it_was_written(name: str, md5: str, size: int, nfiles: int | None) -> None:
    output = Output(f"datasets/pets/{name}", f"{md5}.dir" if nfiles is not None else md5, size, nfiles)
    data = pointers.write_pointer(output, {"build": {"images": 3}})
    assert pointers.read_pointer(data, "datasets/pets/x.dvc") == output
    assert documents.read_yaml(data, "x.dvc").data["meta"] == {"build": {"images": 3}}


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
    with pytest.raises(InvalidDocument, match="is not in the form that `registry build` writes"):
        build_of({"build": build})


# --- dvc.lock ---------------------------------------------------------------------------------------------------------


def lock(**entry: object) -> bytes:
    whole = {"path": "x", "hash": "md5", "md5": "0" * 32, "size": 1} | entry
    stages = {"train": {"cmd": "c", "deps": [{key: value for key, value in whole.items() if value is not None}]}}
    return memory_registries.dump({"schema": "2.0", "stages": stages})


def test_the_paths_of_a_lock_start_at_the_root() -> None:
    locked = pointers.read_lock(lock(path="../../datasets/pets/prepared"), "models/pets/dvc.lock")
    assert locked.deps == (Output("datasets/pets/prepared", "0" * 32, 1),)


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
