"""What a GitHub keeps of labels, rulesets and environments, as far as its plan has them.

What is refused, and in which words, is from reports of users: rulesets of a private repository on Free (github/branch-
deploy #345), reviewers and wait timers on anything below Enterprise, even as null and 0 (backstage/backstage #28977,
alchemy-run/alchemy #1373), a limit to branches on Free (integrations/terraform-provider-github #1262).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from support.openapi import description
from support.servers.github_answers import Answer, Call, Row, error, found, invalid, not_found, paged, updated

if TYPE_CHECKING:
    from support.servers.github_state import GitHub


def _make_label(github: "GitHub", call: Call) -> Answer:
    name = call.body["name"]
    if name.lower() in {one.lower() for one in github.labels}:
        return invalid("Label", "name")
    github._last_id += 1
    github.labels[name] = {"id": github._last_id, "description": None, "color": "ededed", "default": False} | call.body
    return 201, github.labels[name]


def _change_label(github: "GitHub", call: Call) -> Answer:
    row = github.labels.get(call.values["name"])
    return (200, updated(row, call.body)) if row else not_found()


ACTIONS = 15368  # the app that a job's own token speaks for

# What GitHub adds to a rule that does not say it.
_RULE_DEFAULTS = {
    "pull_request": {"allowed_merge_methods": ["merge", "squash", "rebase"], "required_reviewers": []},
    "required_status_checks": {"do_not_enforce_on_create": False},
    "update": {"update_allows_fetch_and_merge": False},
}


UPGRADE = "Upgrade to GitHub Pro or make this repository public to enable this feature."
REVIEWERS = (
    "Failed to create the environment protection rule. Please ensure the billing plan supports the required reviewers "
    "protection rule."
)
BRANCH_GATE = "Fail to create protected rule, please ensure billing plan include protected branch gate."


def _upgrade(github: "GitHub") -> Answer | None:
    """The refusal of rulesets, if the plan has none."""
    return (403, error(UPGRADE, 403)) if github.is_private and github.plan == "free" else None


def _ruleset(github: "GitHub", body: Row) -> Row:
    rules = [dict(rule) for rule in body.get("rules", ())]
    for rule in rules:
        if rule["type"] in _RULE_DEFAULTS:
            rule["parameters"] = _RULE_DEFAULTS[rule["type"]] | rule.get("parameters", {})
    return {"source": github.repository, "source_type": "Repository", "bypass_actors": []} | body | {"rules": rules}


def _rulesets(github: "GitHub", call: Call) -> Answer:
    if refused := _upgrade(github):
        return refused
    brief = ("id", "name", "target", "source", "source_type", "enforcement")  # the list says no more of each
    return paged(call, [{name: row[name] for name in brief} for row in github.rulesets])


def _refused(body: Row) -> Answer | None:
    if not any(actor.get("actor_id") == ACTIONS for actor in body.get("bypass_actors", ())):
        return None
    message = "Actor GitHub Actions integration must be part of the ruleset source or owner organization"
    return 422, error("Validation Failed", 422, {"resource": "Ruleset", "code": "custom", "message": message})


def _make_ruleset(github: "GitHub", call: Call) -> Answer:
    if refused := _upgrade(github):
        return refused
    if any(row["name"] == call.body["name"] for row in github.rulesets):
        return invalid("Ruleset", "name")
    return _refused(call.body) or (201, github.keep(github.rulesets, _ruleset(github, call.body)))


def _change_ruleset(github: "GitHub", call: Call) -> Answer:
    status, row = found(github.rulesets, "id", call.values["ruleset_id"])
    if status != 200:
        return status, row
    return _refused(call.body) or (200, updated(row, _ruleset(github, call.body)))


def _environments(github: "GitHub", call: Call) -> Answer:
    _, rows = paged(call, list(github.environments.values()))
    return 200, {"total_count": len(github.environments), "environments": rows}


def _set_environment(github: "GitHub", call: Call) -> Answer:
    name, body = call.values["environment_name"], call.body or {}
    if github.is_private and github.plan != "enterprise" and {"reviewers", "wait_timer"} & body.keys():
        return 422, error(REVIEWERS, 422)
    if github.is_private and github.plan == "free" and body.get("deployment_branch_policy"):
        return 422, error(BRANCH_GATE, 422)
    github._last_id += 1
    rules = []
    if body.get("reviewers"):
        people = [{"type": one["type"], "reviewer": _reviewer(github, one)} for one in body["reviewers"]]
        itself = {"prevent_self_review": bool(body.get("prevent_self_review")), "reviewers": people}
        rules.append({"id": 1, "node_id": "1", "type": "required_reviewers", **itself})
    policy = body.get("deployment_branch_policy")
    if policy:
        rules.append({"id": 2, "node_id": "2", "type": "branch_policy"})
    row = {"id": github._last_id, "name": name, "protection_rules": rules, "deployment_branch_policy": policy}
    github.environments[name] = row
    return 200, row


def _reviewer(github: "GitHub", one: Row) -> Row:
    known = github.teams if one["type"] == "Team" else github.users
    name = next(name for name, number in known.items() if number == one["id"]).rpartition("/")[2]
    template = "/orgs/{org}/teams/{team_slug}" if one["type"] == "Team" else "/users/{username}"
    words = (
        {"slug": name, "name": name}
        if one["type"] == "Team"
        else {"login": name, "type": "User", "user_view_type": "public"}
    )
    made: Row = description.complete("get", template, 200, {"id": one["id"], **words})
    return made


def _policies(github: "GitHub", call: Call) -> Answer:
    rows = github.policies.get(call.values["environment_name"], [])
    return 200, {"total_count": len(rows), "branch_policies": paged(call, rows)[1]}


def _add_policy(github: "GitHub", call: Call) -> Answer:
    policy = (github.environments.get(call.values["environment_name"]) or {}).get("deployment_branch_policy")
    if not policy or not policy["custom_branch_policies"]:
        return not_found()
    rows = github.policies.setdefault(call.values["environment_name"], [])
    return 200, github.keep(rows, {"type": "branch"} | call.body)


def _drop_policy(github: "GitHub", call: Call) -> Answer:
    rows = github.policies.get(call.values["environment_name"], [])
    status, row = found(rows, "id", call.values["branch_policy_id"])
    if status == 200:
        rows.remove(row)
    return (204, None) if status == 200 else (status, row)


_POLICIES = "/environments/{environment_name}/deployment-branch-policies"
RULES: "dict[tuple[str, str], Callable[[GitHub, Call], Answer]]" = {
    ("GET", "/labels"): lambda github, call: paged(call, list(github.labels.values())),
    ("POST", "/labels"): _make_label,
    ("GET", "/labels/{name}"): lambda github, call: found(list(github.labels.values()), "name", call.values["name"]),
    ("PATCH", "/labels/{name}"): _change_label,
    ("GET", "/rulesets"): _rulesets,
    ("POST", "/rulesets"): _make_ruleset,
    ("GET", "/rulesets/{ruleset_id}"): lambda github, call: found(github.rulesets, "id", call.values["ruleset_id"]),
    ("PUT", "/rulesets/{ruleset_id}"): _change_ruleset,
    ("GET", "/environments"): _environments,
    ("GET", "/environments/{environment_name}"): lambda github, call: found(
        list(github.environments.values()), "name", call.values["environment_name"]
    ),
    ("PUT", "/environments/{environment_name}"): _set_environment,
    ("GET", _POLICIES): _policies,
    ("POST", _POLICIES): _add_policy,
    ("DELETE", f"{_POLICIES}/{{branch_policy_id}}"): _drop_policy,
}
