"""The YAML that DVC obeys is read by these checks as DVC itself reads it, or refused."""

import io
from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import documents, pointers
from registry.errors import InvalidDocument
from registry.model import result_files

PROJECT = Path(__file__).parents[2]
MD5 = "5d41402abc4b2a76b9719d911017c592"
POINTER = (
    f"outs:\n- md5: {MD5}.dir\n  size: 12\n  nfiles: 3\n  hash: md5\n  path: raw\nmeta:\n  build: {{'a': [1, 2.5]}}\n"
)
LOCK = (
    "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n    deps:\n    - path: train.py\n      hash: md5\n"
    f"      md5: {MD5}\n      size: 4\n    params:\n      model.yaml:\n        a.b: 1\n        lr: 1e-05\n"
    f"    outs:\n    - path: model.onnx\n      hash: md5\n      md5: {MD5}\n      size: 4\n"
)
SOURCES = (POINTER, LOCK, *((PROJECT / "models/cats_dogs" / name).read_text() for name in ("dvc.yaml", "model.yaml")))
BREAKS = (
    "\x85",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\r",
    "\r\n",
    "\n",
    "\n  ",
    "\n\n",
    "\t",
    " ",
    "  ",
    "\x0b",
    "\x0c",
    "\0",
)
SIGNS = (
    *("#", "# x", "'", '"', "|", "|-", ">", "|2", ">+", "[", "]", "{", "}", ",", ":", ": ", "- ", "-", "? ", "?", "!"),
    *("!!str ", "&a ", "*a", "<<", "<<: ", "=", "---\n", "...\n", "%YAML 1.1\n---\n", "%TAG ! x\n", "\\", "\\u2028"),
    *("\x7f", "\xa0", "\u200b", "\u3000", "a: b", "a:b", "{a: 1}", "{a:1}", "[a, b]", "[a: b]", '"a":b', "@", "`", "%"),
)
SCALARS = (
    *("~", "null", "true", "yes", "no", "1_000", "0b1", "-0x1F", "0o7", "-0o7", "010", "08", "0x", "1.", "+1", "-.5"),
    *("2024-01-01", "2024-13-45", "2001-12-14t21:59:43.10-05:00", ".1e1", "7_e7", "0_6e6", "1e5", "1:30", ".inf", "_1"),
)
edits = st.tuples(
    st.integers(0, 10_000), st.sampled_from([0, 0, 0, 1, 2, 4]), st.sampled_from([*BREAKS, *SIGNS, *SCALARS, ""])
)


def _mutate(text: str, changes: list[tuple[int, int, str]]) -> str:
    """A text where some characters are replaced; a change says where, how many, and by what."""
    for at, length, new in changes:
        start = at % (len(text) + 1)
        text = text[:start] + new + text[start + length :]
    return text


def _read_by_dvc(data: bytes, typ: str = "safe") -> object:
    """What DVC reads of a file, which it opens as text."""
    return parse_yaml(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read(), "x", typ=typ)


def _typed(value: object) -> object:
    """A value that equals another one only where all types are the same: 1 is not True, and not 1.0."""
    match value:
        case dict():
            return {(type(key), key): _typed(one) for key, one in value.items()}
        case list():
            return [_typed(one) for one in value]
    return type(value), value


@given(st.sampled_from(SOURCES), st.lists(edits, min_size=1, max_size=5))
@settings(max_examples=150)
def test_what_is_read_is_what_dvc_reads(source: str, changes: list[tuple[int, int, str]]) -> None:
    data = _mutate(source, changes).encode()
    try:
        found = documents.read_yaml(data, "model.yaml").data
    except InvalidDocument:
        return
    assert _typed(found or {}) == _typed(_read_by_dvc(data))
    assert _read_by_dvc(data, "rt") == (found or {}), "as DVC reads it to change it"


# For libyaml, U+2028 ends the comment, so that the first key stands in column 0; for ruamel.yaml in column 4.
ATTACK = """\
# x\u2028desc: |
    outs:
    - {{md5: {md5}, size: 1, hash: md5, path: evil.yml}}
    wdir: ../../.github/workflows
    meta: {{x: "
{honest}# "}}
"""


def test_a_pointer_with_two_readings_is_refused() -> None:
    honest = f"outs:\n- {{md5: {MD5}.dir, size: 12, nfiles: 3, hash: md5, path: raw}}\n"
    data = ATTACK.format(md5=MD5, honest=honest).encode()
    dvc = _read_by_dvc(data)
    assert isinstance(dvc, dict)
    assert (dvc["wdir"], dvc["outs"][0]["path"]) == ("../../.github/workflows", "evil.yml"), "the attack works on DVC"
    with pytest.raises(InvalidDocument, match=r"raw\.dvc:1: the character U\+2028 is read differently"):
        pointers.read_pointer(data, "raw.dvc")


def test_a_lock_with_two_readings_is_not_accepted_from_a_training() -> None:
    data = f"# x\u2028{LOCK}".encode()
    with pytest.raises(InvalidDocument, match=r"U\+2028 is read differently"):
        result_files.require_lock(data, "models/pets/dvc.lock", ["train"])
    result_files.require_lock(LOCK.encode(), "models/pets/dvc.lock", ["train"])
