"""The whole demo on a few pictures: two releases, the first one restored, a consumer."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from registry.demo import pictures, story

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def album(tmp_path: Path) -> pictures.Album:
    """Two classes of 100 pictures; one is empty and one is there twice."""
    top = tmp_path / "pets"
    for label, colour in (("cat", 40), ("dog", 200)):
        (top / label).mkdir(parents=True)
        for number in range(100):
            Image.new("RGB", (30 + number, 40), (colour, number * 2, 90)).save(top / label / f"{number}.jpg")
    (top / "cat" / "empty.jpg").touch()
    (top / "dog" / "again.jpg").write_bytes((top / "dog" / "7.jpg").read_bytes())
    found = pictures.folder(top)
    params = {("epochs",): 6, ("width",): 8, ("image_size",): 16}
    return pictures.Album(found.name, found.title, found.description, found.license, params, found.pictures)


def test_the_demo_runs(album: pictures.Album, tmp_path: Path, capfd) -> None:
    scene = story.Scene(PROJECT, tmp_path / "demo", album, str(tmp_path / "bucket"), str(tmp_path / "lake"))
    scene.top.mkdir()
    story.run_all(scene)
    printed, _ = capfd.readouterr()
    assert "cannot be used" in printed or "--exclude-faulty" in printed
    assert "expected at least 2.0.0: 6 images were removed (a removal is major)" in printed
    assert "identical to v1.0.0" in printed
    assert f"trained again, v1.0.0 has the same metrics: accuracy {scene.metrics['accuracy']}" in printed
    tags = subprocess.run(["git", "-C", scene.origin, "tag"], capture_output=True, text=True, check=True).stdout.split()
    assert tags == [f"{kind}/cat_dog@v{version}.0.0" for kind in ("datasets", "models") for version in (1, 2)]
    status = subprocess.run(["git", "-C", scene.clone, "status", "--porcelain"], capture_output=True, check=True)
    assert status.stdout == b""
    report = json.loads((scene.report / "report.json").read_bytes())
    assert report["verdict"] != "blocked", report["findings"]
    assert report["headline"] in printed
    assert [one["id"] for one in (*report["datasets"], *report["models"])] == ["datasets/cat_dog", "models/cat_dog"]
    assert (tmp_path / "demo" / "consumer" / "v1" / "train" / "metadata.csv").is_file()
