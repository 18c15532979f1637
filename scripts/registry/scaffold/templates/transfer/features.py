"""Run the backbone on the images of train and val: writes features.safetensors."""

import argparse
import json
from pathlib import Path

import numpy
from ruamel.yaml import YAML
from safetensors.numpy import save_file
from tqdm import tqdm

from registry.errors import RegistryError
from registry.model import feature_memory
from registry.model.features import Backbone, Features, extract, load

MEMORY = Path("../..") / feature_memory.PATH  # of all models of this checkout: what is known is not computed again


def image_paths(split: Path) -> list[Path]:
    """The images <label>/<uuid>.jpg of a split, sorted; empty if the split does not exist."""
    return sorted(path for path in split.glob("*/*") if not path.name.startswith("."))


def find_classes(data: Path) -> list[str]:
    """The labels of the training split, sorted. Test images must exist, too: better seen before a long training."""
    classes = sorted({path.parent.name for path in image_paths(data / "train")})
    if not classes:
        raise SystemExit(f"{data / 'train'}: no images; run `dvc pull`, or build the dataset")
    if len(classes) == 1:
        raise SystemExit(f"{data / 'train'}: {classes[0]!r} is the only label, expected at least two")
    if not image_paths(data / "test"):
        fix = "run `dvc pull`; or give `test` a share of `split` in dataset.yaml, and run `registry build`"
        raise SystemExit(f"{data / 'test'}: no images to measure the model on; {fix}")
    return classes


def read_flip(path: Path) -> bool:
    """The parameter of this stage."""
    value = (YAML(typ="safe").load(path) or {}).get("flip")
    if type(value) is not bool:
        raise SystemExit(f"{path}: flip must be true or false, not {value!r}")
    return value


def run(backbone: Backbone, paths: list[Path], split: str, *, flip: bool) -> Features:
    """The features of a split, with a bar for what takes longer than two seconds."""
    total = len({*paths}) * (2 if flip else 1)
    with tqdm(desc=f"features of {split}", total=total, unit=" images", delay=2, mininterval=1) as bar:
        found = extract(backbone, paths, MEMORY, bar.update, mirror=flip)
    tqdm.write(f"{split}: {found.run:,} of {found.views:,} images run, {found.views - found.run:,} remembered")
    return found


def main() -> None:
    """Read the command line and params.yaml, run the backbone, write the features and the labels' places."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/<label>/ and val/<label>/")
    parser.add_argument("--backbone", type=Path, required=True, help="an ONNX file that gives features")
    args = parser.parse_args()
    flip, classes = read_flip(Path("params.yaml")), find_classes(args.data)
    places = {label: place for place, label in enumerate(classes)}
    tables: dict[str, numpy.ndarray] = {}
    try:
        backbone = load(args.backbone)
        for split in ("train", "val"):
            paths = image_paths(args.data / split)
            found = run(backbone, paths, split, flip=flip and split == "train")
            tables[split] = found.upright
            tables[f"{split}/targets"] = numpy.array([places.get(path.parent.name, -1) for path in paths], numpy.int64)
            if found.mirrored is not None:
                tables[f"{split}/mirrored"] = found.mirrored
    except RegistryError as error:
        raise SystemExit(f"error: {error}") from error
    save_file(tables, "features.safetensors", metadata={"classes": json.dumps(classes)})


if __name__ == "__main__":
    main()
