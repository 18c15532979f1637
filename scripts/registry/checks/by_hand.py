"""Pointers that `dvc add` wrote by hand, and the command that makes a dataset of what they point to."""

import re
import shlex
from collections.abc import Collection

from registry.core import names
from registry.core.layout import owner_of
from registry.core.values import ArtifactId, Kind


def adopt_command(path: str, artifacts: Collection[ArtifactId]) -> str:
    """The command for a `.dvc` file of a folder (`dvc add` keeps a file's extension in the name); empty for any other.

    The dataset is that of the folder which the pointer lies in, unless it exists; then one of the pointer's own name.
    """
    stem = path.rpartition("/")[2].removesuffix(".dvc")
    owner = owner_of(path)
    if not path.endswith(".dvc") or not stem or "." in stem or (owner and owner.kind is not Kind.DATASET):
        return ""
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    named = [owner] if owner else []
    if re.fullmatch(names.NAME, name) and len(name) <= names.MAX_NAME:
        named.append(ArtifactId(Kind.DATASET, name))
    free = next((str(one) for one in named if one not in artifacts), "datasets/NAME")
    return f"registry adopt {free} --from {shlex.quote(path)}"
