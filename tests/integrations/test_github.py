"""Requests to GitHub through the real gh, to a loopback GitHub that validates them by GitHub's description."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import ServiceFailed
from registry.integrations import github
from registry.integrations.github import Repository
from support import repositories
from support.openapi import description
from support.servers.github import TOKEN, Fault, GitHub, serve
from support.servers.github_state import ANSWERS

TAG = "datasets/pets@v1.0.0"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A loopback GitHub, with gh led to it."""
    with serve(GitHub()) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def repository(hub: GitHub, tmp_path: Path) -> Repository:
    """Its repository."""
    return github.connect(tmp_path)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone, with nothing that names a GitHub in the environment."""
    for name in [name for name in os.environ if name.startswith(("GH_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    repositories.git_in(tmp_path, "init", "--quiet")
    return tmp_path


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/data.git", "https://x:secret@github.com/acme/data", "git@github.com:acme/data.git",
        "ssh://git@github.com/acme/data.git", "ssh://git@github.com:22/acme/data.git", "https://github.com/acme/data/",
    ],
)  # fmt: skip
def test_a_remote_names_a_repository(url: str, clone: Path) -> None:
    repositories.git_in(clone, "remote", "add", "origin", url)
    assert github.find_repository(clone) == Repository("github.com", "acme", "data")


@pytest.mark.parametrize(
    "url", ["../origin.git", "/srv/git/acme/data.git", "https://gitlab.com/acme/data.git", "https://github.com/acme"]
)
def test_other_remotes_are_not_github(url: str, clone: Path) -> None:
    repositories.git_in(clone, "remote", "add", "origin", url)
    assert github.find_repository(clone) is None


def test_an_enterprise_server_is_known_by_its_name(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repositories.git_in(clone, "remote", "add", "origin", "git@code.acme.com:acme/data.git")
    assert github.find_repository(clone) is None
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://code.acme.com")
    assert github.find_repository(clone) == Repository("code.acme.com", "acme", "data")


def test_a_job_around_a_scratch_clone_does_not_lend_it_its_repository(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/data")
    assert github.find_repository(clone) is None
    monkeypatch.setenv("GH_REPO", "acme/data")
    assert github.find_repository(clone) == Repository("github.com", "acme", "data")


def test_a_token_and_gh_are_required(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(github.Unreachable, match="this clone's origin is not on GitHub"):
        github.connect(clone)
    monkeypatch.setenv("GH_REPO", "acme/data")
    with pytest.raises(github.Unreachable, match=r"gh has no token for github\.com\n  hint: gh auth login"):
        github.connect(clone)
    monkeypatch.setattr(github, "tool_path", lambda: "/nowhere")
    with pytest.raises(github.Unreachable, match="gh is not installed"):
        github.connect(clone)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_releases(hub: GitHub, repository: Repository) -> None:
    hub.refs[f"refs/tags/{TAG}"] = "1" * 40
    github.create_release(repository, TAG, "Pets 1.0.0", "Cats & <dogs>")
    (made,) = github.releases(repository)
    assert (made.tag, made.title, made.notes) == (TAG, "Pets 1.0.0", "Cats & <dogs>")
    assert hub.releases[0]["make_latest"] == "false"
    github.update_release(repository, github.Release(made.id, TAG, "(withdrawn) Pets 1.0.0", "bad"))
    assert (hub.releases[0]["name"], hub.releases[0]["body"]) == ("(withdrawn) Pets 1.0.0", "bad")


def test_another_publish_was_quicker(hub: GitHub, repository: Repository) -> None:
    hub.refs[f"refs/tags/{TAG}"] = "1" * 40
    github.create_release(repository, TAG, "Pets 1.0.0", "theirs")
    github.create_release(repository, TAG, "Pets 1.0.0", "ours")
    assert [row["body"] for row in hub.releases] == ["theirs"]


def test_a_release_never_makes_a_tag(hub: GitHub, repository: Repository) -> None:
    with pytest.raises(ServiceFailed, match=r"Not Found \(HTTP 404\)"):
        github.create_release(repository, TAG, "Pets 1.0.0", "")
    assert (hub.releases, hub.refs) == ([], {})


def test_all_pages_of_a_list_are_read(hub: GitHub, repository: Repository) -> None:
    for number in range(203):
        hub.refs[f"refs/tags/v{number}"] = "1" * 40
        hub.releases.append({"id": number, "tag_name": f"v{number}", "name": None, "body": None, "draft": False})
    assert len({one.tag for one in github.releases(repository)}) == 203


def test_statuses(hub: GitHub, repository: Repository) -> None:
    commit = "2" * 40
    github.set_status(repository, commit, "registry/gate", "pending", "training")
    github.set_status(repository, commit, "registry/gate", "success", "x" * 200, "https://example.com/run/1")
    assert hub.status_of(commit) == {"registry/gate": "success"}
    assert hub.statuses[-1]["description"] == f"{'x' * 139}…"
    assert hub.statuses[-1]["target_url"] == "https://example.com/run/1"


def test_one_pull_request_is_opened_and_then_updated(hub: GitHub, repository: Repository) -> None:
    hub.refs["refs/heads/refresh/pets"] = "3" * 40
    first = github.open_pull_request(repository, "refresh/pets", "Refresh pets", "10 rows came", "main")
    assert github.open_pull_request(repository, "refresh/pets", "Refresh pets", "12 rows came", "main") == first
    assert [(one["head"]["ref"], one["base"]["ref"], one["body"]) for one in hub.pulls] == [
        ("refresh/pets", "main", "12 rows came")
    ]


def test_what_a_refusal_says_of_single_values_is_shown(hub: GitHub, repository: Repository) -> None:
    with pytest.raises(ServiceFailed, match=r"Validation Failed \(HTTP 422\); head invalid"):
        github.open_pull_request(repository, "nowhere", "No branch", "", "main")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message", "step"),
    [
        (401, "Bad credentials", "gh auth login"),
        (403, "Resource not accessible by integration", "use a token with that permission"),
        (403, "API rate limit exceeded for user ID 1.", "wait until `gh api rate_limit`"),
        (429, "You have exceeded a secondary rate limit", "wait until `gh api rate_limit`"),
        (422, "Validation Failed", "the value that GitHub refused"),
        (500, "Server Error", "run the same command again"),
        (503, "Service Unavailable", "run the same command again"),
    ],
)
def test_a_refusal_is_one_line_and_the_next_step(
    status: int, message: str, step: str, hub: GitHub, repository: Repository
) -> None:
    hub.faults.append(Fault("/statuses/", status, message))
    with pytest.raises(ServiceFailed) as caught:
        github.set_status(repository, "1", "registry/gate", "success", "fine")
    assert caught.value.message == f"{hub.host} refused POST repos/acme/registry/statuses/1: {message} (HTTP {status})"
    assert step in caught.value.fix
    assert hub.statuses == []


def test_an_old_token_is_refused_and_never_shown(
    hub: GitHub, repository: Repository, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", f"{TOKEN}old")
    monkeypatch.setenv("GH_DEBUG", "api")
    with pytest.raises(ServiceFailed, match="Bad credentials") as caught:
        github.set_status(repository, "1" * 40, "registry/gate", "success", "fine")
    assert TOKEN not in "".join(capfd.readouterr()) + str(caught.value)


def test_a_server_that_does_not_answer(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Repository("127.0.0.1:9", "acme", "registry")
    with pytest.raises(ServiceFailed, match="run the same command again"):
        github.releases(away)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("field", "fault"), [("make_latest=yes", "request of post .*: make_latest 'yes' is not one of"), ("name=", "")]
)
def test_what_github_does_not_describe_fails_a_test(field: str, fault: str, hub: GitHub) -> None:
    """The loopback GitHub itself."""
    hub.refs[f"refs/tags/{TAG}"] = "1" * 40
    ask = ("gh", "api", "repos/{owner}/{repo}/releases", "-f", f"tag_name={TAG}", "-f", field)
    repositories.sh(Path(), *ask, env={**os.environ, "PATH": github.tool_path()})
    found, hub.violations = hub.violations, []
    assert [re.search(fault, one) is not None for one in found] == ([True] if fault else [])


def test_an_answer_that_github_would_not_give_fails_a_test(hub: GitHub, repository: Repository) -> None:
    hub.releases.append({"id": "one", "tag_name": TAG, "draft": False, "name": 7, "body": ""})
    assert github.releases(repository)[0].tag == TAG
    found, hub.violations = hub.violations, []
    assert "answer of get /repos/acme/registry/releases (200)" in found[0]
    assert "0.id 'one' is not of type 'integer'" in found[0]


def test_all_that_is_described_is_answered() -> None:
    described = {
        (method.upper(), template)
        for template, operations in description.load()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert described == set(ANSWERS)
    assert description.FILE.stat().st_size < 400_000
