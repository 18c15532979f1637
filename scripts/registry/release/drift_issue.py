"""The issue on what the nightly checks found."""

from pathlib import Path

TITLE = "What is published has drifted"
LABEL = "drift"
LONGEST = 20_000  # characters shown of one check: the body of an issue takes 65,536


def body(folder: Path, url: str) -> str:
    """The body: what each check said (the text files below `folder`), and where the run is."""
    files = sorted(folder.rglob("*.txt")) if folder.is_dir() else []
    lines = [f"The nightly run found that something is not as it was published: {url}", ""]
    for file in files:
        lines += [f"### `registry {file.stem}`", "", *_fenced(file.read_text(errors="replace")), ""]
    if not files:
        lines += ["No check could say what: a job failed before. The run has the details.", ""]
    lines += [
        "`registry fsck --all-tags --repair staging` puts back what is missing; close this issue when a run passes."
    ]
    return "\n".join(lines) + "\n"


def _fenced(text: str) -> list[str]:
    """The end of a text, where the verdict is, as a block in which nothing is a mention or a link."""
    shown = text[-LONGEST:].replace("~~~~", "~ ~ ~ ~")
    return ["~~~~text", shown.strip() or "(it said nothing)", "~~~~"]
