"""GitHub's REST API through `gh api`: repositories, releases, statuses, pull requests.

Only REST, because GitHub publishes an OpenAPI description of it that tests can validate against; `gh release` and
`gh pr` also use GraphQL.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from registry.errors import NotFound, RegistryError, ServiceFailed, ToolFailed
from registry.integrations import git
from registry.integrations.process import run, tool_path

PAGE = 100  # rows a page, the most that GitHub gives
TIMEOUT = 120  # seconds for one call, all pages of a list included
MAX_STATUS = 140  # characters of a status' description
_SSH = re.compile(r"(?:ssh://)?[\w.-]+@(?P<host>[\w.-]+)(?::\d+/|[:/])(?P<path>.+)")
_NAME = re.compile(r"(?:(?P<host>[^/\s]+)/)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)")
_RETRY = "run the same command again: it continues where this one stopped"
_REFUSALS = {"403", "404", "409", "422"}
_FIXES = {
    "401": "gh auth login, or set GH_TOKEN to a token that is still valid",
    "403": "use a token with that permission; in GitHub Actions, see the job's `permissions:`",
    "404": "check the name (GH_REPO, or the remote origin) and whether the token may read it",
    "422": "correct the value that GitHub refused, then run the same command again",
}


class Unreachable(RegistryError):
    """GitHub cannot be used: no repository there, no gh, or no token."""


class HttpFailure(ServiceFailed):
    """A request failed; `said` is in GitHub's words.

    `status` is 0 where no response arrived, `headers` are empty where gh shows none.
    """

    def __init__(self, message: str, *, fix: str, status: int, headers: Mapping[str, str], said: str) -> None:
        super().__init__(message, fix=fix)
        self.status = status
        self.headers = headers
        self.said = said

    @property
    def is_rate_limit(self) -> bool:
        """Whether GitHub asks to wait: it says so with 429 or 403, in words or in a header."""
        return self.status == 429 or "rate limit" in self.message or "retry-after" in self.headers


class RequestRefused(HttpFailure):
    """GitHub refused one request (403, 404, 409 or 422), and may accept others."""


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
        """The URL of its page."""
        return f"https://{self.host}/{self}"


@dataclass(frozen=True, slots=True)
class Release:
    """A release on GitHub, with its files, and the URL that takes more of them.

    `assets` has the digest of each file (`sha256:…`) by its name; it is empty where GitHub has none, for old ones.
    """

    id: int
    tag: str
    title: str
    notes: str
    assets: Mapping[str, str] = field(default_factory=dict)
    uploads: str = ""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request: its number, the commit of its branch, the branch that it is for."""

    number: int
    head: str
    base: str
    is_draft: bool


# --- repository -------------------------------------------------------------------------------------------------------


def find_repository(root: Path) -> Repository | None:
    """The repository on GitHub of a clone: the one that GH_REPO names, as for gh, or else the remote `origin`.

    None where origin is not on GitHub. GITHUB_REPOSITORY is not used: in a job, it is also set for scratch clones.
    """
    if named := _NAME.fullmatch(os.environ.get("GH_REPO", "")):
        return Repository(named["host"] or os.environ.get("GH_HOST", "github.com"), named["owner"], named["name"])
    if not git.has_remote(root):
        return None
    found = parse_url(git.remote_url(root))
    return found if found and _is_github(found.host) else None


def parse_url(url: str) -> Repository | None:
    """The repository of a remote's URL (HTTPS, or SSH in either form); None for any other URL."""
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
    """The repository of a clone, for which gh is installed and has a token. Raises Unreachable."""
    found = find_repository(root)
    if not found:
        fix = "if it is on GitHub under another URL, set GH_REPO=OWNER/NAME"
        raise Unreachable("this clone's origin is not on GitHub", fix=fix)
    try:
        token(found)
    except NotFound as error:
        raise Unreachable(error.message, fix="install it: https://cli.github.com") from error
    except ToolFailed as error:
        name = "GH_TOKEN" if found.host == "github.com" else "GH_ENTERPRISE_TOKEN"
        fix = f"gh auth login --hostname {found.host}, or set {name}"
        raise Unreachable(f"gh has no token for {found.host}", fix=fix) from error
    return found


def token(repository: Repository) -> str:
    """The token with which gh asks for this repository. Raises NotFound and ToolFailed."""
    return _gh("auth", "token", "--hostname", repository.host, host=repository.host, quiet=True).decode().strip()


# --- requests ---------------------------------------------------------------------------------------------------------


def get(repository: Repository, path: str) -> Any:  # JSON: GitHub's API defines the types
    """The resource at a path of the API. Raises ServiceFailed."""
    return json.loads(_call(repository, "GET", path))


def get_all(repository: Repository, path: str, key: str = "") -> list[Any]:
    """All rows of a list, page after page; `key` where each page is a mapping that has them under that key."""
    more = "&" if "?" in path else "?"
    pages = _call(repository, "GET", f"{path}{more}per_page={PAGE}", "--paginate", "--slurp")
    return [row for page in json.loads(pages) for row in (page[key] if key else page)]


def send(repository: Repository, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Change a resource; the command is printed as it is run, without the body. Raises ServiceFailed."""
    if body is None:
        response = _call(repository, method, path, "--include")
    else:
        response = _call(repository, method, path, "--include", "--input", "-", stdin=json.dumps(body).encode())
    content = _split(response.decode())[1]
    return json.loads(content) if content else None


def upload(repository: Repository, url: str, file: Path) -> None:
    """Send the bytes of a file to a full URL that GitHub gave for it. Raises ServiceFailed."""
    _call(repository, "POST", url, "--input", str(file), "--header", "Content-Type: application/octet-stream")


def _call(repository: Repository, method: str, path: str, *more: str, stdin: bytes | None = None) -> bytes:
    quiet = method == "GET"
    try:
        return _gh("api", "--method", method, path, *more, host=repository.host, quiet=quiet, stdin=stdin)
    except ToolFailed as error:
        raise _service_failure(f"{repository.host} refused {method} {path}", error) from error


def _gh(*args: str, host: str, quiet: bool, stdin: bytes | None = None) -> bytes:
    # `gh api` (2.102) takes no host from GH_REPO, and no port in `--hostname`. It collects garbage four times before it
    # begins, a tenth of what a request takes.
    settings = {
        "GH_HOST": host, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "GH_DEBUG": "", "GOGC": "400",
    }  # fmt: skip
    return run(["gh", *args], env={**settings, "PATH": tool_path()}, quiet=quiet, stdin=stdin, timeout=TIMEOUT)


def _service_failure(fault: str, failed: ToolFailed) -> HttpFailure:
    headers, content = _split(failed.stdout)
    lines = [line.strip().removeprefix("gh: ") for line in failed.stderr.splitlines() if line.strip()]
    message = "; ".join([*lines, *_details(content)])
    status = match[1] if (match := re.search(r"HTTP (\d{3})", message)) else ""
    fix = _FIXES.get(status, f"{_RETRY}; see https://www.githubstatus.com")
    failure = HttpFailure(f"{fault}: {message}", fix=fix, status=int(status or 0), headers=headers, said=message)
    if failure.is_rate_limit:
        failure.fix = f"wait until `gh api rate_limit` shows remaining requests, then {_RETRY}"
    elif status in _REFUSALS:
        failure = RequestRefused(failure.message, fix=fix, status=failure.status, headers=headers, said=message)
    return failure


def _split(response: str) -> tuple[dict[str, str], str]:
    """The headers, by names in lower case, and the content of a response that gh was asked to show with its headers."""
    if not response.startswith("HTTP/"):
        return {}, response
    head, _, content = response.replace("\r\n", "\n").partition("\n\n")
    lines = (line.partition(":") for line in head.splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}, content


def _details(response: str) -> Iterator[str]:
    """A response's errors of single values: strings, or mappings with a message or a code; gh (2.102) shows none."""
    try:
        errors = json.loads(response)["errors"]
    except (ValueError, LookupError, TypeError):
        return
    for error in errors:
        named = error if isinstance(error, dict) else {"message": error}
        yield str(named.get("message") or f"{named.get('field')} {named.get('code')}")


# --- releases ---------------------------------------------------------------------------------------------------------


def releases(repository: Repository) -> tuple[Release, ...]:
    """Every release that is not a draft."""
    rows = get_all(repository, f"repos/{repository}/releases")
    return tuple(_release(row) for row in rows if not row["draft"])


def _release(row: Mapping[str, Any]) -> Release:
    files = {one["name"]: one.get("digest") or "" for one in row["assets"] if one["state"] == "uploaded"}
    uploads = str(row["upload_url"]).partition("{")[0]
    return Release(row["id"], row["tag_name"], row["name"] or "", row["body"] or "", files, uploads)


def attach(repository: Repository, release: Release, name: str, data: bytes) -> None:
    """Add a file to a release, unless it has one of that name."""
    url, header = f"{release.uploads}?name={quote(name)}", "Content-Type: application/octet-stream"
    try:
        _call(repository, "POST", url, "--input", "-", "--header", header, stdin=data)
    except ServiceFailed as error:
        if "already_exists" not in error.message:
            raise  # it was not attached by another run at the same time


def create_release(repository: Repository, tag: str, title: str, notes: str) -> None:
    """Create a release of an existing tag, unless it has one; never as «latest», of which there is only one."""
    # For a tag that does not exist, GitHub would create a lightweight one on the default branch.
    get(repository, f"repos/{repository}/git/ref/tags/{quote(tag, safe='/@')}")
    body = {"tag_name": tag, "name": title, "body": notes, "make_latest": "false"}
    try:
        send(repository, "POST", f"repos/{repository}/releases", body)
    except ServiceFailed as error:
        if "tag_name already_exists" not in error.message:
            raise  # it was not created by another publish at the same time


def update_release(repository: Repository, release: Release) -> None:
    """Set a release's title and notes."""
    body = {"name": release.title, "body": release.notes}
    send(repository, "PATCH", f"repos/{repository}/releases/{release.id}", body)


# --- pull requests, statuses ------------------------------------------------------------------------------------------


def set_status(repository: Repository, commit: str, context: str, state: str, description: str, url: str = "") -> None:
    """Set a commit status; `state` is error, failure, pending or success, `url` leads to the details."""
    short = description if len(description) <= MAX_STATUS else f"{description[: MAX_STATUS - 1]}…"
    body = {"context": context, "state": state, "description": short} | ({"target_url": url} if url else {})
    send(repository, "POST", f"repos/{repository}/statuses/{commit}", body)


def status_of(repository: Repository, commit: str, context: str) -> str:
    """The state of a commit's status; an empty string where it has none."""
    found = get(repository, f"repos/{repository}/commits/{commit}/status?per_page={PAGE}")
    return next((str(row["state"]) for row in found["statuses"] if row["context"] == context), "")


def default_branch(repository: Repository) -> str:
    """The repository's default branch."""
    return str(get(repository, f"repos/{repository}")["default_branch"])


def template(repository: Repository) -> str:
    """The URL of the template that GitHub made a repository of; an empty string where it was made otherwise."""
    found = get(repository, f"repos/{repository}").get("template_repository")
    return str(found["clone_url"]) if found else ""


def open_pulls(repository: Repository, branch: str) -> tuple[PullRequest, ...]:
    """The open pull requests of a branch of this repository, newest first."""
    head = quote(f"{repository.owner}:{branch}", safe="")
    rows = get_all(repository, f"repos/{repository}/pulls?state=open&head={head}")
    return tuple(
        PullRequest(row["number"], row["head"]["sha"], row["base"]["ref"], bool(row["draft"]))
        for row in rows
        if row["head"]["ref"] == branch and (row["head"]["repo"] or {}).get("full_name") == str(repository)
    )


def open_pull_request(repository: Repository, branch: str, title: str, body: str, base: str) -> str:
    """Open a pull request of a pushed branch, or update the title and body of the open one; returns its URL."""
    head = quote(f"{repository.owner}:{branch}", safe="")
    known = get_all(repository, f"repos/{repository}/pulls?state=open&head={head}&base={quote(base, safe='')}")
    texts = {"title": title, "body": body}
    if known:
        pull = send(repository, "PATCH", f"repos/{repository}/pulls/{known[0]['number']}", texts)
    else:
        pull = send(repository, "POST", f"repos/{repository}/pulls", {**texts, "head": branch, "base": base})
    return str(pull["html_url"])
