"""What is recorded of repeated trainings: who reads it, and that only lines about releases get there."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from registry.core import reproductions, schema
from registry.core.documents import Document
from registry.core.names import parse_tag
from registry.core.reproductions import BRANCH, Reproduction
from registry.errors import InvalidDocument
from registry.integrations import git_record_branch
from support.repositories import Run, git_in

TAG = parse_tag("models/pets@v1.0.0")
GOOD = Reproduction(TAG, "2026-11-30T02:17:00+00:00", (), "1.2.0 (c0ffee)", "NVIDIA H200, AMD EPYC 9654, 16 cores")
BAD = replace(GOOD, time="2026-12-01T02:17:00+00:00", differing=("accuracy", "loss"))
RECORD = ("ci", "record-reproductions")


def write(path: Path, *found: Reproduction) -> str:
    path.write_text("".join(map(reproductions.write, found)))
    return str(path)


def shown(root: Path, run_registry: Run, out: Path) -> tuple[str, str, str]:
    """What `registry show` says of the training, the model's page, and the dossier."""
    lines = [line for line in run_registry(root, "show", str(TAG)).out.splitlines() if line.startswith("training ")]
    assert run_registry(root, "catalog", "build", "--out", str(out)).code == 0
    page = (out / "models/pets/v1.0.0/index.html").read_text()
    dossier = run_registry(root, "dossier", str(TAG)).out
    facts = [line for line in dossier.splitlines() if "training repeated" in line]
    data = json.loads((out / "registry.json").read_bytes())
    assert not list(schema.find_faults(Document("registry.json", data, {}), "catalog"))
    return "".join(lines), page.partition("<dt>Reproduced</dt><dd>")[2].partition("</dd>")[0], "".join(facts)


def test_the_last_result_is_shown_to_whoever_has_fetched(
    released_model: Path, run_registry: Run, tmp_path: Path
) -> None:
    root, out, file = released_model, tmp_path / "site", tmp_path / "reproduced.jsonl"
    assert shown(root, run_registry, out) == ("", "not recorded", "- **training repeated**: not recorded")
    done = run_registry(root, *RECORD, write(file, GOOD))
    assert (done.code, done.out) == (0, f"{TAG}: reproduced\n")
    where = "by registry 1.2.0 (c0ffee), on NVIDIA H200, AMD EPYC 9654, 16 cores"
    line, page, fact = shown(root, run_registry, out)
    assert line == f"training reproduced on 2026-11-30 {where}"
    assert page == f'<strong class="good">yes</strong>, on <span class="date">2026-11-30</span> {where}'
    assert fact.endswith(
        ": reproduced on 2026-11-30 by registry 1.2.0 (c0ffee), on NVIDIA H200, AMD EPYC 9654, 16 cores"
    )
    git_in(root, "update-ref", "-d", f"refs/remotes/origin/{BRANCH}")  # as a clone from before, which then fetches
    assert run_registry(root, *RECORD, write(file, BAD)).code == 0
    git_in(root, "fetch", "--quiet", "origin")
    assert "  not reproduced" in run_registry(root, "list").out
    line, page, _ = shown(root, run_registry, out)
    assert line == f"training not reproduced (accuracy and loss differed) on 2026-12-01 {where}"
    assert (
        page
        == f'<strong class="bad">no</strong>: accuracy, loss differed, on <span class="date">2026-12-01</span> {where}'
    )
    assert git_in(root, "log", "--format=%s", f"origin/{BRANCH}").splitlines() == [
        f"{TAG}: not reproduced", f"{TAG}: reproduced"
    ]  # fmt: skip
    assert run_registry(root, *RECORD, str(file)).code == 0  # once more: a job that was repeated
    assert git_in(root, "rev-list", "--count", f"origin/{BRANCH}").strip() == "2"


def test_what_is_no_release_gets_nowhere(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", GOOD, replace(GOOD, tag=parse_tag("models/pets@v9.0.0")))
    assert run_registry(released_model, *RECORD, other).refused("models/pets@v9.0.0 is not published")
    (tmp_path / "odd.jsonl").write_text(reproductions.write(GOOD) + "{}\n")
    assert run_registry(released_model, *RECORD, str(tmp_path / "odd.jsonl")).refused("a line is none of")
    assert BRANCH not in git_in(released_model, "ls-remote", "origin")


def test_two_who_record_at_once_both_do(released_model: Path, tmp_path: Path) -> None:
    root, other = released_model, shutil.copytree(released_model, tmp_path / "other")
    git_record_branch.append(root, BRANCH, {reproductions.path(TAG): reproductions.write(GOOD)}, "one")
    git_record_branch.append(other, BRANCH, {reproductions.path(TAG): reproductions.write(BAD)}, "other")
    git_record_branch.append(root, BRANCH, {"models/cats/v1.0.0.jsonl": "{}\n"}, "a third")
    git_in(root, "fetch", "--quiet", "origin")
    lines = git_in(root, "show", f"origin/{BRANCH}:{reproductions.path(TAG)}")
    assert lines.splitlines() == [reproductions.write(one).strip() for one in (GOOD, BAD)]
    assert git_in(root, "ls-tree", "-r", "--name-only", f"origin/{BRANCH}").splitlines() == [
        "models/cats/v1.0.0.jsonl", reproductions.path(TAG)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "", "[]", "{}", "nothing", reproductions.write(GOOD).replace("}", ', "more": 1}'),
        reproductions.write(GOOD).replace("2026-11-30T", "yesterday "), reproductions.write(GOOD).replace("[]", "[1]"),
        reproductions.write(GOOD).replace("1.2.0", "1" * 300), reproductions.write(GOOD).replace("models/", "../"),
        reproductions.write(GOOD).replace("[]", "null"), "[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_is_read_strictly_and_an_odd_one_says_nothing(line: str) -> None:
    with pytest.raises(InvalidDocument):
        reproductions.parse(line, "")
    text = reproductions.write(GOOD) + line + "\n"
    assert reproductions.latest(text.encode(), TAG) == GOOD


def test_what_is_written_can_be_read() -> None:
    long = replace(GOOD, machine="x" * 500, differing=tuple(f"m{at}" for at in range(500)))
    assert reproductions.parse(reproductions.write(long), "").machine == "x" * reproductions.MAX_TEXT
    assert reproductions.parse(reproductions.write(BAD), "") == BAD
