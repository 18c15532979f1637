"""A catalog of one model that looks at every pixel, to be tried in a browser; and onnxruntime-web for it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
import yaml
from onnx import TensorProto, helper

from registry.catalog import browser_runtime, writing
from registry.catalog.folder import Changed, Folder
from registry.catalog.options import Options
from registry.catalog.site import Catalog
from registry.core.erasures import Erased
from registry.core.names import parse_tag
from registry.core.settings import CatalogImages
from registry.core.tree import DictTree
from registry.model.model_file import ImageInput, ModelFile, format_metadata
from registry.release import notes, overview
from registry.release.history import Release
from registry.release.notes import Lineage
from support import memory_registries, model_files
from support.memory_registries import Registry, entry

CLASSES = ("cat", "dog", "</script>ذئب", "it's")
LOCK, FOLDER = "models/pets/dvc.lock", "models/pets"
PAGE = "models/pets/v1.{}.0/index.html"


@dataclass(frozen=True)
class TriedModels:
    """The catalog, and the objects that its releases reach."""

    catalog: Catalog
    objects: Mapping[str, bytes]

    def write(self, out: Path, runtime: Path, warnings: list[str], erased: Erased | None = None) -> Changed:
        options = Options(
            self.objects.get, lambda _: DictTree({}), Path("none"), CatalogImages.NONE, warnings.append,
            erased or Erased(), try_it=True, onnxruntime_web=runtime,
        )  # fmt: skip
        return writing.write(out, self.catalog, options)


def runtime() -> Path:
    """The folder of onnxruntime-web's files in the environment; fetched from npm when they are not there."""
    browser_runtime.prepare(Folder(Path(sys.prefix), ""))
    return Path(sys.prefix, browser_runtime.FOLDER)


def looking(given: ImageInput, seed: int = 0) -> bytes:
    """A model of four classes whose scores depend on each pixel."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    chance = numpy.random.default_rng(seed)
    weights = chance.normal(0, 0.0003, (given.size * given.size * 3, len(CLASSES))).astype(numpy.float32)
    metadata = format_metadata(ModelFile(CLASSES, given))
    return model_files.build(nodes, {"weights": weights}, classes=CLASSES, size=given.size, metadata=metadata)


def made(*files: bytes, stages: Mapping[int, str] | None = None) -> TriedModels:
    """`models/pets` with a release 1.N.0 for each of these model files."""
    registry, found = Registry(), list[Release]()
    memory_registries.put_dataset(registry)
    for at, data in enumerate(files):
        memory_registries.put_model(registry, version=f"1.{at}.0")
        registry.files[f"{FOLDER}/model.onnx"] = data
        lock = yaml.safe_load(registry.files[LOCK])
        outs = lock["stages"]["train"]["outs"]
        lock["stages"]["train"]["outs"] = [
            entry(registry, FOLDER, "model.onnx") if out["path"] == "model.onnx" else out for out in outs
        ]
        registry.store(registry.files.pop(f"{FOLDER}/model.onnx"))
        registry.files[LOCK] = memory_registries.dump(lock)
        tag = parse_tag(f"{FOLDER}@v1.{at}.0")
        current = ((stages or {})[at],) if at in (stages or {}) else ()
        version = notes.load(tag, registry.files.get)
        found.append(Release(tag, f"{at:040x}", 1_790_000_000 + at, version, Lineage(), current, "", ""))
    catalog = Catalog("acme-data", overview.find(DictTree(registry.files), found), "https://github.com/acme/registry")
    return TriedModels(catalog, registry.objects)
