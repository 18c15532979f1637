"""The list of words that this project does not use, and the program that finds them."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripts import words

ROOT = Path(__file__).parents[2]
LIST = words.load()


def uses(text: str) -> list[str]:
    return [str(use) for use in words.find_uses(Path("a.md"), text, LIST.words)]


def test_a_use_names_its_line_and_what_to_write() -> None:
    assert uses("one\nThe Twins differ.\n") == ["a.md:2: banned word «Twins»; hint: write duplicate, near-duplicate"]


@pytest.mark.parametrize("text", ["who goes where", "Who  goes\nwhere", "# who\n# goes where", "test_who_goes_where"])
def test_a_phrase_is_found_across_lines_comments_and_names(text: str) -> None:
    assert len(uses(text)) == 1


@pytest.mark.parametrize("text", ["measure", "twinkle", "houses", "restrooms"])
def test_a_part_of_another_word_is_none(text: str) -> None:
    assert uses(text) == []


@pytest.mark.parametrize("replacement", sorted(set(LIST.words.values())))
def test_what_to_write_is_not_on_the_list(replacement: str) -> None:
    assert uses(replacement) == []


def test_the_program_reports_words_and_misspellings_of_tracked_files_only(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "docs").mkdir()
    for name in ("scripts/words.py", "docs/words.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text("Two twins, one recieved.\n")
    (tmp_path / "notes.txt").write_text("Two twins.\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)

    def run(*files: str) -> tuple[int, list[str]]:
        command = [sys.executable, "scripts/words.py", *files]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, [line.split(": ", 1)[1] for line in done.stdout.splitlines()]

    assert run() == (0, [])
    subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
    expected = ["banned word «twins»; hint: write duplicate, near-duplicate", "recieved ==> received"]
    assert run() == run("CHANGELOG.md", "notes.txt") == (1, expected)
    assert run("notes.txt") == (0, [])
