"""Puts the skeleton of a copy into a wheel of the tooling, and where the tooling is from: a build hook of Hatch.

The table is scripts/registry/scaffold/skeleton.toml. In an editable installation both are read in the checkout.
"""

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TABLE = "scripts/registry/scaffold/skeleton.toml"
TEMPLATES = "scripts/registry/scaffold/templates/copy"  # in the package anyway


class Skeleton(BuildHookInterface[BuilderConfig]):
    """Adds the files of the table that lie outside the package, and `origin.json`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See Hatch."""
        if version == "editable":
            return
        root = Path(self.root)
        table = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
        named = [*table["owned"], *table["once"]]
        files = {path: f"registry/skeleton/{path}" for path in named if not (root / TEMPLATES / path).is_file()}
        origin = Path(self.directory, "origin.json")
        origin.parent.mkdir(parents=True, exist_ok=True)
        origin.write_text(json.dumps({"commit": _git(root, "rev-parse", "HEAD"), "source": _source(root)}))
        build_data["force_include"] |= {**files, str(origin): "registry/origin.json"}


def _source(root: Path) -> str:
    """The URL of the repository's origin; that of its folder where it has none."""
    return _git(root, "remote", "get-url", "origin") or root.resolve().as_uri()


def _git(root: Path, *args: str) -> str:
    """A line that Git says; empty where this is no clone."""
    done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False)
    return done.stdout.strip()
