"""Which tooling is running: its version, the repository and the commit that it was made of, and its checkout."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path

from registry.core.extras import DISTRIBUTION, REGISTRY
from registry.core.settings import Template
from registry.errors import Refused, ToolFailed
from registry.integrations import git

ORIGIN = "origin.json"  # in the package of a wheel, by scripts/build_hook.py
_PACKAGE = Path(__file__).parents[1]
_SCP = re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[\w.-]+):(?P<path>[^/].*)")  # git@github.com:acme/template.git


@dataclass(frozen=True, slots=True)
class Tooling:
    """The version of the tooling; the commit and the URL of its repository, each empty where it is not known."""

    version: str
    commit: str
    source: str

    def __str__(self) -> str:
        return f"{self.version} ({self.commit[:12]})" if self.commit else self.version


def checkout() -> Path | None:
    """The root of the repository that the tooling runs in (an editable installation); None for a wheel."""
    root = _PACKAGE.parents[1]
    return root if (root / "scripts/registry").resolve() == _PACKAGE and (root / "pyproject.toml").is_file() else None


def read() -> Tooling:
    """What is known of the running tooling."""
    try:
        number = version(DISTRIBUTION)
    except PackageNotFoundError:  # the copy that the Git hooks run
        number = "unknown"
    if root := checkout():
        return Tooling(number, git.find_id(root, "HEAD"), _source_of(root))
    recorded = _PACKAGE / ORIGIN
    origin = json.loads(recorded.read_bytes()) if recorded.is_file() else {}
    return Tooling(number, origin.get("commit", ""), _installed_from() or normalize(origin.get("source", "")))


def _source_of(root: Path) -> str:
    """The URL of a checkout's origin; that of its folder where it has none."""
    with suppress(ToolFailed):
        return normalize(git.remote_url(root))
    return root.as_uri()


def _installed_from() -> str:
    """The repository that pip or uv was told to install from (PEP 610); empty for a wheel from elsewhere."""
    with suppress(PackageNotFoundError):
        text = Distribution.from_name(DISTRIBUTION).read_text("direct_url.json")
        told = json.loads(text) if text else {}
        return normalize(told["url"]) if "vcs_info" in told else ""
    return ""


def normalize(url: str) -> str:
    """A repository's address as pip takes it: a URL, without a password."""
    if "://" in url:
        return re.sub(r"^(https?://)[^/@]*@", r"\1", url)
    if url.startswith("/"):
        return Path(url).as_uri()
    if found := _SCP.fullmatch(url):
        return f"ssh://{found['user'] or 'git'}@{found['host']}/{found['path']}"
    return url


def pin(source: str = "") -> Template:
    """The running tooling as `registry.yaml` records it; `source` is the URL of its repository if it is known better.

    Raises Refused where the commit or the repository is not known.
    """
    now = read()
    if not now.commit:
        asked = f"{DISTRIBUTION}[{REGISTRY}] @ git+URL"
        fix = f"install it from its repository (pip install '{asked}'), or from the wheel of a release"
        raise Refused("the commit of this tooling is not known, so a copy cannot name it", fix=fix)
    if not (source or now.source):
        fix = "name the repository of the template with --source https://…"
        raise Refused("the repository of this tooling is not known, so a copy cannot install it from there", fix=fix)
    return Template(normalize(source) or now.source, now.version, now.commit)
