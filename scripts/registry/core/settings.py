"""The registry's settings: `registry.yaml`, and the remotes of `.dvc/config`."""

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
NEAR_DUPLICATES = 2000  # images, which are decoded in about two seconds


@dataclass(frozen=True, slots=True)
class Remote:
    """A place for objects. `url` has a scheme, or is a folder (absolute, or relative to the registry's root).

    `options` are DVC's own for that remote (`endpointurl`, `region`, `profile` …), as they are written. `name` is the
    remote's in DVC's configuration; empty for a place that has none there.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The registry's name and owners, and its storage; `public` is read-only access to production over HTTP.

    `pictures`: whether reports may show images of the data. `near_duplicates`: how many images a version may have for
    reports to search it for near-duplicates.
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
    """The settings of a tree; `local`, a `.dvc/config.local`, overrides. Raises NotFound, InvalidDocument."""
    document = documents.read_yaml(tree.read(PATH), PATH)
    schema.require(document, "registry")
    remotes = read_remotes(tree.read(DVC_CONFIG))
    for name, own in read_remotes(local, LOCAL_CONFIG).items():
        old = remotes.get(name, own)
        remotes[name] = Remote(own.url or old.url, {**old.options, **own.options}, name)
    for name in REMOTES:
        if name not in remotes:
            raise InvalidDocument(DVC_CONFIG, f"no remote {name}", fix=f"dvc remote add {name} URL")
    data = document.data
    report = data.get("report", {})
    return Settings(
        name=data["name"],
        owners=tuple(data["owners"]),
        lake=Remote(data["lake"], _lake_options(data["lake"], remotes), "lake" if "lake" in remotes else "staging"),
        staging=remotes["staging"],
        production=remotes["production"],
        public=remotes.get("public"),
        pictures=report.get("images") != "none",
        near_duplicates=report.get("near_duplicates", NEAR_DUPLICATES),
    )


def _lake_options(url: str, remotes: Mapping[str, Remote]) -> Mapping[str, str]:
    """The lake's options: those of a remote named `lake`; else those of staging, if both URLs have one scheme."""
    if lake := remotes.get("lake"):
        return lake.options
    staging = remotes["staging"]
    return staging.options if "://" in url and url.partition("://")[0] == staging.url.partition("://")[0] else {}


def read_remotes(config: bytes, path: str = DVC_CONFIG) -> dict[str, Remote]:
    """The remotes of a `.dvc/config` by name. A relative folder is relative to `.dvc/` there, to the root here."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(config.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        errors = getattr(error, "errors", None)
        line = errors[0][0] if errors else getattr(error, "lineno", None)
        raise InvalidDocument(path, "not a DVC configuration file", line=line, fix="dvc config --list") from error
    remotes = {}
    for section in parser.sections():
        if section.startswith("'remote \"") and section.endswith("\"'"):
            options = dict(parser[section])
            name, url = section[9:-2], options.pop("url", "")
            remotes[name] = Remote(_from_root(url) if url else "", options, name)
    return remotes


def _from_root(url: str) -> str:
    return url if "://" in url or url.startswith("/") else normpath(f".dvc/{url}")


def write_remotes(config: bytes, urls: Mapping[str, str]) -> bytes:
    """A `.dvc/config` with the remotes' URLs set, and all else as it was: written with configobj, as by DVC itself.

    Remotes over HTTP get `verify`: without it, `dvc pull` (3.67) accepts content that does not match its MD5.
    """
    from configobj import ConfigObj  # only here: one command writes this file

    parsed = ConfigObj(config.decode().splitlines(), interpolation=False)
    for name, url in urls.items():
        remote = parsed.setdefault(f'remote "{name}"', {})
        remote["url"] = url if "://" in url or url.startswith("/") else f"../{url}"
        if url.startswith(("http://", "https://")):
            remote["verify"] = "true"
    return ("\n".join(parsed.write()) + "\n").encode()
