"""The registry's own settings: `registry.yaml`, and the remotes that `.dvc/config` names."""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from posixpath import normpath

from registry.core import documents, schema
from registry.core.tree import Tree
from registry.errors import InvalidDocument

PATH = "registry.yaml"
DVC_CONFIG = ".dvc/config"
LOCAL_CONFIG = ".dvc/config.local"  # what `dvc remote modify --local` writes, such as a profile; never in Git
REMOTES = ("staging", "production")
NEAR_DUPLICATES = 2000  # images: decoded in about two seconds


@dataclass(frozen=True, slots=True)
class Remote:
    """A place for objects. `url` has a scheme, or is a folder (absolute, or relative to the registry's root).

    `options` are DVC's own for that remote (`endpointurl`, `region`, `profile` …).
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """Who answers for the registry, and where its bytes are; `public` is the read-only face of production.

    `pictures` says whether reports may show images of the data, `near_duplicates` up to how many images of a version
    they look for some that look the same.
    """

    name: str
    owners: tuple[str, ...]
    lake: Remote
    staging: Remote
    production: Remote
    public: Remote | None = None
    pictures: bool = True
    near_duplicates: int = NEAR_DUPLICATES


def load(tree: Tree, local: bytes = b"") -> Settings:
    """The settings of a tree; `local` (a `.dvc/config.local`) goes before. Raises NotFound and InvalidDocument."""
    document = documents.read_yaml(tree.read(PATH), PATH)
    schema.require(document, "registry")
    remotes = read_remotes(tree.read(DVC_CONFIG))
    for name, own in read_remotes(local, LOCAL_CONFIG).items():
        old = remotes.get(name, own)
        remotes[name] = Remote(own.url or old.url, {**old.options, **own.options})
    for name in REMOTES:
        if name not in remotes:
            raise InvalidDocument(DVC_CONFIG, f"there is no remote {name}", fix=f"dvc remote add {name} URL")
    data = document.data
    places = (remotes[name] for name in REMOTES)
    report = data.get("report", {})
    lake = Remote(data["lake"], _lake_options(data["lake"], remotes))
    told = report.get("images") != "none", report.get("near_duplicates", NEAR_DUPLICATES)
    return Settings(data["name"], tuple(data["owners"]), lake, *places, remotes.get("public"), *told)


def _lake_options(url: str, remotes: Mapping[str, Remote]) -> Mapping[str, str]:
    """How to log in to the lake: as a remote named `lake` says; else as staging does, if both are of one kind."""
    if lake := remotes.get("lake"):
        return lake.options
    staging = remotes["staging"]
    return staging.options if "://" in url and url.partition("://")[0] == staging.url.partition("://")[0] else {}


def read_remotes(config: bytes, path: str = DVC_CONFIG) -> dict[str, Remote]:
    """The remotes of a `.dvc/config` by name; a folder there is relative to `.dvc/`, here to the root."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(config.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        errors = getattr(error, "errors", None)
        line = errors[0][0] if errors else getattr(error, "lineno", None)
        raise InvalidDocument(path, "not a DVC config", line=line, fix="dvc config --list") from error
    remotes = {}
    for section in parser.sections():
        if section.startswith("'remote \"") and section.endswith("\"'"):
            options = dict(parser[section])
            remotes[section[9:-2]] = Remote(_from_root(url) if (url := options.pop("url", "")) else "", options)
    return remotes


def _from_root(url: str) -> str:
    return url if "://" in url or url.startswith("/") else normpath(f".dvc/{url}")


def write_remotes(config: bytes, urls: Mapping[str, str]) -> bytes:
    """A `.dvc/config` with the remotes' URLs set, all else as it was (written as DVC itself does, with configobj).

    What comes over HTTP is to be verified: without `verify`, `dvc pull` (3.67) takes other bytes than a name says.
    """
    from configobj import ConfigObj

    parsed = ConfigObj(config.decode().splitlines(), interpolation=False)
    for name, url in urls.items():
        remote = parsed.setdefault(f'remote "{name}"', {})
        remote["url"] = url if "://" in url or url.startswith("/") else f"../{url}"
        if url.startswith(("http://", "https://")):
            remote["verify"] = "true"
    return ("\n".join(parsed.write()) + "\n").encode()
