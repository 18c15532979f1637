"""The issue that the nightly workflow opens when a check of published versions fails."""

from pathlib import Path

TITLE = "Published versions fail the nightly checks"
LABEL = "drift"
LONGEST = 20_000  # characters of one check's output: GitHub accepts 65,536 in the body of an issue


def body(folder: Path, url: str) -> str:
    """The body: the output of each check (the text files below `folder`), and a link to the run."""
    files = sorted(folder.rglob("*.txt")) if folder.is_dir() else []
    lines = [f"The nightly checks of published versions failed: {url}", ""]
    for file in files:
        lines += [f"### `registry {file.stem}`", "", *_fenced(file.read_text(errors="replace")), ""]
    if not files:
        lines += ["No check wrote any output, because an earlier step failed. See the run.", ""]
    lines += [
        "`registry fsck --all-tags --repair staging` restores missing objects. Close this issue when a run succeeds."
    ]
    return "\n".join(lines) + "\n"


def _fenced(text: str) -> list[str]:
    """The end of a text, where the result is, as a block in which nothing is a mention or a link."""
    shown = text[-LONGEST:].replace("~~~~", "~ ~ ~ ~")
    return ["~~~~text", shown.strip() or "(no output)", "~~~~"]
