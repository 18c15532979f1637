"""`registry judge` and `registry ci accept`: what becomes of training results, and of reports of other commits."""

import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.report import json_input
from support import repositories
from support.repositories import Run, git_in, origin

LOCK, METRICS = "models/pets/dvc.lock", "models/pets/metrics.json"
CARD = "models/pets/README.md"


@dataclass(frozen=True)
class Proposal:
    """A branch `change` at origin, whose training handed over results, and a checkout of main to judge it from."""

    root: Path
    head: str
    results: Path
    out: Path

    @property
    def tip(self) -> str:
        """Where the branch is at origin."""
        return git_in(origin(self.root), "rev-parse", "change")

    def put(self, path: str, text: str) -> None:
        """Write a file among the results."""
        (self.results / path).parent.mkdir(parents=True, exist_ok=True)
        (self.results / path).write_text(text)

    def move(self, name: str = "later") -> str:
        """Another commit that a contributor pushes to the branch."""
        git_in(self.root, "switch", "--quiet", "--detach", self.tip)
        git_in(self.root, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", name)
        git_in(self.root, "push", "--quiet", "origin", "HEAD:change")
        git_in(self.root, "switch", "--quiet", "main")
        return self.tip


@pytest.fixture
def proposal(merged_model: Path, tmp_path: Path) -> Proposal:
    git_in(merged_model, "switch", "--quiet", "--create", "change")
    repositories.model(merged_model, "pets", b"weights of 1.1.0", "1.1.0", wrong=1)
    repositories.stage(merged_model)
    results = tmp_path / "results"
    for name in (LOCK, METRICS):
        repositories.write_bytes(results / name, (merged_model / name).read_bytes())
    git_in(merged_model, "checkout", "--quiet", "HEAD", "--", LOCK, METRICS)
    head = repositories.commit(merged_model, "models/pets 1.1.0")
    git_in(merged_model, "push", "--quiet", "origin", "change")
    git_in(merged_model, "switch", "--quiet", "main")
    return Proposal(merged_model, head, results, tmp_path / "judged")


Judge = Callable[[], str]


@pytest.fixture
def judge(proposal: Proposal, run_registry: Run) -> Judge:
    """`registry judge` on the proposal; the commit that it is about."""

    def run() -> str:
        options = ("--base", "origin/main", "--branch", "change", "--results", str(proposal.results))
        done = run_registry(proposal.root, "judge", proposal.head, *options, "--out", str(proposal.out))
        assert done.code == 0, done.err
        said = dict(line.split("=", 1) for line in done.out.splitlines())
        page = json_input.parse((proposal.out / "report.json").read_bytes()).page
        assert (said["commit"], said["state"]) == (page.run.head, page.state)
        return said["commit"]

    return run


@pytest.fixture
def accept(proposal: Proposal, run_registry: Run) -> Callable[[], repositories.Outcome]:
    options = ("--head", proposal.head, "--branch", "change", "--base", "origin/main")
    return lambda: run_registry(proposal.root, "ci", "accept", str(proposal.out), *options)


Accept = Callable[[], repositories.Outcome]


def findings(proposal: Proposal, check: str) -> list[str]:
    report = json.loads((proposal.out / "report.json").read_bytes())
    return [f"{one['path']}: {one['message']}" for one in report["findings"] if one["check"] == check]


# --- judging ----------------------------------------------------------------------------------------------------------


def test_results_become_the_commit_that_is_judged_and_nothing_is_pushed(proposal: Proposal, judge: Judge) -> None:
    before = git_in(origin(proposal.root), "for-each-ref"), git_in(proposal.root, "status", "--short")
    commit = judge()
    assert git_in(proposal.root, "diff", "--name-only", proposal.head, commit).split() == [CARD, LOCK, METRICS]
    assert (git_in(origin(proposal.root), "for-each-ref"), git_in(proposal.root, "status", "--short")) == before
    assert findings(proposal, "training-results") == []
    assert not [one for one in findings(proposal, "generated-files") if one.startswith(CARD)]
    shutil.rmtree(proposal.out)
    assert judge() == commit


def test_a_commit_is_judged_by_the_code_and_the_places_of_the_checkout(proposal: Proposal, judge: Judge) -> None:
    """What the pull request says of storage is a finding, and is not obeyed."""
    git_in(proposal.root, "switch", "--quiet", "change")
    config = proposal.root / ".dvc/config"
    config.write_text(config.read_text().replace("staging", "elsewhere"))
    moved = Proposal(proposal.root, repositories.commit(proposal.root, "places"), proposal.results, proposal.out)
    git_in(proposal.root, "push", "--quiet", "origin", "change")
    git_in(proposal.root, "switch", "--quiet", "main")
    done = repositories.registry(
        proposal.root, "judge", moved.head, "--base", "origin/main", "--results", str(moved.results),
        "--out", str(moved.out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "state=blocked" in done.stdout
    assert findings(moved, "remote-objects") == []  # they are where main's staging is


REFUSED = {
    "a manifest": lambda one: one.put("models/pets/model.yaml", "version: 9.0.0\n"),
    "another model": lambda one: one.put("models/other/dvc.lock", "schema: '2.0'\n"),
    "no JSON": lambda one: one.put(METRICS, "<script>"),
    "an empty lock": lambda one: one.put(LOCK, "schema: '2.0'\nstages: {}\n"),
    "an edited metric": lambda one: one.put(METRICS, '{"accuracy": 1.0}\n'),
    "a lock of objects that are nowhere": lambda one: one.put(LOCK, _renamed(one, "model.onnx")),
    "a lock of other code": lambda one: one.put(LOCK, _renamed(one, "train.py")),
    "a lock of another command": lambda one: one.put(
        LOCK, (one.results / LOCK).read_text().replace("python train.py", "python other.py")
    ),
}


def _renamed(proposal: Proposal, name: str) -> str:
    """The lock with another MD5 for this file."""
    head, _, tail = (proposal.results / LOCK).read_text().partition(f"path: {name}\n")
    before, _, after = tail.partition("md5: ")
    return f"{head}path: {name}\n{before}md5: {'ab' * 16}{after[32:]}" if before.count("path:") == 0 else head


@pytest.mark.parametrize("what", REFUSED)
def test_refused_results_leave_the_branch_as_it_is_and_block(
    proposal: Proposal, judge: Judge, accept: Accept, what: str
) -> None:
    REFUSED[what](proposal)
    assert judge() == proposal.head
    assert findings(proposal, "training-results") != []
    assert json.loads((proposal.out / "report.json").read_bytes())["verdict"] == "blocked"
    assert accept().out == f"commit={proposal.head}\nplace=there\n"
    assert proposal.tip == proposal.head


def test_a_model_that_has_to_be_trained_and_was_not_blocks(proposal: Proposal, judge: Judge) -> None:
    """Also where the change is such that its own workflow left the training out, and says that all went well."""
    git_in(proposal.root, "switch", "--quiet", "change")
    (proposal.root / "models/pets/train.py").write_text('print("learning more")\n')
    later = Proposal(proposal.root, repositories.commit(proposal.root, "code"), proposal.results, proposal.out)
    git_in(proposal.root, "switch", "--quiet", "main")
    for results in (proposal.results, proposal.root / "nowhere"):
        done = repositories.registry(
            proposal.root, "judge", later.head, "--base", "origin/main", "--results", str(results), "--out",
            str(proposal.out),
        )  # fmt: skip
        assert done.stdout == f"commit={later.head}\nstate=blocked\n"
        assert "models/pets has to be trained" in findings(later, "training-results")[-1]


def test_a_new_model_is_trained_before_it_is_merged(proposal: Proposal, judge: Judge) -> None:
    git_in(proposal.root, "switch", "--quiet", "--create", "new", "main")
    without = shutil.ignore_patterns("dvc.lock", "metrics.json", "model.onnx", "predictions.parquet")
    folder = shutil.copytree(proposal.root / "models/pets", proposal.root / "models/second", ignore=without)
    manifest = folder / "model.yaml"
    manifest.write_text(manifest.read_text().replace("name: pets", "name: second"))
    new = Proposal(proposal.root, repositories.commit(proposal.root, "second"), proposal.results, proposal.out)
    git_in(proposal.root, "switch", "--quiet", "main")
    done = repositories.registry(proposal.root, "judge", new.head, "--base", "origin/main", "--out", str(proposal.out))
    assert "state=blocked" in done.stdout
    assert "models/second has to be trained: not trained yet" in findings(new, "training-results")[0]


def test_no_results_are_no_fault(proposal: Proposal, judge: Judge) -> None:
    shutil.rmtree(proposal.results)
    assert judge() == proposal.head
    assert findings(proposal, "training-results") == []


# --- accepting --------------------------------------------------------------------------------------------------------


def test_the_commit_that_was_judged_is_pushed_once(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    assert accept().out == f"commit={commit}\nplace=pushed\n"
    assert proposal.tip == commit
    assert accept().out == f"commit={commit}\nplace=there\n"
    # A training that is run again may give other results; what is on the branch is judged, and stays.
    proposal.put(METRICS, '{"accuracy": 0.5}\n')
    assert judge() == commit
    assert not (proposal.out / "results").exists()
    assert accept().out == f"commit={commit}\nplace=there\n"


def test_a_branch_that_moved_on_is_left_alone(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    later = proposal.move()
    assert accept().out == f"commit={commit}\nplace=moved\n"
    assert proposal.tip == later


def test_a_branch_that_moved_on_after_the_push_is_left_alone(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    accept()
    later = proposal.move()
    assert accept().out == f"commit={commit}\nplace=moved\n"
    assert proposal.tip == later


def test_a_deleted_branch_is_not_made_again(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    git_in(proposal.root, "push", "--quiet", "--delete", "origin", "change")
    assert accept().out == f"commit={commit}\nplace=moved\n"
    assert "change" not in git_in(origin(proposal.root), "branch", "--list")


def test_a_branch_that_went_back_is_not_pushed_over(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    judge()
    git_in(proposal.root, "push", "--quiet", "--force", "origin", f"{proposal.head}^:refs/heads/change")
    assert accept().out.endswith("place=moved\n")
    assert proposal.tip == git_in(proposal.root, "rev-parse", f"{proposal.head}^")


def test_results_that_changed_since_they_were_judged_are_refused(
    proposal: Proposal, judge: Judge, accept: Accept
) -> None:
    judge()
    (proposal.out / "results" / METRICS).write_text('{"accuracy": 0.99}\n')
    assert accept().refused("the training results make the commit")
    assert proposal.tip == proposal.head


def test_a_report_of_another_commit_is_refused(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    file = proposal.out / "report.json"
    file.write_bytes(file.read_bytes().replace(commit.encode(), b"1" * 40))
    assert accept().refused("the report is about 1111111111")
    file.write_bytes(file.read_bytes().replace(b'"verdict"', b'"worth"'))
    assert accept().refused("report.json")
    assert proposal.tip == proposal.head


def test_a_commit_of_a_person_on_top_is_none_of_results(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    later = proposal.move()
    file = proposal.out / "report.json"
    file.write_bytes(file.read_bytes().replace(commit.encode(), later.encode()))
    assert accept().refused("has no training results of")


def test_a_refused_push_can_be_repeated(proposal: Proposal, judge: Judge, accept: Accept) -> None:
    commit = judge()
    hook = origin(proposal.root) / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'remote: Internal Server Error' >&2\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IEXEC)
    assert accept().code == 1
    assert proposal.tip == proposal.head
    hook.unlink()
    assert accept().out == f"commit={commit}\nplace=pushed\n"
