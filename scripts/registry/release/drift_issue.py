"""The issue that the nightly workflow opens when a check of published versions fails."""

from pathlib import Path

from registry.errors import LoginEnded
from registry.integrations import github_comments
from registry.integrations.github import Repository
from registry.integrations.github_comments import Issue, patiently

TITLE = "Published versions fail the nightly checks"
LABEL = "drift"
MARK = "<!-- registry nightly -->"  # the last line of the body, by which the issue is found again
LONGEST = 20_000  # characters of one check's output: GitHub accepts 65,536 in the body of an issue


def find_unfinished(folder: Path) -> tuple[str, ...]:
    """What ended the checks before they were done, where each that failed ended so: none of them found anything.

    That is a login to a store that expired meanwhile; any other failure is one of the published versions until a person
    has looked. Empty where a check failed otherwise, or where none has written any output.
    """
    ends = [_find_end(file.read_text(errors="replace")) for file in _outputs(folder)]
    return tuple(ends) if all(ends) else ()


def _find_end(text: str) -> str:
    """The error by which a command stopped, at the end of its output, if it is `LoginEnded`."""
    told = [line for line in text.splitlines() if line.strip() and not line.startswith("  hint: ")]
    return told[-1] if told and told[-1].startswith(f"{LoginEnded.label}: ") else ""


def report(repository: Repository, folder: Path, url: str) -> str:
    """Open the issue, or update the open one; returns its URL. Raises ServiceFailed.

    It is the oldest open issue of this token's author with the mark; others, which two runs at once can leave, are
    closed. It can be repeated after any failure.
    """
    texts = {"title": TITLE, "body": body(folder, url)}

    def update_or_open() -> Issue:
        author = github_comments.login(repository)
        found = [issue for issue in github_comments.open_issues(repository) if _is_own(issue, author)]
        if not found:
            return github_comments.create_issue(repository, **texts, label=LABEL)
        for other in found[1:]:
            github_comments.update_issue(repository, other.number, {"state": "closed"})
        return github_comments.update_issue(repository, found[0].number, texts)

    return patiently(update_or_open).url


def _is_own(issue: Issue, author: str) -> bool:
    return issue.author == author and issue.body.rstrip().endswith(MARK)


def body(folder: Path, url: str) -> str:
    """The body: the output of each check (the text files below `folder`), and a link to the run."""
    files = _outputs(folder)
    lines = [f"The nightly checks of published versions failed: {url}", ""]
    for file in files:
        lines += [f"### `registry {file.stem}`", "", *_fenced(file.read_text(errors="replace")), ""]
    if not files:
        lines += ["No check wrote any output, because an earlier step failed. See the run.", ""]
    lines += [
        "`registry fsck --all-tags --repair staging` restores missing objects. Close this issue when a run succeeds."
    ]
    return "\n".join([*lines, "", MARK]) + "\n"


def _outputs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.txt")) if folder.is_dir() else []


def _fenced(text: str) -> list[str]:
    """The end of a text, where the result is, as a block in which nothing is a mention or a link."""
    shown = text[-LONGEST:].replace("~~~~", "~ ~ ~ ~")
    return ["~~~~text", shown.strip() or "(no output)", "~~~~"]
