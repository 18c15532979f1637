"""Frames of a `ModelChange`, small and made by hand."""

from typing import Any

import polars as pl


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012d}"


def frame(columns: tuple[str, ...], *rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=list(columns), orient="row")


def curves() -> pl.DataFrame:
    return frame(
        ("model", "series", "step", "value"),
        *(
            (model, series, step, round(start / (step + 1) * (1.1 if model == "base" else 1.0), 3))
            for model in ("base", "new")
            for series, start in (("train/loss", 0.7), ("val/loss", 0.8))
            for step in range(3)
        ),
    )


def confusion() -> pl.DataFrame:
    cells = {"base": (93, 11, 10, 89), "new": (97, 7, 7, 92)}
    pairs = (("cat", "cat"), ("cat", "dog"), ("dog", "cat"), ("dog", "dog"))
    rows = (
        (model, *pair, number) for model, numbers in cells.items() for pair, number in zip(pairs, numbers, strict=True)
    )
    return frame(("model", "actual", "predicted", "images"), *rows)


def calibration() -> pl.DataFrame:
    rows = (
        (model, place / 10 + 0.05, place / 10 + 0.05, round(min(1, place / 10 + 0.02), 2), 20)
        for model in ("base", "new")
        for place in range(7, 10)
    )
    return frame(("model", "bin", "confidence", "accuracy", "images"), *rows)


def flips() -> pl.DataFrame:
    columns = ("uuid", "split", "label", "base", "new", "base_score", "new_score", "kind")
    rows = (
        (uuid(1), "test", "cat", "cat", "dog", 0.71, 0.64, "broken"),
        (uuid(2), "test", "dog", "cat", "dog", 0.55, 0.93, "fixed"),
        (uuid(3), "test", "cat", "dog", "cat", 0.52, 0.81, "fixed"),
    )
    return frame(columns, *rows)
