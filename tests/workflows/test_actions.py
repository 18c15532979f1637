"""What workflows give to actions and take from them, against what the actions declare (actions.toml).

GitHub only warns of an input that an action does not have, and an output that does not exist is empty.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.release import github_assets
from support import workflow_files

HERE = Path(__file__).parent
KNOWN: dict[str, dict[str, Any]] = tomllib.loads((HERE / "actions.toml").read_text())
USES = {place: step for place, step in workflow_files.steps() if "@" in step.get("uses", "")}
STAND_INS = {
    path.parent.name: yaml.safe_load(path.read_text()) for path in sorted((HERE / "actions").glob("*/action.yml"))
}


def action(step: dict[str, Any]) -> dict[str, Any]:
    return KNOWN[step["uses"].partition("@")[0]]


def pins() -> dict[str, str]:
    """The version in the comment of each pin."""
    text = "\n".join(path.read_text() for path in workflow_files.GITHUB.rglob("*.yml"))
    return dict(re.findall(r"uses: ([\w/-]+)@[0-9a-f]{40} # v([\d.]+)", text))


@pytest.mark.parametrize("place", USES)
def test_an_action_has_the_inputs_that_it_is_given(place: str) -> None:
    given = USES[place].get("with", {}).keys()
    assert given <= set(action(USES[place])["inputs"])
    assert given >= set(action(USES[place])["required"])


@pytest.mark.parametrize(("place", "step"), [(place, step) for place, step in USES.items() if "id" in step])
def test_an_action_has_the_outputs_that_are_read(place: str, step: dict[str, Any]) -> None:
    text = (workflow_files.GITHUB / f"workflows/{place.partition('/')[0]}.yml").read_text()
    read = set(re.findall(rf"steps\.{step['id']}\.outputs\.([\w-]+)", text))
    assert read
    assert read <= set(action(step)["outputs"])


def test_actions_are_recorded_in_the_major_version_that_is_pinned() -> None:
    recorded = {name: one["version"].partition(".")[0] for name, one in KNOWN.items()}
    assert {name: version.partition(".")[0] for name, version in pins().items()} == recorded


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_knows_no_input_that_the_action_does_not_have(name: str) -> None:
    [real] = [one for full, one in KNOWN.items() if full.rpartition("/")[2] == name]
    assert STAND_INS[name].get("inputs", {}).keys() <= set(real["inputs"])


def test_one_attestation_takes_all_that_are_listed_for_it() -> None:
    """actions/attest 4.2.2 refuses a file of checksums of more than 512 KiB, and GitHub more than 1,024 subjects."""
    longest = f"{'0' * 64}  datasets/{'a' * 64}@v999999999.999999999.999999999\n"
    assert github_assets.MAX_SUBJECTS == 1024
    assert len(longest) * github_assets.MAX_SUBJECTS < 512 << 10
