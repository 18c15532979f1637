"""What a GitHub knows of runs of workflows: what ended how, attempt by attempt."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from support.servers.github_answers import Answer, Call, not_found, paged

if TYPE_CHECKING:
    from support.servers.github_state import GitHub


def add_run(
    github: "GitHub", number: int, path: str, conclusion: str, jobs: Mapping[str, str], attempt: int = 1
) -> None:
    """A run, or another attempt of one; `jobs` are the results by the jobs' names."""
    url = f"https://{github.host}/{github.repository}/actions/runs/{number}"
    rows = [
        {"name": name, "conclusion": result, "run_attempt": attempt, "status": "completed"}
        for name, result in jobs.items()
    ]
    earlier = github.runs.get(str(number), {"jobs": []})["jobs"]
    github.runs[str(number)] = {
        "id": number, "path": path, "conclusion": conclusion, "html_url": url, "jobs": [*earlier, *rows],
    }  # fmt: skip


def _run(github: "GitHub", call: Call) -> Answer:
    known = github.runs.get(call.values["run_id"])
    return (200, {name: value for name, value in known.items() if name != "jobs"}) if known else not_found()


def _jobs(github: "GitHub", call: Call) -> Answer:
    if not (known := github.runs.get(call.values["run_id"])):
        return not_found()
    newest = max((job["run_attempt"] for job in known["jobs"]), default=1)
    rows = [job for job in known["jobs"] if call.query.get("filter") == "all" or job["run_attempt"] == newest]
    return 200, {"total_count": len(rows), "jobs": paged(call, rows)[1]}


def _configure_runner(_: "GitHub", call: Call) -> Answer:
    labels = [{"name": label} for label in call.body["labels"]]
    runner = {"id": 23, "name": call.body["name"], "os": "unknown", "status": "offline", "busy": False}
    return 201, {"runner": {**runner, "labels": labels}, "encoded_jit_config": "eyJ9"}


RUNS: dict[tuple[str, str], Callable[["GitHub", Call], Answer]] = {
    ("GET", "/actions/runners"): lambda _, __: (200, {"total_count": 0, "runners": []}),
    ("POST", "/actions/runners/generate-jitconfig"): _configure_runner,
    ("GET", "/actions/runs/{run_id}"): _run,
    ("GET", "/actions/runs/{run_id}/jobs"): _jobs,
}
