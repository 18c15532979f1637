"""What tests make: datasets and models as `registry build` and `dvc repro` leave them, by the formats alone."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

PETS = {
    "train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg": b"one cat",
    "train/cat/0a8c7f6e-0000-4000-8000-000000000002.jpg": b"two cats",
    "train/dog/0a8c7f6e-0000-4000-8000-000000000003.jpg": b"a dog",
    "val/cat/0a8c7f6e-0000-4000-8000-000000000004.jpg": b"a cat that sleeps",
    "test/dog/0a8c7f6e-0000-4000-8000-000000000005.jpg": b"a dog that runs",
    "train/metadata.csv": b"file_name,label\n",
}


def commit(root: Path, message: str) -> str:
    """Commit everything; the new commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)
    return git(root, "rev-parse", "HEAD").strip()


def git(root: Path, *args: str) -> str:
    """One Git command's output."""
    return subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True, text=True).stdout


def registry(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The `registry` command as a person runs it, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "registry", *args], cwd=root, capture_output=True, text=True)


def dataset(root: Path, name: str, files: Mapping[str, bytes], version: str, **more: object) -> None:
    """`datasets/NAME` with these files in `prepared/`; `more` goes into the manifest."""
    folder = root / "datasets" / name
    manifest = {
        "schema": 1, "name": name, "version": version, "title": "Pets at home", "description": "Cats and dogs.",
        "owners": ["@acme/vision"], "license": "CC-BY-4.0", "source": {"export": "by hand"}, "image": "{uuid}.jpg",
        "columns": {"uuid": {"type": "uuid"}, "label": {"type": "string"}}, "classes": ["cat", "dog"],
        "split": {"salt": name, "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}}, **more,
    }  # fmt: skip
    rows = "".join(sorted(path for path in files if path.endswith(".jpg"))).encode()
    raw, prepared = (
        folder_out(root, f"{folder}/raw", {"selection.parquet": rows}),
        folder_out(root, f"{folder}/prepared", files),
    )
    write(folder / "dataset.yaml", manifest)
    write(folder / "raw.dvc", {"outs": [raw]})
    counts = {
        split: {"cat": count(files, split, "cat"), "dog": count(files, split, "dog")}
        for split in ("train", "val", "test")
    }
    build = {
        "selection": raw["md5"],
        "rule": "0" * 64,
        "images": sum(sum(c.values()) for c in counts.values()),
        "counts": counts,
    }
    write(folder / "prepared.dvc", {"outs": [prepared], "meta": {"build": build}})
    (folder / ".gitignore").write_text("/raw\n/prepared\n")


def count(files: Mapping[str, bytes], split: str, label: str) -> int:
    return sum(path.startswith(f"{split}/{label}/") for path in files)


def model(root: Path, name: str, weights: bytes, version: str, trained_on: str = "datasets/pets") -> None:
    """`models/NAME` as `dvc repro` leaves it: weights as an object, metrics in Git."""
    folder = root / "models" / name
    manifest = {
        "schema": 1, "name": name, "version": version, "title": "Cat or dog", "description": "Says which it is.",
        "owners": ["@acme/vision"], "license": "Apache-2.0", "trained_on": trained_on, "intended_use": "Demonstration.",
    }  # fmt: skip
    write(folder / "model.yaml", manifest)
    (folder / ".gitignore").write_text("/model.safetensors\n")
    (folder / "train.py").write_text("print('learning')\n")
    (folder / "metrics.json").write_text('{"accuracy": 0.9}\n')
    (folder / "model.safetensors").write_bytes(weights)
    data = yaml.safe_load((root / trained_on / "prepared.dvc").read_text())["outs"][0]
    deps = [{**data, "path": f"../../{trained_on}/prepared"}, file_out(root, folder / "train.py", keep=False)]
    outs = [file_out(root, folder / "metrics.json", keep=False), file_out(root, folder / "model.safetensors")]
    stage = {"cmd": "python train.py", "deps": [dep["path"] for dep in deps], "outs": [outs[1]["path"]]}
    write(folder / "dvc.yaml", {"stages": {"train": {**stage, "metrics": [{"metrics.json": {"cache": False}}]}}})
    write(
        folder / "dvc.lock",
        {"schema": "2.0", "stages": {"train": {"cmd": "python train.py", "deps": deps, "outs": outs}}},
    )


def write(path: Path, data: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(data), sort_keys=False))


def folder_out(root: Path, place: str, files: Mapping[str, bytes]) -> dict[str, object]:
    """The entry of a folder output; its files lie in the cache and, linked, in the folder."""
    folder = Path(place)
    shutil.rmtree(folder, ignore_errors=True)
    entries = []
    for relpath, data in sorted(files.items()):
        cached = keep_object(root, data)
        (folder / relpath).parent.mkdir(parents=True, exist_ok=True)
        os.link(cached, folder / relpath)
        entries.append({"md5": md5(data), "relpath": relpath})
    listing = json.dumps(entries, sort_keys=True).encode()
    keep_object(root, listing, ".dir")
    size = sum(map(len, files.values()))
    return {"md5": f"{md5(listing)}.dir", "size": size, "nfiles": len(files), "hash": "md5", "path": folder.name}


def file_out(root: Path, file: Path, *, keep: bool = True) -> dict[str, object]:
    """The entry of a file output or dependency; kept in the cache if it is DVC's."""
    data = file.read_bytes()
    if keep:
        keep_object(root, data)
    return {"path": file.name, "hash": "md5", "md5": md5(data), "size": len(data)}


def keep_object(root: Path, data: bytes, suffix: str = "") -> Path:
    """Put bytes into DVC's cache."""
    path = object_path(root / ".dvc/cache", md5(data) + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(data)
        path.chmod(0o444)
    return path


def object_path(store: Path, md5: str) -> Path:
    """Where a store in a folder holds an object."""
    return store / "files/md5" / md5[:2] / md5[2:]


def stage(root: Path) -> None:
    """Put everything that the cache holds into staging."""
    shutil.copytree(root / ".dvc/cache/files", root / ".registry/staging/files", dirs_exist_ok=True)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the hash of its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): md5(path.read_bytes()) for path in files}
