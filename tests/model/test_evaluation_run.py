"""A version's own evaluate.py on a test set: what it is given, what is kept, what is left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from polars import DataFrame

from registry.core.names import parse_id
from registry.core.tree import DictTree
from registry.core.values import Output
from registry.errors import NotFound, Refused, ToolFailed
from registry.model import evaluation_run
from registry.model.evaluation_run import EvaluationRun
from support import repositories

PETS = parse_id("models/pets")
PROGRAM = "models/pets/evaluate.py"
LISTS = """
import pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
files = sorted(path.relative_to("../..").as_posix() for path in pathlib.Path("../..").rglob("*") if path.is_file())
pathlib.Path(given["--predictions"]).write_text(" ".join(files))
pathlib.Path(given["--metrics"]).write_text(open(given["--model"]).read() + " " + given["--split"])
pathlib.Path(given["--plots"]).mkdir()
"""


@pytest.fixture
def planned(tmp_path: Path) -> EvaluationRun:
    """A model whose program lists what it was given; `tmp_path` is the root, with a cache."""
    files = {PROGRAM: LISTS, "models/pets/model.yaml": "", "shared/tools.py": "", "models/birds/secret.py": ""}
    tree = DictTree({path: text.encode() for path, text in files.items()}, frozenset({"models/pets/link"}))
    kept = {
        name: repositories.keep(tmp_path, name.encode()) and repositories.md5(name.encode())
        for name in ("weights", "an image")
    }
    listing = f'[{{"md5": "{kept["weights"]}", "relpath": "a/b"}}]'.encode()
    repositories.keep(tmp_path, listing, ".dir")
    outputs = (
        Output("models/pets/model.safetensors", kept["weights"], 7),
        Output("models/pets/more", f"{repositories.md5(listing)}.dir", 7, 1),
    )
    test = DataFrame({"relpath": ["test/cat/1.jpg"], "md5": [kept["an image"]]})
    return EvaluationRun(PETS, tree, ("shared/tools.py",), outputs, test)


def run(root: Path, planned: EvaluationRun) -> evaluation_run.RunResult:
    return evaluation_run.execute(root, planned, root / ".dvc/cache")


def with_program(planned: EvaluationRun, text: str) -> EvaluationRun:
    return replace(planned, tree=DictTree({PROGRAM: text.encode()}))


def left(root: Path) -> list[Path]:
    """Folders that a run left behind."""
    return list((root / evaluation_run.FOLDER).glob("evaluate-*"))


def test_it_sees_its_own_version_and_the_test_set_alone(tmp_path: Path, planned: EvaluationRun) -> None:
    result = run(tmp_path, planned)
    assert result.metrics == b"weights test"
    assert result.predictions.decode().split() == [
        "data/test/cat/1.jpg",
        *(f"models/pets/{name}" for name in ("evaluate.py", "model.safetensors", "model.yaml", "more/a/b")),
        "shared/tools.py",
    ]
    assert left(tmp_path) == []


def test_it_is_remembered(tmp_path: Path, planned: EvaluationRun) -> None:
    assert evaluation_run.read_cached(tmp_path, planned) is None
    result = run(tmp_path, planned)
    assert evaluation_run.read_cached(tmp_path, planned) == result
    words = replace(
        planned, tree=DictTree({PROGRAM: LISTS.encode(), "models/pets/README.md": b"", "shared/tools.py": b""})
    )
    assert evaluation_run.read_cached(tmp_path, words) == result
    others = [
        replace(planned, test=planned.test.with_columns(relpath="relpath", md5="relpath")),
        replace(planned, outputs=planned.outputs[:1]),
        replace(planned, tree=DictTree({PROGRAM: LISTS.encode(), "shared/tools.py": b"# other"})),
        with_program(planned, LISTS + "#"),
    ]
    assert [evaluation_run.read_cached(tmp_path, other) for other in others] == [None] * 4


@pytest.mark.parametrize(
    ("program", "error", "reason"),
    [
        ("import no_such_module", ToolFailed, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys; sys.exit('unrecognized arguments: --plots')", ToolFailed, "unrecognized arguments: --plots"),
        ("pass", Refused, "evaluate.py did not write the file given by --predictions"),
    ],
)
def test_code_that_fails(
    tmp_path: Path, planned: EvaluationRun, program: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error) as raised:
        run(tmp_path, with_program(planned, program))
    assert evaluation_run.reason(raised.value) == reason
    assert left(tmp_path) == []
    assert not (tmp_path / evaluation_run.RESULTS).exists()


def test_a_version_without_the_program(tmp_path: Path, planned: EvaluationRun) -> None:
    with pytest.raises(NotFound, match=r"models/pets/evaluate.py does not exist"):
        run(tmp_path, replace(planned, tree=DictTree({})))


def test_an_object_that_is_lost(tmp_path: Path, planned: EvaluationRun) -> None:
    repositories.place(tmp_path / ".dvc/cache", repositories.md5(b"an image")).unlink()
    with pytest.raises(NotFound, match=r"test/cat/1.jpg \(.*\): no intact copy"):
        run(tmp_path, planned)


def test_outputs_that_lie_in_each_other(tmp_path: Path, planned: EvaluationRun) -> None:
    inside = Output("models/pets/model.safetensors/x", planned.outputs[0].md5, 7)
    with pytest.raises(Refused, match="conflicts with another file of the model"):
        run(tmp_path, replace(planned, outputs=(planned.outputs[0], inside)))
    assert repositories.place(tmp_path / ".dvc/cache", inside.md5).read_bytes() == b"weights"


def test_it_may_not_run_for_ever(tmp_path: Path, planned: EvaluationRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_run, "TIMEOUT", 0.3)
    with pytest.raises(ToolFailed) as error:
        run(tmp_path, with_program(planned, "import time; time.sleep(3600)"))
    assert evaluation_run.reason(error.value) == "killed after 0.3 seconds"
    assert left(tmp_path) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    script = f"""
import pathlib
from polars import DataFrame
from registry.core import names, tree
from registry.model import evaluation_run
program = b"import time; open('begun', 'w'); time.sleep(3600)"
test = DataFrame({{"relpath": [], "md5": []}}, {{"relpath": str, "md5": str}})
files = tree.DictTree({{"{PROGRAM}": program}})
planned = evaluation_run.EvaluationRun(names.parse_id("models/pets"), files, (), (), test)
evaluation_run.execute(pathlib.Path("."), planned, pathlib.Path("cache"))
"""
    # Whoever started the tests in the background had them ignore Ctrl-C, and a child inherits that.
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=restore_sigint,  # noqa: PLW1509
    )
    while process.poll() is None and not list(tmp_path.rglob("begun")):
        time.sleep(0.05)
    assert left(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate()[1]
    assert left(tmp_path) == []
