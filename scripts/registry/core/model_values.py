"""What a model's manifest has beside that of a dataset: its task, its origin, its gates."""

from dataclasses import dataclass

DEFAULT_TASK = "classification"  # of a manifest that names none
FEATURES = "features"  # the task of a model that gives a vector for an image, for other models to build on


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from that was trained elsewhere.

    `training_images` is the path of a text file in its folder that lists the images that it was trained on.
    """

    url: str
    training_images: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A rule for a metric: absolute bounds, or `no_worse_than` the base model (see `model.gates`).

    It applies to the images of one class (`label`), of one slice (a column and its value), or to all.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    no_worse_than: str | None = None
    confidence: float = 0.95
    margin: float | None = None
    label: str | None = None
    slice: tuple[str, str] | None = None
