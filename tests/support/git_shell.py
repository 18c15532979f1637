"""Git as people and their programs run it, with hooks: in a shell where no environment is active."""

import json
import os
import re
from pathlib import Path

import yaml

from support import repositories
from support.repositories import Outcome, md5

BARE = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true"}
PRODUCTS = ("datasets/*/raw", "datasets/*/prepared", "models/*/model.onnx", "models/*/predictions.parquet")


def plain_git(root: Path, *args: str, **env: str) -> Outcome:
    """Git in a shell that knows nothing but HOME and a plain PATH; everything that it prints is in `err`."""
    done = repositories.sh(root, "git", *args, env={"HOME": os.environ["HOME"], **BARE, **env})
    return Outcome(done.returncode, done.stdout, re.sub(r"\x1b\[[0-9;]*m", "", done.stderr + done.stdout))


def succeed(root: Path, *args: str, **env: str) -> str:
    """The same, and it must succeed; what it prints."""
    done = plain_git(root, *args, **env)
    assert done.code == 0, done.err
    return done.err


# --- data -------------------------------------------------------------------------------------------------------------


def data_here(root: Path) -> dict[str, str]:
    """Every file of data in the working tree, with the MD5 of its bytes."""
    tops = [top for pattern in PRODUCTS for top in root.glob(pattern)]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if not file.is_dir()]
    return {file.relative_to(root).as_posix(): md5(file.read_bytes()) for file in files}


def data_of_pointers(root: Path) -> dict[str, str]:
    """The files that the pointers in the working tree name, as DVC's formats have them, by the lists in the cache."""
    found: dict[str, str] = {}
    cache = root / ".dvc/cache"
    for pointer in [*root.glob("datasets/*/*.dvc"), *root.glob("models/*/dvc.lock")]:
        text = yaml.safe_load(pointer.read_text())
        outs = text["outs"] if pointer.suffix == ".dvc" else text["stages"]["train"]["outs"]
        for out in outs:
            path = (pointer.parent / out["path"]).relative_to(root).as_posix()
            if out["md5"].endswith(".dir"):
                listing = json.loads(repositories.place(cache, out["md5"]).read_text())
                found |= {f"{path}/{entry['relpath']}": entry["md5"] for entry in listing}
            elif path.endswith((".onnx", ".parquet")):  # the others are in Git
                found[path] = out["md5"]
    return found


def data_is_in_line(root: Path) -> None:
    """Assert that the data is what the pointers say, neither more nor less, and that Git sees none of it."""
    assert data_here(root) == data_of_pointers(root)
    assert [
        line for line in repositories.git_in(root, "status", "--porcelain").splitlines() if "prepared/" in line
    ] == []
