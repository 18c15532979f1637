"""A registry with branches that differ in their data, for tests of what Git's commands leave in the working tree."""

import os
from pathlib import Path

from support import model_files
from support.git_shell import data_here
from support.repositories import md5

LATER = md5(b"a cat that came later")
BIRDS = {
    "train/cat/0a8c7f6e-0000-4000-8000-00000000000b.jpg": b"a bird",
    "test/dog/0a8c7f6e-0000-4000-8000-00000000000c.jpg": b"b",
}
OFF = ("-c", f"core.hooksPath={os.devnull}")
NEW = ("datasets/birds", "models/birds")


def has_more(root: Path) -> bool:
    model = (root / "models/pets/model.onnx").read_bytes()
    return LATER in data_here(root).values() and model == model_files.named(b"weights of 1.1.0")


def has_birds(root: Path) -> bool:
    return md5(b"a bird") in data_here(root).values() and (root / "models/birds/model.onnx").exists()
