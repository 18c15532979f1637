"""Which tags of a DVC repository become versions of a dataset, in which order, and as which versions.

A tag that ends in a semantic version (`v1.0`, `cats-v1.0.0`) becomes that version, unless what changed requires a
higher one; any other tag becomes the lowest version that the change requires. Nothing is read of the images.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars import DataFrame, col

from registry.core.adoption import GIVEN_SPLIT, MD5, Adopted
from registry.core.layout import SPLITS
from registry.core.values import ArtifactId, Bump, DatasetManifest, Diff, RequiredBump, Version
from registry.core.versioning import item_bumps, largest_bump, total
from registry.core.wording import abbreviate, join, plural, size, table
from registry.dataset import items
from registry.dataset.items import Items
from registry.errors import NotFound, Refused
from registry.integrations import git, git_elsewhere
from registry.scaffold import adopt_layout, adopt_rows, adopt_sources
from registry.scaffold.adopt import Plan
from registry.scaffold.adopt_layout import LeftOut
from registry.scaffold.adopt_rows import Read, Rows

FIRST = Version(1, 0, 0)
_NUMBER = "(0|[1-9][0-9]{0,8})"
_VERSION = re.compile(rf"(?:^|[^0-9.]){_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?$|(?:^|[^a-z0-9])v{_NUMBER}$")
_PREFIX = "refs/tags/"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag of the source: its name, its commit, the time of that in seconds, and the version that its name says."""

    name: str
    commit: str
    time: int
    says: Version | None

    @property
    def ref(self) -> str:
        """Its full name, which no branch can have."""
        return f"{_PREFIX}{self.name}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A tag, and what adopting it would do."""

    tagged: Tagged
    plan: Plan


@dataclass(frozen=True, slots=True)
class Step:
    """A tag that becomes a version: which one is expected of the files' MD5s, and what changed since the one before."""

    tagged: Tagged
    plan: Plan
    version: Version
    change: str


@dataclass(frozen=True, slots=True)
class Series:
    """The versions to be made, oldest first; `left_out` are tags that become none, `done` is the one that is there."""

    artifact: ArtifactId
    steps: tuple[Step, ...]
    left_out: tuple[LeftOut, ...]
    done: str = ""

    def __str__(self) -> str:
        unused = [f"no version: {one.path}, {one.why}" for one in self.left_out]
        if not self.steps:
            return "\n".join(
                [f"{self.artifact}: {self.done} is adopted already, and no later tag has other images", *unused]
            )
        headers = ["tag", "commit", "version", "images", "to take", "what changed"]
        said = dict.fromkeys(line for step in self.steps for line in adopt_layout.describe(step.plan.left_out))
        return "\n".join(
            [
                f"{self.artifact}: {plural(len(self.steps), 'version')} to be made of tags",
                table(headers, list(self._rows())),
                *said,
                *([f"{self.done} is adopted already"] if self.done else []),
                *unused,
            ]
        )

    def _rows(self) -> Iterator[tuple[str, ...]]:
        taken = DataFrame(schema={"md5": pl.String})
        for step in self.steps:
            pending = step.plan.pending.join(taken, on="md5", how="anti")
            taken = pl.concat([taken, pending.select("md5")])
            shown = f"{len(pending):,} ({size(int(pending['size'].sum()))})" if len(pending) else "0"
            images = f"{len(step.plan.images):,}"
            yield step.tagged.name, step.tagged.commit[:12], str(step.version), images, shown, step.change


# --- which tags -------------------------------------------------------------------------------------------------------


def parse_version(name: str) -> Version | None:
    """The semantic version at the end of a tag's name: `v2` is 2.0.0, `1.4` is 1.4.0. None for any other name."""
    found = _VERSION.search(name)
    if not found:
        return None
    major, minor, patch, alone = found.groups()
    return Version(int(alone), 0, 0) if alone else Version(int(major), int(minor), int(patch or 0))


def find(root: Path, source: str, patterns: Sequence[str]) -> tuple[Tagged, ...]:
    """The tags of a repository (a folder or a URL) that match a pattern, in the order in which they become versions.

    That is the order of the versions in their names, where all of them have one, else that of their commits' times.
    Raises NotFound where none matches.
    """
    folder = Path(source).expanduser()
    url = str(_repository(folder.resolve())) if folder.exists() else source
    known = git_elsewhere.tags_of(root, url)
    names = sorted(name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns))
    if unknown := [one for one in patterns if not any(fnmatchcase(name, one) for name in known)]:
        fix = f"name some of {abbreviate(sorted(known), 10)}" if known else "leave --tags out: it has no tags"
        raise NotFound(f"{adopt_sources.without_login(source)} has no tag {join(unknown, 'or')}", fix=fix)
    times = _times(url, {name: known[name].commit for name in names})
    tags = [Tagged(name, known[name].commit, times[name], parse_version(name)) for name in names if name in times]
    by_version = all(tag.says for tag in tags)
    return tuple(sorted(tags, key=lambda tag: (*((tag.says or FIRST,) if by_version else ()), tag.time, tag.name)))


def _repository(folder: Path) -> Path:
    """The repository that a folder or a `.dvc` file is in; a bare one is itself."""
    try:
        return git.find_root(folder.parent if folder.suffix == ".dvc" else folder)
    except NotFound:
        return folder


def _times(url: str, tags: Mapping[str, str]) -> dict[str, int]:
    """The time of each tag's commit; a tag of what is no commit is left out."""
    with TemporaryDirectory(prefix="registry-adopt-") as folder:
        git_elsewhere.fetch_shallow(Path(folder), url, *(f"+{_PREFIX}{name}:{_PREFIX}{name}" for name in tags))
        commits = set(git.find_commits(Path(folder), tags.values()))
        return {name: git.commit_time(Path(folder), commit) for name, commit in tags.items() if commit in commits}


def next_of(tags: Sequence[Tagged], adopted: Adopted | None) -> tuple[Tagged, ...]:
    """The tags from the one that is adopted, which is the first of them; all where nothing is adopted yet.

    Raises Refused where a commit is adopted that none of them has.
    """
    if adopted is None:
        return tuple(tags)
    places = [place for place, tag in enumerate(tags) if tag.commit == adopted.commit]
    if not places:
        at = adopted.commit[:12] or "a folder without a commit"
        fix = "leave --tags out to adopt a later state; or adopt the tags into another dataset"
        raise Refused(f"the dataset was adopted from {at}, which none of these tags names", fix=fix)
    return tuple(tags[places[-1] :])


# --- which versions ---------------------------------------------------------------------------------------------------


def series(
    artifact: ArtifactId, opened: Sequence[Opened], left_out: Sequence[LeftOut], before: DatasetManifest | None
) -> Series:
    """The versions of these tags. With `before`, the first tag is the one that is there, at that manifest's version."""
    steps, unused = list[Step](), list(left_out)
    version, last = before.version if before else FIRST, None
    for one in opened:
        rows = _read(one.plan)
        if last is None:
            if before is None:
                version = one.tagged.says or FIRST
                steps.append(Step(one.tagged, one.plan, version, "the first version"))
        elif rows.frame.equals(last[1].frame):
            unused.append(LeftOut(one.tagged.name, f"which has the images of {last[0]}"))
            continue
        else:
            diff = items.compare(_items(last[1]), _items(rows))
            version, note = choose(one.tagged.says, version, tuple(item_bumps(diff)))
            steps.append(Step(one.tagged, one.plan, version, "; ".join([*_describe(diff), *note])))
        last = one.tagged.name, rows
    return Series(artifact, tuple(steps), tuple(unused), opened[0].tagged.name if before and opened else "")


def choose(says: Version | None, before: Version, found: Sequence[RequiredBump]) -> tuple[Version, tuple[str, ...]]:
    """The version after `before` of a tag that `says` one, for a change that requires these bumps; and a note."""
    lowest = before.bumped(max(Bump.MINOR, largest_bump(found)))
    if says is None or says >= lowest:
        return says or lowest, ()
    return lowest, (f"{says} is too low",)


def _read(plan: Plan) -> Rows:
    """The rows of a plan, as far as they are known before an image is read."""
    read = {path: Read(md5, length) for path, md5, length in plan.files.select("path", "md5", "size").rows()}
    return adopt_rows.make(plan.images, plan.classes, plan.metadata, read)


def _items(rows: Rows) -> Items:
    """The items of these rows, in train where the source has no split: which one a hash gives depends on the UUID."""
    kept = rows.frame.filter(~col("uuid").is_in(list(rows.exclude)))
    given = col(GIVEN_SPLIT) if GIVEN_SPLIT in kept.columns else pl.lit(None, pl.String)
    split = given.fill_null("train").cast(pl.Enum(SPLITS)).alias("split")
    return Items(kept.select("uuid", split, "label", MD5), {}, ())


def _describe(diff: Diff) -> Iterator[str]:
    kinds = {"added": diff.added, "removed": diff.removed, "relabelled": diff.relabelled, "moved": diff.moved}
    kinds |= {"replaced": diff.changed}
    found = [f"{total(counts):,} {kind}" for kind, counts in kinds.items() if total(counts)]
    yield from found or ["columns of the tables"]
