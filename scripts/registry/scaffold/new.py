"""Creates an artifact's folder from `templates/`: a manifest with placeholders, a card, and a model's code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from registry.core import manifests
from registry.core.atomic_write import write_atomically
from registry.core.layout import manifest_path
from registry.core.model_values import FEATURES
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, SplitRule
from registry.errors import Refused
from registry.scaffold import explore
from registry.scaffold.explore import Source

TEMPLATES = Path(__file__).parent / "templates"
_RATIOS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
_SOURCE = """\
  looker:
    model: <LookML model>
    view: <explore>
    filters: {}
  # look: 42
  # export: {description: the table that the photo desk exports every Monday, timezone: Europe/Berlin}"""
_COLUMNS = """\
  uuid: {from: images.uuid, type: uuid}
  label: {from: images.label, type: string}"""
_DESCRIPTIONS: Mapping[Kind, str] = {
    Kind.DATASET: "<what the images show, who took them, what they are for>",
    Kind.MODEL: "<what it predicts, from what, and how well that has to work>",
}
_LICENSES: Mapping[Kind, str] = {
    Kind.DATASET: "<an SPDX id such as CC-BY-4.0, or LicenseRef-NAME for terms of your own>",
    Kind.MODEL: "<an SPDX id such as Apache-2.0, or LicenseRef-NAME for terms of your own>",
}
_INTENDED_USE = "<who may use it for what, and for what not>"
# $name and the like are substituted; other files are copied.
FILLED = ("dataset.yaml", "model.yaml", "README.md", "transfer/dvc.yaml", "external/dvc.yaml")


@dataclass(frozen=True, slots=True)
class Words:
    """What people say about an artifact; what is empty becomes a placeholder, a title is derived from the name."""

    title: str = ""
    description: str = ""
    license: str = ""
    intended_use: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, by path from the root."""

    artifact: ArtifactId
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return "\n".join(f"write {path}" for path in self.files)


def plan(
    tree: Tree,
    artifact: ArtifactId,
    *,
    owners: tuple[str, ...],
    words: Words = Words(),
    source: Source | None = None,
    trained_on: ArtifactId | None = None,
    builds_on: ArtifactId | None = None,
    same_split_as: ArtifactId | None = None,
) -> Plan:
    """The files of a new artifact; a dataset may take the split rule of `same_split_as` and a query as its `source`.

    A model that `builds_on` another one trains a head on its features. Raises Refused where its folder has files, or a
    model's dataset or backbone does not exist or gives no features; NotFound and InvalidDocument for the dataset whose
    split rule it takes, and for the backbone.
    """
    require_unused(tree, artifact)
    if artifact.kind is Kind.MODEL and (not trained_on or not tree.has(manifest_path(trained_on))):
        fix = (
            f"registry new dataset {trained_on.name if trained_on else artifact.name}, or choose one with --trained-on"
        )
        raise Refused(f"{trained_on or 'the dataset'} does not exist: a model is trained on a dataset", fix=fix)
    if builds_on:
        _require_backbone(tree, builds_on)
    values = {
        **describe(artifact, words, owners),
        "backbone": str(builds_on),
        "source": explore.source_text(source) if source else _SOURCE,
        "columns": explore.columns_text(source.columns) if source else _COLUMNS,
        "classes": explore.classes_text(source.classes) if source else "[]",
        "trained_on": str(trained_on),
        "split": _split(manifests.load_dataset(tree, same_split_as).split if same_split_as else None, artifact.name),
    }
    return Plan(artifact, render("transfer" if builds_on else artifact.kind.value, artifact, values))


def _require_backbone(tree: Tree, backbone: ArtifactId) -> None:
    register = "registry new model NAME --from FILE --origin URL --task features"
    if not tree.has(manifest_path(backbone)):
        raise Refused(f"{backbone} does not exist: --builds-on is a model that gives features", fix=register)
    if (manifest := manifests.load_model(tree, backbone)).task != FEATURES:
        raise Refused(f"{backbone} gives {manifest.task}, expected a model that gives features", fix=register)


def require_unused(tree: Tree, artifact: ArtifactId) -> None:
    """Raise Refused where the folder of a new artifact has files."""
    if existing := tree.list(str(artifact)):
        raise Refused(f"{artifact} exists already: {existing[0].path}", fix="choose another name, or edit its files")


def describe(artifact: ArtifactId, words: Words, owners: tuple[str, ...]) -> dict[str, str]:
    """What every template says of an artifact, as YAML: what people gave, and placeholders for the rest."""
    return {
        "name": artifact.name,
        "title": _quoted(words.title or artifact.name.replace("_", " ").replace("-", " ").capitalize()),
        "description": _quoted(words.description) if words.description else _DESCRIPTIONS[artifact.kind],
        "license": _quoted(words.license) if words.license else _LICENSES[artifact.kind],
        "intended_use": _quoted(words.intended_use) if words.intended_use else _INTENDED_USE,
        "owners": json.dumps(owners),
    }


def render(template: str, artifact: ArtifactId, values: Mapping[str, str]) -> Mapping[str, bytes]:
    """The files of a folder of templates, by path from the root."""
    files = sorted(path for path in (TEMPLATES / template).iterdir() if path.is_file())
    return {f"{artifact}/{path.name}": _fill(path, values) for path in files}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _split(rule: SplitRule | None, name: str) -> str:
    """The keys of `split`, two spaces in front of each: those of another dataset's rule, or the default ones."""
    salt = json.dumps(rule.salt) if rule else name
    ratios = ", ".join(f"{split}: {float(ratio):g}" for split, ratio in (rule.ratios if rule else _RATIOS).items())
    group_by = f"group_by: {rule.group_by}" if rule and rule.group_by else "# group_by: camera"
    return f"  salt: {salt}\n  ratios: {{{ratios}}}\n  {group_by}"


def _fill(path: Path, values: Mapping[str, str]) -> bytes:
    if path.name not in FILLED and f"{path.parent.name}/{path.name}" not in FILLED:
        return path.read_bytes()
    title = json.loads(values["title"]) if path.suffix == ".md" else values["title"]
    return Template(path.read_text()).substitute({**values, "title": title}).encode()


def apply(plan: Plan, root: Path) -> None:
    """Write the files."""
    for path, data in plan.files.items():
        write_atomically(root / path, data)
