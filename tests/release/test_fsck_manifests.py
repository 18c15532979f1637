"""fsck knows release manifests: each is there, is the one that its tag names, and says what tag and objects say."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import copy
from registry.core import canonical_json
from registry.release import release_manifests
from support import repositories
from support.repositories import Run, origin, production
from support.servers.github import GitHub, serve

TAG, PLACE = "datasets/pets@v1.0.0", "releases/datasets/pets/1.0.0"
DOG = repositories.md5(b"a dog")


@pytest.fixture(scope="module")
def _released(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_merged, tmp_path_factory.mktemp("released"))
    assert repositories.registry(root, "publish").returncode == 0
    return root


@pytest.fixture
def released(_released: Path, tmp_path: Path) -> Path:
    return copy(_released, tmp_path)


def manifest(root: Path, suffix: str = ".json") -> Path:
    """An object of the dataset's release manifest in production, before a test adds others."""
    (found,) = (production(root) / PLACE).glob(f"*{suffix}")
    return found


def forge(root: Path, change: Callable[[dict[str, object], list[dict[str, object]]], None]) -> None:
    """A changed manifest under its own SHA-256, and a tag at the origin that names it."""
    said = json.loads(manifest(root).read_bytes())
    rows = [json.loads(line) for line in manifest(root, ".files.jsonl").read_text().splitlines()]
    change(said, rows)
    listed = "".join(f"{canonical_json.write(row)}\n" for row in rows).encode()
    said["files"] = {
        "sha256": release_manifests.hash_of(listed), "count": len(rows), "without_sha256": 0,
        "size": sum(int(str(row["size"])) for row in rows),
    }  # fmt: skip
    data = f"{canonical_json.write(said)}\n".encode()
    sha256 = release_manifests.hash_of(data)
    (production(root) / PLACE / f"{said['files']['sha256']}.files.jsonl").write_bytes(listed)
    (production(root) / PLACE / f"{sha256}.json").write_bytes(data)
    name_in_tag(root, f"manifest: sha256:{sha256}")


def name_in_tag(root: Path, line: str) -> None:
    repositories.git_in(root, "tag", "--force", "--annotate", "--message", f"x\n\n{line}", TAG, f"{TAG}^{{commit}}")
    repositories.git_in(root, "push", "--quiet", "--force", "origin", f"refs/tags/{TAG}")


def faults(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith(f"{TAG}: ")]


# --- what is lost -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [[".json"], [".files.jsonl"], [".json", ".files.jsonl"]])
def test_a_lost_manifest_is_made_again(lost: list[str], released: Path, run_registry: Run) -> None:
    before = repositories.snapshot(production(released))
    for file in [manifest(released, suffix) for suffix in lost]:
        file.unlink()
    done = run_registry(released, "fsck")
    (said,) = faults(done.out)
    assert (done.code, said.endswith(f"{lost[0]} is missing")) == (1, True)
    assert f"{TAG}: release manifest: {production(released)}/{PLACE}/" in said
    assert "hint: registry fsck --repair FROM" in done.out
    done = run_registry(released, "fsck", "--repair", "staging")
    assert (done.code, done.err) == (0, "restored 1 of 1 missing release manifest\n"), done.out
    assert repositories.snapshot(production(released)) == before


def test_what_cannot_be_made_again_is_copied_from_where_it_is(
    released: Path, run_registry: Run, tmp_path: Path
) -> None:
    """Another version of the tooling published it, and no other manifest says which."""
    forge(released, lambda said, _: said.update(tooling={"version": "0.0.1"}))
    assert run_registry(released, "fsck").code == 0
    (place,) = [file for file in (production(released) / PLACE).glob("*.json") if b"0.0.1" in file.read_bytes()]
    backup = tmp_path / "backup" / PLACE / place.name
    repositories.write_bytes(backup, place.read_bytes())
    place.unlink()
    done = run_registry(released, "fsck", "--repair", "staging")
    assert (done.code, done.err) == (1, "restored 0 of 1 missing release manifest\n")
    done = run_registry(released, "fsck", "--repair", str(tmp_path / "backup"))
    assert (done.code, done.err) == (0, "restored 1 of 1 missing release manifest\n")


def test_other_bytes_are_for_an_administrator(released: Path, run_registry: Run) -> None:
    file, good = manifest(released), manifest(released).read_bytes()
    repositories.overwrite(file, good.replace(b"Pets at home", b"Pets at Home"))
    done = run_registry(released, "fsck")
    assert f"{PLACE}/{file.name}: SHA-256 is " in faults(done.out)[0]
    assert f"  # rm -f {file}  (first find an intact copy with registry fsck --repair FROM)\n" in done.out
    done = run_registry(released, "fsck", "--repair", "staging")
    assert f"  rm -f {file}  # intact copy: can be made again\n  then: registry fsck --repair staging\n" in done.out
    file.unlink()  # what the administrator does
    assert run_registry(released, "fsck", "--repair", "staging").code == 0
    assert file.read_bytes() == good


def test_a_release_without_one_is_told_and_not_wrong(released: Path, run_registry: Run) -> None:
    name_in_tag(released, "by hand")
    done = run_registry(released, "fsck")
    assert (done.code, len(faults(done.out))) == (0, 1)
    assert "its tag names no release manifest, so MD5 alone proves its files" in faults(done.out)[0]
    report = json.loads(run_registry(released, "fsck", "--format", "json").out)
    assert [row["manifest"] is None for row in report["tags"]] == [True, False]


# --- what it says -----------------------------------------------------------------------------------------------------


def rename(said: dict[str, object], _: list[dict[str, object]]) -> None:
    said["title"] = "Pets at work"


def add_image(_: dict[str, object], rows: list[dict[str, object]]) -> None:
    rows.insert(0, {**rows[0], "path": "datasets/pets/prepared/a.jpg"})


def drop_image(_: dict[str, object], rows: list[dict[str, object]]) -> None:
    del rows[0]


def swap_images(_: dict[str, object], rows: list[dict[str, object]]) -> None:
    rows[0]["md5"], rows[1]["md5"] = rows[1]["md5"], rows[0]["md5"]


def grow_image(_: dict[str, object], rows: list[dict[str, object]]) -> None:
    rows[0]["size"] = 999


def tag_another(said: dict[str, object], _: list[dict[str, object]]) -> None:
    said["tag"] = "datasets/pets@v1.0.1"


SAYS: dict[str, tuple[Callable[..., None], str]] = {
    "a fact of Git": (rename, "its title is not that of the tag's commit"),
    "a file too many": (add_image, "datasets/pets/prepared/a.jpg is not in the release"),
    "a file too few": (drop_image, "is not listed"),
    "another MD5": (swap_images, " (and 1 other file)"),
    "another size": (grow_image, "is listed with 999 bytes, expected "),
    "another tag": (tag_another, "it is the manifest of datasets/pets@v1.0.1"),
}


@pytest.mark.parametrize(("change", "words"), SAYS.values(), ids=SAYS)
def test_a_manifest_that_says_otherwise(
    change: Callable[..., None], words: str, released: Path, run_registry: Run
) -> None:
    """Its tag names it: who may push tags made both."""
    forge(released, change)
    done = run_registry(released, "fsck", "--repair", "staging")
    (said,) = faults(done.out)
    assert done.code == 1
    assert said.startswith(f"{TAG}: release manifest: ")
    assert words in said
    assert "hint: registry withdraw ID VERSION --why TEXT" in done.out


def test_content_that_md5_takes_for_intact(released: Path, run_registry: Run) -> None:
    """The list has the SHA-256 of another file, as it would where two files have one MD5."""

    def change(_: dict[str, object], rows: list[dict[str, object]]) -> None:
        next(row for row in rows if row["md5"] == DOG)["sha256"] = "0" * 64

    forge(released, change)
    assert run_registry(released, "fsck").code == 0
    done = run_registry(released, "fsck", "--deep")
    (said,) = faults(done.out)
    assert said.endswith(f", expected {'0' * 64} by the release manifest")


# --- on GitHub --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(merged_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve(GitHub(origin=origin(merged_model))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def test_the_copy_on_github_was_edited(hub: GitHub, merged_model: Path, run_registry: Run) -> None:
    assert run_registry(merged_model, "publish").code == 0
    assert run_registry(merged_model, "fsck").code == 0
    (row,) = (row for row in hub.releases if row["tag_name"] == TAG)
    row["assets"][0]["digest"] = f"sha256:{'0' * 64}"
    done = run_registry(merged_model, "fsck")
    assert (done.code, faults(done.out)) == (
        1, [f"{TAG}: release.json of its release on GitHub is not its release manifest"],
    )  # fmt: skip
    assert "hint: gh release delete-asset TAG release.json; then registry publish" in done.out
    row["assets"].clear()
    assert run_registry(merged_model, "publish").code == 0
    assert run_registry(merged_model, "fsck").code == 0
