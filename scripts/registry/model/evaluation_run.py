"""Runs a model version's own evaluate.py on a test set in a temporary folder, and caches the result.

The contract of that program: `python evaluate.py --data DIR --split test --model FILE --metrics FILE --predictions FILE
--plots DIR`, started in the model's folder. It is code of that version, so it runs only where `dvc repro` may run too.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from polars import DataFrame

from registry.core import layout, pointers
from registry.core.atomic_write import write_atomically
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, Output
from registry.errors import NotFound, Refused, ToolFailed
from registry.integrations import process
from registry.storage.reader import ABSENT, describe_object
from registry.sync import dir_listing

FOLDER = ".dvc/tmp/registry"  # ignored by Git
RESULTS = f"{FOLDER}/evaluations.1"  # the number changes with what decides a result
TIMEOUT = 3600  # seconds
PROGRAM, PREDICTIONS = "evaluate.py", "predictions.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationRun:
    """What to run: a model's code in a tree, the outputs of its training, and the files of a test set.

    `code` are the paths of its dependencies in the tree. `test` has the columns relpath (below `prepared/`) and md5.
    """

    artifact: ArtifactId
    tree: Tree
    code: tuple[str, ...]
    outputs: tuple[Output, ...]
    test: DataFrame

    @property
    def key(self) -> str:
        """The SHA-256 of everything that decides the result: code, outputs of the training, test set."""
        code = {path: hashlib.sha256(self.tree.read(path)).hexdigest() for path in self._paths if self._decides(path)}
        outputs = {out.path: out.md5 for out in self.outputs}
        parts = [str(self.artifact), code, outputs, self.test.sort("relpath").select("relpath", "md5").rows()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def files(self) -> tuple[tuple[str, bytes], ...]:
        """The files of the model's folder, and those elsewhere that it depends on."""
        return tuple((path, self.tree.read(path)) for path in self._paths)

    @property
    def _paths(self) -> list[str]:
        places = (str(self.artifact), *self.code)
        return [one.path for one in self.tree.list() if not one.is_link and any(under(one.path, at) for at in places)]

    def _decides(self, path: str) -> bool:
        return path.endswith(".py") or any(under(path, at) for at in self.code)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run wrote: the bytes of `predictions.parquet` and of `metrics.json`."""

    predictions: bytes
    metrics: bytes


def read_cached(root: Path, run: EvaluationRun) -> RunResult | None:
    """The result of an earlier run; None where none is cached."""
    files = [root / RESULTS / run.key / name for name in ("metrics.json", PREDICTIONS)]
    if not all(file.is_file() for file in files):
        return None
    metrics, predictions = (file.read_bytes() for file in files)
    return RunResult(predictions, metrics)


def execute(root: Path, run: EvaluationRun, cache: Path) -> RunResult:
    """Run the evaluation with objects from the cache, and store the result.

    Raises NotFound for an object that is missing, ToolFailed, Refused (the program wrote no predictions).
    """
    with _folder(root) as folder:
        (folder / "out").mkdir()
        for path, data in run.files:
            _write(folder / path, data)
        _link_outputs(run, cache, folder)
        for relpath, md5 in run.test.select("relpath", "md5").iter_rows():
            _link(cache, md5, folder / "data" / relpath, relpath)
        _call(run, folder / str(run.artifact))
        result = _collect(folder / "out")
    for name, data in (("metrics.json", result.metrics), (PREDICTIONS, result.predictions)):
        write_atomically(root / RESULTS / run.key / name, data)
    return result


def _call(run: EvaluationRun, model: Path) -> None:
    if not (model / PROGRAM).is_file():
        raise NotFound(f"{run.artifact}/{PROGRAM} does not exist in {run.tree}")
    weights = Path(layout.product_path(run.artifact)).name
    command = ["python", PROGRAM, "--data", "../../data", "--split", "test", "--model", weights]
    command += ["--metrics", "../../out/metrics.json", "--predictions", f"../../out/{PREDICTIONS}"]
    process.run([*command, "--plots", "../../out/plots"], cwd=model, env={"PATH": process.tool_path()}, timeout=TIMEOUT)


def _collect(out: Path) -> RunResult:
    if not (out / PREDICTIONS).is_file():
        raise Refused(
            f"{PROGRAM} did not write the file given by --predictions",
            fix="compare it with evaluate.py of the model template",
        )
    metrics = out / "metrics.json"
    return RunResult((out / PREDICTIONS).read_bytes(), metrics.read_bytes() if metrics.is_file() else b"{}\n")


def reason(error: Exception) -> str:
    """The last line that a program printed on stderr, or the first line of an error."""
    lines = (error.stderr if isinstance(error, ToolFailed) else "").strip().splitlines()
    return (lines[-1].strip() if lines else str(error).splitlines()[0])[:300]


# --- the folder -------------------------------------------------------------------------------------------------------


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    """A temporary folder on the disk of the checkout."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root / FOLDER, prefix="evaluate-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _link_outputs(run: EvaluationRun, cache: Path, folder: Path) -> None:
    for out in run.outputs:
        if not out.is_dir:
            _link(cache, out.md5, folder / out.path, out.path)
            continue
        listing = cache / pointers.object_key(out.md5)
        if not listing.is_file():
            raise NotFound(f"{describe_object(out.md5, out.path)}: {ABSENT}")
        for md5, relpath in dir_listing.read(listing.read_bytes(), out.md5).select("md5", "relpath").iter_rows():
            _link(cache, md5, folder / out.path / relpath, f"{out.path}/{relpath}")


def _link(cache: Path, md5: str, place: Path, name: str) -> None:
    """A symbolic link: a test set takes no space, and the cache may be on another disk."""
    target = (cache / pointers.object_key(md5)).absolute()
    if not target.is_file():
        raise NotFound(f"{describe_object(md5, name)}: {ABSENT}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    except OSError as error:
        raise Refused(f"{name} conflicts with another file of the model: {error.strerror}") from error
