"""Every command in docs/looker.md is run: from an address in a browser to a published dataset on S3."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from registry.core import manifests
from registry.core.names import parse_id
from registry.core.values import LookerQuery
from registry.integrations import git_trees
from support import release_auditor, repositories, s3_registry
from support.s3_registry import World
from support.servers.looker import LookerServer
from support.servers.looker_explores import Explore, Join, Row, View

pytestmark = [pytest.mark.slow, pytest.mark.s3]

PAGE = (Path(__file__).parents[2] / "docs/looker.md").read_text()
ACME = "https://acme.cloud.looker.com"
BIRDS = "datasets/birds"
DELIVERIES = ("s3://acme-looker", "s3://lake/looker")  # the page's place, and the test's
CAMERAS: list[Row] = [{"cameras.id": number, "cameras.name": name} for number, name in enumerate(("XT-3", "X100"))]
ROWS: list[Row] = [
    {
        "images.uuid": str(UUID(int=number, version=4)),
        "images.label": ("robin", "tit", "cat")[number % 3],
        "images.camera": number % 2,
        "images.captured_date": f"202{4 + number % 2}-03-{1 + number % 28:02}",
    }
    for number in range(1, 361)
]
SELECTED = [row for row in ROWS if row["images.label"] != "cat" and str(row["images.captured_date"]) > "2025"]


def section(heading: str) -> str:
    """The text below a heading."""
    found = re.search(rf"## {heading}\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)
    assert found
    return found[1]


def commands(heading: str) -> list[str]:
    """The lines of the shell blocks below a heading, comments cut off."""
    blocks = re.findall(r"```sh\n(.*?)```", section(heading), re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def looker() -> Iterator[LookerServer]:
    join = Join(View("cameras", CAMERAS), on="${cameras.id} = ${images.camera}")
    with LookerServer(explores=[Explore("photos", "images", View("images", ROWS), joins=[join])]).serve() as server:
        yield server


@pytest.fixture(scope="module")
def world(looker: LookerServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry without an artifact on S3, the images in its lake, an API key in the environment."""
    with s3_registry.open_world(tmp_path_factory.mktemp("looker")) as made:
        s3_registry.found(made)
        for number, row in enumerate(ROWS):
            made.put("lake", f"{row['images.uuid']}.jpg", s3_registry.picture(number))
        repositories.commit(made.root, "a registry")
        repositories.git_in(made.root, "push", "--quiet", "--set-upstream", "origin", "main")
        made.env = {**made.env, **looker.env()}
        yield made


def type_lines(world: World, looker: LookerServer, lines: list[str]) -> str:
    """What the commands print, typed as the page shows them."""
    typed = [shlex.split(line.replace(ACME, looker.url).replace(*DELIVERIES)) for line in lines]
    assert all(words[0] == "registry" for words in typed)
    return "".join(world.must(*words[1:]).out for words in typed)


def test_an_address_from_a_browser_becomes_a_published_dataset(world: World, looker: LookerServer) -> None:
    three = commands("Three commands")
    assert [line.split()[1] for line in three] == ["new", "select", "build"]
    out = type_lines(world, looker, three)
    assert "not taken: the limit of 500 rows; a dataset takes every row" in out

    found = manifests.load_dataset(git_trees.WorkTree(world.root), parse_id(BIRDS))
    filters = {"images.label": "robin,tit", "images.captured_date": "after 2025-01-01"}
    assert found.source == LookerQuery("photos", "images", filters, None, ("images.captured_date desc",), "UTC")
    assert {column.name: column.type for column in found.columns} == {
        "uuid": "uuid", "label": "string", "name": "string", "captured_date": "date",
    }  # fmt: skip

    world.must("check", "--fix")
    repositories.commit(world.root, "Add birds")
    repositories.git_in(world.root, "push", "--quiet", "origin", "main")
    world.must("push")
    world.must("publish")
    assert release_auditor.releases(world.origin)
    assert world.broken_promises() == []
    images = [key for key in world.listed("production") if not key.endswith(".dir")]
    assert len(images) >= len(SELECTED)

    [sql] = commands("For LookML as code")
    shown = type_lines(world, looker, [sql])
    assert "SELECT" in shown
    assert "cameras" in shown

    assert type_lines(world, looker, commands("Each week"))

    _files(world, looker)
    _deliveries(world, looker)
    headings = re.findall(r"^## (.*)", PAGE, re.MULTILINE)
    run = ["Three commands", "Files from Looker", "Scheduled deliveries", "For LookML as code", "Each week"]
    assert [heading for heading in headings if commands(heading)] == run


def _download(looker: LookerServer) -> bytes:
    """The CSV that a person downloads from the Explore."""
    fields = ["images.uuid", "images.label", "cameras.name", "images.captured_date"]
    filters = {"images.label": "robin,tit", "images.captured_date": "after 2025-01-01"}
    return looker.download({"model": "photos", "view": "images", "fields": fields, "filters": filters}, limit=1000)


def _files(world: World, looker: LookerServer) -> None:
    (world.root / "Birds.csv").write_bytes(_download(looker))
    out = type_lines(world, looker, commands("Files from Looker"))
    assert f"{len(SELECTED)} rows from Birds.csv" in out


def _deliveries(world: World, looker: LookerServer) -> None:
    """The manifest with the source that the page shows; files are delivered to where it says."""
    [shown] = re.findall(r"```yaml\n(.*?)```", section("Scheduled deliveries"), re.DOTALL)
    path = world.root / BIRDS / "dataset.yaml"
    manifest = re.sub(r"^source:\n(?: .*\n)+", shown.replace(*DELIVERIES), path.read_text(), flags=re.MULTILINE)
    path.write_text(manifest)
    newest, one = commands("Scheduled deliveries")
    world.put("lake", "looker/birds/2024-06-10.csv", _download(looker))
    assert f"{len(SELECTED)} rows from s3://lake/looker/birds/2024-06-10.csv" in type_lines(world, looker, [newest])
    assert "nothing new" in type_lines(world, looker, [newest])
    world.put("lake", "looker/birds/2024-06-03.csv", _download(looker))
    assert f"{len(SELECTED)} rows from s3://lake/looker/birds/2024-06-03.csv" in type_lines(world, looker, [one])
