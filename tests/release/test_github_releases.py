"""Releases on GitHub: what people see there, made by `registry publish` through the real gh."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from registry.core.names import parse_tag
from registry.core.values import Build, Content, Manifest
from registry.integrations.github import Release
from registry.release import github_releases, notes
from support import release_auditor, repositories
from support.repositories import SPLITS, Run, origin
from support.servers.github import TOKEN, Fault, GitHub, serve

DATASET, MODEL = "datasets/pets@v1.0.0", "models/pets@v1.0.0"
SECOND = "datasets/pets@v1.1.0"


@pytest.fixture
def hub(merged_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """`merged_model`'s origin, as GitHub has it."""
    with serve(GitHub(origin=origin(merged_model))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def bodies(hub: GitHub) -> dict[str, str]:
    """Tag → the notes of its release, without the server's address."""
    return {row["tag_name"]: row["body"].replace(f"https://{hub.host}/acme/registry", "URL") for row in hub.releases}


def second(root: Path, **more: object) -> None:
    """Merge 1.1.0: one more cat, and a model that was trained again."""
    repositories.dataset(root, "pets", repositories.MORE_PETS, "1.1.0", **more)
    repositories.model(root, "pets", b"weights of 1.1.0", "1.1.0")
    repositories.merge(root, "more pets")


# --- what people see --------------------------------------------------------------------------------------------------


def test_every_new_tag_has_a_release(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    done = run_registry(merged_model, "publish")
    assert done.code == 0
    attached = "attached the release manifest to the GitHub release"
    assert done.out.splitlines()[-4:] == [
        f"{DATASET}: create the GitHub release", f"{MODEL}: create the GitHub release",
        f"{DATASET}: {attached}", f"{MODEL}: {attached}",
    ]  # fmt: skip
    assert [asset["name"] for row in hub.releases for asset in row["assets"]] == ["release.json"] * 2
    assert {row["tag_name"]: row["name"] for row in hub.releases} == {
        DATASET: "datasets/pets 1.0.0: Pets at home", MODEL: "models/pets 1.0.0: Cat or dog",
    }  # fmt: skip
    assert {row["make_latest"] for row in hub.releases} == {"false"}
    assert release_auditor.releases(origin(merged_model)).keys() == {DATASET, MODEL}
    assert hub.refs == {}
    assert bodies(hub)[DATASET] == (
        "Cats and dogs.\n\n"
        "| images | train | val | test | all |\n"
        "|---|--:|--:|--:|--:|\n"
        "| cat | 2 | 1 | 0 | 3 |\n"
        "| dog | 1 | 0 | 1 | 2 |\n"
        "| **all** | 3 | 1 | 1 | 5 |\n\n"
        "```sh\ndvc artifacts get URL datasets/pets --rev v1.0.0   # 3,312 bytes\n```\n\n"
        "License: CC-BY-4.0. Owned by `@acme/vision`.\n"
    )
    assert "| metric | now |\n|---|--:|\n| accuracy | 1 |\n" in bodies(hub)[MODEL]
    assert f"Trained on [`{DATASET}`](URL/releases/tag/datasets%2Fpets%40v1.0.0).\n" in bodies(hub)[MODEL]


def test_the_next_release_says_what_changed(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    assert run_registry(merged_model, "publish").code == 0
    second(merged_model, description="Ours & @acme/all's <b>pets</b>, https://example.com")
    assert run_registry(merged_model, "publish").code == 0
    notes = bodies(hub)[SECOND]
    assert notes.startswith("Ours &#38; @\u2060acme/all's &#60;b&#62;pets&#60;/b&#62;, https:\u2060//example.com\n")
    assert (
        "| cat | 2 | 1 | 1 (+1) | 4 (+1) |\n| dog | 1 | 0 | 1 | 2 |\n| **all** | 3 | 1 | 2 (+1) | 6 (+1) |\n" in notes
    )
    since = "Since [`datasets/pets@v1.0.0`](URL/releases/tag/datasets%2Fpets%40v1.0.0): "
    changes = "URL/compare/datasets/pets%40v1.0.0...datasets/pets%40v1.1.0"
    what = "the selection changed, the images or their metadata changed, description changed"
    assert f"{since}{what} ([all changes]({changes})).\n" in notes
    model = bodies(hub)["models/pets@v1.1.0"]
    assert "| metric | before | now |\n|---|--:|--:|\n| accuracy | 1 | 1 |\n" in model
    assert f"Trained on [`{SECOND}`]" in model


def test_many_classes_still_fit() -> None:
    counts = {split: {f"class_{number:04}": 2 for number in range(10_000)} for split in SPLITS}
    tag = parse_tag(DATASET)
    manifest = Manifest(tag.artifact, tag.version, "Pets", "Many.", ("@acme/vision",), "CC-BY-4.0", {})
    version = notes.ReleasedVersion(tag, Content(manifest, {}), build=Build("", "", 60_000, counts))
    text = notes.write(version, None, notes.Lineage(), "https://github.com/acme/registry")
    assert "| class_0039 | 2 | 2 | 2 | 6 |\n| … and 9,960 more | 19,920 | 19,920 | 19,920 | 59,760 |\n" in text
    assert len(text) < 4_000


def test_a_model_on_a_backbone_links_the_release_that_has_its_file(
    hub: GitHub, merged_model: Path, run_registry: Run
) -> None:
    """Of two releases of the backbone, the first one has the file that the model was trained with."""
    eye, pets = (merged_model / "models" / name for name in ("eye", "pets"))
    repositories.model(merged_model, "eye", b"eye", "1.0.0")
    lock = yaml.safe_load((pets / "dvc.lock").read_text())
    lock["stages"]["train"]["deps"].append(
        repositories.file_out(merged_model, eye / "model.onnx") | {"path": "../eye/model.onnx"}
    )
    repositories.write(pets / "dvc.lock", lock)
    manifest = yaml.safe_load((pets / "model.yaml").read_text())
    repositories.write(pets / "model.yaml", manifest | {"builds_on": ["models/eye"]})
    repositories.merge(merged_model, "a backbone")
    assert run_registry(merged_model, "publish").code == 0
    link = "[`models/eye@v1.0.0`](URL/releases/tag/models%2Feye%40v1.0.0)"
    assert f" Builds on {link}.\n" in bodies(hub)[MODEL]
    repositories.model(merged_model, "eye", b"another", "1.1.0")
    repositories.write(pets / "model.yaml", manifest | {"builds_on": ["models/eye"], "version": "1.1.0"})
    repositories.merge(merged_model, "another backbone")
    assert run_registry(merged_model, "publish").code == 0
    assert f" Builds on {link}.\n" in bodies(hub)["models/pets@v1.1.0"]


# --- again and again --------------------------------------------------------------------------------------------------


def test_existing_releases_are_not_changed(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    assert run_registry(merged_model, "publish").code == 0
    hub.releases[0]["body"] = "What people wrote.\r\n"
    before, told = [dict(row) for row in hub.releases], len(hub.made())
    done = run_registry(merged_model, "publish")
    assert done.out.splitlines()[-1] == "GitHub releases are up to date"
    assert (hub.releases, len(hub.made())) == (before, told)


def test_a_dry_run_creates_no_release(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    done = run_registry(merged_model, "publish", "--dry-run")
    assert done.out.splitlines()[-1] == f"{MODEL}: create the GitHub release"
    assert (hub.releases, hub.made()) == ([], [])


def test_missing_releases_of_earlier_versions_are_created(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    assert run_registry(merged_model, "publish").code == 0
    second(merged_model)
    hub.releases.clear()
    assert run_registry(merged_model, "publish").code == 0
    assert list(bodies(hub)) == [DATASET, SECOND, MODEL, "models/pets@v1.1.0"]


def test_a_clone_without_the_tags_creates_their_releases(
    hub: GitHub, merged_model: Path, tmp_path: Path, run_registry: Run
) -> None:
    assert run_registry(merged_model, "publish").code == 0
    hub.releases.clear()
    other = repositories.other_clone(merged_model, tmp_path)
    for tag in (DATASET, MODEL):
        repositories.git_in(other, "tag", "--delete", tag)
    assert run_registry(other, "publish").code == 0
    assert list(bodies(hub)) == [DATASET, MODEL]


# --- withdrawn --------------------------------------------------------------------------------------------------------


def test_the_release_of_a_withdrawn_version_is_marked_after_the_merge(
    hub: GitHub, merged_model: Path, run_registry: Run
) -> None:
    assert run_registry(merged_model, "publish").code == 0
    notes = hub.releases[0]["body"]
    assert run_registry(merged_model, "withdraw", "datasets/pets", "1.0.0", "--why", "labels *swapped*").code == 0
    assert hub.releases[0]["name"] == "datasets/pets 1.0.0: Pets at home"
    repositories.merge(merged_model, "withdraw it")
    done = run_registry(merged_model, "publish")
    title = "Withdrawn: datasets/pets 1.0.0: Pets at home"
    assert done.out.splitlines()[-1] == f"{DATASET}: change the GitHub release to {title!r}"
    assert hub.releases[0]["name"] == title
    assert hub.releases[0]["body"] == f"> [!CAUTION]\n> Withdrawn: labels &#42;swapped&#42;\n\n{notes}"
    assert run_registry(merged_model, "publish").out.endswith("GitHub releases are up to date\n")
    manifest = merged_model / "datasets/pets/dataset.yaml"
    manifest.write_text(re.sub(r"withdrawn:\n.*\n", "", manifest.read_text()))
    repositories.merge(merged_model, "take it back")
    assert run_registry(merged_model, "publish").code == 0
    assert (hub.releases[0]["name"], hub.releases[0]["body"]) == ("datasets/pets 1.0.0: Pets at home", notes)


@pytest.mark.parametrize("notes", ["", "words\n", "> [!CAUTION]\n> of another kind\n\n", "one\r\ntwo\r\n"])
def test_the_mark_is_added_and_removed(notes: str) -> None:
    plain = Release(1, DATASET, "Pets", notes)
    first = github_releases.marked(plain, "bad")
    assert github_releases.marked(first, "bad") == first
    assert github_releases.marked(first, "worse").notes == f"> [!CAUTION]\n> Withdrawn: worse\n\n{notes}".replace(
        "\r\n", "\n"
    )
    assert github_releases.marked(first, None) == Release(1, DATASET, "Pets", notes.replace("\r\n", "\n"))
    assert github_releases.marked(plain, None) is plain


# --- without GitHub, and against its will -----------------------------------------------------------------------------


def test_without_github_releases_are_skipped_with_the_reason(
    hub: GitHub, merged_model: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GH_ENTERPRISE_TOKEN")
    done = run_registry(merged_model, "publish")
    assert done.code == 0
    assert f"GitHub releases were skipped: gh has no token for {hub.host}\n  hint: gh auth login" in done.err
    monkeypatch.delenv("GH_REPO")
    assert (
        "GitHub releases were skipped: this clone's origin is not on GitHub\n  hint: "
        in run_registry(merged_model, "publish").err
    )
    assert release_auditor.releases(origin(merged_model)).keys() == {DATASET, MODEL}
    assert hub.calls == []


def test_an_error_of_github_comes_after_the_tags(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    hub.faults.append(Fault("/releases", 401, "Bad credentials"))
    done = run_registry(merged_model, "publish")
    words = "all tags are published, but GitHub releases are missing"
    assert done.refused(words, "Bad credentials (HTTP 401)", "gh auth login")
    assert release_auditor.releases(origin(merged_model)).keys() == {DATASET, MODEL}
    assert TOKEN not in done.out + done.err
    assert hub.releases == []


def test_the_next_run_creates_the_remaining_releases(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    hub.faults.append(Fault(MODEL, 503))
    assert run_registry(merged_model, "publish").refused("(HTTP 503)")
    assert list(bodies(hub)) == [DATASET]
    assert run_registry(merged_model, "publish").code == 0
    assert list(bodies(hub)) == [DATASET, MODEL]
