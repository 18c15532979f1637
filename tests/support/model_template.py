"""What the tests of the model template share: a dataset of mixed photographs, and commands as a user runs them."""

import io
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy
import yaml
from PIL import Image

from registry.integrations.process import tool_path
from support import repositories

TEMPLATE = Path(__file__).parents[2] / "scripts/registry/scaffold/templates/model"
COLOURS = {"cat": (200, 60, 40), "dog": (40, 70, 200), "guinea pig": (60, 190, 60)}
SMALL = {"width": 4, "image_size": 16, "epochs": 8, "batch_size": 8, "learning_rate": 0.01}


def photograph(label: str, number: int) -> bytes:
    """Noise in the label's colour, in one of the sizes, modes and turns that cameras and the web leave."""
    noise = numpy.random.default_rng([number, *label.encode()])
    height, width = noise.integers(20, 60, 2)
    pixels = noise.normal(COLOURS[label], 30, (height, width, 3)).clip(0, 255).astype(numpy.uint8)
    image = Image.fromarray(pixels).convert(("RGB", "CMYK", "RGB", "P", "RGBA")[number % 5])
    return encode(image, "PNG" if image.mode in ("P", "RGBA") else "JPEG", orientation=number % 8 + 1)


def encode(image: Image.Image, kind: str = "PNG", orientation: int = 1, more: Mapping[int, object] = {}) -> bytes:
    exif = Image.Exif()
    exif.update({0x0112: orientation, **more})
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def put(folder: Path, label: str, uuid: str, image: bytes) -> Path:
    path = folder / label / f"{uuid}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image)
    return path


def dataset(prepared: Path, train: int = 12, val: int = 4, test: int = 4) -> Path:
    """`prepared/` with so many images of each label in each split."""
    for split, count in {"train": train, "val": val, "test": test}.items():
        for label in COLOURS:
            for number in range(count):
                put(prepared / split, label, f"{split}-{number:02}-{label[0]}", photograph(label, number))
        names = sorted(f"{path.parent.name}/{path.name}" for path in (prepared / split).glob("*/*"))
        (prepared / split).mkdir(exist_ok=True)
        (prepared / split / "metadata.parquet").write_bytes(repositories.table(names, list(COLOURS)))
    return prepared


def set_params(model: Path, **values: object) -> None:
    params = yaml.safe_load((model / "params.yaml").read_text())
    (model / "params.yaml").write_text(yaml.safe_dump(params | values))


def command(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command with no virtual environment active; one thread, since the machine runs other tests too."""
    env = {**os.environ, "PATH": tool_path(), "OMP_NUM_THREADS": "1"}
    return subprocess.run([str(arg) for arg in args], cwd=cwd, env=env, capture_output=True, text=True)


def dvc(folder: Path, *args: str) -> str:
    done = command("dvc", *args, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
