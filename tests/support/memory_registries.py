"""Whole registries in memory, sound in every way, for tests to break in one: files by path, objects by md5."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from registry.checks import collect, runner
from registry.checks.collect import Change
from registry.checks.context import Facts, Scope
from registry.core import digests, documents, manifests, names
from registry.core.check_names import CheckName
from registry.core.tree import DictTree
from registry.core.values import Finding, Verdict
from registry.dataset import exports, provenance, version_rows
from registry.model import classification
from registry.scaffold import generated_files
from support import model_files, repositories

SETTINGS = {
    "registry.yaml": b'schema: 1\nname: acme-data\nowners: ["@acme/data"]\nlake: .registry/lake\n',
    ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",  # as `dvc init` writes it
    ".dvc/config": b"[core]\n    remote = production\n['remote \"staging\"']\n    url = ../.registry/staging\n"
    b"['remote \"production\"']\n    url = ../.registry/production\n",
    "README.md": b"# Ours\n\n<!-- artifacts -->\n<!-- /artifacts -->\n\nThe end.\n",
}


@dataclass
class Registry:
    """Files as Git would have them, objects as stores would, and what was released: tag → files."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(SETTINGS))
    objects: dict[str, bytes] = field(default_factory=dict)
    releases: dict[str, dict[str, bytes]] = field(default_factory=dict)
    is_complete: bool = True

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.releases)

    def read(self, revision: str, path: str) -> bytes | None:
        """What `git.History` does."""
        return self.releases.get(revision.removeprefix("refs/tags/"), {}).get(path)

    def release(self, tag: str) -> None:
        """Tag what is there now."""
        self.releases[tag] = dict(self.files)

    def derive(self) -> None:
        """Write the derived files."""
        self.files |= generated_files.expected(DictTree(self.files))

    def gather(
        self, scope: Scope = Scope.BASE, paths: set[str] | None = None, links: frozenset[str] = frozenset()
    ) -> Facts:
        """The facts about a change of these paths; of everything when left out."""
        tree = DictTree(self.files, links)
        return collect.gather(Change(scope, tree, frozenset(paths or self.files), "before"), self, self.objects.get)

    def check(self, *args: Any, **kwargs: Any) -> list[Finding]:
        """What the checks find; the good aside, and that files changed which an owner has to confirm."""
        outcomes = runner.run(self.gather(*args, **kwargs))
        found = (one for outcome in outcomes for one in outcome.findings if one.verdict is not Verdict.OK)
        return [one for one in found if (one.check, one.verdict) != (CheckName.TRACKED_FILES, Verdict.NEEDS_OWNER)]

    def store(self, data: bytes, suffix: str = "") -> str:
        """Keep an object; its md5."""
        md5 = digests.md5(data) + suffix
        self.objects[md5] = data
        return md5

    def edit(self, path: str, **changes: Any) -> None:
        """Set keys at the top of a YAML file."""
        self.files[path] = dump({**yaml.safe_load(self.files[path]), **changes})


def dump(data: Any) -> bytes:
    return documents.write_yaml(data)


def card(name: str) -> bytes:
    return f"# {name}\n\n## Limits of use\n\nNot for decisions about people.\n".encode()


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012d}"


def images(cats: int = 10, dogs: int = 10, start: int = 0) -> dict[str, bytes]:
    """Relpath → bytes: per class eight of ten in train, one in val, one in test."""
    made = {}
    for label, first, count in (("cat", start, cats), ("dog", start + 100_000, dogs)):
        for number in range(first, first + count):
            split = {8: "val", 9: "test"}.get(number % 10, "train")
            made[f"{split}/{label}/{uuid(number)}.jpg"] = f"{label} {number}".encode()
    return made


# Keys of a manifest by which a selection gives exactly the images that a test puts into splits.
REPRODUCIBLE: Mapping[str, Any] = {
    "columns": {"uuid": {"type": "uuid"}, "label": {"type": "string"}, "batch": {"type": "string"}},
    "split": repositories.BY_BATCH,
}


def put_dataset(
    registry: Registry, name: str = "pets", pictures: Mapping[str, bytes] | None = None, **changes: Any
) -> None:
    """`datasets/NAME`, selected and built; `changes` are keys of its manifest."""
    manifest = {
        "schema": 1, "name": name, "version": "1.0.0", "title": "Pets at home", "description": "Cats and dogs.",
        "owners": ["@acme/vision"], "license": "CC-BY-4.0",
        "source": {"export": {"description": "by hand"}}, "image": "{uuid}.jpg",
        "columns": {"uuid": {"type": "uuid"}, "label": {"type": "string"}}, "classes": ["cat", "dog"],
        "split": {"salt": name, "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}}, **changes,
    }  # fmt: skip
    folder = f"datasets/{name}"
    registry.files[f"{folder}/dataset.yaml"] = dump(manifest)
    registry.files.setdefault(f"{folder}/README.md", card(name))
    registry.files[f"{folder}/.gitignore"] = b"/raw\n/prepared\n"
    build(registry, name, images() if pictures is None else pictures)


def build(registry: Registry, name: str, pictures: Mapping[str, bytes]) -> None:
    """What `registry select` and `registry build` write."""
    folder = f"datasets/{name}"
    counts: dict[str, dict[str, int]] = {}
    for path in sorted(pictures):
        split, label, _ = path.split("/")
        counts.setdefault(split, {}).setdefault(label, 0)
        counts[split][label] += 1
    manifest = manifests.load_dataset(DictTree(registry.files), names.parse_id(folder))
    rows = repositories.selected_rows(pictures)
    is_reproducible = manifest.split.group_by == "batch"
    raw = select(registry, name, rows if is_reproducible else "\n".join(sorted(pictures)).encode())
    meta = {"selection": raw, "rule": manifests.build_rule(manifest), "images": len(pictures), "counts": counts}
    paths = {split: [path[len(split) + 1 :] for path in sorted(pictures) if path.startswith(split)] for split in counts}
    labels = sorted({*manifest.classes, *(path.split("/")[1] for path in pictures)})
    tables = {f"{split}/metadata.parquet": repositories.table(below, labels) for split, below in paths.items()}
    if is_reproducible:
        places = rows.sort("uuid").select("uuid", "label", folder="batch", key="path")
        made = version_rows.tables(manifest, rows.drop("path"), places)
        tables = {f"{folder.path}/metadata.parquet": data for folder, data in made}
    put_folder(registry, folder, "prepared", {**pictures, **tables}, {"build": meta})


def select(registry: Registry, name: str, rows: bytes | pl.DataFrame) -> str:
    """What `registry select` writes, for rows or for bytes that stand for them; the MD5 of the `.dir` object."""
    folder = f"datasets/{name}"
    manifest = manifests.load_dataset(DictTree(registry.files), names.parse_id(folder))
    if isinstance(rows, pl.DataFrame):
        rows = rows.select("uuid", "label", "batch")
        facts = repositories.selection_facts(manifest, rows)
        return put_folder(registry, folder, "raw", {"selection.parquet": exports.write_selection(rows)}, facts)
    meta = {
        "rows": 20, "rows_hash": digests.md5(rows), "source_hash": provenance.source_hash(manifest),
        "origin": "export.csv", "selected_at": "2026-11-28T08:00:00Z",
    }  # fmt: skip
    return put_folder(registry, folder, "raw", {"selection.parquet": rows}, {"selection": meta})


def put_folder(registry: Registry, folder: str, name: str, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> str:
    listed = [{"md5": registry.store(data), "relpath": path} for path, data in sorted(files.items())]
    md5 = registry.store(json.dumps(listed, sort_keys=True).encode(), ".dir")
    out = {"md5": md5, "size": sum(map(len, files.values())), "nfiles": len(files), "hash": "md5", "path": name}
    registry.files[f"{folder}/{name}.dvc"] = dump({"outs": [out], **({"meta": dict(meta)} if meta else {})})
    return md5


def put_model(
    registry: Registry, name: str = "pets", weights: bytes = b"weights", wrong: int = 0, **changes: Any
) -> None:
    """`models/NAME`, trained on `datasets/NAME`."""
    folder = f"models/{name}"
    manifest = {
        "schema": 1, "name": name, "version": "1.0.0", "title": "Cat or dog", "description": "Says which it is.",
        "owners": ["@acme/vision"], "license": "Apache-2.0", "trained_on": f"datasets/{name}",
        "intended_use": "Tests.", "gates": [{"metric": "accuracy", "min": 0.8}], **changes,
    }  # fmt: skip
    registry.files[f"{folder}/model.yaml"] = dump(manifest)
    registry.files.setdefault(f"{folder}/README.md", card(name))
    registry.files[f"{folder}/.gitignore"] = b"/model.onnx\n/predictions.parquet\n"
    registry.files.setdefault(f"{folder}/params.yaml", b"architecture: vgg\nepochs: 3\n")
    registry.files.setdefault(f"{folder}/train.py", b"print('learning')\n")
    train(registry, name, weights, wrong)


def train(registry: Registry, name: str, weights: bytes, wrong: int = 0) -> None:
    """What `dvc repro` writes; the predictions are right for all test images but the first `wrong`."""
    folder = f"models/{name}"
    listing = registry.objects[yaml.safe_load(registry.files[f"datasets/{name}/prepared.dvc"])["outs"][0]["md5"]]
    paths = [one["relpath"].split("/") for one in json.loads(listing)]
    tests = {path[2].rpartition(".")[0]: path[1] for path in paths if path[0] == "test" and len(path) == 3}
    table = model_files.predictions(tests, wrong)
    metrics = classification.measure(classification.summarise(table)) if tests else {"accuracy": 0.9}
    registry.files[f"{folder}/metrics.json"] = json.dumps(metrics).encode()
    command = f"python train.py --data ../../datasets/{name}/prepared"
    stage = {
        "cmd": "python train.py --data ../../${trained_on}/prepared",
        "deps": ["../../${trained_on}/prepared", "train.py"],
        "params": ["architecture", "epochs"],
        "outs": ["model.onnx", "predictions.parquet"],
        "metrics": [{"metrics.json": {"cache": False}}],
    }
    data = yaml.safe_load(registry.files[f"datasets/{name}/prepared.dvc"])["outs"][0]
    entries = [{**data, "path": f"../../datasets/{name}/prepared"}, entry(registry, folder, "train.py")]
    made = {"model.onnx": model_files.named(weights), "predictions.parquet": model_files.parquet(table)}
    outs = [entry(registry, folder, "metrics.json"), *({**_file(one), "path": path} for path, one in made.items())]
    for one in made.values():
        registry.store(one)
    params = {"params.yaml": yaml.safe_load(registry.files[f"{folder}/params.yaml"])}
    locked = {"cmd": command, "deps": entries, "params": params, "outs": outs}
    registry.files[f"{folder}/dvc.yaml"] = dump({"vars": ["model.yaml:trained_on"], "stages": {"train": stage}})
    registry.files[f"{folder}/dvc.lock"] = dump({"schema": "2.0", "stages": {"train": locked}})


def entry(registry: Registry, folder: str, name: str) -> dict[str, Any]:
    return {"path": name, **_file(registry.files[f"{folder}/{name}"])}


def _file(data: bytes) -> dict[str, Any]:
    return {"hash": "md5", "md5": digests.md5(data), "size": len(data)}


def put_on_disk(registry: Registry, root: Path) -> None:
    """Files below `root`, objects in its DVC cache."""
    for path, data in registry.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for md5, data in registry.objects.items():
        place = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def sound(**changes: Any) -> Registry:
    """A registry with a dataset and a model, both released as 1.0.0, in which nothing is wrong.

    On disk, where versions are recomputed, it also needs the keys of REPRODUCIBLE.
    """
    registry = Registry()
    put_dataset(registry, **changes)
    put_model(registry)
    registry.derive()
    registry.release("datasets/pets@v1.0.0")
    registry.release("models/pets@v1.0.0")
    return registry
