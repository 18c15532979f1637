"""The mark by which the report on a pull request is found again, and how a report is marked as stale."""

import re
from dataclasses import dataclass

from registry.errors import Refused

WATERMARK = "<!-- registry report -->"  # ends a rendered report
_STALE = "> **Stale**: "
_COMMIT = r"[0-9a-f]{7,64}"
# The last line of a comment. CML adds a picture below it, and an editor in a browser CRLF.
_MARK = re.compile(
    rf"(?:\A|\n)<!-- registry report(?: commit=(?P<commit>{_COMMIT}))?(?: head=(?P<head>{_COMMIT}))? -->"
    r"(?:\s*!\[\]\(https://cml\.dev/watermark\.png[^\n]*\))?\s*\Z"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the mark of a report says: the commit that it describes, and the head from which CI made that commit."""

    commit: str = ""
    head: str = ""

    def __post_init__(self) -> None:
        for name, value in (("commit", self.commit), ("head", self.head)):
            if value and not re.fullmatch(_COMMIT, value):
                raise Refused(f"{name} is {value[:80]}, expected the hexadecimal id of a commit")

    def __str__(self) -> str:
        facts = [f" {name}={value}" for name, value in (("commit", self.commit), ("head", self.head)) if value]
        return f"<!-- registry report{''.join(facts)} -->"

    def describes(self, commit: str) -> bool:
        """Whether the report was made for that commit."""
        return commit in {self.commit, self.head} - {""}


def find_mark(text: str) -> Mark | None:
    """The mark of a report; None for a text that only quotes or mentions one."""
    found = _MARK.search(text)
    return Mark(found["commit"] or "", found["head"] or "") if found else None


def marked(text: str, mark: Mark) -> str:
    """A rendered report that ends with this mark, in place of the one that it has."""
    found = _MARK.search(text)
    return f"{(text[: found.start()] if found else text).rstrip()}\n\n{mark}"


def mark_stale(text: str, why: str) -> str:
    """A rendered report with the reason why it is stale on top, in place of an earlier one."""
    fresh = re.split(r"\r?\n\r?\n", text, maxsplit=1)[-1] if text.startswith(_STALE) else text
    return f"{_STALE}{why}\n\n{fresh}"
