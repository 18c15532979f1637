"""Training results: packed, validated as untrusted, made a commit."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.core import documents, names, output_names, schema
from registry.errors import InvalidData, InvalidDocument
from registry.integrations import git_commits, git_trees
from registry.model import result_files, train, training_results
from support import repositories

MODEL = names.parse_id("models/pets")
LOCK = "models/pets/dvc.lock"


@pytest.fixture
def trained(merged_model: Path) -> Path:
    """`merged_model`, on a branch that is pushed, where a training wrote new metrics that are not committed."""
    repositories.git_in(merged_model, "switch", "--quiet", "--create", "change")
    repositories.git_in(merged_model, "push", "--quiet", "origin", "change")
    (merged_model / "models/pets/metrics.json").write_text('{"accuracy": 0.95}\n')
    return merged_model


def pack(root: Path) -> Path:
    training_results.pack(root, [MODEL], root / "build/results")
    return root / "build/results"


def head(root: Path) -> str:
    return repositories.git_in(root, "rev-parse", "HEAD")


def test_what_dvc_yaml_names_is_handed_over(trained: Path) -> None:
    folder = pack(trained)
    assert repositories.snapshot(folder).keys() == {LOCK, "models/pets/metrics.json"}


def result(root: Path, folder: Path, *models: str) -> str:
    """The commit that the results in `folder` make on top of HEAD, of a change that concerns these models."""
    concerned = {names.parse_id(model) for model in models or ("models/pets",)}
    return training_results.resulting_commit(root, head(root), concerned, folder, lambda tree, models: {})


def test_it_becomes_a_commit_and_touches_no_file_here(trained: Path) -> None:
    folder, before = pack(trained), head(trained)
    files = repositories.snapshot(trained / "models"), repositories.git_in(trained, "status", "--short")
    commit = result(trained, folder)
    assert repositories.git_in(trained, "diff", "--name-only", before, commit) == "models/pets/metrics.json"
    assert repositories.git_in(trained, "log", "-1", "--format=%s %P", commit) == f"Train models/pets {before}"
    assert (repositories.snapshot(trained / "models"), repositories.git_in(trained, "status", "--short")) == files
    assert git_commits.is_result_of(trained, commit, before)
    assert not git_commits.is_result_of(trained, before, before)


def test_the_same_results_make_the_same_commit_whoever_makes_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pack(trained)
    first = result(trained, folder)
    clone = tmp_path / "clone"
    repositories.git_in(trained, "clone", "--quiet", str(repositories.origin(trained)), str(clone))
    repositories.git_in(clone, "checkout", "--quiet", head(trained))
    repositories.git_in(clone, "config", "i18n.commitEncoding", "ISO-8859-1")
    repositories.git_in(clone, "config", "user.name", "Ada")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2030-01-01T00:00:00Z")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert result(clone, folder) == first


def test_nothing_new_makes_no_commit(trained: Path) -> None:
    repositories.git_in(trained, "restore", ".")
    assert result(trained, pack(trained)) == head(trained)


def test_a_job_that_trained_nothing_hands_nothing_over(trained: Path) -> None:
    assert result(trained, trained / "nowhere") == head(trained)


def declare(root: Path, kind: str, name: str) -> None:
    """Add an uncached output to the pipeline, as the text of a person who ignores its schema."""
    text = (root / "models/pets/dvc.yaml").read_text()
    if f"    {kind}:\n" not in text:
        text += f"    {kind}:\n"
    text = text.replace(f"    {kind}:\n", f"    {kind}:\n    - {name}:\n        cache: false\n")
    (root / "models/pets/dvc.yaml").write_text(text)


def test_what_the_training_no_longer_writes_goes(trained: Path) -> None:
    declare(trained, "plots", "plots")
    (trained / "models/pets/plots").mkdir()
    (trained / "models/pets/plots/old.json").write_text("[]\n")
    before = repositories.commit(trained, "plots")
    repositories.git_in(trained, "push", "--quiet", "origin", "change")
    (trained / "models/pets/plots/old.json").rename(trained / "models/pets/plots/new.json")
    commit = result(trained, pack(trained))
    changed = repositories.git_in(trained, "diff", "--name-status", "--no-renames", before, commit).split()
    assert changed == ["A", "models/pets/plots/new.json", "D", "models/pets/plots/old.json"]


# --- untrusted results ------------------------------------------------------------------------------------------------


def put(path: str, data: bytes = b"{}") -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return do


def link(folder: Path) -> None:
    (folder / LOCK).unlink()
    (folder / LOCK).symlink_to("/etc/passwd")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "models/pets/pipe")


def lock(text: str) -> Callable[[Path], None]:
    return put(LOCK, f"schema: '2.0'\nstages: {text}\n".encode())


METRICS = "models/pets/metrics.json"
OUT = f"{{path: model.onnx, hash: md5, md5: {'a' * 32}, size: 1}}"
HOSTILE = {
    "code": put("models/pets/train.py"),
    "a workflow": put(".github/workflows/x.yml"),
    "another model": put("models/other/dvc.lock"),
    "a model that exists and is not concerned": put("models/second/dvc.lock"),
    "a dataset": put("datasets/pets/prepared.dvc"),
    "a file at the top": put("dvc.yaml"),
    "the pipeline": put("models/pets/dvc.yaml"),
    "the manifest": put("models/pets/model.yaml"),
    "a pointer": put("models/pets/model.onnx.dvc"),
    "below a file": put("models/pets/metrics.json.d/x"),
    "a name with a newline": put("models/pets/plots/a\nb.json"),
    "a link": link,
    "a pipe": pipe,
    "too large": put(METRICS, b" " * (result_files.MAX_BYTES + 1)),
    "an empty lock": lock("{}"),
    "a lock without the pipeline's stages": lock(f"{{other: {{cmd: x, outs: [{OUT}]}}}}"),
    "a lock without outputs": lock("{train: {cmd: x}}"),
    "a lock that is no text": put(LOCK, "schema: '2.0'\nstages: {train: {cmd: ä}}\n".encode("utf-16")),
    "a lock that fetches": lock("{train: {cmd: x, deps: [{repo: {url: x}}]}}"),
    "a lock of another folder": lock(f"{{train: {{cmd: x, outs: [{{path: ../x, hash: md5, md5: {'a' * 32}}}]}}}}"),
    "no JSON": put(METRICS, b"<script>"),
    "NaN": put(METRICS, b'{"accuracy": NaN}'),
    "an infinite number": put(METRICS, b'{"accuracy": 1e999}'),
    "a list": put(METRICS, b"[1]"),
    "a key twice": put(METRICS, b'{"accuracy": 1, "accuracy": 0}'),
    "deep nesting": put(METRICS, b'{"a":' * 5000 + b"1" + b"}" * 5000),
}


@pytest.fixture
def second(trained: Path) -> Path:
    """`trained`, with another model in the same commit."""
    folder = shutil.copytree(trained / "models/pets", trained / "models/second")
    manifest = folder / "model.yaml"
    manifest.write_text(manifest.read_text().replace("name: pets", "name: second"))
    repositories.git_in(trained, "add", "models/second")
    repositories.git_in(trained, "commit", "--quiet", "--no-verify", "--message", "second")
    return trained


@pytest.mark.parametrize("what", HOSTILE)
def test_untrusted_results_become_no_commit(second: Path, what: str) -> None:
    folder = pack(second)
    HOSTILE[what](folder)
    with pytest.raises((InvalidData, InvalidDocument)) as caught:
        result(second, folder)
    assert caught.value.fix


@pytest.mark.parametrize(
    "name",
    [
        *sorted(output_names.DOCUMENTS), "DVC.yaml", "sub/Model.YAML", "model.onnx.dvc", "train.py", "evil.pth",
        ".gitignore", "sub/.dvc/config", "run.sh", "page.svg", "page.html", "notes.md", "Makefile", "a.json.",
        "metrics",
    ],
)  # fmt: skip
def test_what_a_tool_obeys_is_no_result_whatever_the_pipeline_declares(trained: Path, name: str) -> None:
    declare(trained, "plots", name)
    repositories.commit(trained, "an untrusted pipeline")
    document = documents.read_yaml((trained / "models/pets/dvc.yaml").read_bytes(), "dvc.yaml")
    is_folder = "." not in name and name != "Makefile"  # nothing tells such a name from a folder's
    assert bool(list(schema.find_faults(document, "pipeline"))) is not (is_folder or name == "Makefile")
    folder = pack_by_hand(trained)
    put(f"models/pets/{name}")(folder)
    with pytest.raises((InvalidData, InvalidDocument)):
        result(trained, folder)


def pack_by_hand(root: Path) -> Path:
    """The results of a job that does not ask `registry train` for them."""
    folder = root / "build/results"
    for name in (LOCK, METRICS):
        put(name, (root / name).read_bytes())(folder)
    return folder


@pytest.mark.parametrize("name", ["params.json", "../../datasets/pets/prepared"])
def test_an_input_of_a_stage_is_no_result(trained: Path, name: str) -> None:
    text = (trained / "models/pets/dvc.yaml").read_text()
    (trained / "models/pets/dvc.yaml").write_text(text.replace("cmd:", "params:\n    - params.json: [a]\n    cmd:", 1))
    declare(trained, "plots", "params.json")
    repositories.commit(trained, "parameters as a plot")
    folder = pack_by_hand(trained)
    put("models/pets/params.json")(folder)
    with pytest.raises(InvalidData, match=r"params\.json"):
        result(trained, folder)


def test_a_link_in_the_commit_is_not_written_through(trained: Path) -> None:
    declare(trained, "plots", "plots")
    (trained / "models/pets/plots").symlink_to("../../.github")
    repositories.git_in(trained, "add", "--force", "models")
    repositories.git_in(trained, "commit", "--quiet", "--no-verify", "--message", "a link")
    folder = pack_by_hand(trained)
    put("models/pets/plots/loss.json")(folder)
    with pytest.raises(InvalidData, match="symbolic link"):
        result(trained, folder)


PLOTS = {
    "loss.json": (b'[{"step": 1, "loss": Infinity}]', b'{"a": 1, "a": 2}'),
    "deep.json": (b"[[1]]", b"[" * 200_000),
    "curve.csv": (b'a,b\n1,"x\ny"\n', b'a,"b\n'),
    "loss.tsv": (b"step\tloss\n1\t0.5\n", b"step\0\n"),
    "points.yaml": (b"- {x: 1}\n", b"- &a x\n- *a\n"),
    "points.toml": (b"x = 1\n", b"x = \n"),
    "roc.png": (b"\x89PNG\r\n\x1a\nrest", b"<svg/>"),
    "roc.jpg": (b"\xff\xd8\xffrest", b"\x89PNG\r\n\x1a\n"),
    "latin.csv": ("a\nä\n".encode(), "a\nä\n".encode("latin-1")),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_has_the_form_that_its_name_says(trained: Path, name: str) -> None:
    declare(trained, "plots", "plots")
    repositories.commit(trained, "plots")
    good, bad = PLOTS[name]
    folder = pack_by_hand(trained)
    put(f"models/pets/plots/{name}", good)(folder)
    assert result(trained, folder) != head(trained)
    put(f"models/pets/plots/{name}", bad)(folder)
    with pytest.raises(InvalidDocument, match=name):
        result(trained, folder)


def test_too_many_files_are_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_results, "MAX_FILES", 1)
    with pytest.raises(InvalidData, match="2 files"):
        result(trained, pack(trained))


def test_results_are_small_together(trained: Path) -> None:
    declare(trained, "plots", "plots")
    repositories.commit(trained, "plots")
    folder = pack_by_hand(trained)
    for number in range(11):
        put(f"models/pets/plots/{number}.csv", b"1\n" * 500_000)(folder)
    with pytest.raises(InvalidData, match=r"11,000,\d\d\d bytes in all"):
        result(trained, folder)


# --- what a change concerns -------------------------------------------------------------------------------------------


def test_a_change_concerns_its_models_and_those_of_its_datasets(second: Path) -> None:
    tree = git_trees.Revision(second, "HEAD")
    both = {MODEL, names.parse_id("models/second")}
    assert train.concerned(tree, ["models/pets/train.py"]) == {MODEL}
    assert train.concerned(tree, ["datasets/pets/prepared.dvc"]) == both
    assert train.concerned(tree, ["README.md", "models/gone/dvc.lock"]) == set()
