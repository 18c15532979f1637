import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import documents, names, schema
from registry.core.tree import DictTree
from registry.errors import InvalidDocument
from registry.scaffold import generated_files
from support import memory_registries, repositories
from support.memory_registries import Registry

PETS, MODEL = names.parse_id("datasets/pets"), names.parse_id("models/pets")


def expected(registry: Registry, *only: str) -> dict[str, str]:
    chosen = [names.parse_id(artifact) for artifact in only] or None
    return {path: data.decode() for path, data in generated_files.expected(DictTree(registry.files), chosen).items()}


def two() -> Registry:
    """A registry with a dataset and a model whose derived files were never written."""
    registry = Registry()
    memory_registries.put_dataset(registry)
    memory_registries.put_model(registry)
    return registry


def test_everything_that_follows_from_two_manifests() -> None:
    assert expected(two()) == {
        "CODEOWNERS": """\
# Made from registry.yaml and the manifests by `registry check --fix`: do not edit.
* @acme/data
# datasets
/datasets/pets/ @acme/vision
# models
/models/pets/ @acme/vision
""",
        "README.md": """\
# Ours

<!-- artifacts -->

**Datasets**

- [datasets/pets](datasets/pets/README.md)
  1.0.0 · Pets at home · `@acme/vision`

**Models**

- [models/pets](models/pets/README.md)
  1.0.0 · Cat or dog · `@acme/vision`

<!-- /artifacts -->

The end.
""",
        "dvc.yaml": """\
# Made from the manifests by `registry check --fix`: do not edit.
artifacts:
  # datasets
  datasets/pets:
    path: datasets/pets/prepared
    type: dataset
    desc: Pets at home
    labels:
    - image-classification
    - CC-BY-4.0
  # models
  models/pets:
    path: models/pets/model.onnx
    type: model
    desc: Cat or dog
    labels:
    - image-classification
    - Apache-2.0
""",
        "datasets/pets/README.md": """\
---
license: cc-by-4.0
pretty_name: Pets at home
task_categories:
- image-classification
size_categories:
- n<1K
configs:
- config_name: default
  data_files:
  - split: train
    path: prepared/train/**
  - split: validation
    path: prepared/val/**
  - split: test
    path: prepared/test/**
---

# pets

## Limits of use

Not for decisions about people.
""",
        "models/pets/README.md": """\
---
license: apache-2.0
pretty_name: Cat or dog
library_name: onnx
pipeline_tag: image-classification
datasets:
- datasets/pets
model-index:
- name: pets
  results:
  - task:
      type: image-classification
    dataset:
      type: datasets/pets
      name: pets
      split: test
      revision: datasets/pets@v1.0.0
    metrics:
    - type: accuracy
      value: 1.0
    - type: macro_f1
      value: 1.0
    - type: loss
      value: 0.105361
    - type: ece
      value: 0.1
---

# pets

## Limits of use

Not for decisions about people.
""",
    }


def test_a_registry_without_artifacts() -> None:
    files = expected(Registry())
    assert yaml.safe_load(files["dvc.yaml"]) == {"artifacts": {}}
    assert files["CODEOWNERS"].splitlines()[1:] == ["* @acme/data", "# datasets", "# models"]
    assert set(files) == set(generated_files.FILES)


def test_what_was_written_is_current() -> None:
    registry = two()
    registry.derive()
    assert generated_files.expected(DictTree(registry.files)).items() <= registry.files.items()


lines = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(lines, lines)
@settings(max_examples=50)
def test_no_title_that_the_schema_allows_breaks_a_file(one: str, other: str) -> None:
    registry = two()
    registry.edit("datasets/pets/dataset.yaml", title=one)
    registry.edit("models/pets/model.yaml", title=other)
    manifests = [
        documents.read_yaml(registry.files[path], path)
        for path in ("datasets/pets/dataset.yaml", "models/pets/model.yaml")
    ]
    if any(
        any(schema.find_faults(document, name)) for document, name in zip(manifests, ("dataset", "model"), strict=True)
    ):
        return
    registry.derive()
    rows = yaml.safe_load(registry.files["dvc.yaml"])["artifacts"]
    titles = [document.data["title"] for document in manifests]
    assert [rows[name]["desc"] for name in ("datasets/pets", "models/pets")] == titles
    assert registry.files["README.md"].count(b"\n") == 17
    assert generated_files.expected(DictTree(registry.files), [PETS]).items() <= registry.files.items()
    assert generated_files.expected(DictTree(registry.files)).items() <= registry.files.items()


@pytest.mark.parametrize(
    "title", ["a | b", "[x](javascript:1)", "<img src=x>", "`x`", "@everyone", "a\\|b", "**x**", "<!-- /artifacts -->"]
)
def test_a_title_is_plain_text_in_the_list(title: str) -> None:
    registry = two()
    registry.edit("datasets/pets/dataset.yaml", title=f"x {title}")
    row = expected(registry)["README.md"].splitlines()[7]
    assert row.startswith("  1.0.0 · x ")
    assert row.count("`") - row.count("\\`") == 2
    assert not re.search(r"(?<!\\)(?:\\\\)*[<*|]", row)


def test_the_list_stays_as_it_is_without_its_markers_and_prose_around_it_always() -> None:
    registry = two()
    registry.files["README.md"] = b"# Ours\n<!-- artifacts -->\nno end\n"
    assert expected(registry)["README.md"] == "# Ours\n<!-- artifacts -->\nno end\n"
    registry.files["README.md"] = b"# Ours\n\xff\n<!-- artifacts -->\nold\n<!-- /artifacts -->\n\xff"
    new = generated_files.expected(DictTree(registry.files))["README.md"]
    assert new.startswith(b"# Ours\n\xff\n<!-- artifacts -->\n\n**Datasets**")
    assert new.endswith(b"`\n\n<!-- /artifacts -->\n\xff")
    del registry.files["README.md"]
    assert "README.md" not in expected(registry)


# --- a part of it -----------------------------------------------------------------------------------------------------


def many() -> Registry:
    registry = Registry()
    for name in ("ants", "bees", "cats"):
        memory_registries.put_dataset(registry, name)
    registry.derive()
    return registry


def test_generating_some_rows_gives_those_of_generating_all() -> None:
    registry = many()
    registry.edit("datasets/bees/dataset.yaml", title="Busy", owners=["@ana"], version="1.1.0")
    some = expected(registry, "datasets/bees")
    assert some.items() <= expected(registry).items()
    assert set(some) == {*generated_files.FILES, "datasets/bees/README.md"}


def test_a_row_that_others_should_have_changed_is_left_to_them() -> None:
    registry = many()
    registry.edit("datasets/ants/dataset.yaml", title="Tiny")
    assert "Tiny" not in "".join(expected(registry, "datasets/bees").values())
    assert "Tiny" in expected(registry)["dvc.yaml"]


@pytest.mark.parametrize("only", [(), ("datasets/bees",)], ids=["all", "some"])
def test_an_artifact_that_was_removed_loses_its_rows(only: tuple[str, ...]) -> None:
    registry = many()
    registry.files = {path: data for path, data in registry.files.items() if not path.startswith("datasets/bees/")}
    assert "bees" not in "".join(expected(registry, *only).values())


def test_a_manifest_that_cannot_be_read_keeps_its_rows_and_its_card() -> None:
    registry = many()
    registry.files["datasets/bees/dataset.yaml"] = b"name: ["
    assert expected(registry).items() <= {path: data.decode() for path, data in registry.files.items()}.items()


def test_a_pointer_that_cannot_be_read_keeps_the_card() -> None:
    registry = many()
    registry.files["datasets/bees/prepared.dvc"] = b"outs: ["
    assert "datasets/bees/README.md" not in expected(registry)


# --- cards ------------------------------------------------------------------------------------------------------------


def card(text: str, **changes: Any) -> str:
    registry = two()
    registry.files["datasets/pets/README.md"] = text.encode()
    registry.edit("datasets/pets/dataset.yaml", **changes)
    return expected(registry)["datasets/pets/README.md"]


def test_what_people_wrote_in_a_card_stays() -> None:
    text = card("---\nlanguage: de\nlicense: mit\ntags: [pets]\n---\n# Ours\n---\nmore\n---\n")
    head, body = text.split("---\n", 2)[1:]
    assert body == "# Ours\n---\nmore\n---\n"
    assert yaml.safe_load(head)["license"] == "cc-by-4.0"
    assert list(yaml.safe_load(head).items())[-2:] == [("language", "de"), ("tags", ["pets"])]


@pytest.mark.parametrize("body", ["", "\n", "# x", "no head ---\n", "----\n", "--- \n", "---\nno end"])
def test_a_card_without_a_head_gets_one(body: str) -> None:
    text = card(body)
    assert text.endswith(f"---\n\n{body}")
    assert card(text) == text


def test_an_empty_head_is_filled() -> None:
    assert card("---\n---\n# x\n").startswith("---\nlicense: cc-by-4.0\n")


@pytest.mark.parametrize("head", ["a: [", "- x", "just words", "a: &x 1\nb: *x"])
def test_a_head_that_cannot_be_read_is_an_error_with_its_line(head: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        card(f"---\n{head}\n---\n# x\n")
    assert caught.value.path == "datasets/pets/README.md"
    assert caught.value.line in (2, 3)


@pytest.mark.parametrize(
    ("spdx", "head"),
    [
        ("MIT", {"license": "mit"}), ("CC0-1.0", {"license": "cc0-1.0"}), ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("ODbL-1.0", {"license": "odbl"}), ("PDDL-1.0", {"license": "pddl"}), ("LGPLLR", {"license": "lgpl-lr"}),
        ("CC-BY-3.0-DE", {"license": "other", "license_name": "CC-BY-3.0-DE"}),
        ("LicenseRef-Ours", {"license": "other", "license_name": "LicenseRef-Ours"}),
    ],
)  # fmt: skip
def test_licences_in_the_hub_s_words(spdx: str, head: dict[str, str]) -> None:
    found = yaml.safe_load(card("", license=spdx).split("---\n")[1])
    assert {key: value for key, value in found.items() if key.startswith("license")} == head


@pytest.mark.parametrize(
    ("images", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**6, "1M<n<10M"), (10**9, "1B<n<10B")],
)
def test_sizes_in_the_hub_s_words(images: int, size: str) -> None:
    registry = two()
    pointer = yaml.safe_load(registry.files["datasets/pets/prepared.dvc"])
    pointer["meta"]["build"]["images"] = images
    registry.files["datasets/pets/prepared.dvc"] = memory_registries.dump(pointer)
    assert f"size_categories:\n- {size}\n" in expected(registry)["datasets/pets/README.md"]


def test_a_missing_card_is_made_and_one_that_was_not_built_has_no_size() -> None:
    registry = two()
    del registry.files["datasets/pets/README.md"], registry.files["datasets/pets/prepared.dvc"]
    text = expected(registry)["datasets/pets/README.md"]
    assert text.endswith("---\n\n# Pets at home\n")
    assert "size" not in text


# --- those who read it ------------------------------------------------------------------------------------------------


def test_dvc_and_the_hub_read_what_is_derived(registry_repo: Path) -> None:
    from dvc.repo import Repo
    from huggingface_hub import DatasetCard, ModelCard

    registry = two()
    registry.derive()
    memory_registries.put_on_disk(registry, registry_repo)
    repositories.commit(registry_repo, "two")
    with Repo(str(registry_repo)) as repo:
        found = repo.artifacts.read()["dvc.yaml"]
    assert {name: artifact.path for name, artifact in found.items()} == {
        "datasets/pets": "datasets/pets/prepared", "models/pets": "models/pets/model.onnx",
    }  # fmt: skip
    assert DatasetCard.load(registry_repo / "datasets/pets/README.md").data.pretty_name == "Pets at home"
    assert ModelCard.load(registry_repo / "models/pets/README.md").data.datasets == ["datasets/pets"]


def test_the_hub_s_licences_are_spdx_ids() -> None:
    scaffold = Path(generated_files.__file__).parent
    hub = tomllib.loads((scaffold / "hub_licenses.toml").read_text())
    spdx = {
        name.lower()
        for name in json.loads((Path(__file__).parents[2] / "schemas/spdx.schema.json").read_text())["enum"]
    }
    known = {name.removesuffix("-only").removesuffix("-or-later") for name in spdx}
    assert set(hub["renamed"]) <= spdx
    assert set(hub["renamed"].values()) <= set(hub["ids"])
    assert [name for name in hub["ids"] if name not in known and name not in hub["renamed"].values()] == []
