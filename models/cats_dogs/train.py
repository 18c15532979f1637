"""Train the network that params.yaml describes: writes model.onnx, model.safetensors and the learning curves."""

import argparse
import math
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from data import (
    Batch,
    Split,
    decode_split,
    find_classes,
    load_split,
    open_images,
    training_batches,
    validation_batches,
)
from devices import Place, connected, find_place, for_training, half_precision, move, one_line_if_memory_is_short
from dvclive import Live
from network import ARCHITECTURES, build, save
from ruamel.yaml import YAML
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters in params.yaml, which describes each of them."""

    architecture: str
    width: int
    image_size: int
    flip: bool
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    compile: bool


MINIMUM = {"width": 1, "image_size": 16, "epochs": 1, "batch_size": 2, "learning_rate": 0, "weight_decay": 0, "seed": 0}


def read_params(path: Path) -> Params:
    """Read and validate params.yaml."""
    values = YAML(typ="safe").load(path) or {}
    kinds = {field.name: field.type for field in fields(Params)}
    for name in sorted(kinds.keys() ^ values.keys()):
        raise SystemExit(f"{path}: {name} is {'missing' if name in kinds else 'not a parameter of train.py'}")
    for name, kind in kinds.items():
        value = values[name]
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise SystemExit(f"{path}: {name} must be of type {kind.__name__}, not {value!r}")
        if name in MINIMUM and not value >= MINIMUM[name]:
            raise SystemExit(f"{path}: {name} must be at least {MINIMUM[name]}, not {value}")
    if values["architecture"] not in ARCHITECTURES:
        raise SystemExit(f"{path}: architecture must be {' or '.join(ARCHITECTURES)}, not {values['architecture']!r}")
    return Params(**values)


def fit(network: nn.Module, train: Split, val: Split, params: Params, place: Place) -> None:
    """Train for all epochs, and log loss and accuracy on both splits after each.

    The last weights are kept, not the best on val: the one-cycle schedule has converged by then, and a split that
    selects nothing gives unbiased numbers.
    """
    steps = math.ceil(len(train.images) / params.batch_size)
    if len(train.images) // steps < place.size:
        raise SystemExit(f"a batch has fewer images than the {place.size} processes; raise batch_size in params.yaml")
    total, highest = params.epochs * steps, params.learning_rate
    optimizer = torch.optim.AdamW(network.parameters(), highest, weight_decay=params.weight_decay, fused=place.has_gpu)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=total)
    trained = for_training(network, place, compiled=params.compile)
    with (
        Live("plots/training", dvcyaml=False, save_dvc_exp=False) if place.is_first else nullcontext() as live,
        tqdm(total=total, desc="train", unit=" batches", delay=2, mininterval=1, disable=not place.is_first) as bar,
    ):
        for epoch in range(1, params.epochs + 1):
            trained.train()
            sums = []
            for batch in training_batches(train, params.batch_size, params.seed, epoch, place, flip=params.flip):
                sums.append(take_step(trained, optimizer, batch, place))
                schedule.step()
                bar.update()
            log(live, "train", epoch, place.total(torch.stack(sums).double().sum(0)), len(train.images))
            if (val.targets >= 0).any():
                log(live, "val", epoch, place.total(evaluate(network, val, place)), len(val.images))
            if live:
                live.next_step()


def take_step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, place: Place) -> Tensor:
    """One optimizer step on a batch, without waiting for the GPU; returns what `measure` gave before the step."""
    with half_precision(place):
        sums = measure(network(batch.images), batch.targets)
    optimizer.zero_grad()
    # The mean over the whole batch, however its images are spread: gradients are averaged over the processes.
    (sums[0] * (place.size / batch.total)).backward()
    optimizer.step()
    return sums.detach()


def measure(logits: Tensor, targets: Tensor) -> Tensor:
    """Three sums over images: their losses, those whose label is a class, those that are right."""
    loss = cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
    return torch.stack([loss, (targets >= 0).sum(), (logits.argmax(1) == targets).sum()])


@torch.inference_mode()
def evaluate(network: nn.Module, split: Split, place: Place) -> Tensor:
    """The sums of `measure` over this process's images of a split."""
    network.eval()
    with half_precision(place):
        sums = [measure(network(batch.images), batch.targets) for batch in validation_batches(split, 256, place)]
    return torch.stack(sums).double().sum(0)


def log(live: Live | None, split: str, epoch: int, sums: Tensor, images: int) -> None:
    """Log one epoch's loss and accuracy of a split; a loss that is not finite ends the training."""
    loss, known, right = sums.tolist()
    if not math.isfinite(loss):
        raise SystemExit(f"the {split} loss is {loss} in epoch {epoch}; lower learning_rate in params.yaml")
    if live:
        live.step = epoch
        live.log_metric(f"{split}/loss", round(loss / known, 6))
        live.log_metric(f"{split}/accuracy", round(right / images, 6))


def main() -> None:
    """Read the command line and params.yaml, train, write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/<label>/, val/<label>/ and test/")
    parser.add_argument("--shards", action="store_true", help="read the shards of its release, not the folder itself")
    args = parser.parse_args()
    params, place = read_params(Path("params.yaml")), find_place()
    images = open_images(args.data, from_shards=args.shards)
    classes = find_classes(args.data, images)
    torch.manual_seed(params.seed)
    with one_line_if_memory_is_short():
        network = build(params.architecture, len(classes), params.width)
        shares = {name: decode_split(name, images[name], params.image_size, place) for name in ("train", "val")}
        with connected(place):
            network = move(network, place)
            train, val = (load_split(name, images[name], share, classes, place) for name, share in shares.items())
            fit(network, train, val, params, place)
        if place.is_first:
            save(Path(), network, params.image_size, classes)


if __name__ == "__main__":
    main()
