"""Finds misspelled words, and words that this project does not use: python scripts/words.py [FILE...].

Without files, in all that Git tracks. The words and what to write instead are in docs/words.toml. Exit code 1 when any
is found.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
GAP = r"[\s#*_]+"  # between two words of a phrase, which may be broken over two lines of a comment


class WordList(NamedTuple):
    """The list as parsed: the files that it is for, as Git specifies paths, and each word's replacement.

    `spelled` are the words that codespell must not report.
    """

    paths: tuple[str, ...]
    spelled: tuple[str, ...]
    words: Mapping[re.Pattern[str], str]


class Use(NamedTuple):
    """A place where a listed word is used."""

    path: Path
    line: int
    word: str
    replacement: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: banned word «{self.word}»; hint: write {self.replacement}"


def load(path: Path = ROOT / "docs/words.toml") -> WordList:
    """The list."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    paths = (*table.pop("include"), *(f":(exclude){path}" for path in table.pop("exclude")))
    spelled = tuple(table.pop("spelled"))
    return WordList(paths, spelled, {pattern(key): word for section in table.values() for key, word in section.items()})


def pattern(text: str) -> re.Pattern[str]:
    """A key of the list as a regular expression."""
    return re.compile(f"(?<![a-z])(?:{text.replace(' ', GAP)})(?![a-z])", re.IGNORECASE)


def find_uses(path: Path, text: str, words: Mapping[re.Pattern[str], str]) -> Iterator[Use]:
    """Every use of a listed word in a text."""
    for regex, replacement in words.items():
        for match in regex.finditer(text):
            yield Use(path, text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), replacement)


def find_files(paths: Sequence[str], only: Sequence[str]) -> list[Path]:
    """The tracked files below the paths, or those of them that are named."""
    listing = subprocess.run(["git", "ls-files", "-z", "--", *paths], cwd=ROOT, check=True, capture_output=True)
    files = {Path(name) for name in listing.stdout.decode().split("\0") if (ROOT / name).is_file()}
    return sorted(files & {Path(name) for name in only} if only else files)


def find_misspellings(files: Sequence[Path], spelled: Sequence[str]) -> list[str]:
    """The lines that codespell prints about the files."""
    program = str(Path(sys.executable).with_name("codespell"))
    command = [program, "--check-hidden", "--ignore-words-list", ",".join(spelled), *map(str, files)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


def main(only: Sequence[str]) -> int:
    """Print every use and every misspelling; the exit code."""
    listed = load()
    files = find_files(listed.paths, only)
    texts = ((path, (ROOT / path).read_text(encoding="utf-8", errors="ignore")) for path in files)
    uses = [str(use) for path, text in texts for use in sorted(find_uses(path, text, listed.words))]
    faults = uses + find_misspellings(files, listed.spelled) if files else []
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
