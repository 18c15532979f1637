"""Withdrawing a published version: the reason goes into the current manifest, and what is published stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.core import documents, layout, manifests, schema
from registry.core.atomic_write import write_atomically
from registry.core.tree import Tree
from registry.core.values import Tag
from registry.errors import Refused


@dataclass(frozen=True, slots=True)
class Plan:
    """The manifest as it will be; the same bytes as before where that reason stands there already."""

    tag: Tag
    path: str
    before: bytes
    after: bytes

    @property
    def is_empty(self) -> bool:
        """Whether the manifest says so already."""
        return self.before == self.after

    def __str__(self) -> str:
        return f"{self.path} withdraws {self.tag.version} already" if self.is_empty else f"write {self.path}"


def plan(tree: Tree, tag: Tag, why: str, published: Sequence[Tag]) -> Plan:
    """What to write, comments and order kept. Raises NotFound, InvalidDocument, and Refused where nothing is released.

    A version that is withdrawn already gets the new reason.
    """
    known = [str(one.version) for one in published if one.artifact == tag.artifact]
    if str(tag.version) not in known:
        listed = f"; these were: {', '.join(known)}" if known else ""
        raise Refused(
            f"{tag.artifact} {tag.version} was never released, so there is nothing to withdraw{listed}",
            fix="git fetch --tags origin, if it was released elsewhere",
        )
    if not why.strip():
        raise Refused("a version is withdrawn for a reason that people can read", fix='--why "labels were swapped"')
    path = layout.manifest_path(tag.artifact)
    document = manifests.read_document(tree, tag.artifact)
    before = tree.read(path)
    if document.data.get("withdrawn", {}).get(str(tag.version)) == why.strip():
        return Plan(tag, path, before, before)
    after = documents.edit_yaml(before, {("withdrawn", str(tag.version)): why.strip()})
    schema.require(documents.read_yaml(after, path), tag.artifact.kind.value)
    return Plan(tag, path, before, after)


def apply(plan: Plan, root: Path) -> None:
    """Write the manifest."""
    write_atomically(root / plan.path, plan.after)
