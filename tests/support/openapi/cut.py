"""Reduces GitHub's OpenAPI description to the operations of the loopback GitHub.

Of api.github.com.json in npm's `@octokit/openapi` (here 23.0.2) it keeps these operations with what they refer to,
without descriptions and examples: `npm pack @octokit/openapi`, unpack it, then

    python tests/support/openapi/cut.py package/generated/api.github.com.json tests/support/openapi/github.json
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Node = Any  # a part of an OpenAPI description: JSON of any type

REPO = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/orgs/{org}/teams/{team_slug}": ("get",),
    "/orgs/{org}/teams/{team_slug}/members": ("get",),
    "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}": ("put",),
    "/user": ("get",),
    "/users/{username}": ("get",),
    REPO: ("get",),
    f"{REPO}/actions/permissions": ("get",),
    f"{REPO}/actions/permissions/fork-pr-contributor-approval": ("get", "put"),
    f"{REPO}/actions/permissions/fork-pr-workflows-private-repos": ("get", "put"),
    f"{REPO}/actions/permissions/selected-actions": ("get",),
    f"{REPO}/actions/permissions/workflow": ("get", "put"),
    f"{REPO}/actions/runners": ("get",),
    f"{REPO}/actions/runners/generate-jitconfig": ("post",),
    f"{REPO}/actions/runs/{{run_id}}": ("get",),
    f"{REPO}/actions/runs/{{run_id}}/jobs": ("get",),
    f"{REPO}/actions/workflows/{{workflow_id}}/disable": ("put",),
    f"{REPO}/codeowners/errors": ("get",),
    f"{REPO}/collaborators": ("get",),
    f"{REPO}/commits/{{ref}}/status": ("get",),
    f"{REPO}/commits/{{ref}}/statuses": ("get",),
    f"{REPO}/environments": ("get",),
    f"{REPO}/environments/{{environment_name}}": ("get", "put"),
    f"{REPO}/environments/{{environment_name}}/deployment-branch-policies": ("get", "post"),
    f"{REPO}/environments/{{environment_name}}/deployment-branch-policies/{{branch_policy_id}}": ("delete",),
    f"{REPO}/git/ref/{{ref}}": ("get",),
    f"{REPO}/issues": ("get", "post"),
    f"{REPO}/issues/comments/{{comment_id}}": ("delete", "get", "patch"),
    f"{REPO}/issues/{{issue_number}}": ("get", "patch"),
    f"{REPO}/issues/{{issue_number}}/comments": ("get", "post"),
    f"{REPO}/issues/{{issue_number}}/labels": ("post",),
    f"{REPO}/labels": ("get", "post"),
    f"{REPO}/labels/{{name}}": ("get", "patch"),
    f"{REPO}/pulls": ("get", "post"),
    f"{REPO}/pulls/{{pull_number}}": ("get", "patch"),
    f"{REPO}/releases": ("get", "post"),
    f"{REPO}/releases/latest": ("get",),
    f"{REPO}/releases/tags/{{tag}}": ("get",),
    f"{REPO}/releases/{{release_id}}": ("get", "patch"),
    f"{REPO}/releases/{{release_id}}/assets": ("post",),
    f"{REPO}/rulesets": ("get", "post"),
    f"{REPO}/rulesets/{{ruleset_id}}": ("get", "put"),
    f"{REPO}/statuses/{{sha}}": ("post",),
}
PROSE = {"description", "summary", "externalDocs", "x-github", "tags", "operationId", "example", "examples"}
NAMES = {"properties", "schemas", "parameters", "headers", "requestBodies"}  # whose keys are names


def main() -> None:
    """Write the cut description."""
    whole = json.loads(Path(sys.argv[1]).read_text())
    paths = {path: {**_shared(whole["paths"][path]), **_chosen(whole, path)} for path in OPERATIONS}
    cut = {"openapi": whole["openapi"], "info": {"title": "GitHub", "version": whole["info"]["version"]}}
    cut |= {"servers": [{"url": "https://api.github.com"}], "paths": paths, "components": {}}
    waiting = set(_references(paths))
    while waiting:
        _, _, group, name = waiting.pop().split("/")
        if name not in cut["components"].setdefault(group, {}):
            kept = without_prose({name: whole["components"][group][name]}, group)
            cut["components"][group] |= kept
            waiting |= set(_references(kept))
    Path(sys.argv[2]).write_text(json.dumps(cut, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


def without_prose(node: Node, key: str = "") -> Node:
    """A node as validators need it; `key` is what it stands under: in `properties` and the like every key is kept."""
    if isinstance(node, list):
        return [without_prose(one) for one in node]
    if not isinstance(node, dict):
        return node
    if key == "responses":  # of which OpenAPI wants a description
        return {name: one if "$ref" in one else {**one, "description": ""} for name, one in _each(node).items()}
    if key in NAMES:
        return _each(node)
    return _each({name: one for name, one in node.items() if name not in PROSE})


def _each(node: dict[str, Node]) -> dict[str, Node]:
    return {name: without_prose(one, name) for name, one in node.items()}


def _shared(item: dict[str, Node]) -> dict[str, Node]:
    return {"parameters": without_prose(item["parameters"])} if "parameters" in item else {}


def _chosen(whole: dict[str, Node], path: str) -> dict[str, Node]:
    return {method: without_prose(whole["paths"][path][method]) for method in OPERATIONS[path]}


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _references(one)


if __name__ == "__main__":
    main()
