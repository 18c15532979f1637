"""`registry recall`: out of every dataset, and kept out, whatever is selected, merged or built later."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import hints, released_photos, repositories
from support.dataset_builds import PETS, Desk, uuid
from support.released_photos import DATASET, ROWS
from support.repositories import Run, git_in, origin
from support.servers.github import GitHub, serve

WHY = "the person asked for it"


@pytest.fixture
def hub(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve(GitHub(origin=origin(desk.root))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def manifest(root: Path) -> dict[str, object]:
    return dict(yaml.safe_load((root / PETS / "dataset.yaml").read_text()))


def images(desk: Desk) -> set[str]:
    return {path.rpartition("/")[2].removesuffix(".jpg") for path in desk.files() if path.endswith(".jpg")}


def recalled(desk: Desk, *numbers: int) -> None:
    done = desk.run("recall", *map(uuid, numbers), "--why", WHY)
    assert done.code == 0, done.err


def test_it_leaves_the_dataset_and_the_models_to_train_are_named(desk: Desk) -> None:
    done = desk.run("recall", uuid(1).upper(), uuid(2), "--why", WHY)
    assert done.code == 0, done.err
    assert done.out.splitlines()[:5] == [
        f"write denied/{uuid(1)}.yaml",
        f"write denied/{uuid(2)}.yaml",
        f"{PETS}: exclude {uuid(1)}, {uuid(2)}",
        "train again: models/pets",
        f"{DATASET} keeps it: registry withdraw {PETS} 1.0.0 --why TEXT",
    ]
    assert images(desk) == {uuid(number) for number in range(40)} - {uuid(1), uuid(2)}
    assert manifest(desk.root)["exclude"] == {uuid(1): WHY, uuid(2): WHY}
    assert manifest(desk.root)["version"] == "2.0.0"
    assert (desk.root / f"denied/{uuid(1)}.yaml").read_text() == f"schema: 1\nwhy: {WHY}\n"
    check = desk.run("check", "--all")
    assert check.out.splitlines()[0].endswith("changed since the training: datasets/pets/prepared [training]")
    assert "[denied]" not in check.out


def test_the_next_steps_work(desk: Desk, run_registry: Run) -> None:
    done = desk.run("recall", uuid(1), "--why", WHY)
    for command in hints.in_output(done.out):
        hints.run(desk.root, command, {}, run_registry)
    assert git_in(origin(desk.root), "log", "--format=%s", "main..recall/0a8c7f6e") == "Recall 1 image"
    [withdraw] = [line.partition(" keeps it: ")[2] for line in done.out.splitlines() if " keeps it: " in line]
    hints.run(desk.root, withdraw, {"TEXT": WHY}, run_registry)
    assert manifest(desk.root)["withdrawn"] == {"1.0.0": WHY}


def test_a_dry_run_prints_the_same_and_writes_nothing(desk: Desk) -> None:
    planned = desk.run("recall", uuid(1), "--why", WHY, "--dry-run")
    assert git_in(desk.root, "status", "--short") == ""
    done = desk.run("recall", uuid(1), "--why", WHY)
    assert planned.code == 0
    assert done.out.startswith(planned.out)


@pytest.mark.parametrize("left", ["denied", f"{PETS}/dataset.yaml"])
def test_what_was_interrupted_is_finished_by_a_second_run(desk: Desk, left: str) -> None:
    recalled(desk, 1)
    whole = {path: (desk.root / path).read_bytes() for path in (f"{PETS}/dataset.yaml", f"{PETS}/prepared.dvc")}
    git_in(desk.root, "restore", *({f"{PETS}/dataset.yaml", f"{PETS}/prepared.dvc"} - {left}))
    recalled(desk, 1)
    assert {path: (desk.root / path).read_bytes() for path in whole} == whole


def test_no_selection_brings_it_back(desk: Desk) -> None:
    recalled(desk, 1)
    repositories.commit(desk.root, "recall")
    for number in (100, 101):
        desk.put(number)
    (desk.root / f"denied/{uuid(101)}.yaml").write_text(f"schema: 1\nwhy: {WHY}\n")
    new = [*ROWS, *(released_photos.row(number, "cat") for number in (100, 101))]
    desk.select(new)
    desk.built()
    assert images(desk) == {uuid(number) for number in (*range(40), 100)} - {uuid(1)}


def test_what_is_denied_is_named_when_it_is_selected(desk: Desk) -> None:
    recalled(desk, 1, 2)
    (desk.root / "export.csv").write_text(
        "uuid,label,camera,size,captured_at\n" + "".join(f"{uuid(number)},cat,,,\n" for number in range(4))
    )
    done = desk.run("select", PETS, "--from", "export.csv")
    assert done.code == 0, done.err
    assert f"2 denied images left out: {uuid(1)}, {uuid(2)}" in done.out.splitlines()
    assert done.out.startswith(f"{PETS}: 2 rows from export.csv")
    for number in (0, 3):
        (desk.root / f"denied/{uuid(number)}.yaml").write_text(f"schema: 1\nwhy: {WHY}\n")
    assert desk.run("select", PETS, "--from", "export.csv").refused("the deny list has all 4 selected images")


def test_a_branch_that_is_older_than_the_recall_is_found_and_built_without_it(desk: Desk) -> None:
    git_in(desk.root, "switch", "--quiet", "--create", "older")
    git_in(desk.root, "switch", "--quiet", "main")
    recalled(desk, 1)
    repositories.commit(desk.root, "recall")
    git_in(desk.root, "switch", "--quiet", "older")
    assert not (desk.root / "denied").exists()
    check = desk.run("check", "--base", "main")
    assert check.code == 1
    assert check.out.splitlines()[:2] == [
        f"{PETS}/prepared.dvc: wrong: has 1 denied image, such as {uuid(1)}: {WHY} [denied]",
        f"  hint: registry build {PETS}",
    ]
    planned = desk.build("--dry-run")
    assert f"{PETS}: {uuid(1)} is denied and left out: {WHY}" in planned.out.splitlines()
    assert git_in(desk.root, "status", "--short") == ""
    desk.built()
    assert uuid(1) not in images(desk)
    assert manifest(desk.root)["exclude"] == {uuid(1): WHY}
    assert "[denied]" not in desk.run("check", "--base", "main").out


def test_two_recalls_merge(desk: Desk) -> None:
    for number in (100, 101):
        git_in(desk.root, "switch", "--quiet", "--create", f"recall-{number}", "main")
        done = desk.run("recall", uuid(number), "--why", WHY)
        assert "no dataset has selected them: the deny list keeps them out from now on" in done.out.splitlines()
        repositories.commit(desk.root, "recall")
    git_in(desk.root, "merge", "--quiet", "--no-edit", "recall-100")
    assert {path.stem for path in (desk.root / "denied").iterdir()} == {uuid(100), uuid(101)}


def test_it_is_proposed_as_one_pull_request(hub: GitHub, desk: Desk) -> None:
    done = desk.run("recall", uuid(1), uuid(2), "--why", WHY, "--propose")
    assert done.code == 0, done.err
    [pull] = hub.pulls
    assert (pull["head"]["ref"], pull["title"]) == ("recall/0a8c7f6e", "Recall 2 images")
    assert pull["body"].startswith(f"{WHY}\n\n- write denied/")
    changed = git_in(origin(desk.root), "diff", "--name-only", "main", "recall/0a8c7f6e").splitlines()
    assert changed == [
        f"{PETS}/dataset.yaml", f"{PETS}/prepared.dvc", f"denied/{uuid(1)}.yaml", f"denied/{uuid(2)}.yaml"
    ]  # fmt: skip
    clone = repositories.other_clone(desk.root, desk.root.parent)
    git_in(clone, "switch", "--quiet", "recall/0a8c7f6e")
    assert desk._run(clone, "check", "--base", "origin/main", "--remote", "--untrained").code == 0


def test_the_same_bytes_under_another_name_are_named(desk: Desk) -> None:
    duplicate = [*ROWS[1:], released_photos.row(100, "cat")]
    desk.put(100, desk.photo(0).read_bytes())
    desk.select(duplicate)
    desk.built()
    assert desk.run("check", "--fix").code == 1  # the version has to be raised, which recall does not do here
    text = (desk.root / PETS / "dataset.yaml").read_text().replace("version: 1.0.0", "version: 2.0.0")
    (desk.root / PETS / "dataset.yaml").write_text(text)
    repositories.model(desk.root, "pets", b"weights of 2.0.0", "2.0.0")
    repositories.merge(desk.root, "a duplicate")
    done = desk.run("publish")
    assert done.code == 0, done.err
    planned = desk.run("recall", uuid(0), "--why", WHY, "--dry-run").out
    assert f"the same bytes are other items, which are not recalled: {uuid(100)}" in planned.splitlines()


@pytest.mark.parametrize(
    ("name", "why", "fault"),
    [("cat", WHY, "'cat' is not a UUID"), (uuid(1), "two\nlines", "why"), (uuid(1), "", "why")],
)
def test_what_cannot_be_recalled_changes_nothing(desk: Desk, name: str, why: str, fault: str) -> None:
    done = desk.run("recall", name, "--why", why)
    assert done.code == 1
    assert fault in done.err
    assert git_in(desk.root, "status", "--short") == ""


@pytest.mark.parametrize(
    ("path", "data", "fault"),
    [
        (f"denied/{uuid(1)}.yaml", "why: [", "denied/"),
        (f"denied/{uuid(1)}.yml", f"schema: 1\nwhy: {WHY}\n", "expected denied/UUID.yaml"),
        ("denied/notes.txt", "mine", "expected denied/UUID.yaml"),
    ],
)
def test_a_deny_list_that_cannot_be_read_stops_what_depends_on_it(desk: Desk, path: str, data: str, fault: str) -> None:
    (desk.root / path).parent.mkdir()
    (desk.root / path).write_text(data)
    for command in (("build", PETS), ("check", "--all")):
        done = desk.run(*command)
        assert done.code == 1
        assert fault in done.err + done.out
