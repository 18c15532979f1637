"""`registry adopt` of folders: from images in class folders to a dataset that is checked, published and fetched."""

import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from registry.core.adoption import uuid_of
from support import adoption, repositories
from support.adoption import PETS, fill, picture
from support.repositories import Outcome, Run, git_in, md5

WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
DATASET = "datasets/pets"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of sixteen photos in splits of class folders."""
    return fill(tmp_path / "photos", PETS)


def adopt(run: Run, root: Path, source: Path | str, *args: str) -> Outcome:
    done = run(root, "adopt", DATASET, "--from", str(source), *WORDS, *args)
    assert done.code == 0, done.out + done.err
    return done


def manifest(root: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((root / DATASET / "dataset.yaml").read_text())
    return found


def checks(run: Run, root: Path, *args: str) -> None:
    done = run(root, "check", *(args or ("--all",)))
    assert done.code == 0, done.out + done.err


# --- what is made -----------------------------------------------------------------------------------------------------


def test_a_folder_becomes_a_version_with_its_splits_as_given(
    registry_repo: Path, run_registry: Run, photos: Path
) -> None:
    done = adopt(run_registry, registry_repo, photos)
    assert adoption.images(registry_repo) == adoption.expected(PETS)
    made = manifest(registry_repo)
    assert made["source"] == {"adopted": {"from": "photos"}}  # and no path of this machine
    assert "image" not in made
    assert made["split"] == {
        "salt": "pets", "ratios": {"train": 0.5, "val": 0.25, "test": 0.25}, "given": "given_split",
    }  # fmt: skip
    rows = adoption.selection(registry_repo).sort("file")
    assert rows["file"].to_list() == sorted(PETS)
    assert rows["md5"].to_list() == [md5(PETS[path]) for path in sorted(PETS)]
    assert rows["uuid"].to_list() == [uuid_of(md5(PETS[path])) for path in sorted(PETS)]
    assert rows["bytes"].to_list() == [len(PETS[path]) for path in sorted(PETS)]
    assert "16 images: 16 validated as they were taken\n" in done.out
    checks(run_registry, registry_repo)
    checks(run_registry, registry_repo, "--all", "--remote", "--images")


def test_from_a_folder_to_what_a_consumer_fetches(
    registry_repo: Path, run_registry: Run, photos: Path, tmp_path: Path
) -> None:
    adopt(run_registry, registry_repo, photos)
    shutil.rmtree(photos)
    assert run_registry(registry_repo, "check", "--fix").code == 0
    repositories.commit(registry_repo, "pets")
    repositories.add_origin(registry_repo)
    git_in(registry_repo, "push", "--quiet", "--set-upstream", "origin", "main")
    done = run_registry(registry_repo, "publish")
    assert done.code == 0, done.out + done.err
    adoption.without(registry_repo, ".registry/staging", ".dvc/cache")
    adoption.dvc(tmp_path, "artifacts", "get", str(registry_repo), DATASET, "--rev", "v1.0.0", "--out", "got")
    got = {path.relative_to(tmp_path / "got").as_posix(): path.read_bytes() for path in (tmp_path / "got").rglob("*.*")}
    assert {path: md5(data) for path, data in got.items()} == _released(registry_repo)
    assert {md5(data) for path, data in got.items() if path.endswith(".jpg")} == {md5(data) for data in PETS.values()}
    for command in ("pull", "fsck --deep", "gc --plan", f"diff HEAD~1 HEAD {DATASET}", f"build {DATASET}",
                    "report --base HEAD~1", f"withdraw {DATASET} 1.0.0 --why bad"):  # fmt: skip
        done = run_registry(registry_repo, *command.split())
        assert done.code == 0, f"{command}: {done.out}{done.err}"


def _released(root: Path) -> dict[str, str]:
    shutil.copytree(root / ".registry/production", root / ".registry/staging", dirs_exist_ok=True)
    return adoption.listed(root)


def test_without_splits_the_rule_assigns(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    files = {f"{label}/{number}.png": picture(number + 50 * (label == "dog"), "PNG") for label in ("cat", "dog")
             for number in range(30)}  # fmt: skip
    adopt(run_registry, registry_repo, fill(tmp_path / "flat", files))
    made = manifest(registry_repo)
    assert made["split"] == {"salt": "pets", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}}
    assert "given_split" not in adoption.selection(registry_repo).columns
    assert sum(map(len, adoption.images(registry_repo).values())) == 60
    checks(run_registry, registry_repo)


def test_a_file_that_is_named_by_a_uuid_keeps_it(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    uuid = "0A8C7F6E-0000-4000-8000-{:012X}"
    files = {
        f"cat/{uuid.format(1)}.jpg": picture(1), f"dog/{uuid.format(2)}.jpg": picture(2), "dog/3.jpg": picture(3),
        f"cat/{uuid.format(4)}.jpg": picture(4), f"dog/{uuid.format(4)}.png": picture(5, "PNG"),
    }  # fmt: skip
    done = adopt(run_registry, registry_repo, fill(tmp_path / "named", files))
    assert "UUIDs: 2 as in the source, 3 made of the bytes" in done.out
    assert "2 files share a UUID with another one" in done.out
    uuids = dict(adoption.selection(registry_repo).select("file", "uuid").rows())
    assert uuids[f"cat/{uuid.format(1)}.jpg"] == uuid.format(1).lower()
    assert uuids[f"cat/{uuid.format(4)}.jpg"] == uuid_of(md5(picture(4)))
    assert len(set(uuids.values())) == 5


def test_columns_of_a_table_and_its_labels(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    lines = "".join(f"{number}.jpg,{'cat' if number % 2 else 'dog'},{number},cam {number % 2}\n" for number in range(8))
    files = {
        **{f"{split}/{number}.jpg": picture(number + 8 * place) for place, split in enumerate(("train", "test"))
           for number in range(8)},
        **{f"{split}/metadata.csv": f"file_name,label,age,Camera\n{lines}".encode() for split in ("train", "test")},
    }  # fmt: skip
    done = adopt(run_registry, registry_repo, fill(tmp_path / "hub", files))
    assert "columns: age (integer), camera (string)" in done.out
    made = manifest(registry_repo)
    assert made["columns"]["age"] == {"type": "integer"}  # type: ignore[index]
    assert made["columns"]["camera"] == {"from": "Camera", "type": "string"}  # type: ignore[index]
    rows = adoption.selection(registry_repo)
    assert set(rows.select("label", "age").rows()) == {("cat" if number % 2 else "dog", number) for number in range(8)}
    table = adoption.listed(registry_repo)["test/metadata.parquet"]
    read = pl.read_parquet(repositories.place(registry_repo / ".registry/staging", table))
    assert (read.schema["age"], len(read)) == (pl.Int64(), 8)
    checks(run_registry, registry_repo)


# --- what is not adopted ----------------------------------------------------------------------------------------------


def test_what_is_not_adopted_is_told_with_the_reason(
    registry_repo: Path, run_registry: Run, photos: Path, tmp_path: Path
) -> None:
    odd = {
        "train/cat/.DS_Store": b"x", "train/cat/Thumbs.db": b"x", "notes.txt": b"x", "train/cat/x.heic": b"x",
        "train/cat/empty.jpg": b"", "train/cat/torn.jpg": picture(90)[:300], "train/cat/named.jpg": picture(91, "PNG"),
        "train/dog/again.jpg": PETS["train/dog/4.jpg"], "test/cat/again.jpg": PETS["train/cat/0.jpg"],
        "train/cat/both.jpg": picture(92), "test/dog/both.jpg": picture(92),
    }  # fmt: skip
    fill(photos, odd)
    (photos / "train/cat/out.jpg").symlink_to(fill(tmp_path, {"secret.jpg": picture(99)}) / "secret.jpg")
    (photos / "train/cat/lost.jpg").symlink_to("nowhere")
    (photos / "train/cat/loop").symlink_to(photos)
    (photos / "train/cat/here.jpg").symlink_to("../dog/4.jpg")
    done = adopt(run_registry, registry_repo, photos)
    for line in (
        "not adopted: 1 file, hidden file: train/cat/.DS_Store",
        "not adopted: 2 files, no image by its name: notes.txt, train/cat/Thumbs.db",
        "not adopted: 1 file, HEIC: convert it to JPEG, PNG or WebP: train/cat/x.heic",
        "not adopted: 1 file, empty file: train/cat/empty.jpg",
        "not adopted: 1 file, a link out of the folder: train/cat/out.jpg",
        "not adopted: 1 file, a link to nothing: train/cat/lost.jpg",
        "not adopted: 1 file, a link to a folder: train/cat/loop",
        "2 images were in several splits: kept in test before val before train",
        "excluded: 1 image, expected JPEG, found PNG: change its extension: train/cat/named.jpg",
    ):
        assert line in done.out, done.out
    reasons = manifest(registry_repo)["exclude"]
    assert reasons == {
        uuid_of(md5(picture(90)[:300])): "truncated: the file ends before its image",
        uuid_of(md5(picture(91, "PNG"))): "expected JPEG, found PNG: change its extension",
        uuid_of(md5(picture(92))): "identical to train/cat/both.jpg, whose label is cat",
        uuid_of(md5(PETS["train/dog/4.jpg"])): "identical to train/dog/4.jpg, whose label is dog",
    }
    made = adoption.images(registry_repo)
    assert md5(PETS["train/cat/0.jpg"]) in made["test", "cat"]
    assert md5(PETS["train/cat/0.jpg"]) not in made["train", "cat"]
    checks(run_registry, registry_repo)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.txt": b"x"}, ("no JPEG, PNG or WebP",)),
        ({"Cat/1.jpg": picture(1), "cat/2.jpg": picture(2)}, ("differ only in case", "--class 'cat=Cat'")),
        ({"cat/1.jpg": picture(1), "dog/old/2.jpg": picture(2)}, ("at several depths", "dog/old/2.jpg")),
        ({"cat/1.jpg": b""}, ("no image that can be adopted: empty file",)),
        ({"cat/1.jpg": b"torn", "dog/2.jpg": picture(1)[:99]}, ("no image of the source can be adopted",)),
        ({"1.jpg": picture(1)}, ("no image has a label", "file_name and label")),
        ({"1.jpg": picture(1), "metadata.csv": b"file_name\n1.jpg\n"}, ("no image has a label",)),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_dataset_is_refused_and_nothing_is_written(
    registry_repo: Path, run_registry: Run, tmp_path: Path, files: dict[str, bytes], words: tuple[str, ...]
) -> None:
    done = run_registry(registry_repo, "adopt", DATASET, "--from", str(fill(tmp_path / "odd", files)), *WORDS)
    assert done.refused(*words), done.err
    assert git_in(registry_repo, "status", "--short") == ""


def test_a_choice_puts_two_folders_into_one_class(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    files = {"Cat/1.jpg": picture(1), "cat/2.jpg": picture(2), "käse/3.jpg": picture(3)}
    done = adopt(run_registry, registry_repo, fill(tmp_path / "odd", files), "--class", "cat=Cat")
    assert "class 'käse' is called kase; --class 'käse=NAME' for another name" in done.out
    assert manifest(registry_repo)["classes"] == ["Cat", "kase"]
    done = run_registry(registry_repo, "adopt", "datasets/other", "--from", str(tmp_path / "odd"), "--class", "cat")
    assert (done.code, "expected FOLDER=CLASS" in done.err) == (1, True)


def test_a_folder_that_is_taken_for_the_only_class_is_told(
    registry_repo: Path, run_registry: Run, tmp_path: Path
) -> None:
    files = {"images/train/1.jpg": picture(1), "images/val/2.jpg": picture(2), "labels/train/1.txt": b"0 0.5 0.5 1 1"}
    done = adopt(run_registry, registry_repo, fill(tmp_path / "yolo", files), "--dry-run")
    assert "note: all images are of one class, images; expected CLASS/FILE or SPLIT/CLASS/FILE" in done.out


def test_a_dry_run_says_the_same_and_writes_nothing(registry_repo: Path, run_registry: Run, photos: Path) -> None:
    dry = adopt(run_registry, registry_repo, photos, "--dry-run")
    assert git_in(registry_repo, "status", "--short", "--ignored") == ""
    assert adopt(run_registry, registry_repo, photos).out.startswith(dry.out)


# --- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lost",
    [
        (f"{DATASET}/prepared.dvc",),
        (f"{DATASET}/raw.dvc", f"{DATASET}/prepared.dvc"),
        (f"{DATASET}/raw", f"{DATASET}/raw.dvc", f"{DATASET}/prepared.dvc", f"{DATASET}/.gitignore"),
        (f"{DATASET}/README.md", f"{DATASET}/dataset.yaml", f"{DATASET}/raw.dvc", f"{DATASET}/prepared.dvc"),
        (DATASET, ".registry/staging/files"),
    ],
)
def test_what_was_interrupted_is_finished_by_the_same_command(
    registry_repo: Path, run_registry: Run, photos: Path, lost: tuple[str, ...]
) -> None:
    adopt(run_registry, registry_repo, photos)
    whole = (registry_repo / DATASET / "prepared.dvc").read_bytes()
    adoption.without(registry_repo, *lost)
    adopt(run_registry, registry_repo, photos)
    assert (registry_repo / DATASET / "prepared.dvc").read_bytes() == whole
    checks(run_registry, registry_repo)


def test_a_later_state_of_the_source_keeps_what_people_wrote(
    registry_repo: Path, run_registry: Run, photos: Path
) -> None:
    adopt(run_registry, registry_repo, photos)
    assert run_registry(registry_repo, "check", "--fix").code == 0
    repositories.commit(registry_repo, "pets")
    path = registry_repo / DATASET / "dataset.yaml"
    path.write_text(path.read_text().replace("Cats and dogs.", "Our cats and dogs.").replace("1.0.0", "1.1.0"))
    fill(photos, {"train/bird/1.jpg": picture(70), "train/bird/2.jpg": picture(71), "test/bird/3.jpg": picture(72)})
    fill(photos, {"val/bird/4.jpg": picture(73)})
    adopt(run_registry, registry_repo, photos)
    made = manifest(registry_repo)
    assert made["description"] == "Our cats and dogs."
    assert made["classes"] == ["cat", "dog", "bird"]
    assert len(adoption.selection(registry_repo)) == len(PETS) + 4
    checks(run_registry, registry_repo)


def test_another_source_is_no_later_state(registry_repo: Path, run_registry: Run, photos: Path, tmp_path: Path) -> None:
    adopt(run_registry, registry_repo, photos)
    other = fill(tmp_path / "other", {"cat/1.jpg": picture(1)})
    done = run_registry(registry_repo, "adopt", DATASET, "--from", str(other), *WORDS)
    assert done.refused("datasets/pets exists already, and is not adopted from other"), done.err
    repositories.dataset(registry_repo, "own", repositories.PETS, "1.0.0")
    done = run_registry(registry_repo, "adopt", "datasets/own", "--from", str(other), *WORDS)
    assert done.refused("datasets/own exists already, and is not adopted from other"), done.err


@pytest.mark.parametrize("command", ["select", "refresh"])
def test_commands_on_queries_name_the_command_that_adopts(
    registry_repo: Path, run_registry: Run, photos: Path, command: str
) -> None:
    adopt(run_registry, registry_repo, photos)
    done = run_registry(registry_repo, command, DATASET)
    assert done.refused("the source is no query", "registry adopt datasets/pets --from FOLDER"), done.err


# --- promises ---------------------------------------------------------------------------------------------------------


def test_images_that_no_store_has_are_named(registry_repo: Path, run_registry: Run, photos: Path) -> None:
    adopt(run_registry, registry_repo, photos)
    lost = md5(PETS["train/cat/0.jpg"])
    repositories.place(registry_repo / ".registry/staging", lost).unlink()
    done = run_registry(registry_repo, "build", DATASET)
    assert done.refused("1 image in neither staging nor production: train/cat/0.jpg", "registry adopt"), done.err


def test_a_given_split_is_frozen(registry_repo: Path, run_registry: Run, photos: Path) -> None:
    adopt(run_registry, registry_repo, photos)
    assert run_registry(registry_repo, "check", "--fix").code == 0
    repositories.commit(registry_repo, "pets")
    repositories.add_origin(registry_repo)
    git_in(registry_repo, "push", "--quiet", "--set-upstream", "origin", "main")
    assert run_registry(registry_repo, "publish").code == 0
    (photos / "test/cat/moved.jpg").write_bytes((photos / "train/cat/0.jpg").read_bytes())
    (photos / "train/cat/0.jpg").unlink()
    path = registry_repo / DATASET / "dataset.yaml"
    path.write_text(path.read_text().replace("1.0.0", "2.0.0"))
    adopt(run_registry, registry_repo, photos)
    done = run_registry(registry_repo, "check", "--all")
    assert "1 image moved to another split, but the split rule did not change" in done.out + done.err


def test_faulty_images_that_were_not_read_are_found_and_excluded_later(
    registry_repo: Path, run_registry: Run, photos: Path
) -> None:
    """As after a copy inside a service, which reads nothing: the image is stored, and not validated."""
    adopt(run_registry, registry_repo, photos)
    adoption.replace_image(registry_repo, "train/cat/0.jpg", picture(5)[:200])
    done = run_registry(registry_repo, "build", DATASET)
    assert "1 image was taken as they are and not validated" in done.out, done.out + done.err
    done = run_registry(registry_repo, "check", "--all", "--images")
    assert "1 image failed validation" in done.out + done.err
    done = run_registry(registry_repo, "build", DATASET, "--exclude-faulty")
    assert done.code == 0, done.err
    checks(run_registry, registry_repo, "--all", "--images")


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("md5", "0" * 31, "1 row: md5 is not an MD5"),
        ("md5", md5(PETS["train/cat/1.jpg"]), "2 rows: md5 is that of another row too"),
        ("file", "train/cat/1.jpg", "2 rows: file is that of another row too"),
        ("file", "train/cat/0.gif", "1 row: file has not the extension"),
        ("bytes", -1, "1 row: bytes is negative"),
        ("given_split", "training", "given_split is 'training', expected train, val, test"),
    ],
)
def test_a_selection_that_cannot_be_one_is_refused(
    registry_repo: Path, run_registry: Run, photos: Path, column: str, value: object, fault: str
) -> None:
    adopt(run_registry, registry_repo, photos)
    adoption.change_row(registry_repo, "train/cat/0.jpg", **{column: value})
    done = run_registry(registry_repo, "build", DATASET)
    assert done.refused("the selection does not match dataset.yaml", fault), done.err


def test_a_version_with_other_bytes_than_its_rows_is_wrong(
    registry_repo: Path, run_registry: Run, photos: Path
) -> None:
    adopt(run_registry, registry_repo, photos)
    version = registry_repo / DATASET / "prepared.dvc"
    before = yaml.safe_load(version.read_text())
    adoption.change_row(registry_repo, "train/cat/0.jpg", md5=md5(picture(80)), bytes=len(picture(80)))
    repositories.write_bytes(repositories.place(registry_repo / ".registry/staging", md5(picture(80))), picture(80))
    assert run_registry(registry_repo, "build", DATASET).code == 0
    after = yaml.safe_load(version.read_text())
    version.write_text(yaml.safe_dump({**before, "meta": after["meta"]}, sort_keys=False))
    done = run_registry(registry_repo, "check", "--all")
    assert "prepared lists 1 image with other bytes than the selection says" in done.out + done.err
