import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import documents, looker_addresses, manifests, schema
from registry.core.looker_addresses import ExploreAddress, Query
from registry.core.names import parse_id
from registry.core.tree import DictTree
from registry.core.values import Column, DatasetManifest, Look, LookerQuery
from registry.errors import Refused
from registry.scaffold import explore, new
from registry.scaffold.explore import Source

BIRDS = parse_id("datasets/birds")
PATH = "datasets/birds/dataset.yaml"
FIELDS = ("images.uuid", "images.label")
WORDS = new.Words("Birds", "Birds in the garden.", "CC0-1.0")


def query(*fields: str, **more: object) -> Query:
    return Query("photos", "images", fields or FIELDS, **more)


def written(source: Source) -> DatasetManifest:
    """The manifest of a new dataset, which the schema finds valid."""
    plan = new.plan(DictTree({}), BIRDS, owners=("@acme/birds",), words=WORDS, source=source)
    schema.require(documents.read_yaml(plan.files[PATH], PATH), "dataset")
    return manifests.load_dataset(DictTree(plan.files), BIRDS)


# --- the manifest -----------------------------------------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z0-9_]{0,70}", fullmatch=True)
fields = st.builds(lambda view, name: f"{view}.{name}", names, names | st.sampled_from(["split", "image", "File_Name"]))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=30)


@given(
    st.lists(fields, max_size=6, unique=True),
    st.dictionaries(fields, texts.filter(str.strip), max_size=3),
    st.none() | texts.filter(str.strip),
    st.sampled_from(["UTC", "Europe/Berlin", "Etc/GMT+5"]),
)
def test_any_query_becomes_a_valid_manifest_with_the_same_query(
    others: list[str], filters: dict[str, str], expression: str | None, zone: str
) -> None:
    taken = query(*FIELDS, *others, filters=filters, filter_expression=expression, timezone=zone, sorts=(FIELDS[0],))
    source = explore.choose(taken, uuid="images.uuid", label="images.label")
    found = written(Source(source.query, None, source.columns, ("tit", "robin", "no", "007")))
    assert found.source == LookerQuery("photos", "images", filters, expression, (FIELDS[0],), zone)
    assert [column.source for column in found.columns] == [*FIELDS, *(name for name in others if name not in FIELDS)]
    assert found.classes == ("tit", "robin", "no", "007")


def test_a_look_stays_a_look() -> None:
    source = explore.choose(query(), Look("42", "https://acme.cloud.looker.com"))
    found = written(Source(source.query, source.look, source.columns, ("tit",)))
    assert found.source == Look("42")
    assert isinstance(found.source, Look)
    assert found.source.origin == "https://acme.cloud.looker.com"


def test_placeholders_remain_where_nothing_is_known() -> None:
    plan = new.plan(DictTree({}), BIRDS, owners=("@acme/birds",), source=explore.choose(query()))
    faults = [
        fault.message.split(":")[0]
        for fault in schema.find_faults(documents.read_yaml(plan.files[PATH], PATH), "dataset")
    ]
    assert faults == ["description", "license", "classes"]


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "uuid", "label"),
    [
        (("images.uuid", "images.label", "images.camera"), "images.uuid", "images.label"),
        (("images.camera", "labels.label", "images.image_uuid"), "images.image_uuid", "labels.label"),
        (("photos.id", "photos.species", "photos.camera"), "photos.id", "photos.species"),
        (("photos.photo_id", "photos.shop_id", "photos.main_class"), "photos.photo_id", "photos.main_class"),
        (("images.UUID", "images.Label"), "images.UUID", "images.Label"),
        (("images.uuid", "images.kind", "images.captured_date"), "images.uuid", "images.kind"),
    ],
)
def test_uuid_and_label_are_found_by_their_names(fields: tuple[str, ...], uuid: str, label: str) -> None:
    assert [column.source for column in explore.choose(query(*fields)).columns[:2]] == [uuid, label]


@pytest.mark.parametrize(
    ("fields", "given", "fault"),
    [
        (("images.foo", "images.bar"), {}, "the field of the uuid is not clear among those of the query: images.foo"),
        (("a.uuid", "b.uuid", "a.label"), {}, "the field of the uuid is not clear"),
        (("images.uuid", "images.camera", "images.place"), {}, "the field of the label is not clear"),
        (("images.uuid", "a.label", "b.label"), {}, "the field of the label is not clear"),
        (("images.uuid", "images.count"), {"types": {"images.count": "count"}}, "the field of the label is not clear"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_asked_for(fields: tuple[str, ...], given: dict[str, dict[str, str]], fault: str) -> None:
    with pytest.raises(Refused, match=fault) as refused:
        explore.choose(query(*fields), **given)
    assert refused.value.fix.startswith("name it with --")


def test_an_address_without_fields_is_told_as_that() -> None:
    with pytest.raises(Refused, match="the address names no field for the uuid"):
        explore.choose(Query("photos", "images"))
    named = explore.choose(Query("photos", "images"), uuid="images.id", label="images.kind")
    assert [column.source for column in named.columns] == ["images.id", "images.kind"]


def test_the_fields_that_people_name_are_taken() -> None:
    taken = explore.choose(query(*FIELDS, "images.id"), uuid="images.id", label="reviews.label")
    assert [(column.name, column.source) for column in taken.columns] == [
        ("uuid", "images.id"),
        ("label", "reviews.label"),
        ("images_uuid", "images.uuid"),
        ("images_label", "images.label"),
    ]


def test_columns_have_looker_s_types_and_names_that_nothing_else_has() -> None:
    types = {
        "images.captured_date": "date_date", "images.captured_time": "date_time", "images.is_sharp": "yesno",
        "images.width": "number", "images.captured_month": "date_month", "reviews.count": "count",
        "cameras.name": "string", "shops.name": "string", "images.split": "tier", "images.1st": "string",
        "images.file_name": "string",
    }  # fmt: skip
    taken = explore.choose(query(*FIELDS, *types), types=types)
    assert taken.columns[2:] == tuple(
        Column(name, field, kind, nullable=True)
        for name, field, kind in (
            ("captured_date", "images.captured_date", "date"),
            ("captured_time", "images.captured_time", "datetime"),
            ("is_sharp", "images.is_sharp", "boolean"),
            ("width", "images.width", "number"),
            ("captured_month", "images.captured_month", "string"),
            ("count", "reviews.count", "integer"),
            ("cameras_name", "cameras.name", "string"),
            ("shops_name", "shops.name", "string"),
            ("images_split", "images.split", "string"),
            ("images_1st", "images.1st", "string"),
            ("images_file_name_in_looker", "images.file_name", "string"),
        )
    )


# --- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "classes"),
    [
        ("cat,dog", ("cat", "dog")),
        ("cat", ("cat",)),
        ('"cat", dog ', ("cat", "dog")),
        ("black cat,black_cat", ("black cat", "black_cat")),
        ("cat,cat", ("cat",)),
        ("", ()),
        ("%cat%", ()),
        ("-cat", ()),
        ("cat,-dog", ()),
        ("NULL", ()),
        ("cat,EMPTY", ()),
        ("Cat,cat", ()),
        ('"cat, dog"', ()),
        ("a/b", ()),
        ("^_cat", ()),
    ],
)
def test_classes_are_the_labels_that_the_filter_lists(filter_: str, classes: tuple[str, ...]) -> None:
    assert explore.choose(query(filters={"images.label": filter_})).classes == classes


# --- what is not taken ------------------------------------------------------------------------------------------------


def remarks(parameters: str, types: dict[str, str] | None = None) -> list[str]:
    address = looker_addresses.parse(f"https://acme.looker.com/explore/photos/images?{parameters}")
    assert isinstance(address, ExploreAddress)
    return list(explore.remarks(explore.choose(address.query, types=types), types))


TAKEN = "fields=images.uuid,images.label"


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [
        ("limit=500", ["not taken: the limit of 500 rows; a dataset takes every row"]),
        (
            "limit=5&sorts=images.uuid+desc",
            ["not taken: the limit of 5 rows; a dataset takes every row, not the first 5 by images.uuid desc"],
        ),
        ("limit=-1&column_limit=50", []),
        ("pivots=images.label", ["not taken: the pivot by images.label, which becomes a column"]),
        ("total=on&row_total=right", ["totals, which", "totals of rows"]),
        ("subtotals=images.label&fill_fields=images.label", ["subtotals", "rows that fill gaps of images.label"]),
        ("query_timezone=user_timezone", ["not taken: the time zone user_timezone"]),
        ("query_timezone=%22Berlin%22", ['not taken: the time zone "Berlin"']),
        ("query_timezone=America%2FArgentina%2FBuenos_Aires", []),
        ("nonsense=1", ["not taken: nonsense=1, which is not known here"]),
        ("vis=%7B%7D&toggle=dat&origin=share-expanded&filter_config=%7B%7D&show=data", []),
        (
            "dynamic_fields=%5B%7B%22table_calculation%22:%22r%22,%22label%22:%22Rank%22%7D,%7B%22measure%22:%22m%22%7D%5D",
            ["the table calculation Rank; save the query as a Look", "the custom field m"],
        ),
        ("f[images.shot_date]=7+days", ['warning: the filter "7 days" of images.shot_date is relative']),
        ("f[images.shot_date]=before+today", ['note: the filter "before today" of images.shot_date is relative']),
    ],
)
def test_what_a_dataset_cannot_take_is_told_line_by_line(parameters: str, lines: list[str]) -> None:
    found = remarks(f"{TAKEN}&{parameters}")
    assert len(found) == len(lines)
    assert all(line in one for line, one in zip(lines, found, strict=True))


def test_types_that_were_guessed_are_told() -> None:
    [line] = remarks("fields=images.uuid,images.label,images.shot_date,images.width")
    assert line.endswith("the type of images.shot_date (date), images.width (string)")
    types = {"images.shot_date": "date_date", "images.width": "number"}
    assert remarks("fields=images.uuid,images.label,images.shot_date,images.width", types) == []


def test_measures_are_told() -> None:
    source = explore.choose(query(*FIELDS, "images.count"), types={"images.count": "count"})
    [line] = explore.remarks(source, {"images.count": "count"}, frozenset({"images.count"}))
    assert line == "images.count is a measure: Looker groups the rows by the other fields"


CUSTOM = '[{"dimension": "half", "expression": "${images.width} / 2"}]'


def test_a_custom_field_is_left_out_of_a_query_and_stays_in_a_look() -> None:
    taken = query(*FIELDS, "half", sorts=("half desc", "images.uuid"), omitted={"dynamic_fields": CUSTOM})
    source = explore.choose(taken)
    assert [column.source for column in source.columns] == [*FIELDS]
    assert source.query.sorts == ("images.uuid",)
    calculated = query(*FIELDS, "rank", omitted={"dynamic_fields": '[{"table_calculation": "rank"}]'})
    assert [column.source for column in explore.choose(calculated, Look("42")).columns] == [*FIELDS]
    look = explore.choose(taken, Look("42"))
    assert [column.source for column in look.columns] == [*FIELDS, "half"]


@pytest.mark.parametrize("more", [{"filters": {"half": ">3"}}, {"filter_expression": "${half} > 3"}], ids=str)
def test_a_filter_that_would_be_lost_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(Refused, match="a filter is on the custom field half"):
        explore.choose(query(omitted={"dynamic_fields": CUSTOM}, **more))
    assert explore.choose(query(omitted={"dynamic_fields": CUSTOM}, **more), Look("42")).look == Look("42")
