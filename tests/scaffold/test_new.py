import pytest

from registry.core import documents, layout, schema
from registry.core.names import parse_id
from registry.core.tree import DictTree
from registry.core.values import Kind
from registry.errors import NotFound, Refused
from registry.scaffold import new
from support import memory_registries

BIRDS = parse_id("datasets/birds")
OWNERS = ("@acme/birds",)


def judge(plan: new.Plan, kind: Kind) -> list[str]:
    path = layout.manifest_path(plan.artifact)
    return [fault.message for fault in schema.find_faults(documents.read_yaml(plan.files[path], path), kind.value)]


def test_a_new_dataset_lacks_only_what_people_must_fill() -> None:
    plan = new.plan(DictTree({}), BIRDS, owners=OWNERS)
    assert sorted(plan.files) == [f"datasets/birds/{name}" for name in (".gitignore", "README.md", "dataset.yaml")]
    faults = judge(plan, Kind.DATASET)
    assert [fault.split(":")[0] for fault in faults] == [
        "description",
        "license",
        "source.looker.model",
        "source.looker.view",
        "classes",
    ]


def test_a_new_model_brings_its_code_and_lacks_only_what_people_must_fill() -> None:
    tree = DictTree(new.plan(DictTree({}), BIRDS, owners=OWNERS).files)
    plan = new.plan(tree, parse_id("models/birds"), owners=OWNERS, trained_on=BIRDS)
    assert {"train.py", "network.py", "params.yaml", "dvc.yaml"} <= {path.rsplit("/", 1)[1] for path in plan.files}
    assert [fault.split(":")[0] for fault in judge(plan, Kind.MODEL)] == ["description", "license", "intended_use"]


def test_titles_survive_yaml_and_markdown() -> None:
    plan = new.plan(DictTree({}), BIRDS, owners=OWNERS, words=new.Words('Birds: "all" of $them #1'))
    manifest = documents.read_yaml(plan.files["datasets/birds/dataset.yaml"], "dataset.yaml").data
    assert manifest["title"] == 'Birds: "all" of $them #1'
    assert plan.files["datasets/birds/README.md"].startswith(b'# Birds: "all" of $them #1\n')


def test_an_existing_folder_is_refused() -> None:
    with pytest.raises(Refused, match=r"datasets/birds exists already: datasets/birds/notes\.txt"):
        new.plan(DictTree({"datasets/birds/notes.txt": b""}), BIRDS, owners=OWNERS)


def test_a_model_without_its_dataset_is_refused_with_the_command_that_helps() -> None:
    with pytest.raises(Refused, match="hint: registry new dataset birds"):
        new.plan(DictTree({}), parse_id("models/birds"), owners=OWNERS, trained_on=BIRDS)


def test_a_dataset_takes_the_split_rule_of_one_that_it_shares_images_with() -> None:
    registry = memory_registries.Registry()
    rule = {"salt": "0x1f", "ratios": {"train": 0.7, "val": 0.1, "test": 0.2}, "group_by": "label"}
    memory_registries.put_dataset(registry, split=rule)
    tree, pets = DictTree(registry.files), parse_id("datasets/pets")
    plan = new.plan(tree, BIRDS, owners=OWNERS, same_split_as=pets)
    path = "datasets/birds/dataset.yaml"
    assert documents.read_yaml(plan.files[path], path).data["split"] == rule
    with pytest.raises(NotFound, match="datasets/cats does not exist"):
        new.plan(tree, BIRDS, owners=OWNERS, same_split_as=parse_id("datasets/cats"))
