"""A catalog of a dataset with real pictures and columns of every kind, in memory: two classes, releases that add."""

import io
import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from PIL import Image, ImageDraw

from registry.catalog import writing
from registry.catalog.folder import Changed
from registry.catalog.options import Options
from registry.catalog.site import Catalog
from registry.core import erasures
from registry.core.erasures import Erased
from registry.core.names import parse_tag
from registry.core.settings import CatalogImages
from registry.core.tree import DictTree
from registry.release import notes, overview
from registry.release.history import Release
from registry.release.notes import Lineage
from support import memory_registries, repositories
from support.memory_registries import Registry, uuid

COLUMNS = {
    "uuid": {"type": "uuid"}, "label": {"type": "string"}, "camera": {"type": "string", "nullable": True},
    "brightness": {"type": "number"}, "taken_on": {"type": "date"}, "is_indoors": {"type": "boolean"},
    "note": {"type": "string"},
}  # fmt: skip


@dataclass
class Pictured:
    """The catalog, and the objects that its releases reach; `asked` are those that were read."""

    catalog: Catalog
    objects: dict[str, bytes]
    pictures: dict[str, bytes]
    trees: dict[str, DictTree]
    asked: list[str] = field(default_factory=list)

    def read(self, md5: str) -> bytes | None:
        self.asked.append(md5)
        return self.objects.get(md5)

    def write(
        self, out: Path, images: CatalogImages, erased: Erased = erasures.NOTHING, warnings: list[str] | None = None
    ) -> Changed:
        told = [] if warnings is None else warnings
        return writing.write(
            out, self.catalog, Options(self.read, self.trees.__getitem__, Path("none"), images, told.append, erased)
        )


def made(images: int = 60, releases: int = 2) -> Pictured:
    """`datasets/pets` with so many images of each class in the first release, and a tenth more in each other one."""
    registry, found, pictures, trees = Registry(), list[Release](), dict[str, bytes](), dict[str, DictTree]()
    for at in range(releases):
        number = images + at * images // 10
        pictures |= {path: _draw(path) for path in memory_registries.images(number, number) if path not in pictures}
        memory_registries.put_dataset(registry, "pets", {})
        registry.edit("datasets/pets/dataset.yaml", columns=COLUMNS, version=f"1.{at}.0")
        memory_registries.select(registry, "pets", b"rows")
        _build(registry, pictures)
        tag = parse_tag(f"datasets/pets@v1.{at}.0")
        version = notes.load(tag, registry.files.get)
        assert version is not None
        commit = f"{at:040x}"
        trees[commit] = DictTree(dict(registry.files))
        found.append(Release(tag, commit, 1_790_000_000 + at, version, Lineage(), (), "", ""))
    catalog = Catalog("acme-data", overview.find(DictTree(registry.files), found), "https://github.com/acme/registry")
    return Pictured(catalog, registry.objects, pictures, trees)


def with_releases(pictured: Pictured, releases: tuple[Release, ...]) -> Pictured:
    """The same with these releases of its one artifact."""
    [one] = pictured.catalog.artifacts
    catalog = replace(pictured.catalog, artifacts=(replace(one, releases=releases),))
    return replace(pictured, catalog=catalog)


def withdrawn(release: Release) -> Release:
    """The same release, withdrawn."""
    return replace(release, withdrawn="labels are wrong")


def _draw(path: str) -> bytes:
    """A picture that tells what it is of: a green round cat or an orange square dog, of many sizes and shades."""
    chance, out = random.Random(path), io.BytesIO()
    size = (chance.randrange(60, 200), chance.randrange(60, 200))
    page = Image.new("RGB", size, (chance.randrange(160, 256),) * 3)
    shade = chance.randrange(-40, 40)
    box = (size[0] // 5, size[1] // 5, size[0] * 4 // 5, size[1] * 4 // 5)
    if "/cat/" in path:
        ImageDraw.Draw(page).ellipse(box, (60 + shade, 160 + shade, 110 + shade))
    else:
        ImageDraw.Draw(page).rectangle(box, (210 + shade, 120 + shade, 50 + shade))
    page.save(out, "JPEG")
    return out.getvalue()


def _build(registry: Registry, pictures: dict[str, bytes]) -> None:
    folder, counts, tables = "datasets/pets", dict[str, dict[str, int]](), dict[str, bytes]()
    for split in repositories.SPLITS:
        paths = [path.removeprefix(f"{split}/") for path in sorted(pictures) if path.startswith(f"{split}/")]
        counts[split] = {label: sum(path.startswith(f"{label}/") for path in paths) for label in ("cat", "dog")}
        chance = [random.Random(path) for path in paths]
        tables[f"{split}/metadata.parquet"] = repositories.table(
            paths, ("cat", "dog"),
            uuid=[path.rpartition("/")[2].removesuffix(".jpg") for path in paths],
            camera=[one.choices(["XT-3", "Pixel 8", "D850", None], (5, 3, 1, 1))[0] for one in chance],
            brightness=[round(one.gauss(120, 30), 2) for one in chance],
            taken_on=[date(2024, 1, 1) + timedelta(one.randrange(700)) for one in chance],
            is_indoors=[one.random() < 0.3 for one in chance],
            note=[f"seen by {uuid(one.randrange(10**6))[-6:]}" for one in chance],
        )  # fmt: skip
    facts = {"selection": f"{'0' * 32}.dir", "rule": "rule", "images": len(pictures), "counts": counts}
    memory_registries.put_folder(registry, folder, "prepared", {**pictures, **tables}, {"build": facts})
