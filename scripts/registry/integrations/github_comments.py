"""Comments and issues on GitHub: those of the token's own author, and requests that wait where GitHub asks to.

Whoever asks for a change here finds what is its own by author and by a mark in the text: the workflows of a repository
share the author github-actions[bot], and anybody can write a mark.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from registry.console import say
from registry.integrations import github
from registry.integrations.github import HttpFailure, Repository

MAX_BODY = 65_536  # characters of a comment, and of an issue, the most that GitHub stores
ATTEMPTS = 4  # of one piece of work
PATIENCE = 240  # seconds that it waits in all: the jobs that comment have thirty minutes
SECONDARY = 60  # seconds that GitHub asks for where it names a secondary rate limit, and no time
# 409: GitHub could not lock what it changes. 500 and above, and 0 (no response): the request may have been executed.
_TRANSIENT = frozenset({0, 409, 500, 502, 503, 504})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on an issue or a pull request; `author` is the login, empty for a deleted account."""

    id: int
    author: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class Issue:
    """An open issue; `author` is the login, empty for a deleted account."""

    number: int
    author: str
    body: str
    url: str


def login(repository: Repository) -> str:
    """The login of the token's own author, as comments have it; of a job's token, `github-actions[bot]`.

    Asked in GraphQL, because REST's `/user` refuses the token of a job. Raises HttpFailure, as all functions here.
    """
    found = github.send(repository, "POST", "graphql", {"query": "query { viewer { login } }"})
    return str(found["data"]["viewer"]["login"])


def comments(repository: Repository, number: int) -> tuple[Comment, ...]:
    """The comments on an issue or a pull request, of all pages, oldest first, without review comments on lines."""
    rows = github.get_all(repository, f"repos/{repository}/issues/{number}/comments")
    return tuple(sorted((_comment(row) for row in rows), key=lambda one: one.id))


def comment(repository: Repository, number: int) -> Comment:
    """One comment, by its own number."""
    return _comment(github.get(repository, f"repos/{repository}/issues/comments/{number}"))


def create_comment(repository: Repository, number: int, body: str) -> Comment:
    """Write a comment. After a failure without a status, or with one above 499, it may be there nevertheless."""
    path = f"repos/{repository}/issues/{number}/comments"
    return _comment(github.send(repository, "POST", path, {"body": body}))


def update_comment(repository: Repository, comment: int, body: str) -> Comment | None:
    """Replace the body of a comment; None where the comment does not exist any more."""
    path = f"repos/{repository}/issues/comments/{comment}"
    try:
        return _comment(github.send(repository, "PATCH", path, {"body": body}))
    except HttpFailure as error:
        if not _is_gone(error):
            raise
        return None


def delete_comment(repository: Repository, comment: int) -> None:
    """Remove a comment, if it is still there."""
    try:
        github.send(repository, "DELETE", f"repos/{repository}/issues/comments/{comment}")
    except HttpFailure as error:
        if not _is_gone(error):
            raise


def open_issues(repository: Repository) -> tuple[Issue, ...]:
    """The open issues, of all pages, oldest first, without pull requests."""
    rows = github.get_all(repository, f"repos/{repository}/issues?state=open")
    issues = [_issue(row) for row in rows if "pull_request" not in row]
    return tuple(sorted(issues, key=lambda one: one.number))


def create_issue(repository: Repository, title: str, body: str, label: str) -> Issue:
    """Open an issue. After a failure without a status, or with one above 499, it may be there nevertheless."""
    asked = {"title": title, "body": body, "labels": [label]}
    return _issue(github.send(repository, "POST", f"repos/{repository}/issues", asked))


def update_issue(repository: Repository, number: int, changes: Mapping[str, str]) -> Issue:
    """Change an issue: its `title`, `body`, `state`."""
    return _issue(github.send(repository, "PATCH", f"repos/{repository}/issues/{number}", changes))


def _is_gone(error: HttpFailure) -> bool:
    return error.status in {404, 410}


# --- waiting ----------------------------------------------------------------------------------------------------------


def patiently(work: Callable[[], T]) -> T:
    """What `work` gives. It is begun again where GitHub's failure passes, after the time that GitHub names.

    `work` looks first at what is there: a request that failed may have been executed. Raises the last HttpFailure.
    """
    waited = 0.0
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except HttpFailure as error:
            wait = _wait(error, attempt)
            if wait is None or attempt == ATTEMPTS or waited + wait > PATIENCE:
                raise
            say(f"{error.message}\n  next attempt in {wait:.0f} s", err=True)
            time.sleep(wait)
            waited += wait
    raise AssertionError("unreachable: the last attempt returns or raises")


def _wait(error: HttpFailure, attempt: int) -> float | None:
    """Seconds until the next attempt; None where another one would fail, too.

    docs.github.com, «Best practices for using the REST API»: retry-after, else x-ratelimit-reset, else a minute.
    """
    if error.is_rate_limit:
        if (seconds := error.headers.get("retry-after", "")).isdigit():
            return float(seconds)
        if error.headers.get("x-ratelimit-remaining") == "0" and error.headers.get("x-ratelimit-reset", "").isdigit():
            return max(0.0, float(error.headers["x-ratelimit-reset"]) - time.time())
        return float(SECONDARY)
    return float(2 ** (attempt - 1)) if error.status in _TRANSIENT else None


# --- rows -------------------------------------------------------------------------------------------------------------


def _comment(row: Mapping[str, Any]) -> Comment:
    return Comment(row["id"], _author(row), row["body"] or "", row["html_url"])


def _issue(row: Mapping[str, Any]) -> Issue:
    return Issue(row["number"], _author(row), row["body"] or "", row["html_url"])


def _author(row: Mapping[str, Any]) -> str:
    return str((row["user"] or {}).get("login", ""))
