"""The dossier of a release: what is known, in the law's order, and what a person has to write."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.core.names import parse_tag
from registry.release import dossier, dossier_facts, dossier_text
from support import repositories
from support.repositories import Run

DATASET, MODEL = "datasets/pets@v1.0.0", "models/pets@v1.0.0"
CARD = """---
license: apache-2.0
---
# Cat or dog

<!-- written by a tool -->

## Limits of use

Not for decisions about a person. `**No** <b>markup</b>`

## History

Written in one day.
"""
VARIABLE = (  # what differs from run to run
    (r"published 20\d\d-\d\d-\d\dT[\d:+]+", "published TIME"),
    (r"(?<=@v1\.[01]\.0\*\*: )20\d\d-\d\d-\d\d", "DAY"),
    (r"(?<=`)[0-9a-f]{40}(?=`)", "COMMIT"),
    (r"(?<=`sha256:)[0-9a-f]{64}(?=`)", "SHA256"),
    (r"\S*/origin\.git", "URL"),
)


def without_variables(text: str) -> str:
    text = text.replace("\u2060", "")  # keeps GitHub from making links of what looks like a commit
    for pattern, constant in VARIABLE:
        text = re.sub(pattern, constant, text)
    return text


@pytest.fixture
def two_versions(merged_model: Path, run_registry: Run) -> Path:
    """Two releases of a dataset and its model; the first dataset is withdrawn, an image is excluded from the second."""
    (merged_model / "models/pets/README.md").write_text(CARD)
    repositories.merge(merged_model, "a card")
    assert run_registry(merged_model, "publish").code == 0
    known = {"withdrawn": {"1.0.0": "two labels are wrong"}}
    excluded = {"exclude": {"0a8c7f6e-0000-4000-8000-000000000009": "a person is in it"}}
    repositories.dataset(merged_model, "pets", repositories.MORE_PETS, "1.1.0", **known, **excluded)
    repositories.model(merged_model, "pets", b"weights of 1.1.0", "1.1.0", wrong=1)
    repositories.merge(merged_model, "more pets")
    assert run_registry(merged_model, "publish").code == 0
    return merged_model


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_the_whole_dossier(
    two_versions: Path, run_registry: Run, golden: Callable[[str, str], None], kind: str
) -> None:
    done = run_registry(two_versions, "dossier", f"{kind}/pets@v1.1.0")
    assert done.code == 0, done.err
    golden(f"dossier_{kind}.md", without_variables(done.out))


def test_json_has_the_same(two_versions: Path, run_registry: Run, tmp_path: Path) -> None:
    out = tmp_path / "dossier.json"
    done = run_registry(two_versions, "dossier", MODEL, "--format", "json", "--out", str(out))
    found = json.loads(out.read_text())
    items = [item for section in found["sections"] for item in section["items"]]
    gaps = sum(len(item["gaps"]) for item in items)
    assert done.out == f"{out}: the dossier of {MODEL}, with {gaps} gaps to be written by a person\n"
    facts = {(item["number"], fact["name"]): fact["value"] for item in items for fact in item["facts"]}
    assert facts["1(a)", "license"] == "Apache-2.0"
    assert facts["2(d)", "withdrawn"] == "two labels are wrong"
    assert facts["2(g)", "accuracy"] == "1 of 1 image (95 % CI 0.2065 to 1.0000)"


def test_it_claims_nothing(two_versions: Path, run_registry: Run) -> None:
    text = run_registry(two_versions, "dossier", MODEL).out
    assert "It does not say that anything complies with a law" in text
    assert re.findall(r"compl(?:y|iant|iance)\b|conforms\b", text) == []


def test_of_what_is_not_published(two_versions: Path, run_registry: Run) -> None:
    done = run_registry(two_versions, "dossier", "models/pets@v9.0.0")
    assert done.refused("models/pets@v9.0.0: not published", "registry show models/pets")


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (0.5, 10, 0.2366, 0.7634), (0.95, 1000, 0.9347, 0.9619)],
)
def test_wilsons_interval(share: float, count: int, low: float, high: float) -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", gives the same for such numbers."""
    assert dossier.wilson(share, count) == pytest.approx((low, high), abs=5e-5)


def test_sections_of_a_card() -> None:
    assert list(dossier_facts.read_sections(CARD)) == ["Limits of use", "History"]
    assert dossier_facts.read_sections("# Only a title\n\ntext\n") == {}


def test_text_of_people_is_no_markup() -> None:
    item = dossier.Item("1", "Title", (dossier.Fact("na|me", "a <script>\n\n# b"),), ("write",))
    text = dossier_text.to_markdown(parse_tag(MODEL), (dossier.Section("One", (item,)),))
    assert "<script>" not in text
    assert "\n# b" not in text
    assert "- [ ] to be written by a person: write" in text
