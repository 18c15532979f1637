"""Questions to GitHub and actions on it, in our words, each over `gh api`; nobody else in the package spells gh.

Only REST, of which GitHub publishes a description that tests can judge by; `gh release` and `gh pr` ask in GraphQL too.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from registry.errors import NotFound, RegistryError, ServiceFailed, ToolFailed
from registry.integrations import git
from registry.integrations.process import run, tool_path

PAGE = 100  # rows a page, the most that GitHub gives
TIMEOUT = 120  # seconds for one call, all pages of a list included
LONGEST_STATUS = 140  # characters of a status' description
ACTIONS = "github-actions[bot]"  # who speaks with a job's own token
_SSH = re.compile(r"(?:ssh://)?[\w.-]+@(?P<host>[\w.-]+)(?::\d+/|[:/])(?P<path>.+)")
_NAME = re.compile(r"(?:(?P<host>[^/\s]+)/)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)")
_AGAIN = "run the same command again: what is done already is left alone"
_FIXES = {
    "401": "gh auth login, or set GH_TOKEN to a token that is still valid",
    "403": "use a token that may do this; in GitHub Actions the job's `permissions:` say so",
    "404": "is the name right (GH_REPO, or the remote origin), and may the token see it?",
    "422": "GitHub's words above say which value it refuses; correct it, then run the same command again",
}


class Unreachable(RegistryError):
    """There is no GitHub to speak to from here: no repository there, no gh, or no token."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on GitHub. `connect` finds the one that a clone belongs to."""

    host: str
    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://{self.host}/{self}"


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it stands on GitHub."""

    id: int
    tag: str
    title: str
    notes: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment in the talk of an issue or a pull request; `author` is the login, empty of who left GitHub."""

    id: int
    author: str
    words: str


# --- where ------------------------------------------------------------------------------------------------------------


def find(root: Path) -> Repository | None:
    """The repository on GitHub that a clone belongs to: what GH_REPO names, as for gh, or else the remote `origin`.

    None where origin is anywhere else. GITHUB_REPOSITORY is not asked: in a job it also stands around scratch clones.
    """
    if named := _NAME.fullmatch(os.environ.get("GH_REPO", "")):
        return Repository(named["host"] or os.environ.get("GH_HOST", "github.com"), named["owner"], named["name"])
    if not git.has_remote(root):
        return None
    found = parse_url(git.remote_url(root))
    return found if found and _is_github(found.host) else None


def parse_url(url: str) -> Repository | None:
    """A remote's URL (HTTPS, or SSH in either form) as a repository; None where it is not HOST and OWNER/NAME."""
    if "://" in url and not url.startswith("ssh://"):
        parts = urlsplit(url)
        host, path = parts.netloc.rpartition("@")[2], parts.path
    else:
        match = _SSH.fullmatch(url)
        host, path = (match["host"], match["path"]) if match else ("", "")
    named = _NAME.fullmatch(path.strip("/").removesuffix(".git"))
    return Repository(host, named["owner"], named["name"]) if host and named and not named["host"] else None


def _is_github(host: str) -> bool:
    own = {os.environ.get("GH_HOST"), urlsplit(os.environ.get("GITHUB_SERVER_URL", "")).netloc}
    return host == "github.com" or host.endswith(".ghe.com") or host in own


def connect(root: Path) -> Repository:
    """The repository that a clone belongs to, when gh is here and has a token for it. Raises Unreachable."""
    found = find(root)
    if not found:
        fix = "if it is there under another address, set GH_REPO=OWNER/NAME"
        raise Unreachable("this clone's origin is not on GitHub", fix=fix)
    try:
        _gh("auth", "token", "--hostname", found.host, host=found.host, quiet=True)
    except NotFound as error:
        raise Unreachable(error.message, fix="install it: https://cli.github.com") from error
    except ToolFailed as error:
        name = "GH_TOKEN" if found.host == "github.com" else "GH_ENTERPRISE_TOKEN"
        fix = f"gh auth login --hostname {found.host}, or set {name}"
        raise Unreachable(f"gh has no token for {found.host}", fix=fix) from error
    return found


# --- one call ---------------------------------------------------------------------------------------------------------


def ask(repository: Repository, path: str) -> Any:
    """What GitHub says at a path of its API. Raises ServiceFailed."""
    return json.loads(_call(repository, "GET", path))


def ask_all(repository: Repository, path: str, key: str = "") -> list[Any]:
    """All rows of a list, page after page; `key` where each page is a mapping that holds them."""
    more = "&" if "?" in path else "?"
    told = _call(repository, "GET", f"{path}{more}per_page={PAGE}", "--paginate", "--slurp")
    return [row for page in json.loads(told) for row in (page[key] if key else page)]


def tell(repository: Repository, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Change something; printed as it is run, but for the body. Raises ServiceFailed."""
    if body is None:
        told = _call(repository, method, path)
    else:
        told = _call(repository, method, path, "--input", "-", stdin=json.dumps(body).encode())
    return json.loads(told) if told else None


def _call(repository: Repository, method: str, path: str, *more: str, stdin: bytes | None = None) -> bytes:
    quiet = method == "GET"
    try:
        return _gh("api", "--method", method, path, *more, host=repository.host, quiet=quiet, stdin=stdin)
    except ToolFailed as error:
        raise _explained(f"{repository.host} refused {method} {path}", error) from error


def _gh(*args: str, host: str, quiet: bool, stdin: bytes | None = None) -> bytes:
    # `gh api` (2.102) takes no host from GH_REPO, and no port in `--hostname`.
    settings = {"GH_HOST": host, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "GH_DEBUG": ""}
    return run(["gh", *args], env={**settings, "PATH": tool_path()}, quiet=quiet, stdin=stdin, timeout=TIMEOUT)


def _explained(fault: str, failed: ToolFailed) -> ServiceFailed:
    lines = [line.strip().removeprefix("gh: ") for line in failed.stderr.splitlines() if line.strip()]
    words = "; ".join([*lines, *_details(failed.stdout)])
    status = match[1] if (match := re.search(r"HTTP (\d{3})", words)) else ""
    fix = _FIXES.get(status, f"{_AGAIN}; https://www.githubstatus.com says how GitHub is")
    if status == "429" or "rate limit" in words:
        fix = f"wait until `gh api rate_limit` says that there is more, then {_AGAIN}"
    return ServiceFailed(f"{fault}: {words}", fix=fix)


def _details(answer: str) -> Iterator[str]:
    """What a refusal says of single values: texts, or mappings with a message or a code; gh (2.102) shows none."""
    try:
        errors = json.loads(answer)["errors"]
    except (ValueError, LookupError, TypeError):
        return
    for error in errors:
        named = error if isinstance(error, dict) else {"message": error}
        yield str(named.get("message") or f"{named.get('field')} {named.get('code')}")


# --- releases ---------------------------------------------------------------------------------------------------------


def releases(repository: Repository) -> tuple[Release, ...]:
    """Every release, drafts left out."""
    rows = ask_all(repository, f"repos/{repository}/releases")
    return tuple(
        Release(row["id"], row["tag_name"], row["name"] or "", row["body"] or "") for row in rows if not row["draft"]
    )


def create_release(repository: Repository, tag: str, title: str, notes: str) -> None:
    """A release of a tag that exists, unless it has one; never as «latest», which knows no artifacts."""
    # GitHub makes a tag that does not exist, of main and lightweight; so look first.
    ask(repository, f"repos/{repository}/git/ref/tags/{quote(tag, safe='/@')}")
    body = {"tag_name": tag, "name": title, "body": notes, "make_latest": "false"}
    try:
        tell(repository, "POST", f"repos/{repository}/releases", body)
    except ServiceFailed as error:
        if "tag_name already_exists" not in error.message:
            raise  # not another publish that was quicker


def change_release(repository: Repository, release: Release) -> None:
    """Give a release this title and these notes."""
    body = {"name": release.title, "body": release.notes}
    tell(repository, "PATCH", f"repos/{repository}/releases/{release.id}", body)


# --- pull requests, statuses, issues ----------------------------------------------------------------------------------


def set_status(repository: Repository, commit: str, context: str, state: str, words: str, url: str = "") -> None:
    """Set a commit status; `state` is error, failure, pending or success, `url` leads to the details."""
    short = words if len(words) <= LONGEST_STATUS else f"{words[: LONGEST_STATUS - 1]}…"
    body = {"context": context, "state": state, "description": short} | ({"target_url": url} if url else {})
    tell(repository, "POST", f"repos/{repository}/statuses/{commit}", body)


def comments(repository: Repository, number: int) -> tuple[Comment, ...]:
    """What was said in an issue or a pull request, oldest first; not what was said of its lines."""
    rows = ask_all(repository, f"repos/{repository}/issues/{number}/comments")
    return tuple(Comment(row["id"], (row["user"] or {}).get("login", ""), row["body"] or "") for row in rows)


def change_comment(repository: Repository, comment: int, words: str) -> None:
    """Put other words into a comment."""
    tell(repository, "PATCH", f"repos/{repository}/issues/comments/{comment}", {"body": words})


def upsert_issue(repository: Repository, title: str, words: str, label: str) -> str:
    """Open an issue, or put new words into the open one with that title and label; returns its URL."""
    rows = ask_all(repository, f"repos/{repository}/issues?state=open&labels={quote(label, safe='')}")
    known = [row for row in rows if row["title"] == title and "pull_request" not in row]
    if known:
        return tell(repository, "PATCH", f"repos/{repository}/issues/{known[0]['number']}", {"body": words})["html_url"]
    body = {"title": title, "body": words, "labels": [label]}
    return tell(repository, "POST", f"repos/{repository}/issues", body)["html_url"]


def open_pull_request(repository: Repository, branch: str, title: str, words: str, base: str = "main") -> str:
    """Open a pull request of a pushed branch, or put new words into the open one; returns its URL."""
    head = quote(f"{repository.owner}:{branch}", safe="")
    known = ask_all(repository, f"repos/{repository}/pulls?state=open&head={head}&base={quote(base, safe='')}")
    body = {"title": title, "body": words}
    if known:
        return tell(repository, "PATCH", f"repos/{repository}/pulls/{known[0]['number']}", body)["html_url"]
    return tell(repository, "POST", f"repos/{repository}/pulls", {**body, "head": branch, "base": base})["html_url"]
