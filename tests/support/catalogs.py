"""A catalog in memory: datasets and models with releases, stages, a withdrawal, a tag made by hand, hostile texts."""

from registry.catalog import site
from registry.catalog.site import Catalog
from registry.core.names import parse_id, parse_tag
from registry.core.tree import DictTree
from registry.release import notes, overview
from registry.release.history import Release
from registry.release.notes import Lineage
from support import memory_registries
from support.memory_registries import Registry

REPOSITORY = "https://github.com/acme/registry"
HOSTILE = '<img src="https://evil.example/x" onerror="alert(1)"> {{ 7 * 7 }} \u202ecba'


def made(artifacts: int = 1, releases: int = 2) -> Catalog:
    """`artifacts` datasets and as many models on them, each with `releases`; the first dataset has hostile texts."""
    registry = Registry()
    found: list[Release] = []
    names = [f"pets{number or ''}" for number in range(artifacts)]
    for name in names:
        memory_registries.put_dataset(registry, name)
        memory_registries.put_model(registry, name)
    for at in range(releases):
        for name in names:
            for kind in ("dataset", "model"):
                path = f"{kind}s/{name}/{kind}.yaml"
                registry.edit(path, version=f"1.{at}.0")
                found.append(_release(registry, f"{kind}s/{name}@v1.{at}.0", name, at, is_last=at == releases - 1))
    registry.edit("datasets/pets/dataset.yaml", description=HOSTILE)
    memory_registries.put_dataset(registry, "unreleased")
    return Catalog(
        "acme-data", overview.find(DictTree(registry.files), found), REPOSITORY, "https://data.acme.example/"
    )


def rendered(catalog: Catalog) -> dict[str, bytes]:
    """The files of a site by path."""
    return {page.path: page.render() for page in site.build(catalog)}


def _release(registry: Registry, name: str, pets: str, at: int, *, is_last: bool) -> Release:
    tag = parse_tag(name)
    is_model = tag.artifact == parse_id(f"models/{pets}")
    version = notes.load(tag, registry.files.get)
    assert version is not None
    made_from = Lineage(parse_tag(f"datasets/{pets}@v1.{at}.0")) if is_model else Lineage()
    stages = ("prod", "dev") if is_model and at == 0 else ()
    why = HOSTILE if not is_model and at == 0 else ""
    fault = "" if at or is_model or is_last else "the manifest of its commit says 2.0.0"
    return Release(tag, "c0ffee" * 6 + "c0de", 1_790_000_000 + at * 86_400, version, made_from, stages, why, fault)
