"""Every version that a merge brought is published, on that merge's commit, however many merges a run waited for."""

import subprocess
from pathlib import Path

import pytest

from registry.core import names
from registry.release import merged_versions
from support import release_auditor, repositories
from support.repositories import Run, origin, production, staging


def merge_dataset(root: Path, version: str, *more: bytes, name: str = "pets", **fields: object) -> str:
    """Merge a version of a dataset, the given images and those of PETS; the commit on main."""
    images = {f"test/cat/0a8c7f6e-0000-4000-8000-{10 + place:012}.jpg": data for place, data in enumerate(more)}
    repositories.dataset(root, name, {**repositories.PETS, **images}, version, **fields)
    repositories.merge(root, f"datasets/{name} {version}")
    return repositories.git_in(root, "rev-parse", "HEAD")


def tags(root: Path) -> dict[str, str]:
    assert release_auditor.broken_promises(origin(root), production(root)) == []
    return {
        name.removeprefix("datasets/pets@"): commit for name, commit in release_auditor.releases(origin(root)).items()
    }


def test_three_merges_and_one_run(released_model: Path, run_registry: Run) -> None:
    merged = {f"v1.{minor}.0": merge_dataset(released_model, f"1.{minor}.0", b"%d" % minor) for minor in (1, 2, 3)}
    before = tags(released_model)
    plan = run_registry(released_model, "publish", "--dry-run").out
    assert [line.partition(":")[0] for line in plan.splitlines()] == [
        "datasets/pets@v1.1.0", "datasets/pets@v1.2.0", "datasets/pets@v1.3.0", "models/pets@v1.0.0",
    ]  # fmt: skip
    assert run_registry(released_model, "publish").code == 0
    assert tags(released_model) == {**before, **merged}
    assert "published:" not in run_registry(released_model, "publish").out


def test_a_version_without_its_objects_stops_no_other(released_model: Path, run_registry: Run) -> None:
    lost = merge_dataset(released_model, "1.1.0", b"lost")
    found = merge_dataset(released_model, "1.2.0", b"found")
    repositories.place(staging(released_model), repositories.md5(b"lost")).unlink()
    done = run_registry(released_model, "publish")
    assert done.refused("datasets/pets@v1.1.0: 1 object, such as datasets/pets/prepared/test/cat/", lost[:10])
    assert {"v1.1.0", "v1.2.0"} & tags(released_model).keys() == {"v1.2.0"}
    assert "registry withdraw datasets/pets 1.1.0 --why TEXT" in done.err
    assert run_registry(released_model, "withdraw", "datasets/pets", "1.1.0", "--why", "lost", "--dry-run").code == 0
    assert run_registry(released_model, "push", lost[:10]).code == 0
    assert run_registry(released_model, "publish").code == 0
    assert {name: tags(released_model)[name] for name in ("v1.1.0", "v1.2.0")} == {"v1.1.0": lost, "v1.2.0": found}


def test_a_fault_of_the_current_version_stops_no_earlier_one(released_model: Path, run_registry: Run) -> None:
    good = merge_dataset(released_model, "1.1.0", b"good")
    (released_model / "datasets/pets/dataset.yaml").write_text("version: [1.2.0")
    repositories.merge(released_model, "merged past a failed check")
    assert run_registry(released_model, "publish").refused("datasets/pets/dataset.yaml:1: not valid YAML")
    assert tags(released_model)["v1.1.0"] == good


def test_a_version_that_grew_over_merges_is_tagged_where_its_data_is_complete(
    merged_model: Path, run_registry: Run
) -> None:
    """Neither the merge that only announced it, nor the one that corrected its card afterwards."""
    folder, pointer = merged_model / "datasets/birds", merged_model / "datasets/birds/prepared.dvc"
    repositories.dataset(merged_model, "birds", repositories.PETS, "1.0.0")
    built = pointer.read_bytes()
    pointer.unlink()
    repositories.merge(merged_model, "announced")
    pointer.write_bytes(built)
    repositories.merge(merged_model, "built")
    complete = repositories.git_in(merged_model, "rev-parse", "HEAD")
    (folder / "README.md").write_text("Birds.")
    repositories.merge(merged_model, "described")
    assert run_registry(merged_model, "publish", "datasets/birds").code == 0
    assert tags(merged_model) == {"datasets/birds@v1.0.0": complete}


def test_a_merge_commit_is_tagged_and_not_the_branch(released_model: Path, run_registry: Run) -> None:
    repositories.git_in(released_model, "switch", "--quiet", "--create", "change")
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.stage(released_model)
    repositories.commit(released_model, "proposed")
    repositories.git_in(released_model, "switch", "--quiet", "main")
    repositories.git_in(released_model, "merge", "--quiet", "--no-ff", "--no-verify", "-m", "merge", "change")
    repositories.git_in(released_model, "push", "--quiet", "origin", "main")
    assert run_registry(released_model, "publish").code == 0
    assert tags(released_model)["v1.1.0"] == repositories.git_in(released_model, "rev-parse", "HEAD")


def test_another_default_branch(released_model: Path, run_registry: Run) -> None:
    for command in (
        ("branch", "--move", "main", "trunk"),
        ("push", "--quiet", "--set-upstream", "origin", "trunk"),
        ("--git-dir=../origin.git", "symbolic-ref", "HEAD", "refs/heads/trunk"),
        ("push", "--quiet", "origin", "--delete", "main"),
        ("remote", "set-head", "origin", "--auto"),
    ):
        repositories.git_in(released_model, *command)
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.stage(released_model)
    repositories.commit(released_model, "more pets")
    repositories.git_in(released_model, "push", "--quiet", "origin", "trunk")
    assert run_registry(released_model, "publish").code == 0
    assert tags(released_model)["v1.1.0"] == repositories.git_in(released_model, "rev-parse", "trunk")
    repositories.git_in(released_model, "switch", "--quiet", "--detach")
    repositories.git_in(released_model, "branch", "--delete", "--force", "trunk")
    assert run_registry(released_model, "compare").out.startswith("no model changed since ")
    assert run_registry(released_model, "publish").code == 0


@pytest.mark.parametrize("undo", ["went back", "removed", "withdrew"])
def test_what_main_does_not_stand_by_is_not_published(undo: str, released_model: Path, run_registry: Run) -> None:
    """Also by the run for the commit that brought it, which may be repeated later."""
    brought = merge_dataset(released_model, "1.1.0", b"a mistake")
    if undo == "went back":
        repositories.git_in(released_model, "revert", "--no-edit", "HEAD")
        repositories.merge(released_model, "reverted")
    elif undo == "removed":
        repositories.git_in(released_model, "rm", "-r", "--quiet", "datasets/pets")
        repositories.merge(released_model, "removed")
    else:
        merge_dataset(released_model, "1.2.0", withdrawn={"1.1.0": "a mistake"})
    before = tags(released_model)
    for commit in ("main", brought):
        repositories.git_in(released_model, "checkout", "--quiet", "--detach", commit)
        done = run_registry(released_model, "publish")
        assert (done.code, "datasets/pets: 1.1.0 " in done.out) == (0, True), done.err
    assert tags(released_model).keys() - before.keys() <= {"v1.2.0"}


# --- the line of a branch ---------------------------------------------------------------------------------------------


def history(root: Path, *manifests: str | None) -> Path:
    """A repository with a commit for each manifest of datasets/pets; None for a commit without it."""
    repositories.git_in(root, "init", "--quiet")
    stream = ""
    for text in manifests:
        path = "datasets/pets/dataset.yaml"
        change = f"D {path}" if text is None else f"M 644 inline {path}\ndata {len(text)}\n{text}"
        stream += f"commit refs/heads/main\ncommitter A <a@b.c> 0 +0000\ndata 0\n{change}\n"
    subprocess.run(["git", "-C", root, "fast-import", "--quiet"], input=stream.encode(), check=True)
    return root


def found(root: Path, *known: str) -> list[tuple[str, int, bool]]:
    """Of each version: its number, how many commits had it in its last run, and whether main stands by it."""
    tags = {names.parse_tag(f"datasets/pets@v{version}") for version in known}
    versions = merged_versions.find(root, "main", tags).versions
    return [(str(one.tag.version), len(one.commits), not one.given_up) for one in versions]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["1.0.0", "1.1.0", "2.0.0"], [("1.0.0", 1, True), ("1.1.0", 1, True), ("2.0.0", 1, True)]),
        (["1.0.0", "1.1.0", "1.0.0"], [("1.0.0", 1, True), ("1.1.0", 1, False)]),
        (["1.0.0", "1.1.0", "1.0.0", "1.1.0"], [("1.0.0", 1, True), ("1.1.0", 1, True)]),
        (["1.0.0", None], [("1.0.0", 1, False)]),
        (["1.0.0", None, "1.0.0"], [("1.0.0", 1, True)]),
        (["1.0.0", "fault", "1.1.0"], [("1.0.0", 1, True), ("1.1.0", 1, True)]),
    ],
)
def test_the_versions_of_a_branch(
    versions: list[str | None], expected: list[tuple[str, int, bool]], tmp_path: Path
) -> None:
    assert found(history(tmp_path, *(one and f"version: {one}\n" for one in versions))) == expected


def test_a_hole_below_published_versions_is_found(tmp_path: Path) -> None:
    root = history(tmp_path, *(f"version: 1.{minor}.0\nwithdrawn: {{1.0.0: why}}\n" for minor in range(4)))
    assert found(root, "1.0.0", "1.1.0", "1.3.0") == [("1.2.0", 1, True)]
    assert found(root, "1.0.0", "1.1.0", "1.2.0", "1.3.0") == []
