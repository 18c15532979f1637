"""Reports for typical situations, from hand-made values."""

import math
from dataclasses import replace

from registry.core.check_names import CheckName
from registry.core.model_values import Gate
from registry.core.values import (
    ArtifactId,
    Asker,
    Bump,
    Counts,
    Finding,
    Kind,
    Lookml,
    Outcome,
    RequiredBump,
    Verdict,
    Version,
)
from registry.dataset.changes import (
    Concentration,
    DatasetChange,
    DuplicatePair,
    QueryChange,
    Shift,
    Symmetry,
)
from registry.model.changes import (
    GateResult,
    GateState,
    MetricChange,
    ModelChange,
    Slice,
)
from registry.report.assemble import assemble
from registry.report.values import Report
from support.model_frames import calibration, confusion, frame
from support.report_parts import (
    BEFORE,
    MODEL,
    NOTHING,
    PASSED,
    PETS,
    RUN_INFO,
    V100,
    V110,
    V120,
    V200,
    changed,
    diff,
    digest,
    item,
    model_change,
    origin,
    pair,
    paired,
    plus,
)


def first_release() -> Report:
    """A new dataset, and a new model on it: nothing to compare with."""
    dataset = DatasetChange(
        PETS,
        "Pets at home",
        None,
        V100,
        QueryChange.FIRST,
        diff=diff(NOTHING, BEFORE, added=BEFORE),
        declared=Bump.MAJOR,
        bytes_after=412_000_000,
        examples=changed("Added", 1958, "train/cat"),
        selections=(None, origin(1958, 2)),
    )
    gates = (
        GateResult(Gate("accuracy", min=0.85), GateState.PASSED, "accuracy is 0.9113, expected at least 0.85", 14),
        GateResult(
            Gate("accuracy", no_worse_than="base"),
            GateState.PASSED,
            "accuracy was not compared with the base: this is the first version of the model",
            15,
        ),
    )
    model = ModelChange(
        MODEL,
        "Cat or dog",
        None,
        V100,
        trained=True,
        metrics=(MetricChange("accuracy", None, 0.9113, None), MetricChange("loss", None, 0.2417, None)),
        shares=("accuracy",),
        images=203,
        tests=203,
        gates=gates,
        confusion=confusion().filter(model="new"),
        calibration=calibration().filter(model="new"),
    )
    return assemble(PASSED, [dataset], [model], RUN_INFO)


def grown() -> Report:
    """Only new images, and no training."""
    more: Counts = {"train": {"cat": 80, "dog": 20}, "val": {"cat": 9, "dog": 3}, "test": {"cat": 12, "dog": 2}}
    columns = frame(("value", "before", "after"), ("indoors", 0.62, 0.58), ("outdoors", 0.38, 0.42))
    dataset = DatasetChange(
        PETS,
        "Pets at home",
        V100,
        V110,
        QueryChange.RESULT,
        diff=diff(BEFORE, plus(BEFORE, more), added=more),
        required_bump=RequiredBump(Bump.MINOR, "126 images were added", "An addition is minor"),
        declared=Bump.MINOR,
        bytes_before=412_000_000,
        bytes_after=439_000_000,
        shifts=(Shift("place", 0.04, 0.0002, columns),),
        stable=("camera", "iso"),
        concentrations=(Concentration("added", "label", "cat", 101, 101 / 126, 1.6),),
        examples=changed("Added", 126, "train/dog"),
        search_skipped="2,084 images exceed report.near_duplicates in registry.yaml (2,000)",
        selections=(origin(1958, 2), origin(2084, 9)),
    )
    return assemble(PASSED, [dataset], [], RUN_INFO)


def narrowed() -> Report:
    """The same query in the manifest, run by another user on other LookML: fewer images."""
    removed: Counts = {"train": {"cat": 400, "dog": 380}, "val": {"cat": 50, "dog": 48}, "test": {"cat": 52, "dog": 50}}
    asker = Asker("7", "Ana [Silva](https://evil.example)")
    sql, lookml = digest("SELECT 1 WHERE tenant = 'acme'"), Lookml("pets", "a0c3" * 10)
    dataset = DatasetChange(
        PETS,
        "Pets at home",
        V110,
        V200,
        QueryChange.SQL,
        diff=diff(BEFORE, plus(BEFORE, removed, -1), removed=removed),
        required_bump=RequiredBump(Bump.MAJOR, "980 images were removed", "A removal is major"),
        declared=Bump.MAJOR,
        selections=(origin(1958, 2), origin(978, 9, sql_hash=sql, lookml=lookml, asked_by=asker)),
    )
    return assemble(PASSED, [dataset], [], RUN_INFO)


def relabelled() -> Report:
    """Another query: images of one camera were removed, labels changed, and duplicates were found."""
    removed: Counts = {"train": {"cat": 50, "dog": 1}}
    new: Counts = {"train": {"cat": 6, "dog": 10}, "test": {"dog": 2}}
    dataset = DatasetChange(
        PETS,
        "Pets at home",
        V110,
        V200,
        QueryChange.QUERY,
        diff=diff(BEFORE, plus(BEFORE, removed, -1), removed=removed, relabelled=new),
        queries=(
            "filters:\n  pets.taken: 12 months\n  pets.camera:",
            "filters:\n  pets.taken: 12 months\n  pets.camera: -XT-3",
        ),
        required_bump=RequiredBump(Bump.MAJOR, "51 images were removed", "A removal is major"),
        declared=Bump.MAJOR,
        bytes_before=412_000_000,
        bytes_after=400_500_000,
        transitions=frame(("what", "old", "new", "items"), ("label", "cat", "dog", 12), ("label", "dog", "cat", 6)),
        concentrations=(
            Concentration("removed", "camera", "XT-3", 48, 48 / 51, 5.1),
            Concentration("relabelled", "place", "zoo", 9, 0.5, math.inf),
        ),
        duplicates=(
            DuplicatePair(item(1, "train", "cat", "a"), item(2, "test", "cat", "a", is_new=True)),
            DuplicatePair(
                item(3, "train", "cat", "b", is_new=True),
                item(4, "val", "dog", "c", is_new=True),
                3,
                Symmetry.MIRRORED_ROTATED,
            ),
        ),
        pairs=(pair(1), pair(2)),
        examples=(
            *changed("Removed", 51, "train/cat", "#d98f8f"),
            *changed("Relabelled", 18, "train/cat → train/dog", "#d9c58f"),
        ),
    )
    return assemble(PASSED, [dataset], [], RUN_INFO)


def trained() -> Report:
    """A model trained again on a larger dataset: better, on the same images, and its gates hold."""
    return assemble(PASSED, [], [model_change()], RUN_INFO)


def blocked() -> Report:
    """A model that is worse than the base, and a dataset whose version does not move far enough."""
    gates = (
        GateResult(Gate("accuracy", min=0.85), GateState.FAILED, "accuracy is 0.8276, expected at least 0.85", 14),
        GateResult(
            Gate("accuracy", no_worse_than="base"),
            GateState.FAILED,
            "accuracy is 0.8276 vs. 0.8966 on 203 shared test images (difference -0.0690, 95% CI -0.1084 to -0.0296): "
            "significantly worse than the base",
            15,
        ),
        GateResult(
            Gate("accuracy", min=0.8, slice=("camera", "A7")),
            GateState.NOT_EVALUATED,
            "accuracy where camera is A7 was not measured",
            17,
        ),
    )
    model = model_change(
        gates=gates,
        comparison=replace(paired(0.8966, 0.8276, -0.1084, -0.0296, p_value=0.0007), broken=18, fixed=4),
        metrics=(
            MetricChange("accuracy", 0.8966, 0.8276, better=False),
            MetricChange("loss", 0.2417, math.nan, better=None),
        ),
        params=(),
        slices=(),
        examples=(),
        confusion=None,
        calibration=None,
        curves=None,
    )
    wrong = Finding(
        CheckName.VERSION,
        PETS,
        Verdict.WRONG,
        "version is still 1.0.0 but 12 images were removed",
        "datasets/pets/dataset.yaml",
        4,
        "a removal is major: set version: 2.0.0",
    )
    outcomes = (
        *PASSED,
        Outcome(CheckName.VERSION, PETS, (wrong,)),
        Outcome(CheckName.BUILD, PETS, not_run="version comes first"),
        Outcome(
            CheckName.GATES,
            MODEL,
            (Finding(CheckName.GATES, MODEL, Verdict.WRONG, "as check says it", "models/pets/model.yaml", 14),),
        ),
    )
    return assemble(outcomes, [], [model], RUN_INFO)


def base_unavailable() -> Report:
    """The base model is lost."""
    why = "the base model could not be measured: models/pets/model.onnx (0f1e2d): no intact copy in DVC's cache"
    uncompared = "accuracy was not compared with the base"
    gates = (
        GateResult(Gate("accuracy", min=0.85), GateState.PASSED, "accuracy is 0.9263, expected at least 0.85", 14),
        GateResult(Gate("accuracy", no_worse_than="base"), GateState.NOT_EVALUATED, f"{uncompared}: {why}", 15),
    )
    metrics = (MetricChange("accuracy", None, 0.9263, None), MetricChange("loss", None, 0.2031, None))
    model = model_change(
        gates=gates, comparison=None, slices=(), flips=None, examples=(), images=217, metrics=metrics, unknown=why,
        confusion=confusion().filter(model="new"), calibration=None,
    )  # fmt: skip
    return assemble(PASSED, [], [model], RUN_INFO)


def undecided() -> Report:
    """A model that is neither better nor worse, measured in another way than the base, in an uncommitted tree."""
    gates = (
        GateResult(
            Gate("cpu.ms", max=12),
            GateState.PASSED,
            "cpu.ms is 11, expected at most 12 (reported by the training in models/pets/latency.json, not measured)",
            14,
        ),
    )
    model = model_change(
        comparison=paired(0.8966, 0.9113, -0.0147, 0.0441, p_value=0.51),
        metrics=(MetricChange("accuracy", 0.8966, 0.9113, better=True), MetricChange("loss", 0.2, 0.3, better=False)),
        measuring=("the change also changes the code that measures: requirements.txt",),
        gates=gates,
        slices=(), flips=None, examples=(), params=(), confusion=None, calibration=None, curves=None,
    )  # fmt: skip
    run = replace(RUN_INFO, commands=RUN_INFO.commands[2:], uncommitted=("models/pets/dvc.lock", "requirements.txt"))
    return assemble(PASSED, [], [model], run)


FORGED = "0a8c7f6e-0000-4000-8000-000000000009"


def forged() -> Report:
    """Metrics that the model file does not give."""
    model = model_change(
        disagreements=(
            "metrics.json has accuracy 0.99, expected 0.931 from predictions.parquet",
            "predictions.parquet differs from what model.onnx gives for 1 test image, such as " + FORGED,
        )
    )
    return assemble(PASSED, [], [model], RUN_INFO)


def removed_and_metadata() -> Report:
    """One dataset is removed, of another only the words change."""
    removed = DatasetChange(PETS, "Pets at home", V110, None, diff=diff(BEFORE, NOTHING, removed=BEFORE))
    words = DatasetChange(
        ArtifactId(Kind.DATASET, "cars"),
        "Cars",
        V100,
        Version(1, 0, 1),
        diff=diff(BEFORE, BEFORE),
        required_bump=RequiredBump(Bump.PATCH, "description changed", "A metadata-only change is a patch"),
        declared=Bump.PATCH,
        metadata_changes=("description",),
    )
    ask = Finding(
        CheckName.REMOVED,
        PETS,
        Verdict.NEEDS_OWNER,
        "datasets/pets is removed; its releases stay",
        "datasets/pets",
        fix="ask an owner to confirm that it is not needed",
    )
    return assemble((*PASSED, Outcome(CheckName.REMOVED, None, (ask,))), [removed, words], [], RUN_INFO)


def many(datasets: int = 3, models: int = 1, classes: int = 9) -> Report:
    """More artifacts, findings and rows than a comment shows unfolded."""
    names = [f"class_{place:03d}" for place in range(classes)]
    before: Counts = {split: dict.fromkeys(names, size) for split, size in (("train", 80), ("val", 10), ("test", 10))}
    more: Counts = {split: dict.fromkeys(names, 3) for split in before}
    grown = [grown_set(place, before, more) for place in range(datasets)]
    notes = tuple(
        Finding(
            CheckName.EXPECTATIONS,
            one.id,
            Verdict.NEEDS_OWNER,
            f"{name} has fewer images than expectations.min_per_class",
            f"{one.id}/dataset.yaml",
            30,
            "select more images, or lower min_per_class",
        )
        for one in grown
        for name in names[:20]
    )
    outcomes = (*PASSED, Outcome(CheckName.EXPECTATIONS, None, notes))
    return assemble(outcomes, grown, [model_at(place, classes) for place in range(models)], RUN_INFO)


def grown_set(place: int, before: Counts, more: Counts) -> DatasetChange:
    images = sum(sum(counts.values()) for counts in more.values())
    return DatasetChange(
        ArtifactId(Kind.DATASET, f"set_{place}"),
        f"Set {place}",
        V110,
        V120,
        QueryChange.RESULT,
        diff=diff(before, plus(before, more), added=more),
        required_bump=RequiredBump(Bump.MINOR, f"{images} images were added", "An addition is minor"),
        declared=Bump.MINOR,
        bytes_before=10**9,
        bytes_after=11 * 10**8,
        examples=changed("Added", images, "train/class_000"),
    )


def model_at(place: int, classes: int) -> ModelChange:
    names = [f"class_{one:03d}" for one in range(classes)]
    metrics = tuple(MetricChange(f"per_class.{name}.f1", 0.8, 0.82, better=True) for name in names)
    slices = tuple(Slice("label", name, paired(0.8, 0.82, -0.01, 0.05, 10, 0.3)) for name in names)
    low, high = (place - 1.5) / 100, (place - 0.5) / 100
    change = model_change(metrics=metrics, slices=slices, comparison=paired(0.9, 0.9 + (place - 1) / 100, low, high))
    return replace(change, id=ArtifactId(Kind.MODEL, f"set_{place}"))


SITUATIONS = {
    "first_release": first_release,
    "grown": grown,
    "narrowed": narrowed,
    "relabelled": relabelled,
    "trained": trained,
    "blocked": blocked,
    "base_unavailable": base_unavailable,
    "undecided": undecided,
    "forged": forged,
    "removed_and_metadata": removed_and_metadata,
    "many": many,
}
