"""Other Git repositories, by URL: their tags, and commits of them without their history."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import NotFound, ToolFailed
from registry.integrations.git import TagRef, output, tag_refs


def fetch_shallow(folder: Path, url: str, *refspecs: str) -> None:
    """Fetch refs of another repository, without their history, into the bare repository `folder`. Raises NotFound."""
    output(folder, "init", "--quiet", "--bare")
    with _as_not_found(url):
        output(folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--", url, *refspecs)


def tags_of(root: Path, url: str) -> dict[str, TagRef]:
    """Every tag of another repository, by name. Raises NotFound."""
    with _as_not_found(url):
        return tag_refs(root, url)


@contextmanager
def _as_not_found(url: str) -> Iterator[None]:
    try:
        yield
    except ToolFailed as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[0]
        raise NotFound(f"{url}: {reason}", fix="check the address, the tag, and that you may read it") from error
