"""The one report on a pull request: found among all comments by author and mark, written, and marked as stale.

A comment of a person or of another workflow is neither changed nor removed, whatever it quotes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from registry.console import say
from registry.core.wording import plural
from registry.errors import InvalidDocument, RegistryError
from registry.integrations import github_comments
from registry.integrations.github import Repository
from registry.integrations.github_comments import MAX_BODY, Comment, patiently
from registry.report.comment import Mark, find_mark, mark_stale, marked

SHOWN = 500  # characters of another program's failure

FirstPost = Callable[[str], int]  # writes a comment in another way, and returns its number; raises RegistryError


def read_report(path: Path) -> str:
    """The text of a rendered report. Raises InvalidDocument."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidDocument(str(path), f"is not UTF-8: {error.reason} at byte {error.start:,}") from error


def post(repository: Repository, number: int, text: str, mark: Mark, first_post: FirstPost | None = None) -> Comment:
    """Make `text` the report on a pull request, and the only one.

    The oldest report of this token's author is updated, and others, which two runs at once can leave, are removed.
    Where there is none, `first_post` writes it; where that fails or is not given, this function does. It can be
    repeated after any failure. Raises ServiceFailed, and InvalidDocument for a text that is too long.
    """
    body = marked(text, mark)
    if len(body) > MAX_BODY:
        fault = f"{plural(len(body), 'character')}, expected at most {MAX_BODY:,}"
        raise InvalidDocument("the report", fault, fix="render it with `registry report`, which shortens it")
    author = patiently(lambda: github_comments.login(repository))
    known: list[Comment] = []
    if first_post and not patiently(lambda: _reports(repository, number, author)):
        known = _first(repository, author, body, first_post)
    return patiently(lambda: _write(repository, number, author, body, known))


def outdate(repository: Repository, number: int, head: str, why: str) -> None:
    """Mark the report on a pull request as stale, unless there is none or it was made for `head`."""

    def mark_oldest() -> None:
        found = _reports(repository, number, github_comments.login(repository))
        if found and not _mark(found[0]).describes(head):
            _settle(repository, found, mark_stale(found[0].body, why))

    patiently(mark_oldest)


def _reports(repository: Repository, number: int, author: str) -> list[Comment]:
    """The reports of an author, oldest first."""
    listed = github_comments.comments(repository, number)
    return [comment for comment in listed if _is_report(comment, author)]


def _is_report(comment: Comment, author: str) -> bool:
    return comment.author == author and find_mark(comment.body) is not None


def _mark(comment: Comment) -> Mark:
    return find_mark(comment.body) or Mark()


def _first(repository: Repository, author: str, body: str, first_post: FirstPost) -> list[Comment]:
    """What `first_post` wrote: a list that GitHub gives may lack what it has just stored."""
    try:
        written = first_post(body)
        comment = patiently(lambda: github_comments.comment(repository, written))
    except RegistryError as error:
        # CML's own message contains the whole request.
        say(f"{error.message[:SHOWN]}\n  the report is posted without it", err=True)
        return []
    return [comment] if _is_report(comment, author) else []


def _write(repository: Repository, number: int, author: str, body: str, known: Sequence[Comment]) -> Comment:
    listed = _reports(repository, number, author)
    found = sorted({one.id: one for one in (*known, *listed)}.values(), key=lambda one: one.id)
    if settled := _settle(repository, found, body):
        return settled
    created = github_comments.create_comment(repository, number, body)
    others = _reports(repository, number, author)  # of another run, since the list above
    found = sorted({one.id: one for one in (*others, created)}.values(), key=lambda one: one.id)
    return _settle(repository, found, body) or created


def _settle(repository: Repository, found: Sequence[Comment], body: str) -> Comment | None:
    """Give the oldest report that still exists this body, and remove the others; None where none exists."""
    for position, oldest in enumerate(found):
        is_same = marked(oldest.body, _mark(oldest)) == body
        if kept := oldest if is_same else github_comments.update_comment(repository, oldest.id, body):
            for other in found[position + 1 :]:
                github_comments.delete_comment(repository, other.id)
            return kept
    return None
