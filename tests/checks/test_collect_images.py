import polars as pl
import pytest

from registry.checks import collect_images
from registry.checks.context import Facts, Scope, Subject
from registry.core.artifact_files import Part, Release
from registry.core.names import parse_id, parse_tag
from registry.core.values import Content
from registry.storage.reader import ABSENT
from registry.sync import dir_listing
from support import repositories

PETS = parse_id("datasets/pets")


def listed(*names: str) -> tuple[str, bytes]:
    """A list of images that are called as their bytes are: its md5, and its bytes."""
    rows = [(repositories.md5(name.encode()), f"train/cat/{name}.jpg") for name in names]
    data = dir_listing.write(pl.DataFrame(rows, {"md5": pl.String, "relpath": pl.String}, orient="row"))
    return dir_listing.md5_of(data), data


@pytest.mark.parametrize(("scope", "unseen"), [(Scope.BASE, ["c"]), (Scope.ALL, ["b", "c"])])
def test_a_branch_is_not_asked_for_what_the_latest_release_has(scope: Scope, unseen: list[str]) -> None:
    (old, before), (new, after) = listed("a", "b"), listed("a", "b", "c")
    release = Release(parse_tag("datasets/pets@v1.0.0"), Content(None, {"prepared": old}))
    subject = Subject(
        PETS, True, Part("datasets/pets/dataset.yaml"), content=Content(None, {"prepared": new}), latest=release
    )
    found = collect_images.list_unseen(
        Facts(scope, subjects=(subject,)), {old: before, new: after}.get, pl.Series([repositories.md5(b"a")])
    )
    assert found.images["path"].to_list() == [f"train/cat/{name}.jpg" for name in unseen]


def test_a_list_that_is_nowhere_is_said_to_be() -> None:
    subject = Subject(PETS, True, Part("datasets/pets/dataset.yaml"), content=Content(None, {"prepared": "0.dir"}))
    found = collect_images.list_unseen(Facts(Scope.BASE, subjects=(subject,)), {}.get, pl.Series([], dtype=pl.String))
    assert found.images.is_empty()
    assert found.facts.subjects[0].unread == f"object 0.dir: {ABSENT}"
