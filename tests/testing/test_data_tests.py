"""The fixtures for tests of a registry's own data, and the tests of docs/data-tests.md: each passes, and can fail."""

import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from registry.core.adoption import uuid_of
from support import adoption, repositories, threshold_models
from support.repositories import git_in

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
COUNTS = {"train": 4, "val": 2, "test": 4}
CAMERAS = {"train": "front", "val": "back", "test": "roof"}
OF_PREDICTIONS = ["uuid", "label", "predicted", "score", "own_score"]

OWN = f"""
from PIL import Image


def test_predictions(judge):
    found = judge()
    assert found.predictions.columns == {OF_PREDICTIONS}
    assert found.metrics["accuracy"] == (found.predictions["label"] == found.predictions["predicted"]).mean()
    assert len(found.predictions) == {2 * COUNTS["test"]}
    assert judge() is found


def test_predictions_of_a_folder(judge, tmp_path):
    for name, level in (("dark", 20), ("bright", 220)):
        (tmp_path / "dog").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (level, 0, 0)).save(tmp_path / f"dog/{{name}}.png")
    rows = judge(tmp_path).predictions.sort("uuid").select("uuid", "label", "predicted").rows()
    assert rows == [("bright", "dog", "dog"), ("dark", "dog", "cat")]


def test_a_release(items, released):
    assert items.columns == released.columns
"""


def picture(level: int, number: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (8 + number, 8), (level, 0, number)).save(out, "PNG")
    return out.getvalue()


def sources(cameras: dict[str, str], more_cats: int = 0, moved: tuple[str, str] | None = None) -> dict[str, bytes]:
    """A Hugging Face imagefolder: dark cats and bright dogs with the cameras of their splits."""
    files, rows = dict[str, bytes](), ["file_name,label,camera"]
    for place, (split, count) in enumerate(COUNTS.items()):
        for label, level in (("cat", 60), ("dog", 180)):
            number = count + (more_cats if (split, label) == ("train", "cat") else 0)
            for index in range(number):
                name = f"{split}/{label} {index}.png"
                files[name] = picture(level + 2 * index, place)
                said = moved[1] if moved and moved[0] == name else label
                rows.append(f"{name},{said},{cameras[split]}")
    return {**files, "metadata.csv": "\n".join(rows).encode()}


def make(root: Path, photos: Path, limit: int) -> None:
    done = repositories.registry(root, "adopt", "datasets/pets", "--from", str(photos), *WORDS)
    assert done.returncode == 0, done.stderr
    assert repositories.registry(root, "pull", "datasets/pets").returncode == 0
    threshold_models.put_model(root, limit)


def put_tests(root: Path) -> None:
    """What a copy of the template begins with."""
    copied = ROOT / "scripts/registry/scaffold/templates/copy"
    for name in ("pytest.ini", "tests/test_data.py"):
        repositories.write_bytes(root / name, (copied / name).read_bytes())


@pytest.fixture(scope="session")
def sound(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the tests of the page, in which all of them pass; `datasets/pets` 1.0.0 is released."""
    folder = tmp_path_factory.mktemp("tested")
    root = folder / "registry"
    shutil.copytree(_registry, root, symlinks=True)
    make(root, adoption.fill(folder / "photos", sources(CAMERAS)), 120)
    put_tests(root)
    blocks = BLOCK.findall((ROOT / "docs/data-tests.md").read_text())
    (root / "tests/test_page.py").write_text("\n\n".join(blocks))
    (root / "tests/test_own.py").write_text(OWN)
    repositories.commit(root, "pets")
    git_in(root, "tag", "--annotate", "--message", "pets", "datasets/pets@v1.0.0")
    return root


def run(root: Path) -> str:
    """What pytest prints, as in CI, where no line of its summary is cut off."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    clean["CI"] = "true"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=root, env=clean, capture_output=True, text=True, check=False).stdout


def test_the_tests_of_the_page_pass(sound: Path) -> None:
    said = run(sound)
    assert "11 passed" in said.splitlines()[-1], said


def test_without_artifacts_there_is_nothing_to_test(registry_repo: Path) -> None:
    put_tests(registry_repo)
    said = run(registry_repo)
    assert "there is no dataset here yet" in said, said
    assert "there is no model here yet" in said, said


def test_each_finds_its_fault_and_says_it_in_one_line(sound: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "registry", symlinks=True))
    faulty = sources({**CAMERAS, "test": "front"}, more_cats=9, moved=("train/dog 0.png", "cat"))
    make(root, adoption.fill(tmp_path / "photos", faulty), 61)
    said = run(root)
    relabelled = uuid_of(repositories.md5(sources(CAMERAS)["train/dog 0.png"]))
    assert sorted(line for line in said.splitlines() if line.startswith("FAILED")) == [
        f"FAILED tests/test_page.py::{test} - AssertionError: {message}" for test, message in (
            ("test_labels_are_those_of_the_release[datasets/pets]",
             f"images with another label than in the release: 1, such as ['{relabelled}']"),
            ("test_no_camera_is_in_several_splits[datasets/pets]",
             "cameras in several splits: 1, such as ['front']"),
            ("test_no_class_is_three_times_another[datasets/pets]",
             "train has 14 images of cat, and 3 of dog"),
            ("test_the_model_holds_on_each_camera[models/pets]",
             "accuracy 62.5% on 8 test images of camera front, expected 80 %"),
        )
    ]  # fmt: skip
