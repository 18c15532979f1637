"""Every command of `registry`, run in a thin copy by the tooling of a wheel: the life of a registry, from `init` on."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from registry.cli.main import COMMANDS
from support import adoption, copy_worlds, repositories, selections, trainable_registry
from support.repositories import git_in
from support.servers.github import GitHub, serve
from support.servers.looker import LookerServer

ROWS = selections.rows(30, seed=8)  # of the first 20, every split has both classes
UUID, BLURRED, ERASED = (row["images.uuid"] for row in ROWS[:3])


@dataclass(frozen=True)
class Copy:
    """A copy `acme-data` in a folder, beside its origin, its buckets and the images that its people have."""

    top: Path
    env: dict[str, str]
    looker: LookerServer

    @property
    def root(self) -> Path:
        return self.top / "acme-data"


class Step(NamedTuple):
    """A command in the copy: its words, a part of what it prints, and files that are new or other ones after it."""

    words: str
    says: str
    wrote: tuple[str, ...] = ()


# --- what people do between commands ----------------------------------------------------------------------------------


def push_the_copy(copy: Copy) -> None:
    (copy.root / ".venv").symlink_to(sys.prefix)  # what `make setup` installs
    repositories.add_origin(copy.root)
    repositories.commit(copy.root, "Our registry")
    git_in(copy.root, "push", "--quiet", "--set-upstream", "origin", "main")


def describe_the_photos(copy: Copy) -> None:
    (copy.root / "datasets/photos/dataset.yaml").write_bytes(selections.text())


def write_the_training(copy: Copy) -> None:
    trainable_registry.model(copy.root, "1.0.0")


def commit(copy: Copy) -> None:
    git_in(copy.root, "switch", "--quiet", "--create", "change")
    repositories.commit(copy.root, "Photos and pets")


def merge(copy: Copy) -> None:
    git_in(copy.root, "switch", "--quiet", "main")
    git_in(copy.root, "merge", "--quiet", "--no-ff", "--message", "Merge", "change")
    git_in(copy.root, "push", "--quiet", "--no-verify")


def import_the_model(copy: Copy) -> None:
    consumer = copy.top / "consumer"
    consumer.mkdir()
    git_in(consumer, "init", "--quiet")
    adoption.dvc(consumer, "init", "--quiet")
    rev = ("--rev", f"{MODEL}@v1.0.0")
    adoption.dvc(consumer, "import", "--quiet", str(copy.top / "origin.git"), f"{MODEL}/model.onnx", *rev)


def forget_a_photo(copy: Copy) -> None:
    (copy.root / PHOTOS / "prepared/train/metadata.parquet").unlink()


def commit_the_refresh(copy: Copy) -> None:
    repositories.commit(copy.root, "More photos")


def commit_the_erasure(copy: Copy) -> None:
    repositories.commit(copy.root, "Erase")


def deliver_more_photos(copy: Copy) -> None:
    copy.looker.rows = ROWS


PHOTOS, PETS, MODEL = "datasets/photos", "datasets/pets", "models/pets"
MEASURE = f"evaluate {MODEL}/model.onnx --data {PETS}/prepared"
MEASURED = "--metrics {top}/out/metrics.json --predictions {top}/out/predictions.parquet --plots {top}/out/plots"
STORY: tuple[Step | Callable[[Copy], None], ...] = (
    Step(
        "init acme-data --owner @acme/data --bucket {top}/bucket --lake {top}/lake",
        "hint: cd acme-data, make setup",
        ("registry.yaml",),
    ),
    push_the_copy,
    Step("hooks install", "", (".git/hooks/pre-push",)),
    Step(f"new dataset {PHOTOS.partition('/')[2]}", "hint: ", (f"{PHOTOS}/dataset.yaml",)),
    describe_the_photos,
    Step(f"select {PHOTOS}", "20 rows from looker", (f"{PHOTOS}/raw.dvc",)),
    Step(f"exclude {PHOTOS} {BLURRED} --why blurred", "", (f"{PHOTOS}/dataset.yaml",)),
    Step(f"build {PHOTOS}", "19 images", (f"{PHOTOS}/prepared.dvc",)),
    Step(
        f"adopt {PETS} --from {{top}}/pets --license CC0-1.0 --description Pets.",
        "32 images",
        (f"{PETS}/dataset.yaml", f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"),
    ),
    Step(f"new model pets --trained-on {PETS}", "hint: ", (f"{MODEL}/model.yaml", f"{MODEL}/dvc.yaml")),
    write_the_training,
    Step("train", "accuracy 1.0 on 16 images", (f"{MODEL}/dvc.lock", f"{MODEL}/model.onnx", "CODEOWNERS")),
    Step(f"{MEASURE} {MEASURED}", "accuracy 1.0 on 16 images", ("../out/metrics.json", "../out/predictions.parquet")),
    Step("check --fix --all", " passed"),
    commit,
    Step("push", "objects"),
    Step("diff origin/main", f"{PHOTOS} 1.0.0 (new)"),
    Step("compare --base origin/main", MODEL),
    Step("report --base origin/main", "", (".registry/report/report.md", ".registry/report/report.html")),
    Step("judge HEAD --base origin/main --out {top}/judged", "state=", ("../judged/report.json",)),
    Step("ci scope --base origin/main", "data=true"),
    merge,
    Step("publish", "published: 65 objects copied to production"),
    Step("list", "v1.0.0  "),
    Step(f"show {MODEL}", f"from {PETS}@v1.0.0"),
    Step(f"where {UUID}", f"{PHOTOS}@v1.0.0"),
    Step(f"get {MODEL}@latest --out {{top}}/got", f"{MODEL}@v1.0.0", ("../got/model.onnx",)),
    Step(f"export {PETS}@v1.0.0 --shards --out {{top}}/shards", "as 3 shards: 32 images", ("../shards/index.json",)),
    Step(f"dossier {MODEL}@v1.0.0 --out {{top}}/dossier.md", f"the dossier of {MODEL}@v1.0.0", ("../dossier.md",)),
    Step(f"sbom {MODEL}@v1.0.0 --out {{top}}/sbom.json", f"materials of {MODEL}@v1.0.0", ("../sbom.json",)),
    import_the_model,
    Step("outdated {top}/consumer", "1 import: 1 current"),
    Step("fsck", f"{MODEL}@v1.0.0"),
    Step("pull", "pulled ", (f"{PHOTOS}/prepared/train/metadata.parquet",)),
    forget_a_photo,
    Step("checkout", "", (f"{PHOTOS}/prepared/train/metadata.parquet",)),
    Step(f"verify {PHOTOS}@v1.0.0 {PHOTOS}/prepared", "22 files intact"),
    Step("catalog build --out {top}/site", "written, 0 removed", ("../site/index.html", "../site/registry.json")),
    Step("reproduce --latest", f"{MODEL}@v1.0.0: reproduced"),
    Step("protect --plan", "create the ruleset 'registry: main'"),
    deliver_more_photos,
    Step(f"refresh {PHOTOS}", "10 added", (f"{PHOTOS}/dataset.yaml", f"{PHOTOS}/prepared.dvc")),
    Step(f"withdraw {PHOTOS} 1.0.0 --why blurred", "hint: git switch", (f"{PHOTOS}/dataset.yaml",)),
    Step(f"recall {UUID} --why private", PHOTOS, (f"{PHOTOS}/dataset.yaml", f"{PHOTOS}/prepared.dvc")),
    Step("gc --plan", " objects unreferenced, 0 bytes"),
    commit_the_refresh,
    Step(
        f"erase {ERASED} --case 2026-7 --approved-by @acme/data", "1 image", ("erased/2026-7.yaml", f"{PHOTOS}/raw.dvc")
    ),
    commit_the_erasure,
    Step("upgrade", "1.1.0", ("registry.yaml", ".github/workflows/nightly.yml")),
)
# Commands that a test of their own runs from a wheel.
ELSEWHERE = {"demo": "demo/test_story.py"}


def test_every_command_is_in_the_story() -> None:
    run = {step.words.split()[0] for step in STORY if isinstance(step, Step)}
    missing = [name for name, _ in COMMANDS if name not in run | ELSEWHERE.keys()]
    assert missing == [], f"not run in a copy: add a Step to STORY in {__file__}"
    for name, test in ELSEWHERE.items():
        assert f'"{name}"' in (Path(__file__).parents[1] / test).read_text()


@pytest.mark.slow
def test_every_command_succeeds_in_a_thin_copy(tmp_path: Path) -> None:
    for copy in _founded(tmp_path):
        for step in STORY:
            if isinstance(step, Step):
                play(copy, step)
            else:
                step(copy)


def play(copy: Copy, step: Step) -> None:
    root = copy.root if copy.root.is_dir() else copy.top
    words = shlex.split(step.words.format(top=shlex.quote(str(copy.top))))
    before = [content(copy.root / path) for path in step.wrote]
    done = repositories.sh(root, sys.executable, "-m", "registry", *words, env=copy.env)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, f"$ registry {shlex.join(words)}\n{printed}"
    assert step.says in printed, f"$ registry {shlex.join(words)}\n{printed}"
    for path, old in zip(step.wrote, before, strict=True):
        assert content(copy.root / path) not in (None, old), f"$ registry {shlex.join(words)} did not write {path}"


def content(path: Path) -> bytes | None:
    """What a file has; None where there is none."""
    return path.read_bytes() if path.is_file() else None


def _founded(top: Path) -> Iterator[Copy]:
    """The folder in which a copy is to be made, by the program of a wheel of v1.0.0; the template has v1.1.0 too."""
    (top / "wheel").mkdir()
    template = copy_worlds.make_template(top / "template")
    pin = copy_worlds.pin_wheel(template, top / "wheel")
    shutil.unpack_archive(pin.wheel.removeprefix("file://").partition("#")[0], top / "unpacked", "zip")
    for path, data in trainable_registry.images(trainable_registry.FIRST).items():
        repositories.write_bytes(top / "pets" / path, data)
    (top / "lake").mkdir()
    (top / "out").mkdir()
    for number, row in enumerate(ROWS):
        Image.new("RGB", (9 + number, 9), (number, 99, 9)).save(top / f"lake/{row['images.uuid']}.jpg")
    with LookerServer(ROWS[:20]).serve() as looker, serve(GitHub(origin=top / "origin.git")) as github:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        more = {"PYTHONPATH": str(top / "unpacked"), "PATH": path}
        yield Copy(top, {**os.environ, **github.env(), **looker.env(), **more}, looker)
