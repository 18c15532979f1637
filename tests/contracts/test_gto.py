"""What this project relies on in GTO: which tags it sees, and which names it takes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import names
from registry.integrations import git
from support import repositories


@pytest.fixture
def show(registry_repo: Path) -> Callable[[], dict[str, str]]:
    """`gto show --json`: artifact → latest version."""
    from gto.cli import app

    def run() -> dict[str, str]:
        done = CliRunner().invoke(app, ["show", "--repo", str(registry_repo), "--json"])
        return {name: row["version"] for name, row in json.loads(done.output).items()}

    return run


def test_annotated_tags_are_versions_and_lightweight_ones_are_not(
    registry_repo: Path, show: Callable[[], dict[str, str]]
) -> None:
    git.create_tag(registry_repo, "datasets/pets@v1.0.0", "HEAD", "Pets")
    repositories.git_in(registry_repo, "tag", "datasets/pets@v2.0.0")
    repositories.git_in(registry_repo, "tag", "models/pets@v1.0.0")
    assert show() == {"datasets/pets": "v1.0.0"}
    assert git.tag_names(registry_repo) == ("datasets/pets@v1.0.0",)
    assert git.tag_refs(registry_repo)["datasets/pets@v2.0.0"].annotated is False


def test_the_latest_version_is_the_highest_and_the_v_is_mandatory(
    registry_repo: Path, show: Callable[[], dict[str, str]]
) -> None:
    for name in ("models/pets@v1.9.0", "models/pets@v1.10.0", "models/pets@2.0.0"):
        repositories.commit(registry_repo, name)
        git.create_tag(registry_repo, name, "HEAD", "Pets")
    assert show() == {"models/pets": "v1.10.0"}
    assert [str(tag) for tag in names.find_tags(git.tag_names(registry_repo))] == [
        "models/pets@v1.9.0",
        "models/pets@v1.10.0",
    ]


@given(st.from_regex(names.NAME, fullmatch=True).filter(lambda name: len(name) <= names.MAX_NAME))
@settings(max_examples=50)
def test_every_name_of_ours_is_one_of_gtos(name: str) -> None:
    from gto.tag import parse_name

    tag = names.parse_tag(f"datasets/{name}@v1.2.3")
    parsed = parse_name(str(tag))
    assert (parsed["name"], parsed["version"], parsed["action"].value) == (f"datasets/{name}", "v1.2.3", "register")
