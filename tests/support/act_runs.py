"""Workflows run by act in a world of their own: a bare Git remote, and S3 and GitHub on loopback.

A job has the rights of the role that it takes, and none before: the roles' policies are those of infra/aws.yaml.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from registry.demo.seaweedfs import REGION, S3Server
from support import repositories
from support.cloudformation import PRODUCTION, REQUIRED, STAGING, Stack
from support.patience import PATIENCE
from support.servers.github import TOKEN, GitHub, serve
from support.workflow_files import ROOT

STUBS = Path(__file__).parents[1] / "workflows"
VENV = Path(sys.executable).parents[1]
PINS = re.compile(r"uses: (?P<name>[\w-]+/(?P<stub>[\w-]+))@(?P<sha>[0-9a-f]{40})")
# What a registry's repository holds besides its artifacts; its program is the one that is tested, in `.venv`.
FILES = (
    ".dvcignore", ".gitignore", ".pre-commit-config.yaml", "Makefile", "pyproject.toml",
    "requirements.txt", "requirements-torch.txt",
    "registry.yaml", "README.md", "CODEOWNERS", "dvc.yaml", "scripts/hook", "scripts/install.py",
    ".dvc/config", ".dvc/.gitignore",
)  # fmt: skip


# What the workflows call the roles, and what the template calls their policies.
ROLES = {
    "AWS_PULL_REQUEST_ROLE": "PullRequestPolicy", "AWS_JUDGE_ROLE": "JudgePolicy", "AWS_PUBLISH_ROLE": "PublishPolicy",
    "AWS_REFRESH_ROLE": "ContributorPolicy",
}  # fmt: skip


def roles() -> dict[str, Any]:
    """Each role's policy, for a server that has an identity for each."""
    policies = Stack(**REQUIRED).of_type("AWS::IAM::ManagedPolicy")
    return {role: policies[policy]["PolicyDocument"] for role, policy in ROLES.items()}


@dataclass
class Ran:
    """What act did: its exit code, job → result (`success`, `failure`), and per job the steps with their results."""

    code: int
    errors: str
    id: int = 0
    jobs: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

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


class Proposed(NamedTuple):
    """The runs of a push: of `review.yml` at its start, of `pull-request.yml`, of `review.yml` after it."""

    announced: Ran
    run: Ran
    reviewed: Ran


@dataclass
class World:
    """A contributor's clone `root`, its remote `origin.git`, its buckets and its GitHub."""

    top: Path
    server: S3Server
    github: GitHub
    secrets: dict[str, str] = field(default_factory=dict)
    runs: int = 100  # the number of the last one

    @property
    def root(self) -> Path:
        return self.top / "registry"

    @property
    def origin(self) -> Path:
        return self.top / "origin.git"

    def keys(self, prefix: str, bucket: str = PRODUCTION) -> set[str]:
        """The keys of a bucket."""
        told = self.server.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
        return {row["Key"] for row in told.get("Contents", ())}

    def run(self, *args: str, role: str = "AWS_REFRESH_ROLE", **env: str) -> str:
        """The `registry` command as a person in a role (a contributor's) types it."""
        return command(self.root, self.server, *args, role=role, **env)

    def contribute(self, change: Callable[[Path], None], branch: str = "change") -> str:
        """Commit a change, push its objects and then itself, as the hooks would; the head."""
        change(self.root)
        repositories.registry(self.root, "check", "--fix")
        repositories.commit(self.root, branch)
        self.run("push")
        return self.push_branch(branch)

    def tip(self, branch: str = "change") -> str:
        """Where a branch is at the remote."""
        return repositories.git_in(self.origin, "rev-parse", branch)

    def gates(self) -> dict[str, list[str]]:
        """The states of registry/gate that each commit got, in their order."""
        found: dict[str, list[str]] = {}
        for row in self.github.statuses:
            assert row["context"] == "registry/gate"
            found.setdefault(row["sha"], []).append(row["state"])
        return found

    def push_branch(self, name: str, *, number: int = 1) -> str:
        """Push HEAD as a branch and, as GitHub does, what merging it into main would make; the head commit."""
        head = repositories.git_in(self.root, "rev-parse", "HEAD")
        repositories.git_in(self.root, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{name}")
        repositories.git_in(self.root, "push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/head")
        repositories.git_in(self.root, "checkout", "--quiet", "--detach", "origin/main")
        repositories.git_in(self.root, "merge", "--quiet", "--no-ff", "--no-verify", "-m", "merge", head)
        repositories.git_in(self.root, "push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/merge")
        repositories.git_in(self.root, "checkout", "--quiet", "-B", name, head)
        return head

    def pull_request(self, branch: str, head: str, *, fork: bool = False, action: str = "synchronize") -> Ran:
        """Run `pull-request.yml` as GitHub would for a pull request from `branch`."""
        name = self.github.repository
        if not self.github.pulls:
            self.github.add_pull(branch, sha=head)
        [pull] = self.github.pulls
        event = {
            "action": action, "number": 1, "repository": self.repository(), "changes": {},
            "pull_request": {
                "number": 1, "draft": pull["draft"], "base": {"ref": pull["base"]["ref"], "repo": {"full_name": name}},
                "head": {"ref": branch, "sha": head, "repo": {"full_name": "other/data" if fork else name}},
            },
        }  # fmt: skip
        return self.act("pull_request", "pull-request.yml", event, "refs/pull/1/merge")

    def review(self, branch: str, head: str, run: Ran | None = None, again: Ran | None = None, **of_run: object) -> Ran:
        """Run `review.yml` as GitHub does when a run of `pull-request.yml` is requested, and when it has ended.

        `again` is the run of it of which this is another attempt.
        """
        workflow_run = {
            "id": run.id if run else 0, "name": "Pull request", "event": "pull_request", "head_sha": head,
            "head_branch": branch, "head_repository": {"full_name": self.github.repository}, "pull_requests": [],
            "actor": {"login": "ada"}, "conclusion": run.conclusion if run else None,
        }  # fmt: skip
        event = {
            "action": "completed" if run else "requested", "repository": self.repository(),
            "workflow_run": {**workflow_run, **of_run},
        }  # fmt: skip
        return self.act("workflow_run", "review.yml", event, "main", again)

    def propose(self, branch: str, head: str) -> Proposed:
        """All that GitHub runs for a push to a pull request's branch."""
        if not self.github.pulls:
            self.github.add_pull(branch, sha=head)
        announced = self.review(branch, head)
        run = self.pull_request(branch, head)
        return Proposed(announced, run, self.review(branch, head, run))

    def push_to_main(self, workflow: str = "publish.yml") -> Ran:
        """Run a workflow as GitHub would after a merge."""
        return self.act("push", workflow, {"ref": "refs/heads/main", "repository": self.repository()}, "main")

    def dispatch(self, workflow: str, **inputs: str) -> Ran:
        """Run a workflow as GitHub would when its button is pressed."""
        event = {"ref": "refs/heads/main", "inputs": inputs, "repository": self.repository()}
        return self.act("workflow_dispatch", workflow, event, "main")

    def _workflow(self, event: str, name: str) -> Path:
        """The file of a workflow: GitHub takes that of the default branch for `workflow_run`, whatever is proposed."""
        path = f".github/workflows/{name}"
        if event != "workflow_run":
            return self.root / path
        file = self.top / name
        file.write_text(repositories.git_in(self.origin, "show", f"main:{path}") + "\n")
        return file

    def repository(self) -> dict[str, Any]:
        """How events name it."""
        return {
            "full_name": self.github.repository, "name": self.github.repository.split("/")[1],
            "default_branch": "main", "is_template": False, "fork": False,
        }  # fmt: skip

    def act(self, event: str, workflow: str, payload: Mapping[str, Any], ref: str, again: Ran | None = None) -> Ran:
        """Run one workflow of the remote's commit `ref`, as a new run or as another attempt of one."""
        self.runs += again is None
        number = again.id if again else self.runs
        (self.top / "event.json").write_text(json.dumps(payload))
        env = {
            **self.github.env(), "GITHUB_REPOSITORY": self.github.repository, "GIT_CONFIG_NOSYSTEM": "1",
            "GITHUB_RUN_ID": str(number),
            "ACT_ORIGIN": str(self.origin), "ACT_REF": ref, "ACT_STUBS": str(STUBS), "ACT_VENV": str(VENV),
            "ACT_ARTIFACTS": str(self.top / "artifacts"), "ACT_ROLES": str(self.top / "roles"),
        }  # fmt: skip
        options = [
            "-W", str(self._workflow(event, workflow)), "--actor", "ada", "-e", str(self.top / "event.json"), "--json",
            "--no-skip-checkout", "--action-offline-mode", "--no-cache-server", "-s", f"GITHUB_TOKEN={TOKEN}",
            "-P", "ubuntu-latest=-self-hosted", "-P", "self-hosted=-self-hosted",
        ]  # fmt: skip
        options += [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        options += [word for role in ROLES for word in ("--var", f"{role}={role}")] + ["--var", f"AWS_REGION={REGION}"]
        options += [word for name, value in self.secrets.items() for word in ("-s", f"{name}={value}")]
        options += [word for stub in _stubs() for word in ("--local-repository", stub)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_"))}
        home = {"HOME": str(self.top / "home"), "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            [VENV / "bin/act", event, *options],
            cwd=self.root, env={**clean, **home, "XDG_CACHE_HOME": str(self.top / "home/.cache")},
            capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return replace(_read(done), id=number)


def _stubs() -> Iterator[str]:
    for path in ROOT.glob(".github/**/*.yml"):
        for found in PINS.finditer(path.read_text()):
            yield f"{found['name']}@{found['sha']}={STUBS / 'actions' / found['stub']}"


def _read(done: subprocess.CompletedProcess[str]) -> Ran:
    """act's log (`--json`): a row for each line that a step wrote, for each end of a step and of a job.

    What comes before and after a step is reported under its name too, even where it is skipped.
    """
    ran = Ran(done.returncode, done.stderr)
    for line in done.stdout.splitlines():
        row = json.loads(line) if line.startswith("{") else {}
        job = row.get("jobID", "")
        if "jobResult" in row:
            ran.jobs[job] = row["jobResult"]
        elif row.get("stage") == "Main" and "stepResult" in row:
            ran.steps.setdefault(job, {})[row["step"]] = row["stepResult"]
        elif row.get("raw_output"):
            ran.said[job] = ran.said.get(job, "") + row["msg"]
    return ran


# --- its beginning ----------------------------------------------------------------------------------------------------


def found(top: Path, server: S3Server, fill: Callable[[Path], None]) -> None:
    """A registry with this project's .github, whose main is pushed; `fill` puts the artifacts into it."""
    root = top / "registry"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / ".github", root / ".github")
    _configure(root / ".dvc/config", server)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", root], check=True)
    (top / "home").mkdir()
    shutil.copy(Path(os.environ["HOME"]) / ".gitconfig", top / "home")
    (top / "roles").mkdir()
    for role in ROLES:
        lines = (f"{name}={value}\n" for name, value in server.env(role).items())
        (top / "roles" / role).write_text("".join(lines))
    fill(root)
    repositories.add_origin(root)
    command(root, server, "check", "--fix")
    repositories.commit(root, "a registry")
    command(root, server, "push")
    repositories.git_in(root, "push", "--quiet", "--set-upstream", "origin", "main")


def command(root: Path, server: S3Server, *args: str, role: str = "AWS_REFRESH_ROLE", **env: str) -> str:
    """The outcome of the `registry` command for a person in a role."""
    done = repositories.registry(root, *args, env={**os.environ, **server.env(role), **env})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _configure(config: Path, server: S3Server) -> None:
    """Staging and production on a server, in the words of `.dvc/config`."""
    head, _, _ = config.read_text().partition("['remote")
    places = {"staging": STAGING, "production": PRODUCTION}
    options = f"    endpointurl = {server.url}\n    region = {REGION}\n"
    config.write_text(
        head + "".join(f"['remote \"{name}\"']\n    url = s3://{bucket}\n{options}" for name, bucket in places.items())
    )


@contextmanager
def world(top: Path, server: S3Server) -> Iterator[World]:
    """The world in a folder that `found` made, with a GitHub that listens."""
    with serve(GitHub(origin=top / "origin.git")) as github:
        yield World(top, server, github)
