"""A registry with one dataset that is selected from the Looker of a test, by the command and with a user's API key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from registry.cli import main
from registry.core.values import Selection
from registry.dataset import provenance
from support import repositories, selections
from support.selections import Row
from support.servers.looker import LookerServer
from support.servers.looker_explores import Explore, Field, User, View

DATASET = "datasets/photos"
COLUMNS = {"uuid": {"from": "images.uuid", "type": "uuid"}, "label": {"from": "images.label", "type": "string"}}


def of(**changes: object) -> dict[str, object]:
    """The source of all images, with these keys of a query."""
    return {"looker": {"model": "photos", "view": "images", **changes}}


def served(rows: Sequence[Row], *fields: Field, **explore: Any) -> LookerServer:
    """A Looker with one explore over these rows, which have further fields."""
    explores = [Explore("photos", "images", View("images", rows, fields), **explore)]
    return LookerServer(explores=explores, commits={"acme_lookml": "5f1d" * 10})


@dataclass(frozen=True)
class Select:
    """Runs `registry select` in the registry at `root`."""

    root: Path
    monkeypatch: pytest.MonkeyPatch

    def __call__(
        self,
        server: LookerServer,
        source: Mapping[str, object] | None = None,
        columns: Mapping[str, object] = COLUMNS,
        user: User | None = None,
        **manifest: object,
    ) -> int:
        """The exit code, after the manifest has this source, these columns and keys."""
        text = yaml.safe_load(selections.text(source or of(), columns)) | manifest
        folder = self.root / DATASET
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dataset.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
        for name, value in server.env(user).items():
            self.monkeypatch.setenv(name, value)
        return self.again()

    def again(self, *args: str) -> int:
        """The same once more, with these arguments."""
        repositories.git_in(self.root, "add", "--all")
        return main.run(["select", DATASET, *args])

    def rows(self) -> pl.DataFrame:
        """The selected rows."""
        return pl.read_parquet(self.root / DATASET / "raw/selection.parquet")

    def origin(self) -> Selection:
        """Their origin."""
        return provenance.read((self.root / DATASET / "raw.dvc").read_bytes(), "raw.dvc")
