"""An independent check that production has every released object; it uses Git, YAML and MD5, and no module of ours.

Objects are files in a folder, or in a bucket of S3.
"""

import hashlib
import json
import posixpath
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Read = Callable[[str], bytes | None]  # an object by its MD5; None where there is none

TAG = re.compile(r"((?:datasets|models)/[a-z0-9_-]+)@v[0-9]+\.[0-9]+\.[0-9]+")


def broken_promises(repository: Path, production: Path | Read) -> list[str]:
    """Objects that a release tag reaches and that production lacks, or has with other content."""
    read = in_folder(production) if isinstance(production, Path) else production
    return [f"{tag}: {fault}" for tag in releases(repository) for fault in _faults(repository, tag, read)]


def in_folder(store: Path) -> Read:
    """The objects of a folder in DVC's layout."""

    def read(md5: str) -> bytes | None:
        path = store / "files" / "md5" / md5[:2] / md5[2:]
        return path.read_bytes() if path.is_file() else None

    return read


def in_bucket(client: Any, bucket: str, prefix: str = "") -> Read:  # botocore makes the client's methods at run time
    """The objects of a bucket in DVC's layout, each read once."""

    @cache
    def read(md5: str) -> bytes | None:
        try:
            found = client.get_object(Bucket=bucket, Key=f"{prefix}files/md5/{md5[:2]}/{md5[2:]}")
            return bytes(found["Body"].read())
        except client.exceptions.NoSuchKey:
            return None

    return read


def releases(repository: Path) -> dict[str, str]:
    """Annotated release tags, each with the commit that it leads to."""
    form = "--format=%(objecttype) %(refname:strip=2) %(*objectname)"
    rows = [line.split() for line in _git(repository, "for-each-ref", form, "refs/tags").decode().splitlines()]
    return {row[1]: row[2] for row in rows if row[0] == "tag" and TAG.fullmatch(row[1])}


def _faults(repository: Path, tag: str, read: Read) -> Iterator[str]:
    for md5 in _pointed(repository, tag):
        data = read(md5)
        if data is None:
            yield f"{md5} is missing"
        elif hashlib.md5(data).hexdigest() != md5.removesuffix(".dir"):
            yield f"{md5}: checksum mismatch"
        elif md5.endswith(".dir"):
            for entry in json.loads(data):
                inner = read(entry["md5"])
                if inner is None or hashlib.md5(inner).hexdigest() != entry["md5"]:
                    yield f"{entry['relpath']} of {md5} is missing or damaged"


def _pointed(repository: Path, tag: str) -> Iterator[str]:
    folder = tag.split("@")[0]
    names = _git(repository, "ls-tree", "-r", "--name-only", tag).decode().splitlines()
    for name in names:
        if name.startswith(f"{folder}/") and name.endswith(".dvc"):
            yield from (out["md5"] for out in _yaml(repository, tag, name)["outs"])
        elif name == f"{folder}/dvc.lock":
            for stage in _yaml(repository, tag, name)["stages"].values():
                for entry in (*stage.get("outs", []), *stage.get("deps", [])):
                    path = posixpath.normpath(posixpath.join(folder, entry["path"]))
                    if not any(other == path or other.startswith(f"{path}/") for other in names):
                        yield entry["md5"]


def _yaml(repository: Path, tag: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_git(repository, "show", f"{tag}:{name}"))
    return found


def _git(repository: Path, *args: str) -> bytes:
    return subprocess.run(["git", "-C", str(repository), *args], check=True, capture_output=True).stdout
