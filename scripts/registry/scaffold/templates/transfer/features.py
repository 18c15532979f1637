"""Run the backbone on the images of train and val: writes features.safetensors."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy
from ruamel.yaml import YAML
from safetensors.numpy import save_file
from tqdm import tqdm

from registry.errors import RegistryError
from registry.model import feature_memory
from registry.model.features import Backbone, Features, extract, load
from registry.model.training_data import Images, open_splits

MEMORY = Path("../..") / feature_memory.PATH  # of all models of this checkout: what is known is not computed again


def find_classes(data: Path, images: Mapping[str, Images]) -> list[str]:
    """The labels of the training split, sorted. Test images must exist, too: better seen before a long training."""
    classes = sorted({path.parent.name for path in images["train"].paths})
    if not classes:
        raise SystemExit(f"{data / 'train'}: no images; run `dvc pull`, or build the dataset")
    if len(classes) == 1:
        raise SystemExit(f"{data / 'train'}: {classes[0]!r} is the only label, expected at least two")
    if not images["test"].paths:
        fix = "run `dvc pull`; or give `test` a share of `split` in dataset.yaml, and run `registry build`"
        raise SystemExit(f"{data / 'test'}: no images to measure the model on; {fix}")
    return classes


def read_flip(path: Path) -> bool:
    """The parameter of this stage."""
    value = (YAML(typ="safe").load(path) or {}).get("flip")
    if type(value) is not bool:
        raise SystemExit(f"{path}: flip must be true or false, not {value!r}")
    return value


def run(backbone: Backbone, images: Images, split: str, *, flip: bool) -> Features:
    """The features of a split, with a bar for what takes longer than two seconds."""
    total = len(images.paths) * (2 if flip else 1)
    with tqdm(desc=f"features of {split}", total=total, unit=" images", delay=2, mininterval=1) as bar:
        found = extract(backbone, images, MEMORY, bar.update, mirror=flip)
    tqdm.write(f"{split}: {found.run:,} of {found.views:,} images run, {found.views - found.run:,} remembered")
    return found


def main() -> None:
    """Read the command line and params.yaml, run the backbone, write the features and the labels' places."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/<label>/ and val/<label>/")
    parser.add_argument("--backbone", type=Path, required=True, help="an ONNX file that gives features")
    parser.add_argument("--shards", action="store_true", help="read the shards of its release, not the folder itself")
    args = parser.parse_args()
    flip = read_flip(Path("params.yaml"))
    tables: dict[str, numpy.ndarray] = {}
    try:
        images = open_splits(args.data, from_shards=args.shards)
        classes = find_classes(args.data, images)
        places = {label: place for place, label in enumerate(classes)}
        backbone = load(args.backbone)
        for split in ("train", "val"):
            found = run(backbone, images[split], split, flip=flip and split == "train")
            labels = [path.parent.name for path in images[split].paths]
            tables[split] = found.upright
            tables[f"{split}/targets"] = numpy.array([places.get(label, -1) for label in labels], numpy.int64)
            if found.mirrored is not None:
                tables[f"{split}/mirrored"] = found.mirrored
    except RegistryError as error:
        raise SystemExit(f"error: {error}") from error
    save_file(tables, "features.safetensors", metadata={"classes": json.dumps(classes)})


if __name__ == "__main__":
    main()
