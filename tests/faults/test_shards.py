"""A training reads shards from S3 through faults of the network: the images of the release, or an error."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from registry.errors import RegistryError
from registry.model import training_data
from support.s3_registry import IMAGES, Scene, World
from support.servers.fault_proxy import SLOW_DOWN, Deed, Fault, Reset, Rewrite, Truncate
from support.servers.http_wire import Request

OTHER_IMAGES = Rewrite(
    lambda data: data.replace(b"\xff\xd8\xff", b"\xff\xd8\xfe").replace(b'"format":1', b'"format":2')
)
FAULTS: Mapping[str, Deed] = {"503": SLOW_DOWN, "reset": Reset(), "truncated": Truncate(), "corrupt": OTHER_IMAGES}


@pytest.fixture
def data(world: World, played: Mapping[str, Scene], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a dataset with shards in production, from which all images are gone."""
    world.enter(played["export"].begin)
    world.must(*played["export"].args)
    for key in world.listed("production"):
        if key.startswith("files/") and not key.endswith(".dir"):
            world.lose("production", key)
    for name, value in world.env.items():
        monkeypatch.setenv(name, value)
    yield world.root / "datasets/pets/prepared"
    world.proxy.clear()


def read(data: Path) -> dict[str, bytes]:
    splits = training_data.open_shards(data)
    parts = (part for images in splits.values() for part in images.read(range(len(images.paths))))
    return {str(image.path): image.data or b"" for part in parts for image in part}


def is_shard(request: Request) -> bool:
    return request.kind == "get" and "/shards/" in request.target


@pytest.mark.parametrize("deed", FAULTS)
def test_a_fault_of_each_first_answer_changes_nothing(world: World, data: Path, deed: str) -> None:
    expected = {str(path): path.read_bytes() for path in data.glob("*/*/*.jpg")}
    seen = set[str]()

    def is_first(request: Request) -> bool:
        is_new = is_shard(request) and request.target not in seen
        seen.add(request.target)
        return is_new

    world.proxy.add(Fault(FAULTS[deed], is_first, times=None))
    assert (read(data), len(expected)) == (expected, IMAGES)


def test_other_images_are_an_error(world: World, data: Path) -> None:
    world.proxy.add(Fault(OTHER_IMAGES, lambda request: request.target.endswith(".tar"), times=None))
    with pytest.raises(RegistryError, match=r"-000000\.tar: has not the image .*\.jpg of datasets/pets@v1\.0\.0"):
        read(data)
