import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import digests, documents, output_names, pointers
from registry.core.artifact_files import list_files, read_pipeline
from registry.core.tree import DictTree
from registry.core.values import Build, Output
from registry.errors import InvalidDocument
from support import memory_registries

md5s = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}(\.[a-n]{1,4})?", fullmatch=True).filter(
    lambda name: not output_names.find_fault(name) and name not in (*pointers.FOLDERS, *pointers.FILES)
)
sizes = st.integers(0, 1 << 50)


# --- names of objects -------------------------------------------------------------------------------------------------


@given(st.one_of(md5s, md5s.map("{}.dir".format)))
def test_an_object_s_key_leads_back_to_its_md5(md5: str) -> None:
    assert digests.object_md5(digests.object_key(md5)) == md5


@given(st.text(alphabet="abf019/.dirmes5-", max_size=50))
def test_no_other_key_is_an_object_s(key: str) -> None:
    md5 = digests.object_md5(key)
    assert md5 is None or digests.object_key(md5) == key


@pytest.mark.parametrize(
    "key",
    ["", "files/md5", "files/md5/ab", "files/md5/AB/" + "0" * 30, "files/md5/ab/" + "0" * 29, "ab/" + "0" * 30,
     "files/md5/ab/" + "0" * 30 + ".tmp", "x/files/md5/ab/" + "0" * 30, "files/md5/ab/../" + "0" * 30],
)  # fmt: skip
def test_keys_of_no_object(key: str) -> None:
    assert digests.object_md5(key) is None


# --- .dvc files -------------------------------------------------------------------------------------------------------


@given(names, md5s, sizes, st.none() | st.integers(0, 1_000_000_000))
def test_a_pointer_is_read_as_it_was_written(name: str, md5: str, size: int, nfiles: int | None) -> None:
    output = Output(f"datasets/pets/{name}", f"{md5}.dir" if nfiles is not None else md5, size, nfiles)
    data = pointers.write_pointer(output, {"build": {"images": 3}})
    assert pointers.read_pointer(data, f"datasets/pets/{name}.dvc") == output
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


NO_POINTERS: dict[str, tuple[dict[str, object], str]] = {
    "a folder above": ({"path": "../prepared"}, "outs.0.path"),
    "an absolute path": ({"path": "/etc/passwd"}, "outs.0.path"),
    "a path of Windows": ({"path": "..\\prepared"}, "outs.0.path"),
    "a drive": ({"path": "C:prepared"}, "outs.0.path"),
    "a hidden file": ({"path": ".gitignore"}, "outs.0.path"),
    "a folder below": ({"path": "prepared/train"}, "outs.0.path"),
    "another file": ({"path": "dataset.yaml"}, "points to dataset.yaml, expected prepared"),
    "the other folder": ({"path": "raw"}, "points to raw, expected prepared"),
    "another spelling": ({"path": "Prepared"}, "points to Prepared, expected prepared"),
    "a file": ({"md5": "0" * 32, "nfiles": None}, "does not point to the folder datasets/pets/prepared"),
    "a folder of no number": ({"nfiles": None}, "a folder has an MD5 that ends in .dir, and nfiles"),
    "a file of files": ({"md5": "0" * 32}, "a folder has an MD5 that ends in .dir, and nfiles"),
    "a short MD5": ({"md5": "0" * 31 + ".dir"}, "outs.0.md5"),
    "an MD5 in upper case": ({"md5": "A" * 32 + ".dir"}, "outs.0.md5"),
    "a list of lists": ({"md5": "0" * 32 + ".dir.dir"}, "outs.0.md5"),
    "an MD5 that is a path": ({"md5": "../../../../" + "0" * 20}, "outs.0.md5"),
    "an MD5 with a newline": ({"md5": "0" * 32 + ".dir\n"}, "outs.0.md5"),
    **{
        f"{key} {value}": ({key: value}, f"outs.0.{key}")
        for key in ("size", "nfiles")
        for value in (-1, 10**30, 1.5, True, "1", [1])
    },
    **{
        key: ({key: value}, f"outs.0: unknown key '{key}'")
        for key, value in {
            "cache": False, "persist": True, "push": False, "remote": "evil", "files": [], "cloud": {}, "etag": "x",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NO_POINTERS)
def test_a_pointer_says_what_it_points_to_and_no_more(name: str) -> None:
    entry, fault = NO_POINTERS[name]
    whole = {"md5": f"{'0' * 32}.dir", "size": 1, "nfiles": 1, "hash": "md5", "path": "prepared"} | entry
    out = {key: value for key, value in whole.items() if value is not None}
    with pytest.raises(InvalidDocument, match=re.escape(fault)) as error:
        pointers.read_pointer(memory_registries.dump({"outs": [out]}), "datasets/pets/prepared.dvc")
    assert error.value.line
    assert error.value.fix


@pytest.mark.parametrize(
    "key", ["wdir", "frozen", "deps", "cmd", "md5", "always_changed", "params", "metrics", "plots", "live", "stages"]
)
def test_a_pointer_that_is_a_stage_is_refused(key: str) -> None:
    out = {"md5": f"{'0' * 32}.dir", "size": 1, "nfiles": 1, "hash": "md5", "path": "prepared"}
    with pytest.raises(InvalidDocument, match=f"unknown key '{key}'"):
        pointers.read_pointer(memory_registries.dump({"outs": [out], key: "x"}), "datasets/pets/prepared.dvc")


@pytest.mark.parametrize("name", ["train.py", "dvc.yaml", "model.yaml", ".git", "sub.dvc", "weights.pth", "Makefile"])
def test_a_pointer_to_what_a_tool_obeys_is_refused(name: str) -> None:
    out = {"md5": "0" * 32, "size": 1, "hash": "md5", "path": name}
    with pytest.raises(InvalidDocument):
        pointers.read_pointer(memory_registries.dump({"outs": [out]}), f"models/pets/{name}.dvc")


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


NO_OUTPUTS = {
    "a folder above": "../other/model.onnx",
    "the folder itself": ".",
    "out and in again": "../pets/model.onnx",
    "through a folder": "plots/../../../.git/hooks/x",
    "an absolute path": "/etc/passwd",
    "a path of Windows": "a\\..\\..\\b",
    "a drive": "C:/Windows/x",
    "Git's folder": "plots/.git/hooks/x",
    "Git's folder, as Windows abbreviates it": "plots/GIT~1/x",
    "Git's folder in other letters": ".GIT/config",
    "Git's folder with a space": ".git /config",
    "DVC's folder": ".dvc/config",
    "Python's folder": ".venv/lib/x.pth",
    "code": "train.py",
    "the pipeline": "dvc.yaml",
    "the manifest": "Model.yaml",
    "the manifest with a dot": "model.yaml.",
    "a pointer": "plots/x.dvc",
    "tests": "plots/conftest.py",
    "make": "Makefile",
    "pip": "requirements.txt",
    "start": "lib/pyvenv.cfg",
    "two slashes": "plots//x.csv",
    "a slash at the end": "plots/",
    "a long name": "x" * 256,
    "a newline": "a\nb",
    "NUL": "a\0b",
    "right to left": "plots/\u202egnp.csv",
    "no text": 3,
}


@pytest.mark.parametrize("name", NO_OUTPUTS)
def test_an_output_that_is_no_product_of_its_stage_is_refused(name: str) -> None:
    entry = {"path": NO_OUTPUTS[name], "hash": "md5", "md5": "0" * 32, "size": 1}
    data = memory_registries.dump({"schema": "2.0", "stages": {"train": {"cmd": "c", "outs": [entry]}}})
    with pytest.raises(InvalidDocument) as error:
        pointers.read_lock(data, "models/pets/dvc.lock")
    assert error.value.line == 6
    assert error.value.fix


@pytest.mark.parametrize("path", NO_OUTPUTS.values(), ids=NO_OUTPUTS)
def test_a_pipeline_declares_no_such_output(path: object) -> None:
    stages = {"train": {"cmd": "c", "outs": [path], "metrics": [{str(path): {"cache": False}}]}}
    files = list_files(DictTree({"models/pets/dvc.yaml": memory_registries.dump({"stages": stages})}))
    parsed = read_pipeline(files, "models/pets/dvc.yaml")
    assert parsed.value is None
    assert parsed.faults


@given(st.from_regex(r"[A-Za-z0-9_-]{1,9}(/[A-Za-z0-9_ -]{1,9}[A-Za-z0-9_-])?(\.(csv|json|png|onnx))?", fullmatch=True))
def test_other_names_are_outputs(path: str) -> None:
    assert output_names.find_fault(path) == "" or path.lower() in {"makefile", "gnumakefile", "dockerfile"}
    assert bool(output_names.find_fault(path)) == any(
        part.lower() in output_names.TOOLS | output_names.DOCUMENTS for part in path.split("/")
    )


@pytest.mark.parametrize("data", [b"[]", b"3", b"stages: []", b"stages: {a: 3}", b"stages: {a: {outs: 3}}", b"a: 1"])
def test_what_is_no_lock_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidDocument):
        pointers.read_lock(data, "models/pets/dvc.lock")
