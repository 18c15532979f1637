"""Which extra of the package brings a library that is not installed, and how to install it.

The base installation is what a consumer needs to fetch a release; everything else is in extras (pyproject.toml).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from registry.errors import NotFound

DISTRIBUTION = "registry-as-code"  # the name of the package for pip; PyPI's `registry` is another one
REGISTRY = "registry"  # the extra with what the owners of a registry need
# The extra that a consumer installs for one library; any other library comes with REGISTRY.
CONSUMER = {"polars": "table", "PIL": "images", "onnxruntime": "onnx", "datasets": "hf", "google": "google"}
# What training installs, and tests.
OTHERS = {
    "torch": "train", "dvclive": "train", "safetensors": "train", "seaweedfs": "s3", "google": "google",
    "dask": "cluster", "distributed": "cluster",
}  # fmt: skip


def explain(error: ModuleNotFoundError, extras: dict[str, str] = OTHERS) -> NotFound | None:
    """What to install for a library that is missing; None where a module of this package is."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "registry"):
        return None
    extra = extras.get(name, REGISTRY)
    return NotFound(
        f"this needs {name}, which is not installed: it comes with the extra `{extra}`",
        fix=f"pip install '{requirement(extra)}'",
    )


@contextmanager
def consumers() -> Iterator[None]:
    """Turn the import of a library that is missing into NotFound with the smallest extra that has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if found := explain(error, CONSUMER):
            raise found from error
        raise


def requirement(extra: str) -> str:
    """What pip is told to install this package from where it came from (PEP 610), with an extra."""
    from importlib.metadata import Distribution, PackageNotFoundError  # only here: it takes 0.03 s of each start

    named = f"{DISTRIBUTION}[{extra}]"
    with suppress(PackageNotFoundError, KeyError, ValueError):
        told = json.loads(Distribution.from_name(DISTRIBUTION).read_text("direct_url.json") or "{}")
        if vcs := told.get("vcs_info"):
            return f"{named} @ {vcs['vcs']}+{told['url']}@{vcs['commit_id']}"
        if "archive_info" in told:
            return f"{named} @ {told['url']}"
    return named
