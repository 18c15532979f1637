from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.cli import main
from support import repositories, selections
from support.selections import rows
from support.servers.looker import LookerServer
from support.servers.looker_explores import ALL, Dimension, Explore, User, View

DATASET = "datasets/photos"


@pytest.fixture
def photos(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry with the manifest of `datasets/photos`; the current folder is it."""
    (registry_repo / DATASET).mkdir(parents=True)
    (registry_repo / DATASET / "dataset.yaml").write_bytes(selections.text())
    monkeypatch.chdir(registry_repo)
    return registry_repo


def run(*args: str) -> int:
    return main.run(["select", DATASET, *args])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "7 days",
            'warning: the filter "7 days" of images.captured_date is relative to the time of the query: with each',
        ),
        ("before 7 days ago", 'note: the filter "before 7 days ago" of images.captured_date is relative'),
        ("after 2024-01-01", ""),
    ],
)
def test_what_a_relative_date_does_to_the_dataset_is_told(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, line: str
) -> None:
    source = {"looker": {"model": "photos", "view": "images", "filters": {"images.captured_date": text}}}
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text(source))
    days = ("2024-01-15", "2024-03-01")
    dated = [row | {"images.captured_date": days[number % 2]} for number, row in enumerate(rows(20))]
    with LookerServer(dated, now=datetime(2024, 3, 3, tzinfo=UTC)).serve() as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        assert run("--dry-run") == 0
    out = capsys.readouterr().out
    assert line in out if line else "relative" not in out


@pytest.mark.parametrize(("kind", "is_told"), [("date_date", True), ("string", False)])
def test_looker_s_type_decides_whether_a_text_is_a_date(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, *, is_told: bool
) -> None:
    text = "before today" if kind == "date_date" else "7 days,today"
    source = {"looker": {"model": "photos", "view": "images", "filters": {"images.checked": text}}}
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text(source))
    value = "2024-03-01" if kind == "date_date" else "today"
    view = View("images", [row | {"images.checked": value} for row in rows(20)], (Dimension("images.checked", kind),))
    with LookerServer(explores=[Explore("photos", "images", view)]).serve() as server:
        for name, setting in server.env().items():
            monkeypatch.setenv(name, setting)
        assert run("--dry-run") == 0
    assert ("relative to the time of the query" in capsys.readouterr().out) == is_told


def test_a_relative_filter_that_lookml_adds_is_told_too(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    view = View("images", [row | {"images.checked": "2024-03-01"} for row in rows(20)])
    added = {"images.checked": "before today", "images.label": "cat,dog"}
    with LookerServer(explores=[Explore("photos", "images", view, always_filter=added)]).serve() as server:
        for name, setting in server.env().items():
            monkeypatch.setenv(name, setting)
        assert run("--dry-run") == 0
    out = capsys.readouterr().out
    assert "explore images filters images.checked by 'before today' where the query does not" in out
    assert 'note: the filter "before today" of images.checked is relative to the time of the query' in out


@pytest.fixture
def seen(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LookerServer]:
    """A Looker of whom an API key is set, with rows for `datasets/photos`."""
    with LookerServer(rows(20)).serve() as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=str)
def test_the_generated_sql_is_shown_and_nothing_is_run(
    photos: Path, seen: LookerServer, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    before = repositories.snapshot(photos)
    assert run("--sql", *more) == 0
    [call] = seen.paths("/queries/run/sql")
    assert capsys.readouterr().out == seen.sql(call.body) + "\n"
    assert not seen.paths("/queries/run/json")
    assert repositories.snapshot(photos) == before


def test_the_sql_of_a_look_is_that_of_its_query_now(
    photos: Path, seen: LookerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text({"look": 42}))
    fields = [column["from"] for column in selections.COLUMNS.values()]
    query = {"model": "photos", "view": "images", "fields": fields, "filters": {"images.label": "dog"}}
    seen.looks["42"] = {"id": "42", "title": "Dogs", "deleted": False, "query": query}
    assert run("--sql") == 0
    assert "dog" in capsys.readouterr().out


def test_sql_that_the_key_may_not_see_is_told_with_the_permission(
    photos: Path, seen: LookerServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User("9", "Less", permissions=ALL - {"see_sql"})
    seen.users.append(user)
    for name, value in seen.env(user).items():
        monkeypatch.setenv(name, value)
    assert run("--sql") == 1
    assert "see_sql" in capsys.readouterr().err


def test_a_query_that_no_longer_compiles_fails(
    photos: Path, seen: LookerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = selections.COLUMNS | {"gone": {"from": "images.gone", "type": "string", "nullable": True}}
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text(columns=gone))
    assert run("--sql") == 1
    assert "images.gone" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["looks/42", "x/vwGSbfc", "explore/photos/images?fields=images.uuid"])
def test_a_page_of_looker_is_no_file(photos: Path, capsys: pytest.CaptureFixture[str], page: str) -> None:
    url = f"https://acme.cloud.looker.com/{page}"
    assert run("--from", url) == 1
    assert "is a page of Looker, not a file" in capsys.readouterr().err
    source = {"export": {"description": "by hand", "timezone": "UTC", "from": url}}
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text(source))
    assert run() == 1
    assert "source.export.from: " in capsys.readouterr().err


def test_an_export_has_no_sql(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text({"export": {"description": "by hand"}}))
    assert run("--sql") == 1
    assert "the source is no query: Looker generates no SQL for it" in capsys.readouterr().err
    assert run("--sql", "--from", "export.csv") == 1
