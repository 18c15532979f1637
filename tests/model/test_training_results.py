"""Training results: packed, validated as untrusted, pushed to the branch; and the commit status of a report."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.core import names
from registry.errors import InvalidData, InvalidDocument
from registry.integrations import git_trees
from registry.model import training_results
from support import repositories
from support.repositories import Run

MODEL = names.parse_id("models/pets")
LOCK = "models/pets/dvc.lock"


@pytest.fixture
def trained(merged_model: Path) -> Path:
    """`merged_model`, on a branch that is pushed, where a training wrote new metrics that are not committed."""
    repositories.git_in(merged_model, "switch", "--quiet", "--create", "change")
    repositories.git_in(merged_model, "push", "--quiet", "origin", "change")
    (merged_model / "models/pets/metrics.json").write_text('{"accuracy": 0.95}\n')
    return merged_model


def pack(root: Path) -> Path:
    training_results.pack(root, [MODEL], root / "build/results")
    return root / "build/results"


def head(root: Path) -> str:
    return repositories.git_in(root, "rev-parse", "HEAD")


def test_what_dvc_yaml_names_is_handed_over(trained: Path) -> None:
    folder = pack(trained)
    assert repositories.snapshot(folder).keys() == {LOCK, "models/pets/metrics.json"}


def test_it_becomes_a_commit_on_the_branch_and_touches_no_file_here(trained: Path) -> None:
    folder, before = pack(trained), head(trained)
    files = repositories.snapshot(trained / "models"), repositories.git_in(trained, "status", "--short")
    done = training_results.accept(trained, folder, before, "change")
    assert not done.stale
    assert repositories.git_in(repositories.origin(trained), "rev-parse", "change") == done.commit
    assert repositories.git_in(trained, "diff", "--name-only", before, done.commit) == "models/pets/metrics.json"
    assert repositories.git_in(trained, "log", "-1", "--format=%s %P", done.commit) == f"Train models/pets {before}"
    assert (repositories.snapshot(trained / "models"), repositories.git_in(trained, "status", "--short")) == files


def test_nothing_new_makes_no_commit(trained: Path) -> None:
    repositories.git_in(trained, "restore", ".")
    assert training_results.accept(trained, pack(trained), head(trained), "change") == training_results.Accepted(
        head(trained), False
    )


def test_a_job_that_trained_nothing_hands_nothing_over(trained: Path) -> None:
    done = training_results.accept(trained, trained / "nowhere", head(trained), "change")
    assert done == training_results.Accepted(head(trained), False)


def test_a_branch_that_moved_on_is_left_alone_and_the_report_marked(trained: Path, run_registry: Run) -> None:
    folder, before = pack(trained), head(trained)
    repositories.git_in(trained, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", "later")
    repositories.git_in(trained, "push", "--quiet", "origin", "change")
    later = head(trained)
    (trained / "build/report.md").write_text("# Ready\n")
    options = ("--head", before, "--branch", "change", "--report", "build/report.md")
    done = run_registry(trained, "ci", "accept", str(folder), *options)
    assert done.out == f"commit={before}\nstale=true\n"
    assert repositories.git_in(repositories.origin(trained), "rev-parse", "change") == later
    assert (trained / "build/report.md").read_text().startswith(f"> **Stale**: this report was made for {before[:10]}")


def test_what_the_training_no_longer_writes_goes(trained: Path) -> None:
    text = (trained / "models/pets/dvc.yaml").read_text()
    (trained / "models/pets/dvc.yaml").write_text(text + "    plots:\n    - plots:\n        cache: false\n")
    (trained / "models/pets/plots").mkdir()
    (trained / "models/pets/plots/old.json").write_text("[]\n")
    before = repositories.commit(trained, "plots")
    repositories.git_in(trained, "push", "--quiet", "origin", "change")
    (trained / "models/pets/plots/old.json").rename(trained / "models/pets/plots/new.json")
    done = training_results.accept(trained, pack(trained), before, "change")
    changed = repositories.git_in(trained, "diff", "--name-status", "--no-renames", before, done.commit).split()
    assert changed == ["A", "models/pets/plots/new.json", "D", "models/pets/plots/old.json"]


# --- untrusted results ------------------------------------------------------------------------------------------------


def put(path: str, data: bytes = b"{}") -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return do


def link(folder: Path) -> None:
    (folder / LOCK).unlink()
    (folder / LOCK).symlink_to("/etc/passwd")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "models/pets/pipe")


HOSTILE = {
    "code": put("models/pets/train.py"),
    "a workflow": put(".github/workflows/x.yml"),
    "another model": put("models/other/dvc.lock"),
    "a dataset": put("datasets/pets/prepared.dvc"),
    "a file at the top": put("dvc.yaml"),
    "below a file": put("models/pets/metrics.json.d/x"),
    "a name with a newline": put("models/pets/plots/a\nb.json"),
    "a link": link,
    "a pipe": pipe,
    "too large": put("models/pets/metrics.json", b" " * (training_results.MAX_BYTES + 1)),
    "a lock that fetches": put(
        LOCK, b"schema: '2.0'\nstages:\n  train:\n    cmd: x\n    deps:\n    - {repo: {url: x}}\n"
    ),
    "a lock of another folder": put(
        LOCK,
        f"schema: '2.0'\nstages: {{train: {{cmd: x, outs: [{{path: ../x, hash: md5, md5: {'a' * 32}}}]}}}}".encode(),
    ),
    "no JSON": put("models/pets/metrics.json", b"<script>"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_untrusted_results_reach_no_other_path_of_a_branch(trained: Path, what: str) -> None:
    folder, before = pack(trained), repositories.git_in(repositories.origin(trained), "for-each-ref")
    HOSTILE[what](folder)
    with pytest.raises((InvalidData, InvalidDocument)) as caught:
        training_results.accept(trained, folder, head(trained), "change")
    assert caught.value.fix
    assert repositories.git_in(repositories.origin(trained), "for-each-ref") == before


def test_too_many_files_are_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_results, "MAX_FILES", 1)
    with git_trees.Revision(trained, "HEAD") as tree, pytest.raises(InvalidData, match="2 files"):
        training_results.validate(tree, pack(trained))


# --- the verdict ------------------------------------------------------------------------------------------------------


def report(verdict: object = "ready", headline: object = "one\nline") -> bytes:
    return json.dumps({"verdict": verdict, "headline": headline}).encode()


@pytest.mark.parametrize(
    ("verdict", "train", "state", "words"),
    [
        ("ready", "success", "success", "ready: one line"),
        ("needs an owner", "success", "success", "needs an owner: one line"),
        ("blocked", "success", "failure", "blocked: one line"),
        ("blocked", "failure", "failure", "blocked: one line"),
        ("ready", "failure", "failure", "train: failure (ready: one line)"),
    ],
)
def test_a_report_as_a_status(verdict: str, train: str, state: str, words: str) -> None:
    assert training_results.commit_status(report(verdict), {"train": train}) == (state, words)


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{}", report("fine"), report(["ready"]), report({})])
def test_what_is_no_report_sets_no_status(data: bytes) -> None:
    with pytest.raises(InvalidDocument, match="not a report"):
        training_results.commit_status(data, {})
