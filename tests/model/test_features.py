"""Features of images: each image is run once, and what is remembered is right whatever happened in between."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image

from registry.errors import InvalidData, Refused, StorageFailed
from registry.model import feature_memory, features
from registry.model.features import Features
from registry.model.training_data import Files
from support import model_files

SENTINEL = numpy.array([7, 8, 9], "<f4")


def picture(folder: Path, number: int, size: tuple[int, int] = (12, 8)) -> Path:
    """An image whose left half is darker than its right half."""
    path = folder / f"{number}.png"
    image = Image.new("RGB", size, (number, 10, 200))
    image.paste((number, 250, 0), (size[0] // 2, 0, *size))
    image.save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [picture(tmp_path, number) for number in range(0, 200, 2)]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Features]:
    """Extract features with a backbone, remembered in one file."""

    def extract(images: list[Path], data: bytes = model_files.backbone(), *, mirror: bool = False) -> Features:
        (tmp_path / "backbone.onnx").write_bytes(data)
        return features.extract(
            features.load(tmp_path / "backbone.onnx"), Files(images), memory(tmp_path), mirror=mirror
        )

    return extract


def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory/features.sqlite"


def mark(tmp_path: Path, places: str = "1") -> int:
    """Give remembered rows other numbers, as if they had been computed so; how many."""
    database = sqlite3.connect(memory(tmp_path))
    data = SENTINEL.tobytes()
    with database:
        changed = database.execute(
            f"UPDATE features SET numbers = ?, digest = ? WHERE {places}",
            (data, feature_memory._digest(data)),
        ).rowcount
    database.close()
    return changed


def by_arithmetic(images: list[Path]) -> numpy.ndarray:
    """The mean colours of the centre square, scaled with the default filter."""
    squares = [Image.open(path).crop((2, 0, 10, 8)).resize((4, 4), Image.Resampling.BICUBIC) for path in images]
    return numpy.stack([numpy.asarray(square).mean((0, 1)) / 255 for square in squares])


def test_features_are_those_of_the_images_in_their_order(run: Callable[..., Features], images: list[Path]) -> None:
    found = run(images[::-1])
    assert (found.run, found.views, found.mirrored) == (100, 100, None)
    assert found.upright.dtype == numpy.float32
    assert found.upright == pytest.approx(by_arithmetic(images[::-1]), abs=0.01)


def test_more_images_cost_only_themselves(run: Callable[..., Features], images: list[Path], tmp_path: Path) -> None:
    assert run(images[:60]).run == 60
    assert mark(tmp_path) == 60
    more = run(images)
    assert (more.run, more.views) == (40, 100)
    assert (more.upright[:60] == SENTINEL).all()
    assert more.upright[60:] == pytest.approx(by_arithmetic(images[60:]), abs=0.01)
    assert run(images).run == 0


def test_images_are_known_by_their_bytes(run: Callable[..., Features], images: list[Path], tmp_path: Path) -> None:
    run(images)
    (tmp_path / "renamed").mkdir()
    again = [path.rename(tmp_path / "renamed" / path.name) for path in images]
    again.append(picture(tmp_path / "renamed", 250))
    (tmp_path / "renamed/copy.png").write_bytes(again[0].read_bytes())
    found = run([*again, tmp_path / "renamed/copy.png"])
    assert (found.run, found.views) == (1, 101)
    assert (found.upright[-1] == found.upright[0]).all()
    picture(tmp_path / "renamed", 0, size=(30, 8))  # other bytes under an old name
    assert run(again).run == 1


@pytest.mark.parametrize(
    "other",
    [model_files.backbone(note="other"), model_files.backbone(scaling="nearest"), model_files.backbone(size=8)],
    ids=["another file", "another filter", "another size"],
)
def test_another_backbone_or_another_input_finds_nothing(
    run: Callable[..., Features], images: list[Path], other: bytes, tmp_path: Path
) -> None:
    first = run(images).upright
    assert run(images, other).run == 100
    memory(tmp_path).unlink()
    second = run(images, other).upright
    assert (run(images).run, run(images, other).run) == (100, 0)
    assert ((run(images).upright == first).all(), (run(images, other).upright == second).all()) == (True, True)


def test_what_else_decides_features_is_part_of_the_key(
    run: Callable[..., Features], images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(images)
    monkeypatch.setattr(feature_memory, "version", lambda name: f"{name} 99")
    assert run(images).run == 100


def test_mirror_images_are_views_of_their_own(run: Callable[..., Features], images: list[Path]) -> None:
    run(images)
    found = run(images, mirror=True)
    assert (found.run, found.views) == (100, 200)
    assert found.mirrored is not None
    assert found.mirrored == pytest.approx(found.upright, abs=0.01)  # a mean does not depend on the side
    assert run(images, mirror=True).run == 0


def test_the_bits_do_not_depend_on_the_company(
    run: Callable[..., Features], images: list[Path], tmp_path: Path
) -> None:
    together = run(images).upright
    memory(tmp_path).unlink()
    one_by_one = numpy.concatenate([run([path]).upright for path in images[:5]])
    assert (together[:5] == one_by_one).all()


def test_a_row_that_was_damaged_is_computed_again(
    run: Callable[..., Features], images: list[Path], tmp_path: Path
) -> None:
    sound = run(images).upright
    database = sqlite3.connect(memory(tmp_path))
    with database:
        database.execute("UPDATE features SET numbers = zeroblob(12) WHERE image < '8'")
        database.execute("UPDATE features SET numbers = zeroblob(5) WHERE image > 'c'")
    database.close()
    found = run(images)
    assert 0 < found.run < 100
    assert (found.upright == sound).all()


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 100, None], ids=["empty", "garbage", "cut"])
def test_a_damaged_memory_is_replaced(
    run: Callable[..., Features], images: list[Path], tmp_path: Path, damage: bytes | None
) -> None:
    sound = run(images).upright
    file = memory(tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] if damage is None else damage)
    found = run(images)
    assert (found.run, (found.upright == sound).all()) == (100, True)
    assert run(images).run == 0


def test_a_memory_that_cannot_be_used_is_told(run: Callable[..., Features], images: list[Path], tmp_path: Path) -> None:
    memory(tmp_path).mkdir(parents=True)
    with pytest.raises(StorageFailed, match=r"features\.sqlite cannot be used"):
        run(images)


def test_an_image_that_cannot_be_decoded_is_named_and_the_others_are_kept(
    run: Callable[..., Features], images: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(images[0].read_bytes()[:60])
    with pytest.raises(Refused, match=r"broken\.png cannot be decoded: .*\n  hint: exclude the image"):
        run([*images, tmp_path / "broken.png"])
    assert run(images).run <= 100 - features.KEPT


def test_no_images_are_no_features(run: Callable[..., Features]) -> None:
    assert run([]).upright.shape == (0, 3)


def test_a_file_that_gives_scores_is_no_backbone(run: Callable[..., Features], images: list[Path]) -> None:
    with pytest.raises(InvalidData, match="expected `features`"):
        run(images, model_files.threshold(100))


KILLED = """
import sys
from pathlib import Path
from registry.model import features
from registry.model.training_data import Files
images = sorted(Path(sys.argv[1]).glob("*.png"))
backbone = features.load(Path(sys.argv[1]) / "backbone.onnx")
features.extract(backbone, Files(images), Path(sys.argv[2]), lambda more: print(more, flush=True))
"""


@pytest.mark.slow
def test_what_a_killed_run_computed_is_kept(run: Callable[..., Features], tmp_path: Path) -> None:
    images = [picture(tmp_path, number) for number in range(250)]
    sound = run(images).upright
    memory(tmp_path).unlink()
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), str(memory(tmp_path))], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    done = sum(int(killed.stdout.readline()) for _ in range(2))  # what was known before, and the first part
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    found = run(images)
    assert done == features.KEPT
    assert found.run <= len(images) - features.KEPT
    assert (found.upright == sound).all()
