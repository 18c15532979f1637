"""Recalling images: what the deny list and the datasets have to say, and which models have to be trained again."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.core import deny_list
from registry.core.escaping import markdown
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Tag
from registry.core.wording import abbreviate, plural
from registry.release.where import Found

BRANCH = "recall/{}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The recall of images for one reason.

    `files` are to be written, by path; `datasets` have the images in their selection, each with those that it does not
    exclude yet. `found` is where releases have them. `duplicates` are other items with the bytes of a recalled one.
    """

    uuids: tuple[str, ...]
    why: str
    files: Mapping[str, bytes]
    datasets: Mapping[ArtifactId, tuple[str, ...]]
    found: Found
    models: tuple[ArtifactId, ...]
    duplicates: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """One for each step, and one for each release that keeps what it has."""
        yield from (f"write {path}" for path in self.files)
        for dataset, uuids in self.datasets.items():
            yield f"{dataset}: exclude {abbreviate(uuids)}" if uuids else f"{dataset}: excluded already"
        if not self.datasets:
            yield "no dataset has selected them: the deny list keeps them out from now on"
        yield from (f"train again: {model}" for model in self.models)
        for tag in self._releases():
            yield f"{tag} keeps it: registry withdraw {tag.artifact} {tag.version} --why TEXT"
        if self.duplicates:
            yield f"the same bytes are other items, which are not recalled: {', '.join(self.duplicates)}"

    def _releases(self) -> Sequence[Tag]:
        return sorted({place.release.tag for place in self.found.places if not place.release.withdrawn})

    @property
    def branch(self) -> str:
        """The branch of its pull request."""
        return BRANCH.format(self.uuids[0][:8])

    @property
    def title(self) -> str:
        """The title of its commit and pull request."""
        return f"Recall {plural(len(self.uuids), 'image')}"

    def body(self, summary: Sequence[str]) -> str:
        """The body of its pull request."""
        steps = "".join(f"- {markdown(line)}\n" for line in self.lines())
        text = "\n".join(summary).replace("~~~~", "~ ~ ~ ~")
        return f"{markdown(self.why)}\n\n{steps}\n~~~~text\n{text}\n~~~~\n"


def plan(
    tree: Tree,
    uuids: Iterable[str],
    why: str,
    selected: Mapping[ArtifactId, Collection[str]],
    excluded: Mapping[ArtifactId, Collection[str]],
    found: Found,
    models: Iterable[ArtifactId],
    duplicates: Iterable[str] = (),
) -> Plan:
    """What has to be done. `selected` and `excluded` are UUIDs by dataset, `models` are those of the tree.

    An image that is denied already keeps its reason. Raises InvalidDocument for a reason that is not one line.
    """
    wanted = tuple(dict.fromkeys(uuids))
    paths = {deny_list.path_of(uuid): deny_list.write(why) for uuid in wanted}
    datasets = {
        dataset: tuple(uuid for uuid in wanted if uuid in has and uuid not in excluded[dataset])
        for dataset, has in sorted(selected.items())
        if any(uuid in has for uuid in wanted)
    }
    saw = {use.release.tag.artifact for use in found.uses}
    return Plan(
        wanted,
        why,
        {path: data for path, data in paths.items() if not tree.has(path)},
        datasets,
        found,
        tuple(sorted(saw & set(models))),
        tuple(sorted(set(duplicates) - set(wanted))),
    )
