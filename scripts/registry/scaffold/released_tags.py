"""The releases of a repository by their tags, for the rows of earlier versions in cards."""

from collections.abc import Sequence
from functools import cached_property, partial

from registry.core import artifact_files, names
from registry.core.artifact_files import ArtifactFiles
from registry.core.values import Tag
from registry.integrations.git_trees import History


class ReleasedTags:
    """`card_facts.Released` of a repository with all its tags; each release is read once, when it is asked for."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._read: dict[Tag, ArtifactFiles | None] = {}

    @cached_property
    def tags(self) -> Sequence[Tag]:
        """The tags of all releases, sorted."""
        return names.find_tags(self._history.tags)

    def read(self, tag: Tag) -> ArtifactFiles | None:
        """The files of a release; None where its commit has no such artifact, or another version of it."""
        if tag not in self._read:
            found = artifact_files.read_release(tag.artifact, partial(self._history.read, f"refs/tags/{tag}"))
            manifest = found.manifest.value if found else None
            self._read[tag] = found if manifest and manifest.version == tag.version else None
        return self._read[tag]
