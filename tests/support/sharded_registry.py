"""A registry whose dataset of photographs is released, with shards of seven images at most."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.dataset import shards
from support import repositories
from support.model_template import photograph
from support.repositories import Run

TAG = "datasets/pets@v1.0.0"
DATA, FOLDER = "datasets/pets/prepared", ".registry/production/releases/datasets/pets/1.0.0/shards"
COUNTS = {"train": 25, "val": 1, "test": 2}  # images; every other one is a cat
IMAGES = 7


def images() -> dict[str, bytes]:
    """Photographs with the names that they have in the dataset."""
    named = ((split, number, place) for place, split in enumerate(COUNTS) for number in range(COUNTS[split]))
    return {
        f"{split}/{label}/0a8c7f6e-000{place}-4000-8000-{number:012x}.jpg": photograph(label, number)
        for split, number, place in named
        for label in (("cat", "dog")[number % 2],)
    }


def make(root: Path, run: Run) -> None:
    """Release the dataset in a fresh registry, and export it."""
    repositories.dataset(root, "pets", images(), "1.0.0")
    repositories.add_origin(root)
    repositories.stage(root)
    repositories.merge(root, "datasets/pets 1.0.0")
    for command in (("publish",), ("export", TAG, "--shards")):
        with small_shards():
            done = run(root, *command)
        assert done.code == 0, done.err


@contextmanager
def small_shards() -> Iterator[None]:
    """Shards of at most seven images."""
    usual = shards.IMAGES
    shards.IMAGES = IMAGES
    try:
        yield
    finally:
        shards.IMAGES = usual
