"""The product of a release as a consumer gets it, and how a reference chooses a release."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from registry.core.erasures import Erased
from registry.core.references import Reference
from registry.core.values import ArtifactId, Output, Tag
from registry.errors import NotFound
from registry.storage.base import Store

SHOWN = 10  # versions that a message lists


@dataclass(frozen=True, slots=True)
class Product:
    """What a release gives: its outputs by name, and the stores that have their objects, the first one first.

    `outputs` are a dataset's `prepared` or its parts, or a model's file and its sidecar, with paths from the root of
    the registry. `withdrawn` is the reason why the version must not be used any more; empty where there is none.
    `erased` is what each case erased in the registry, by its name; `good` the highest version that is not withdrawn.
    """

    tag: Tag
    outputs: tuple[Output, ...]
    stores: tuple[Store, ...]
    withdrawn: str = ""
    erased: Mapping[str, Erased] = field(default_factory=dict)
    good: Tag | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The releases of an artifact that a source knows: those withdrawn with their reasons, and the stages."""

    place: str
    tags: Sequence[Tag]
    withdrawn: Mapping[Tag, str]
    stages: Mapping[str, Tag]

    @property
    def good(self) -> Tag | None:
        """The highest release that is not withdrawn."""
        return max((tag for tag in self.tags if tag not in self.withdrawn), default=None)

    def choose(self, wanted: Reference) -> Tag:
        """The release that a reference names; the latest one is the highest that is not withdrawn, if there is one.

        Raises NotFound, which lists what there is.
        """
        if not self.tags:
            raise NotFound(f"{self.place} has no release of {wanted.artifact}", fix="check the id and the address")
        if wanted.stage:
            if found := self.stages.get(wanted.stage):
                return found
            raise self._unknown(f"{wanted} is no stage", wanted.artifact)
        if wanted.version is None:
            return self.good or max(self.tags)
        exact = Tag(wanted.artifact, wanted.version)
        if exact in self.tags:
            return exact
        raise self._unknown(f"{exact} is no release", wanted.artifact)

    def _unknown(self, fault: str, artifact: ArtifactId) -> NotFound:
        lines = [self._describe(tag) for tag in sorted(self.tags, reverse=True)]
        more = [f"… and {len(lines) - SHOWN:,} older ones"] if len(lines) > SHOWN else []
        stages = [f"#{stage} is {tag}" for stage, tag in sorted(self.stages.items())]
        fix = f"name one of these, or {Reference(artifact)}"
        return NotFound(f"{fault} of {self.place}", lines=[*lines[:SHOWN], *more, *stages], fix=fix)

    def _describe(self, tag: Tag) -> str:
        return f"{tag}" + (f" (withdrawn: {self.withdrawn[tag]})" if tag in self.withdrawn else "")


def of(artifact: ArtifactId, tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """The tags of an artifact."""
    return tuple(tag for tag in tags if tag.artifact == artifact)
