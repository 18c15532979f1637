"""Every command in README.md is run in a registry that it makes: maintainer, contributor, reviewer, consumer."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from registry.cli import main
from support import repositories
from support.repositories import Run
from support.servers.looker import LookerServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FILL = """
import sys
from pathlib import Path
from registry.core import documents
path = Path(sys.argv[1])
common = {("description",): "Birds in the garden.", ("license",): "CC0-1.0"}
dataset = {
    ("source", "looker"): {"model": "photos", "view": "images"},
    ("classes",): ["robin", "tit"],
    ("expectations",): {"min_images": 10},
}
model = {("intended_use",): "Watching birds.", ("gates",): [{"metric": "accuracy", "min": 0}]}
path.write_bytes(documents.edit_yaml(path.read_bytes(), common | (dataset if path.name == "dataset.yaml" else model)))
"""


def commands(heading: str, block: int = 0) -> list[str]:
    """The lines of a shell block below a heading, comments cut off."""
    section = re.search(rf"## {heading}\n(.*?)(?=\n## |\Z)", README, re.DOTALL)[1]
    lines = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[block].splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def spans(row: str) -> list[str]:
    """The commands in the row of a table that begins with a text."""
    return re.findall(r"`([^`]+)`", re.search(rf"^\| {row} \|(.*)$", README, re.MULTILINE)[1])


class Reader:
    """A user who types what README.md says, with their own Git URL, bucket and editor."""

    def __init__(self, top: Path, env: dict[str, str]) -> None:
        self.top, self.env = top, env
        self.clone, self.origin = top / "acme-data", top / "origin.git"

    def type(self, line: str, cwd: Path | None = None) -> str:
        for shown, real in {
            "https://github.com/acme/data": str(self.origin),
            "s3://acme-images": str(self.top / "lake"),
            "s3://acme-data": str(self.top / "bucket"),
        }.items():
            line = line.replace(shown, real)
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=cwd or self.clone,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def looker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LookerServer]:
    rows = [
        {"images.uuid": str(UUID(int=number, version=4)), "images.label": ("robin", "tit")[number % 2]}
        for number in range(1, 121)
    ]
    with LookerServer(rows).serve() as running:
        yield running


@pytest.fixture(scope="module")
def reader(looker: LookerServer, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    top = tmp_path_factory.mktemp("reader")
    (top / "fill.py").write_text(FILL)
    (top / "lake").mkdir()
    for number, row in enumerate(looker.rows):
        shade = (250 - number, 120 + number, 40) if row["images.label"] == "tit" else (10 + number, 40, 200)
        Image.new("RGB", (32 + number, 24), shade).save(top / "lake" / f"{row['images.uuid']}.jpg")
    env = {
        "HOME": os.environ["HOME"],
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "EDITOR": shlex.join([sys.executable, str(top / "fill.py")]),
        **looker.env(),
    }
    user = Reader(top, env)
    user.type(f"git init --bare -b main {user.origin} --quiet", cwd=top)
    return user


def test_a_maintainer_a_contributor_a_reviewer_and_a_consumer_type_what_it_says(reader: Reader) -> None:
    init, *maintaining = commands("Quick start: maintainer")
    setup, activate, *contributing = commands("Quick start: contributor")
    reader.type(init, cwd=reader.top)
    (reader.clone / ".venv").symlink_to(Path(sys.prefix))
    reader.type(f"git remote add origin {reader.origin}")
    reader.type("git add --all && git commit -qm 'Our registry' && git push -q -u origin main")
    assert setup == "make setup"
    reader.type(setup)
    assert activate == ". .venv/bin/activate"
    reader.type(" && ".join([activate, *contributing]))
    train, pull, new, fill, *training = commands("Quick start: contributor", block=1)
    quick = "sed -i 's/^epochs: .*/epochs: 1/' models/birds/params.yaml"
    reader.type(" && ".join([train, pull, new, fill, quick, *training]))
    for line in commands("Quick start: reviewer"):
        reader.type(line)

    reader.type("git switch -q main && git merge -q --no-ff -m Merge add-birds && git push -q")
    for line in maintaining:
        reader.type(line)
    assert {"datasets/birds@v1.0.0", "models/birds@v1.0.0"} == set(
        reader.type("git ls-remote --tags --refs origin").replace("refs/tags/", "").split()[1::2]
    )

    versions = reader.type(" && ".join([activate, *spans("in a clone"), *spans("without a clone")]))
    assert versions.count("datasets/birds@v1.0.0") >= 3

    consumer = reader.top / "consumer"
    consumer.mkdir()
    reader.type("git init -q && dvc init -q", cwd=consumer)
    for line in commands("Quick start: consumer"):
        reader.type(line, cwd=consumer)
    assert (consumer / "model.onnx").stat().st_size > 1000
    assert len(list((consumer / "test").rglob("*.jpg"))) > 0
    [verify] = commands("Quick start: consumer", block=1)
    assert "prepared is datasets/birds@v1.0.0" in reader.type(verify, cwd=consumer)


def test_the_finding_is_printed_so(released_model: Path, run_registry: Run) -> None:
    finding = re.search(r"```text\n(.*?)```", README, re.DOTALL)[1]
    images = dict(list(repositories.PETS.items())[:-1])
    repositories.dataset(released_model, "pets", images, "1.1.0")
    assert finding in run_registry(released_model, "check").out


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    assert [line.split()[:2] for line in commands("Two commands")] == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{name}:.* ##", makefile, re.MULTILINE) for name in ("demo", "test"))
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_picture_is_of_real_commands() -> None:
    picture = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)[1]
    drawn = set(re.findall(r"registry (\w+)", picture))
    assert drawn == {"select", "build", "check", "report", "publish"} & {name for name, _ in main.COMMANDS}
