from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import layout, manifests
from registry.core.model_values import Gate
from registry.core.names import parse_id
from registry.core.tree import DictTree
from registry.core.values import Column, Export, Look, LookerQuery, Version
from registry.errors import InvalidDocument, NotFound
from support import memory_registries

PETS, MODEL = parse_id("datasets/pets"), parse_id("models/pets")


def tree(**changes: object) -> DictTree:
    """A tree with `datasets/pets`; a key that is None is left out."""
    registry = memory_registries.Registry()
    memory_registries.put_dataset(registry)
    registry.edit("datasets/pets/dataset.yaml", **changes)
    return DictTree(registry.files)


@pytest.mark.parametrize("artifact", [PETS, MODEL], ids=str)
def test_every_path_of_an_artifact_lies_in_its_folder_and_leads_back_to_it(artifact) -> None:
    paths = (
        layout.manifest_path, layout.card_path, layout.raw_pointer, layout.prepared_pointer,
        layout.selection_path, layout.lock_path, layout.product_path,
    )  # fmt: skip
    assert {layout.owner_of(path(artifact)) for path in paths} == {artifact}


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("datasets/pets/dataset.yaml", "datasets/pets"), ("models/pets/a/b/c", "models/pets"), ("datasets/pets", None),
        ("datasets/README.md", None), ("README.md", None), ("datasets/Pets/x", None), ("datasets/../x", None),
        ("other/pets/x", None), ("/datasets/pets/x", None), ("", None),
    ],
)  # fmt: skip
def test_the_owner_of_a_path(path: str, owner: str | None) -> None:
    assert layout.owner_of(path) == (owner and parse_id(owner))


@given(st.text(max_size=40))
def test_any_text_has_an_owner_or_none(path: str) -> None:
    owner = layout.owner_of(path)
    assert owner is None or path.startswith(f"{owner}/")


def test_artifacts_are_folders_with_a_manifest_and_a_name_sorted_datasets_first() -> None:
    files = dict.fromkeys(
        [
            "models/a/model.yaml", "datasets/b/dataset.yaml", "datasets/a/dataset.yaml", "datasets/c/model.yaml",
            "datasets/Bad/dataset.yaml", "datasets/d/README.md", "datasets/dataset.yaml", "x/datasets/e/dataset.yaml",
        ],
        b"",
    )  # fmt: skip
    assert [str(artifact) for artifact in layout.find(DictTree(files))] == ["datasets/a", "datasets/b", "models/a"]


def test_a_dataset_s_manifest_as_a_value() -> None:
    columns = {
        "uuid": {"from": "i.uuid", "type": "uuid"},
        "label": {"type": "string"},
        "day": {"type": "date", "nullable": True},
    }
    manifest = manifests.load_dataset(
        tree(columns=columns, withdrawn={"0.9.0": "bad"}, expectations={"max_null_share": {"day": 0.5}}), PETS
    )
    assert manifest.columns == (
        Column("uuid", "i.uuid", "uuid", nullable=False),
        Column("label", "label", "string", nullable=False),
        Column("day", "day", "date", nullable=True),
    )
    assert (manifest.id, manifest.version, manifest.owners) == (PETS, Version(1, 0, 0), ("@acme/vision",))
    assert manifest.withdrawn == {Version(0, 9, 0): "bad"}
    assert manifest.expectations.max_null_share == {"day": 0.5}
    assert manifest.expectations.min_images is None


@pytest.mark.parametrize("ratios", [(0.1, 0.2, 0.7), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33), (1, 0, 0), (1e-3, 0.999, 0)])
def test_ratios_are_exact_as_they_are_written(ratios: tuple[float, ...]) -> None:
    rule = {"salt": "s", "ratios": dict(zip(("train", "val", "test"), ratios, strict=True))}
    assert list(manifests.load_dataset(tree(split=rule), PETS).split.ratios.values()) == [
        Fraction(str(one)) for one in ratios
    ]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ({"look": 7}, Look("7")),
        ({"look": "7"}, Look("7")),
        ({"look": "https://acme.cloud.looker.com/looks/7?toggle=vis"}, Look("7")),
        ({"export": {"description": "by hand"}}, Export("by hand")),
        ({"export": {"description": "by hand", "timezone": "Asia/Tokyo"}}, Export("by hand", "Asia/Tokyo")),
        ({"looker": {"model": "m", "view": "v"}}, LookerQuery("m", "v", {}, None, (), "UTC")),
        (
            {
                "looker": {
                    "model": "m",
                    "view": "v",
                    "filters": {"a.b": ">3"},
                    "sorts": ["a.b"],
                    "timezone": "Europe/Vienna",
                }
            },
            LookerQuery("m", "v", {"a.b": ">3"}, None, ("a.b",), "Europe/Vienna"),
        ),
    ],
    ids=["look", "look-as-text", "look-as-address", "export", "export-zone", "smallest-query", "query"],
)
def test_sources(source: object, value: object) -> None:
    assert manifests.load_dataset(tree(source=source), PETS).source == value


@pytest.mark.parametrize(
    ("look", "fault"),
    [
        (0, "source.look: expected at least 1, found 0"),
        (True, "source.look: expected an integer or a string, found true"),
        (7.0, "source.look: expected an integer or a string, found 7.0"),
        ("07", 'source.look: "07" does not have the required format'),
        ("Dogs of Berlin", 'source.look: "Dogs of Berlin" does not have the required format'),
        ("https://acme.cloud.looker.com/x/vwGSbfc", "is not the address of a Look"),
        ("https://acme.cloud.looker.com/looks/7?f[images.label]=cat", "filters images.label"),
        ("https://ana:secret@acme.cloud.looker.com/looks/7", "a user name or a password"),
    ],
)
def test_what_names_no_look_is_refused_at_its_line(look: object, fault: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        manifests.load_dataset(tree(source={"look": look}), PETS)
    assert fault in refused.value.message
    assert refused.value.line is not None
    assert "secret" not in str(refused.value)


def test_a_model_s_manifest_as_a_value() -> None:
    registry = memory_registries.Registry()
    memory_registries.put_dataset(registry)
    gates = [
        {"metric": "f1", "min": 0.8, "class": "cat"},
        {"metric": "accuracy", "no_worse_than": "base", "confidence": 0.9, "margin": 0.02, "slice": {"camera": "XT-3"}},
    ]
    memory_registries.put_model(registry, gates=gates, reproduce={"tolerance": {"accuracy": 0.01}}, slices=["camera"])
    manifest = manifests.load_model(DictTree(registry.files), MODEL)
    against = {"no_worse_than": "base", "confidence": 0.9, "margin": 0.02, "slice": ("camera", "XT-3")}
    assert manifest.gates == (Gate("f1", min=0.8, label="cat"), Gate("accuracy", **against))
    assert (manifest.trained_on, manifest.slices, manifest.tolerance) == (PETS, ("camera",), {"accuracy": 0.01})


SPLIT = {"salt": "pets", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "dogs"}, "datasets/pets/dataset.yaml:2: name is dogs, expected the folder's name pets"),
        (
            {"split": {"salt": "s", "ratios": {"train": 0.5, "val": 0.1, "test": 0.1}}},
            "split.ratios: the sum is 0.7, expected 1",
        ),
        (
            {"split": {"salt": "s", "group_by": "who", "ratios": {"train": 1, "val": 0, "test": 0}}},
            "split.group_by: no column who",
        ),
        ({"split": SPLIT | {"given": "who"}}, "split.given: no column who"),
        ({"split": SPLIT | {"given": "uuid"}}, "split.given: the type of uuid is uuid, expected string"),
        ({"split": SPLIT | {"given": "label", "group_by": "label"}}, "split: given and group_by cannot be combined"),
        ({"classes": ["Cat", "cat"]}, "classes: Cat and cat differ only in case"),
    ],
    ids=["name", "ratios", "group", "given", "given type", "given group", "classes"],
)
def test_what_no_schema_can_say_is_said_with_its_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        manifests.load(tree(**changes), PETS)
    assert message in caught.value.message
    assert caught.value.line


def test_what_does_not_exist_or_is_of_the_other_kind() -> None:
    with pytest.raises(NotFound, match="datasets/dogs does not exist"):
        manifests.load(tree(), parse_id("datasets/dogs"))
    with pytest.raises(NotFound, match="models/pets is not a dataset"):
        manifests.load_dataset(tree(), MODEL)
    with pytest.raises(NotFound, match="datasets/pets is not a model"):
        manifests.load_model(tree(), PETS)


# --- the build's rule -------------------------------------------------------------------------------------------------


def rule(**changes: object) -> str:
    return manifests.build_rule(manifests.load_dataset(tree(**changes), PETS))


COLUMNS = {"uuid": {"type": "uuid"}, "label": {"type": "string"}, "camera": {"type": "string"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "{uuid}.png"}, {"columns": COLUMNS}, {"classes": ["cat"]}, {"classes": ["dog", "cat"]},
        {"exclude": {memory_registries.uuid(1): "why"}},
        {"split": SPLIT | {"salt": "other"}}, {"split": SPLIT | {"ratios": {"train": 0.9, "val": 0, "test": 0.1}}},
        {"split": SPLIT | {"group_by": "label"}},
        {"split": SPLIT | {"given": "label"}},
    ],
    ids=lambda changes: str(changes)[:60],
)  # fmt: skip
def test_the_build_s_rule_changes_with_what_shapes_the_build(changes: dict[str, object]) -> None:
    assert rule(**changes) != rule()


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "x"}, {"description": "x"}, {"owners": ["@x"]}, {"version": "2.0.0"},
        {"expectations": {"min_images": 3}}, {"source": {"look": 3}}, {"withdrawn": {"1.0.0": "why"}},
    ],
    ids=lambda changes: str(changes)[:60],
)  # fmt: skip
def test_the_build_s_rule_stays_with_everything_else(changes: dict[str, object]) -> None:
    assert rule(**changes) == rule()


def test_the_build_s_rule_is_the_same_on_every_machine_and_for_ever() -> None:
    # Published pointers hold it: another value makes every one of them stale.
    assert rule() == "28a32aa1796e3e027015e9d702dc85159bd49e4b0e4ee414419b4f7db2e1db81"


def test_the_reason_of_an_exclusion_is_only_words() -> None:
    one, other = ({memory_registries.uuid(1): why} for why in ("dark", "blurred"))
    assert rule(exclude=one) == rule(exclude=other)
