"""Train the network that params.yaml describes: writes model.onnx, model.safetensors and the learning curves."""

import argparse
import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from data import Split, augment, batches, choose_device, find_classes, load_split
from dvclive import Live
from network import ARCHITECTURES, build, predict, save
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


def fit(network: nn.Module, train: Split, val: Split, params: Params, device: torch.device) -> None:
    """Train for all epochs, and log loss and accuracy on both splits after each.

    The last weights are kept, not the best on val: the one-cycle schedule has converged by then, and a split that
    selects nothing gives unbiased numbers.
    """
    steps = params.epochs * math.ceil(len(train.paths) / params.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), params.learning_rate, weight_decay=params.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, params.learning_rate, total_steps=steps)
    with (
        Live("plots/training", dvcyaml=False, save_dvc_exp=False) as live,
        tqdm(total=steps, desc="train", unit=" batches", delay=2, mininterval=1) as progress,
    ):
        live.step = 1
        for _ in range(params.epochs):
            network.train()
            outputs = []
            for images, targets in batches(train, torch.randperm(len(train.paths)), params.batch_size, device):
                outputs.append((take_step(network, optimizer, augment(images, params.flip), targets), targets))
                schedule.step()
                progress.update()
            log(live, "train", *map(torch.cat, zip(*outputs, strict=True)))
            if (val.targets >= 0).any():
                with half_precision(device):
                    logits = predict(network, batches(val, torch.arange(len(val.paths)), 256, device))
                log(live, "val", logits, val.targets.cpu())
            live.next_step()


def take_step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, targets: Tensor) -> Tensor:
    """One optimizer step on a batch, without waiting for the GPU; returns the logits from before the step."""
    with half_precision(images.device):
        logits = network(images)
        loss = cross_entropy(logits, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return logits.detach().float()


def half_precision(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU, full precision on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def log(live: Live, split: str, logits: Tensor, targets: Tensor) -> None:
    """Log one epoch's loss and accuracy of a split; a loss that is not finite ends the training."""
    loss = cross_entropy(logits, targets, ignore_index=-1).item()
    if not math.isfinite(loss):
        raise SystemExit(f"the {split} loss is {loss} in epoch {live.step}; lower learning_rate in params.yaml")
    live.log_metric(f"{split}/loss", round(loss, 6))
    live.log_metric(f"{split}/accuracy", round((logits.argmax(1) == targets).float().mean().item(), 6))


def main() -> None:
    """Read the command line and params.yaml, train, write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/<label>/ and val/<label>/")
    data = parser.parse_args().data
    params = read_params(Path("params.yaml"))
    device = choose_device()
    torch.manual_seed(params.seed)
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.backends.cudnn.benchmark = True

    classes = find_classes(data)
    network = build(params.architecture, len(classes), params.width)
    network = network.to(device, memory_format=torch.channels_last)
    train, val = (load_split(data / name, classes, params.image_size, device) for name in ("train", "val"))
    fit(network, train, val, params, device)
    save(Path(), network, params.image_size, classes)


if __name__ == "__main__":
    main()
