"""What tests make: datasets and models as `registry build` and `dvc repro` leave them, by DVC's formats alone."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import yaml

from registry.core import manifests, names
from registry.core.values import DatasetManifest, Selection
from registry.dataset import exports, metadata_tables, provenance, version_rows
from registry.integrations import git_trees
from registry.model import classification
from support import in_process, model_files, release_auditor

SPLITS = ("train", "val", "test")
# By this salt the batch `train` is assigned to train, `val` to val, `test` to test: a path tells its image's batch.
BY_BATCH = {"salt": "batch-121", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}, "group_by": "batch"}
PETS = {
    "train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg": b"one cat",
    "train/cat/0a8c7f6e-0000-4000-8000-000000000002.jpg": b"two cats",
    "train/dog/0a8c7f6e-0000-4000-8000-000000000003.jpg": b"a dog",
    "val/cat/0a8c7f6e-0000-4000-8000-000000000004.jpg": b"a cat that sleeps",
    "test/dog/0a8c7f6e-0000-4000-8000-000000000005.jpg": b"a dog that runs",
}
MORE_PETS = {**PETS, "test/cat/0a8c7f6e-0000-4000-8000-000000000006.jpg": b"a cat that came later"}


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def refused(self, *words: str) -> bool:
        """Whether it is a one-line error (not a bug) with these words and a next step."""
        return self.code == 1 and "\n  hint: " in self.err and all(word in self.err for word in words)


Run = Callable[..., Outcome]  # the folder and the arguments of `registry`


# --- commands ---------------------------------------------------------------------------------------------------------


def sh(
    root: Path, *command: str, env: Mapping[str, str] | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """A command's result, whatever its exit code."""
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env, timeout=timeout
    )


def git_in(root: Path, *args: str) -> str:
    """One Git command's output."""
    done = sh(root, "git", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def registry(root: Path, *args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """What the `registry` command does: in this process, or with another environment in one of its own."""
    if env is not None:
        return sh(root, sys.executable, "-m", "registry", *args, env=env)
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder, name) for name in ("out", "err"))
        code = in_process.registry(args, root, os.environ, out, err)
        return subprocess.CompletedProcess(args, code, out.read_text(), err.read_text())


def commit(root: Path, message: str) -> str:
    """Commit everything, past the hooks; the new commit."""
    git_in(root, "add", "--all")
    git_in(root, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)
    return git_in(root, "rev-parse", "HEAD")


def add_origin(root: Path) -> None:
    """An empty bare repository `origin.git` beside this one; by a relative path, so that both can be copied."""
    git_in(root, "init", "--quiet", "--bare", "../origin.git")
    git_in(root, "remote", "add", "origin", "../origin.git")


# --- artifacts --------------------------------------------------------------------------------------------------------


def dataset(root: Path, name: str, images: Mapping[str, bytes], version: str, **more: object) -> None:
    """`datasets/NAME`, built: its images in `prepared/`, its objects in DVC's cache; `more` goes into the manifest."""
    folder = root / "datasets" / name
    manifest = {
        "schema": 1, "name": name, "version": version, "title": "Pets at home", "description": "Cats and dogs.",
        "owners": ["@acme/vision"], "license": "CC-BY-4.0",
        "source": {"export": {"description": "by hand"}}, "image": "{uuid}.jpg",
        "columns": {"uuid": {"type": "uuid"}, "label": {"type": "string"}, "batch": {"type": "string"}},
        "classes": ["cat", "dog"], "split": BY_BATCH,
        "expectations": {"splits": {split: {"min_images": 0, "min_per_class": 0} for split in SPLITS}}, **more,
    }  # fmt: skip
    write(folder / "dataset.yaml", manifest)
    (folder / ".gitignore").write_text("/raw\n/prepared\n")
    parsed = manifests.load_dataset(git_trees.WorkTree(root), names.parse_id(f"datasets/{name}"))
    rows = selected_rows(images)
    selection = exports.write_selection(rows.select("uuid", "label", "batch"))
    raw = folder_out(root, folder / "raw", {"selection.parquet": selection})
    write(folder / "raw.dvc", {"outs": [raw], "meta": selection_facts(parsed, rows.select("uuid", "label", "batch"))})
    places = rows.sort("uuid").select("uuid", "label", folder="batch", key="path")
    made = version_rows.tables(parsed, rows.drop("path"), places)
    tables = {f"{folder.path}/metadata.parquet": table for folder, table in made}
    files = {**images, **tables}
    for path, data in images.items():
        write_bytes(root / ".registry/lake" / path.rpartition("/")[2], data)
    counts = {
        split: {label: sum(path.startswith(f"{split}/{label}/") for path in images) for label in ("cat", "dog")}
        for split in SPLITS
    }
    rule = manifests.build_rule(parsed)
    build = {"selection": raw["md5"], "rule": rule, "images": len(images), "counts": counts}
    write(folder / "prepared.dvc", {"outs": [folder_out(root, folder / "prepared", files)], "meta": {"build": build}})


def selected_rows(images: Mapping[str, bytes]) -> pl.DataFrame:
    """The rows that a query returned for these images: uuid, label, and the batch, which decides the split."""
    parts = [path.split("/") for path in images]
    rows = [
        (file.rpartition(".")[0], label, split, path) for path, (split, label, file) in zip(images, parts, strict=True)
    ]
    return pl.DataFrame(rows, ["uuid", "label", "batch", "path"], orient="row").sort("uuid")


def selection_facts(manifest: DatasetManifest, rows: pl.DataFrame) -> dict[str, object]:
    """The facts of a selection under `meta` of raw.dvc."""
    at = datetime(2026, 11, 28, 8, tzinfo=UTC)
    source = provenance.source_hash(manifest)
    return provenance.to_meta(Selection(len(rows), exports.rows_hash(rows), source, "export.csv", at))


def model(
    root: Path, name: str, weights: bytes, version: str, trained_on: str = "datasets/pets", wrong: int = 0
) -> None:
    """`models/NAME` as `dvc repro` leaves it: a model file named by `weights`, its predictions, its metrics in Git.

    The predictions are right for all test images but the first `wrong`.
    """
    folder = root / "models" / name
    manifest = {
        "schema": 1, "name": name, "version": version, "title": "Cat or dog", "description": "Says which it is.",
        "owners": ["@acme/vision"], "license": "Apache-2.0", "trained_on": trained_on, "intended_use": "Demonstration.",
    }  # fmt: skip
    write(folder / "model.yaml", manifest)
    (folder / ".gitignore").write_text("/model.onnx\n/predictions.parquet\n")
    (folder / "train.py").write_text('print("learning")\n')
    tests = sorted(path for path in (root / trained_on / "prepared/test").glob("*/*"))
    write_measured(folder, model_files.named(weights), {path.stem: path.parent.name for path in tests}, wrong)
    data = yaml.safe_load((root / trained_on / "prepared.dvc").read_text())["outs"][0]
    deps = [{**data, "path": f"../../{trained_on}/prepared"}, file_out(root, folder / "train.py", cached=False)]
    outs = measured_outs(root, folder)
    stage = {"cmd": "python train.py", "deps": [dep["path"] for dep in deps], "outs": [out["path"] for out in outs[1:]]}
    write(folder / "dvc.yaml", {"stages": {"train": {**stage, "metrics": [{"metrics.json": {"cache": False}}]}}})
    lock = {"cmd": "python train.py", "deps": deps, "outs": outs}
    write(folder / "dvc.lock", {"schema": "2.0", "stages": {"train": lock}})


def write_measured(folder: Path, model: bytes, tests: Mapping[str, str], wrong: int = 0) -> None:
    """The model file and what the judge makes of these test images (UUID → label)."""
    table = model_files.predictions(tests, wrong)
    metrics = classification.measure(classification.summarise(table)) if tests else {"accuracy": 0.9}
    (folder / "metrics.json").write_text(json.dumps(metrics) + "\n")
    for name, made in (("model.onnx", model), ("predictions.parquet", model_files.parquet(table))):
        (folder / name).unlink(missing_ok=True)  # it may be a link into the cache
        (folder / name).write_bytes(made)


def measured_outs(root: Path, folder: Path) -> list[dict[str, object]]:
    """The entries of what a training and its evaluation write, `metrics.json` first."""
    files = ("metrics.json", "model.onnx", "predictions.parquet")
    return [file_out(root, folder / name, cached=name != "metrics.json") for name in files]


def write(path: Path, data: Mapping[str, object]) -> None:
    """A YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(data), sort_keys=False))


def table(paths: Sequence[str], classes: Sequence[str], **columns: Sequence[object]) -> bytes:
    """A `metadata.parquet` of images, by their paths below the split, as `registry build` writes it."""
    rows = {"file_name": paths, "label": [path.split("/")[0] for path in paths], **columns}
    texts = {"file_name": pl.String, "label": pl.String}  # also where there are no rows
    return metadata_tables.write(pl.DataFrame(rows, schema_overrides=texts), classes)


def write_bytes(path: Path, data: bytes) -> None:
    """A file, and the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# --- objects ----------------------------------------------------------------------------------------------------------


def folder_out(root: Path, folder: Path, files: Mapping[str, bytes]) -> dict[str, object]:
    """The entry of a folder output; its files lie in the cache and, linked, in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    entries = []
    for relpath, data in sorted(files.items()):
        (folder / relpath).parent.mkdir(parents=True, exist_ok=True)
        os.link(keep(root, data), folder / relpath)
        entries.append({"md5": md5(data), "relpath": relpath})
    listing = json.dumps(entries, sort_keys=True).encode()
    keep(root, listing, ".dir")
    size = sum(map(len, files.values()))
    return {"md5": f"{md5(listing)}.dir", "size": size, "nfiles": len(files), "hash": "md5", "path": folder.name}


def file_out(root: Path, file: Path, *, cached: bool = True) -> dict[str, object]:
    """The entry of a file output or dependency."""
    data = file.read_bytes()
    if cached:
        keep(root, data)
    return {"path": file.name, "hash": "md5", "md5": md5(data), "size": len(data)}


def keep(root: Path, data: bytes, suffix: str = "") -> Path:
    """Put bytes into DVC's cache."""
    path = place(root / ".dvc/cache", md5(data) + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(data)
        path.chmod(0o444)
    return path


def place(store: Path, md5: str) -> Path:
    """Where a store in a folder holds an object."""
    return store / "files/md5" / md5[:2] / md5[2:]


def overwrite(path: Path, data: bytes) -> None:
    """Break an object: these bytes under the old name."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def staging(root: Path) -> Path:
    """The folder that staging is."""
    return root / ".registry/staging"


def production(root: Path) -> Path:
    """The folder that production is."""
    return root / ".registry/production"


def origin(root: Path) -> Path:
    """The bare repository that `add_origin` makes."""
    return root.parent / "origin.git"


def stage(root: Path) -> None:
    """Put everything that the cache holds into staging."""
    shutil.copytree(root / ".dvc/cache/files", staging(root) / "files", dirs_exist_ok=True)


def other_clone(root: Path, folder: Path) -> Path:
    """Another machine of the team: its own clone, the same staging and production."""
    git_in(folder, "clone", "--quiet", str(origin(root)), "other")
    (folder / "other/.registry").symlink_to(root / ".registry")
    with (folder / "other/.git/info/exclude").open("a") as excluded:
        excluded.write("/.registry\n")  # .gitignore has the folder, and a link is none
    return folder / "other"


def published(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What publishing leaves behind: the objects in production, and the tags at the origin with their commits."""
    return snapshot(production(root) / "files"), release_auditor.releases(origin(root))


def merge(root: Path, message: str) -> None:
    """Commit to main and push it, with the objects in staging: what the merge of a pull request leaves."""
    stage(root)
    commit(root, message)
    git_in(root, "push", "--quiet", "origin", "main")


def write_limits(folder: Path) -> None:
    """Say in the card of an artifact what it must not be used for, as a person does once."""
    card, heading = folder / "README.md", "## Limits of use\n"
    text = card.read_text()
    if f"{heading}\n<!--" in text:
        card.write_text(text.replace(heading, f"{heading}\nNot to tell owners apart.\n"))


def md5(data: bytes) -> str:
    """What DVC calls these bytes."""
    return hashlib.md5(data).hexdigest()


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the hash of its bytes, without what a killed writer left (`.incoming-…`)."""
    files = (path for path in sorted(folder.rglob("[!.]*")) if path.is_file())
    return {str(path.relative_to(folder)): md5(path.read_bytes()) for path in files}
