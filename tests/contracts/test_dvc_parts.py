"""What this project relies on in DVC where one pointer has several outputs, and a life of a dataset in parts."""

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.cli import main
from dvc.repo import Repo

import registry as api
from registry.cli import measuring
from registry.core import names
from registry.core.layout import SPLITS
from registry.dataset import build
from registry.integrations.git_trees import WorkTree
from registry.model import training_data
from registry.sync import inventory
from support import repositories
from support.dataset_builds import PETS, POINTER, Desk, row, uuid
from support.repositories import Outcome, git_in

IMAGES = 12
V1 = f"{PETS}@v1.0.0"
LAYOUT = "layout: {folders: 16}\n"


def command(root: Path, *args: str) -> Outcome:
    done = repositories.registry(root, *args)
    return Outcome(done.returncode, done.stdout, done.stderr)


def ready(root: Path, *args: str) -> str:
    done = command(root, *args)
    assert done.code == 0, done.err
    return done.out


def dvc(folder: Path, *args: str) -> int:
    return main(["--cd", str(folder), *args, "--quiet"])


def files(folder: Path) -> dict[str, str]:
    return {path: md5 for path, md5 in repositories.snapshot(folder).items() if not path.startswith(".")}


@pytest.fixture(scope="module")
def released(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose dataset is tracked in up to 16 folders a split, published as 1.0.0, its images in place."""
    root = tmp_path_factory.mktemp("parts") / "registry"
    shutil.copytree(_registry.parent, root.parent, symlinks=True, dirs_exist_ok=True)
    desk = Desk(root, command)
    (root / PETS / "dataset.yaml").write_text((root / PETS / "dataset.yaml").read_text() + LAYOUT)
    for number in range(IMAGES + 1):
        desk.put(number)
    desk.select([row(number) for number in range(IMAGES)])
    desk.built()
    repositories.write_limits(root / PETS)
    repositories.add_origin(root)
    repositories.commit(root, "datasets/pets 1.0.0")
    git_in(root, "push", "--quiet", "--set-upstream", "origin", "main")
    ready(root, "publish")
    ready(root, "pull")
    return root


@pytest.fixture
def clone(released: Path, tmp_path: Path) -> Path:
    """Another machine's clone, without any data."""
    return repositories.other_clone(released, tmp_path)


@pytest.fixture
def registry(released: Path, tmp_path: Path) -> Path:
    """A copy of the released registry, to change."""
    shutil.copytree(released.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / released.name


def outputs(root: Path) -> dict[str, dict[str, object]]:
    return {out["path"]: out for out in yaml.safe_load((root / POINTER).read_text())["outs"]}


# --- DVC --------------------------------------------------------------------------------------------------------------


def test_dvc_pulls_one_part_or_all_of_them(clone: Path, released: Path) -> None:
    part = f"{PETS}/{min(outputs(clone))}"
    assert dvc(clone, "pull", part) == 0
    assert files(clone / PETS / "prepared").keys() == {
        path for path in files(released / PETS / "prepared") if f"{PETS}/prepared/{path}".startswith(f"{part}/")
    }
    assert dvc(clone, "pull", f"{PETS}/prepared") != 0, "no output of that name"
    assert dvc(clone, "pull", POINTER) == 0
    assert files(clone / PETS / "prepared") == files(released / PETS / "prepared")


def test_what_the_registry_links_is_current_for_dvc(released: Path) -> None:
    with Repo(str(released)) as repo:
        assert repo.status() == {}
        assert not repo.data_status(granular=True)["uncommitted"]


def test_dvc_gets_and_imports_the_whole_a_part_and_a_folder_of_a_part(released: Path, tmp_path: Path) -> None:
    prepared = released / PETS / "prepared"
    part = min(outputs(released)).removeprefix("prepared/")
    inside = min(path for path in files(prepared) if path.startswith(f"{part}/") and path.endswith(".jpg"))
    label = inside.rpartition("/")[0]
    for number, path in enumerate(("", "/train", f"/{part}", f"/{label}")):
        out = ("--out", str(tmp_path / str(number)))
        assert dvc(tmp_path, "get", str(released), f"{PETS}/prepared{path}", "--rev", V1, *out) == 0
        assert files(tmp_path / str(number)) == files(prepared / path.removeprefix("/"))
    assert main(["--cd", str(tmp_path), "artifacts", "get", str(released), PETS, "--rev", "v1.0.0", "--quiet"]) == 0
    assert files(tmp_path / "prepared") == files(prepared)
    git_in(tmp_path, "init", "--quiet")
    assert dvc(tmp_path, "init") == 0
    for number, path in enumerate(("", f"/{part}")):
        arguments = (str(released), f"{PETS}/prepared{path}", "--rev", V1, "--out", f"imported{number}")
        assert dvc(tmp_path, "import", *arguments) == 0
        assert files(tmp_path / f"imported{number}") == files(prepared / path.removeprefix("/"))
        verified = ready(tmp_path, "verify", V1, f"imported{number}.dvc", "--repo", str(released))
        assert f"{len(files(prepared / path.removeprefix('/')))} files intact" in verified


def test_the_lock_of_what_is_made_of_it_has_the_md5_of_one_list(registry: Path) -> None:
    stage = {"cmd": "echo learnt > model.onnx", "deps": ["../../datasets/pets/prepared"], "outs": ["model.onnx"]}
    repositories.write(registry / "models/pets/dvc.yaml", {"stages": {"train": stage}})
    assert dvc(registry, "repro", "models/pets/dvc.yaml") == 0
    [locked] = yaml.safe_load((registry / "models/pets/dvc.lock").read_text())["stages"]["train"]["deps"]
    pointer = yaml.safe_load((registry / POINTER).read_text())
    assert locked["md5"] == pointer["meta"]["build"]["whole"]
    assert locked["size"] == sum(out["size"] for out in pointer["outs"])
    assert locked["nfiles"] == sum(out["nfiles"] for out in pointer["outs"])
    needed = inventory.read_tracked(WorkTree(registry), names.parse_id("models/pets")).inputs
    assert [output.md5 for output in needed] == [out["md5"] for out in pointer["outs"]]


# --- the registry -----------------------------------------------------------------------------------------------------


def test_an_image_more_rewrites_one_part(registry: Path) -> None:
    desk, before = Desk(registry, command), outputs(registry)
    desk.select([row(number) for number in range(IMAGES + 1)])
    desk.built()
    after = outputs(registry)
    [changed] = [path for path in after if after[path] != before.get(path)]
    ready(registry, "pull")
    assert [*(registry / PETS / changed).rglob(f"{uuid(IMAGES)}.jpg")]
    assert "1 image was added. An addition is minor" in ready(registry, "diff")
    done = command(registry, "check", "--all", "--remote")
    assert "expected at least 1.1.0" in done.out
    assert "1 wrong" in done.out


def test_another_layout_is_a_minor_version_with_the_same_images(registry: Path) -> None:
    desk, manifest, prepared = Desk(registry, command), registry / PETS / "dataset.yaml", registry / PETS / "prepared"
    in_parts = files(prepared)
    manifest.write_text(manifest.read_text().replace(LAYOUT, "").replace("version: 1.0.0", "version: 1.1.0"))
    assert "or layout changed in dataset.yaml" in command(registry, "check", "--all").out
    desk.built()
    change = ready(registry, "diff")
    assert "the layout changed. Other folders are minor: the images are the same; the version bump is minor" in change
    assert "added" not in change
    ready(registry, "check", "--fix", "--all", "--remote")
    ready(registry, "pull")
    assert files(prepared) == desk.files()
    repositories.commit(registry, "one folder")
    for commit, expected in (("HEAD~1", in_parts), ("main", desk.files())):  # files of the other layout are gone
        git_in(registry, "checkout", "--quiet", commit)
        ready(registry, "checkout")
        assert files(prepared) == expected


def test_a_consumer_gets_a_release_in_parts(released: Path, tmp_path: Path) -> None:
    prepared = files(released / PETS / "prepared")
    opened = api.open(PETS, "v1.0.0", repo=str(released), folder=tmp_path / "all")
    assert files(opened.path) == prepared
    assert sorted(opened.table["file_name"]) == sorted(path for path in prepared if path.endswith(".jpg"))
    assert sorted(image.uuid for image in opened.images()) == sorted(opened.table["uuid"])
    assert "intact" in ready(tmp_path, "verify", V1, "all", "--repo", str(released))
    assert ready(released, "where", uuid(3)).splitlines()[1].split()[0] == V1
    ready(released, "export", V1, "--shards", "--out", str(tmp_path / "shards"))
    proven = ready(tmp_path, "verify", V1, "shards", "--repo", str(released))
    assert f"with {IMAGES} images intact" in proven


def test_what_is_lost_of_all_parts_is_told_on_one_line(registry: Path) -> None:
    for folder in (".dvc/cache", ".registry/staging", ".registry/production"):
        shutil.rmtree(registry / folder, ignore_errors=True)
        (registry / folder).mkdir()
    done = command(registry, "pull")
    lost = [line for line in done.err.splitlines() if line.startswith(f"  {PETS}: ")]
    assert [line.split(", ")[0] for line in lost] == [
        f"  {PETS}: {len(outputs(registry))} missing",
        f"  {PETS}: 1 missing",
    ]


def test_a_training_and_a_measurement_read_the_images_of_all_parts(released: Path) -> None:
    for split in SPLITS:
        folder = released / PETS / "prepared" / split
        expected = sorted(path.stem for path in folder.rglob("*.jpg"))
        assert sorted(path.stem for path in training_data.open_folder(folder).paths) == expected
        assert measuring.find_images(folder).sort("uuid")["uuid"].to_list() == expected


def test_more_images_than_one_list_takes_need_a_layout(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, before = registry / PETS / "dataset.yaml", (registry / POINTER).read_bytes()
    manifest.write_text(manifest.read_text().replace(LAYOUT, ""))
    monkeypatch.setattr(build, "MOST_IN_ONE_FOLDER", IMAGES - 1)
    done = command(registry, "build", PETS)
    assert done.code == 1
    assert f"{PETS}: {IMAGES} images are too many for one folder; the limit is {IMAGES - 1}" in done.err
    [step] = [line for line in done.err.splitlines() if line.startswith("  hint: write ")]
    manifest.write_text(manifest.read_text() + step.removeprefix("  hint: write ").partition(" in ")[0] + "\n")
    assert (registry / POINTER).read_bytes() == before
    ready(registry, "build", PETS)
    assert len(outputs(registry)) == IMAGES


# --- what others could write ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("prepared/train/", "prepared/other/", "outs"),
        ("path: prepared/train/", "path: prepared/train/0", "prefixes of several lengths"),
        ("  whole: ", "  whole: 1", "whole"),
    ],
)
def test_a_pointer_in_another_form_is_wrong(registry: Path, old: str, new: str, fault: str) -> None:
    pointer = registry / POINTER
    pointer.write_text(pointer.read_text().replace(old, new, 1))
    done = command(registry, "check", "--all")
    assert done.code == 1
    assert fault in done.out


def test_the_md5_of_the_whole_is_recomputed(registry: Path) -> None:
    pointer = registry / POINTER
    whole = yaml.safe_load(pointer.read_text())["meta"]["build"]["whole"]
    pointer.write_text(pointer.read_text().replace(whole, f"{'0' * 32}.dir"))
    done = command(registry, "check", "--all")
    assert done.code == 1
    assert f"{POINTER}: wrong: meta.build.whole is not the md5 that DVC gives prepared" in done.out
