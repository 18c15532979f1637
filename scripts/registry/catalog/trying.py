"""Puts models into the site that can be tried in a browser: of each, the latest release and those in a stage."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from registry.catalog import browser_runtime, releases
from registry.catalog.folder import INCOMPLETE, Folder
from registry.catalog.options import Options
from registry.core.documents import read_json
from registry.core.values import ModelManifest, Tag
from registry.core.wording import size
from registry.errors import RegistryError
from registry.model import model_file, onnx_form, tasks
from registry.model.model_file import CLASSES, InvalidMetadata, ModelFile, ModelOutput
from registry.model.onnx_form import Fault
from registry.release.history import Release
from registry.release.overview import Overview
from registry.storage.reader import ABSENT

MAX_BYTES = 100_000_000  # of a model file: who opens its page waits for it


class Tried(NamedTuple):
    """A model file in the site with what it declares, or why it is not there."""

    model: str = ""
    declared: ModelFile | None = None
    why: str = ""


def prepare(folder: Folder, artifacts: Sequence[Overview], options: Options) -> Mapping[Tag, Tried]:
    """The models that can be tried, and why others cannot, after writing what the site lacks: models, what runs them.

    Nothing where the registry does not want it. What cannot be read is told, and is not there.
    """
    if not options.try_it:
        return {}
    found = {release.tag: _prepare(folder, release, options) for one in artifacts for release in _choose(one)}
    models = [one.model for one in found.values() if one.declared]
    try:
        if models:
            browser_runtime.prepare(folder, options.onnxruntime_web)
    except RegistryError as error:
        options.warn(f"models cannot be tried on their pages: {error.message}")
        folder.discard(*models)
        return {}
    return found


def _choose(one: Overview) -> Iterator[Release]:
    latest = releases.latest_good(one)
    for release in one.releases:
        manifest = release.version.content.manifest if release.version else None
        is_current = release == latest or release.stages
        if is_current and releases.is_good(release) and isinstance(manifest, ModelManifest) and manifest.is_measured:
            yield release


def _prepare(folder: Folder, release: Release, options: Options) -> Tried:
    version = release.version
    manifest = version.content.manifest if version else None
    if version is None or not version.products or not isinstance(manifest, ModelManifest):
        return Tried(why="it has no model file")
    product, outputs = version.products[0], tasks.outputs(manifest.task)
    if version.sidecar:
        return Tried(why="its weights lie in a file of their own")
    if product.size > MAX_BYTES:
        return Tried(why=f"its file has {size(product.size)}, and a site has none above {size(MAX_BYTES)}")
    if options.erased.has_object(product.md5):
        return Tried(why="its file was erased")
    if [output.axes for output in outputs] != [(CLASSES,)]:
        return Tried(why=f"its task is {manifest.task}")
    model = f"{release.tag.artifact}/v{release.tag.version}/try/{product.md5}.onnx"
    if not folder.has(model) and (why := _write(folder, model, options.read(product.md5), outputs)):
        options.warn(f"{release.tag} cannot be tried on its page: {why}")
        return Tried(why=why)
    return Tried(model, model_file.parse_metadata(read_json(folder.note(model).encode(), model)))


def _write(folder: Folder, model: str, data: bytes | None, outputs: Sequence[ModelOutput]) -> str:
    """Write a model file, and note what it declares; or say why it cannot be run."""
    if data is None:
        return ABSENT
    folder.write(model, data, INCOMPLETE)
    try:
        metadata = model_file.format_metadata(onnx_form.inspect(folder.root / model, outputs))
    except (Fault, InvalidMetadata) as error:
        folder.discard(model)
        return str(error)
    folder.write(model, data, note=json.dumps(metadata))
    return ""
