"""The judge on one version's model file and a set of images, both from DVC's cache; the result is kept."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from polars import DataFrame, read_parquet_metadata
from polars.exceptions import PolarsError

from registry.core import digests
from registry.core.values import ArtifactId, Output
from registry.errors import NotFound, Refused
from registry.model import judge, model_file
from registry.model.judge import Judgement
from registry.model.model_file import InvalidMetadata
from registry.model.tasks import TASKS
from registry.storage.reader import ABSENT, describe_object

RESULTS = ".dvc/tmp/registry/judgements"  # ignored by Git


@dataclass(frozen=True, slots=True, eq=False)
class JudgeRun:
    """What to measure: the files of a model (`model.onnx`, and its sidecar where it has one) by its task, and images.

    `test` has the columns uuid, label, relpath (below `prepared/`) and md5, and those that the task needs.
    """

    artifact: ArtifactId
    task: str
    files: tuple[Output, ...]
    test: DataFrame

    @property
    def key(self) -> str:
        """The SHA-256 of everything that decides the result: the judge, the model's files, the images, the labels."""
        rows = self.test.drop("relpath").sort("uuid").rows()
        parts = [judge.RULE, self.task, {Path(file.path).name: file.md5 for file in self.files}, rows]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_cached(root: Path, run: JudgeRun) -> Judgement | None:
    """The result of an earlier run on this machine; None where none is kept."""
    file = root / RESULTS / f"{run.key}.parquet"
    try:
        if not file.is_file():
            return None
        given, task = model_file.parse_input(read_parquet_metadata(file)[model_file.INPUT]), TASKS[run.task]
        return Judgement(task, task.read(file, run.test, str(file)), file, given)
    except (PolarsError, KeyError, InvalidMetadata, Refused):
        return None


def execute(root: Path, run: JudgeRun, cache: Path, progress: Callable[[int], None] = lambda _: None) -> Judgement:
    """Measure the model, with objects from the cache, and keep the result.

    Raises NotFound for an object that is missing, InvalidData where the model file is not one.
    """
    images = [_object(cache, md5, relpath) for md5, relpath in run.test.select("md5", "relpath").iter_rows()]
    stored, name = root / RESULTS / f"{run.key}.parquet", run.files[0].path
    with linked(cache, run.files) as model:
        return judge.judge(TASKS[run.task], model, run.test, images, stored, progress, name=name)


@contextmanager
def linked(cache: Path, files: Sequence[Output]) -> Iterator[Path]:
    """A model file, and its sidecar where it has one, by their names: links to a cache. Raises NotFound."""
    with TemporaryDirectory(prefix="registry-model-") as folder:
        paths = [Path(folder, Path(file.path).name) for file in files]
        for path, file in zip(paths, files, strict=True):
            path.symlink_to(_object(cache, file.md5, file.path))  # the cache may be on another disk
        yield paths[0]


def _object(cache: Path, md5: str, name: str) -> Path:
    """An object of the cache, read in its place. Raises NotFound."""
    path = (cache / digests.object_key(md5)).absolute()
    if not path.is_file():
        raise NotFound(f"{describe_object(md5, name)}: {ABSENT}", fix="registry pull")
    return path
