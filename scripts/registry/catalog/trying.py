"""Puts models into the site that can be tried in a browser: of each, the latest release and those in a stage."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from registry.catalog import browser_runtime, releases
from registry.catalog.options import Options
from registry.core.atomic_write import write_atomically
from registry.core.documents import read_json
from registry.core.values import ModelManifest, Output, Tag
from registry.core.wording import size
from registry.errors import RegistryError
from registry.model import model_file, onnx_form, tasks
from registry.model.model_file import CLASSES, InvalidMetadata, ModelFile
from registry.model.onnx_form import Fault
from registry.release.history import Release
from registry.release.overview import Overview
from registry.storage.reader import ABSENT

MAX_BYTES = 100_000_000  # of a model file: who opens its page waits for it


class Tried(NamedTuple):
    """A model file in the site with what it declares, or why it is not there; `paths` are its files in the site."""

    model: str = ""
    declared: ModelFile | None = None
    why: str = ""
    paths: tuple[str, ...] = ()


def prepare(out: Path, artifacts: Sequence[Overview], options: Options) -> Mapping[Tag, Tried]:
    """The models that can be tried, and why others cannot, after writing what `out` lacks: models and what runs them.

    Nothing where the registry does not want it. What cannot be read is told, and is not there.
    """
    if not options.try_it:
        return {}
    found = {release.tag: _prepare(out, release, options) for one in artifacts for release in _choose(one)}
    if any(one.declared for one in found.values()):
        try:
            browser_runtime.prepare(out, options.onnxruntime_web)
        except RegistryError as error:
            options.warn(f"models cannot be tried on their pages: {error.message}")
            return {}
    return found


def runtime_paths(tried: Mapping[Tag, Tried]) -> Iterator[str]:
    """The files in the site that run these models."""
    if any(one.declared for one in tried.values()):
        yield from (f"{browser_runtime.FOLDER}/{name}" for name in browser_runtime.FILES)


def _choose(one: Overview) -> Iterator[Release]:
    latest = releases.latest_good(one)
    for release in one.releases:
        manifest = release.version.content.manifest if release.version else None
        is_current = release == latest or release.stages
        if is_current and releases.is_good(release) and isinstance(manifest, ModelManifest) and manifest.is_measured:
            yield release


def _prepare(out: Path, release: Release, options: Options) -> Tried:
    version = release.version
    manifest = version.content.manifest if version else None
    if version is None or not version.products or not isinstance(manifest, ModelManifest):
        return Tried(why="it has no model file")
    product = version.products[0]
    if version.sidecar:
        return Tried(why="its weights lie in a file of their own")
    if product.size > MAX_BYTES:
        return Tried(why=f"its file has {size(product.size)}, and a site has none above {size(MAX_BYTES)}")
    if options.erased.has_object(product.md5):
        return Tried(why="its file was erased")
    model = f"{release.tag.artifact}/v{release.tag.version}/try/{product.md5}.onnx"
    declared = model.replace(".onnx", ".json")
    if not (out / declared).is_file() and (why := _write(out, model, product, manifest.task, options)):
        options.warn(f"{release.tag} cannot be tried on its page: {why}")
        return Tried(why=why)
    metadata = read_json((out / declared).read_bytes(), declared)
    return Tried(model, model_file.parse_metadata(metadata), paths=(model, declared))


def _write(out: Path, model: str, product: Output, task: str, options: Options) -> str:
    """Write a model file, and beside it what it declares, last; or say why it cannot be run."""
    data, outputs = options.read(product.md5), tasks.outputs(task)
    if data is None:
        return ABSENT
    if [output.axes for output in outputs] != [(CLASSES,)]:
        return f"its task is {task}"
    write_atomically(out / model, data)
    try:
        metadata = model_file.format_metadata(onnx_form.inspect(out / model, outputs))
    except (Fault, InvalidMetadata) as error:
        return str(error)
    write_atomically(out / model.replace(".onnx", ".json"), json.dumps(metadata).encode())
    return ""
