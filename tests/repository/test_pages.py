"""Every command on every page is typed in the order of the page, and prints what it shows; or a reason says why not.

The pages that tell how a registry is used are typed here, in one registry. TESTS names the tests of the others.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from registry.core.documents import edit_yaml, read_yaml
from support import hints, pages, repositories
from support.pages import Command
from support.servers.looker import LookerServer

pytestmark = pytest.mark.slow

VENV = Path(sys.prefix)
TYPED = {f"docs/{name}.md" for name in (
    "ten-minutes", "updates", "maintainer", "contributor", "reviewer", "consumer", "storage",
)}  # fmt: skip
# The tests of pages that need a state of their own.
TESTS = {
    "README.md": "repository/test_readme.py",
    "CONTRIBUTING.md": "repository/test_documents.py",  # its targets of make; they are this suite
    "docs/adopt.md": "repository/test_adopt_page.py",
    "docs/cluster.md": "faults/test_cluster.py",
    "docs/data-tests.md": "testing/test_data_tests.py",
    "docs/looker.md": "repository/test_looker_page.py",
    "docs/models.md": "repository/test_models_page.py",
    "docs/runner.md": "repository/test_first_pull_request_page.py",
    "infra/README.md": "infra/test_readme.py",
}
# page, beginning of a command → why it is not typed
NOT_TYPED = {
    ("docs/storage.md", "radosgw-admin"): "Ceph's own program, on its server",
    ("docs/storage.md", "export AWS_ACCESS_KEY_ID=…"): "the keys of a server of one's own",
    (
        "docs/storage.md",
        "REGISTRY_TEST_S3=",
    ): "needs an S3 server of one's own; tests/servers run the same test on others",
}
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


def typed(page: str) -> list[Command]:
    """The commands of a page that can be typed here."""
    skipped = tuple(start for name, start in NOT_TYPED if name == page)
    return [command for command in pages.commands(page) if not (skipped and command.text.startswith(skipped))]


def test_every_page_with_commands_is_typed_or_has_a_test_or_a_reason() -> None:
    named = [*pages.ROOT.glob("docs/*.md"), *pages.ROOT.glob("*.md"), *pages.ROOT.glob("*/README.md")]
    found = {page: pages.commands(page) for page in (path.relative_to(pages.ROOT).as_posix() for path in named)}
    assert {page for page, commands in found.items() if commands} == TYPED | TESTS.keys()
    assert all(any(command.text.startswith(start) for command in found[page]) for page, start in NOT_TYPED)
    for page, name in TESTS.items():
        assert Path(page).name.partition(".")[0] in (pages.ROOT / "tests" / name).read_text()


# --- one person, one machine ------------------------------------------------------------------------------------------


def test_ten_minutes_and_then_an_update(tmp_path: Path) -> None:
    places = {
        "TEMPLATE template": f"{pages.ROOT} template && ln -s {VENV} template/.venv",
        "cd acme-data": f"cd acme-data && ln -s {VENV} .venv",
    }
    pages.type_all(typed("docs/ten-minutes.md"), tmp_path, pages.environment(), places)
    top = tmp_path / "ten-minutes"
    assert len(list((top / "consumer/prepared").rglob("*.png"))) == 200

    template, registry = top / "template", top / "acme-data"
    with (template / "infra/README.md").open("a") as file:
        file.write("\nMore words.\n")
    repositories.git_in(template, "commit", "--quiet", "--all", "--message", "More words")
    repositories.git_in(template, "tag", "v99.0.0")
    settings = registry / "registry.yaml"
    settings.write_bytes(edit_yaml(settings.read_bytes(), {("template", "source"): template.as_uri()}))
    repositories.git_in(registry, "commit", "--quiet", "--all", "--message", "The template's new address")
    pages.type_all(typed("docs/updates.md"), registry, pages.environment())
    assert (registry / "infra/README.md").read_text().endswith("\nMore words.\n")
    now = read_yaml(settings.read_bytes(), "registry.yaml").data
    assert now["template"]["commit"] == repositories.git_in(template, "rev-parse", "HEAD")
    assert repositories.git_in(registry, "status", "--short") == ""


# --- four people ------------------------------------------------------------------------------------------------------


@pytest.fixture
def looker() -> Iterator[LookerServer]:
    rows = [
        {"images.uuid": str(UUID(int=number, version=4)), "images.label": ("robin", "tit")[number % 2]}
        for number in range(1, 121)
    ]
    with LookerServer(rows).serve() as running:
        yield running


def test_a_maintainer_a_contributor_a_reviewer_and_a_consumer(looker: LookerServer, tmp_path: Path) -> None:
    top, clone, origin = tmp_path, tmp_path / "acme-data", tmp_path / "origin.git"
    places = {
        "https://github.com/acme/data": str(origin),
        "s3://acme-images": str(top / "lake"),
        "s3://acme-data": str(top / "bucket"),
    }
    (top / "fill.py").write_text(FILL)
    (top / "lake").mkdir()
    for number, row in enumerate(looker.rows):
        shade = (250 - number, 120 + number, 40) if row["images.label"] == "tit" else (10 + number, 40, 200)
        Image.new("RGB", (32 + number, 24), shade).save(top / "lake" / f"{row['images.uuid']}.jpg")
    env = pages.environment(EDITOR=shlex.join([sys.executable, str(top / "fill.py")]), **looker.env())

    init, *each_day = typed("docs/maintainer.md")
    pages.type_all([init], top, env, places)
    (clone / ".venv").symlink_to(VENV)
    repositories.git_in(top, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    repositories.git_in(clone, "remote", "add", "origin", str(origin))
    repositories.commit(clone, "Our registry")
    repositories.git_in(clone, "push", "--quiet", "--set-upstream", "origin", "main")

    quick = {**places, "dvc repro": "sed -i 's/^epochs: .*/epochs: 1/' models/birds/params.yaml && dvc repro"}
    pages.type_all(typed("docs/contributor.md"), clone, env, quick)
    pages.type_all(typed("docs/reviewer.md"), clone, env, places)
    repositories.git_in(clone, "switch", "--quiet", "main")
    repositories.git_in(clone, "merge", "--quiet", "--no-ff", "--message", "Merge", "add-birds")
    repositories.git_in(clone, "push", "--quiet")
    pages.type_all(each_day, clone, env, places)
    tags = repositories.git_in(clone, "ls-remote", "--tags", "--refs", "origin").replace("refs/tags/", "").split()[1::2]
    assert {*tags} == {"datasets/birds@v1.0.0", "models/birds@v1.0.0"}

    rows = re.findall(r"^\| (?:in a clone|without a clone) \|(.*)\|$", pages.read("docs/consumer.md"), re.MULTILINE)
    asked = [Command(span, "Find a version") for row in rows for span in re.findall(r"`([^`]+)`", row)]
    printed = pages.type_all(asked, clone, env, places | {"gto history": ". .venv/bin/activate; gto history"})
    assert printed.count("datasets/birds@v1.0.0") >= 3
    consumer = top / "consumer"
    consumer.mkdir()
    start = Command("git init --quiet && dvc init --quiet", "")
    pages.type_all([start, *typed("docs/consumer.md")], consumer, env, places)
    assert (consumer / "model.onnx").stat().st_size > 1000
    assert len(list((consumer / "test").rglob("*.jpg"))) > 0


# --- places -----------------------------------------------------------------------------------------------------------


def test_the_places_of_objects_are_configured(registry_repo: Path) -> None:
    again = {"registry init --name": "registry init --again --name"}
    for command in typed("docs/storage.md"):
        pages.type_all([command], registry_repo, pages.environment(), again)
    config = (registry_repo / ".dvc/config").read_text()
    assert "azure://acme-data" in config


# --- messages ---------------------------------------------------------------------------------------------------------


def test_the_messages_of_the_troubleshooting_page_are_in_the_program() -> None:
    program = {pages.ANYTHING.join(text.split("{}")) for text in hints.texts()}
    table = re.findall(r"^\| (`.*?) \| [^|]* \| [^|]* \|$", pages.read("docs/troubleshooting.md"), re.MULTILINE)
    quoted = [message for cell in table for message in re.findall(r"`([^`]+)`", cell.partition(" (`")[0])]
    assert len(quoted) > 40
    assert [message for message in quoted if not any(pages.shows(message, text) for text in program)] == []
