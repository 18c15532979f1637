"""Withdraws a published version and finds withdrawals: the current manifest has the reason; tag and objects stay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from registry.core import artifact_files, documents, layout, manifests, names, schema, withdrawals
from registry.core.atomic_write import write_atomically
from registry.core.tree import Tree
from registry.core.values import Tag, Version
from registry.core.withdrawals import Withdrawal
from registry.errors import Refused
from registry.integrations import git, git_trees
from registry.release.history import PRESENT


@dataclass(frozen=True, slots=True)
class Plan:
    """The manifest before and after; the same bytes if it has that reason already."""

    tag: Tag
    path: str
    before: bytes
    after: bytes

    @property
    def is_empty(self) -> bool:
        """Whether the manifest has that reason already."""
        return self.before == self.after

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.tag.version} is already withdrawn for that reason"
            if self.is_empty
            else f"write {self.path}"
        )


def plan(tree: Tree, tag: Tag, why: str, published: Sequence[Tag]) -> Plan:
    """The manifest to write, with comments and order kept; a new reason replaces an earlier one.

    Raises NotFound, InvalidDocument, and Refused for a version that was never published.
    """
    known = [str(one.version) for one in published if one.artifact == tag.artifact]
    if str(tag.version) not in known:
        expected = f"expected one of {', '.join(known)}" if known else "no version is published"
        raise Refused(f"{tag.artifact} {tag.version} is not published: {expected}", fix="git fetch --tags origin")
    if not why.strip():
        raise Refused("the reason is empty", fix='use --why "labels were swapped"')
    path = layout.manifest_path(tag.artifact)
    document = manifests.read_document(tree, tag.artifact)
    before = tree.read(path)
    if document.data.get("withdrawn", {}).get(str(tag.version)) == why.strip():
        return Plan(tag, path, before, before)
    after = documents.edit_yaml(before, {("withdrawn", str(tag.version)): why.strip()})
    schema.require(documents.read_yaml(after, path), tag.artifact.kind.value)
    return Plan(tag, path, before, after)


def find(
    root: Path, tag: Tag, refs: Sequence[str] = PRESENT, released: Iterable[Tag] | None = None
) -> Withdrawal | None:
    """The withdrawal of a version, None for one that is not withdrawn. Raises InvalidDocument.

    It is asked of the commits of the present, since the tree of a release knows nothing of its withdrawal; `released`
    are by default the tags of the repository. A commit that has no such artifact (any more) is passed over.
    """
    withdrawn: dict[Version, str] = {}
    with git_trees.History(root) as history:
        for ref in refs:
            files = artifact_files.read_release(tag.artifact, partial(history.read, ref))
            withdrawn = {**files.manifest.require().withdrawn, **withdrawn} if files else withdrawn
    if tag.version not in withdrawn:
        return None
    return withdrawals.find(tag, withdrawn, names.find_tags(git.tag_names(root)) if released is None else released)


def apply(plan: Plan, root: Path) -> None:
    """Write the manifest."""
    write_atomically(root / plan.path, plan.after)
