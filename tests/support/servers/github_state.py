"""What a GitHub keeps and answers: releases, statuses, comments, issues, pull requests, labels, rules."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from support.servers.github_access import ACCESS, PEOPLE
from support.servers.github_answers import Answer, Call, Fault, Row, error, found, invalid, not_found, paged, updated
from support.servers.github_rules import RULES
from support.servers.github_runs import RUNS

TOKEN = "ghs_loopback7Kq2mZx9"
REPO = "/repos/{owner}/{repo}"
NOW = "2026-01-01T00:00:00Z"
ACTIONS: Row = {"login": "github-actions[bot]", "id": 41898282, "type": "Bot"}

PRIVATE_FORKS = (
    "run_workflows_from_fork_pull_requests", "send_write_tokens_to_workflows", "send_secrets_and_variables",
    "require_approval_for_fork_pr_workflows",
)  # fmt: skip

# By method and template of the path.
Answers = dict[tuple[str, str], Callable[["GitHub", Call], Answer]]


@dataclass
class GitHub:
    """One repository. `origin` is the bare repository that its refs are read from; `refs` has those besides."""

    repository: str = "acme/registry"
    origin: Path | None = None
    refs: dict[str, str] = field(default_factory=dict)  # full name → commit
    releases: list[Row] = field(default_factory=list)
    statuses: list[Row] = field(default_factory=list)
    issues: list[Row] = field(default_factory=list)  # and pull requests: they share their numbers
    comments: list[Row] = field(default_factory=list)
    labels: dict[str, Row] = field(default_factory=dict)
    rulesets: list[Row] = field(default_factory=list)
    environments: dict[str, Row] = field(default_factory=dict)
    policies: dict[str, list[Row]] = field(default_factory=dict)  # of environments
    disabled: list[str] = field(default_factory=list)  # workflows
    runs: dict[str, Row] = field(default_factory=dict)  # of workflows, with their `jobs`, by number
    is_private: bool = False
    plan: str = "enterprise"  # of the owner, or `team`, `free`: what a private repository has
    default_branch: str = "main"
    template: str = ""  # the URL of the repository that it was made of
    teams: dict[str, int] = field(default_factory=dict)  # org/slug → id
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)  # org/slug → logins
    users: dict[str, int] = field(default_factory=dict)
    organizations: list[str] = field(default_factory=list)
    writers: list[str] = field(default_factory=list)  # logins and org/slug
    code_owners: str | None = ""  # CODEOWNERS of the default branch
    fork_policy: str = "first_time_contributors"
    private_forks: Row = field(default_factory=lambda: dict.fromkeys(PRIVATE_FORKS, False))
    token_rights: Row = field(default_factory=lambda: {
        "default_workflow_permissions": "read", "can_approve_pull_request_reviews": False,
    })  # fmt: skip
    holds_token: bool = False  # whether the organization's setting cannot be changed here
    actions: Row = field(default_factory=lambda: {"enabled": True, "allowed_actions": "all"})
    selected_actions: Row = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    viewer: str = ACTIONS["login"]  # whom the token speaks for
    edits_any: bool = True  # whether a token may change a person's comment; nothing that GitHub documents forbids it
    lag: int = 0  # of the newest comments, lists lack that many
    host: str = ""
    certificate: Path = Path()
    _lock: Any = field(default_factory=Lock)
    _last_id: int = 0

    def env(self) -> dict[str, str]:
        """The environment variables that lead `gh` here."""
        return {
            "GH_HOST": self.host,
            "GH_REPO": f"{self.host}/{self.repository}",
            "GH_ENTERPRISE_TOKEN": TOKEN,
            "GH_CONFIG_DIR": str(self.certificate.parent / "gh"),
            "SSL_CERT_FILE": str(self.certificate),
            "NO_PROXY": "127.0.0.1",
        }

    def made(self, method: str = "") -> list[str]:
        """The requests that changed something, as `POST /repos/{owner}/{repo}/releases`, in their order."""
        return [
            f"{call.method} {call.template}" for call in self.calls if call.method != "GET" and method in call.method
        ]

    @property
    def pulls(self) -> list[Row]:
        """The issues that are pull requests."""
        return [issue for issue in self.issues if "head" in issue]

    def status_of(self, sha: str) -> dict[str, str]:
        """Context → state, as they are now."""
        return {row["context"]: row["state"] for row in self.statuses if row["sha"] == sha}

    def add_pull(self, head: str, title: str = "A change", **more: Any) -> Row:
        """A pull request from the branch `head`."""
        repository = {"full_name": more.pop("repo", self.repository)}
        ends = {
            "head": {"ref": head, "sha": more.pop("sha", "0" * 40), "repo": repository},
            "base": {"ref": more.pop("base", "main")},
        }
        return self.keep(
            self.issues, {**self._issue(title, "", ()), **ends, "draft": False, "pull_request": {}, **more}
        )

    # --- answers ------------------------------------------------------------------------------------------------------

    def fault(self, method: str, path: str) -> Fault | None:
        """The failure that a request is to have; that counts as one."""
        for fault in self.faults:
            if fault.times and fault.path in path and fault.method in method:
                fault.times -= 1
                return fault
        return None

    def answer(self, call: Call) -> Answer:
        """What GitHub says to a request of this repository."""
        if call.template.startswith("/repos") and f"{call.values['owner']}/{call.values['repo']}" != self.repository:
            return not_found()
        return ANSWERS[call.method, call.template](self, call)

    def keep(self, rows: list[Row], row: Row) -> Row:
        self._last_id += 1
        row = {"id": self._last_id, **row}
        rows.append(row)
        return row

    def _issue(self, title: str, body: str, labels: Any) -> Row:
        number = len(self.issues) + 1
        url = f"https://{self.host}/{self.repository}/issues/{number}"
        names = [{"name": name} for name in labels]
        return {
            "number": number, "title": title, "body": body, "labels": names, "state": "open", "html_url": url,
            "user": ACTIONS, "locked": False,
        }  # fmt: skip

    def sha(self, ref: str) -> str | None:
        """The commit that a full ref names."""
        if ref in self.refs or not self.origin:
            return self.refs.get(ref)
        listed = subprocess.run(
            ["git", "-C", self.origin, "for-each-ref", "--format=%(objectname)", ref], capture_output=True, text=True
        )
        return listed.stdout.strip() or None


# --- the repository ---------------------------------------------------------------------------------------------------


_ABOUT: Answers = {
    ("GET", "/user"): lambda _, __: (200, ACTIONS),
    ("GET", REPO): lambda github, _: (
        200, {"id": 2002, "full_name": github.repository, "name": github.repository.split("/")[1],
              "default_branch": github.default_branch, "private": github.is_private,
              "owner": {"id": 1001, "login": github.repository.split("/")[0]},
              "template_repository": {"clone_url": github.template} if github.template else None},
    ),
}  # fmt: skip


# --- code: workflows, refs, statuses, releases ------------------------------------------------------------------------


def _disable(github: GitHub, call: Call) -> Answer:
    assert github.origin is not None  # whoever runs workflows has one
    name = call.values["workflow_id"]
    listed = subprocess.run(
        ["git", "-C", github.origin, "ls-tree", "--name-only", "main", f".github/workflows/{name}"], capture_output=True
    )
    if not listed.stdout:
        return not_found()
    github.disabled.append(name)
    return 204, None


def _ref(github: GitHub, call: Call) -> Answer:
    name = f"refs/{call.values['ref']}"
    sha = github.sha(name)
    return (200, {"ref": name, "object": {"sha": sha, "type": "commit"}}) if sha else not_found()


def _set_status(github: GitHub, call: Call) -> Answer:
    if github.origin and not _has(github.origin, call.values["sha"]):
        return 422, error(f"No commit found for SHA: {call.values['sha']}", 422)
    given = {"description": None, "target_url": None, "context": "default"} | call.body
    row = github.keep(github.statuses, {**given, "sha": call.values["sha"], "creator": ACTIONS})
    return 201, row


def _has(origin: Path, sha: str) -> bool:
    return not subprocess.run(
        ["git", "-C", origin, "cat-file", "-e", f"{sha}^{{commit}}"], capture_output=True
    ).returncode


def _statuses(github: GitHub, call: Call) -> Answer:
    sha = github.sha(f"refs/heads/{call.values['ref']}") or call.values["ref"]
    return paged(call, [row for row in reversed(github.statuses) if row["sha"] == sha])


def _release(github: GitHub, call: Call) -> Answer:
    tag = call.body["tag_name"]
    if any(row["tag_name"] == tag for row in github.releases):
        return invalid("Release", "tag_name")
    if not github.sha(f"refs/tags/{tag}"):  # GitHub makes the tag itself, a lightweight one
        github.refs[f"refs/tags/{tag}"] = "0" * 40
    given = {"name": tag, "body": "", "draft": False, "prerelease": False, "make_latest": "true"} | call.body
    url = f"https://{github.host}/{github.repository}/releases/tag/{quote(tag)}"
    made = {**given, "html_url": url, "author": ACTIONS, "published_at": NOW, "assets": []}
    row = github.keep(github.releases, made)
    uploads = f"https://{github.host}/api/uploads/repos/{github.repository}/releases/{row['id']}/assets"
    return 201, updated(row, {"upload_url": f"{uploads}{{?name,label}}"})


def _attach(github: GitHub, call: Call) -> Answer:
    status, row = found(github.releases, "id", call.values["release_id"])
    if status != 200:
        return status, row
    if any(asset["name"] == call.query["name"] for asset in row["assets"]):
        return invalid("ReleaseAsset", "name")
    digest = f"sha256:{hashlib.sha256(call.body).hexdigest()}"
    asset = {"name": call.query["name"], "size": len(call.body), "digest": digest, "state": "uploaded"}
    return 201, github.keep(row["assets"], asset)


def _change_release(github: GitHub, call: Call) -> Answer:
    status, row = found(github.releases, "id", call.values["release_id"])
    return (status, row | call.body) if status != 200 else (200, updated(row, call.body))


def _latest(github: GitHub, _: Call) -> Answer:
    marked = [row for row in github.releases if row["make_latest"] == "true"]
    return (200, marked[-1]) if marked else not_found()


def _combined(github: GitHub, call: Call) -> Answer:
    rows = _statuses(github, call)[1]
    latest = list({row["context"]: row for row in reversed(rows)}.values())
    states = {row["state"] for row in latest}
    state = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
    return 200, {"state": state, "statuses": latest, "sha": call.values["ref"], "total_count": len(latest)}


_CODE: Answers = {
    ("PUT", "/actions/workflows/{workflow_id}/disable"): _disable,
    ("GET", "/commits/{ref}/status"): _combined,
    ("GET", "/git/ref/{ref}"): _ref,
    ("POST", "/statuses/{sha}"): _set_status,
    ("GET", "/commits/{ref}/statuses"): _statuses,
    ("GET", "/releases"): lambda github, call: paged(call, github.releases[::-1]),
    ("POST", "/releases"): _release,
    ("GET", "/releases/latest"): _latest,
    ("GET", "/releases/tags/{tag}"): lambda github, call: found(github.releases, "tag_name", call.values["tag"]),
    ("GET", "/releases/{release_id}"): lambda github, call: found(github.releases, "id", call.values["release_id"]),
    ("PATCH", "/releases/{release_id}"): _change_release,
    ("POST", "/releases/{release_id}/assets"): _attach,
}


# --- talk: issues, comments, pull requests ----------------------------------------------------------------------------


def _issues(github: GitHub, call: Call) -> Answer:
    state, wanted = call.query.get("state", "open"), set(filter(None, call.query.get("labels", "").split(",")))
    rows = [row for row in reversed(github.issues) if state in {"all", row["state"]}]
    return paged(call, [row for row in rows if wanted <= {label["name"] for label in row["labels"]}])


def _open_issue(github: GitHub, call: Call) -> Answer:
    given = github._issue(call.body["title"], call.body.get("body", ""), call.body.get("labels", ()))
    return 201, github.keep(github.issues, given)


def _change_issue(github: GitHub, call: Call, number: str = "issue_number") -> Answer:
    status, row = found(github.issues, "number", call.values[number])
    return (status, row) if status != 200 else (200, updated(row, call.body))


def _label_issue(github: GitHub, call: Call) -> Answer:
    status, row = found(github.issues, "number", call.values["issue_number"])
    if status == 200:
        known = {label["name"] for label in row["labels"]}
        row["labels"] += [{"name": name} for name in call.body["labels"] if name not in known]
    return status, row["labels"] if status == 200 else row


def _comments(github: GitHub, call: Call) -> Answer:
    status, issue = found(github.issues, "number", call.values["issue_number"])
    rows = [row for row in github.comments if row["issue"] == issue.get("number")]
    rows = rows[: len(rows) - github.lag]
    return paged(call, rows) if status == 200 else (status, issue)


def _comment(github: GitHub, call: Call) -> Answer:
    status, row = found(github.issues, "number", call.values["issue_number"])
    if status == 200 and len(call.body["body"]) > 65536:
        return _too_long()
    return (201, say(github, row["number"], call.body["body"])) if status == 200 else (status, row)


def say(github: GitHub, number: int, body: str, author: str = "") -> Row:
    """A comment; `author` is a person's login, and whom the token speaks for where there is none."""
    name = author or github.viewer
    user = {"login": name, "id": ACTIONS["id"] if name == ACTIONS["login"] else 7}
    user["type"] = "Bot" if name.endswith("[bot]") else "User"
    url = f"https://{github.host}/{github.repository}/issues/{number}#issuecomment-{github._last_id + 1}"
    return github.keep(github.comments, {"issue": number, "body": body, "user": user, "html_url": url})


def _change_comment(github: GitHub, call: Call) -> Answer:
    status, row = found(github.comments, "id", call.values["comment_id"])
    if status != 200:
        return status, row
    if not github.edits_any and row["user"]["login"] != github.viewer:
        return 403, error("Resource not accessible by integration", 403)
    if len(call.body["body"]) > 65536:
        return _too_long()
    return 200, updated(row, call.body)


def _remove_comment(github: GitHub, call: Call) -> Answer:
    status, row = found(github.comments, "id", call.values["comment_id"])
    if status != 200:
        return status, row
    github.comments.remove(row)
    return 204, None


def _too_long() -> Answer:
    return 422, error("Validation Failed", 422, {"resource": "IssueComment", "code": "unprocessable", "field": "data"})


def _pulls(github: GitHub, call: Call) -> Answer:
    state, head = call.query.get("state", "open"), call.query.get("head", "").rpartition(":")[2]
    rows = [row for row in reversed(github.pulls) if state in {"all", row["state"]}]
    for row in rows:
        row["head"]["sha"] = github.sha(f"refs/heads/{row['head']['ref']}") or row["head"]["sha"]
    return paged(call, [row for row in rows if head in {"", row["head"]["ref"]}])


def _open_pull(github: GitHub, call: Call) -> Answer:
    head = call.body["head"]
    if any(row["head"]["ref"] == head and row["state"] == "open" for row in github.pulls):
        message = f"A pull request already exists for {github.repository.split('/')[0]}:{head}."
        return 422, error("Validation Failed", 422, {"resource": "PullRequest", "code": "custom", "message": message})
    if not (sha := github.sha(f"refs/heads/{head}")):
        return invalid("PullRequest", "head", "invalid")
    return 201, github.add_pull(head, call.body["title"], sha=sha, base=call.body["base"], body=call.body.get("body"))


_TALK: Answers = {
    ("GET", "/issues"): _issues,
    ("POST", "/issues"): _open_issue,
    ("GET", "/issues/{issue_number}"): lambda github, call: found(github.issues, "number", call.values["issue_number"]),
    ("PATCH", "/issues/{issue_number}"): _change_issue,
    ("POST", "/issues/{issue_number}/labels"): _label_issue,
    ("GET", "/issues/{issue_number}/comments"): _comments,
    ("POST", "/issues/{issue_number}/comments"): _comment,
    ("GET", "/issues/comments/{comment_id}"): lambda github, call: found(
        github.comments, "id", call.values["comment_id"]
    ),
    ("PATCH", "/issues/comments/{comment_id}"): _change_comment,
    ("DELETE", "/issues/comments/{comment_id}"): _remove_comment,
    ("GET", "/pulls"): _pulls,
    ("POST", "/pulls"): _open_pull,
    ("GET", "/pulls/{pull_number}"): lambda github, call: found(github.pulls, "number", call.values["pull_number"]),
    ("PATCH", "/pulls/{pull_number}"): partial(_change_issue, number="pull_number"),
}

# (method, template of the description) → what is answered
ANSWERS: Answers = {
    **_ABOUT,
    **PEOPLE,
    **{
        (method, REPO + path): answer
        for part in (_CODE, _TALK, RULES, ACCESS, RUNS)
        for (method, path), answer in part.items()
    },
}
