"""`registry report` as a person types it, and what becomes of its pictures."""

import json
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from registry.core import documents, schema
from registry.errors import InvalidData, Refused
from registry.report import github_images, json_output
from registry.report.pictures import PictureFiles
from support import report_situations, repositories
from support.repositories import Run, git_in

UUID = "0a8c7f6e-0000-4000-8000-{:012d}"


def photo(colour: str) -> bytes:
    data = BytesIO()
    Image.new("RGB", (48, 32), colour).save(data, "JPEG")
    return data.getvalue()


PHOTOS = {
    "train/cat/" + UUID.format(1) + ".jpg": photo("red"),
    "train/dog/" + UUID.format(2) + ".jpg": photo("green"),
    "val/cat/" + UUID.format(3) + ".jpg": photo("blue"),
    "test/dog/" + UUID.format(4) + ".jpg": photo("black"),
}
COPIES = (("train", 20, 160), ("test", 21, 240))
MORE = {**PHOTOS, "train/cat/" + UUID.format(8) + ".jpg": photo("white")}


@pytest.fixture
def grown(registry_repo: Path, run_registry: Run) -> Path:
    """A registry whose branch `more` adds a white cat to the dataset of main."""
    repositories.dataset(registry_repo, "pets", PHOTOS, "1.0.0")
    run_registry(registry_repo, "check", "--fix")
    repositories.stage(registry_repo)
    repositories.commit(registry_repo, "pets 1.0.0")
    git_in(registry_repo, "checkout", "--quiet", "-b", "more")
    repositories.dataset(registry_repo, "pets", MORE, "1.1.0")
    run_registry(registry_repo, "check", "--fix")
    repositories.stage(registry_repo)
    repositories.commit(registry_repo, "pets 1.1.0")
    return registry_repo


def read_report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_a_report_is_three_files_and_its_pictures(grown: Path, run_registry: Run) -> None:
    done = run_registry(grown, "report")
    folder = grown / ".registry/report"
    first, *paths = done.out.splitlines()
    assert done.code == 0, done.err
    assert first == f"{read_report(folder)['verdict']}: datasets/pets: 1 image added; no model changed"
    assert paths == [str(folder / name) for name in ("report.md", "report.html", "report.json")]
    text = (folder / "report.md").read_text()
    shown = sorted(file.name for file in (folder / "pictures").iterdir())
    assert shown == ["datasets-pets-added-1.webp", "datasets-pets-labels-dark.png", "datasets-pets-labels-light.png"]
    assert all(f'="pictures/{name}"' in text for name in shown)
    assert list(schema.find_faults(documents.Document("report.json", read_report(folder), {}), "report")) == []
    assert git_in(grown, "status", "--porcelain") == ""


def test_a_second_report_differs_in_hardware_only(grown: Path, run_registry: Run, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        assert run_registry(grown, "report", "--base", "main", "--out", str(folder)).code == 0
    for name in ("report.md", "report.html", "report.json"):
        one, two = ((folder / name).read_text() for folder in folders)
        changed = [line for line, other in zip(one.splitlines(), two.splitlines(), strict=True) if line != other]
        assert all("Generated on: " in line or '"seconds"' in line or '"peak"' in line for line in changed)
    for file in sorted((folders[0] / "pictures").iterdir()):
        assert file.read_bytes() == (folders[1] / "pictures" / file.name).read_bytes()


def drawing(seed: int, side: int) -> bytes:
    """Patches of grey, as different from another seed's as photographs are."""
    data, heights = BytesIO(), Random(seed).choices(range(256), k=12 * 12)
    Image.frombytes("L", (12, 12), bytes(heights)).resize((side, side), Image.Resampling.BICUBIC).save(data, "JPEG")
    return data.getvalue()


def test_a_machine_without_the_data_reports_the_same_near_duplicates(
    grown: Path, run_registry: Run, tmp_path: Path
) -> None:
    copies = {f"{split}/cat/{UUID.format(number)}.jpg": drawing(5, side) for split, number, side in COPIES}
    repositories.dataset(grown, "pets", MORE | copies, "1.1.0")
    run_registry(grown, "check", "--fix")
    repositories.stage(grown)
    repositories.commit(grown, "one cat, twice")
    assert run_registry(grown, "push").code == 0
    for place in ("home", "ci"):
        assert run_registry(grown, "report", "--out", str(tmp_path / place)).code == 0
        (grown / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'empty'}\n")
    home, ci = (read_report(tmp_path / name) for name in ("home", "ci"))
    (pair,) = home["datasets"][0]["duplicates"]
    assert {pair[place]["uuid"] for place in ("first", "second")} == {UUID.format(20), UUID.format(21)}
    assert {**home, "run": None} == {**ci, "run": None}


def test_the_commands_reproduce_the_report(grown: Path, run_registry: Run, tmp_path: Path) -> None:
    run_registry(grown, "report")
    run = read_report(grown / ".registry/report")["run"]
    assert run["base"] == git_in(grown, "rev-parse", "main")
    assert run["head"] == git_in(grown, "rev-parse", "HEAD")
    checkout, pull, report = (command.split() for command in run["commands"])
    git_in(grown, *checkout[1:])
    assert run_registry(grown, *pull[1:]).code == 0
    assert run_registry(grown, *report[1:], "--out", str(tmp_path / "again")).code == 0
    assert read_report(tmp_path / "again")["headline"] == read_report(grown / ".registry/report")["headline"]


def test_a_report_of_uncommitted_files_names_them(grown: Path, run_registry: Run) -> None:
    run_registry(grown, "report")
    assert read_report(grown / ".registry/report")["run"]["uncommitted"] == []
    (grown / "datasets/pets/README.md").write_text("---\n---\nother words\n")
    (grown / "datasets/pets/notes on light.txt").write_text("untracked\n")
    run_registry(grown, "report")
    names = ["datasets/pets/README.md", "datasets/pets/notes on light.txt"]
    assert read_report(grown / ".registry/report")["run"]["uncommitted"] == names
    banner = f"> **Uncommitted:** this report is of a working tree and of no commit; its changes in `{names[0]}`, "
    assert banner in (grown / ".registry/report/report.md").read_text()
    assert "<strong>Uncommitted:</strong>" in (grown / ".registry/report/report.html").read_text()


def test_the_commands_of_an_uncommitted_report_repeat_it_in_its_working_tree(
    grown: Path, run_registry: Run, tmp_path: Path
) -> None:
    repositories.dataset(grown, "pets", {**MORE, "train/dog/" + UUID.format(9) + ".jpg": photo("teal")}, "1.1.0")
    run_registry(grown, "report")
    found = read_report(grown / ".registry/report")
    assert "2 images added" in found["headline"]
    (command,) = (command.split() for command in found["run"]["commands"])
    assert run_registry(grown, *command[1:], "--out", str(tmp_path / "again")).code == 0
    assert {**read_report(tmp_path / "again"), "run": None} == {**found, "run": None}


def test_registry_yaml_can_forbid_pictures(grown: Path, run_registry: Run) -> None:
    with (grown / "registry.yaml").open("a") as file:
        file.write("report: {images: none}\n")
    assert run_registry(grown, "report", "--pictures", "branch").code == 0
    folder = grown / ".registry/report"
    assert not (folder / "pictures").exists()
    assert "<img" not in (folder / "report.md").read_text()
    assert "image/webp" not in (folder / "report.html").read_text()


def test_a_blocked_change_exits_with_0_unless_asked(grown: Path, run_registry: Run) -> None:
    (grown / "datasets/pets/dataset.yaml").write_text("schema: [")
    assert run_registry(grown, "report").code == 0
    assert read_report(grown / ".registry/report")["verdict"] == "blocked"
    assert run_registry(grown, "report", "--exit-code").code == 1


def test_missing_objects_block(grown: Path, run_registry: Run) -> None:
    repositories.place(repositories.staging(grown), repositories.md5(photo("white"))).unlink()
    run_registry(grown, "report")
    found = read_report(grown / ".registry/report")
    assert found["verdict"] == "blocked"
    assert [one["check"] for one in found["findings"] if one["verdict"] == "wrong"] == ["remote-objects"]


def test_a_base_that_does_not_exist_is_an_error(grown: Path, run_registry: Run) -> None:
    assert run_registry(grown, "report", "--base", "nope").refused("'nope' is not a revision")


# --- pictures at GitHub -----------------------------------------------------------------------------------------------


def test_pictures_lie_on_the_branch_and_the_text_links_there(
    grown: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories.add_origin(grown)
    monkeypatch.setenv("GH_REPO", "acme/data")
    assert run_registry(grown, "report", "--pictures", "branch").code == 0
    folder = grown / ".registry/report"
    tip, commit = git_in(repositories.origin(grown), "rev-list", "--no-walk", "--parents", "reports").split()
    assert (
        f'="https://github.com/acme/data/raw/{commit}/datasets-pets-added-1.webp"' in (folder / "report.md").read_text()
    )
    listed = git_in(repositories.origin(grown), "ls-tree", "--name-only", commit).split()
    assert listed == sorted(file.name for file in (folder / "pictures").iterdir())
    assert '"pictures/' not in (folder / "report.md").read_text()
    assert tip != commit


def test_elsewhere_than_at_github_pictures_stay_local(grown: Path, run_registry: Run) -> None:
    repositories.add_origin(grown)
    done = run_registry(grown, "report", "--pictures", "branch")
    assert done.refused("origin is not on GitHub", "--pictures local")


def written(folder: Path, *pictures: str) -> Path:
    """A report in a folder that names these files as its pictures; the first is one of those that report.md shows."""
    folder.mkdir(parents=True)
    (folder / "pictures").mkdir()
    names = ("models-pets-curves", "nowhere")
    files = [PictureFiles(name, file, file, 100) for name, file in zip(names, pictures, strict=False)]
    (folder / "report.json").write_bytes(json_output.render(report_situations.trained(), files))
    return folder


@pytest.mark.parametrize("name", ["big.png", "text.png", "link.png", "missing.png"])
def test_an_untrusted_file_is_no_picture(
    name: str, merged_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_REPO", "acme/data")
    folder = written(tmp_path / "received", name)
    data = {"big.png": b"\x89PNG\r\n\x1a\n" + bytes(3_000_000), "text.png": b"#!/bin/sh"}
    if name != "missing.png":
        (folder / "pictures" / name).write_bytes(data.get(name, b"\x89PNG\r\n\x1a\n"))
    if name == "link.png":
        (folder / "pictures" / name).unlink()
        (folder / "pictures" / name).symlink_to("/etc/passwd")
    with pytest.raises(InvalidData, match=name):
        github_images.publish(merged_model, folder)
    assert "refs/heads/reports" not in git_in(merged_model, "ls-remote", "origin")


def test_pictures_are_those_that_the_text_shows_and_it_is_rendered_again(
    merged_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_REPO", "acme/data")
    folder = written(tmp_path / "received", "a.png", "b.png")
    for name in ("a.png", "b.png", "other.png"):
        (folder / "pictures" / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "report.md").write_text("@everyone")
    commit = github_images.publish(merged_model, folder)
    listed = git_in(repositories.origin(merged_model), "ls-tree", "--name-only", commit)
    assert listed.splitlines() == ["a.png"]
    text = (folder / "report.md").read_text()
    assert f"https://github.com/acme/data/raw/{commit}/a.png" in text
    assert "@everyone" not in text
    assert github_images.publish(merged_model, folder) == commit  # again, after a later step failed


def test_a_report_without_pictures_has_nothing_to_publish(merged_model: Path, tmp_path: Path) -> None:
    assert github_images.publish(merged_model, written(tmp_path / "without")) == ""
    folder = written(tmp_path / "with", "a.png")
    (folder / "pictures/a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(Refused):
        github_images.publish(merged_model, folder)


def test_validating_valid_images_changes_no_word(grown: Path, run_registry: Run, tmp_path: Path) -> None:
    assert run_registry(grown, "report", "--out", str(tmp_path / "home")).code == 0
    assert run_registry(grown, "report", "--images", "--out", str(tmp_path / "ci")).code == 0
    home, ci = (read_report(tmp_path / name) for name in ("home", "ci"))
    assert {**home, "run": None} == {**ci, "run": None}
    assert home["run"]["commands"] == ci["run"]["commands"]


def test_images_are_validated_when_asked(grown: Path, run_registry: Run) -> None:
    repositories.dataset(grown, "pets", {**MORE, "train/dog/" + UUID.format(9) + ".jpg": photo("red")[:300]}, "1.1.0")
    run_registry(grown, "check", "--fix")
    repositories.stage(grown)
    repositories.commit(grown, "one more dog, cut off")
    folder = grown / ".registry/report"
    assert run_registry(grown, "report").code == 0
    assert "images" not in {finding["check"] for finding in read_report(folder)["findings"]}
    assert run_registry(grown, "report", "--images").code == 0
    assert read_report(folder)["verdict"] == "blocked"
    assert "images" in {finding["check"] for finding in read_report(folder)["findings"]}
    assert any(line.endswith(" --images") for line in read_report(folder)["run"]["commands"])
