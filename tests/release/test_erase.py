"""`registry erase`: everything of an image goes, whatever interrupts it, and no command takes it for lost."""

import io
import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
import yaml

import registry
from conftest import copy
from registry.core import erasures, schema, tombstones
from registry.core.documents import Document
from registry.core.tombstones import Reason, Tombstone
from registry.errors import InvalidData, InvalidDocument, Refused, StorageFailed
from registry.release import erase
from registry.storage.local import Folder
from support import hints, released_photos, repositories
from support.dataset_builds import PETS, Desk, picture, uuid
from support.released_photos import DATASET, MODEL, ROWS
from support.repositories import Outcome, Run, git_in, origin, production, staging
from support.servers import static_files
from support.servers.github import GitHub, serve

CASE = "DSR-2026-041"
ERASE = ("--case", CASE, "--approved-by", "@acme/privacy")
NEXT = f"{PETS}@v1.0.1"  # without it
TESTED = 2  # the number of an image in the test split, which predictions have a row of
Answer = Callable[[str], None]


def command(root: Path, *args: str) -> Outcome:
    done = repositories.registry(root, *args)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def _merged_erasure(_released_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_released_photos, tmp_path_factory.mktemp("erasure"))
    shutil.copytree(production(root), root / ".registry/mirror")
    (root / ".dvc/config.local").write_text(f"['remote \"mirror\"']\n    url = {root / '.registry/mirror'}\n")
    done = command(root, "erase", uuid(TESTED), *ERASE)
    assert done.code == 0, done.err
    repositories.merge(root, "Erase")
    git_in(root, "fetch", "--quiet")
    done = command(root, "publish")
    assert done.code == 0, done.err
    return root


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What the person types."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def desk(_released_photos: Path, tmp_path: Path, run_registry: Run) -> Desk:
    """A registry with `datasets/pets` 1.0.0 and a model on it, both released."""
    return Desk(copy(_released_photos, tmp_path), run_registry)


@pytest.fixture
def merged(_merged_erasure: Path, tmp_path: Path, run_registry: Run) -> Desk:
    """The same, with a remote `mirror`, where the erasure of image 2 is merged and 1.0.1 published; its bytes are."""
    root = copy(_merged_erasure, tmp_path)
    text = (root / ".dvc/config.local").read_text().replace(str(_merged_erasure), str(root))
    (root / ".dvc/config.local").write_text(text)
    return Desk(root, run_registry)


def files_about(root: Path, number: int) -> set[str]:
    """Every file outside of Git that has the bytes of an image, or rows of it."""
    files = (one for one in root.rglob("*") if one.is_file() and ".git" not in one.relative_to(root).parts)
    return {str(path.relative_to(root)) for path in files if _is_about(path, number)}


def _is_about(path: Path, number: int) -> bool:
    data = path.read_bytes()
    if not data.startswith(b"PAR1"):
        return data == picture(number)
    return uuid(number) in str(pl.read_parquet(data).select(pl.selectors.string()).to_dict(as_series=False))


def delete(desk: Desk, answer: Answer, count: int) -> Outcome:
    answer(f"{CASE}\n{count}\n")
    return desk.run("erase", uuid(TESTED), "--case", CASE, "--delete")


def count_of(desk: Desk) -> int:
    """The objects that a deletion would delete."""
    done = desk.run("erase", uuid(TESTED), "--case", CASE, "--delete", "--dry-run")
    assert done.code == 0, done.err
    return sum(int(line.split()[-2]) for line in done.out.splitlines()[1:])


# --- the tombstone ----------------------------------------------------------------------------------------------------


def test_the_next_version_is_a_patch_and_the_tombstone_tells_nothing(desk: Desk) -> None:
    done = desk.run("erase", uuid(TESTED), *ERASE)
    assert done.code == 0, done.err
    assert done.out.splitlines()[:6] == [
        f"case {CASE}: 1 UUID",
        "erase 1 image, and 3 tables with rows of them",
        f"write erased/{CASE}.yaml",
        f"{PETS}: build the next version without them",
        f"{DATASET}: withdraw; what is left of it stays",
        f"{MODEL}: measured on it; train again",
    ]
    manifest = yaml.safe_load((desk.root / PETS / "dataset.yaml").read_text())
    assert (manifest["version"], manifest["exclude"]) == ("1.0.1", {})
    assert manifest["withdrawn"] == {"1.0.0": f"an image was erased (case {CASE})"}
    assert uuid(TESTED) not in {Path(path).stem for path in desk.files()}
    written = (desk.root / f"erased/{CASE}.yaml").read_text() + done.out + git_in(desk.root, "diff")
    assert uuid(TESTED) not in written
    assert repositories.md5(picture(TESTED)) not in written
    said = yaml.safe_load((desk.root / f"erased/{CASE}.yaml").read_text())
    assert (said["reason"], said["approved_by"]) == ("consent withdrawn", "@acme/privacy")
    assert (len(said["items"]), len(said["objects"])) == (1, 4)
    assert desk.run("report", "--base", "main").code == 0
    pages = b"".join(path.read_bytes() for path in (desk.root / ".registry/report").glob("report.*"))
    assert uuid(TESTED).encode() not in pages  # nor is there a picture of it
    assert b"1 image was erased" in pages
    check = desk.run("check", "--all")
    assert [line for line in check.out.splitlines() if ": wrong: " in line] == [
        "models/pets/dvc.lock: wrong: changed since the training: datasets/pets/prepared [training]"
    ]
    assert files_about(desk.root, TESTED)  # nothing was deleted


def test_the_next_steps_work_and_nothing_is_deleted_before_the_merge(desk: Desk, run_registry: Run) -> None:
    refused = desk.run("erase", uuid(TESTED), "--case", CASE, "--delete")
    assert refused.refused("is not on the default branch: what is deleted now would look lost")
    for command in hints.in_output(desk.run("erase", uuid(TESTED), *ERASE).out):
        hints.run(desk.root, command, {}, run_registry)
    assert desk.run("erase", uuid(TESTED), "--case", CASE, "--delete").refused("is not on the default branch")
    assert files_about(desk.root, TESTED)


def test_a_recalled_image_loses_its_name_in_the_tree(desk: Desk) -> None:
    assert desk.run("recall", uuid(TESTED), "--why", "the person asked").code == 0
    repositories.commit(desk.root, "recall")
    assert desk.run("erase", uuid(TESTED), *ERASE).code == 0
    assert not list((desk.root / "denied").glob("*"))
    assert uuid(TESTED) not in (desk.root / PETS / "dataset.yaml").read_text()


def test_a_second_run_adds_what_is_new_and_keeps_who_decided(desk: Desk) -> None:
    assert desk.run("erase", uuid(TESTED), *ERASE).code == 0
    before = (desk.root / f"erased/{CASE}.yaml").read_bytes()
    done = desk.run("erase", uuid(TESTED), "--case", CASE)
    assert done.code == 0, done.err
    assert (desk.root / f"erased/{CASE}.yaml").read_bytes() == before
    assert desk.run("erase", uuid(3), "--case", CASE).refused(f"case {CASE} is about other images")


def test_no_selection_and_no_branch_brings_it_back(merged: Desk) -> None:
    git_in(merged.root, "switch", "--quiet", "--create", "older", "HEAD~1")
    check = merged.run("check", "--base", "main")
    assert f"prepared.dvc: wrong: has 1 denied image, such as {uuid(TESTED)}: it was erased [denied]" in check.out
    assert "  hint: merge the default branch, which has the next version without it" in check.out.splitlines()
    merged.select(ROWS)
    merged.built()
    assert uuid(TESTED) not in {Path(path).stem for path in merged.files()}


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (("cat", *ERASE), "'cat' is not a UUID"),
        ((uuid(TESTED), "--case", "a b", "--approved-by", "@a"), "'a b' is not a case"),
        ((uuid(TESTED), "--case", CASE), "who approved the erasure is not given"),
        ((uuid(TESTED), "--case", CASE, "--approved-by", "Ms Smith"), "approved_by"),
    ],
)
def test_what_cannot_be_erased_changes_nothing(desk: Desk, args: tuple[str, ...], fault: str) -> None:
    done = desk.run("erase", *args)
    assert done.code == 1
    assert fault in done.err
    assert git_in(desk.root, "status", "--short") == ""


def test_bytes_that_are_another_item_too_are_not_lost_silently(desk: Desk) -> None:
    desk.put(100, desk.photo(0).read_bytes())
    desk.select([*ROWS[1:], released_photos.row(100, "cat")])
    desk.built()
    done = desk.run("erase", uuid(0), *ERASE, "--dry-run")
    assert done.refused(f"the same bytes are also {uuid(100)}, which would be lost")
    assert desk.run("erase", uuid(0), uuid(100), *ERASE, "--dry-run").code == 0


def test_a_tombstone_is_read_as_it_was_written() -> None:
    made = Tombstone(CASE, Reason.OBJECTION, "2026-11-29", "@ana", frozenset({"a" * 64}), frozenset())
    assert tombstones.parse(tombstones.write(made), made.path) == made
    with pytest.raises(InvalidDocument, match=r"expected erased/CASE\.yaml"):
        tombstones.parse(tombstones.write(made), "erased/a b.yaml")


def test_it_is_proposed_as_one_pull_request_that_names_no_image(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(GitHub(origin=origin(desk.root))) as hub:
        for name, value in hub.env().items():
            monkeypatch.setenv(name, value)
        done = desk.run("erase", uuid(TESTED), *ERASE, "--propose")
        assert done.code == 0, done.err
        [pull] = hub.pulls
    branch, title = f"erase/{CASE}", f"Erase 1 image of case {CASE}"
    assert (pull["head"]["ref"], pull["title"]) == (branch, title)
    assert f"- {DATASET}: withdraw" in pull["body"].replace("\u2060", "")
    message = git_in(origin(desk.root), "log", "-1", "--format=%B", branch)
    for secret in (uuid(TESTED), repositories.md5(picture(TESTED))):
        assert secret not in pull["body"] + pull["title"] + message
    changed = git_in(origin(desk.root), "diff", "--name-only", "main", branch).splitlines()
    assert {f"erased/{CASE}.yaml", f"{PETS}/dataset.yaml", f"{PETS}/prepared.dvc", f"{PETS}/raw.dvc"} <= set(changed)
    clone = repositories.other_clone(desk.root, desk.root.parent)
    git_in(clone, "switch", "--quiet", branch)
    assert desk._run(clone, "check", "--base", "origin/main", "--remote", "--untrained").code == 0


# --- the bytes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "other\n", f"{CASE}\n1\n"])
def test_it_asks_twice(merged: Desk, answer: Answer, typed: str) -> None:
    before = files_about(merged.root, TESTED)
    answer(typed)
    done = merged.run("erase", uuid(TESTED), "--case", CASE, "--delete")
    assert done.code in {1, 130}
    assert files_about(merged.root, TESTED) == before
    assert {path.split("/")[1] for path in before if path.startswith(".registry/")} == {
        "lake", "staging", "production", "mirror"
    }  # fmt: skip


def test_everything_of_it_is_deleted_and_nothing_else(merged: Desk, answer: Answer) -> None:
    others = {path for path in (merged.root / ".registry").rglob("*") if path.is_file()}
    gone = {merged.root / path for path in files_about(merged.root, TESTED)}
    done = delete(merged, answer, count_of(merged))
    assert done.code == 0, done.err + done.out
    assert files_about(merged.root, TESTED) == set()
    assert {path for path in (merged.root / ".registry").rglob("*") if path.is_file()} == others - gone
    assert count_of(merged) == 0


def test_every_command_knows_that_it_was_erased(merged: Desk, answer: Answer) -> None:
    assert delete(merged, answer, count_of(merged)).code == 0
    root, lists = merged.root, f"{DATASET}: 3 objects were erased"
    fsck = merged.run("fsck", "--all-tags", "--deep")
    assert fsck.code == 0, fsck.out
    assert lists in fsck.out.splitlines()
    assert f"{MODEL}: 3 objects were erased" in fsck.out.splitlines()
    assert merged.run("fsck", "--all-tags", "--repair", "mirror").code == 0
    pull = merged.run("pull", PETS, "--rev", DATASET)
    assert pull.refused("3 objects were erased, and no store may have them", "registry list")
    assert merged.run("pull", PETS).code == 0
    assert merged.run("push", DATASET).code == 0
    assert merged.run("publish").code == 0
    assert merged.run("gc", "--plan").code == 0
    assert merged.run("reproduce", MODEL).refused("were erased")
    diff, compare = merged.run("diff", DATASET, "HEAD"), merged.run("compare", "models/pets", "--base", "HEAD~1")
    assert re.search(r"\n  unknown: object [0-9a-f]{32}: it was erased\n", diff.out)
    assert re.search(r"incomplete: .*models/pets/predictions.parquet \([0-9a-f]{32}\): it was erased", compare.out)
    checkout = merged.run("checkout")
    assert checkout.out.splitlines()[:2] == [
        "erased, or files of it were: models/pets/predictions.parquet", "  hint: use a later version: registry list",
    ]  # fmt: skip
    assert "not in the cache" not in checkout.out
    verify = merged.run("verify", DATASET, f"{PETS}/prepared")
    assert verify.refused(f"it is {NEXT}, complete and unchanged", f"files of {DATASET} were erased")
    check = merged.run("check", "--all", "--remote")
    assert "[remote-objects]" not in check.out
    assert "[denied]" not in check.out
    assert files_about(root, TESTED) == set()


def test_a_consumer_gets_no_part_that_looks_whole(merged: Desk, answer: Answer, tmp_path: Path) -> None:
    fault = f"{DATASET} is not whole: 2 of its 43 files were erased (case {CASE}); nothing was fetched"
    assert merged.run("get", DATASET, "--out", str(tmp_path / "got")).refused(fault)  # its bytes are there still
    root, site = merged.root, tmp_path / "site"
    with static_files.serving(production(root)) as objects:
        config = root / ".dvc/config"
        config.write_text(f"{config.read_text()}['remote \"public\"']\n    url = {objects.url}\n")
        repositories.merge(root, "a public remote")
        git_in(root, "fetch", "--quiet")
        assert merged.run("catalog", "build", "--out", str(site)).code == 0
        assert delete(merged, answer, count_of(merged)).code == 0
        for number, place in enumerate((str(root), origin(root).as_uri(), str(site))):
            got, after = str(tmp_path / f"got{number}"), str(tmp_path / f"after{number}")
            done = merged._run(tmp_path, "get", DATASET, "--repo", place, "--out", got)
            assert done.refused(fault, f"take {NEXT}"), done.err
            assert not Path(got).exists()
            assert merged._run(tmp_path, "get", NEXT, "--repo", place, "--out", after).code == 0
            assert uuid(TESTED) not in {path.stem for path in Path(after).rglob("*")}
            with (
                pytest.warns(UserWarning, match=rf"is withdrawn: an image was erased \(case {CASE}\)"),
                pytest.raises(Refused, match=rf"2 of its 43 files were erased \(case {CASE}\)"),
            ):
                registry.open(PETS, "v1.0.0", repo=place, folder=got)
            split = merged._run(tmp_path, "get", DATASET, "--split", "train", "--repo", place, "--out", got)
            assert split.code == 0, split.err  # nothing of it was erased


def test_what_a_consumer_still_has_of_it_is_named(merged: Desk) -> None:
    old = merged.root / PETS / "prepared"
    [image] = old.rglob(f"{uuid(TESTED)}.jpg")
    done = merged.run("get", DATASET, "--out", str(old))
    assert done.refused(f"{image} was erased: delete it here, too", f"{old}/test/metadata.parquet was erased")


def test_what_is_shown_of_a_version_says_that_images_were_erased(merged: Desk, tmp_path: Path) -> None:
    said = f"erased: 1 image (case {CASE})"
    show = merged.run("show", DATASET)
    assert said in show.out.splitlines()
    assert show.out.endswith(f"\nit is not whole any more, and cannot be fetched: take {NEXT}\n")
    assert "registry get" in merged.run("show", NEXT).out
    assert f"from {DATASET} (withdrawn)" in merged.run("list").out
    why = f"{DATASET} is withdrawn: an image was erased (case {CASE})\n  hint: use {NEXT}\n"
    assert f"made from {DATASET}\n{why}" in merged.run("show", MODEL).out
    assert f"erased: predictions.parquet (case {CASE})" in merged.run("show", MODEL).out.splitlines()
    built = merged.run("catalog", "build", "--out", str(tmp_path / "site"))
    assert (built.code, built.err) == (0, "")
    assert built.out.splitlines()[1:] == ["erased images and tables are named on the pages of 2 releases"]
    model = (tmp_path / "site/models/pets/v1.0.0/index.html").read_text()
    assert f"predictions.parquet, with a row of an erased image (case {CASE})" in model
    assert "registry get" in model
    [changes] = (tmp_path / "site/models/pets/v1.0.0/changes").iterdir()
    assert len(re.findall(r"object \w+ was erased", changes.read_text())) == 1
    pages = {path: (tmp_path / "site" / PETS / path / "index.html").read_text() for path in ("v1.0.0", "v1.0.1")}
    assert f"<strong>Erased:</strong> 1 image (case {CASE})" in pages["v1.0.0"]
    assert "registry get" not in pages["v1.0.0"]
    assert "Erased" not in pages["v1.0.1"]
    data = (tmp_path / "site/registry.json").read_bytes()
    assert not list(schema.find_faults(Document("registry.json", json.loads(data), {}), "catalog"))
    [case] = json.loads(data)["erased"]
    assert case["case"] == CASE
    assert case["items"] == [erasures.digest_of_item(uuid(TESTED))]
    assert b"@acme/privacy" not in data
    assert uuid(TESTED).encode() not in data


def test_an_import_of_it_is_told_with_the_version_to_take(merged: Desk, tmp_path: Path) -> None:
    source = {"url": str(merged.root), "rev": DATASET}
    (tmp_path / "pets.dvc").write_text(yaml.safe_dump({"deps": [{"path": f"{PETS}/prepared", "repo": source}]}))
    done = merged._run(tmp_path, "outdated")
    assert done.code == 1
    assert done.out.splitlines() == [
        f"pets.dvc: {DATASET} is withdrawn: an image was erased (case {CASE})",
        f"  then: dvc update pets.dvc --rev {NEXT}",
    ]


def test_where_says_so_and_a_recall_does_not_bring_its_name_back(merged: Desk) -> None:
    for name in (uuid(TESTED), repositories.md5(picture(TESTED))):
        assert f"  erased (case {CASE}): " in merged.run("where", name).out
        assert json.loads(merged.run("where", name, "--format", "json").out)[0]["erased"] == [CASE]
    assert "  erased (" not in merged.run("where", uuid(3)).out
    done = merged.run("recall", uuid(TESTED), uuid(3), "--why", "the person asked")
    assert done.refused(f"1 image was erased (case {CASE})", "recall the others alone")
    assert git_in(merged.root, "status", "--short") == ""


def test_an_old_download_is_told_and_what_is_left_is_verified(merged: Desk, answer: Answer, tmp_path: Path) -> None:
    shutil.copytree(merged.root / PETS / "prepared", tmp_path / "old")
    assert delete(merged, answer, count_of(merged)).code == 0
    done = merged.run("verify", DATASET, str(tmp_path / "old"))
    assert done.code == 0, done.err
    assert f"{uuid(TESTED)}.jpg was erased (case {CASE}), as the law demands: delete it here, too" in done.err
    [image] = (tmp_path / "old").rglob(f"{uuid(TESTED)}.jpg")
    image.unlink()
    (tmp_path / "old/test/metadata.parquet").unlink()
    count = len([path for path in (tmp_path / "old").rglob("*") if path.is_file()])
    done = merged.run("verify", DATASET, str(tmp_path / "old"))
    assert done.code == 0, done.err
    assert f"{PETS}/prepared: {count} files intact, 2 erased, SHA-256 of {count} files as in the manifest\n" in done.out


def test_its_bytes_under_another_name_are_not_built(merged: Desk) -> None:
    merged.put(100, picture(TESTED))
    merged.select([*ROWS, released_photos.row(100, "cat")])
    assert merged.build().refused(f"{uuid(100)} (photos/{uuid(100)}.jpg): its bytes were erased under another UUID")


def test_a_clone_that_still_has_it_does_not_put_it_back(merged: Desk, answer: Answer) -> None:
    clone = repositories.other_clone(merged.root, merged.root.parent)
    shutil.copytree(merged.root / ".dvc/cache", clone / ".dvc/cache")
    assert delete(merged, answer, count_of(merged)).code == 0
    assert merged._run(clone, "fsck", "--all-tags", "--repair", "cache").code == 0
    for revision in ("HEAD", DATASET):
        assert merged._run(clone, "push", revision).code == 0
    for place in (staging(merged.root), production(merged.root)):
        assert not repositories.place(place, repositories.md5(picture(TESTED))).exists()


class Locked(Folder):
    """A place that holds its objects."""

    def erase(self, keys: Sequence[str]) -> None:
        raise StorageFailed(f"{self.url}: {len(keys)} objects are locked")


def test_a_place_that_fails_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    places = {"one": Folder(tmp_path / "one"), "two": Locked(tmp_path / "two"), "three": Folder(tmp_path / "three")}
    for place in places.values():
        place.put("files/md5/00/11", b"x")
    keys = dict.fromkeys(places, ("files/md5/00/11",))
    with pytest.raises(InvalidData, match=f"case {CASE} is not finished\n  two: .*: 1 objects are locked"):
        erase.delete(erase.Deletion(CASE, places, keys, dict.fromkeys(places, 1)))
    assert [place.has("files/md5/00/11") for place in places.values()] == [False, True, False]


KILLS = """
import os, signal, sys
from registry.cli import main
from registry.storage.local import Folder
left, plain = [int(sys.argv[1])], Folder.delete
def delete(self, keys):
    for key in keys:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        plain(self, [key])
Folder.delete = delete
sys.exit(main.run(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("deleted", [0, 1, 5, 10, 15, 18])
def test_killed_at_any_point_nothing_looks_lost_and_a_second_run_finishes(
    merged: Desk, answer: Answer, tmp_path: Path, deleted: int
) -> None:
    count, args = count_of(merged), ["erase", uuid(TESTED), "--case", CASE, "--delete"]
    (tmp_path / "typed").write_text(f"{CASE}\n{count}\n")
    script = [sys.executable, "-c", KILLS, str(deleted), *args]
    killed = repositories.sh(merged.root, "sh", "-c", 'exec "$@" < "$0"', str(tmp_path / "typed"), *script)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert merged.run("fsck", "--all-tags").code == 0
    assert merged.run("fsck", "--all-tags", "--repair", "mirror").code == 0
    assert count_of(merged) <= count
    done = delete(merged, answer, count_of(merged))
    assert done.code == 0, done.err
    assert files_about(merged.root, TESTED) == set()
