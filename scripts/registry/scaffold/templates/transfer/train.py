"""Train a head on the features of a backbone: writes model.onnx (both), model.safetensors (the head) and the curves."""

import argparse
import io
import json
import math
import warnings
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from dvclive import Live
from ruamel.yaml import YAML
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from registry.model import joining


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of this stage in params.yaml, which describes each of them."""

    hidden: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int


MINIMUM = {"hidden": 0, "epochs": 1, "batch_size": 2, "learning_rate": 0, "weight_decay": 0, "seed": 0}


@dataclass(frozen=True, slots=True)
class Split:
    """N images: `views` (V, N, D), their features as they are and, where V is 2, mirrored; the labels' places (N,)."""

    views: Tensor
    targets: Tensor


class Standardize(nn.Module):
    """Features with mean 0 and variance 1 on the training images."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", 1 / features.std(0).clamp_min(1e-3))

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        return (features - self.mean) * self.scale


def build(features: Tensor, classes: int, hidden: int) -> nn.Sequential:
    """An untrained head, from features (N, D) to logits (N, classes)."""
    width = features.shape[1]
    first = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(Standardize(features), *first, nn.Linear(hidden or width, classes))


def read_params(path: Path) -> Params:
    """Read and validate the parameters of this stage."""
    values = YAML(typ="safe").load(path) or {}
    kinds = {field.name: field.type for field in fields(Params)}
    for name in sorted((kinds.keys() | {"flip"}) ^ values.keys()):
        raise SystemExit(f"{path}: {name} is {'not a parameter' if name in values else 'missing'}")
    for name, kind in kinds.items():
        value = values[name]
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise SystemExit(f"{path}: {name} must be of type {kind.__name__}, not {value!r}")
        if not value >= MINIMUM[name]:
            raise SystemExit(f"{path}: {name} must be at least {MINIMUM[name]}, not {value}")
    return Params(**{name: values[name] for name in kinds})


def read_features(path: Path) -> tuple[Split, Split, list[str]]:
    """The features of train and val, and the classes, that features.py wrote."""
    tables = load_file(path)
    with safe_open(path, "pt") as file:
        classes = json.loads(file.metadata()["classes"])
    views = [tables[name] for name in ("train", "train/mirrored") if name in tables]
    train = Split(torch.stack(views), tables["train/targets"])
    return train, Split(tables["val"][None], tables["val/targets"]), classes


def fit(head: nn.Module, train: Split, val: Split, params: Params) -> None:
    """Train for all epochs, and log loss and accuracy on both splits after each."""
    count = len(train.targets)
    size = math.ceil(count / params.batch_size)
    optimizer = torch.optim.AdamW(head.parameters(), params.learning_rate, weight_decay=params.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, params.learning_rate, total_steps=params.epochs * size)
    with (
        Live("plots/training", dvcyaml=False, save_dvc_exp=False) as live,
        tqdm(total=params.epochs, desc="train", unit=" epochs", delay=2, mininterval=1) as progress,
    ):
        live.step = 1
        for _ in range(params.epochs):
            head.train()
            views = torch.randint(len(train.views), (count,))
            for rows in torch.randperm(count).tensor_split(size):
                optimizer.zero_grad()
                cross_entropy(head(train.views[views[rows], rows]), train.targets[rows]).backward()
                optimizer.step()
                schedule.step()
            head.eval()
            for name, split in (("train", train), ("val", val)):
                log(live, name, head, split)
            live.next_step()
            progress.update()


@torch.inference_mode()
def log(live: Live, name: str, head: nn.Module, split: Split) -> None:
    """Log one epoch's loss and accuracy of a split; a loss that is not finite ends the training."""
    known = split.targets >= 0
    if not known.any():
        return
    logits, targets = head(split.views[0][known]), split.targets[known]
    loss = cross_entropy(logits, targets).item()
    if not math.isfinite(loss):
        raise SystemExit(f"the {name} loss is {loss} in epoch {live.step}; lower learning_rate in params.yaml")
    live.log_metric(f"{name}/loss", round(loss, 6))
    live.log_metric(f"{name}/accuracy", round((logits.argmax(1) == targets).float().mean().item(), 6))


def save(folder: Path, backbone: Path, head: nn.Module, width: int, classes: list[str]) -> None:
    """Write model.onnx, the backbone and the head, which anybody can run, and model.safetensors, the head's weights.

    The same head makes the same bytes.
    """
    weights = {name: tensor.contiguous() for name, tensor in head.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    front, buffer = backbone.read_bytes(), io.BytesIO()
    with warnings.catch_warnings():
        # The exporter of torch.export needs two more packages, and writes the paths of source files into the model.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            nn.Sequential(head, nn.Softmax(1)).eval(),
            (torch.zeros(2, width),),
            buffer,
            dynamo=False,
            opset_version=joining.opset(front),
            input_names=["features"],
            output_names=["scores"],
            dynamic_axes={"features": {0: "N"}, "scores": {0: "N"}},
        )
    (folder / "model.onnx").write_bytes(joining.join(front, buffer.getvalue(), tuple(classes)))


def main() -> None:
    """Read the command line, params.yaml and features.safetensors, train, write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True, help="the ONNX file that gave the features")
    backbone = parser.parse_args().backbone
    params = read_params(Path("params.yaml"))
    torch.set_num_threads(1)  # with several threads, sums depend on the number of cores
    torch.manual_seed(params.seed)
    torch.use_deterministic_algorithms(True)

    train, val, classes = read_features(Path("features.safetensors"))
    head = build(train.views[0], len(classes), params.hidden)
    fit(head, train, val, params)
    save(Path(), backbone, head, train.views.shape[2], classes)


if __name__ == "__main__":
    main()
