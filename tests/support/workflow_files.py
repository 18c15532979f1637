"""The files of .github as Python values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((GITHUB / "workflows").glob("*.yml"))}
ACTIONS = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(GITHUB.glob("actions/*/action.yml"))}
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"


def triggers(workflow: dict[Any, Any]) -> dict[str, Any]:
    """What starts a workflow. (To YAML 1.1, `on` is true.)"""
    found: dict[str, Any] = workflow[True]
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job, as `WORKFLOW/JOB`."""
    for name, workflow in WORKFLOWS.items():
        yield from ((f"{name}/{job}", steps) for job, steps in workflow["jobs"].items())


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step of jobs and composite actions, with the place where it stands."""
    for job, content in jobs():
        yield from ((f"{job}: {step['name']}", step) for step in content["steps"])
    for name, action in ACTIONS.items():
        yield from ((f"{name}: {step['name']}", step) for step in action["runs"]["steps"])


def of_forks() -> Iterator[tuple[str, dict[str, Any]]]:
    """The jobs that a pull request from a fork starts."""
    for job, content in jobs():
        on = triggers(WORKFLOWS[job.partition("/")[0]])
        condition = content.get("if", "")
        others = (SAME_REPOSITORY, "== 'merge_group'", "github.event_name == 'push' &&")
        if "pull_request" in on and not any(other in condition for other in others):
            yield job, content
