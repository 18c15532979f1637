"""Evaluate a trained model on one split of a dataset: writes predictions, metrics and the confusion matrix."""

import argparse
import json
import math
from pathlib import Path

import torch
from data import Split, batches, choose_device, load_split
from network import load, predict
from polars import DataFrame
from torch import Tensor
from torch.nn.functional import cross_entropy


def tabulate(split: Split, scores: Tensor, classes: list[str]) -> DataFrame:
    """One row per image, sorted by uuid: uuid, label, predicted, and each class's score_<class>; scores sum to 1."""
    table = DataFrame(
        {
            "uuid": [path.stem for path in split.paths],
            "label": [path.parent.name for path in split.paths],
            "predicted": [classes[index] for index in scores.argmax(1).tolist()],
        }
    )
    return table.hstack(DataFrame(scores.numpy(), schema=[f"score_{name}" for name in classes])).sort("uuid")


def measure(table: DataFrame, logits: Tensor, targets: Tensor) -> dict[str, object]:
    """The metrics. An image whose label the model does not know counts as wrong and is left out of the loss."""
    confidence, predicted = logits.softmax(1).max(1)
    correct = predicted == targets
    per_class = {label: measure_class(table, label) for label in sorted(set(table["label"]))}
    loss = cross_entropy(logits, targets, ignore_index=-1).item()
    return {
        "accuracy": rounded(correct.double().mean().item()),
        "macro_f1": rounded(sum(one["f1"] for one in per_class.values()) / len(per_class)),
        "loss": rounded(loss) if math.isfinite(loss) else None,  # JSON has no NaN
        "ece": rounded(calibration_error(confidence, correct)),
        "images": len(table),
        "per_class": per_class,
    }


def measure_class(table: DataFrame, label: str) -> dict[str, float]:
    """Precision, recall and F1 of a label that has images; the precision of one that is never predicted is 0."""
    actual, predicted = table["label"] == label, table["predicted"] == label
    hits = (actual & predicted).sum()
    return {
        "precision": rounded(hits / max(predicted.sum(), 1)),
        "recall": rounded(hits / actual.sum()),
        "f1": rounded(2 * hits / (actual.sum() + predicted.sum())),
        "images": actual.sum(),
    }


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """The expected calibration error over bins of confidence (Guo et al. 2017, arxiv.org/abs/1706.04599)."""
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, (confidence * bins).long().clamp(max=bins - 1), confidence.double() - correct.double())
    return gaps.abs().sum().item() / len(correct)


def rounded(value: float) -> float:
    """Rounded to six digits, as all numbers of metrics.json are."""
    return round(value, 6)


def main() -> None:
    """Read the command line, evaluate, write the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with <split>/<label>/")
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", type=Path, default="model.safetensors")
    parser.add_argument("--metrics", type=Path, default="metrics.json")
    parser.add_argument("--predictions", type=Path, default="predictions.parquet")
    parser.add_argument("--plots", type=Path, default="plots", help="folder for confusion.csv")
    args = parser.parse_args()

    device = choose_device()
    network, description = load(args.model)
    split = load_split(args.data / args.split, description.classes, description.image_size, device)
    if not split.paths:
        raise SystemExit(f"{args.data / args.split}: no images; choose another split with --split")
    network = network.to(device, memory_format=torch.channels_last)
    logits = predict(network, batches(split, torch.arange(len(split.paths)), 256, device))
    table = tabulate(split, logits.softmax(1), description.classes)

    args.plots.mkdir(parents=True, exist_ok=True)
    args.metrics.write_text(json.dumps(measure(table, logits, split.targets.cpu()), indent=2) + "\n")
    table.write_parquet(args.predictions)
    table.select(actual="label", predicted="predicted").write_csv(args.plots / "confusion.csv")


if __name__ == "__main__":
    main()
