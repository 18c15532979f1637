"""Runs a workflow in this process: the part of Actions that the workflows here use, and `registry` without its start.

`act` is the judge of it (tests/workflows/test_engine.py). It can do what act cannot: run some jobs of a run again
with what the others gave, and lose the machine between two steps.
"""

import contextlib
import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support import in_process

# --- results ----------------------------------------------------------------------------------------------------------


@dataclass
class Ran:
    """What a run did: job → result (`success`, `failure`; none for a skipped one), and per job the steps' results."""

    code: int = 0
    errors: str = ""
    id: int = 0
    jobs: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """What all jobs said, for a person who looks for a fault."""
        return "\n".join(
            [self.errors, *(f"--- {job}: {self.jobs.get(job)}\n{text}" for job, text in self.said.items())]
        )

    @property
    def conclusion(self) -> str:
        """What GitHub calls the result of the run."""
        return "failure" if "failure" in self.jobs.values() else "success" if self.jobs else "skipped"

    def step(self, job: str, name: str) -> str:
        """The result of a step; `not run` for one that was skipped."""
        return self.steps.get(job, {}).get(name, "not run")


# --- expressions ------------------------------------------------------------------------------------------------------


class Null(str):
    """GitHub's null: equal to an empty string, and so is everything below it."""

    __slots__ = ()

    def __getattr__(self, _: str) -> "Null":
        return self


class Context(dict[str, Any]):
    """A mapping whose keys are read as in an expression; a `-` of theirs as `_`."""

    def __getattr__(self, name: str) -> Any:
        value = self.get(name, self.get(name.replace("_", "-")))
        return Null() if value is None else Context(value) if isinstance(value, dict) else value


_TOKEN = re.compile(r"'(?:[^']|'')*'|&&|\|\||!(?!=)|[A-Za-z_][\w-]*")
_WORDS = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False", "null": "Null()"}
_STATUS = re.compile(r"\b(success|failure|always|cancelled)\(\)")
_PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression."""

    def translate(found: re.Match[str]) -> str:
        word = found[0]
        return _WORDS.get(word) or (word if word.startswith("'") else word.replace("-", "_"))

    functions = {"contains": lambda all_, one: one in all_, "fromJSON": json.loads, "format": str.format, "Null": Null}
    code = " ".join(_TOKEN.sub(translate, expression).split())
    return eval(code, {"__builtins__": {}, **functions, **names})


def fill(value: Any, names: Mapping[str, Any]) -> str:
    """A value of the YAML with its expressions replaced, as text."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _PLACE.sub(lambda found: _text(evaluate(found[1], names)), text)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def holds(condition: object, names: Mapping[str, Any]) -> bool:
    """Whether a job or a step with that `if:` is run; `success()` is presumed where nothing is said of states."""
    text = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", str(condition).strip(), flags=re.DOTALL)
    return bool(evaluate(text if _STATUS.search(text) else f"success() && ({text})", names))


# --- jobs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Again:
    """What another attempt of a run is: of all its jobs, or of these with what the others gave.

    After the step `lost_after`, in whichever job, the machine is gone. With `processes`, `registry` is one.
    """

    run: Ran | None
    only: tuple[str, ...] = ()
    lost_after: str = ""
    processes: bool = False


@dataclass(frozen=True)
class Start:
    """What starts a run. `names` are the contexts, `env` the machine's environment."""

    file: Path
    folder: Path  # for workspaces
    stubs: Path  # of the actions
    names: Mapping[str, Any]
    env: Mapping[str, str]
    run_id: int
    again: Again


@cache
def parsed(text: str) -> Any:
    """The content of a workflow or an action, to be read only: most runs are of the same few."""
    return yaml.safe_load(text)


class MachineLost(Exception):
    """The machine of a job is gone."""


def run(start: Start) -> Ran:
    """Run a workflow's jobs in their order, one after the other."""
    workflow = parsed(start.file.read_text())
    ran = Ran(id=start.run_id)
    for name, content in workflow["jobs"].items():
        if (before := start.again.run) and start.again.only and name not in start.again.only:
            if name in before.jobs:
                ran.jobs[name], ran.outputs[name] = before.jobs[name], before.outputs[name]
            continue
        needed = content.get("needs", [])
        results = {one: ran.jobs.get(one, "skipped") for one in ([needed] if isinstance(needed, str) else needed)}
        needs = {one: {"result": result, "outputs": ran.outputs.get(one, {})} for one, result in results.items()}
        names = {**start.names, "needs": Context(needs), **_states(set(results.values()))}
        if holds(content.get("if", "true"), names):
            _Job(start, ran, name, content, names).run(workflow.get("env", {}))
    ran.code = int("failure" in ran.jobs.values())
    return ran


def _states(results: set[str]) -> dict[str, Any]:
    return {
        "success": lambda: results <= {"success"}, "failure": lambda: "failure" in results, "always": lambda: True,
        "cancelled": lambda: False,
    }  # fmt: skip


class _Job:
    """One job: its folder, its environment, which steps add to, and what its steps gave."""

    def __init__(self, start: Start, ran: Ran, name: str, content: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        self.start, self.ran, self.name, self.content = start, ran, name, content
        attempt = sum(1 for _ in start.folder.glob(f"{start.run_id}-{name}-*"))
        self.folder = start.folder / f"{start.run_id}-{name}-{attempt}"
        self.workspace = self.folder / "workspace"
        self.workspace.mkdir(parents=True)
        (self.folder / "temp").mkdir()
        self.failed = False
        self.steps = Context()
        github = Context({**names["github"], "workspace": str(self.workspace), "job": name})
        self.names = {
            **names, "github": github, "steps": self.steps, "hashFiles": self._hash,
            **{state: getattr(self, f"_{state}") for state in ("success", "failure", "always", "cancelled")},
        }  # fmt: skip
        self.env = {
            **start.env, "GITHUB_WORKSPACE": str(self.workspace), "GITHUB_JOB": name,
            "RUNNER_TEMP": str(self.folder / "temp"),
        }  # fmt: skip

    def _success(self) -> bool:
        return not self.failed

    def _failure(self) -> bool:
        return self.failed

    def _always(self) -> bool:
        return True

    def _cancelled(self) -> bool:
        return False

    def _hash(self, pattern: str) -> str:
        return "hash" if any(self.workspace.glob(pattern)) else ""

    def run(self, env: Mapping[str, Any]) -> None:
        for level in (env, self.content.get("env", {})):
            self.env |= {key: fill(value, self.names) for key, value in level.items()}
        self.ran.steps[self.name] = {}
        with contextlib.suppress(MachineLost):
            for step in self.content["steps"]:
                self._step(step)
        self.ran.jobs[self.name] = "failure" if self.failed else "success"
        outputs = self.content.get("outputs", {})
        self.ran.outputs[self.name] = {key: fill(value, self.names) for key, value in outputs.items()}

    def _step(self, step: Mapping[str, Any]) -> None:
        if not holds(step.get("if", "true"), self.names):
            return
        outputs: dict[str, str] = {}
        succeeded = self._do(step, self.names, outputs)
        outcome = "success" if succeeded else "failure"
        self.ran.steps[self.name][step["name"]] = outcome
        if "id" in step:
            self.steps[step["id"]] = {"outcome": outcome, "outputs": outputs}
        self.failed |= not succeeded and not step.get("continue-on-error")
        if step["name"] == self.start.again.lost_after:
            self.failed = True
            raise MachineLost

    def _do(self, step: Mapping[str, Any], names: Mapping[str, Any], outputs: dict[str, str]) -> bool:
        """Run a step, or each step of the composite action that it uses; whether all of it succeeded."""
        if uses := step.get("uses"):
            action = parsed((self._folder_of(uses) / "action.yml").read_text())
            given = {name: one.get("default", "") for name, one in action.get("inputs", {}).items()}
            given |= {name: fill(value, names) for name, value in step.get("with", {}).items()}
            inner = {**names, "inputs": Context(given)}
            return all(self._do(one, inner, outputs) for one in action["runs"]["steps"])
        env = self.env | {key: fill(value, names) for key, value in step.get("env", {}).items()}
        written = {name: self.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for path in written.values():
            path.write_text("")
        log = self.folder / "log"
        env |= {name: str(path) for name, path in written.items()}
        code = _command(step["run"], self.workspace, env, log, inside=not self.start.again.processes)
        self.ran.said[self.name] = self.ran.said.get(self.name, "") + log.read_text(errors="replace")
        outputs |= dict(line.split("=", 1) for line in written["GITHUB_OUTPUT"].read_text().splitlines())
        self.env |= dict(line.split("=", 1) for line in written["GITHUB_ENV"].read_text().splitlines())
        return code == 0

    def _folder_of(self, uses: str) -> Path:
        name = uses.partition("@")[0]
        return self.workspace / name if name.startswith("./") else self.start.stubs / name.rpartition("/")[2]


# --- commands ---------------------------------------------------------------------------------------------------------

_REGISTRY = re.compile(r'\.venv/bin/registry (?P<args>[^|<>;]*?)(?: >> "\$(?P<to>\w+)")?')


def _command(command: str, cwd: Path, env: Mapping[str, str], log: Path, *, inside: bool) -> int:
    """The exit code of a step's command, whose output goes to `log`."""
    if not inside or not (found := _REGISTRY.fullmatch(command)):
        shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", command]
        with log.open("w") as said:
            done = subprocess.run(shell, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        return done.returncode
    words = [re.sub(r"\$(\w+)", lambda name: env.get(name[1], ""), word) for word in shlex.split(found["args"])]
    return registry(words, cwd, env, log, Path(env[found["to"]]) if found["to"] else log)


def registry(words: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path, out: Path | None = None) -> int:
    """The exit code of the `registry` command, called in this process; its output goes to `log`, or to `out`."""
    log.write_text("")
    return in_process.registry(words, cwd, env, out or log, log)
