"""The scene of the demo: its folders, and commands that are printed as they are run."""

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import click

from registry.core import documents
from registry.core.atomic_write import write_atomically
from registry.core.layout import card_path
from registry.core.values import ArtifactId, Kind
from registry.demo.backbone import Backbone
from registry.demo.pictures import Album
from registry.errors import ToolFailed
from registry.integrations.process import tool_path

LIMITS = b"<!-- what it must not be used for, and why -->"  # in the card of a new artifact


@dataclass
class Scene:
    """The folders of a demo, and what the first release had: file hashes and metrics, to compare with later.

    `backbone` is what the third release builds on; None: the network of the second one. `seconds` has how long each
    version's stages took, by its tag.
    """

    top: Path
    album: Album
    bucket: str  # URL or folder of staging/ and production/
    lake: str
    backbone: Backbone | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, object] = field(default_factory=dict)

    @property
    def clone(self) -> Path:
        """The contributor's clone."""
        return self.top / "registry"

    @property
    def origin(self) -> Path:
        """The bare repository in place of GitHub."""
        return self.top / "origin.git"

    @property
    def report(self) -> Path:
        """The report of the second release."""
        return self.top / "report-2"

    @property
    def last_report(self) -> Path:
        """The report of the third release."""
        return self.top / "report-3"

    @property
    def dataset(self) -> ArtifactId:
        """The demo's dataset."""
        return ArtifactId(Kind.DATASET, self.album.name)

    @property
    def model(self) -> ArtifactId:
        """The model of the story."""
        return ArtifactId(Kind.MODEL, self.album.name)

    def run(self, command: str, *, cwd: Path | None = None, fails: bool = False) -> None:
        """Print and run a command. Raises ToolFailed if it fails; with `fails`, if it does not."""
        say(click.style(f"\n$ {command}", bold=True))
        env = {**os.environ, "PATH": tool_path(), "DVC_NO_ANALYTICS": "1"}
        code = subprocess.run(
            shlex.split(command), cwd=cwd or self.clone, env=env, stdin=subprocess.DEVNULL, check=False
        ).returncode
        if (code != 0) is not fails:
            raise ToolFailed(shlex.split(command), code, "", fix=f"see the files in {self.top}; no others were changed")

    def train(self, version: str) -> None:
        """Run the model's stages, and note how long they took."""
        start = time.monotonic()
        self.run(f"dvc repro {self.model}/dvc.yaml")
        self.seconds[version] = time.monotonic() - start

    def commit(self, message: str) -> None:
        """Commit everything; the hooks run."""
        self.run("git add --all")
        self.run(f"git commit --quiet --message {shlex.quote(message)}")

    def edit(self, path: str, changes: dict[documents.Location, object]) -> None:
        """Set values in a YAML file, and print them."""
        file = self.clone / path
        write_atomically(file, documents.edit_yaml(file.read_bytes(), changes))
        for location, value in changes.items():
            say(f"  {path}: {'.'.join(map(str, location))} = {json.dumps(value, ensure_ascii=False)}")

    def limit_use(self, artifact: ArtifactId) -> None:
        """Write into a card what the artifact must not be used for, and print it."""
        file, words = (
            self.clone / card_path(artifact),
            "Not for decisions of any kind: it was made for a demonstration.",
        )
        write_atomically(file, file.read_bytes().replace(LIMITS, words.encode()))
        say(f"  {card_path(artifact)}: {words}")

    def push(self, branch: str) -> None:
        """Push a branch, as for a pull request; the hook runs."""
        self.run(f"git push --quiet --set-upstream origin {branch}")

    def merge(self, branch: str) -> None:
        """Merge a branch and push main, as GitHub would."""
        self.run("git switch --quiet main")
        self.run(f"git merge --quiet --no-ff --message 'Merge {branch}' {branch}")
        self.run("git push --quiet origin main")


def say(text: str) -> None:
    """Print a line."""
    click.echo(text)


def chapter(number: int, title: str) -> None:
    """Print a heading."""
    say(click.style(f"\n━━ {number}. {title} {'━' * max(0, 90 - len(title))}", fg="cyan", bold=True))
