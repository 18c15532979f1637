"""The whole demo on a few pictures: three releases, the first one restored, a consumer."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from registry.demo import pictures, story
from registry.demo.scene import Scene
from support import copies, odd_folders
from support.odd_images import ODD

pytestmark = pytest.mark.slow


@pytest.fixture
def album(tmp_path: Path) -> pictures.Album:
    """Two classes of 130 pictures and more, of three formats, among files of all other kinds."""
    top = tmp_path / "pets"
    odd_folders.make(top)
    for label, colour in (("cat", 40), ("dog", 200)):
        for number in range(100):
            Image.new("RGB", (30 + number, 40), (colour, number * 2, 90)).save(top / label / f"plain {number}.jpg")
    (top / "cat" / "empty.jpg").touch()
    (top / "dog" / "again.jpg").write_bytes((top / "dog" / "plain 7.jpg").read_bytes())
    found = pictures.folder(top)
    assert found.name == "cat_dog"
    params = {("epochs",): 6, ("width",): 8, ("image_size",): 16}
    return replace(found, params=params)


def test_the_demo_runs_without_a_checkout(album: pictures.Album, tmp_path: Path, capfd, monkeypatch) -> None:
    """The commands of the story are those of a wheel."""
    monkeypatch.setenv("PYTHONPATH", str(copies.wheel(tmp_path)))
    scene = Scene(tmp_path / "demo", album, str(tmp_path / "bucket"), str(tmp_path / "lake"))
    scene.top.mkdir()
    story.run_all(scene)
    printed, _ = capfd.readouterr()
    assert "cannot be used" in printed or "--exclude-faulty" in printed
    assert "expected at least 2.0.0: 6 images were removed (a removal is major)" in printed
    assert "identical to v1.0.0" in printed
    lines = printed.splitlines()
    for name, file in ODD.items():
        source = f"  cat/{name.replace('.', ' ')}.{file.ending}: "
        said = [line.removeprefix(source) for line in lines if line.startswith(source)]
        assert any(str(file.fault) in reason for reason in said), (source, said)
    assert "  cat/notes.txt: no picture by its name\n" in printed
    assert f"trained again, v1.0.0 has the same metrics: accuracy {scene.metrics['accuracy']}" in printed
    tags = subprocess.run(["git", "-C", scene.origin, "tag"], capture_output=True, text=True, check=True).stdout.split()
    assert tags == [
        *(f"datasets/cat_dog@v{version}.0.0" for version in (1, 2)),
        "models/backbone@v1.0.0",
        *(f"models/cat_dog@v{version}.0.0" for version in (1, 2, 3)),
    ]
    status = subprocess.run(["git", "-C", scene.clone, "status", "--porcelain"], capture_output=True, check=True)
    assert status.stdout == b""
    report = json.loads((scene.report / "report.json").read_bytes())
    assert report["verdict"] != "blocked", report["findings"]
    assert report["headline"] in printed
    assert [one["id"] for one in (*report["datasets"], *report["models"])] == ["datasets/cat_dog", "models/cat_dog"]
    last = json.loads((scene.last_report / "report.json").read_bytes())
    assert last["verdict"] != "blocked", last["findings"]
    assert [one["builds_on"] for one in last["models"]] == [[], ["models/backbone@v1.0.0"]]
    for version, how in (
        ("2.0.0", "ResNet, trained from scratch"),
        ("3.0.0", "a head on «Features of models/cat_dog@v2.0.0»"),
    ):
        (line,) = [line for line in lines if line.startswith(f"  v{version}  accuracy ")]
        assert line.endswith(f" s  ({how})")
    released = (tmp_path / "demo/catalog/models/cat_dog/index.html").read_text()
    assert [f'href="v{version}.0.0/index.html"' in released for version in (1, 2, 3)] == [True] * 3
    assert (tmp_path / "demo" / "consumer" / "v1" / "train" / "metadata.parquet").is_file()
