"""Two models' answers as frames: joined on what both were asked, sliced, counted."""

import json
import math
from io import BytesIO
from typing import Any

import numpy
import pytest
from polars import DataFrame, Series

from registry.core import schema
from registry.errors import Refused
from registry.model import classification

TEST = DataFrame({"uuid": ["a", "b", "c"], "label": ["cat", "dog", "dog"], "md5": ["1", "2", "3"]})
CLASSES = ("cat", "dog")


def parquet(**columns: list[Any]) -> bytes:
    out = BytesIO()
    DataFrame(columns).write_parquet(out)
    return out.getvalue()


def answers(*predicted: str, score: float = 0.9) -> DataFrame:
    uuids = list("abcdef")[: len(predicted)]
    return DataFrame({"uuid": uuids, "predicted": predicted, "score": [score] * len(predicted)})


# --- reading ----------------------------------------------------------------------------------------------------------


def test_labels_are_those_of_the_test_set() -> None:
    data = parquet(
        uuid=["c", "b", "a"],
        label=["forged"] * 3,
        predicted=["dog", "cat", "cat"],
        score_cat=[0.25, 0.75, 0.5],
        score_dog=[0.75, 0.25, 0.5],
    )
    read = classification.read(data, TEST, "predictions.parquet")
    assert read.rows() == [
        ("a", "cat", "cat", 0.5, 0.5),
        ("b", "dog", "cat", 0.75, 0.25),
        ("c", "dog", "dog", 0.75, 0.75),
    ]


def test_what_the_judge_writes_is_read() -> None:
    scores = numpy.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], numpy.float32)
    table = classification.tabulate(TEST, {"scores": scores}, CLASSES)
    out = BytesIO()
    table.write_parquet(out)
    assert classification.read(out.getvalue(), TEST, "x").equals(classification.summarise(table))
    assert table["predicted"].to_list() == ["cat", "dog", "cat"]


def test_more_scores_than_are_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five classes in passes of two; the file has its rows in another order than the test set."""
    monkeypatch.setattr(classification, "COLUMNS", 2)
    names, scores = ["ant", "bee", "cat", "cow", "dog"], numpy.eye(5, dtype=numpy.float32)[[4, 2, 4]]
    table = classification.tabulate(TEST, {"scores": scores}, names)
    judged = written(table)
    assert classification.read(written(table.reverse()), TEST, "x").equals(classification.summarise(table))
    assert classification.differing(written(table.reverse()), judged) == []
    changed = table.with_columns(score_dog=table["score_dog"] - Series([0.0, 0.003, 0.001]))
    assert classification.differing(written(changed.reverse()), judged) == [table["uuid"][1]]
    assert classification.differing(written(table.drop("score_ant")), judged) == table["uuid"].to_list()


def written(table: DataFrame) -> bytes:
    out = BytesIO()
    table.write_parquet(out)
    return out.getvalue()


def with_scores(classes: int) -> bytes:
    scores: dict[str, list[Any]] = {f"score_c{number}": [number / classes] for number in range(classes)}
    return parquet(uuid=["a"], predicted=[f"c{classes - 1}"], **scores)


def test_each_class_of_a_manifest_may_have_its_score() -> None:
    most = json.loads((schema.folder() / "dataset.schema.json").read_text())["properties"]["classes"]["maxItems"]
    read = classification.read(with_scores(most), TEST.head(1), "x")
    assert (read["predicted"].item(), round(read["score"].item(), 4)) == ("c9999", 0.9999)
    with pytest.raises(Refused, match="x has 10,004 columns, expected at most 10,003"):
        classification.read(with_scores(most + 2), TEST.head(1), "x")


SCORES = {"score_cat": [1.0] * 3, "score_dog": [0.0] * 3}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no parquet", "x is not a valid Parquet file, or is cut off: it has no footer at its end"),
        (parquet(uuid=["a"]), "x is not a Parquet file with the columns uuid, predicted and a score of each class"),
        (parquet(uuid=["a", "b", "c"], predicted=["cat"] * 3), "x is not a Parquet file with the columns uuid, predic"),
        (
            parquet(uuid=["a", "b"], predicted=["cat", "cat"], score_cat=[1.0] * 2, score_dog=[0.0] * 2),
            "x has no prediction for 1 of 3 test images",
        ),
        (parquet(uuid=["a", "b", "c"], predicted=["cat", None, "cat"], **SCORES), "x has no prediction for 1 of 3"),
        (
            parquet(uuid=["a", "b", "c", "c"], predicted=["cat"] * 4, score_cat=[1.0] * 4, score_dog=[0.0] * 4),
            "x contains 1 duplicate prediction",
        ),
        (
            parquet(uuid=["a", "b", "c", "z"], predicted=["cat"] * 4, score_cat=[1.0] * 4, score_dog=[0.0] * 4),
            "x has predictions for 1 other image than the test set",
        ),
        (
            parquet(uuid=["a", "b", "c"], predicted=["cat", "dog", "cat"], **SCORES),
            "x predicts another class than the one with the highest score, such as b",
        ),
        (
            parquet(uuid=["a", "b", "c"], predicted=["cat"] * 3, score_cat=[1.0] * 3, score_dog=[0.0, math.nan, 0.0]),
            "x predicts another class than the one with the highest score, such as b",
        ),
        (
            parquet(uuid=["a", "b", "c"], predicted=["cat", "fox", "cat"], **SCORES),
            "x predicts another class than the one with the highest score, such as b",
        ),
    ],
)
def test_what_is_no_predictions(data: bytes, message: str) -> None:
    with pytest.raises(Refused) as error:
        classification.read(data, TEST, "x")
    assert error.value.message.startswith(message)


# --- metrics ----------------------------------------------------------------------------------------------------------


def predictions(test: DataFrame, scores: numpy.ndarray) -> DataFrame:
    return classification.summarise(classification.tabulate(test, {"scores": scores}, CLASSES))


def test_the_metrics_are_their_textbook_values() -> None:
    """Two cats at 0.9 and 0.6, of which the second is taken for a dog; two dogs at 0.8; a fox that no model knows."""
    test = DataFrame({"uuid": list("abcde"), "label": ["cat", "cat", "dog", "dog", "fox"]})
    scores = numpy.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.2, 0.8], [0.3, 0.7]], numpy.float32)
    found = classification.measure(predictions(test, scores))
    assert found["accuracy"] == 0.6
    assert found["images"] == 5
    assert found["per_class"] == {
        "cat": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3, abs=1e-6), "images": 2},
        "dog": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3, abs=1e-6), "images": 2},
        "fox": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 1},
    }
    assert found["macro_f1"] == pytest.approx(4 / 9, abs=1e-6)
    known = [0.9, 0.4, 0.8, 0.8]
    assert found["loss"] == pytest.approx(-sum(map(math.log, known)) / 4, abs=1e-6)
    # fifteenths: 0.9 in [13/15, 14/15), 0.6 in [9/15, 10/15), 0.7 in [10/15, 11/15), 0.8 in [12/15, 13/15)
    assert found["ece"] == pytest.approx((abs(0.9 - 1) + abs(0.6 - 0) + abs(0.7 - 0) + abs(1.6 - 2)) / 5, abs=1e-6)


def test_a_label_that_no_model_knows_has_no_loss() -> None:
    test = DataFrame({"uuid": ["a"], "label": ["fox"]})
    table = predictions(test, numpy.array([[0.5, 0.5]], numpy.float32))
    assert (classification.measure(table)["loss"], classification.measure(table)["accuracy"]) == (None, 0.0)


def test_a_score_of_zero_is_no_infinite_loss() -> None:
    test = DataFrame({"uuid": ["a"], "label": ["cat"]})
    table = predictions(test, numpy.array([[0.0, 1.0]], numpy.float32))
    assert classification.measure(table)["loss"] == pytest.approx(-math.log(1e-12), abs=1e-3)


# --- together ---------------------------------------------------------------------------------------------------------

NEW_TEST = DataFrame(
    {"uuid": list("abcdef"), "label": ["cat", "cat", "dog", "dog", "dog", "cat"], "md5": list("12X456")}
)


def common() -> DataFrame:
    """Of a, b and d: b has another label than it had."""
    shared = NEW_TEST.filter(NEW_TEST["uuid"].is_in(["a", "b", "d"])).with_columns(
        old_label=Series(["cat", "dog", "dog"])
    )
    base = answers("cat", "dog", "dog", "cat", score=0.75)
    return classification.join(base, answers("dog", "cat", "dog", "dog", "dog", "cat"), shared)


def test_only_what_both_have_is_compared_by_the_new_label() -> None:
    rows = common().select("uuid", "label", "old_label", "base", "new").rows()
    assert rows == [
        ("a", "cat", "cat", "cat", "dog"),
        ("b", "cat", "dog", "dog", "cat"),
        ("d", "dog", "dog", "cat", "dog"),
    ]
    found = classification.compare(common())
    assert (found.images, found.broken, found.fixed) == (3, 1, 2)
    assert (found.base, found.new) == (1 / 3, 2 / 3)


def test_flips() -> None:
    assert classification.flips(common()).rows() == [
        ("a", "test", "cat", "cat", "dog", 0.75, 0.9, "broken", "1"),
        ("b", "test", "cat", "dog", "cat", 0.75, 0.9, "fixed", "2"),
        ("d", "test", "dog", "cat", "dog", 0.75, 0.9, "fixed", "4"),
    ]


def test_confusion_counts_both_models() -> None:
    found = classification.confusion(common())
    assert found["images"].sum() == 6
    assert ("base", "cat", "dog", 1) in found.rows()
    assert ("new", "dog", "dog", 1) in found.rows()


def test_calibration_bins() -> None:
    assert classification.calibration(common()).rows() == [
        ("base", 0.75, 0.75, pytest.approx(1 / 3), 3),
        ("new", 0.95, 0.9, pytest.approx(2 / 3), 3),
    ]


def test_certainty_is_in_the_last_bin() -> None:
    certain = classification.single(answers("cat", "dog", "dog", score=1.0), TEST)
    assert classification.calibration(certain).rows() == [("new", 0.95, 1.0, 1.0, 3)]


def test_classes_come_first_then_the_frequent_values_of_columns() -> None:
    columns = {"camera": DataFrame({"uuid": ["a", "b", "d", "e"], "value": ["Z", None, "Z", "only of e"]})}
    found = [(one.column, one.value, one.comparison.images) for one in classification.slices(common(), columns)]
    assert found == [("label", "cat", 2), ("label", "dog", 1), ("camera", "Z", 2)]


def test_no_image_in_common() -> None:
    none = common().clear()
    assert classification.compare(none) is None
    assert list(classification.slices(none, {})) == []
    assert classification.flips(none).is_empty()
    assert classification.confusion(none).is_empty()
    assert classification.calibration(none) is None
