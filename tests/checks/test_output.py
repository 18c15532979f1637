import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.checks import output
from registry.checks.context import Scope
from registry.checks.output import Result
from registry.core.names import parse_id
from registry.core.values import Finding, Outcome, Verdict

PETS = parse_id("datasets/pets")


def wrong(message: str = "is wrong", path: str = "a.md", line: int | None = None, fix: str = "") -> Finding:
    return Finding("large-files", PETS, Verdict.WRONG, message, path, line, fix)


ASK = Finding("storage-locations", None, Verdict.NEEDS_OWNER, "moved", ".dvc/config", 3, "look")
NOTE = Finding("build", PETS, Verdict.OK, "not yet", "d.yaml", None, "registry build")
OUTCOMES = (
    Outcome("storage-locations", None, (ASK,)),
    Outcome("large-files", PETS, (wrong(line=7, fix="do it"), wrong(path="B.md"))),
    Outcome("build", PETS, (NOTE,)),
    Outcome("tracked-files", None),
    Outcome("items", PETS, not_run="requires pointers to pass"),
)


def test_text_is_worst_first_with_the_next_step_and_a_tally() -> None:
    assert (
        output.format_text(Result(OUTCOMES))
        == """\
B.md: wrong: is wrong [large-files]
a.md:7: wrong: is wrong [large-files]
  hint: do it
.dvc/config:3: needs an owner: moved [storage-locations]
  hint: look
2 wrong, 1 needs an owner; 2 checks passed, 1 could not run
"""
    )


def test_notes_are_shown_when_asked_for() -> None:
    assert "d.yaml: ok: not yet [build]\n  hint: registry build\n" in output.format_text(Result(OUTCOMES, notes=True))


def test_nothing_to_say() -> None:
    assert output.format_text(Result((Outcome("tracked-files", None),))) == "1 check passed\n"
    assert output.worst(()) is Verdict.OK


def test_what_could_not_run_is_never_counted_as_passed() -> None:
    assert output.tally((Outcome("a", None, not_run="requires b to pass"),)) == "0 checks passed, 1 could not run"


def test_annotations_of_github() -> None:
    assert (
        output.format_github(Result(OUTCOMES))
        == """\
::error file=B.md,line=1,title=registry check%3A large-files::is wrong
::error file=a.md,line=7,title=registry check%3A large-files::is wrong%0Ahint: do it
::warning file=.dvc/config,line=3,title=registry check%3A storage-locations::moved%0Ahint: look
2 wrong, 1 needs an owner; 2 checks passed, 1 could not run
"""
    )


@pytest.mark.parametrize(("count", "lines"), [(10, 10), (11, 10), (300, 10)])
def test_github_shows_ten_so_the_last_holds_the_rest(count: int, lines: int) -> None:
    outcome = Outcome("large-files", PETS, tuple(wrong(path=f"{number:03}") for number in range(count)))
    shown = output.format_github(Result((outcome,))).splitlines()[:-1]
    assert len(shown) == lines
    assert {number for line in shown for number in re.findall(r"(?:file=|::|%0A)(\d{3})\b", line)} == {
        f"{number:03}" for number in range(count)
    }


hostile = st.text(min_size=1, max_size=30)


@given(hostile, hostile, hostile)
def test_no_text_breaks_out_of_its_line_or_moves_the_cursor(message: str, path: str, fix: str) -> None:
    outcomes = (Outcome("large-files", PETS, (wrong(f"x{message}", f"x{path}", 3, f"x{fix}"),)),)
    assert output.format_text(Result(outcomes)).count("\n") == 3
    github = output.format_github(Result(outcomes))
    assert github.count("\n") == 2
    assert github.startswith("::error file=x")
    properties = github.removeprefix("::error ").partition("::")[0].split(",")
    assert [one.partition("=")[0] for one in properties] == ["file", "line", "title"]
    parsed = json.loads(output.format_json(Result(outcomes)))
    for text in (output.format_text(Result(outcomes)), github, parsed["findings"][0]["message"]):
        assert all(char.isprintable() or char == "\n" for char in text)
        text.encode()


def test_json_is_what_its_docstring_says() -> None:
    parsed = json.loads(output.format_json(Result(OUTCOMES, Scope.BASE)))
    assert (parsed["schema"], parsed["scope"], parsed["verdict"]) == (1, "base", "wrong")
    assert parsed["findings"][0] == {
        "check": "large-files", "artifact": "datasets/pets", "verdict": "wrong", "message": "is wrong", "path": "B.md",
        "line": None, "fix": "",
    }  # fmt: skip
    assert [finding["verdict"] for finding in parsed["findings"]] == ["wrong", "wrong", "needs an owner", "ok"]
    assert parsed["passed"] == [
        {"check": "build", "artifact": "datasets/pets"},
        {"check": "tracked-files", "artifact": None},
    ]
    reason = "requires pointers to pass"
    assert parsed["not_run"] == [{"check": "items", "artifact": "datasets/pets", "because": reason}]
