"""Refreshing: nothing where the result is the same, the next version and a pull request where it is not."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from PIL import Image

from registry.integrations import looker_transport
from registry.release import refresh
from support import repositories, selections
from support.repositories import Run, origin
from support.servers.github import GitHub, serve
from support.servers.looker import CLIENT_SECRET, LookerServer

PHOTOS = "datasets/photos"


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch) -> Iterator[LookerServer]:
    monkeypatch.setattr(looker_transport, "PAUSES", (0, 0, 0, 0))
    with LookerServer(selections.rows(40), commits={"acme_lookml": "5f1d" * 10}).serve() as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server


def picture(row: selections.Row) -> bytes:
    data, number = BytesIO(), int(str(row["images.uuid"])[:6], 16)
    Image.new("RGB", (20, 20), (number % 256, number // 256 % 256, number // 65536)).save(data, "jpeg")
    return data.getvalue()


def fill_lake(root: Path, rows: list[selections.Row]) -> None:
    (root / ".registry/lake").mkdir(parents=True, exist_ok=True)
    for row in rows:
        (root / f".registry/lake/{row['images.uuid']}.jpg").write_bytes(picture(row))


@pytest.fixture
def released(registry_repo: Path, looker: LookerServer, run_registry: Run) -> Path:
    """A registry with `datasets/photos` 1.0.0 selected from Looker, built and published."""
    folder = registry_repo / PHOTOS
    folder.mkdir(parents=True)
    every_split = selections.text().replace(b"salt: photos", b"salt: photos-7")  # has images, of 30 rows too
    (folder / "dataset.yaml").write_bytes(every_split)
    repositories.commit(registry_repo, "a manifest")
    fill_lake(registry_repo, selections.rows(60))
    for command in (("refresh", PHOTOS), ("check", "--fix")):
        done = run_registry(registry_repo, *command)
        assert done.code == 0, done.err + done.out
    repositories.commit(registry_repo, "photos 1.0.0")
    repositories.add_origin(registry_repo)
    repositories.git_in(registry_repo, "push", "--quiet", "--set-upstream", "origin", "main")
    assert run_registry(registry_repo, "publish").code == 0
    return registry_repo


@pytest.fixture
def hub(released: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve(GitHub(origin=origin(released))) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def test_the_same_result_changes_nothing(hub: GitHub, released: Path, run_registry: Run) -> None:
    done = run_registry(released, "refresh", PHOTOS, "--propose")
    assert done.code == 0
    assert done.out.splitlines()[-1] == f"{PHOTOS}: the query's result has not changed"
    assert repositories.git_in(released, "status", "--short") == ""
    assert hub.made() == []


def test_a_changed_result_is_proposed_as_the_required_version(
    hub: GitHub, released: Path, looker: LookerServer, run_registry: Run
) -> None:
    main = repositories.git_in(released, "rev-parse", "main")
    looker.rows = selections.rows(60)
    done = run_registry(released, "refresh", PHOTOS, "--propose")
    assert done.code == 0, done.err
    branch = refresh.BRANCH.format("photos")
    assert repositories.git_in(origin(released), "rev-parse", f"{branch}^", "main").split() == [main, main]
    manifest = yaml.safe_load(repositories.git_in(origin(released), "show", f"{branch}:{PHOTOS}/dataset.yaml"))
    assert manifest["version"] == "1.1.0"
    [pull] = hub.pulls
    assert (pull["head"]["ref"], pull["title"]) == (branch, "Refresh datasets/photos: 1.1.0")
    assert "close this pull request and open it again" in pull["body"]
    assert CLIENT_SECRET not in pull["body"] + done.out + done.err
    assert "query and SQL unchanged; rows changed since" in pull["body"]
    assert ": 20 added, 0 removed, 0 changed" in pull["body"]
    query, asker, sql, lookml = [line for line in pull["body"].splitlines() if line.startswith("- ")]
    assert (
        query.replace("\u2060", "") == f"- query: {looker.url}/x/{next(iter(looker.queries))}"
    )  # a link only if https
    assert (asker, sql[:8]) == ("- asked by: Registry (service account 1)", "- SQL: `")
    assert lookml.replace("\u2060", "").startswith("- LookML: acme_lookml at `5f1d5f1d5f`")
    clone = repositories.other_clone(released, released.parent)
    repositories.git_in(clone, "switch", "--quiet", branch)
    assert run_registry(clone, "check", "--base", "origin/main", "--remote").code == 0
    assert run_registry(clone, "pull", PHOTOS).code == 0
    assert len(list((clone / PHOTOS / "prepared").rglob("*.jpg"))) == 60


def test_a_later_result_replaces_the_first_proposal(
    hub: GitHub, released: Path, looker: LookerServer, run_registry: Run
) -> None:
    for count, version in ((60, "1.1.0"), (30, "2.0.0")):
        looker.rows = selections.rows(count)
        assert run_registry(released, "refresh", PHOTOS, "--propose").code == 0
        repositories.git_in(released, "restore", ".")
        assert [pull["title"] for pull in hub.pulls] == [f"Refresh datasets/photos: {version}"]


def test_uncommitted_changes_are_not_proposed(hub: GitHub, released: Path, run_registry: Run) -> None:
    (released / "notes.txt").write_text("mine\n")
    assert run_registry(released, "refresh", PHOTOS, "--propose").refused("uncommitted changes")
    assert hub.made() == []


def test_a_look_is_refreshed_like_a_query(hub: GitHub, released: Path, looker: LookerServer, run_registry: Run) -> None:
    look = {"id": "70", "model": "photos", "view": "images", "fields": list(looker.rows[0])}
    looker.looks = {"42": {"id": "42", "title": "Photos", "deleted": False, "query": look}}
    every_split = selections.text({"look": 42}).replace(b"salt: photos", b"salt: photos-7")
    (released / PHOTOS / "dataset.yaml").write_bytes(every_split)
    repositories.commit(released, "of a Look")
    repositories.git_in(released, "push", "--quiet")
    assert run_registry(released, "ci", "queries").out == f'datasets=["{PHOTOS}"]\n'
    looker.rows = selections.rows(60)
    assert run_registry(released, "refresh", PHOTOS, "--propose").code == 0
    assert [pull["title"] for pull in hub.pulls] == [f"Refresh {PHOTOS}: 1.1.0"]


@pytest.mark.parametrize("count", [35, 60])
def test_a_result_that_lacks_too_many_images_is_not_built(
    released: Path, looker: LookerServer, run_registry: Run, tmp_path: Path, count: int
) -> None:
    """In a clone, as in the workflow: the rows before are in staging and production only."""
    manifest = released / PHOTOS / "dataset.yaml"
    manifest.write_bytes(manifest.read_bytes() + b"expectations: {max_removed_share: 0.6}\n")
    repositories.commit(released, "a limit")
    repositories.git_in(released, "push", "--quiet")
    (tmp_path / "elsewhere").mkdir()
    clone = repositories.other_clone(released, tmp_path / "elsewhere")
    looker.rows = selections.rows(60)[60 - count :]  # 35: of the 40 before, 25 are missing, and 20 are new
    done = run_registry(clone, "refresh", PHOTOS)
    before = repositories.git_in(clone, "show", f"HEAD:{PHOTOS}/raw.dvc")
    is_kept = (clone / PHOTOS / "raw.dvc").read_text().strip() == before.strip()
    assert (done.code, is_kept) == ((1, True) if count == 35 else (0, False)), done.err
    if count == 35:
        assert "25 of 40 images (62.5%) of the previous selection are missing, expected at most 0.6" in done.err
