"""Cards fill themselves: what the facts say, that they stay the same for the same state, and who reads them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cmarkgfm
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.checks import collect
from registry.checks.context import Card
from registry.core import artifact_files, names
from registry.core.artifact_files import ArtifactFiles
from registry.core.tree import DictTree
from registry.core.values import Tag, Verdict
from registry.demo import scene
from registry.errors import InvalidDocument
from registry.scaffold import card_facts, generated_files, new
from support import memory_registries
from support.memory_registries import Registry

DATASET, MODEL = "datasets/pets/README.md", "models/pets/README.md"
MARKS = f"\n{card_facts.BEGIN}{card_facts.END}\n\nThe end.\n".encode()


class Tags:
    """The releases of a registry in memory."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    @property
    def tags(self) -> Sequence[Tag]:
        return names.find_tags(self.registry.tags)

    def read(self, tag: Tag) -> ArtifactFiles | None:
        return artifact_files.read_release(tag.artifact, self.registry.releases[str(tag)].get)


def fix(registry: Registry) -> None:
    """What `registry check --fix` writes in a clone with all tags; nothing is stale then, with or without tags."""
    registry.files |= generated_files.expected(DictTree(registry.files), released=Tags(registry))
    assert generated_files.expected(DictTree(registry.files), released=Tags(registry)).items() <= registry.files.items()
    assert is_current(registry)


def is_current(registry: Registry) -> bool:
    return generated_files.expected(DictTree(registry.files)).items() <= registry.files.items()


def head(registry: Registry, path: str) -> Mapping[str, object]:
    found = yaml.safe_load(registry.files[path].decode().split("---\n")[1])
    assert isinstance(found, dict)
    return found


def table(registry: Registry, path: str) -> list[list[str]]:
    """The rows of versions."""
    lines = registry.files[path].decode().partition("### Versions")[2].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]


def revision(registry: Registry) -> object:
    index = head(registry, MODEL)["model-index"]
    assert isinstance(index, list)
    return index[0]["results"][0]["dataset"].get("revision")


@pytest.fixture
def first() -> Registry:
    """A dataset and a model, each released as 1.0.0, whose cards have the marks."""
    registry = Registry()
    memory_registries.put_dataset(registry)
    memory_registries.put_model(registry, wrong=1)
    for path in (DATASET, MODEL):
        registry.files[path] += MARKS
    fix(registry)
    registry.release("datasets/pets@v1.0.0")
    registry.release("models/pets@v1.0.0")
    assert is_current(registry)
    return registry


def grow(registry: Registry, version: str = "1.1.0", **changes: object) -> None:
    memory_registries.put_dataset(registry, "pets", memory_registries.images(20, 15), version=version, **changes)


def test_a_card_of_a_dataset_says_what_is_in_it_and_how_to_fetch_it(first: Registry) -> None:
    text = first.files[DATASET].decode()
    assert "\nVersion 1.0.0. License: CC-BY-4.0. Owned by `@acme/vision`.\n" in text
    assert "\n| cat | 8 | 1 | 1 | 10 |\n| dog | 8 | 1 | 1 | 10 |\n| **all** | 16 | 2 | 2 | 20 |\n" in text
    assert "\nSplits: train 0.8, val 0.1, test 0.1, by a hash of each image's UUID.\n" in text
    assert '  source1["export: by hand"] --> this["datasets/pets@v1.0.0"]\n' in text
    assert "\ndvc artifacts get URL datasets/pets --rev v1.0.0\n" in text
    assert table(first, DATASET) == [["1.0.0", "20", "16", "2", "2"]]
    assert text.endswith(f"\n\n{card_facts.END}\n\nThe end.\n")


def test_a_card_of_a_model_says_how_good_it_is_and_what_it_is_made_from(first: Registry) -> None:
    text, md5 = first.files[MODEL].decode(), yaml.safe_load(first.files["datasets/pets/prepared.dvc"])["outs"][0]["md5"]
    assert "\nIntended use: Tests.\n" in text
    assert "\n| metric | on 2 test images |\n|---|--:|\n| accuracy | 0.5 |\n" in text
    assert table(first, MODEL)[0][-1] == f"`datasets/pets@v1.0.0` (`{md5[:12]}`)"
    assert '  source1["datasets/pets@v1.0.0"] --> this["models/pets@v1.0.0"]\n' in text


def test_rows_of_earlier_versions_stay_and_withdrawals_are_told(first: Registry) -> None:
    before = table(first, MODEL)[0]
    grow(first, withdrawn={"1.0.0": "six | labels"})
    memory_registries.put_model(first, version="1.1.0")
    fix(first)
    assert table(first, DATASET) == [
        ["1.1.0", "35", "29", "3", "3", "the selection changed, the images or their metadata changed", ""],
        ["1.0.0", "20", "16", "2", "2", "", "withdrawn: six &#124; labels"],
    ]  # fmt: skip
    assert [row[0] for row in table(first, MODEL)] == ["1.1.0", "1.0.0"]
    assert table(first, MODEL)[1] == [*before, ""]
    first.edit("datasets/pets/dataset.yaml", withdrawn={"1.1.0": "worse"})
    fix(first)
    assert "> [!CAUTION]\n> 1.1.0 is withdrawn: worse\n" in first.files[DATASET].decode()


def test_a_publish_and_a_clone_without_tags_make_no_card_stale(first: Registry) -> None:
    grow(first)
    fix(first)
    first.release("datasets/pets@v1.1.0")
    assert is_current(first)
    fix(first)
    first.releases.clear()
    assert is_current(first)


def test_what_changed_in_a_version_is_told_and_kept_without_tags(first: Registry) -> None:
    grow(first)
    fix(first)
    first.release("datasets/pets@v1.1.0")
    first.edit("datasets/pets/dataset.yaml", version="1.1.1", description="Cats | dogs.")
    fix(first)
    told = ["description changed", "the selection changed, the images or their metadata changed", ""]
    assert [row[-1] for row in table(first, DATASET)] == told
    first.files[DATASET] = memory_registries.card("pets") + MARKS
    fix(first)
    assert [row[-1] for row in table(first, DATASET)] == told
    first.releases.clear()
    assert is_current(first)


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ({}, []),
        ({"images": "all"}, []),
        ({"url": "https://acme.example/data"}, ["page"]),
        ({"url": "https://acme.example/data/", "images": "none"}, ["page"]),
        ({"url": "https://acme.example/data/", "images": "sample"}, ["sheet", "page"]),
        ({"url": "https://acme.example/data", "images": "all"}, ["sheet", "page"]),
    ],
)
def test_a_card_shows_what_the_catalog_may_show(first: Registry, said: dict[str, str], parts: list[str]) -> None:
    first.edit("registry.yaml", catalog=said)
    fix(first)
    places = {
        path: "https://acme.example/data/" + path.replace("README.md", "v1.0.0/index.html") for path in (DATASET, MODEL)
    }
    for path, place in places.items():
        text = first.files[path].decode()
        assert (place in text) == ("page" in parts)
        shown = f"]({place.replace('index.html', 'sheet.webp')})]({place})\n" in text
        assert shown == ("sheet" in parts and path == DATASET)
        assert ("https://acme.example" in text) == bool(parts)
    first.edit("datasets/pets/dataset.yaml", withdrawn={"1.0.0": "worse"})
    fix(first)
    assert "https://acme.example" not in first.files[DATASET].decode()


def test_versions_that_were_never_released_leave_no_row(first: Registry) -> None:
    """Such as a number that a check found to be too low."""
    grow(first)
    memory_registries.put_model(first, version="1.1.0")
    fix(first)
    first.edit("datasets/pets/dataset.yaml", version="2.0.0")
    assert not is_current(first)
    fix(first)
    assert [row[0] for row in table(first, DATASET)] == ["2.0.0", "1.0.0"]
    assert revision(first) == "datasets/pets@v2.0.0"


def test_releases_that_a_card_lacks_come_from_their_tags(first: Registry) -> None:
    for path in (DATASET, MODEL):
        first.files[path] = memory_registries.card("pets") + MARKS
    grow(first)
    memory_registries.put_model(first, version="1.1.0")
    fix(first)
    assert table(first, DATASET)[1] == ["1.0.0", "20", "16", "2", "2", ""]
    assert table(first, MODEL)[1][:2] == ["1.0.0", "0.5"]
    assert table(first, MODEL)[1][-2].startswith("`datasets/pets@v1.0.0` (`")


def test_the_version_of_the_dataset_is_the_one_that_the_model_was_trained_on(first: Registry) -> None:
    assert revision(first) == "datasets/pets@v1.0.0"
    grow(first)
    fix(first)
    assert revision(first) == "datasets/pets@v1.0.0"  # the model was not trained again
    memory_registries.put_model(first, version="1.1.0")
    assert not is_current(first)
    fix(first)
    assert revision(first) == "datasets/pets@v1.1.0"


def test_a_new_title_of_a_dataset_changes_no_card_of_a_model(first: Registry) -> None:
    before = first.files[MODEL]
    first.edit("datasets/pets/dataset.yaml", title="Pets", version="1.0.1")
    made = generated_files.expected(DictTree(first.files))
    assert [path for path, data in made.items() if data != first.files[path]] == ["README.md", DATASET, "dvc.yaml"]
    fix(first)
    assert first.files[MODEL] == before


def test_only_so_many_versions_are_shown(first: Registry) -> None:
    for minor in range(1, 15):
        first.edit("datasets/pets/dataset.yaml", version=f"1.{minor}.0")
        fix(first)
        first.release(f"datasets/pets@v1.{minor}.0")
    assert [row[0] for row in table(first, DATASET)] == [f"1.{minor}.0" for minor in range(14, 2, -1)]


@pytest.mark.parametrize(
    "text", ["# x\n", f"# x\n{card_facts.BEGIN}", f"{card_facts.END}\n# x\n", "<!-- facts --> x\n<!-- /facts -->\n"]
)
def test_a_card_without_the_marks_keeps_its_words(first: Registry, text: str) -> None:
    first.files[DATASET] = text.encode()
    fix(first)
    assert first.files[DATASET].decode().endswith(f"---\n\n{text}")


def test_files_that_cannot_be_read_leave_the_card_as_it_is(first: Registry) -> None:
    before = dict(first.files)
    for path in ("models/pets/metrics.json", "models/pets/dvc.lock", "datasets/pets/prepared.dvc"):
        first.files = {**before, path: b"{"}
        card = MODEL if path.startswith("models") else DATASET
        assert generated_files.expected(DictTree(first.files)).get(card, before[card]) == before[card]


def test_a_merge_that_conflicts_in_generated_parts_is_resolved(first: Registry) -> None:
    before = first.files[MODEL].decode()
    value = "      value: 0.5\n"
    assert before.count(value) == 1
    theirs = f"<<<<<<< HEAD\n{value}||||||| base\n      value: 0.4\n=======\n      value: 0.9\n>>>>>>> theirs\n"
    row = next(line for line in before.splitlines(keepends=True) if line.startswith("| 1.0.0 |"))
    rows = f"<<<<<<< HEAD\n{row}=======\n{row.replace('0.5', '0.9')}>>>>>>> theirs\n"
    first.files[MODEL] = before.replace(value, theirs).replace(row, rows).encode()
    fix(first)
    assert first.files[MODEL].decode() == before
    own = before.replace("license:", "<<<<<<< HEAD\ntags: [a]\n=======\ntags: [b]\n>>>>>>> theirs\nlicense:", 1)
    first.files[MODEL] = own.encode()
    with pytest.raises(InvalidDocument, match="conflict"):
        generated_files.expected(DictTree(first.files))


LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
LINES = st.text(LETTERS, min_size=1, max_size=40).map(str.strip).filter(lambda text: text and text[0] != "<")


@given(LINES, LINES)
@settings(max_examples=40, deadline=None)
def test_no_text_of_a_manifest_leaves_its_place(reason: str, described: str) -> None:
    registry = Registry()
    memory_registries.put_dataset(registry, source={"export": {"description": described}}, withdrawn={"1.0.0": reason})
    registry.files[DATASET] += MARKS
    registry.derive()
    text = registry.files[DATASET].decode()
    if card_facts.END not in text or "## Facts" not in text:
        return  # its schema refuses one of them
    assert is_current(registry)
    assert (text.count(card_facts.BEGIN), text.count(card_facts.END), len(table(registry, DATASET))) == (1, 1, 1)
    html = cmarkgfm.github_flavored_markdown_to_html(text.split("---\n", 2)[2])
    assert re.findall(r"<h[1-6]>", html) == ["<h1>", "<h2>", "<h2>", "<h3>", "<h3>", "<h3>"]
    assert ("<a" in html, "<img" in html, html.count("<table>")) == (False, False, 2)


# --- those who read it ------------------------------------------------------------------------------------------------


def test_the_hub_reads_the_fields(first: Registry, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard, EvalResult, ModelCard

    memory_registries.put_on_disk(first, tmp_path)
    data = ModelCard.load(tmp_path / MODEL).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("onnx", "image-classification", "apache-2.0")
    assert data.eval_results is not None
    assert data.eval_results[0] == EvalResult(
        task_type="image-classification", dataset_type="datasets/pets", dataset_name="pets", dataset_split="test",
        dataset_revision="datasets/pets@v1.0.0", metric_type="accuracy", metric_value=0.5,
    )  # fmt: skip
    assert [one.metric_type for one in data.eval_results] == ["accuracy", "macro_f1", "loss", "ece"]
    configs = DatasetCard.load(tmp_path / DATASET).data.configs
    assert [one["split"] for one in configs[0]["data_files"]] == ["train", "validation", "test"]


@pytest.mark.parametrize("template", ["adopted", "dataset", "external", "features", "model", "transfer"])
def test_a_new_card_has_a_place_for_the_limits_of_use_and_for_the_facts(template: str) -> None:
    text = (new.TEMPLATES / template / "README.md").read_bytes()
    assert text.count(b"\n## Limits of use\n\n" + scene.LIMITS + b"\n") == 1
    assert text.endswith(f"\n\n{card_facts.BEGIN}{card_facts.END}\n".encode())
    assert collect.read_card(text.decode()) == Card(text[: text.index(b"## Limits")].count(b"\n") + 1, has_limits=False)
    told = text.replace(scene.LIMITS, b"Not for people.").decode()
    assert collect.read_card(told).has_limits


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# x\n", Card(None, has_limits=False)),
        ("# x\n\n## Limits of use\n\n## More\n\nwords\n", Card(3, has_limits=False)),
        ("### LIMITS OF USE \r\nNot for people.\r\n", Card(1, has_limits=True)),
        ("<!--\n## Limits of use\nx\n-->\n## Limits of use\n<!-- facts -->\nx\n", Card(5, has_limits=False)),
    ],
)  # fmt: skip
def test_limits_of_use_are_words_below_their_heading(text: str, found: Card) -> None:
    assert collect.read_card(text) == found


def test_an_owner_decides_about_a_card_without_limits(first: Registry) -> None:
    assert [one for one in first.check() if one.check == "limits-of-use"] == []
    first.files[DATASET] = first.files[DATASET].replace(b"Not for decisions about people.\n", b"")
    (finding,) = (one for one in first.check() if one.check == "limits-of-use")
    assert (finding.verdict, finding.path, finding.message) == (
        Verdict.NEEDS_OWNER, DATASET, "the section `Limits of use` is empty",
    )  # fmt: skip
    assert first.files[DATASET].decode().splitlines()[(finding.line or 0) - 1] == "## Limits of use"
    del first.files[MODEL]
    (_, finding) = (one for one in first.check() if one.check == "limits-of-use")
    assert finding.message == "has no section `Limits of use`"
