"""What a GitHub knows of people and teams, of code owners, and of the settings of Actions."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from support.servers.github_answers import Answer, Call, Row, error, not_found, paged

if TYPE_CHECKING:
    from support.servers.github_state import GitHub

HELD = "Conflict with the settings of the organization"
_OWNER = re.compile(r"@[\w.-]+(?:/[\w.-]+)?")


def _team(github: "GitHub", call: Call) -> Answer:
    slug = call.values["team_slug"]
    number = github.teams.get(f"{call.values['org']}/{slug}")
    return (200, {"id": number, "slug": slug, "name": slug}) if number else not_found()


def _members(github: "GitHub", call: Call) -> Answer:
    name = f"{call.values['org']}/{call.values['team_slug']}"
    if name not in github.teams:
        return not_found()
    return paged(call, [_person(github, login) for login in github.members.get(name, ())])


def _give_access(github: "GitHub", call: Call) -> Answer:
    if call.body["permission"] in {"push", "maintain", "admin"}:
        github.writers.append(f"{call.values['org']}/{call.values['team_slug']}")
    return 204, None


def _user(github: "GitHub", call: Call) -> Answer:
    login = call.values["username"]
    if login in github.organizations:
        return 200, {"id": 1001, "login": login, "type": "Organization", "user_view_type": "public"}
    return (200, {**_person(github, login), "user_view_type": "public"}) if login in github.users else not_found()


def _person(github: "GitHub", login: str) -> Row:
    return {"id": github.users.get(login, 1), "login": login, "type": "User"}


def _collaborators(github: "GitHub", call: Call) -> Answer:
    """Those of the wanted permission; a member of a team has what the team has."""
    assert call.query["permission"] == "push"
    logins = {one for name in github.writers for one in (github.members.get(name, ()) if "/" in name else (name,))}
    rights = {"pull": True, "triage": True, "push": True, "maintain": False, "admin": False}
    rows = [{**_person(github, login), "role_name": "write", "permissions": rights} for login in sorted(logins)]
    bot = {"id": 4, "login": "renovate[bot]", "type": "Bot", "role_name": "write"}
    return paged(call, [*rows, bot])


def _code_owner_errors(github: "GitHub", _: Call) -> Answer:
    if github.code_owners is None:
        return not_found()
    rows = []
    for number, line in enumerate(github.code_owners.splitlines(), 1):
        for owner in [] if line.startswith("#") else _OWNER.finditer(line):
            if owner[0].removeprefix("@") not in github.writers:
                kind = "the team " if "/" in owner[0] else ""
                advice = f"check that {kind}{owner[0]} exists and has write access to the repository"
                marked = f"{line}\n  {' ' * owner.start()}^"
                message = f"Unknown owner on line {number}: {advice}\n\n  {marked}"
                rows.append({"line": number, "column": owner.start() + 1, "kind": "Unknown owner", "source": line,
                             "suggestion": None, "message": message, "path": "CODEOWNERS"})  # fmt: skip
    return 200, {"errors": rows}


def _fork_policy(github: "GitHub", _: Call) -> Answer:
    return not_found() if github.is_private else (200, {"approval_policy": github.fork_policy})


def _set_fork_policy(github: "GitHub", call: Call) -> Answer:
    if github.is_private:
        return 422, error("Fork PR contributor approval is for public repositories", 422)
    github.fork_policy = call.body["approval_policy"]
    return 204, None


def _private_forks(github: "GitHub", _: Call) -> Answer:
    return (200, github.private_forks) if github.is_private else not_found()


def _set_private_forks(github: "GitHub", call: Call) -> Answer:
    github.private_forks = {**dict.fromkeys(github.private_forks, False), **call.body}
    return 204, None


def _set_token(github: "GitHub", call: Call) -> Answer:
    if github.holds_token:
        return 409, error(HELD, 409)
    github.token_rights = call.body
    return 204, None


_PERMISSIONS = "/actions/permissions"
PEOPLE: "dict[tuple[str, str], Callable[[GitHub, Call], Answer]]" = {
    ("GET", "/users/{username}"): _user,
    ("GET", "/orgs/{org}/teams/{team_slug}"): _team,
    ("GET", "/orgs/{org}/teams/{team_slug}/members"): _members,
    ("PUT", "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}"): _give_access,
}
ACCESS: "dict[tuple[str, str], Callable[[GitHub, Call], Answer]]" = {
    ("GET", "/collaborators"): _collaborators,
    ("GET", "/codeowners/errors"): _code_owner_errors,
    ("GET", _PERMISSIONS): lambda github, _: (200, github.actions),
    ("GET", f"{_PERMISSIONS}/selected-actions"): lambda github, _: (200, github.selected_actions),
    ("GET", f"{_PERMISSIONS}/fork-pr-contributor-approval"): _fork_policy,
    ("PUT", f"{_PERMISSIONS}/fork-pr-contributor-approval"): _set_fork_policy,
    ("GET", f"{_PERMISSIONS}/fork-pr-workflows-private-repos"): _private_forks,
    ("PUT", f"{_PERMISSIONS}/fork-pr-workflows-private-repos"): _set_private_forks,
    ("GET", f"{_PERMISSIONS}/workflow"): lambda github, _: (200, github.token_rights),
    ("PUT", f"{_PERMISSIONS}/workflow"): _set_token,
}
