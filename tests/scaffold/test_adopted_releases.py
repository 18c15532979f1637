"""What exists, to a published 1.0.0: of every kind of source a consumer gets the bytes that the source had."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from registry.core.adoption import MD5
from support import adoption, repositories
from support.adoption import Files, dvc_repository, fill, picture, write_dvc_2
from support.repositories import Run, git_in, md5

pytestmark = pytest.mark.slow

WORDS = ("--license", "CC-BY-4.0", "--description", "Cats and dogs.")
Source = tuple[str, ...]  # what follows --from


def photos(start: int, *folders: str, each: int = 20) -> Files:
    """Photos like no other source's."""
    return {
        f"{folder}/{number}.jpg": picture(start + 100 * place + number)
        for place, folder in enumerate(folders)
        for number in range(each)
    }


IN_SPLITS = tuple(f"{split}/{label}" for split in ("train", "val", "test") for label in ("cat", "dog"))


def by_dvc_3(folder: Path) -> tuple[Source, Files]:
    files = photos(1000, *IN_SPLITS, each=3)
    return (str(dvc_repository(folder / "old", files, str(folder / "store"))), "--path", "data/pets"), files


def by_dvc_2(folder: Path) -> tuple[Source, Files]:
    """With a table whose line ends are CRLF: DVC 2 hashed it as if they were LF (`md5-dos2unix`)."""
    files = photos(2000, *IN_SPLITS, each=3)
    table = "file_name,label\r\n" + "".join(f"{path},{path.split('/')[1]}\r\n" for path in files)
    store = folder / "store"
    old = write_dvc_2(folder / "old", {**files, "metadata.csv": table.replace("\r\n", "\n").encode()}, store)
    hashed = md5(table.replace("\r\n", "\n").encode())
    repositories.overwrite(store / hashed[:2] / hashed[2:], table.encode())
    return (str(old), "--path", "data/pets"), files


def in_class_folders(folder: Path) -> tuple[Source, Files]:
    files = photos(3000, "cat", "dog")
    return (str(fill(folder / "flat", files)),), files


def in_splits(folder: Path) -> tuple[Source, Files]:
    files = photos(4000, *IN_SPLITS, each=3)
    return (str(fill(folder / "split", files)),), files


def with_a_table(name: str, start: int) -> Callable[[Path], tuple[Source, Files]]:
    """A Hugging Face imagefolder: splits, and in each a table with labels, ages and cameras."""

    def make(folder: Path) -> tuple[Source, Files]:
        files = photos(start, "train", "validation", "test", each=6)
        tables = {}
        for split in ("train", "validation", "test"):
            rows = [
                {"file_name": f"{number}.jpg", "label": "cat" if number % 2 else "dog", "age": number, "Camera": "a, b"}
                for number in range(6)
            ]
            tables[f"{split}/{name}"] = _table(rows, name)
        return (str(fill(folder / "hub", {**files, **tables})),), files

    return make


def _table(rows: list[dict[str, object]], name: str) -> bytes:
    frame, out = pl.DataFrame(rows), io.BytesIO()
    if name.endswith("csv"):
        frame.write_csv(out)
    elif name.endswith("parquet"):
        frame.write_parquet(out)
    else:
        out.write("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    return out.getvalue()


SOURCES: dict[str, Callable[[Path], tuple[Source, Files]]] = {
    "dvc_3": by_dvc_3,
    "dvc_2": by_dvc_2,
    "folders": in_class_folders,
    "splits": in_splits,
    "csv": with_a_table("metadata.csv", 5000),
    "jsonl": with_a_table("metadata.jsonl", 6000),
    "parquet": with_a_table("metadata.parquet", 7000),
}


def test_every_source_becomes_a_release_with_its_bytes(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    repositories.add_origin(registry_repo)
    expected = dict[str, Files]()
    for name, make in SOURCES.items():
        source, expected[name] = make(tmp_path / name)
        done = run_registry(registry_repo, "adopt", f"datasets/{name}", "--from", *source, *WORDS)
        assert done.code == 0, done.out + done.err
    checked = run_registry(registry_repo, "check", "--all")
    assert checked.code == 0, checked.out + checked.err
    repositories.commit(registry_repo, "what we have")
    git_in(registry_repo, "push", "--quiet", "--set-upstream", "origin", "main")
    published = run_registry(registry_repo, "publish")
    assert published.code == 0, published.out + published.err
    adoption.without(registry_repo, ".registry/staging", ".dvc/cache", *(f"datasets/{name}/raw" for name in SOURCES))
    assert run_registry(registry_repo, "pull").code == 0
    for name, files in expected.items():
        folder = registry_repo / f"datasets/{name}/prepared"
        got = {file.stem: md5(file.read_bytes()) for file in folder.glob("*/*/*.jpg")}
        assert sorted(got.values()) == sorted(map(md5, files.values())), name
        tables = pl.concat([pl.read_parquet(path) for path in folder.glob("*/metadata.parquet")])
        assert got == dict(tables.select("uuid", MD5).rows())
        if name in {"csv", "jsonl", "parquet"}:
            assert (tables.schema["age"], set(tables["camera"])) == (pl.Int64(), {"a, b"})
    get = ("get", "--quiet", str(registry_repo), "datasets/dvc_2/prepared", "--rev", "datasets/dvc_2@v1.0.0")
    adoption.dvc(tmp_path, *get, "--out", "got")
    found = sorted(md5(file.read_bytes()) for file in (tmp_path / "got").glob("*/*/*.jpg"))
    assert found == sorted(map(md5, expected["dvc_2"].values()))
