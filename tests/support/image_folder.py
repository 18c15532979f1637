"""torchvision's own ImageFolder, from the wheel that `make tools` puts into a folder of its own in .venv.

Beside another build of torch (CPU, CUDA) the compiled operators of torchvision do not load, and `import torchvision`
ends in «operator torchvision::nms does not exist»: its Python code describes two of them to torch. Both are declared
here, so that the rest can be imported; ImageFolder uses none.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch

FOLDER = Path(sys.prefix) / "torchvision"
OPERATORS = ("nms", "qnms")


class ImageFolder(NamedTuple):
    """What torchvision's ImageFolder makes of a folder."""

    classes: list[str]
    samples: list[tuple[str, int]]
    sizes: list[tuple[int, int]]  # of the images, as they are handed to a training


def read(root: Path) -> ImageFolder:
    """Raises what torchvision raises."""
    folder = _module().ImageFolder(root)
    return ImageFolder(folder.classes, folder.samples, [image.size for image, _label in folder])


@cache
def _module() -> ModuleType:
    assert FOLDER.is_dir(), "torchvision is not in .venv: make tools"
    with _importable():
        try:
            return importlib.import_module("torchvision.datasets")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in OPERATORS:
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module("torchvision.datasets")


@contextmanager
def _importable() -> Iterator[None]:
    """Last on the path: another library that is in that folder is not taken."""
    sys.path.append(str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
