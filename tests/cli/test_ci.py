"""`registry ci`: the pull request, the gate's status, the issue on failed nightly checks, the datasets to refresh."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.release import drift_issue
from registry.report import json_output
from registry.report.comment import WATERMARK
from support import report_situations, repositories, selections
from support.repositories import Run, origin
from support.servers.github import GitHub, serve

COMMIT = "1" * 40
URL = "https://github.com/acme/registry/actions/runs/7"


@pytest.fixture
def hub(merged_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """`merged_model`'s origin, as GitHub has it."""
    with serve(GitHub(origin=origin(merged_model))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def head(merged_model: Path) -> str:
    return repositories.git_in(merged_model, "rev-parse", "HEAD")


def test_the_gate_is_the_state_of_the_report(
    hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path, head: str
) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(json_output.render(report_situations.blocked()))
    done = run_registry(merged_model, "ci", "gate", str(report), "--commit", head, "--url", URL)
    assert (done.code, done.out) == (0, "state=failure\n")
    assert hub.status_of(head) == {"registry/gate": "failure"}
    [status] = hub.statuses
    assert status["target_url"] == URL
    assert status["description"].startswith("blocked: ")
    assert len(status["description"]) <= 140


def test_an_invalid_report_sets_no_status(
    hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path, head: str
) -> None:
    (tmp_path / "report.json").write_text("<html>")
    done = run_registry(merged_model, "ci", "gate", str(tmp_path / "report.json"), "--commit", head)
    assert done.refused("report.json")
    assert hub.statuses == []


def test_a_commit_is_pending_until_it_is_judged_and_never_after(
    hub: GitHub, merged_model: Path, run_registry: Run, head: str
) -> None:
    def pending() -> str:
        return run_registry(merged_model, "ci", "pending", "--head", head, "--url", URL).out

    assert pending() == "judged=false\n"
    assert pending() == "judged=false\n"
    assert {row["state"] for row in hub.statuses} == {"pending"}
    hub.statuses.append({**hub.statuses[0], "context": "ci/other", "state": "success"})
    assert pending() == "judged=false\n"
    for state in ("success", "failure"):
        hub.statuses.append({**hub.statuses[0], "state": state})
        assert pending() == "judged=true\n"
        assert hub.status_of(head)["registry/gate"] == state


PULLS: dict[str, tuple[dict[str, object], str]] = {
    "open": ({}, "number=1"),
    "closed": ({"state": "closed"}, "number="),
    "draft": ({"draft": True}, "number="),
    "stacked": ({"base": "topic"}, "number="),
    "from a fork": ({"repo": "ada/registry"}, "number="),
}


@pytest.mark.parametrize("kind", PULLS)
def test_the_pull_request_of_a_branch(hub: GitHub, merged_model: Path, run_registry: Run, head: str, kind: str) -> None:
    pull, number = PULLS[kind]
    repositories.git_in(merged_model, "push", "--quiet", "origin", "HEAD:refs/heads/change")
    hub.add_pull("change", sha=head, **pull)
    find = ("ci", "pull-request", "--branch", "change", "--head", head)
    assert run_registry(merged_model, *find).out == f"{number}\n"
    assert hub.made() == []
    assert run_registry(merged_model, *find, "--tell").out == f"{number}\n"
    assert [row["state"] for row in hub.statuses] == ["pending"] * (kind in {"draft", "stacked"})


def test_a_pull_request_whose_branch_moved_on_is_not_judged(
    hub: GitHub, merged_model: Path, run_registry: Run, head: str
) -> None:
    repositories.git_in(merged_model, "push", "--quiet", "origin", "HEAD:refs/heads/change")
    hub.add_pull("change", sha=head)
    repositories.git_in(merged_model, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", "later")
    repositories.git_in(merged_model, "push", "--quiet", "origin", "HEAD:refs/heads/change")
    done = run_registry(merged_model, "ci", "pull-request", "--branch", "change", "--head", head, "--tell")
    assert done.out == "number=\n"
    assert "the branch moved on" in done.err
    assert hub.statuses == []
    assert run_registry(merged_model, "ci", "pull-request", "--branch", "gone", "--head", head).out == "number=\n"


def test_a_report_is_one_comment_that_the_next_run_outdates(
    hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path
) -> None:
    hub.add_pull("change")
    (tmp_path / "report.md").write_text(f"## Ready\n\n{WATERMARK}\n")
    post = ("ci", "comment", "1", "--body", str(tmp_path / "report.md"), "--commit", COMMIT, "--with-cml")
    done = run_registry(merged_model, *post)
    [comment] = hub.comments
    assert (done.code, done.out) == (0, f"{comment['html_url']}\n")
    assert "CML_SHA256 is not set" in done.err
    assert comment["body"] == f"## Ready\n\n<!-- registry report commit={COMMIT} -->"
    assert run_registry(merged_model, "ci", "stale", "1", "--head", COMMIT, "--url", URL).code == 0
    assert comment["body"].startswith("## Ready")
    assert run_registry(merged_model, "ci", "stale", "1", "--head", "2" * 40, "--url", URL).code == 0
    assert comment["body"].startswith(f"> **Stale**: [a run]({URL}) is making the report of 2222222222.\n\n## Ready")
    assert run_registry(merged_model, "ci", "stale", "2", "--head", COMMIT, "--url", URL).refused("HTTP 404")


def drift(run_registry: Run, root: Path, folder: Path, words: str) -> int:
    (folder / "fsck.txt").write_text(f"{words}\n")
    return run_registry(root, "ci", "drift", str(folder), "--url", URL).code


def test_drift_is_one_issue_that_is_kept_current(
    hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path
) -> None:
    for words in ("missing: 2 objects", "missing: 3 objects @acme/everybody"):
        assert drift(run_registry, merged_model, tmp_path, words) == 0
    [issue] = hub.issues
    assert issue["title"] == drift_issue.TITLE
    assert issue["labels"] == [{"name": "drift"}]
    assert "### `registry fsck`\n\n~~~~text\nmissing: 3 objects @acme/everybody\n~~~~" in issue["body"]
    assert URL in issue["body"]
    issue["state"] = "closed"
    assert drift(run_registry, merged_model, tmp_path, "missing: 1 object") == 0
    assert len(hub.issues) == 2


ENDED = """tag  objects
unfinished: s3://data: the credentials have expired; the command did not finish, and found nothing wrong in the data
  hint: log in again"""


def test_a_login_that_ended_is_no_drift(hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path) -> None:
    (tmp_path / "reproduce.txt").write_text(ENDED)
    (tmp_path / "fsck.txt").write_text(ENDED)
    done = run_registry(merged_model, "ci", "drift", str(tmp_path), "--url", URL)
    assert (done.code, "did not finish" in done.out, "the credentials have expired" in done.out) == (0, True, True)
    assert hub.issues == []
    assert drift(run_registry, merged_model, tmp_path, f"{ENDED}\nmissing: 1 object") == 0
    assert len(hub.issues) == 1


def test_drift_is_told_in_no_issue_of_others(
    hub: GitHub, merged_model: Path, run_registry: Run, tmp_path: Path
) -> None:
    mallory = {"login": "mallory", "id": 7, "type": "User"}
    assert drift(run_registry, merged_model, tmp_path, "missing: 1 object") == 0
    [oldest] = hub.issues
    for number in range(120):
        planted = {**oldest, "id": 1000 + number, "number": 2 + number, "user": mallory}
        hub.issues.append(planted)
    own = {**oldest, "id": 2000, "number": 200, "title": "Coverage fell", "body": f"> {drift_issue.MARK}\n\nIt fell."}
    twice = {**oldest, "id": 2001, "number": 201}
    hub.issues += [own, twice]
    oldest["labels"], oldest["title"] = [], "Renamed by a person"
    assert drift(run_registry, merged_model, tmp_path, "missing: 9 objects") == 0
    changed = [issue["number"] for issue in hub.issues if "9 objects" in issue["body"]]
    assert changed == [1]
    assert [issue["number"] for issue in hub.issues if issue["state"] == "closed"] == [201]
    assert len(hub.issues) == 123


def test_an_issue_without_output_links_to_the_run(tmp_path: Path) -> None:
    assert "No check wrote any output" in drift_issue.body(tmp_path / "nowhere", URL)


def test_an_issue_stays_short_and_its_block_closed(tmp_path: Path) -> None:
    (tmp_path / "fsck.txt").write_text("~~~~\n" + "x" * 100_000 + "\nthe end")
    (tmp_path / "reproduce.txt").write_text("~" * 100_000)
    words = drift_issue.body(tmp_path, URL)
    assert len(words) < 65_536
    assert words.count("~~~~") == 4
    assert "the end\n~~~~" in words


@pytest.mark.parametrize(
    ("source", "is_refreshed"),
    [(selections.LOOKER, True), ({"look": 42}, True), ({"export": {"description": "the photo desk"}}, False)],
)
def test_every_dataset_that_looker_can_be_queried_for_is_refreshed(
    built_dataset: Path, run_registry: Run, source: dict[str, object], *, is_refreshed: bool
) -> None:
    assert run_registry(built_dataset, "ci", "queries").out == "datasets=[]\n"
    folder = built_dataset / "datasets/photos"
    folder.mkdir()
    (folder / "dataset.yaml").write_bytes(selections.text(source))
    repositories.commit(built_dataset, "photos")
    listed = '["datasets/photos"]' if is_refreshed else "[]"
    assert run_registry(built_dataset, "ci", "queries").out == f"datasets={listed}\n"
    assert run_registry(built_dataset, "ci", "queries", "datasets/pets").out == 'datasets=["datasets/pets"]\n'
    assert run_registry(built_dataset, "ci", "queries", "../x").refused()


# --- what a change touches --------------------------------------------------------------------------------------------


def _change(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    repositories.commit(root, "a change")


@pytest.mark.parametrize(
    ("files", "printed"),
    [
        ({"docs/page.md": "text"}, "data=false\ntooling=false\n"),
        ({"Makefile": "all:\n"}, "data=false\ntooling=true\n"),
        ({".dvcignore": ""}, "data=true\ntooling=false\n"),
        ({"conftest.py": ""}, "data=true\ntooling=true\n"),
        ({"schemas/dataset.schema.json": "{}"}, "data=true\ntooling=true\n"),
        ({"scripts/evil.dvc": "outs: []\n", "scripts/x.py": ""}, "data=true\ntooling=true\n"),
    ],
)
def test_the_scope_of_a_branch_that_is_not_checked_out(
    registry_repo: Path, run_registry: Run, files: dict[str, str], printed: str
) -> None:
    base = repositories.git_in(registry_repo, "rev-parse", "HEAD")
    repositories.git_in(registry_repo, "switch", "--quiet", "--create", "change")
    _change(registry_repo, files)
    repositories.git_in(registry_repo, "switch", "--quiet", "--detach", base)
    _change(registry_repo, {"datasets/elsewhere.txt": "main moved on"})
    done = run_registry(registry_repo, "ci", "scope", "--base", "HEAD", "--head", "change")
    assert (done.code, done.out) == (0, printed)


def test_a_submodule_is_in_scope_although_gitmodules_hides_it(registry_repo: Path, run_registry: Run) -> None:
    base = repositories.git_in(registry_repo, "rev-parse", "HEAD")
    (registry_repo / ".gitmodules").write_text('[submodule "s"]\n\tpath = docs/s\n\turl = ../s\n\tignore = all\n')
    repositories.commit(registry_repo, "hidden")
    hidden = repositories.git_in(registry_repo, "rev-parse", "HEAD")
    repositories.git_in(registry_repo, "update-index", "--add", "--cacheinfo", f"160000,{base},docs/s")
    repositories.git_in(registry_repo, "commit", "--quiet", "--no-verify", "--message", "a submodule")
    done = run_registry(registry_repo, "ci", "scope", "--base", hidden)
    assert (done.code, done.out) == (0, "data=true\ntooling=false\n")


def test_what_is_published(merged_model: Path, run_registry: Run) -> None:
    assert run_registry(merged_model, "ci", "published").out == "datasets=false\nmodels=false\n"
    repositories.git_in(merged_model, "tag", "models/pets@v1.0.0")  # no release: it is not annotated
    repositories.git_in(merged_model, "tag", "--annotate", "--message", "1.0.0", "datasets/pets@v1.0.0")
    done = run_registry(merged_model, "ci", "published")
    assert (done.out, done.err) == ("datasets=true\nmodels=false\n", "")


def test_models_that_no_runner_reproduces_at_night_are_told(merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "tag", "--annotate", "--message", "1.0.0", "models/pets@v1.0.0")
    for variable, told in (("", True), ("false", True), ("true", False)):
        done = run_registry(merged_model, "ci", "published", "--trusted-runner", variable)
        assert done.out == "datasets=false\nmodels=true\n"
        assert ("::notice title=models are not reproduced::" in done.err) is told
