"""The report on a pull request is one comment, whatever else is written there and however GitHub fails."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.errors import InvalidDocument, Refused, ServiceFailed
from registry.integrations import cml
from registry.integrations.github import Repository
from registry.integrations.github_comments import Comment
from registry.report import posting
from registry.report.comment import Mark, find_mark, mark_stale, marked
from support.servers.github import Fault, GitHub, serve
from support.servers.github_state import ACTIONS, say
from support.workflow_files import ROOT

COMMIT, NEXT, HEAD = "1" * 40, "2" * 40, "3" * 40
URL = "https://github.com/acme/registry/actions/runs/7"
TEXT = "## Ready\n\n12 images were added.\n\n<!-- registry report -->\n"
CML = ROOT / "tests/workflows/cml/cml"
PICTURE = f'![](https://cml.dev/watermark.png#{COMMIT} "CML watermark registry report")'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub with one pull request, which has no comment."""
    with serve(GitHub()) as running:
        running.add_pull("change")
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def with_cml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the program, first on the PATH, and its digest in CML_SHA256."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(CML, folder / "cml")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CML_SHA256", hashlib.sha256(CML.read_bytes()).hexdigest())
    return folder


def repository(hub: GitHub) -> Repository:
    return Repository(hub.host, *hub.repository.split("/"))


def post(hub: GitHub, commit: str = COMMIT, head: str = "", *, text: str = TEXT, with_cml: bool = False) -> Comment:
    place = repository(hub)

    def first_post(body: str) -> int:
        return cml.create_comment(cml.find(), place, 1, commit, body)

    return posting.post(place, 1, text, Mark(commit, head), first_post if with_cml else None)


def outdate(hub: GitHub, head: str) -> None:
    posting.outdate(repository(hub), 1, head, "a run is making another")


def touched(hub: GitHub) -> set[int]:
    """The comments that were asked to be changed or removed."""
    return {
        int(call.values["comment_id"]) for call in hub.calls if call.method != "GET" and "comment_id" in call.values
    }


def bodies(hub: GitHub) -> list[str]:
    return [row["body"] for row in hub.comments]


def expected(commit: str = COMMIT, text: str = "12 images were added.") -> str:
    return f"## Ready\n\n{text}\n\n<!-- registry report commit={commit} -->"


# --- one report -------------------------------------------------------------------------------------------------------


def test_the_first_report_is_written_and_the_next_replaces_it(hub: GitHub) -> None:
    url = post(hub).url
    [comment] = hub.comments
    assert (comment["html_url"], comment["body"]) == (url, expected())
    assert post(hub, NEXT, HEAD, text=TEXT.replace("12", "13")).url == url
    [comment] = hub.comments
    assert find_mark(comment["body"]) == Mark(NEXT, HEAD)
    assert "13 images" in comment["body"]


def test_a_repeated_post_changes_nothing(hub: GitHub) -> None:
    assert len({post(hub).url for _ in range(3)}) == 1
    assert hub.made() == ["POST /repos/{owner}/{repo}/issues/{issue_number}/comments"]


OTHERS = {
    "a mark planted by a third party": ("mallory", "<!-- registry report -->"),
    "a report forged by a third party": ("mallory", expected()),
    "CML's watermark planted by a third party": ("mallory", PICTURE),
    "raw text quoted by a person": ("ada", f"> {TEXT}\n\nWhat about this?\n\n{expected()}"),
    "an account whose name ends alike": ("mallory-github-actions", expected()),
    "the bot of another app": ("reviewer[bot]", expected()),
    "a deleted account": ("", expected()),
    "coverage of the same author": (ACTIONS["login"], "## Coverage 93 %"),
    "coverage that quotes the report": (ACTIONS["login"], f"## Coverage\n\n{expected()}\n\n93 %"),
    "a quotation of the same author": (ACTIONS["login"], "> " + expected().replace("\n", "\n> ")),
    "a mark in a block of code": (ACTIONS["login"], f"```\n{expected()}\n```"),
    "a mark inside a line": (ACTIONS["login"], "see <!-- registry report -->"),
}


@pytest.mark.parametrize(
    ("name", "is_cml"),
    [*((name, False) for name in OTHERS), *((name, True) for name in OTHERS if "CML" in name or "author" in name)],
)
def test_a_comment_of_others_is_never_touched(name: str, hub: GitHub, with_cml: Path, *, is_cml: bool) -> None:
    author, text = OTHERS[name]
    before = say(hub, 1, text, author or "ghost")
    post(hub, with_cml=is_cml)
    after = say(hub, 1, text, author or "ghost")
    if not author:
        before["user"] = after["user"] = None
    outdate(hub, NEXT)
    post(hub, NEXT, text=TEXT.replace("12", "13"), with_cml=is_cml)
    assert bodies(hub) == [text, expected(NEXT, "13 images were added."), text]
    assert touched(hub) == {hub.comments[1]["id"]}


@pytest.mark.parametrize("others", [29, 30, 31, 105, 230])
def test_a_report_is_found_on_every_page(others: int, hub: GitHub, with_cml: Path) -> None:
    for number in range(others):
        say(hub, 1, f"line {number}", "ada")
    for commit in (COMMIT, NEXT, HEAD):
        post(hub, commit, with_cml=True)
    assert len(hub.comments) == others + 1
    assert hub.comments[-1]["body"] == expected(HEAD)


def test_what_a_race_left_is_one_report_again(hub: GitHub) -> None:
    oldest = say(hub, 1, mark_stale(expected(), "a run is making the report"))
    say(hub, 1, "What about this?", "ada")
    say(hub, 1, expected())
    say(hub, 1, f"{expected(HEAD)}\n\n{PICTURE}")
    post(hub, NEXT)
    assert bodies(hub) == [expected(NEXT), "What about this?"]
    assert hub.comments[0]["id"] == oldest["id"]


def test_runs_at_the_same_time_end_with_one_report(hub: GitHub) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda commit: post(hub, commit), (COMMIT, NEXT, HEAD)))
    post(hub, NEXT)
    assert bodies(hub) == [expected(NEXT)]


def test_a_list_that_lacks_the_newest_comment_makes_no_second_one(hub: GitHub, with_cml: Path) -> None:
    hub.lag = 1
    post(hub, with_cml=True)
    assert len(hub.comments) == 1


def test_an_app_of_its_own_finds_its_own_reports(hub: GitHub) -> None:
    say(hub, 1, expected())
    hub.viewer, hub.edits_any = "acme-data[bot]", False
    for commit in (COMMIT, NEXT):
        post(hub, commit)
    assert bodies(hub) == [expected(), expected(NEXT)]
    assert touched(hub) == {hub.comments[1]["id"]}


# --- failures ---------------------------------------------------------------------------------------------------------

WAIT = {"Retry-After": "0"}
LIMIT = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
PASSING = {
    "bad gateway": (502, "Server Error", {}),
    "conflict": (409, "Conflict", {}),
    "too many requests": (429, "Too Many Requests", WAIT),
    "secondary rate limit": (403, LIMIT, WAIT),
    "primary rate limit": (403, "API rate limit exceeded", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}),
}
PLACES = {
    "author": ("POST", "/graphql"),
    "write": ("POST", "/comments"),
    "update": ("PATCH", "/comments/"),
    "removal": ("DELETE", "/comments/"),
}


def broken(hub: GitHub, place: str, name: str, *, executed: bool = False) -> Fault:
    method, path = PLACES[place]
    status, message, headers = PASSING[name]
    fault = Fault(path, status, message, method, headers=headers, executed=executed)
    hub.faults.append(fault)
    if place in {"update", "removal"}:
        say(hub, 1, expected(HEAD))
        say(hub, 1, expected(HEAD))
    return fault


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PASSING)
def test_a_failure_that_passes_is_waited_for(
    name: str, place: str, hub: GitHub, capfd: pytest.CaptureFixture[str]
) -> None:
    fault = broken(hub, place, name)
    post(hub)
    assert fault.times == 0
    assert bodies(hub) == [expected()]
    assert re.search(rf"{re.escape(fault.message)}.*\n  next attempt in \d+ s", capfd.readouterr().err)


@pytest.mark.parametrize("name", ["bad gateway", "conflict"])
def test_a_list_that_fails_is_asked_for_again(name: str, hub: GitHub) -> None:
    """gh shows no headers of a list, so only failures without a time to wait for are repeated at once."""
    status, message, _ = PASSING[name]
    hub.faults.append(Fault("/comments", status, message, "GET"))
    post(hub)
    assert (hub.faults[0].times, bodies(hub)) == (0, [expected()])


@pytest.mark.parametrize("place", ["write", "update", "removal"])
def test_a_failure_after_the_effect_makes_no_second_report(place: str, hub: GitHub) -> None:
    broken(hub, place, "bad gateway", executed=True)
    post(hub)
    assert bodies(hub) == [expected()]


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "Bad credentials", "gh auth login"),
        (403, "Resource not accessible by integration", "use a token with that permission"),
        (404, "Not Found", "check the name"),
        (422, "Validation Failed", "correct the value"),
    ],
)
@pytest.mark.parametrize("place", ["author", "write"])
def test_a_failure_that_stays_ends_at_once_and_can_be_repeated(
    place: str, status: int, message: str, hint: str, hub: GitHub
) -> None:
    method, path = PLACES[place]
    hub.faults.append(Fault(path, status, message, method, times=9))
    with pytest.raises(ServiceFailed, match=message) as caught:
        post(hub)
    assert hint in caught.value.fix
    assert hub.faults.pop().times == 8
    post(hub)
    assert bodies(hub) == [expected()]


def test_a_wait_that_is_too_long_is_not_begun(hub: GitHub) -> None:
    hub.faults.append(Fault("/comments", 429, LIMIT, "POST", headers={"Retry-After": "3600"}, times=9))
    with pytest.raises(ServiceFailed, match="secondary rate limit") as caught:
        post(hub)
    assert "wait until `gh api rate_limit`" in caught.value.fix
    assert hub.faults[0].times == 8


def test_a_report_that_disappears_is_written_again(hub: GitHub) -> None:
    say(hub, 1, expected(HEAD))
    hub.faults.append(Fault("/comments/", 404, "Not Found", "PATCH"))
    post(hub)
    assert bodies(hub)[-1] == expected()


def test_a_report_that_cannot_be_posted_is_named(hub: GitHub, tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="65,610 characters, expected at most 65,536"):
        post(hub, text="x" * 65_536)
    with pytest.raises(Refused, match="commit is v1 --> x, expected the hexadecimal id of a commit"):
        post(hub, "v1 --> x")
    (tmp_path / "report.md").write_bytes(b"## R\xe9sum\xe9")
    with pytest.raises(InvalidDocument, match=r"is not UTF-8: .* at byte 4"):
        posting.read_report(tmp_path / "report.md")
    with pytest.raises(ServiceFailed, match="HTTP 404"):
        posting.post(repository(hub), 9, TEXT, Mark(COMMIT))
    assert hub.comments == []


# --- CML --------------------------------------------------------------------------------------------------------------


def test_cml_writes_the_first_report_and_finds_no_other(hub: GitHub, with_cml: Path) -> None:
    settings = Path(os.environ["HOME"]) / ".gitconfig"
    before = settings.read_text()
    post(hub, with_cml=True)
    assert bodies(hub) == [f"{expected()}\n\n{PICTURE}"]
    assert settings.read_text() == before
    post(hub, with_cml=True)
    assert touched(hub) == set()
    post(hub, NEXT, with_cml=True)
    assert bodies(hub) == [expected(NEXT)]


@pytest.mark.parametrize("digest", ["", "0" * 64, "sha256:1"])
def test_a_program_without_the_digest_is_not_started(
    digest: str, hub: GitHub, with_cml: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CML_SHA256", digest)
    post(hub, with_cml=True)
    assert bodies(hub) == [expected()]
    assert re.search(r"CML_SHA256(.|\n)*\n  the report is posted without it", capfd.readouterr().err)


@pytest.mark.parametrize(("status", "message", "times"), [(502, "Server Error", 1), (403, LIMIT, 7), (404, "Gone", 1)])
def test_where_cml_fails_the_report_is_posted_without_it(
    status: int, message: str, times: int, hub: GitHub, with_cml: Path
) -> None:
    hub.faults.append(Fault("/comments", status, message, "POST", headers=WAIT, times=times))
    post(hub, with_cml=True)
    assert (hub.faults[0].times, bodies(hub)) == (0, [expected()])


def test_what_cml_wrote_before_it_failed_is_the_report(hub: GitHub, with_cml: Path) -> None:
    hub.faults.append(Fault("/comments", 502, "Server Error", "POST", executed=True))
    post(hub, with_cml=True)
    assert bodies(hub) == [f"{expected()}\n\n{PICTURE}"]


def test_a_report_that_cml_would_make_too_long_is_posted_without_it(hub: GitHub, with_cml: Path) -> None:
    post(hub, text="x" * 65_450, with_cml=True)
    assert hub.made() == ["POST /repos/{owner}/{repo}/issues/{issue_number}/comments"]


# --- stale ------------------------------------------------------------------------------------------------------------


def test_a_report_is_stale_from_the_next_commit_on(hub: GitHub) -> None:
    outdate(hub, COMMIT)  # there is none
    post(hub, NEXT, HEAD)
    [comment] = hub.comments
    fresh = comment["body"]
    for same in (NEXT, HEAD):  # its own commit, and the one from which CI made that: a run is repeated
        outdate(hub, same)
        assert comment["body"] == fresh
    for _ in range(2):
        outdate(hub, COMMIT)
        assert comment["body"] == f"> **Stale**: a run is making another\n\n{fresh}"
    post(hub, NEXT, HEAD)
    assert comment["body"] == fresh


def test_a_report_that_was_edited_in_a_browser_is_still_the_report() -> None:
    body = mark_stale(marked(TEXT, Mark(COMMIT)), "a run is making it").replace("\n", "\r\n")
    assert find_mark(body) == Mark(COMMIT)
    assert find_mark(f"{body}\r\n\r\n{PICTURE}\r\n") == Mark(COMMIT)
    assert mark_stale(body, "again").count("Stale") == 1


@pytest.mark.parametrize("mark", [Mark(), Mark(COMMIT), Mark(COMMIT, HEAD), Mark("", HEAD)])
def test_a_mark_is_read_as_it_is_written(mark: Mark) -> None:
    assert find_mark(marked(TEXT, mark)) == mark
    assert find_mark(str(mark)) == mark
    assert marked(marked(TEXT, Mark(NEXT)), mark) == marked(TEXT, mark)
