import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import looker_addresses
from registry.core.looker_addresses import (
    DashboardAddress,
    ExploreAddress,
    InvalidAddress,
    LookAddress,
    Query,
    SharedQuery,
)
from registry.core.values import Look

HOST = "https://acme.cloud.looker.com"
QID = "aogBgL6o3cKK1jN3RoZl5s"
EXPLORE = f"{HOST}/explore/photos/images"
IMAGES = ("photos", "images")

# --- what is written is read the same -----------------------------------------------------------------------------

origins = st.sampled_from([HOST, "https://looker.acme.com:9999", "http://127.0.0.1:80", "https://acme.eu.looker.com"])
words = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
fields = st.builds(lambda view, name: f"{view}.{name}", words, words)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: text.strip() and "{{" not in text and "{%" not in text
)
filters = st.dictionaries(fields, texts, max_size=4)
models = words | st.sampled_from(["système", "a model", "thelook-2.0", "a+b", "100%", "system__activity"])
queries = st.builds(
    Query,
    model=models,
    view=words,
    fields=st.lists(fields, max_size=4, unique=True).map(tuple),
    filters=filters,
    filter_expression=st.none() | texts.map(str.strip),
    sorts=st.lists(st.builds(lambda name, way: f"{name}{way}", fields, st.sampled_from(["", " desc"])), max_size=3).map(
        tuple
    ),
    timezone=st.none() | st.sampled_from(["UTC", "America/Los_Angeles", "Etc/GMT+5"]),
    omitted=st.dictionaries(st.sampled_from(["limit", "pivots", "total", "dynamic_fields"]), texts, max_size=3),
)
slugs = st.from_regex(r"[A-Za-z0-9]{7,22}", fullmatch=True)
dashboards = st.from_regex(r"[1-9][0-9]{0,5}|[a-z][a-z0-9_]{0,9}::[a-z][a-z0-9_]{0,9}", fullmatch=True)
titles = st.sampled_from(["Date Range", "Größe", "a&b=c", "A+B"])
addresses = (
    st.builds(ExploreAddress, origins, queries)
    | st.builds(SharedQuery, origins, slugs, st.none() | st.tuples(models, words))
    | st.builds(LookAddress, origins, st.from_regex(r"[1-9][0-9]{0,9}", fullmatch=True), filters)
    | st.builds(
        DashboardAddress, origins, dashboards, st.dictionaries(titles, texts, max_size=2), st.none() | st.just("12")
    )
)


@given(addresses)
def test_an_address_is_read_as_it_is_written(address: looker_addresses.Address) -> None:
    assert looker_addresses.parse(str(address)) == address


@given(st.text(max_size=80) | st.text(max_size=60).map(lambda end: f"{EXPLORE}{end}"))
def test_any_text_is_an_address_or_refused_as_none(text: str) -> None:
    try:
        address = looker_addresses.parse(text)
    except InvalidAddress:
        return
    assert looker_addresses.parse(str(address)) == address


# --- Explores ---------------------------------------------------------------------------------------------------------


def query(parameters: str) -> Query:
    address = looker_addresses.parse(f"{EXPLORE}?{parameters}")
    assert isinstance(address, ExploreAddress)
    return address.query


def test_an_explore_s_address_has_the_whole_query() -> None:
    vis = quote(json.dumps({"type": "table", "show_view_names": False}))
    config = quote(json.dumps({"images.label": [{"type": "=", "values": [{"constant": "cat"}, {}], "id": 1}]}))
    found = query(
        "fields=images.uuid,images.label,cameras.name&f[images.label]=cat,dog&f[images.captured_date]=after+2024%2F01%2F31"
        "&sorts=images.captured_date+desc,images.uuid&limit=500&column_limit=50&query_timezone=Europe%2FBerlin"
        f"&vis={vis}&filter_config={config}&origin=share-expanded&toggle=dat,pik,vis"
    )
    assert found == Query(
        model="photos",
        view="images",
        fields=("images.uuid", "images.label", "cameras.name"),
        filters={"images.label": "cat,dog", "images.captured_date": "after 2024/01/31"},
        sorts=("images.captured_date desc", "images.uuid"),
        timezone="Europe/Berlin",
        omitted={"limit": "500", "column_limit": "50"},
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("f%5Bimages.label%5D=cat", {"images.label": "cat"}),
        ("f%5bimages.label%5d=cat%2Cdog", {"images.label": "cat,dog"}),
        ("f[images.label]=black+cat,white%20cat", {"images.label": "black cat,white cat"}),
        ("f[images.label]=C%2B%2B", {"images.label": "C++"}),
        ("f[images.label]=-cat,%25dog%25", {"images.label": "-cat,%dog%"}),
        ("f[images.label]=caf%C3%A9,猫", {"images.label": "café,猫"}),
        ("f[images.label]=a%26b%3Dc", {"images.label": "a&b=c"}),
        ("f[images.label]=a=b", {"images.label": "a=b"}),
        ("f[images.label]=", {}),
        ("f[images.label]=cat&f[images.label]=cat", {"images.label": "cat"}),
        ("f[images.label]=cat#drillmenu", {"images.label": "cat"}),
        ("f[images.label]=cat&amp;f[images.width]=%3E500", {"images.label": "cat", "images.width": ">500"}),
    ],
)
def test_filters_are_decoded_as_looker_decodes_them(parameters: str, expected: dict[str, str]) -> None:
    assert query(f"fields=images.uuid&{parameters}").filters == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{EXPLORE}/?fields=images.uuid",
        f"{HOST}/embed/explore/photos/images?fields=images.uuid",
        f"  <{EXPLORE}?fields=images.uuid>\n",
        f"'{EXPLORE}?fields=images.uuid'",
        f"{EXPLORE}?fields=\r\nimages.uuid",
        f"{EXPLORE}.json?fields=images.uuid&apply_formatting=true",
        "HTTPS://ACME.cloud.looker.com/explore/photos/images?fields=images.uuid",
        f"{HOST}/explore/ph%6ftos/images?fields=images.uuid",
    ],
)
def test_other_spellings_of_an_address_are_the_same_address(text: str) -> None:
    assert looker_addresses.parse(text) == ExploreAddress(HOST, Query("photos", "images", ("images.uuid",)))


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ("f[images.label]=cat&f[images.label]=dog", "two values for 'f[images.label]'"),
        ("fields=a.b&fields=a.c", "two values for 'fields'"),
        ("fields=images.uuid%0Arm", "is not the name of a field"),
        ("fields=images.uuid,<b>", "is not the name of a field"),
        ("f[]=cat", "'f[]' is not a filter"),
        ("f[images.label=cat", "is not a filter"),
        ("f[images.label]=%FF", "cannot be decoded"),
        ("f[images.label]={{+_user_attributes['team']+}}", "the filter of images.label depends on who asks"),
        ("filter_config=%7B", "not the JSON that Looker writes"),
        ("filter_config=[1]", "not the JSON that Looker writes"),
    ],
)
def test_an_address_that_is_not_clear_is_refused(parameters: str, fault: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        query(parameters)
    assert fault in refused.value.message


def state(*conditions: object, **more: object) -> str:
    return urlencode({"filter_config": json.dumps({"images.label": list(conditions), **more})})


EQUAL = {"type": "=", "values": [{"constant": "cat"}, {}], "id": 0}


@pytest.mark.parametrize(
    "parameters",
    [
        state(EQUAL),
        state({"type": "!null", "values": [{}, {}]}),
        state({"type": "past", "values": [{"constant": "7", "unit": "day"}, {}]}),
    ],
)
def test_a_filter_that_only_the_page_s_state_has_is_refused(parameters: str) -> None:
    with pytest.raises(InvalidAddress, match=r"the filter of images\.label is only in filter_config"):
        query(f"fields=images.uuid&{parameters}")
    assert query(f"fields=images.uuid&f[images.label]=cat&{parameters}").filters == {"images.label": "cat"}


@pytest.mark.parametrize(
    "parameters",
    [
        state({"type": "anytime", "values": [{}, {}]}),
        state({"type": "=", "values": [{"constant": ""}, {}]}),
        state({"type": "any", "values": [{"constant": "x"}]}),
        "filter_config=%7B%7D",
    ],
)
def test_a_state_that_admits_any_value_is_no_filter(parameters: str) -> None:
    assert query(f"fields=images.uuid&{parameters}").filters == {}


def test_filters_joined_by_or_are_taken_from_the_expression_or_refused() -> None:
    tree = ["OR", [["AND", [["FILTER", {"field": "images.label"}]]], ["AND", [["FILTER", {"field": "images.id"}]]]]]
    nested = state(EQUAL, **{"__!internal!__": tree})
    with pytest.raises(InvalidAddress, match="joined by OR"):
        query(f"f[images.label]=cat&{nested}")
    expression = urlencode({"filter_expression": '${images.label} = "cat" OR ${images.id} > 5'})
    assert query(f"{expression}&{nested}").filter_expression == '${images.label} = "cat" OR ${images.id} > 5'
    flat = state(EQUAL, **{"__!internal!__": ["OR", [["AND", [["FILTER", {"field": "images.label"}]]]]]})
    assert query(f"f[images.label]=cat&{flat}").filters == {"images.label": "cat"}


# --- other pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/x/vwGSbfc", SharedQuery(HOST, "vwGSbfc")),
        (f"/explore/photos/images?qid={QID}&toggle=vis", SharedQuery(HOST, QID, IMAGES)),
        (f"/explore/photos/images?toggle=fil&qid={QID}", SharedQuery(HOST, QID, IMAGES)),
        (f"/explore/photos/images?fields=a.b&qid={QID}", ExploreAddress(HOST, Query("photos", "images", ("a.b",)))),
        ("/embed/query-visualization/vwGSbfc", SharedQuery(HOST, "vwGSbfc")),
        ("/embed/query/photos/images?qid=vwGSbfc", SharedQuery(HOST, "vwGSbfc", IMAGES)),
        ("/looks/42", LookAddress(HOST, "42")),
        ("/looks/42/", LookAddress(HOST, "42")),
        ("/looks/42/edit", LookAddress(HOST, "42")),
        ("/looks/42.csv?limit=10", LookAddress(HOST, "42")),
        ("/embed/looks/42", LookAddress(HOST, "42")),
        ("/looks/42?f[images.label]=cat", LookAddress(HOST, "42", {"images.label": "cat"})),
        (f"/looks/42?qid={QID}", SharedQuery(HOST, QID)),
        ("/dashboards/12", DashboardAddress(HOST, "12")),
        ("/dashboards-next/12?Label=cat&filter_config=%7B%7D", DashboardAddress(HOST, "12", {"Label": "cat"})),
        ("/embed/dashboards/12?tile=77", DashboardAddress(HOST, "12", tile="77")),
        ("/dashboards/photos::overview?A+B=7+days", DashboardAddress(HOST, "photos::overview", {"A B": "7 days"})),
        ("/dashboards/photos%3A%3Aoverview", DashboardAddress(HOST, "photos::overview")),
        ("/dashboards/HjK7sd8fWq1aZx0CvBnM3l", DashboardAddress(HOST, "HjK7sd8fWq1aZx0CvBnM3l")),
    ],
)  # fmt: skip
def test_pages_that_name_a_query_are_told_apart(path: str, expected: looker_addresses.Address) -> None:
    assert looker_addresses.parse(f"{HOST}{path}") == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "does not begin with https://"),
        ("42", "does not begin with https://"),
        ("acme.cloud.looker.com/explore/photos/images", "does not begin with https://"),
        ("javascript:alert(1)//https://acme/explore/a/b", "does not begin with https://"),
        ("file:///explore/photos/images", "does not begin with https://"),
        ("https:///explore/photos/images", "no host name"),
        ("https://ana:secret@acme.looker.com/explore/photos/images", "a user name or a password in it"),
        ("https://acme.looker.com:port/explore/photos/images", "not the address of a page"),
        ("https://[::1/explore/photos/images", "not the address of a page"),
        (f"{HOST}/explore/photos", "'/explore/photos' is not an Explore"),
        (f"{HOST}/explore/photos/images/more", "is not an Explore"),
        (f"{HOST}/explore/photos/..%2Fadmin", "not part of an address"),
        (f"{HOST}/explore/<b>/images", "not part of an address"),
        (f"{HOST}/explore/ph%0Aotos/images", "not part of an address"),
        (f"{HOST}/explore/ph%FFotos/images", "cannot be decoded"),
        (f"{HOST}/x/a%20b", "is not the slug of a query"),
        (f"{HOST}/explore/photos/images?qid=../../looks", "is not the slug of a query"),
        (f"{HOST}/looks/M2kjdhsf", "is not the number of a Look"),
        (f"{HOST}/looks/042", "is not the number of a Look"),
        (f"{HOST}/looks/٤٢", "is not the number of a Look"),
        (f"{HOST}/dashboards/a.b", "is not the id of a dashboard"),
        (f"{HOST}/merge?mid=4fwCqDbOT8pF2JpA7dqHJE", "a merged result is not one query"),
        (f"{HOST}/sql/abcdef", "SQL Runner"),
        (f"{HOST}/login/embed/%2Fembed%2Flooks%2F42?nonce=1", "not part of an address"),
        (f"{HOST}/embed/public/vwGSbfc", "embedded content"),
        (f"{HOST}/boards/3", "'/boards/3' is not an Explore"),
        (HOST, "'/' is not an Explore"),
        (f"{EXPLORE}?fields=" + "a.b," * 40_000, "expected at most 100,000"),
    ],
)  # fmt: skip
def test_other_texts_are_refused_and_a_password_is_never_repeated(text: str, fault: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        looker_addresses.parse(text)
    assert fault in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "is_page"),
    [
        (f"{EXPLORE}?fields=images.uuid", True),
        (f"{HOST}/x/vwGSbfc", True),
        (f"{HOST}/looks/42", True),
        (f"{HOST}/dashboards/7?Kind=cat", True),
        (f"{HOST}/looks/42.csv", False),
        (f"{HOST}/explore/photos/images.json?fields=images.uuid", False),
        ("https://files.acme.com/x/birds.csv", False),
        ("https://files.acme.com/deliveries/birds", False),
        ("s3://acme-looker/x/birds", False),
        ("Birds.csv", False),
        ("", False),
    ],
)
def test_a_page_is_told_from_a_file(url: str, *, is_page: bool) -> None:
    if not is_page:
        looker_addresses.require_no_page(url)
        return
    with pytest.raises(InvalidAddress, match="is a page of Looker, not a file"):
        looker_addresses.require_no_page(url)


# --- Looks by number and address ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["42", " 42 ", f"{HOST}/looks/42", f"{HOST}/looks/42?toggle=vis", f"<{HOST}/looks/42>"]
)
def test_a_look_has_one_id_however_it_is_written(text: str) -> None:
    assert looker_addresses.parse_look(text) == Look("42")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0", "https://"),
        ("-1", "https://"),
        ("4_2", "https://"),
        ("٤٢", "https://"),
        (EXPLORE, "not the address of a Look"),
        (f"{HOST}/x/vwGSbfc", "not the address of a Look"),
        (f"{HOST}/looks/42?qid={QID}", "not the address of a Look"),
        (f"{HOST}/looks/42?f[images.label]=cat", "filters images.label, which the saved Look does not"),
    ],
)
def test_what_is_no_look_is_not_read_as_one(text: str, fault: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        looker_addresses.parse_look(text)
    assert fault in str(refused.value)
