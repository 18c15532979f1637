"""Two models' answers as frames: joined on what both were asked, sliced, counted."""

import json
from io import BytesIO
from typing import Any

import pytest
from polars import DataFrame

from registry.core import schema
from registry.errors import Refused
from registry.model import predictions

TEST = DataFrame({"uuid": ["a", "b", "c"], "label": ["cat", "dog", "dog"], "md5": ["1", "2", "3"]})


def parquet(**columns: list[Any]) -> bytes:
    out = BytesIO()
    DataFrame(columns).write_parquet(out)
    return out.getvalue()


def answers(*predicted: str, score: float = 0.9) -> DataFrame:
    return DataFrame(
        {"uuid": list("abcdef")[: len(predicted)], "predicted": predicted, "score": [score] * len(predicted)}
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_score_is_that_of_the_answer() -> None:
    data = parquet(
        uuid=["c", "b", "a", "of another split"],
        predicted=["dog", "cat", "fox", "cat"],
        score_cat=[0.2, 0.7, 0.1, 1.0],
        score_dog=[0.8, 0.3, 0.2, 0.0],
    )
    read = predictions.read(data, TEST, "predictions.parquet")
    assert read.rows() == [("a", "fox", None), ("b", "cat", 0.7), ("c", "dog", 0.8)]


def with_scores(classes: int) -> bytes:
    scores: dict[str, list[Any]] = {f"score_c{number}": [number / classes] for number in range(classes)}
    return parquet(uuid=["a"], predicted=["c9999"], **scores)


def test_each_class_of_a_manifest_may_have_its_score() -> None:
    most = json.loads((schema.folder() / "dataset.schema.json").read_text())["properties"]["classes"]["maxItems"]
    read = predictions.read(with_scores(most), TEST.head(1), "x")
    assert read.rows() == [("a", "c9999", 9999 / most)]
    with pytest.raises(Refused, match="x has 10,003 columns, expected at most 10,002"):
        predictions.read(with_scores(most + 1), TEST.head(1), "x")


def test_a_model_without_scores() -> None:
    read = predictions.read(parquet(uuid=["a", "b", "c"], predicted=["cat"] * 3), TEST, "x")
    assert read["score"].to_list() == [None] * 3
    assert predictions.calibration(predictions.single(TEST, read)) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no parquet", "x is not a valid Parquet file, or is cut off: it has no footer at its end"),
        (parquet(uuid=["a"]), "x is not a Parquet file with the columns uuid and predicted"),
        (parquet(uuid=["a", "b"], predicted=["cat", "dog"]), "x has no prediction for 1 of 3 test images"),
        (parquet(uuid=["a", "b", "c"], predicted=["cat", None, "dog"]), "x has no prediction for 1 of 3 test images"),
        (parquet(uuid=["a", "b", "c", "c"], predicted=["cat"] * 4), "x contains 1 duplicate prediction"),
    ],
)
def test_what_is_no_predictions(data: bytes, message: str) -> None:
    with pytest.raises(Refused) as error:
        predictions.read(data, TEST, "x")
    assert error.value.message == message


def test_accuracy_and_macro_f1() -> None:
    assert predictions.measure(answers("cat", "dog", "cat"), TEST) == pytest.approx(
        {"accuracy": 2 / 3, "macro_f1": (2 * 1 / 3 + 2 * 1 / 3) / 2}
    )


# --- together ---------------------------------------------------------------------------------------------------------

NEW_TEST = DataFrame(
    {"uuid": list("abcdef"), "label": ["cat", "cat", "dog", "dog", "dog", "cat"], "md5": list("12X456")}
)


def common() -> DataFrame:
    """a is the same; b has another label, c other bytes; d and e are new to the base, f too."""
    base_test = DataFrame({"uuid": list("abcd"), "label": ["cat", "dog", "dog", "dog"], "md5": list("1234")})
    base = answers("cat", "dog", "dog", "cat", score=0.75)
    return predictions.join(base_test, NEW_TEST, base, answers("dog", "cat", "dog", "dog", "dog", "cat"))


def test_only_what_both_have_is_compared_by_the_new_label() -> None:
    rows = common().select("uuid", "label", "old_label", "base", "new").rows()
    assert rows == [
        ("a", "cat", "cat", "cat", "dog"),
        ("b", "cat", "dog", "dog", "cat"),
        ("d", "dog", "dog", "cat", "dog"),
    ]
    found = predictions.compare(common())
    assert (found.images, found.broken, found.fixed) == (3, 1, 2)
    assert (found.base, found.new) == (1 / 3, 2 / 3)


def test_flips() -> None:
    assert predictions.flips(common()).rows() == [
        ("a", "test", "cat", "cat", "dog", 0.75, 0.9, "broken", "1"),
        ("b", "test", "cat", "dog", "cat", 0.75, 0.9, "fixed", "2"),
        ("d", "test", "dog", "cat", "dog", 0.75, 0.9, "fixed", "4"),
    ]


def test_confusion_counts_both_models() -> None:
    found = predictions.confusion(common())
    assert found["images"].sum() == 6
    assert ("base", "cat", "dog", 1) in found.rows()
    assert ("new", "dog", "dog", 1) in found.rows()


def test_calibration_bins() -> None:
    assert predictions.calibration(common()).rows() == [
        ("base", 0.75, 0.75, pytest.approx(1 / 3), 3),
        ("new", 0.95, 0.9, pytest.approx(2 / 3), 3),
    ]


def test_certainty_is_in_the_last_bin() -> None:
    certain = predictions.single(TEST, answers("cat", "dog", "dog", score=1.0))
    assert predictions.calibration(certain).rows() == [("new", 0.95, 1.0, 1.0, 3)]


def test_classes_come_first_then_the_frequent_values_of_columns() -> None:
    columns = {"camera": DataFrame({"uuid": ["a", "b", "d", "e"], "value": ["Z", None, "Z", "only of e"]})}
    found = [(one.column, one.value, one.comparison.images) for one in predictions.slices(common(), columns)]
    assert found == [("label", "cat", 2), ("label", "dog", 1), ("camera", "Z", 2)]


def test_no_image_in_common() -> None:
    none = common().clear()
    assert predictions.compare(none) is None
    assert list(predictions.slices(none, {})) == []
    assert predictions.flips(none).is_empty()
    assert predictions.confusion(none).is_empty()
    assert predictions.calibration(none) is None
