"""Manifests as values. A manifest is parsed here and nowhere else; after that, every field is known to be there."""

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from registry.core import delivery_places, documents, item_paths, looker_addresses, names, schema
from registry.core.adoption import Adopted
from registry.core.documents import Document
from registry.core.item_paths import LakeKeys
from registry.core.layout import SPLITS, manifest_path
from registry.core.model_values import DEFAULT_TASK, Gate, Origin
from registry.core.tree import Tree
from registry.core.values import (
    ArtifactId,
    Column,
    DatasetManifest,
    Expectations,
    Export,
    Kind,
    Look,
    LookerQuery,
    Manifest,
    ModelManifest,
    Source,
    SplitExpectations,
    SplitRule,
)
from registry.errors import InvalidDocument, NotFound, Refused


def read_document(tree: Tree, artifact: ArtifactId) -> Document:
    """An artifact's manifest as a document, not validated yet. Raises NotFound, InvalidDocument."""
    path = manifest_path(artifact)
    if not tree.has(path):
        raise NotFound(
            f"{artifact} does not exist in {tree}",
            fix=f"registry new {artifact.kind} {artifact.name}, or choose one that `registry list` shows",
        )
    return documents.read_yaml(tree.read(path), path)


def load(tree: Tree, artifact: ArtifactId) -> Manifest:
    """An artifact's manifest as a value. Raises NotFound, InvalidDocument."""
    document = read_document(tree, artifact)
    schema.require(document, artifact.kind.value)
    return parse(document, artifact)


def load_dataset(tree: Tree, artifact: ArtifactId) -> DatasetManifest:
    """A dataset's manifest. Raises NotFound, InvalidDocument."""
    if artifact.kind is not Kind.DATASET:
        raise NotFound(f"{artifact} is not a dataset", fix="name one of datasets/…")
    manifest = load(tree, artifact)
    assert isinstance(manifest, DatasetManifest)  # `parse` chooses by the kind
    return manifest


def load_model(tree: Tree, artifact: ArtifactId) -> ModelManifest:
    """A model's manifest. Raises NotFound, InvalidDocument."""
    if artifact.kind is not Kind.MODEL:
        raise NotFound(f"{artifact} is not a model", fix="name one of models/…")
    manifest = load(tree, artifact)
    assert isinstance(manifest, ModelManifest)  # `parse` chooses by the kind
    return manifest


def parse(document: Document, artifact: ArtifactId) -> Manifest:
    """A document that is valid by its schema, as a value. Raises InvalidDocument for what a schema cannot express."""
    data = document.data
    if data["name"] != artifact.name:
        fix = f"set name: {artifact.name}, or rename the folder"
        raise InvalidDocument(
            document.path,
            f"name is {data['name']}, expected the folder's name {artifact.name}",
            line=document.line(("name",)),
            fix=fix,
        )
    head = {
        "id": artifact,
        "version": names.parse_version(data["version"]),
        **{key: data[key] for key in ("title", "description", "license")},
        "owners": tuple(data["owners"]),
        "withdrawn": {names.parse_version(version): why for version, why in data.get("withdrawn", {}).items()},
    }
    return _dataset(document, head) if artifact.kind is Kind.DATASET else _model(data, head)


def _dataset(document: Document, head: Mapping[str, Any]) -> DatasetManifest:
    data = document.data
    columns = tuple(_column(name, column) for name, column in data["columns"].items())
    _require_distinct_classes(document)
    return DatasetManifest(
        **head,
        source=_source(document),
        image=data.get("image"),
        columns=columns,
        classes=tuple(data["classes"]),
        split=_split(document, columns),
        expectations=_expectations(data.get("expectations", {})),
        exclude=data.get("exclude", {}),
        lenient=data.get("images", {}).get("lenient", False),
        folders=data.get("layout", {}).get("folders"),
    )


def asked_columns(manifest: DatasetManifest) -> tuple[Column, ...]:
    """The columns whose values come from the source; rows keep those of the others."""
    return tuple(column for column in manifest.columns if not column.kept)


def _column(name: str, data: Mapping[str, Any]) -> Column:
    nulls = tuple(data["null_values"]) if "null_values" in data else None
    source = data.get("from", name)
    field, *headers = [source] if isinstance(source, str) else source
    zone = data.get("timezone")
    return Column(
        name, field, data["type"], data.get("nullable", False), nulls, tuple(headers), zone, data.get("kept", False)
    )


def _expectations(data: Mapping[str, Any]) -> Expectations:
    splits = {name: SplitExpectations(**limits) for name, limits in data.get("splits", {}).items()}
    return Expectations(**{**data, "splits": splits})


def _source(document: Document) -> Source:
    data = document.data["source"]
    if "look" in data:
        return _look(document)
    if "export" in data:
        return _export(document)
    if "adopted" in data:
        adopted = data["adopted"]
        return Adopted(adopted["from"], *(adopted.get(key, "") for key in ("path", "commit", "md5")))
    query = data["looker"]
    return LookerQuery(
        model=query["model"],
        view=query["view"],
        filters=query.get("filters", {}),
        filter_expression=query.get("filter_expression"),
        sorts=tuple(query.get("sorts", ())),
        timezone=query.get("timezone", "UTC"),
    )


def _export(document: Document) -> Export:
    data = document.data["source"]["export"]
    try:
        looker_addresses.require_no_page(data.get("from", ""))
        place = delivery_places.parse(data["from"]) if "from" in data else None
    except (Refused, looker_addresses.InvalidAddress) as error:
        line, fault = document.line(("source", "export", "from")), f"source.export.from: {error.message}"
        raise InvalidDocument(document.path, fault, line=line, fix=error.fix) from error
    return Export(data["description"], data.get("timezone"), place)


def _look(document: Document) -> Look:
    try:
        return looker_addresses.parse_look(str(document.data["source"]["look"]))
    except looker_addresses.InvalidAddress as error:
        line = document.line(("source", "look"))
        raise InvalidDocument(document.path, f"source.look: {error.message}", line=line, fix=error.fix) from error


def _split(document: Document, columns: tuple[Column, ...]) -> SplitRule:
    data = document.data["split"]
    ratios = {split: Fraction(str(data["ratios"][split])) for split in SPLITS}
    if sum(ratios.values()) != 1:
        line = document.line(("split", "ratios"))
        raise InvalidDocument(
            document.path,
            f"split.ratios: the sum is {float(sum(ratios.values())):g}, expected 1",
            line=line,
            fix="change the ratios so that they add up to 1",
        )
    _require_split_columns(document, {column.name: column.type for column in columns})
    return SplitRule(data["salt"], ratios, data.get("group_by"), data.get("given"))


def _require_split_columns(document: Document, types: Mapping[str, str]) -> None:
    """Raise InvalidDocument where `group_by` or `given` is no column, or where a rule has both."""
    data, faults = document.data["split"], dict[str, tuple[str, str]]()
    group_by, given = data.get("group_by"), data.get("given")
    if given and types.get(given, "string") != "string":
        faults["given"] = f"split.given: the type of {given} is {types[given]}, expected string", "name a text column"
    if given and group_by:  # a group could have rows in two splits
        faults["given"] = "split: given and group_by cannot be combined", "remove one of them"
    for key, name in (("group_by", group_by), ("given", given)):
        if name and name not in types:
            faults[key] = f"split.{key}: no column {name}", "name one of the columns"
    for key, (fault, fix) in faults.items():
        raise InvalidDocument(document.path, fault, line=document.line(("split", key)), fix=fix)


def _require_distinct_classes(document: Document) -> None:
    seen: dict[str, str] = {}
    for index, name in enumerate(document.data["classes"]):
        if other := seen.get(name.casefold()):
            line = document.line(("classes", index))
            raise InvalidDocument(
                document.path,
                f"classes: {other} and {name} differ only in case",
                line=line,
                fix="keep one of them: some file systems ignore case",
            )
        seen[name.casefold()] = name


def _model(data: Mapping[str, Any], head: Mapping[str, Any]) -> ModelManifest:
    return ModelManifest(
        **head,
        task=data.get("task", DEFAULT_TASK),
        intended_use=data["intended_use"],
        gates=tuple(_gate(gate) for gate in data.get("gates", ())),
        slices=tuple(data.get("slices", ())),
        tolerance=data.get("reproduce", {}).get("tolerance", {}),
        trained_on=names.parse_id(data["trained_on"]) if "trained_on" in data else None,
        origin=Origin(**data["origin"]) if "origin" in data else None,
        measured_on=names.parse_id(data["measured_on"]) if "measured_on" in data else None,
        builds_on=tuple(names.parse_id(name) for name in data.get("builds_on", ())),
    )


def _gate(data: Mapping[str, Any]) -> Gate:
    rest = {key: value for key, value in data.items() if key not in {"class", "slice"}}
    return Gate(**rest, label=data.get("class"), slice=next(iter(data.get("slice", {}).items()), None))


def lake_keys(manifest: DatasetManifest) -> LakeKeys:
    """The grammar of the images' keys in the lake. Raises Refused for an adopted dataset, whose images have none."""
    if manifest.image is None:
        raise Refused(f"{manifest.id} was adopted: its images are not in the lake", fix="registry check --images")
    return item_paths.parse_lake_keys(manifest.image)


def build_rule(manifest: DatasetManifest) -> str:
    """The SHA-256 of the fields that determine what `registry build` makes; a pointer with another one is outdated."""
    split = manifest.split
    parts = {
        "image": manifest.image,
        "columns": [[column.name, column.type] for column in manifest.columns],
        "classes": manifest.classes,
        "split": [split.salt, {name: str(ratio) for name, ratio in split.ratios.items()}, split.group_by]
        + ([split.given] if split.given else []),
        "exclude": sorted(manifest.exclude),
        **({"folders": manifest.folders} if manifest.folders else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
