"""Which dataset the pointer of a `dvc add` by hand becomes."""

import pytest

from registry.checks import by_hand
from registry.core.names import parse_id
from support import memory_registries

PETS = {parse_id("datasets/pets")}


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("datasets/birds/photos.dvc", "registry adopt datasets/birds --from datasets/birds/photos.dvc"),
        ("datasets/pets/More Cats.dvc", "registry adopt datasets/more_cats --from 'datasets/pets/More Cats.dvc'"),
        ("data/pets.dvc", "registry adopt datasets/NAME --from data/pets.dvc"),
        ("data/2024.dvc", "registry adopt datasets/NAME --from data/2024.dvc"),
        ("photos.dvc", "registry adopt datasets/photos --from photos.dvc"),
        ("datasets/pets/table.csv.dvc", ""),
        ("models/pets/weights.dvc", ""),
        ("datasets/pets/dvc.yaml", ""),
        ("datasets/pets/.dvc", ""),
    ],
)
def test_a_pointer_of_a_folder_becomes_a_dataset_that_does_not_exist(path: str, command: str) -> None:
    assert by_hand.adopt_command(path, PETS) == command


def test_the_findings_on_a_folder_without_a_manifest_name_one_command() -> None:
    registry = memory_registries.sound()
    registry.files["datasets/birds/photos.dvc"] = b"outs: []\n"
    fixes = [finding.fix for finding in registry.check()]
    command = "registry adopt datasets/birds --from datasets/birds/photos.dvc"
    assert sorted(fixes) == [command, f"{command}; or delete it"]
