import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
import yaml

from registry.cli import main
from registry.dataset import exports, select
from registry.errors import InvalidDocument, Refused
from registry.integrations import looker_transport
from support import repositories, selections
from support.repositories import md5, place
from support.selections import PHOTOS, Row, rows, write_csv
from support.servers.looker import CLIENT_ID, CLIENT_SECRET, TOKEN, Fault, LookerServer

DATASET = "datasets/photos"


@pytest.fixture
def photos(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry with the manifest of `datasets/photos`, committed; the current folder is inside it."""
    folder = registry_repo / DATASET
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_bytes(selections.text())
    repositories.commit(registry_repo, "a manifest")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(looker_transport, "PAUSES", (0, 0, 0, 0))
    return registry_repo


def run(*args: str) -> int:
    return main.run(["select", DATASET, *args])


def run_export(root: Path, some: list[Row]) -> int:
    return run("--from", str(write_csv(root.parent / "export.csv", some)))


def pointer(root: Path) -> dict[str, object]:
    return yaml.safe_load((root / DATASET / "raw.dvc").read_text())


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, what killed writers left included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def require_whole(root: Path) -> list[str]:
    """The rows that Git's pointer reaches through the cache, by the formats alone; their UUIDs."""
    cache = root / ".dvc/cache"
    out = pointer(root)["outs"][0]
    listing = place(cache, out["md5"]).read_bytes()
    assert f"{md5(listing)}.dir" == out["md5"]
    ((entry),) = json.loads(listing)
    data = place(cache, entry["md5"]).read_bytes()
    modes = {path.stat().st_mode & 0o777 for path in cache.rglob("*") if path.is_file()}
    assert modes == {0o444}  # as DVC leaves them
    assert (entry["relpath"], entry["md5"], out["size"]) == ("selection.parquet", md5(data), len(data))
    return pl.read_parquet(data)["uuid"].to_list()


# --- from an export ---------------------------------------------------------------------------------------------------


def test_an_export_becomes_a_selection(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = rows(30)
    assert run_export(photos, some) == 0
    assert Counter(row["images.label"] for row in some) == {"dog": 16, "cat": 14}
    assert capsys.readouterr().out.splitlines() == [
        "datasets/photos: 30 rows from export.csv (dog 16, cat 14)",
        "first selection",
        "captured_at: times without an offset were read in UTC (source.looker.timezone)",
        "hint: registry build datasets/photos",
    ]
    assert require_whole(photos) == sorted(str(row["images.uuid"]) for row in some)
    assert (photos / DATASET / "raw/selection.parquet").stat().st_mode & 0o777 == 0o644
    facts = pointer(photos)["meta"]["selection"]  # of a file, for which no query was run
    assert set(facts) == {"rows", "rows_hash", "source_hash", "origin", "selected_at", "file_hash"}
    assert facts["file_hash"] == sha256((photos.parent / "export.csv").read_bytes()).hexdigest()
    assert repositories.git_in(photos, "status", "--short", "--untracked-files=all").split() == [
        "??", f"{DATASET}/.gitignore", "??", f"{DATASET}/raw.dvc",
    ]  # fmt: skip


def test_dvc_agrees_and_can_fetch_it(photos: Path) -> None:
    run_export(photos, rows(30))

    def dvc(*args: str) -> str:
        command = [sys.executable, "-m", "dvc", *args]
        return subprocess.run(command, cwd=photos, check=True, capture_output=True, text=True).stdout

    data = (photos / DATASET / "raw/selection.parquet").read_bytes()
    assert json.loads(dvc("status", "--json")) == {}
    dvc("push", "--remote", "staging")
    shutil.rmtree(photos / ".dvc/cache")
    shutil.rmtree(photos / DATASET / "raw")
    dvc("pull", "--remote", "staging")
    assert (photos / DATASET / "raw/selection.parquet").read_bytes() == data
    assert json.loads(dvc("data", "status", "--granular", "--json")).keys() <= {"git", "committed", "unchanged"}


def test_the_same_rows_in_another_order_change_nothing(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = rows(30)
    run_export(photos, some)
    file = photos / DATASET / "raw.dvc"
    file.write_text(file.read_text().replace("selected_at: '20", "selected_at: '19"))  # to see that it is not written
    before = snapshot(photos)
    capsys.readouterr()
    assert run_export(photos, some[::-1]) == 0
    assert "rows from a file; no query was run; rows unchanged since 19" in capsys.readouterr().out
    assert snapshot(photos) == before


def test_what_changed_is_told(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = rows(30)
    run_export(photos, some)
    relabelled = [row | {"images.label": "dog" if row["images.label"] == "cat" else "cat"} for row in some[:2]]
    capsys.readouterr()
    assert run_export(photos, [*relabelled, *some[2:25], *rows(9, seed=2)]) == 0
    told = capsys.readouterr().out.splitlines()[1]
    assert told.startswith("rows from a file; no query was run; rows changed since 20")
    assert told.endswith(" UTC: 9 added, 5 removed, 2 changed")
    assert len(require_whole(photos)) == 34


def test_another_question_with_the_same_rows_is_told(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = rows(30)
    run_export(photos, some)
    before = pointer(photos)
    (photos / DATASET / "dataset.yaml").write_bytes(
        selections.text({"export": {"description": "from the photo desk", "timezone": "UTC"}})
    )
    capsys.readouterr()
    assert run_export(photos, some) == 0
    assert "query changed; rows unchanged since" in capsys.readouterr().out
    assert pointer(photos)["outs"] == before["outs"]
    assert pointer(photos)["meta"]["selection"]["source_hash"] != before["meta"]["selection"]["source_hash"]


def test_other_columns_are_told(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = rows(30)
    run_export(photos, some)
    fewer = {name: column for name, column in selections.COLUMNS.items() if name != "camera"}
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text(columns=fewer))
    capsys.readouterr()
    assert run_export(photos, some) == 0
    assert "0 added, 0 removed; the columns were uuid, label, camera, captured_at" in capsys.readouterr().out


def test_rows_that_are_not_here_cannot_be_compared(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_export(photos, rows(30))
    shutil.rmtree(photos / DATASET / "raw")
    capsys.readouterr()
    assert run_export(photos, rows(31)) == 0
    assert "run `registry pull` to compare them" in capsys.readouterr().out


def test_a_file_that_is_not_the_pointer_s_is_not_compared(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_export(photos, rows(30))
    (photos / DATASET / "raw/selection.parquet").write_bytes(b"another file")
    capsys.readouterr()
    assert run_export(photos, rows(31)) == 0
    assert "run `registry pull` to compare them" in capsys.readouterr().out


def test_another_release_of_polars_does_not_make_another_selection(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_export(photos, rows(30))
    before = snapshot(photos)
    write = exports.write_selection
    monkeypatch.setattr(exports, "write_selection", lambda frame: write(frame) + b"another release")
    assert run_export(photos, rows(30)) == 0
    assert "run `registry pull` to download the selection" in capsys.readouterr().out
    assert snapshot(photos) == before


def test_a_dry_run_writes_nothing(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(photos)
    assert run("--from", str(write_csv(photos.parent / "export.csv", rows(5))), "--dry-run") == 0
    out, err = capsys.readouterr()
    assert out.startswith("datasets/photos: 5 rows from export.csv")
    assert err.endswith("nothing was written (--dry-run)\n")
    assert snapshot(photos) == before


def test_bad_rows_leave_everything_as_it_was(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_export(photos, rows(30))
    before = snapshot(photos)
    assert run_export(photos, [*rows(30), *rows(1)]) == 1
    assert "uuid: 1 duplicate UUID" in capsys.readouterr().err
    assert snapshot(photos) == before


def test_times_in_an_export_are_in_the_zone_of_the_manifest_s_query(photos: Path) -> None:
    query = selections.LOOKER["looker"] | {"timezone": "Asia/Tokyo"}
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text({"looker": query}))
    run_export(photos, [rows(1)[0] | {"images.captured_at": "2024-01-31 09:30:00"}])
    data = (photos / DATASET / "raw/selection.parquet").read_bytes()
    assert str(pl.read_parquet(data)["captured_at"].dt.to_string()[0]).startswith("2024-01-31 00:30:00")


def test_an_old_gitignore_is_kept_and_completed(photos: Path) -> None:
    (photos / DATASET / ".gitignore").write_text("/notes\n/raw")
    run_export(photos, rows(3))
    assert (photos / DATASET / ".gitignore").read_text() == "/notes\n/raw\n/prepared\n"


def test_a_link_into_the_cache_is_replaced_and_not_written_through(photos: Path) -> None:
    run_export(photos, rows(3))
    file = photos / DATASET / "raw/selection.parquet"
    cached = place(photos / ".dvc/cache", md5(file.read_bytes()))
    file.unlink()
    file.symlink_to(cached)
    run_export(photos, rows(4))
    assert not file.is_symlink()
    assert md5(cached.read_bytes()) == cached.parent.name + cached.name


# --- from Looker ------------------------------------------------------------------------------------------------------


@pytest.fixture
def looker_env(monkeypatch: pytest.MonkeyPatch) -> Callable[[LookerServer], None]:
    """Lets the environment lead to a Looker."""

    def lead(server: LookerServer) -> None:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)

    return lead


def test_looker_becomes_a_selection_without_a_secret(
    photos: Path, capsys: pytest.CaptureFixture[str], looker_env: Callable[[LookerServer], None]
) -> None:
    with LookerServer(rows(6000)).serve() as server:
        looker_env(server)
        server.faults = [Fault("/run/json", cut=5000), Fault("/queries", 503, body=f"{CLIENT_SECRET} {TOKEN}".encode())]
        assert run() == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("datasets/photos: 6,000 rows from looker (")
    assert len(require_whole(photos)) == 6000
    facts = pointer(photos)["meta"]["selection"]
    assert (facts["rows"], facts["origin"], facts["looker_release"]) == (6000, "looker", "26.22.7")
    assert facts["query"]["filters"] == {"images.label": "cat,dog"}
    assert facts["share_url"] == f"{server.url}/x/{next(iter(server.queries))}"
    written = [path.read_bytes() for path in photos.rglob("*") if path.is_file()]
    shown = [out.encode(), err.encode()]
    assert not any(secret.encode() in text for secret in (CLIENT_ID, CLIENT_SECRET, TOKEN) for text in written + shown)


def test_a_query_that_returns_the_rows_of_a_file_proves_them_and_stays_their_origin(
    photos: Path, capsys: pytest.CaptureFixture[str], looker_env: Callable[[LookerServer], None]
) -> None:
    run_export(photos, rows(30))
    of_file = pointer(photos)
    with LookerServer(rows(30)).serve() as server:
        looker_env(server)
        assert run() == 0
    assert (
        "first result of the query, after rows from the file export.csv; rows unchanged since"
        in capsys.readouterr().out
    )
    assert pointer(photos)["outs"] == of_file["outs"]
    assert pointer(photos)["meta"]["selection"]["origin"] == "looker"
    before = snapshot(photos)
    run_export(photos, rows(30))
    assert snapshot(photos) == before


def test_an_answer_that_was_cut_short_is_not_written(
    photos: Path, capsys: pytest.CaptureFixture[str], looker_env: Callable[[LookerServer], None]
) -> None:
    before = snapshot(photos)
    with LookerServer(rows(6000), cap=5000).serve() as server:
        looker_env(server)
        assert run() == 1
    assert "Looker returned 5,000 rows, but not the last by uuid; nothing was written" in capsys.readouterr().err
    assert snapshot(photos) == before


def test_rows_that_looker_repeats_are_called_so_and_not_a_short_answer(
    photos: Path, capsys: pytest.CaptureFixture[str], looker_env: Callable[[LookerServer], None]
) -> None:
    with LookerServer([*rows(5), rows(1)[0] | {"images.camera": "joined twice"}]).serve() as server:
        looker_env(server)
        assert run() == 1
    err = capsys.readouterr().err
    assert "the Looker result does not match datasets/photos/dataset.yaml" in err
    assert "uuid: 1 duplicate UUID" in err


def test_a_dataset_of_exports_says_what_to_give(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / DATASET / "dataset.yaml").write_bytes(
        selections.text({"export": {"description": "the photo desk's weekly table"}})
    )
    assert run() == 1
    assert capsys.readouterr().err == (
        "error: datasets/photos/dataset.yaml: the source is an export: the photo desk's weekly table\n"
        "  hint: registry select datasets/photos --from FILE\n"
    )


# --- places that are not as they should be ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["datasets", DATASET, f"{DATASET}/raw", f"{DATASET}/raw.dvc"])
def test_a_symbolic_link_is_not_followed(photos: Path, name: str) -> None:
    run_export(photos, rows(3))
    shutil.move(photos / name, photos.parent / "elsewhere")
    (photos / name).symlink_to(photos.parent / "elsewhere")
    with pytest.raises(Refused, match=f"^{name} is a symbolic link"):
        select.read_current(photos, PHOTOS)


def test_an_unexpected_file_in_raw_is_not_lost(photos: Path) -> None:
    run_export(photos, rows(3))
    (photos / DATASET / "raw/notes.txt").write_text("mine")
    with pytest.raises(Refused, match=f"{DATASET}/raw: unexpected file notes.txt"):
        select.read_current(photos, PHOTOS)


def test_a_file_in_the_place_of_the_folder_is_told(photos: Path) -> None:
    (photos / DATASET / "raw").write_text("mine")
    with pytest.raises(Refused, match="raw cannot be read: Not a directory"):
        select.read_current(photos, PHOTOS)


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\nouts:\n", "outs: []\n", "", "outs:\n- md5: x\n  path: ../../etc\n"])
def test_an_unreadable_pointer_is_not_overwritten(photos: Path, text: str) -> None:
    (photos / DATASET / "raw.dvc").write_text(text)
    with pytest.raises(InvalidDocument, match=rf"^{DATASET}/raw.dvc.*\n  hint: restore it from Git, or delete it"):
        select.read_current(photos, PHOTOS)


def test_only_datasets_have_selections(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["select", "models/photos"]) == 1
    assert main.run(["select", "datasets/nothing"]) == 1
    err = capsys.readouterr().err
    assert "models/photos is not a dataset" in err
    assert "datasets/nothing does not exist" in err


# --- killed -----------------------------------------------------------------------------------------------------------

KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from registry.dataset import select
left, replace = int(sys.argv[3]), Path.replace
def counting(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = counting
root = Path(sys.argv[2])
select.apply(pickle.loads(Path(sys.argv[1]).read_bytes()), root, root / ".dvc/cache")
"""


@pytest.mark.parametrize("writes", range(6))
def test_killed_at_any_write_the_earlier_state_is_whole_and_a_second_run_finishes(photos: Path, writes: int) -> None:
    """The five writes: two objects, .gitignore, selection.parquet, raw.dvc; the sixth case is not killed."""
    run_export(photos, rows(30))
    (photos / DATASET / ".gitignore").unlink()
    old = require_whole(photos)
    new = select.from_export(selections.manifest(), write_csv(photos.parent / "new.csv", rows(40)), photos)
    plan = select.plan(PHOTOS, new, select.read_current(photos, PHOTOS))
    (photos.parent / "plan").write_bytes(pickle.dumps(plan))
    undisturbed = shutil.copytree(photos, photos.parent / "undisturbed", symlinks=True)
    select.apply(plan, undisturbed, undisturbed / ".dvc/cache")

    command = [sys.executable, "-c", KILLED, str(photos.parent / "plan"), str(photos), str(writes)]
    code = subprocess.run(command, capture_output=True, env=os.environ).returncode
    assert code == (-signal.SIGKILL if writes < 5 else 0)
    assert require_whole(photos) == (old if writes < 5 else new.frame["uuid"].to_list())

    again = select.plan(PHOTOS, new, select.read_current(photos, PHOTOS))
    select.apply(again, photos, photos / ".dvc/cache")
    assert snapshot(photos) == snapshot(undisturbed)
    assert require_whole(photos) == new.frame["uuid"].to_list()


@pytest.mark.parametrize("count", [500, 5_000])
@pytest.mark.parametrize("has_totals", [False, True])
def test_an_export_of_as_many_rows_as_looker_downloads_at_most_is_confirmed(
    photos: Path, capsys: pytest.CaptureFixture[str], count: int, *, has_totals: bool
) -> None:
    export = write_csv(photos.parent / "export.csv", [row | {"rank": 1} for row in rows(count)])
    if has_totals:
        export.write_text(export.read_text() + f",,,,{count}\n")
    before = snapshot(photos)
    assert run("--from", str(export)) == 1
    assert f"export.csv has exactly {count:,} rows, at which Looker cuts downloads off" in capsys.readouterr().err
    assert snapshot(photos) == before
    assert run("--from", str(export), "--complete") == 0
    assert len(require_whole(photos)) == count


@pytest.mark.parametrize("count", [499, 501, 4_999, 5_001])
def test_other_numbers_of_rows_need_no_confirmation(photos: Path, count: int) -> None:
    assert run_export(photos, rows(count)) == 0


@pytest.mark.parametrize("count", [100_000, 65_535, 1_048_575])
def test_every_limit_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    frame = pl.DataFrame({"uuid": pl.repeat("x", count, eager=True)})
    monkeypatch.setattr(exports, "read", lambda *_, **__: exports.ExportedRows(frame))
    with pytest.raises(Refused, match=f"has exactly {count:,} rows"):
        select.from_export(selections.manifest(), tmp_path / "e.csv", tmp_path)


@pytest.mark.parametrize("options", [("--timezone", "UTC"), ("--complete",)])
def test_what_is_about_a_file_needs_one(
    photos: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert run(*options) == 1
    assert "--timezone and --complete are about a file, and no file is given" in capsys.readouterr().err


@pytest.mark.parametrize("source", [{"look": 42}, {"export": {"description": "by hand"}}], ids=["look", "export"])
def test_times_of_a_file_are_in_the_zone_that_is_said(
    photos: Path, capsys: pytest.CaptureFixture[str], source: dict[str, object]
) -> None:
    (photos / DATASET / "dataset.yaml").write_bytes(selections.text(source))
    assert run_export(photos, rows(3)) == 1
    assert "captured_at: 3 times are without an offset, in an unknown time zone" in capsys.readouterr().err
    assert run("--from", str(photos.parent / "export.csv"), "--timezone", "Asia/Tokyo") == 0
    assert "were read in Asia/Tokyo (--timezone)" in capsys.readouterr().out
    hours = pl.read_parquet(photos / DATASET / "raw/selection.parquet")["captured_at"].dt.hour()
    assert set(hours) == {1}  # ten o'clock in Tokyo
