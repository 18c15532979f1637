"""The registry's settings: `registry.yaml`, joined with the remotes of DVC's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from posixpath import normpath

from registry.core import documents, schema
from registry.core.tree import Tree
from registry.errors import InvalidDocument

PATH = "registry.yaml"
DVC_CONFIG = ".dvc/config"
LOCAL_CONFIG = ".dvc/config.local"  # what `dvc remote modify --local` writes, such as a profile; never in Git
REMOTES = ("staging", "production")
LAKE = "lake"  # the remote that the lake has its options from, where it needs others than staging's
NEAR_DUPLICATES = 2000  # images, which are decoded in about two seconds


@dataclass(frozen=True, slots=True)
class Remote:
    """A place for objects. `url` has a scheme, or is a folder (absolute, or relative to the registry's root).

    `options` are DVC's own for that remote (`endpointurl`, `region`, `profile` …), as they are written. `name` is the
    remote's in DVC's configuration; empty for a place that has none there. `is_lake`: its URL is in `registry.yaml`.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    name: str = field(default="", compare=False)
    is_lake: bool = field(default=False, compare=False)


UNNAMED = Remote("")  # in messages about places that no remote is known of


@dataclass(frozen=True, slots=True)
class Template:
    """What a copy was made of: the URL of the template's repository, and its version and commit there.

    `wheel` is the URL of a wheel of the tooling with its SHA-256, which is installed instead of the commit.
    """

    source: str
    version: str
    commit: str
    wheel: str = ""


class CatalogImages(StrEnum):
    """Which images of the data the catalog shows, each with its UUID, split, class and columns."""

    NONE = "none"
    SAMPLE = "sample"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """What `registry.yaml` says: the registry's name and owners, where the lake is, what reports and the catalog show.

    `pictures`: whether reports may show images of the data. `near_duplicates`: how many images a version may have for
    reports to search it for near-duplicates. `try_it`: whether the catalog has model files, to be run on their pages.
    `catalog_url`: where the catalog is, with a slash at its end; empty where that is not told.
    `template`: what a copy was made of; None in the template itself. `scheduler`: the default of `--scheduler`, or "".
    """

    name: str
    owners: tuple[str, ...]
    lake: str
    pictures: bool = True
    near_duplicates: int = NEAR_DUPLICATES
    template: Template | None = None
    catalog_images: CatalogImages = CatalogImages.NONE
    try_it: bool = False
    scheduler: str = ""
    catalog_url: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """A registry's file and its storage; `public` is read-only access to production over HTTP."""

    file: RegistryFile
    lake: Remote
    staging: Remote
    production: Remote
    public: Remote | None = None


def read(tree: Tree) -> RegistryFile:
    """The `registry.yaml` of a tree. Raises NotFound, InvalidDocument."""
    document = documents.read_yaml(tree.read(PATH), PATH)
    schema.require(document, "registry")
    data = document.data
    report, catalog = data.get("report", {}), data.get("catalog", {})
    return RegistryFile(
        name=data["name"],
        owners=tuple(data["owners"]),
        lake=data["lake"],
        pictures=report.get("images") != "none",
        near_duplicates=report.get("near_duplicates", NEAR_DUPLICATES),
        template=Template(**data["template"]) if "template" in data else None,
        catalog_images=CatalogImages(catalog.get("images", CatalogImages.NONE)),
        try_it=catalog.get("try_it", False),
        scheduler=data.get("scheduler", ""),
        catalog_url=address(catalog.get("url", "")),
    )


def address(url: str) -> str:
    """The address of a site, which paths are appended to; empty for none."""
    return f"{url.rstrip('/')}/" if url else ""


def join(file: RegistryFile, remotes: Mapping[str, Remote]) -> Settings:
    """The settings that `registry.yaml` and the remotes of DVC's configuration make. Raises InvalidDocument."""
    require_remotes(remotes)
    return Settings(
        file=file,
        lake=_lake(file.lake, remotes),
        staging=remotes["staging"],
        production=remotes["production"],
        public=remotes.get("public"),
    )


def require_remotes(remotes: Mapping[str, Remote]) -> None:
    """Raises InvalidDocument where a remote is missing that every registry has."""
    for name in REMOTES:
        if name not in remotes:
            raise InvalidDocument(DVC_CONFIG, f"no remote {name}", fix=f"dvc remote add {name} URL")


def public_address(remotes: Mapping[str, Remote]) -> str:
    """Where objects can be read over HTTP without a login (the remote `public`), without a slash; empty for none."""
    url = remotes["public"].url if "public" in remotes else ""
    return url.rstrip("/") if url.startswith(("https://", "http://")) else ""


def _lake(url: str, remotes: Mapping[str, Remote]) -> Remote:
    """The lake has the options of a remote named `lake`; else those of staging, if both URLs have one scheme."""
    if lake := remotes.get(LAKE):
        return Remote(url, lake.options, LAKE, is_lake=True)
    staging = remotes["staging"]
    is_alike = "://" in url and url.partition("://")[0] == staging.url.partition("://")[0]
    return Remote(url, staging.options, "staging", is_lake=True) if is_alike else Remote(url, is_lake=True)


def from_root(url: str) -> str:
    """A remote's URL in `.dvc/config`, where a relative folder is relative to `.dvc/`, relative to the root."""
    return url if "://" in url or url.startswith("/") else normpath(f".dvc/{url}")
