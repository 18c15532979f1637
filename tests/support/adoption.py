"""What teams have before they have a registry: folders of images, and repositories of plain DVC."""

import io
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import yaml
from PIL import Image

from registry.core import manifests, names
from registry.dataset import exports
from registry.integrations import git_trees
from support import repositories
from support.repositories import git_in, md5, write_bytes

Files = Mapping[str, bytes]  # path → bytes


def picture(number: int, form: str = "JPEG") -> bytes:
    """An image unlike the others."""
    out = io.BytesIO()
    comment = {"comment": b"%d" % number} if form == "JPEG" else {}
    Image.new("RGB", (12, 9), (number % 256, 7, number // 256)).save(out, form, **comment)
    return out.getvalue()


# Two classes in three splits.
PETS: Files = {
    f"{split}/{label}/{number}.jpg": picture(number)
    for number, (split, label) in enumerate(
        (split, label)
        for split, count in (("train", 4), ("val", 2), ("test", 2))
        for label in ("cat", "dog")
        for _ in range(count)
    )
}


def fill(folder: Path, files: Files) -> Path:
    """The folder, with these files."""
    for path, data in files.items():
        write_bytes(folder / path, data)
    return folder


def dvc(root: Path, *args: str) -> None:
    """DVC as its users run it."""
    done = repositories.sh(root, sys.executable, "-m", "dvc", *args)
    assert done.returncode == 0, done.stderr


def dvc_repository(root: Path, files: Files, remote: str) -> Path:
    """A repository of plain DVC 3: `dvc add data/pets`, committed and pushed to its default remote."""
    fill(root / "data/pets", files)
    git_in(root, "init", "--quiet")
    dvc(root, "init", "--quiet")
    dvc(root, "add", "--quiet", "data/pets")
    dvc(root, "remote", "add", "--quiet", "--default", "store", remote)
    repositories.commit(root, "pets")
    dvc(root, "push", "--quiet")
    return root


def found(root: Path, store: Path) -> None:
    """A repository that DVC knows, whose default remote is this folder."""
    config = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {os.path.relpath(store, root / '.dvc')}\n"
    write_bytes(root / ".dvc/config", config.encode())
    git_in(root, "init", "--quiet")


def track(root: Path, files: Files, store: Path) -> None:
    """`data/pets.dvc` of these files as `dvc add` of DVC 3 writes it, and their objects in a remote."""
    listing = json.dumps([{"md5": md5(data), "relpath": path} for path, data in sorted(files.items())]).encode()
    folder = f"{md5(listing)}.dir"
    for name, data in {folder: listing, **{md5(data): data for data in files.values()}}.items():
        write_bytes(repositories.place(store, name), data)
    out = {"md5": folder, "size": sum(map(len, files.values())), "nfiles": len(files), "hash": "md5", "path": "pets"}
    write_bytes(root / "data/pets.dvc", yaml.safe_dump({"outs": [out]}, sort_keys=False).encode())


def write_dvc_2(root: Path, files: Files, store: Path, *, lock: bool = False) -> Path:
    """The same as DVC 2 wrote it: no `hash: md5`, objects without `files/md5/`; with `lock`, an output of a stage."""
    listing = json.dumps([{"md5": md5(data), "relpath": path} for path, data in sorted(files.items())]).encode()
    folder = f"{md5(listing)}.dir"
    for name, data in {folder: listing, **{md5(data): data for data in files.values()}}.items():
        write_bytes(store / name[:2] / name[2:], data)
    out = {"md5": folder, "size": sum(map(len, files.values())), "nfiles": len(files)}
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text(f"[core]\n    remote = old\n['remote \"old\"']\n    url = {store}\n")
    (root / "data").mkdir()
    if lock:
        stage = {"cmd": "python cut.py", "deps": [], "outs": [{"path": "data/pets", **out}]}
        written = {"schema": "2.0", "stages": {"cut": stage}}
        (root / "dvc.lock").write_text(yaml.safe_dump(written, sort_keys=False))
    else:
        (root / "data/pets.dvc").write_text(yaml.safe_dump({"outs": [{**out, "path": "pets"}]}, sort_keys=False))
    git_in(root, "init", "--quiet")
    repositories.commit(root, "pets")
    return root


def selection(root: Path, name: str = "pets") -> pl.DataFrame:
    """The selection of an adopted dataset."""
    return pl.read_parquet(root / "datasets" / name / "raw/selection.parquet")


def listed(root: Path, name: str = "pets") -> dict[str, str]:
    """The files of its version by path, as MD5s, read by DVC's formats alone."""
    out = yaml.safe_load((root / "datasets" / name / "prepared.dvc").read_text())["outs"][0]
    data = repositories.place(root / ".registry/staging", out["md5"]).read_bytes()
    return {entry["relpath"]: entry["md5"] for entry in json.loads(data)}


def images(root: Path, name: str = "pets") -> dict[tuple[str, str], list[str]]:
    """The MD5s of its images by split and class, sorted."""
    found: dict[tuple[str, str], list[str]] = {}
    for path, digest in listed(root, name).items():
        if not path.endswith(".parquet"):
            split, label, _ = path.split("/")
            found.setdefault((split, label), []).append(digest)
    return {key: sorted(found[key]) for key in sorted(found)}


def expected(files: Files) -> dict[tuple[str, str], list[str]]:
    """The same of files in splits of class folders."""
    found: dict[tuple[str, str], list[str]] = {}
    for path, data in files.items():
        split, label, _ = path.split("/")
        found.setdefault((split, label), []).append(md5(data))
    return {key: sorted(found[key]) for key in sorted(found)}


def without(root: Path, *names: str) -> None:
    """Delete files or folders."""
    for name in names:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def replace_image(root: Path, file: str, data: bytes) -> None:
    """Another image in the selection of pets, as if it had been adopted in the place of that file, and stored."""
    write_bytes(repositories.place(root / ".registry/staging", md5(data)), data)
    change_row(root, file, md5=md5(data), bytes=len(data))


def change_row(root: Path, of: str, **values: object) -> None:
    """Other values in the row of a file of pets; `raw.dvc` is that of the rows then."""
    folder, at = root / "datasets/pets", pl.col("file") == of
    changed = {name: pl.when(at).then(pl.lit(value)).otherwise(name).alias(name) for name, value in values.items()}
    rows = selection(root).with_columns(**changed)
    parsed = manifests.load_dataset(git_trees.WorkTree(root), names.parse_id("datasets/pets"))
    out = repositories.folder_out(root, folder / "raw", {"selection.parquet": exports.write_selection(rows)})
    repositories.write(folder / "raw.dvc", {"outs": [out], "meta": repositories.selection_facts(parsed, rows)})
