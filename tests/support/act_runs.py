"""Workflows run in a world of their own: a bare Git remote, and S3 and GitHub on loopback.

In this process (`workflow_engine`), or by act (`World.by_act`). A job has the rights of the role that it takes, and
none before: the roles' policies are those of infra/aws.yaml.
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
from support import local_install, repositories, workflow_engine
from support.cloudformation import PRODUCTION, REQUIRED, STAGING, Stack
from support.patience import PATIENCE
from support.servers.github import TOKEN, GitHub, serve
from support.servers.github_runs import add_run
from support.workflow_engine import Again, Context, Ran, Start
from support.workflow_files import ROOT

STUBS = Path(__file__).parents[1] / "workflows"
VENV = Path(sys.executable).parents[1]
CATALOG = "https://acme.github.io/registry"
PINS = re.compile(r"uses: (?P<name>[\w-]+/(?P<stub>[\w-]+))@(?P<sha>[0-9a-f]{40})")
# What a registry's repository holds besides its artifacts; its program is the one that is tested, in `.venv`.
FILES = (
    ".dvcignore", ".gitignore", ".pre-commit-config.yaml", "pyproject.toml",
    "requirements.txt", "requirements-torch.txt",
    "registry.yaml", "README.md", "CODEOWNERS", "dvc.yaml", "scripts/hook", "scripts/install.py",
    "scripts/words.py", "docs/words.toml",
    ".dvc/config", ".dvc/.gitignore",
)  # fmt: skip

# The project's own linters and tests fail where there is such a file.
MAKEFILE = """venv:
\t@python3 scripts/install.py $(WITH)
ci:
\t@test ! -e tests/broken-$@
"""
# What the workflows call the roles, and what the template calls their policies.
ROLES = {
    "AWS_PULL_REQUEST_ROLE": "PullRequestPolicy", "AWS_JUDGE_ROLE": "JudgePolicy", "AWS_PUBLISH_ROLE": "PublishPolicy",
    "AWS_REFRESH_ROLE": "ContributorPolicy",
}  # fmt: skip


def roles() -> dict[str, Any]:
    """Each role's policy, for a server that has an identity for each."""
    policies = Stack(**REQUIRED).of_type("AWS::IAM::ManagedPolicy")
    return {role: policies[policy]["PolicyDocument"] for role, policy in ROLES.items()}


class Proposed(NamedTuple):
    """The runs of a push: of `review.yml` at its start, of `pull-request.yml`, of `review.yml` after it."""

    announced: Ran
    run: Ran
    reviewed: Ran


@dataclass
class World:
    """A contributor's clone `root`, its remote `origin.git`, its buckets and its GitHub."""

    top: Path
    server: S3Server | None  # None where the buckets are folders
    github: GitHub
    secrets: dict[str, str] = field(default_factory=dict)
    runs: int = 100  # the number of the last one
    by_act: bool = False
    own_tooling: bool = False  # jobs install what is pinned, and run it, instead of the tooling that is tested

    @property
    def root(self) -> Path:
        return self.top / "registry"

    @property
    def origin(self) -> Path:
        return self.top / "origin.git"

    def keys(self, prefix: str, bucket: str = PRODUCTION) -> set[str]:
        """The keys of a bucket."""
        assert self.server
        told = self.server.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
        return {row["Key"] for row in told.get("Contents", ())}

    def run(self, *args: str, role: str = "AWS_REFRESH_ROLE", **env: str) -> str:
        """What the `registry` command prints for a person in a role, a contributor's."""
        return command(self.root, self.server, *args, role=role, **env)

    def contribute(self, change: Callable[[Path], None], branch: str = "change") -> str:
        """Commit a change, push its objects and then itself, as the hooks would; the head."""
        change(self.root)
        self.run("check", "--fix")
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
        return self.told(self.start("pull_request", "pull-request.yml", event, "refs/pull/1/merge"))

    def told(self, ran: Ran) -> Ran:
        """GitHub knows of a run of `pull-request.yml`, whose jobs have names in the file that was run."""
        path = ".github/workflows/pull-request.yml"
        jobs = workflow_engine.parsed((self.root / path).read_text())["jobs"]
        results = {content["name"]: ran.jobs.get(name, "skipped") for name, content in jobs.items()}
        add_run(self.github, ran.id, path, ran.conclusion, results)
        return ran

    def review(
        self, branch: str, head: str, run: Ran | None = None, again: Again | None = None, **of_run: object
    ) -> Ran:
        """Run `review.yml` as GitHub does when a run of `pull-request.yml` is requested, and when it has ended."""
        workflow_run = {
            "id": run.id if run else 0, "name": "Pull request", "event": "pull_request", "head_sha": head,
            "head_branch": branch, "head_repository": {"full_name": self.github.repository}, "pull_requests": [],
            "actor": {"login": "ada"}, "conclusion": run.conclusion if run else None,
        }  # fmt: skip
        event = {
            "action": "completed" if run else "requested", "repository": self.repository(),
            "workflow_run": {**workflow_run, **of_run},
        }  # fmt: skip
        return self.start("workflow_run", "review.yml", event, "main", again)

    def propose(self, branch: str, head: str) -> Proposed:
        """All that GitHub runs for a push to a pull request's branch."""
        if not self.github.pulls:
            self.github.add_pull(branch, sha=head)
        announced = self.review(branch, head)
        run = self.pull_request(branch, head)
        return Proposed(announced, run, self.review(branch, head, run))

    def push_to_main(self, workflow: str = "publish.yml") -> Ran:
        """Run a workflow as GitHub would after a merge."""
        return self.start("push", workflow, {"ref": "refs/heads/main", "repository": self.repository()}, "main")

    def dispatch(self, workflow: str, **inputs: str) -> Ran:
        """Run a workflow as GitHub would when its button is pressed."""
        event = {"ref": "refs/heads/main", "inputs": inputs, "repository": self.repository()}
        return self.start("workflow_dispatch", workflow, event, "main")

    def after(self, workflow: str, name: str, conclusion: str = "success") -> Ran:
        """Run a workflow as GitHub would after another one of the default branch has ended."""
        of_run = {"name": name, "conclusion": conclusion, "event": "push", "head_branch": "main"}
        event = {"action": "completed", "repository": self.repository(), "workflow_run": of_run}
        return self.start("workflow_run", workflow, event, "main")

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

    def start(self, event: str, workflow: str, payload: Mapping[str, Any], ref: str, again: Again | None = None) -> Ran:
        """Run one workflow for the remote's commit `ref`, as a new run or as another attempt of one."""
        self.runs += not (again and again.run)
        number = again.run.id if again and again.run else self.runs
        (self.top / "event.json").write_text(json.dumps(payload))
        file = self._workflow(event, workflow)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_"))},
            "HOME": str(self.top / "home"), "XDG_CACHE_HOME": str(self.top / "home/.cache"),
            "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        told = {
            **self.github.env(), "GITHUB_REPOSITORY": self.github.repository, "GIT_CONFIG_NOSYSTEM": "1",
            "GITHUB_RUN_ID": str(number),
            "ACT_ORIGIN": str(self.origin), "ACT_REF": ref, "ACT_STUBS": str(STUBS), "ACT_VENV": str(VENV),
            "ACT_ARTIFACTS": str(self.top / "artifacts"), "ACT_ROLES": str(self.top / "roles"),
        }  # fmt: skip
        if self.own_tooling:
            env["PYTHONPATH"] = told["ACT_VENV"] = ""
            env["PYTHON"] = local_install.command()
        if self.by_act:
            assert again is None or again == Again(again.run)
            return replace(self._act(event, file, env, told), id=number)
        names = self._names(event, payload, ref, number)
        at = {"GITHUB_REF": str(payload.get("ref", ref))}
        again = again or Again(None)
        again = replace(again, processes=again.processes or self.own_tooling)
        return workflow_engine.run(
            Start(file, self.top / "jobs", STUBS / "actions", names, env | told | at, number, again)
        )

    def _act(self, event: str, file: Path, env: Mapping[str, str], told: Mapping[str, str]) -> Ran:
        options = [
            "-W", str(file), "--actor", "ada", "-e", str(self.top / "event.json"), "--json",
            "--no-skip-checkout", "--action-offline-mode", "--no-cache-server", "-s", f"GITHUB_TOKEN={TOKEN}",
            "-P", "ubuntu-latest=-self-hosted", "-P", "self-hosted=-self-hosted",
        ]  # fmt: skip
        options += [word for name, value in told.items() for word in ("--env", f"{name}={value}")]
        options += [word for name, value in _variables().items() for word in ("--var", f"{name}={value}")]
        options += [word for name, value in self.secrets.items() for word in ("-s", f"{name}={value}")]
        options += [word for stub in _stubs() for word in ("--local-repository", stub)]
        done = subprocess.run(
            [VENV / "bin/act", event, *options], cwd=self.root, env=env,
            capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return _read(done)

    def _names(self, event: str, payload: Mapping[str, Any], ref: str, number: int) -> dict[str, Any]:
        """The contexts of a run, as far as the workflows use them."""
        pull = payload.get("pull_request", {})
        github = {
            "event": payload, "event_name": event, "repository": self.github.repository, "run_id": number,
            "repository_owner": self.github.repository.split("/")[0], "ref_name": ref.removeprefix("refs/heads/"),
            "server_url": "https://github.com", "token": TOKEN, "actor": "ada",
            "base_ref": pull.get("base", {}).get("ref"),
        }  # fmt: skip
        given = {"github": github, "vars": _variables(), "secrets": self.secrets, "inputs": payload.get("inputs", {})}
        return {name: Context(value) for name, value in given.items()}


REVIEWED = {"judge": "success", "comment": "success"}


@dataclass
class Trained:
    """A world in which the branch `change` was trained, and not reviewed yet."""

    world: World
    run: Ran
    head: str

    def review(self, again: Again | None = None) -> Ran:
        """What GitHub runs after the training."""
        return self.world.review("change", self.head, self.run, again)

    @property
    def results(self) -> Path:
        """What the training handed over."""
        return self.world.top / "artifacts" / str(self.run.id) / "results"

    def require_end(self, reviewed: Ran) -> None:
        """The state in which every way has to end."""
        world, tip = self.world, self.world.tip()
        assert reviewed.jobs == REVIEWED, reviewed.log
        assert repositories.git_in(world.origin, "rev-parse", f"{tip}^") == self.head
        assert world.github.status_of(tip) == {"registry/gate": "success"}
        [comment] = world.github.comments
        assert "Stale" not in comment["body"]
        assert "## ✅ Ready" in comment["body"] or "## ⚠️ Needs an owner" in comment["body"]


def _variables() -> dict[str, str]:
    return {**{role: role for role in ROLES}, "AWS_REGION": REGION, "TRUSTED_RUNNER": "true", "CATALOG_URL": CATALOG}


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
    (root / "Makefile").write_text(MAKEFILE)
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


def command(root: Path, server: S3Server | None, *args: str, role: str = "AWS_REFRESH_ROLE", **env: str) -> str:
    """What the `registry` command prints for a person in a role, on both streams; it has to succeed, or to mend."""
    log = root.parent / "log"
    code = workflow_engine.registry(args, root, {**os.environ, **(server.env(role) if server else {}), **env}, log)
    assert code == 0 or "--fix" in args, log.read_text()
    return log.read_text()


def _configure(config: Path, server: S3Server) -> None:
    """Staging and production on a server, in the words of `.dvc/config`."""
    head, _, _ = config.read_text().partition("['remote")
    places = {"staging": STAGING, "production": PRODUCTION}
    options = f"    endpointurl = {server.url}\n    region = {REGION}\n"
    config.write_text(
        head + "".join(f"['remote \"{name}\"']\n    url = s3://{bucket}\n{options}" for name, bucket in places.items())
    )


@contextmanager
def world(top: Path, server: S3Server | None) -> Iterator[World]:
    """The world in a folder that `found` made, with a GitHub that listens."""
    with serve(GitHub(origin=top / "origin.git")) as github:
        yield World(top, server, github)
