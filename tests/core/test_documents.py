import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from registry.core import documents, dvc_reading
from registry.core.documents import read_json, read_yaml, write_json, write_yaml
from registry.errors import InvalidDocument

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
looks_like_a_number = st.from_regex(r"[-+]?[0-9][0-9eE.xob_:-]{0,8}", fullmatch=True)
scalars = st.one_of(
    texts,
    looks_like_a_number,
    st.sampled_from(["no", "true", "null", "~", "", "2024-01-01", "<<", "=", "- x", "a: b", "#"]),
    st.booleans(),
    st.none(),
    st.integers(-(10**38), 10**38),
    st.floats(allow_nan=False, allow_infinity=False),
)
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(texts, data, min_size=1, max_size=4))
def test_yaml_is_read_as_it_was_written(value: dict[str, object]) -> None:
    assert read_yaml(write_yaml(value), "x").data == value


@given(st.text("0123456789_.eExXoObB+-:=<~ tTZyYnNul", max_size=12))
def test_ruamel_reads_what_is_written_as_it_is(text: str) -> None:
    assert YAML(typ="safe", pure=True).load(write_yaml({"a": text, "b": [text], text: 1})) == {
        "a": text,
        "b": [text],
        text: 1,
    }


@example({"-_7": 1, "a": ["-_", "+._"]})
@given(st.dictionaries(texts, data, min_size=1, max_size=4))
def test_what_libyaml_writes_is_read_alike(value: dict[str, object]) -> None:
    """`read_yaml` asks no second reader about these bytes."""
    for dumper in (documents._Dumper, documents._FastDumper):
        text = documents._dump(value, dumper).decode()
        assert dvc_reading.find_difference(text, value, "x") is None, text


@given(data)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert read_json(write_json(value), "x") == value


def fault_of(read: Callable[[bytes, str], object], blob: bytes) -> InvalidDocument | None:
    try:
        read(blob, "x")
    except InvalidDocument as error:
        return error
    return None


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_read_or_refused(blob: bytes) -> None:
    for read in (read_yaml, read_json):
        error = fault_of(read, blob)
        assert error is None or error.path == "x"


@given(st.text(alphabet="[]{}:,-&*!|>'\"#%@ \n\tab01.~<?", max_size=60))
def test_every_line_that_is_named_exists(text: str) -> None:
    last = text.count("\n") + 1
    error = fault_of(read_yaml, text.encode())
    named = read_yaml(text.encode(), "x").lines.values() if error is None else [error.line or 1]
    assert all(1 <= line <= last for line in named)


def refuse(text: str | bytes) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        read_yaml(text if isinstance(text, bytes) else text.encode(), "x.yaml")
    return caught.value


# --- YAML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("2024-01-01", "2024-01-01"), ("1:30", "1:30"), ("1_000", "1_000"), ("0b1", "0b1"),
        ("010", 10), ("0o10", 8), ("0x10", 16), ("1e3", 1000.0), (".5", 0.5), ("true", True), ("~", None), ("", None),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert read_yaml(f"key: {text}".encode(), "dataset.yaml").data == {"key": value}


def test_every_key_of_a_dataset_is_a_text() -> None:
    assert read_yaml(b"1: a\ntrue: b\n~: c\n", "dataset.yaml").data == {"1": "a", "true": "b", "~": "c"}


def test_lines_are_those_of_keys_and_items() -> None:
    document = read_yaml(b"a: 1\nb:\n  - x\n  -\n    c: 2\n", "x")
    assert dict(document.lines) == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 5, ("b", 1, "c"): 5}
    assert document.line(("b", 1, "c", "deeper")) == 5
    assert document.line(("nowhere",)) == 1


def test_a_duplicate_key_is_refused() -> None:
    assert refuse("a: 1\nb: 2\na: 3\n").line == 3
    assert "duplicate key '1'" in str(refuse('{1: x, "1": y}'))


def test_a_billion_laughs_are_refused_before_they_are_built() -> None:
    lines = ["a0: &a0 [lol, lol]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    assert "anchors and aliases" in str(refuse("\n".join(lines)))


def test_tags_that_make_objects_are_refused() -> None:
    assert "is not allowed" in str(refuse("a: !!python/object/apply:os.system [ls]"))
    assert "is not allowed" in str(refuse("a: ! x"))
    assert "is not allowed" in str(refuse("!!set {a, b}"))


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_however_deep(opener: str) -> None:
    message = str(refuse(opener * 100_000))
    assert "nested deeper than 32 levels" in message or "maximum nesting depth" in message, "libyaml 0.2.6 has a limit"


def test_a_hundred_megabytes_are_refused_unread() -> None:
    error = refuse(b"a: " + b"x" * 100_000_000)
    assert "file is 100,000,003 bytes, the limit is 1,048,576" in error.message
    assert "data belongs in DVC" in error.fix


def test_a_number_of_a_thousand_digits_is_refused_with_its_line() -> None:
    assert refuse("a: 1\nb: " + "9" * 1000).line == 2
    assert refuse("a: 1\nb: 0x" + "f" * 1000).line == 2


def test_nan_is_refused_with_its_line() -> None:
    error = refuse("a: 1\nb: .NaN")
    assert (error.line, error.fault) == (2, "not valid YAML: .NaN is not allowed as a number")


def test_faults_of_bytes_have_a_line() -> None:
    assert (refuse(b"a: 1\nb: \xff\n").line, refuse(b"a: 1\nb: \0\n").line) == (2, 2)
    assert "save the file as UTF-8" in str(refuse("a: ä".encode("utf-16")))
    assert refuse(b"a: 1\nb: \0\n").fault == "not valid YAML: the character U+0000 is not allowed"


def test_other_faults() -> None:
    assert "the file is empty" in str(refuse(""))
    assert "the file is empty" in str(refuse("# only words\n"))
    assert "another document" in str(refuse("a: 1\n---\nb: 2\n"))
    assert "a key must be a string" in str(refuse("? [a, b]\n: c\n"))


# --- YAML that DVC reads, too -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault", "mended"),
    [
        ("k: 2024-01-01", "a value is the text '2024-01-01' here, and the date 2024-01-01 for DVC", "k: '2024-01-01'"),
        ("k: 1_000", "a value is the text '1_000' here, and the number 1000 for DVC", "k: '1_000'"),
        ("k: 0b1", "a value is the text '0b1' here, and the number 1 for DVC", "k: '0b1'"),
        ("k: -0x1F", "a value is the text '-0x1F' here, and the number -31 for DVC", "k: '-0x1F'"),
        ("k: .1e1", "a value is the number 1.0 here, and the text '.1e1' for DVC", "k: '.1e1'"),
        ("k: [7_e7]", "a value is the text '7_e7' here, and the number 70000000.0 for DVC", "k: ['7_e7']"),
        ("k: 0_6e6", "a value is the text '0_6e6' here, and the number 6000000.0 for DVC", "k: '0_6e6'"),
        ("k: 2024-13-45", "DVC cannot read it: month must be in 1..12", "k: '2024-13-45'"),
        ("k: =", "DVC cannot read it: could not determine a constructor for the tag", "k: '='"),
        ("1: x", "the key '1' is the number 1 for DVC", "'1': x"),
        ("a: {null: x}", "the key 'null' is null for DVC", "a: {'null': x}"),
        ("true: x", "the key 'true' is true for DVC", "'true': x"),
        ("<<: {a: 1}", "DVC reads no key '<<' here", "'<<': {a: 1}"),
    ],
)
def test_what_dvc_would_read_otherwise_is_refused(text: str, fault: str, mended: str) -> None:
    error = refuse(f"x: 1\n{text}")
    assert (error.fault[: len(fault)], error.line) == (fault, 2 if "month" not in fault else None)
    assert read_yaml(f"x: 1\n{mended}".encode(), "params.yaml").data["x"] == 1


def test_a_file_that_takes_long_to_read_twice_is_refused() -> None:
    text = b"a: [" + b"1," * 60_000 + b"]  # numbers\nb: '" + b"x" * 20_000 + b"'\n"
    with pytest.raises(InvalidDocument, match="the limit for YAML that DVC reads is 131,072"):
        read_yaml(text, "params.yaml")
    assert read_yaml(text, "dataset.yaml").data["b"]
    assert "has more than 100,000 values" in str(refuse(b"[" + b"1," * 500_000 + b"]"))


def test_directives_are_refused() -> None:
    assert refuse("%YAML 1.1\n---\nkey: no").fault == "directives (%) are not allowed"


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\ufeff", "\r"])
@pytest.mark.parametrize("path", ["raw.dvc", "dataset.yaml"])
def test_a_character_that_readers_take_differently_is_refused(character: str, path: str) -> None:
    with pytest.raises(InvalidDocument, match=rf"U\+{ord(character):04X} is read differently") as caught:
        read_yaml(f"a: 1\n# x{character}b: 2\n".encode(), path)
    assert caught.value.line == 2
    assert read_yaml(f'a: "\\u{ord(character):04x}"\r\n'.encode(), path).data == {"a": character}, "what the hint says"


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ("{", "Expecting property name"),
        ("[" * 100_000, "nested deeper than 32 levels"),
        ("1" * 10_000, "is too long"),
        ("\ufeff{}", "starts with a byte order mark"),
        ('{"\\ud800": 1}', "has half of a surrogate pair"),
    ],
)
def test_json_that_is_ambiguous_or_hostile_is_refused(text: str, fault: str) -> None:
    with pytest.raises(InvalidDocument, match=fault):
        read_json(text.encode(), "x.json")


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert read_json(b'"\\ud83d\\ude00"', "x.json") == "\U0001f600"


def test_a_curve_may_have_an_infinite_threshold() -> None:
    assert read_json(b'[{"x": Infinity}]', "roc.json", is_finite=False) == [{"x": math.inf}]


def test_a_fault_of_json_has_its_line() -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_json(b'{\n"a": 1,\n"b": }', "x.json")
    assert caught.value.line == 3


def test_nan_is_not_written_as_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": math.nan})


# --- editing ----------------------------------------------------------------------------------------------------------


def test_editing_keeps_comments_order_and_quotes() -> None:
    old = b'# words\nversion: 1.0.0 # now\nowners: ["@a"]\nsource: {look: 3}\n'
    new = documents.edit_yaml(old, {("version",): "2.0.0", ("exclude", "x"): "why"})
    assert new == b'# words\nversion: 2.0.0 # now\nowners: ["@a"]\nsource: {look: 3}\nexclude:\n  x: why\n'


@pytest.mark.parametrize("character", ["\x07", "\x85", "\u2028", "\u2029", "\ufeff", "\r"])
def test_what_is_edited_can_be_read_whatever_it_says(character: str) -> None:
    texts = {"one": f"a{character}b", "many": [f"a{character}b", "c"], "deep": {"d": {"e": f"a{character} b"}}}
    edited = documents.edit_yaml(b"title: pets\n", {(key,): text for key, text in texts.items()})
    assert documents.read_yaml(edited, "datasets/pets/dataset.yaml").data == {"title": "pets", **texts}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ([b"a: 1", b"<<<<<<< HEAD", b"b: 1", b"=======", b"b: 2", b">>>>>>> topic"], 2),
        ([b"a: 1", b"<<<<<<< HEAD", b"b: 1", b"||||||| base", b"b: 0", b"=======", b"b: 2", b">>>>>>> topic"], 2),
        ([b"a: 1", b"b: 1", b"=======", b"b: 2", b">>>>>>> topic"], 3),
        ([b"a: 1", b"b: 1", b">>>>>>> topic"], 3),
        ([b"<<<<<<< Updated upstream", b"=======", b"a: 1", b">>>>>>> Stashed changes"], 1),
    ],
)
def test_a_merge_conflict_is_called_one(lines: list[bytes], line: int, end: bytes) -> None:
    for path in ("raw.dvc", "dvc.lock", "dataset.yaml"):
        with pytest.raises(InvalidDocument, match="unresolved merge conflict") as caught:
            read_yaml(end.join([*lines, b""]), path)
        assert caught.value.line == line


def test_a_text_about_conflicts_is_none() -> None:
    assert read_yaml(b"a: |\n  <<<<<<< HEAD\n  =======\nb: '<<<<<<< x'\n", "x").data["b"] == "<<<<<<< x"


@pytest.mark.parametrize(
    ("encoding", "fault"),
    [
        ("utf-8-sig", "starts with a byte order mark"), ("utf-16", "not UTF-8 text"), ("utf-16-le", "not UTF-8 text"),
        ("utf-16-be", "not UTF-8 text"), ("utf-32", "not UTF-8 text"), ("utf-32-le", "not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_an_editor_saved_in_another_encoding_is_named(encoding: str, fault: str) -> None:
    with pytest.raises(InvalidDocument, match=fault) as caught:
        documents.read_yaml("name: pets\n".encode(encoding), "dataset.yaml")
    assert caught.value.fix.startswith("save the file as UTF-8")
