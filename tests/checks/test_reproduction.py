"""What a selection gives is recomputed: each way in which `prepared` can be something else is found."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest
import yaml

from registry.dataset import exports
from support import repositories
from support.repositories import PETS, Outcome, Run, git_in

ID = "datasets/pets"
CAT, DOG = (f"0a8c7f6e-0000-4000-8000-{number:012d}" for number in (1, 3))
OTHER = "0a8c7f6e-0000-4000-8000-0000000000ff"

MISCOUNTED = {"train": {"cat": 1, "dog": 2}, "val": {"cat": 1}, "test": {"dog": 1}}  # five images in all, as there are

Files = dict[str, bytes]  # of prepared, by path


def checked(root: Path, run: Run, *args: str) -> tuple[Outcome, list[str]]:
    """The outcome of `registry check`, and what [prepared] finds."""
    done = run(root, "check", *args, "--format", "json")
    found = json.loads(done.out)["findings"]
    return done, [f"{one['verdict']}: {one['message']}" for one in found if one["check"] == "prepared"]


def files_of(root: Path) -> Files:
    folder = root / ID / "prepared"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forge(root: Path, files: Mapping[str, bytes], counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
    """A list of files that DVC accepts, and a pointer whose numbers agree with it."""
    path = root / ID / "prepared.dvc"
    pointer = yaml.safe_load(path.read_text())
    pointer["outs"] = [repositories.folder_out(root, root / ID / "prepared", files)]
    images = [file.split("/") for file in files if not file.endswith("metadata.parquet")]
    counted: dict[str, dict[str, int]] = {}
    for split, label, _ in images:
        counted.setdefault(split, {}).setdefault(label, 0)
        counted[split][label] += 1
    pointer["meta"]["build"] |= {"images": len(images), "counts": dict(counts or counted)}
    repositories.write(path, pointer)


def leaked(files: Files) -> Files:
    return files | {f"train/dog/{OTHER}.jpg": PETS["test/dog/0a8c7f6e-0000-4000-8000-000000000005.jpg"]}


def without_one(files: Files) -> Files:
    return {path: data for path, data in files.items() if CAT not in path}


def moved(old: str, new: str) -> Callable[[Files], Files]:
    def move(files: Files) -> Files:
        return {(new if path == old else path): data for path, data in files.items()}

    return move


def with_another_table(files: Files) -> Files:
    return {path: data + b"x" if path.startswith("val/metadata") else data for path, data in files.items()}


def with_swapped_tables(files: Files) -> Files:
    [val], [test] = ([path for path in files if path.startswith(f"{split}/metadata")] for split in ("val", "test"))
    return files | {val: files[test], test: files[val]}


FORGED = {
    "leaked": (leaked, f"prepared lists 1 image not in the selection: train/dog/{OTHER}.jpg"),
    "left out": (without_one, f"1 image of the selection not in prepared: train/cat/{CAT}.jpg"),
    "relabelled": (
        moved(f"train/cat/{CAT}.jpg", f"train/dog/{CAT}.jpg"),
        f"prepared lists 1 image under another label than in the selection: train/dog/{CAT}.jpg",
    ),
    "moved": (
        moved(f"train/dog/{DOG}.jpg", f"test/dog/{DOG}.jpg"),
        f"prepared lists 1 image in another split than the split rule gives: test/dog/{DOG}.jpg",
    ),
    "ending": (
        moved(f"train/dog/{DOG}.jpg", f"train/dog/{DOG}.png"),
        f"prepared lists 1 image under another file name than `image` gives: train/dog/{DOG}.png",
    ),
    "table": (with_another_table, "prepared lists 1 metadata table with other content than the selection gives: val/"),
    "tables": (
        with_swapped_tables,
        "prepared lists 2 metadata tables with other content than the selection gives: test/",
    ),
}


@pytest.mark.parametrize("case", FORGED)
@pytest.mark.parametrize("scope", ["--all", "--staged", "--base=HEAD"])
def test_a_list_that_was_made_by_hand_is_wrong(case: str, scope: str, built_dataset: Path, run_registry: Run) -> None:
    change, message = FORGED[case]
    forge(built_dataset, change(files_of(built_dataset)))
    git_in(built_dataset, "add", "--all")
    done, found = checked(built_dataset, run_registry, scope)
    assert done.code == 1
    assert [one for one in found if one.startswith(f"wrong: {message}")], found


def test_an_honest_version_passes_in_every_scope(built_dataset: Path, run_registry: Run) -> None:
    (built_dataset / ID / "dataset.yaml").open("a").write("# a remark\n")
    for scope in ("--all", "--base=HEAD", "--staged"):
        assert checked(built_dataset, run_registry, scope)[1] == []


ANY: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {  # with keys of any ending
    "jpg": ({}, ()),
    "png and webp": ({f"train/cat/{CAT}.jpg": "png", f"train/dog/{DOG}.jpg": "webp"}, ()),
    "jpeg": ({f"train/dog/{DOG}.jpg": "jpeg"}, ()),
    "gif": (
        {f"train/dog/{DOG}.jpg": "gif"},
        (
            f"prepared lists 1 image under another file name than `image` gives: train/dog/{DOG}.gif",
            "prepared lists 1 metadata table with other content than the selection gives: train/metadata.parquet",
        ),
    ),
}


@pytest.mark.parametrize("endings", ANY)
@pytest.mark.parametrize("scope", ["--all", "--staged", "--base=HEAD"])
def test_keys_of_any_ending_are_recomputed(endings: str, scope: str, registry_repo: Path, run_registry: Run) -> None:
    changed, expected = ANY[endings]
    images = {path: data for path, data in PETS.items() if path not in changed}
    images |= {f"{path.removesuffix('jpg')}{new}": PETS[path] for path, new in changed.items()}
    repositories.dataset(registry_repo, "pets", images, "1.0.0", image="photos/{uuid}.*")
    git_in(registry_repo, "add", "--all")
    assert checked(registry_repo, run_registry, scope)[1] == [f"wrong: {message}" for message in expected]


def test_a_table_that_names_another_ending_than_the_list_is_wrong(registry_repo: Path, run_registry: Run) -> None:
    repositories.dataset(registry_repo, "pets", PETS, "1.0.0", image="{uuid}.*")
    files = files_of(registry_repo)
    forge(registry_repo, moved(f"train/cat/{CAT}.jpg", f"train/cat/{CAT}.png")(files))
    assert checked(registry_repo, run_registry)[1] == [
        "wrong: prepared lists 1 metadata table with other content than the selection gives: train/metadata.parquet"
    ]


def test_two_files_of_one_uuid_are_wrong(registry_repo: Path, run_registry: Run) -> None:
    repositories.dataset(registry_repo, "pets", PETS, "1.0.0", image="{uuid}.*")
    files = files_of(registry_repo)
    forge(registry_repo, files | {f"train/cat/{CAT}.png": b"another"})
    done, found = checked(registry_repo, run_registry)
    assert done.code == 1
    assert found == [f"wrong: prepared lists 1 image under another file name than `image` gives: train/cat/{CAT}.png"]
    assert f"1 image listed more than once: {CAT}" in done.out


def test_counts_that_were_edited_by_hand_are_wrong_although_their_sum_is_right(
    built_dataset: Path, run_registry: Run
) -> None:
    forge(built_dataset, files_of(built_dataset), MISCOUNTED)
    assert checked(built_dataset, run_registry)[1] == [
        "wrong: meta.build has other counts than the selection gives: train/cat, train/dog"
    ]


def test_a_pointer_of_a_release_whose_counts_were_edited_is_recomputed(released_model: Path, run_registry: Run) -> None:
    assert checked(released_model, run_registry)[1] == []
    forge(released_model, files_of(released_model), MISCOUNTED)
    for scope in ("--all", "--base=HEAD"):
        assert "other counts" in checked(released_model, run_registry, scope)[1][0]


@pytest.mark.parametrize(
    ("fact", "value"), [("rows", 6), ("rows_hash", "0" * 64), ("rows_hash", "")], ids=["rows", "hash", "empty"]
)
def test_facts_of_other_rows_are_wrong(fact: str, value: object, built_dataset: Path, run_registry: Run) -> None:
    path = built_dataset / ID / "raw.dvc"
    pointer = yaml.safe_load(path.read_text())
    pointer["meta"]["selection"][fact] = value
    repositories.write(path, pointer)
    assert checked(built_dataset, run_registry)[1] == [
        f"wrong: meta.selection is not that of the rows of the selection: {fact}"
    ]


def select(root: Path, rows: pl.DataFrame, **files: bytes) -> None:
    """Another selection, whose pointer agrees with it; `prepared.dvc` says that it was built from this one."""
    raw = repositories.folder_out(
        root, root / ID / "raw", {"selection.parquet": exports.write_selection(rows), **files}
    )
    path = root / ID / "raw.dvc"
    pointer = yaml.safe_load(path.read_text())
    pointer["outs"] = [raw]
    pointer["meta"]["selection"] |= {"rows": len(rows), "rows_hash": exports.rows_hash(rows)}
    repositories.write(path, pointer)
    prepared = yaml.safe_load((root / ID / "prepared.dvc").read_text())
    prepared["meta"]["build"]["selection"] = raw["md5"]
    repositories.write(root / ID / "prepared.dvc", prepared)


def selected(root: Path) -> pl.DataFrame:
    return pl.read_parquet(root / ID / "raw/selection.parquet")


def test_a_selection_that_was_exchanged_under_a_version_is_seen(built_dataset: Path, run_registry: Run) -> None:
    select(built_dataset, selected(built_dataset).head(4))
    first = checked(built_dataset, run_registry)[1][0]
    assert first.startswith("wrong: prepared lists 1 image not in the selection: test/dog/")


@pytest.mark.parametrize("case", ["another file", "a column less", "a class that is none", "no Parquet"])
def test_a_selection_that_is_none_is_wrong(case: str, built_dataset: Path, run_registry: Run) -> None:
    rows = selected(built_dataset)
    match case:
        case "another file":
            select(built_dataset, rows, **{"notes.txt": b"x"})
        case "a column less":
            select(built_dataset, rows.drop("batch"))
        case "a class that is none":
            select(built_dataset, rows.with_columns(label=pl.lit("fox")))
        case _:
            select(built_dataset, rows, **{"selection.parquet": b"rows"})
    done, found = checked(built_dataset, run_registry)
    assert [one.partition(":")[0] for one in found] == ["wrong"]
    assert "cannot be recomputed: " in found[0]
    assert done.code == 1


# --- what is in no store ----------------------------------------------------------------------------------------------


def lose(root: Path, name: str) -> None:
    """The `.dir` object of a pointer is in no store any more."""
    md5 = yaml.safe_load((root / ID / f"{name}.dvc").read_text())["outs"][0]["md5"]
    for store in (root / ".dvc/cache", repositories.staging(root)):
        repositories.place(store, md5).unlink()


@pytest.mark.parametrize("name", ["raw", "prepared"])
def test_a_version_that_cannot_be_recomputed_is_not_passed_in_silence(
    name: str, built_dataset: Path, run_registry: Run
) -> None:
    lose(built_dataset, name)
    [finding] = checked(built_dataset, run_registry)[1]
    assert finding.startswith(f"needs an owner: was not recomputed from the selection: {ID}/{name} (")
    [finding] = checked(built_dataset, run_registry, "--remote")[1]
    assert finding.startswith("wrong: was not recomputed from the selection: ")


def test_a_reviewer_without_the_data_recomputes_from_staging(
    merged_model: Path, tmp_path: Path, run_registry: Run
) -> None:
    files = files_of(merged_model)
    forge(merged_model, leaked(files))
    repositories.merge(merged_model, "a leak")
    other = repositories.other_clone(merged_model, tmp_path)
    shutil.rmtree(other / ".dvc/cache", ignore_errors=True)
    first = checked(other, run_registry, "--base=HEAD~1")[1][0]
    assert "not in the selection" in first


def test_a_table_of_the_same_rows_that_names_other_classes_is_another_one(built_dataset: Path) -> None:
    """Hugging Face takes the names of labels from the footer."""
    files = files_of(built_dataset)
    table = files["train/metadata.parquet"]
    swapped = table.replace(b'"names": ["cat", "dog"]', b'"names": ["dog", "cat"]')
    assert swapped != table
    forge(built_dataset, files | {"train/metadata.parquet": swapped})
    done = repositories.registry(built_dataset, "check")
    assert done.returncode == 1
    assert "1 metadata table" in done.stdout
