"""Tags that look like those of releases or stages, and are none: made by hand, past `publish` and `gto assign`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.core import names, tag_messages
from registry.core.names import find_tags
from registry.core.values import ArtifactId
from registry.integrations import git, git_history
from registry.integrations.git import TagRef

_OURS = re.compile(r"(?:datasets|models)/[^@#]+[@#]")
UNMERGED = "its commit is not on the default branch, so no publish made it"
FIX = "git push origin :refs/tags/TAG deletes such a tag; `registry publish` makes releases, `gto assign` stages"


@dataclass(frozen=True, slots=True)
class Stray:
    """A tag that is no release and gives no stage, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def find(refs: Mapping[str, TagRef]) -> tuple[Stray, ...]:
    """Those among all tags of a repository, sorted."""
    releases = find_tags([name for name, ref in refs.items() if ref.annotated])
    released = {(tag.artifact, refs[str(tag)].commit) for tag in releases}
    found = ((name, _explain(name, refs[name], released)) for name in sorted(refs) if _OURS.match(name))
    return tuple(Stray(name, why) for name, why in found if why)


def _explain(name: str, ref: TagRef, released: set[tuple[ArtifactId, str]]) -> str:
    stage, is_release = names.find_stage(name), bool(find_tags([name]))
    if not (stage or is_release or names.find_cancelled(name)):
        return "is named neither as a release (ID@vMAJOR.MINOR.PATCH) nor as a stage (ID#STAGE#NUMBER)"
    if not ref.annotated:
        return "is a lightweight tag, which DVC, GTO and the registry ignore"
    if stage and not stage.is_end and (stage.artifact, ref.commit) not in released:
        return f"gives a stage to {ref.commit[:10]}, where no release of {stage.artifact} is"
    return ""


def find_unmerged(root: Path) -> frozenset[str]:
    """Tags whose commits are not on the default branch, as this clone knows it, and that no publish made.

    What `publish` made was on it; the branch may have been rewritten since. A shallow clone knows of none.
    """
    branches = git.known_default_branches(root)
    if not branches or git.is_shallow(root):
        return frozenset()
    messages = git.tag_messages(root)
    unmerged = git_history.unmerged_tags(root, branches)
    return frozenset(name for name in unmerged if not tag_messages.find_manifest(messages.get(name, "")))
