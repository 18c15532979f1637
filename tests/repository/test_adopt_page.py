"""The commands of docs/adopt.md are run, and what it says of names is what the code does."""

import re
import shlex
from pathlib import Path

import yaml

from registry.core import documents, manifests, names
from registry.scaffold import adopt_layout
from support import adoption, dataset_builds, repositories

PAGE = (Path(__file__).parents[2] / "docs/adopt.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_make_a_dataset(registry_repo: Path, tmp_path: Path) -> None:
    adoption.fill(tmp_path / "photos", adoption.PETS)
    [commands] = blocks("sh")
    for line in commands.splitlines():
        tool, *words = shlex.split(line, comments=True)
        run = repositories.registry if tool == "registry" else repositories.sh
        done = run(registry_repo, *(words if tool == "registry" else (tool, *words)))
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert adoption.images(registry_repo) == adoption.expected(adoption.PETS)


def test_the_names_of_splits_are_those_that_are_known() -> None:
    [names_] = re.findall(r"Names of splits are (.*?), in any case", PAGE, re.DOTALL)
    assert re.findall(r"`(\w+)`", names_) == [*adopt_layout.SPLIT_NAMES]


def test_the_rule_with_given_splits_is_a_valid_one() -> None:
    [rule] = blocks("yaml")
    manifest = yaml.safe_load(dataset_builds.MANIFEST)
    manifest["columns"]["given_split"] = {"type": "string", "nullable": True}
    data = documents.write_yaml({**manifest, **yaml.safe_load(rule)})
    parsed = manifests.parse(documents.read_yaml(data, "dataset.yaml"), names.parse_id("datasets/pets"))
    assert parsed.split.given == "given_split"  # type: ignore[union-attr]
