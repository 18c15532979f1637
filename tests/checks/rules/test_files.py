import pytest

from registry.core.values import Finding
from support import memory_registries


def check(path: str, data: bytes = b"x", links: frozenset[str] = frozenset()) -> list[Finding]:
    registry = memory_registries.sound()
    registry.files[path] = data
    return registry.check(links=links)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("big.csv", b"a" * 500_001), ("docs/big.png", b"a" * 500_001), ("nul.txt", b"a\0b"), ("x.bin", b"\0"),
        ("model.onnx", b"text"), ("photo.JPG", b"text"), ("a.tar.gz", b"x"), ("models/pets/old.safetensors", b"x"),
        ("docs/model.pt", b"\0"), ("docs/nul.txt", b"\0"),
    ],
)  # fmt: skip
def test_what_is_too_big_or_binary(path: str, data: bytes) -> None:
    (finding,) = check(path, data)
    assert (finding.check, finding.path) == ("large-files", path)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("data.csv", b"a" * 500_000), ("docs/flow.png", b"\x89PNG\0"), ("docs/flow.svg", b"<svg/>"),
        ("tests/x/truncated.jpg", b"\0"), ("text.md", "Größe".encode()), ("models/pets/plots/loss.tsv", b"1\t2\n"),
    ],
)  # fmt: skip
def test_what_git_may_hold(path: str, data: bytes) -> None:
    assert check(path, data) == []


def test_data_in_git_is_one_finding_for_each_folder_however_many_files_it_has() -> None:
    registry = memory_registries.sound()
    registry.files |= {f"datasets/pets/prepared/train/cat/{number}.jpg": b"\0" for number in range(1000)}
    registry.files["datasets/pets/raw/selection.parquet"] = b"\0"
    one, other = registry.check()
    assert (one.check, one.path, other.path) == ("data-in-git", "datasets/pets/prepared", "datasets/pets/raw")
    assert one.message.startswith("1,000 data files in Git, expected in DVC only: ")
    assert "datasets/pets/.gitignore" in one.fix


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("datasets/pets/a\nb", r"'datasets/pets/a\nb'"), ("x\x1b[31m", r"'x\x1b[31m'"), ("bad\udcff", r"'bad\udcff'"),
        ("models/pets/tr\u0430in.py", r"'models/pets/tr\u0430in.py'"), ("datasets/pets/a\\b", r"'datasets/pets/a\\b'"),
        ("datasets/pets/a:b", "'datasets/pets/a:b'"), ("datasets/pets/\u202egnp.exe", r"'datasets/pets/\u202egnp.exe'"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_plain_is_shown_in_ascii(path: str, shown: str) -> None:
    (finding,) = check(path)
    assert (finding.check, finding.message) == ("file-names", f"{shown} contains characters that are not portable")


@pytest.mark.parametrize("path", ["docs/Übersicht.md", "models/pets/a b+c=d@e,f~g.txt", "models/pets/.gitignore"])
def test_names_that_are_plain_enough(path: str) -> None:
    assert check(path) == []


# --- conflicts and byte order marks -----------------------------------------------------------------------------------

SIDES = "one\n=======\nother\n>>>>>>> 694a0e6 (a change)\n"
STYLES = {
    "merge": f"<<<<<<< HEAD\n{SIDES}",
    "diff3": "<<<<<<< HEAD\none\n||||||| parent of 694a0e6 (a change)\nbase\n=======\nother\n>>>>>>> 694a0e6\n",
    "stash": "<<<<<<< Updated upstream\n=======\nother\n>>>>>>> Stashed changes\n",
    "crlf": f"<<<<<<< HEAD\n{SIDES}".replace("\n", "\r\n"),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "path",
    ["notes.md", "models/pets/train.py", "models/pets/data.csv", ".gitattributes", "requirements.txt", "docs/plot.svg"],
)
def test_markers_of_a_merge_in_any_text(path: str, style: str) -> None:
    (finding,) = check(path, f"first\n{STYLES[style]}last\n".encode())
    assert (finding.check, finding.path, finding.line) == ("conflicts", path, 2)
    assert finding.message == "unresolved merge conflict"
    assert finding.fix == f"edit the file to what both sides want, then git add {path}"


@pytest.mark.parametrize(
    "text",
    [
        "A title\n=======\n\ntext\n", ">>> print(1)\n>>>>>>> x\n", "<<<<<<< x\n", "=======\n>>>>>>> x\n<<<<<<< y\n",
        "    <<<<<<< HEAD\n=======\n>>>>>>> x\n", "<<<<<<<<\n=======\n>>>>>>>>\n", '"<<<<<<< x"\n=======\n>>>>>>> x\n',
    ],
)  # fmt: skip
def test_what_is_no_conflict(text: str) -> None:
    assert check("notes.md", text.encode()) == []


def test_a_conflict_is_one_finding_with_what_resolves_it() -> None:
    """Generated files are made again; of what tools write, no mixture of both sides is right."""
    registry = memory_registries.sound()
    markers = STYLES["merge"].encode()
    registry.files["CODEOWNERS"] += markers
    for path in ("models/pets/dvc.lock", "models/pets/metrics.json", "datasets/pets/prepared.dvc", "registry.yaml"):
        registry.files[path] = markers
    found = {finding.path: (finding.check, finding.fix) for finding in registry.check()}
    assert found["models/pets/dvc.lock"][1].startswith("git checkout HEAD -- models/pets/dvc.lock; then follow")
    assert found["datasets/pets/prepared.dvc"][0] == "pointers"
    assert found["registry.yaml"] == ("settings", "edit the file to what both sides want, then git add registry.yaml")
    assert sorted(finding.path for finding in registry.check()) == sorted({*found}), "each is named once"


@pytest.mark.parametrize(
    ("path", "data"),
    [(".dvcignore", b"/.registry\n"), ("models/pets/run.sh", b"#!/bin/sh\n"), ("scripts/hook", b"#!x")],
)
def test_a_byte_order_mark_that_a_program_reads(path: str, data: bytes) -> None:
    assert check(path, data) == []
    (finding,) = check(path, b"\xef\xbb\xbf" + data)
    assert (finding.check, finding.path, finding.line) == ("byte-order-marks", path, 1)


@pytest.mark.parametrize("path", ["notes.md", ".gitattributes", "models/pets/plot.py", "models/pets/data.csv"])
def test_a_byte_order_mark_that_every_reader_skips(path: str) -> None:
    assert check(path, b"\xef\xbb\xbfx") == []
