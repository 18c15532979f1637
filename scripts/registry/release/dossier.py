"""The dossier of a release: facts of the registry for the technical documentation that the EU AI Act asks for.

Its order is that of Annex IV of Regulation (EU) 2024/1689, and for data that of the template for the public summary of
training content (Article 53(1)(d)). What a registry cannot know is a gap, for a person to write. Whether a system falls
under the Act, and whether the documentation is sufficient, is not decided here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt

from registry.core import versioning
from registry.core.values import (
    DatasetManifest,
    Export,
    LookerQuery,
    Manifest,
    ModelManifest,
    Selection,
    Tag,
)
from registry.core.wording import plural, size
from registry.model import gates
from registry.release.history import Release
from registry.release.notes import ReleasedVersion

Z = 1.959964  # the normal quantile of a two-sided interval of 95 %
PURPOSE = "intended use, and what it must not be used for"
PROPORTIONS = ("accuracy", "recall")  # metrics that are a share of `images` beside them
_LIMITS = re.compile(r"limit|must not|not be used|out of scope|bias|risk|fairness", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fact:
    """What the registry knows; `is_code`: a command or a hash, which is shown as it is."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is asked for, by the number in the law; what is known of it, and what a person has to write."""

    number: str
    title: str
    facts: tuple[Fact, ...]
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the dossier."""

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset release that a dossier describes, with where its rows are from, as far as `raw.dvc` says."""

    release: Release
    selection: Selection | None


@dataclass(frozen=True, slots=True)
class Subject:
    """The release that a dossier is about, its files that say how it was made, and the releases around it.

    `history` are all releases of the artifact, the oldest first; `data` is its own, or that of the model's dataset;
    `backbones` are models that it builds on. `packages` counts those that its training
    installs. `card` has the sections of its card by
    heading, `commands` are the stages of its training.
    """

    release: Release
    version: ReleasedVersion
    history: tuple[Release, ...]
    data: Data | None
    backbones: tuple[Release, ...] = ()
    users: tuple[Tag, ...] = ()
    manifest: str | None = None
    packages: int = 0
    commands: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)
    fetch: tuple[str, ...] = ()

    @property
    def tag(self) -> Tag:
        """Its tag."""
        return self.release.tag


def write(subject: Subject) -> tuple[Section, ...]:
    """The sections of the dossier."""
    manifest = subject.version.content.manifest
    data = Section("Data", tuple(_data(subject)))
    if not isinstance(manifest, ModelManifest):
        return Section("General description", tuple(_general(subject, manifest))), data, _changes(subject)
    return (
        Section("General description (Annex IV, 1)", tuple(_general(subject, manifest))),
        Section("Elements and development (Annex IV, 2)", tuple(_development(subject, manifest))),
        data,
        Section("Monitoring, functioning and control (Annex IV, 3 and 4)", tuple(_functioning(subject, manifest))),
        _changes(subject),
        Section("Further documents (Annex IV, 5, 7, 8 and 9)", tuple(_further())),
    )


# --- 1 ----------------------------------------------------------------------------------------------------------------


def _general(subject: Subject, manifest: Manifest) -> Iterator[Item]:
    release = subject.release
    facts = [
        Fact("name", f"{manifest.title} ({manifest.id})"),
        Fact("description", manifest.description),
        Fact("version", f"{release.tag.version}, published {release.time} as {release.tag}"),
        Fact("owners in the registry", ", ".join(manifest.owners)),
        Fact("license", manifest.license),
    ]
    if release.withdrawn:
        facts.append(Fact("withdrawn", release.withdrawn))
    if isinstance(manifest, ModelManifest):
        facts.append(Fact(PURPOSE, manifest.intended_use))
    provider = ("name, address and contact of the provider",)
    yield Item("1(a)", "Intended purpose, provider, version", tuple(facts), provider)
    if not isinstance(manifest, ModelManifest):
        return
    software = Fact("software", "one ONNX file, which runs with onnxruntime; nothing of the training is needed")
    yield Item(
        "1(b), 1(c)",
        "Interaction with hardware and software",
        (software,),
        ("the system that the model is a part of, and the versions of its software",),
    )
    weights = f" and {size(subject.version.sidecar)} of weights beside it" if subject.version.sidecar else ""
    form = Fact("form", f"model.onnx, {size(subject.version.size)}{weights}")
    yield Item("1(d)", "Forms in which it is made available", (form,), ("how the system is placed on the market",))
    yield Item("1(e)", "Hardware that it is intended to run on", (), ("the hardware of the product",))
    fetch = tuple(Fact("how to fetch it", command, is_code=True) for command in subject.fetch)
    yield Item(
        "1(f) to 1(h)", "Product, user interface, instructions for use", fetch, ("instructions for the deployer",)
    )


# --- 2 ----------------------------------------------------------------------------------------------------------------


def _development(subject: Subject, manifest: ModelManifest) -> Iterator[Item]:
    facts = [Fact("task", manifest.task)]
    if manifest.origin:
        facts.append(Fact("trained elsewhere", f"{manifest.origin.url}; the training is not reproducible here"))
    else:
        facts.append(Fact("training repeated", str(subject.release.reproduction or "not recorded")))
    for name, command in subject.commands.items():
        facts.append(Fact(f"stage {name}", command if isinstance(command, str) else "; ".join(command), is_code=True))
    if (recipe := subject.version.content.recipe) and recipe != "{}":
        facts.append(Fact("parameters", recipe, is_code=True))
    facts += [Fact("builds on", f"{one.tag} ({_license(one)})") for one in subject.backbones]
    yield Item(
        "2(a)", "Methods and steps of the development", tuple(facts), ("reasons for the method and for its parameters",)
    )
    yield Item("2(b)", "Design specifications", (), ("what it optimises for, key design choices and trade-offs",))
    listed = f"{plural(subject.packages, 'package')} with their hashes: registry sbom {subject.tag}"
    yield Item(
        "2(c)",
        "Architecture and computational resources",
        (Fact("software of the training", listed),) if subject.packages else (),
        ("the architecture of the system, and the resources of its development, training, test and validation",),
    )
    yield Item("2(e)", "Human oversight", (), ("measures by which persons can interpret and overrule its output",))
    yield Item("2(f)", "Pre-determined changes", (), ("changes of the system that are foreseen",))
    found = tuple(_metrics(subject.version.metrics))
    rules = tuple(Fact("gate", gates.describe_rule(gate)) for gate in manifest.gates)
    yield Item(
        "2(g)",
        "Validation and testing",
        (*_tested_on(subject), *found, *rules),
        ("test reports dated and signed by the responsible persons", "robustness beyond this test set"),
    )
    proof = [Fact("tag", str(subject.tag)), Fact("commit", subject.release.commit, is_code=True)]
    proof += [Fact("release manifest", f"sha256:{subject.manifest}", is_code=True)] if subject.manifest else []
    yield Item("2(h)", "Cybersecurity", tuple(proof), ("measures against attacks on the system",))


def _tested_on(subject: Subject) -> Iterator[Fact]:
    if subject.data:
        yield Fact("measured on", f"the test split of {subject.data.release.tag}")


def _metrics(metrics: Mapping[str, object]) -> Iterator[Fact]:
    """Metrics, shares with Wilson's interval."""
    for name, value in metrics.items():
        above, _, last = name.rpartition(".")
        count = metrics.get(f"{above}.images" if above else "images")
        if last in PROPORTIONS and isinstance(value, int | float) and isinstance(count, int) and count > 0:
            low, high = wilson(float(value), count)
            yield Fact(name, f"{value:.4g} of {plural(count, 'image')} (95 % CI {low:.4f} to {high:.4f})")
        elif isinstance(value, float):
            yield Fact(name, f"{value:.4g}")
        else:
            yield Fact(name, "unknown" if value is None else str(value))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` (Wilson 1927); the images count as independent of each other."""
    scale = 1 + Z * Z / count
    middle = (share + Z * Z / (2 * count)) / scale
    half = Z / scale * sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


# --- data -------------------------------------------------------------------------------------------------------------


def _data(subject: Subject) -> Iterator[Item]:
    data = subject.data
    version = data.release.version if data else None
    if data is None or version is None or not isinstance(version.content.manifest, DatasetManifest):
        yield Item("2(d)", "Training data", (), ("the data that it was trained on: no release has it",))
        return
    manifest = version.content.manifest
    yield Item("2(d)", "Provenance", tuple(_provenance(data, manifest)), ("how the images were obtained, and by whom",))
    facts = [Fact("classes", ", ".join(manifest.classes))]
    if version.build:
        facts.append(Fact("images", f"{version.build.images:,}"))
        facts += [Fact(split, _counts(counts)) for split, counts in version.build.counts.items()]
    rule = manifest.split
    ratios = ", ".join(f"{name} {float(ratio):g}" for name, ratio in rule.ratios.items())
    facts.append(Fact("split", f"{ratios}" + (f", grouped by {rule.group_by}" if rule.group_by else "")))
    facts.append(Fact("size", size(version.size)))
    yield Item("2(d)", "Scope and main characteristics", tuple(facts), ("whether it represents the persons concerned",))
    excluded = [Fact(uuid, why) for uuid, why in sorted(manifest.exclude.items())]
    yield Item("2(d)", "Cleaning", (Fact("excluded images", f"{len(excluded):,}"), *excluded), ("outlier detection",))
    yield Item("2(d)", "Labelling", (), ("who labelled the images, by which instructions, with which agreement",))
    yield Item(
        "summary 2 and 3",
        "Public summary of training content",
        (Fact("license of the data", manifest.license),),
        (
            "kind of source: public dataset, licensed from a third party, crawled, of users, synthetic",
            "reservations of rights that were respected, and how illegal content was removed",
            "personal data in it, and the legal basis",
        ),
    )


def _provenance(data: Data, manifest: DatasetManifest) -> Iterator[Fact]:
    yield Fact("dataset", f"{data.release.tag}, license {manifest.license}")
    if data.release.withdrawn:
        yield Fact("withdrawn", data.release.withdrawn)
    match manifest.source:
        case LookerQuery(model=model, view=view, filters=filters):
            chosen = "; ".join(f"{name} = {value}" for name, value in filters.items())
            yield Fact("query", f"Looker explore {model}/{view}" + (f", where {chosen}" if chosen else ""))
        case Export(description=description):
            yield Fact("export", description)
        case source:
            yield Fact("source", str(source))
    if found := data.selection:
        yield Fact("selected", f"{found.selected_at.isoformat()}, {plural(found.rows, 'row')} from {found.origin}")
        hashes = {"rows": found.rows_hash, "query": found.query_hash, "file": found.file_hash, "SQL": found.sql_hash}
        for name, value in hashes.items():
            if value:
                yield Fact(f"SHA-256 of the {name}", value, is_code=True)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {number:,}" for label, number in sorted(counts.items())) or "no images"


def _license(release: Release) -> str:
    return release.version.content.manifest.license if release.version else "license unknown"


# --- 3 to 9 -----------------------------------------------------------------------------------------------------------


def _functioning(subject: Subject, manifest: ModelManifest) -> Iterator[Item]:
    card = [Fact(f"card, {heading}", text) for heading, text in subject.card.items() if _LIMITS.search(heading)]
    yield Item(
        "3",
        "Capabilities and limitations",
        (Fact(PURPOSE, manifest.intended_use), *card),
        (
            "accuracy for the persons or groups that it is to be used on",
            "foreseeable unintended outcomes, and risks to health, safety and fundamental rights",
            "human oversight, and specifications of the input",
        ),
    )
    yield Item("4", "Appropriateness of the metrics", (), ("why these metrics fit the purpose",))


def _changes(subject: Subject) -> Section:
    rows: list[Fact] = []
    before: ReleasedVersion | None = None
    for release in subject.history:
        found = release.version
        changed = ""
        if before and found:
            required = versioning.required_bumps(before.content, found.content, None)
            changed = ": " + (", ".join(one.what for one in required) or "no change in Git")
        withdrawn = f"; withdrawn: {release.withdrawn}" if release.withdrawn else ""
        stages = f"; stage {', '.join(release.stages)}" if release.stages else ""
        rows.append(Fact(str(release.tag), f"{release.date}{changed}{stages}{withdrawn}"))
        before = found or before
    used = [Fact("used by", str(tag)) for tag in subject.users]
    item = Item("6", "Versions, removals and withdrawals", (*rows, *used), ("changes of the system around it",))
    return Section("Changes over its life (Annex IV, 6)", (item,))


def _further() -> Iterator[Item]:
    yield Item("5", "Risk management system", (), ("the risk management of Article 9",))
    yield Item("7", "Harmonised standards", (), ("standards that are applied, or the solutions in their place",))
    yield Item("8", "EU declaration of conformity", (), ("a copy of it",))
    yield Item("9", "Monitoring after placing on the market", (), ("the plan of Article 72",))
