"""The whole demo on a few pictures: three releases, the first one restored, a consumer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from registry.demo import pictures
from registry.demo.scene import Scene
from support import copies, odd_folders
from support.odd_images import ODD
from support.repositories import git_in

pytestmark = pytest.mark.slow


# `registry` with a network that learns in seconds.
QUICK = """
import sys
from dataclasses import replace
from registry.cli import main
from registry.demo import pictures
folder = pictures.folder
params = {("epochs",): 6, ("width",): 8, ("image_size",): 16}
pictures.folder = lambda top: replace(folder(top), params=params)
sys.exit(main.run(sys.argv[1:]))
"""


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of 130 pictures and more, of three formats, among files of all other kinds."""
    top = tmp_path / "pets"
    odd_folders.make(top)
    for label, colour in (("cat", 40), ("dog", 200)):
        for number in range(100):
            Image.new("RGB", (30 + number, 40), (colour, number * 2, 90)).save(top / label / f"plain {number}.jpg")
    (top / "cat" / "empty.jpg").touch()
    (top / "dog" / "again.jpg").write_bytes((top / "dog" / "plain 7.jpg").read_bytes())
    return top


def test_the_demo_runs_without_a_checkout(pets: Path, tmp_path: Path) -> None:
    """`registry demo` and the commands of its story are those of a wheel."""
    env = {**os.environ, "PYTHONPATH": str(copies.wheel(tmp_path))}
    words = [sys.executable, "-c", QUICK, "demo", "--images", str(pets), "--directory", str(tmp_path / "demo")]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout
    scene = Scene(tmp_path / "demo", pictures.folder(pets), "", "")
    assert "cannot be used" in printed or "--exclude-faulty" in printed
    assert "expected at least 2.0.0: 6 images were removed (a removal is major)" in printed
    assert "identical to v1.0.0" in printed
    lines = printed.splitlines()
    for name, file in ODD.items():
        source = f"  cat/{name.replace('.', ' ')}.{file.ending}: "
        said = [line.removeprefix(source) for line in lines if line.startswith(source)]
        assert any(str(file.fault) in reason for reason in said), (source, said)
    assert "  cat/notes.txt: no picture by its name\n" in printed
    first = json.loads(git_in(scene.origin, "show", "models/cat_dog@v1.0.0:models/cat_dog/metrics.json"))
    assert f"trained again, v1.0.0 has the same metrics: accuracy {first['accuracy']}" in printed
    assert git_in(scene.origin, "tag").split() == [
        *(f"datasets/cat_dog@v{version}.0.0" for version in (1, 2)),
        "models/backbone@v1.0.0",
        *(f"models/cat_dog@v{version}.0.0" for version in (1, 2, 3)),
    ]
    assert git_in(scene.clone, "status", "--porcelain") == ""
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
