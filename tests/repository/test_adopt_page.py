"""The commands of docs/adopt.md are run, and what it says of names is what the code does."""

import re
import shlex
from pathlib import Path

import yaml

from registry.core import documents, manifests, names, schema
from registry.scaffold import adopt_layout
from support import adoption, dataset_builds, repositories

PAGE = (Path(__file__).parents[2] / "docs/adopt.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run_block(root: Path, commands: str) -> None:
    for line in commands.splitlines():
        tool, *words = shlex.split(line, comments=True)
        run = repositories.registry if tool == "registry" else repositories.sh
        done = run(root, *(words if tool == "registry" else (tool, *words)))
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_commands_make_a_dataset(registry_repo: Path, tmp_path: Path) -> None:
    adoption.fill(tmp_path / "photos", adoption.PETS)
    (registry_repo / "README.md").write_text("# Ours\n\n<!-- artifacts -->\n<!-- /artifacts -->\n")
    run_block(registry_repo, blocks("sh")[0])
    assert adoption.images(registry_repo) == adoption.expected(adoption.PETS)


def test_the_commands_make_versions_of_tags(registry_repo: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    adoption.found(old, tmp_path / "store")
    for tag, files in (("v1.0", dict(list(adoption.PETS.items())[:-1])), ("v1.1", adoption.PETS)):
        adoption.track(old, files, tmp_path / "store")
        repositories.commit(old, tag)
        repositories.git_in(old, "tag", tag)
    run_block(registry_repo, blocks("sh")[1])
    assert adoption.images(registry_repo) == adoption.expected(adoption.PETS)
    assert repositories.git_in(registry_repo, "rev-list", "--count", "HEAD") == "3"


def test_the_names_of_splits_are_those_that_are_known() -> None:
    [names_] = re.findall(r"Names of splits are (.*?), in any case", PAGE, re.DOTALL)
    assert re.findall(r"`(\w+)`", names_) == [*adopt_layout.SPLIT_NAMES]


def test_the_rule_with_given_splits_is_a_valid_one() -> None:
    rule, from_looker = blocks("yaml")
    manifest = yaml.safe_load(dataset_builds.MANIFEST)
    manifest["columns"]["given_split"] = {"type": "string", "nullable": True}
    for text in (rule, from_looker):
        document = documents.read_yaml(documents.write_yaml({**manifest, **yaml.safe_load(text)}), "dataset.yaml")
        schema.require(document, "dataset")
        parsed = manifests.parse(document, names.parse_id("datasets/pets"))
        assert parsed.split.given == "given_split"  # type: ignore[union-attr]
