import polars as pl
import pytest
import yaml

from registry.checks import collect_images
from registry.checks.context import Scope
from support import memory_registries
from support.memory_registries import images

NONE = pl.DataFrame(schema={"md5": pl.String, "format": pl.String, "lenient": pl.Boolean})


def grown() -> memory_registries.Registry:
    """A registry whose dataset has one more cat than in its release."""
    registry = memory_registries.sound()
    memory_registries.build(registry, "pets", images(11))
    return registry


@pytest.mark.parametrize(("scope", "number"), [(Scope.BASE, 1), (Scope.ALL, 21)])
def test_on_a_branch_images_of_the_latest_release_count_as_validated(scope: Scope, number: int) -> None:
    registry = grown()
    found = collect_images.find_unvalidated(registry.gather(scope), registry.objects.get, NONE)
    assert found.images.height == number


def test_images_that_were_validated_before_are_left_out() -> None:
    registry = grown()
    facts = registry.gather(Scope.ALL)
    images = collect_images.find_unvalidated(facts, registry.objects.get, NONE).images
    known = images.select("md5", format=pl.lit("jpg"), lenient=pl.lit(value=False))
    assert collect_images.find_unvalidated(facts, registry.objects.get, known[:5]).images.height == len(known) - 5


def test_images_that_were_accepted_leniently_are_validated_again_once_the_dataset_is_not_lenient() -> None:
    """By whom they were accepted, the latest release or an earlier run, makes no difference."""
    registry = memory_registries.sound()
    registry.edit("datasets/pets/dataset.yaml", images={"lenient": True})
    registry.release("datasets/pets@v1.0.0")
    memory_registries.build(registry, "pets", images(11))
    facts = registry.gather(Scope.BASE)
    assert collect_images.find_unvalidated(facts, registry.objects.get, NONE).images.height == 1
    every = collect_images.find_unvalidated(registry.gather(Scope.ALL), registry.objects.get, NONE).images
    known = every.select("md5", format=pl.lit("jpg"), lenient=pl.lit(value=True))
    registry.edit("datasets/pets/dataset.yaml", images={"lenient": False})
    strict = registry.gather(Scope.BASE)
    assert collect_images.find_unvalidated(strict, registry.objects.get, known).images.height == 21


def test_a_list_that_no_store_has_is_unread() -> None:
    registry = grown()
    facts = registry.gather(Scope.ALL)
    md5 = yaml.safe_load(registry.files["datasets/pets/prepared.dvc"])["outs"][0]["md5"]
    found = collect_images.find_unvalidated(facts, {}.get, NONE)
    assert found.images.is_empty()
    assert found.facts.datasets[0].unread == f"object {md5}: no intact copy in DVC's cache, staging or production"
