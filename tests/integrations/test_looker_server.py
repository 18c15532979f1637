"""The Looker of the tests does what Looker's documentation says of queries, rights, zones and its API."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from support.servers import looker_types
from support.servers.looker import Fault, LookerServer
from support.servers.looker_explores import ALL, Dimension, Explore, Join, Measure, Row, User, View

UUIDS = [f"{number:08}-0000-4000-8000-000000000000" for number in range(6)]
IMAGES = [
    {
        "images.uuid": uuid,
        "images.tenant": "acme" if number % 2 else "umbrella",
        "images.width": 100 * number,
        "images.is_blurry": number == 3,
        "images.taken_time": f"2024-03-31 00:{number:02}:09",
    }
    for number, uuid in enumerate(UUIDS)
]
LABELS = [{"labels.image": uuid, "labels.label": "cat" if number else None} for number, uuid in enumerate(UUIDS[:4])]
REVIEWS = [{"reviews.id": n, "reviews.image": UUIDS[n % 2], "reviews.stars": n} for n in range(5)]
ANA, BEN = User("7", "Ana Lima"), User("8", "Ben", attributes={"tenant": "acme"}, permissions=ALL - {"see_sql"})


def explore(**changes: object) -> Explore:
    """Images with labels (inner join) and reviews (one to many)."""
    raw = Dimension("images.taken_raw", "date_raw", sql="${images.taken_time}")
    date = Dimension("images.taken_date", "date_date", sql="${images.taken_time}")
    measures = (Measure("images.count"), Measure("images.pixels", "sum", "${images.width}"))
    images = View("images", IMAGES, (raw, date, *measures))
    reviews = View("reviews", REVIEWS, (Measure("reviews.count"),))
    joins = [
        Join(View("labels", LABELS), on="${labels.image} = ${images.uuid}", type="inner", relationship="one_to_one"),
        Join(reviews, on="${reviews.image} = ${images.uuid}", relationship="one_to_many"),
    ]
    return Explore("photos", "images", images, joins, **changes)  # type: ignore[arg-type]


def looker(**changes: object) -> LookerServer:
    return LookerServer(explores=[explore(**changes)], users=[ANA, BEN])


def rows(server: LookerServer, *fields: str, user: User = ANA, **query: object) -> list[Row]:
    body: Row = {"model": "photos", "view": "images", "fields": [*fields], **query}
    found: list[Row] = json.loads(server.result(body, params={"limit": "-1"}, user=user))
    return found


def values(server: LookerServer, field: str, user: User = ANA, **query: object) -> list[object]:
    return [row[field] for row in rows(server, field, user=user, **query)]


def test_a_view_is_joined_only_when_a_field_of_it_is_used() -> None:
    server = looker()
    assert len(rows(server, "images.uuid")) == 6
    assert len(rows(server, "images.uuid", "labels.label")) == 4
    assert len(values(server, "images.uuid", filters={"labels.label": "-NULL"})) == 3
    assert (
        len(values(server, "images.uuid", filter_expression="is_null(${labels.label}) OR ${images.width} = 500")) == 1
    )
    assert len(values(server, "images.uuid", filter_expression="if(${images.width} > 100, yes, no)")) == 4
    assert len(rows(looker(always_join=["labels"]), "images.uuid")) == 4
    assert len(rows(looker(always_filter={"labels.label": "cat"}), "images.uuid")) == 3
    server = looker(conditionally_filter={"labels.label": "cat"}, unless=["images.width"])
    assert len(rows(server, "images.uuid")) == 3
    assert len(rows(server, "images.uuid", filters={"images.width": ">=0"})) == 6


def test_dimensions_group_and_measures_count_a_row_of_a_view_once() -> None:
    server = looker()
    assert sorted(values(server, "images.tenant")) == ["acme", "umbrella"]
    assert len(rows(server, "images.uuid", "reviews.id")) == 9
    assert rows(server, "images.count", "images.pixels", "reviews.count") == [
        {"images.count": 6, "images.pixels": 1500, "reviews.count": 5}
    ]


def test_a_filter_on_a_measure_is_about_the_groups() -> None:
    server = looker(sql_always_having="${images.count} < 2")
    assert values(server, "images.uuid", filters={"reviews.count": ">2"}) == [UUIDS[0]]
    assert values(server, "images.tenant", filters={"images.pixels": ">0"}) == []
    assert values(server, "images.count") == []


def test_access_filters_narrow_by_the_attribute_of_the_user() -> None:
    server = looker(access_filters={"images.tenant": "tenant"})
    assert values(server, "images.uuid", BEN) == UUIDS[1::2]
    assert values(server, "images.uuid") == []  # the attribute is not set


def test_times_are_in_the_zone_of_the_query_unless_a_field_is_not_converted() -> None:
    server = looker()
    fields = ("images.taken_time", "images.taken_raw", "images.taken_date")
    [first, *_] = rows(server, *fields, query_timezone="America/New_York", sorts=["images.taken_time"])
    assert first == dict(zip(fields, ("2024-03-30 20:00:09", "2024-03-31 00:00:09", "2024-03-30"), strict=True))
    server = looker(database_timezone="Europe/Berlin")
    assert values(server, "images.taken_time")[0] == "2024-03-30 23:00:09"
    for other in (looker(has_timezone_support=False), looker()):
        other.explores[0].base.fields = (Dimension("images.taken_time", "date_time", convert_tz=False),)
        assert values(other, "images.taken_time", query_timezone="Asia/Tokyo")[0] == "2024-03-31 00:00:09"


def test_custom_measures_bring_the_views_of_their_filter_along() -> None:
    server = looker()
    custom: Row = {"measure": "n", "based_on": "images.uuid", "type": "count_distinct", "label": "N"}
    assert rows(server, "n", dynamic_fields=json.dumps([custom])) == [{"n": 6}]
    custom["filter_expression"] = "is_null(${labels.label}) OR NOT is_null(${labels.label})"
    assert rows(server, "n", dynamic_fields=json.dumps([custom])) == [{"n": 4}]
    calculation = {"table_calculation": "twice", "label": "Twice", "expression": "2 * ${images.width}"}
    assert rows(server, "images.width", dynamic_fields=json.dumps([calculation]), sorts=["images.width"])[1] == {
        "images.width": 100, "twice": 200,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "text", "found"),
    [
        ("images.tenant", "acme,umbrella", 6),
        ("images.tenant", "-acme", 3),
        ("images.tenant", '%cm%,"umbrella"', 6),
        ("images.tenant", "acme^,umbrella", 0),
        ("images.tenant", "EMPTY", 0),
        ("images.width", ">=200 AND <400", 2),
        ("images.width", "[100, 300)", 2),
        ("images.width", "0, 500", 2),
        ("images.width", "NOT 0", 5),
        ("images.width", "100 to 300", 3),
        ("images.is_blurry", "Yes", 1),
        ("images.is_blurry", "no", 5),
        ("images.taken_time", "2024-03-31", 6),
        ("images.taken_time", "2024", 6),
        ("images.taken_time", "after 2024-03-31 00:03", 3),
        ("images.taken_time", "before 2024/03/31", 0),
        ("images.taken_time", "2024-03-31 00:01 to 2024-03-31 00:03", 2),
        ("images.taken_time", "7 days", 6),
        ("images.taken_time", "last month", 6),
        ("images.taken_time", "2 days ago", 6),
        ("images.taken_time", "this quarter to date", 0),
        ("images.taken_time", "NULL", 0),
        ("images.taken_time", "", 6),
    ],
)
def test_filter_expressions(field: str, text: str, found: int) -> None:
    server = looker()
    server.now = datetime(2024, 4, 2, 12, tzinfo=UTC)
    assert len(rows(server, "images.uuid", filters={field: text})) == found


def test_a_csv_has_labels_as_heads_and_five_hundred_rows() -> None:
    body: Row = {"model": "photos", "view": "images", "fields": ["images.uuid", "images.is_blurry", "images.width"]}
    server = looker()
    server.explores[0].base.fields = (Dimension("images.width", "number", value_format="#,##0.00"),)
    server.rows = [row | {"images.width": 12345} for row in IMAGES]
    [head, first, *_] = csv.reader(io.StringIO(server.download(body).decode()))
    assert head == ["Images Uuid", "Images Is Blurry (Yes / No)", "Images Width"]
    assert first == [UUIDS[0], "No", "12,345.00"]


def test_who_may_not_download_without_a_limit_gets_five_thousand_rows_and_no_word() -> None:
    many = [{"images.uuid": str(number)} for number in range(6000)]
    server = LookerServer(many, users=[User("7", "Ana", permissions=ALL - {"download_without_limit"}), ANA])
    assert len(rows(server, "images.uuid", user=server.users[0])) == 5000
    assert len(rows(server, "images.uuid", user=ANA)) == 6000


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[LookerServer]:
    with looker().serve() as server:
        yield server


def ask(server: LookerServer, method: str, path: str, user: User = ANA, **options: object) -> requests.Response:
    key = {"client_id": user.client_id, "client_secret": user.client_secret}
    token = requests.post(f"{server.url}/api/4.0/login", data=key, timeout=60).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, f"{server.url}/api/4.0{path}", headers=headers, timeout=60, **options)  # type: ignore[arg-type]


BODY = {"model": "photos", "view": "images", "fields": ["images.uuid"]}


def test_an_explore_is_described(served: LookerServer) -> None:
    found = ask(served, "GET", "/lookml_models/photos/explores/images?fields=joins(name,type),project_name").json()
    assert found == {"joins": [{"name": "labels", "type": "inner"}, {"name": "reviews", "type": "left_outer"}],
                     "project_name": "acme_lookml"}  # fmt: skip
    fields = ask(served, "GET", "/lookml_models/photos/explores/images").json()["fields"]["dimensions"]
    assert {one["name"]: one["type"] for one in fields}["images.is_blurry"] == "yesno"
    assert ask(served, "GET", "/lookml_models/photos/explores/cars").status_code == 404


def test_who_asks_where_and_of_which_commit(served: LookerServer) -> None:
    served.commits["acme_lookml"] = "4f2a"
    assert ask(served, "GET", "/user?fields=id,display_name", BEN).json() == {"id": "8", "display_name": "Ben"}
    assert ask(served, "GET", "/session").json()["workspace_id"] == "production"
    assert ask(served, "GET", "/projects/acme_lookml/git_branch").json()["ref"] == "4f2a"
    assert ask(served, "GET", "/lookml_models/photos?fields=project_name").json() == {"project_name": "acme_lookml"}


def test_a_query_keeps_its_slug(served: LookerServer) -> None:
    kept = [ask(served, "POST", "/queries", json=BODY).json() for _ in range(2)]
    assert kept[0] == kept[1]
    assert ask(served, "GET", f"/queries/slug/{kept[0]['slug']}").json() == kept[0]
    assert len(ask(served, "GET", f"/queries/{kept[0]['id']}/run/json").json()) == 6


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"fields": ["images.nothing"]}, 422, "Validation Failed"),
        ({"filters": {"images.nothing": "1"}}, 400, "Invalid filter: images.nothing"),
        ({"model": "cars"}, 404, "Not found"),
    ],
)
def test_what_is_not_in_an_explore(served: LookerServer, changes: Row, status: int, message: str) -> None:
    said = ask(served, "POST", "/queries/run/json", json=BODY | changes)
    assert (said.status_code, said.json()["message"]) == (status, message)


@pytest.mark.parametrize("path", ["/queries/run/sql", "/queries/run/json"])
def test_permissions(served: LookerServer, path: str) -> None:
    custom = json.dumps([{"measure": "n", "based_on": "images.uuid", "type": "count_distinct", "label": "N"}])
    body = BODY | {"fields": ["n"], "dynamic_fields": custom}
    carl = User("9", "Carl", permissions=ALL - {"see_sql", "create_custom_fields"})
    served.users.append(carl)
    assert ask(served, "POST", path, carl, json=body).status_code == 403
    assert ask(served, "POST", path, ANA, json=body).status_code == 200


def test_a_session_ends(served: LookerServer) -> None:
    served.faults = [Fault("/user", ends_session=True)]
    assert [ask(served, "GET", "/user").status_code for _ in range(2)] == [401, 200]


@pytest.mark.parametrize(
    ("method", "path", "options", "fault"),
    [
        ("POST", "/queries/run/json?limit=all", {"json": BODY}, "query parameter limit is 'all'"),
        ("POST", "/queries/run/json?rows=1", {"json": BODY}, "no query parameter rows"),
        ("POST", "/queries/run/json", {"json": BODY | {"limit": 5}}, r"run_inline_query.limit is 5, expected str"),
        ("POST", "/queries/run/json", {"json": BODY | {"slug": "x"}}, "has no key slug"),
        ("POST", "/queries/run/json", {"json": {"model": "photos"}}, "lacks view"),
        ("POST", "/queries/run/json", {"data": json.dumps(BODY)}, "Content-Type is None"),
        ("GET", "/user?fields=id,surname", {}, "me has no field surname"),
        ("GET", "/looks/1?fields=query(model,explore)", {}, "look.query has no field explore"),
    ],
)
def test_requests_are_judged(method: str, path: str, options: Row, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault), looker().serve() as server:
        assert ask(server, method, path, **options).status_code == 400


@pytest.mark.parametrize(
    ("look", "fault"), [({"id": 42}, "look.id is 42, expected str"), ({"name": "Dogs"}, "look has no key name")]
)
def test_answers_are_judged(look: Row, fault: str) -> None:
    server = looker()
    server.looks["42"] = look
    with pytest.raises(AssertionError, match=f"the answer of {fault}"), server.serve():
        ask(server, "GET", "/looks/42")


def test_a_running_query_can_be_killed(served: LookerServer) -> None:
    running = served.start(dict(BODY), ANA)
    [shown] = ask(served, "GET", "/running_queries").json()
    assert (shown["query"]["view"], shown["user"]) == ("images", {"id": "7"})
    assert ask(served, "DELETE", f"/running_queries/{shown['query_task_id']}").status_code == 204
    assert running.stop.is_set()


def test_a_streamed_result_is_not_kept_for_a_task(served: LookerServer) -> None:
    query = ask(served, "POST", "/queries", json=BODY).json()["id"]
    for kind, status in (("json", 404), ("json_detail", 200)):
        task = ask(served, "POST", "/query_tasks", json={"query_id": query, "result_format": kind}).json()["id"]
        assert ask(served, "GET", f"/query_tasks/{task}").json()["status"] == "complete"
        assert ask(served, "GET", f"/query_tasks/{task}/results").status_code == status


def test_the_description_has_hundreds_of_operations() -> None:
    assert len(looker_types.operations()) > 400
