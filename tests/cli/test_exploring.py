import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from registry.cli import main
from registry.core import manifests
from registry.core.names import parse_id
from registry.core.values import DatasetManifest, Look, LookerQuery
from registry.integrations import git_trees
from support.servers.looker import LookerServer
from support.servers.looker_explores import ALL, Dimension, Explore, Join, Measure, Row, User, View

PETS = parse_id("datasets/pets")
SAID = ("--description", "Pets of the city.", "--license", "CC-BY-4.0")
ROWS: list[Row] = [
    {
        "images.uuid": str(UUID(int=number, version=4)),
        "images.kind": ("cat", "dog", "hare")[number % 3],
        "images.camera": "XT-3",
        "images.width": 600 + number,
        "images.is_sharp": number % 2 == 0,
        "images.captured_time": f"2024-03-{number:02} 10:00:00",
        "images.captured_date": f"2024-03-{number:02}",
    }
    for number in range(1, 25)
]
QUERY: Row = {
    "model": "photos", "view": "images", "fields": ["images.uuid", "images.kind", "images.captured_time"],
    "filters": {"images.width": ">=610"}, "sorts": ["images.captured_time desc"], "limit": "500",
    "query_timezone": "Europe/Berlin",
}  # fmt: skip


def explore() -> Explore:
    reviews = [{"reviews.image": row["images.uuid"], "reviews.verdict": "good"} for row in ROWS]
    join = Join(View("reviews", reviews), on="${reviews.image} = ${images.uuid}")
    time = "${images.captured_time}"
    more = (
        Measure("images.count"),
        Dimension("images.captured_month", "date_month"),
        Dimension("images.captured_raw", "date_raw", sql=time),
        Dimension("images.received_time", "date_time", sql=time, convert_tz=False),
    )
    return Explore("photos", "images", View("images", ROWS, more), joins=[join])


@pytest.fixture
def looker(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LookerServer]:
    """A Looker of whom an API key is set; the current folder is a registry without an artifact."""
    monkeypatch.chdir(registry_repo)
    with LookerServer(explores=[explore()]).serve() as server:
        set_key(server, monkeypatch)
        yield server


def set_key(server: LookerServer, monkeypatch: pytest.MonkeyPatch, user: User | None = None) -> None:
    for name, value in server.env(user).items():
        monkeypatch.setenv(name, value)


def new(address: str, *more: str) -> int:
    return main.run(["new", "dataset", "pets", "--from-explore", address, *SAID, *more])


def manifest() -> DatasetManifest:
    return manifests.load_dataset(git_trees.WorkTree(Path.cwd()), PETS)


def element(number: str, **more: object) -> Row:
    return {"id": number, "type": "vis", "title": f"Tile {number}", "dashboard_id": "7", **more}


def text_tile() -> Row:
    return {"id": "90", "type": "text", "title": "Welcome", "dashboard_id": "7", "body_text": "Hello"}


# --- with an API key --------------------------------------------------------------------------------------------------


def test_an_explore_s_address_is_filled_in_with_looker_s_types_and_labels(
    looker: LookerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = (
        "images.uuid,images.kind,images.camera,images.width,images.is_sharp,images.captured_time,images.captured_date"
    )
    more = "f[images.width]=%3E%3D610&limit=500&sorts=images.width+desc"
    assert new(f"{looker.url}/explore/photos/images?fields={fields}&{more}", "--label", "images.kind") == 0
    found = manifest()
    assert found.source == LookerQuery(
        "photos", "images", {"images.width": ">=610"}, None, ("images.width desc",), "UTC"
    )
    assert {column.name: column.type for column in found.columns} == {
        "uuid": "uuid", "label": "string", "camera": "string", "width": "number", "is_sharp": "boolean",
        "captured_time": "datetime", "captured_date": "date",
    }  # fmt: skip
    assert found.classes == ("cat", "dog", "hare")
    out = capsys.readouterr().out
    assert "not taken: the limit of 500 rows; a dataset takes every row, not the first 500 by images.width desc" in out
    assert "classes are the 3 labels that the query has today" in out
    assert out.endswith("hint: registry select datasets/pets\n")
    assert main.run(["check", "--all"]) == 0
    assert main.run(["select", "datasets/pets", "--dry-run"]) == 0


@pytest.mark.parametrize("form", ["/x/{slug}", "/explore/photos/images?qid={slug}&toggle=vis", "/looks/9?qid={slug}"])
def test_a_short_address_leads_to_the_query_that_looker_keeps(looker: LookerServer, form: str) -> None:
    slug = looker.keep(QUERY)["slug"]
    assert new(f"{looker.url}{form.format(slug=slug)}") == 0
    assert manifest().source == LookerQuery(
        "photos", "images", {"images.width": ">=610"}, None, ("images.captured_time desc",), "Europe/Berlin"
    )
    assert manifest().classes == ("cat", "dog", "hare")


def test_a_look_stays_the_look(looker: LookerServer, capsys: pytest.CaptureFixture[str]) -> None:
    looker.looks["42"] = {"id": "42", "title": "Pets", "deleted": False, "query": QUERY}
    assert new(f"{looker.url}/looks/42?f[images.kind]=cat") == 0
    assert manifest().source == Look("42")
    assert [column.source for column in manifest().columns] == QUERY["fields"]
    assert "not taken: the filter of images.kind (cat): the saved Look does not have it" in capsys.readouterr().out
    assert main.run(["select", "datasets/pets", "--dry-run"]) == 0


@pytest.mark.parametrize("tile", ["11", "Tile 11"])
def test_a_tile_s_query_is_copied_and_the_dashboard_s_filters_are_told(
    looker: LookerServer, capsys: pytest.CaptureFixture[str], tile: str
) -> None:
    listen = [{"dashboard_filter_name": "Kind", "field": "images.kind"}]
    maker: Row = {"id": "5", "query": QUERY, "filterables": [{"model": "photos", "view": "images", "listen": listen}]}
    tiles = [element("11", result_maker=maker), element("12", query=QUERY), text_tile()]
    looker.dashboards["7"] = {"id": "7", "title": "Pets", "dashboard_elements": tiles}
    assert new(f"{looker.url}/dashboards/7?Kind=cat", "--tile", tile) == 0
    source = manifest().source
    assert isinstance(source, LookerQuery)
    assert source.filters == {"images.width": ">=610"}
    assert "not taken: the dashboard's filter Kind (cat) of images.kind" in capsys.readouterr().out


def test_the_only_tile_with_a_query_needs_no_number_and_a_tile_of_a_look_is_the_look(looker: LookerServer) -> None:
    looker.looks["42"] = {"id": "42", "title": "Pets", "deleted": False, "query": QUERY}
    tiles = [text_tile(), element("11", look_id="42")]
    looker.dashboards["photos::overview"] = {"id": "photos::overview", "title": "Pets", "dashboard_elements": tiles}
    assert new(f"{looker.url}/dashboards/photos::overview") == 0
    assert manifest().source == Look("42")


@pytest.mark.parametrize(
    ("tiles", "more", "fault"),
    [
        ([element("11", query=QUERY), element("12", query=QUERY)], (), "2 tiles, expected one: Tile 11 (11); Tile"),
        ([element("11", query=QUERY)], ("--tile", "99"), "has no tiles '99', expected one: Tile 11 (11)"),
        ([text_tile()], (), "has 0 tiles, expected one: none"),
        ([element("11", result_maker={"id": "5", "merge_result_id": "m"})], (), "tile 11 is a merged result"),
        ([element("11", merge_result_id="m", result_maker={"id": "5"})], (), "tile 11 is a merged result"),
        ([element("11", result_maker={"id": "5", "sql_query_id": "s"})], (), "tile 11 has no query of an Explore"),
    ],
    ids=["two", "unknown", "none", "merged", "merged-id", "sql"],
)  # fmt: skip
def test_a_dashboard_without_one_query_is_refused_with_its_tiles(
    looker: LookerServer, capsys: pytest.CaptureFixture[str], tiles: list[Row], more: tuple[str, ...], fault: str
) -> None:
    looker.dashboards["7"] = {"id": "7", "title": "Pets", "dashboard_elements": tiles}
    assert new(f"{looker.url}/dashboards/7", *more) == 1
    assert fault in capsys.readouterr().err
    assert not Path("datasets/pets").exists()


@pytest.mark.parametrize(
    ("look", "fault"),
    [
        ({"deleted": True, "query": QUERY}, "Look 42 was deleted"),
        ({"deleted": False, "query": None}, "Look 42 has no query: it shows a merged result"),
        ({"deleted": False, "query": QUERY | {"fields": ["images.camera", "images.width"]}}, "the field of the uuid"),
        ({"deleted": False, "query": QUERY | {"pivots": ["images.kind"]}}, "Look 42 is pivoted"),
    ],
    ids=["deleted", "merged", "no-uuid", "pivoted"],
)
def test_a_look_that_is_no_table_of_images_is_refused(
    looker: LookerServer, capsys: pytest.CaptureFixture[str], look: Row, fault: str
) -> None:
    looker.looks["42"] = {"id": "42", "title": "Pets", **look}
    assert new(f"{looker.url}/looks/42") == 1
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/x/nothere", "/looks/404", "/dashboards/404"])
def test_what_looker_does_not_know_is_told_by_its_name(
    looker: LookerServer, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    assert new(f"{looker.url}{path}") == 1
    name = {"x": "query", "looks": "Look", "dashboards": "dashboard"}[path.split("/")[1]]
    err = capsys.readouterr().err
    assert f"Looker at 127.0.0.1 has no {name} {path.rsplit('/', 1)[1]}" in err
    assert "manifest" not in err


@pytest.mark.parametrize(
    ("path", "more", "fault"),
    [
        ("photos/nothing?fields=images.uuid,images.kind", (), "has no explore nothing of model photos"),
        ("photos/images?fields=images.uuid,images.knd", (), "explore images has no field images.knd"),
        ("photos/images?fields=images.uuid", ("--label", "images.kindd"), "did you mean images.kind?"),
        ("photos/images?fields=images.uuid", ("--label", "x"), "explore images has no field x"),
    ],
)
def test_an_explore_or_a_field_that_looker_does_not_have_is_told_before_anything_is_written(
    looker: LookerServer, capsys: pytest.CaptureFixture[str], path: str, more: tuple[str, ...], fault: str
) -> None:
    assert new(f"{looker.url}/explore/{path}", *more) == 1
    assert fault in capsys.readouterr().err
    assert not Path("datasets/pets").exists()


def test_an_address_of_another_looker_reaches_neither(looker: LookerServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert new("https://other.looker.com/x/vwGSbfc") == 1
    assert "the address is one of other.looker.com, but the API key is one of 127.0.0.1" in capsys.readouterr().err
    assert not [call for call in looker.calls if "slug" in call.path]


def test_an_address_may_have_the_host_of_looker_s_pages_where_the_api_has_one_of_its_own(looker: LookerServer) -> None:
    looker.looks["42"] = {"id": "42", "title": "Pets", "deleted": False, "query": QUERY}
    looker.url = "https://looker.acme.example"  # what Looker says of itself; the API key leads to 127.0.0.1
    assert new("https://LOOKER.acme.example:443/looks/42") == 0
    assert manifest().source == Look("42")
    assert main.run(["select", "datasets/pets", "--dry-run"]) == 0


def test_a_filter_by_a_user_attribute_is_refused_wherever_it_is_kept(
    looker: LookerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    slug = looker.keep(QUERY | {"filters": {"images.camera": "{{ _user_attributes['camera'] }}"}})["slug"]
    assert new(f"{looker.url}/x/{slug}") == 1
    assert "the filter of images.camera depends on who asks" in capsys.readouterr().err


def test_a_key_that_may_see_less_fills_in_less_and_says_so(
    looker: LookerServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User("9", "Less", permissions=ALL - {"explore"})
    looker.users.append(user)
    set_key(looker, monkeypatch, user)
    assert new(f"{looker.url}/explore/photos/images?fields=images.uuid,images.kind,images.captured_time") == 0
    out = capsys.readouterr().out
    assert "not known from Looker: the types of the fields" in out
    assert "the type of images.captured_time (datetime)" in out
    assert out.endswith(
        "hint: fill in the <placeholders> in datasets/pets/dataset.yaml, then registry select datasets/pets\n"
    )


def test_a_time_in_the_database_s_zone_waits_for_a_person_to_say_which_that_is(
    looker: LookerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    times = ("images.captured_time", "images.captured_raw", "images.received_time")
    fields = ",".join(("images.uuid", "images.kind", *times))
    assert new(f"{looker.url}/explore/photos/images?fields={fields}", "--label", "images.kind") == 0
    out = capsys.readouterr().out
    said = "stays in the database's time zone, which Looker does not tell: fill in its timezone"
    assert [name for name in times if f"{name} {said}" in out] == list(times[1:])
    assert "hint: fill in the <placeholders>" in out
    assert main.run(["check", "--all"]) == 1
    path = Path("datasets/pets/dataset.yaml")
    path.write_text(path.read_text().replace('"<the time zone of the database>"', "UTC"))
    assert main.run(["check", "--all", "--fix"]) == 0
    assert main.run(["select", "datasets/pets", "--dry-run"]) == 0


def test_a_label_in_a_joined_view_has_its_classes(looker: LookerServer) -> None:
    address = f"{looker.url}/explore/photos/images?fields=images.uuid,reviews.verdict,images.camera"
    assert new(address, "--label", "reviews.verdict") == 0
    assert manifest().classes == ("good",)


def test_custom_fields_of_a_kept_query_are_told(looker: LookerServer, capsys: pytest.CaptureFixture[str]) -> None:
    custom = [{"table_calculation": "rank", "label": "Rank", "expression": "row()"}]
    slug = looker.keep(QUERY | {"dynamic_fields": json.dumps(custom), "total": True})["slug"]
    assert new(f"{looker.url}/x/{slug}") == 0
    out = capsys.readouterr().out
    assert "not taken: the table calculation Rank; save the query as a Look to keep it" in out
    assert "not taken: totals, which are no images" in out


# --- without an API key -----------------------------------------------------------------------------------------------


@pytest.fixture
def _no_key(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(registry_repo)
    for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"LOOKERSDK_{name}", raising=False)


ACME = "https://acme.cloud.looker.com"


@pytest.mark.usefixtures("_no_key")
def test_an_explore_s_address_alone_makes_a_manifest_that_passes_the_check() -> None:
    address = f"{ACME}/explore/photos/images?fields=images.uuid,images.label&f[images.label]=cat,dog&limit=500"
    assert new(address) == 0
    assert manifest().source == LookerQuery("photos", "images", {"images.label": "cat,dog"}, None, (), "UTC")
    assert manifest().classes == ("cat", "dog")
    assert main.run(["check", "--all"]) == 0


@pytest.mark.usefixtures("_no_key")
@pytest.mark.parametrize(("rest", "is_told"), [("", True), ("&limit=500", False), ("&f[images.label]=cat", False)])
def test_an_address_that_a_shell_cut_off_is_told(
    capsys: pytest.CaptureFixture[str], rest: str, *, is_told: bool
) -> None:
    assert new(f"{ACME}/explore/photos/images?fields=images.uuid,images.label{rest}") == 0
    assert ("without quotes, a shell cuts an address off" in capsys.readouterr().out) == is_told


@pytest.mark.usefixtures("_no_key")
@pytest.mark.parametrize(
    ("path", "placeholders"),
    [
        (
            "/explore/photos/images?qid=aogBgL6o3cKK1jN3RoZl5s",
            ["source.looker.filters", "columns.uuid", "columns.label"],
        ),
        ("/looks/42", ["columns.uuid", "columns.label"]),
    ],
)
def test_what_only_looker_knows_is_a_placeholder_on_which_the_check_insists(
    capsys: pytest.CaptureFixture[str], path: str, placeholders: list[str]
) -> None:
    assert new(f"{ACME}{path}") == 0
    assert "are kept in Looker, and no API key is set: fill in the placeholders" in capsys.readouterr().out
    assert main.run(["check", "--all"]) == 1
    out = capsys.readouterr().out
    assert all(f"wrong: {key}" in out for key in [*placeholders, "classes"])


@pytest.mark.usefixtures("_no_key")
@pytest.mark.parametrize("path", ["/x/vwGSbfc", "/dashboards/7", "/looks/42?qid=aogBgL6o3cKK1jN3RoZl5s"])
def test_a_short_address_without_a_key_is_refused_with_both_ways_out(
    capsys: pytest.CaptureFixture[str], path: str
) -> None:
    assert new(f"{ACME}{path}") == 1
    err = capsys.readouterr().err
    assert "Looker keeps the query of this address, and no API key is set" in err
    assert "LOOKERSDK_BASE_URL" in err
    assert "Explore from here" in err


@pytest.mark.usefixtures("_no_key")
@pytest.mark.parametrize(
    "args",
    [
        ["dataset", "pets", "--from-explore", ""],
        ["dataset", "pets", "--tile", "7"],
        ["dataset", "pets", "--label", "images.kind"],
        ["model", "pets", "--from-explore", f"{ACME}/looks/42"],
    ],
    ids=str,
)
def test_options_that_do_not_belong_together_write_nothing(args: list[str]) -> None:
    assert main.run(["new", *args]) != 0
    assert not Path("datasets/pets").exists()


@pytest.mark.usefixtures("_no_key")
def test_a_dry_run_tells_all_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert new(f"{ACME}/explore/photos/images?fields=images.uuid,images.label&limit=5", "--dry-run") == 0
    assert "not taken: the limit of 5 rows" in capsys.readouterr().out
    assert not Path("datasets/pets").exists()
