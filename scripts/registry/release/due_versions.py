"""Which versions a publish releases, by Git alone: each that main's history has and that has no tag yet.

Runs may be skipped while merges go on, so not only the newest version of an artifact counts. A tag is on the commit of
main that brought its version's data, whichever commit the run is for: the result does not depend on when a run takes
place. Main has to stand by a version: what it went back behind, removed or withdrew before it was published, stays so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from registry.core import artifact_files, layout
from registry.core.artifact_files import ArtifactFiles, Files
from registry.core.names import find_tags
from registry.core.parts import is_part
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Manifest, ModelManifest, Tag, Version
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused, RegistryError
from registry.integrations import git, git_trees
from registry.release import merged_versions
from registry.release.merged_versions import MergedVersion
from registry.sync import inventory
from registry.sync.inventory import Tracked

OF_ONE = (InvalidData, InvalidDocument, NotFound, Refused)  # faults of one version; all others end the run


@dataclass(frozen=True, slots=True)
class PublishContext:
    """Where a release is made: a commit of the main branch, and the tags of the remote and of this clone."""

    root: Path
    commit: str
    main: str  # the ref that HEAD is on
    remote: str | None
    published: Mapping[str, git.TagRef]
    local: Mapping[str, git.TagRef]
    messages: Mapping[str, str]  # of the tags of this clone


@dataclass(frozen=True, slots=True)
class Release:
    """A version to publish, on `commit`. `make`: its tag does not exist yet; `push`: the remote does not have it yet.

    `is_past`: main has a later one.
    `is_own`: a publish made the tag, and so has verified its objects; it may have been made by hand, or with GTO.
    """

    tag: Tag
    commit: str
    content: Tracked
    message: str
    make: bool
    push: bool
    is_own: bool
    is_past: bool = False

    @property
    def output_md5s(self) -> list[str]:
        """The objects of its own outputs."""
        return [out.md5 for out in self.content.outputs]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An artifact whose version is not published, and why."""

    artifact: ArtifactId
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A version that cannot be published, and why; an artifact, where its manifest does not say the version."""

    subject: Tag | ArtifactId
    error: RegistryError


@dataclass(frozen=True, slots=True)
class Decisions:
    """What becomes of every version that is not published, and of each artifact's current one."""

    releases: tuple[Release, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[Failed, ...]


def collect(root: Path, remote: str = "origin") -> PublishContext:
    """The context of a publish, with the remote's current state. Raises Refused anywhere but on its main branch."""
    known = remote if git.has_remote(root, remote) else None
    main, branch = git.main_branch(root, known), git.current_branch(root)
    if branch not in {"", main}:
        raise Refused(
            f"the current branch is {branch}; only {main} can be published",
            fix=f"merge {branch} into {main}, then git switch {main}",
        )
    if git.is_shallow(root):
        raise Refused("this clone is shallow: earlier releases are unknown", fix="git fetch --unshallow")
    tip = f"refs/remotes/{known}/{main}" if known else f"refs/heads/{main}"
    if known:
        git.fetch(root, [f"+refs/heads/{main}:{tip}"], known)
    commit = git.resolve_commit(root, "HEAD")
    if not git.is_ancestor(root, commit, tip):
        fix = f"git push {known} {main}" if known else f"git switch {main}"
        raise Refused(f"HEAD ({commit[:10]}) is not on {f'{known}/' if known else ''}{main}", fix=fix)
    local = git.tag_refs(root)
    published = git.tag_refs(root, known) if known else local
    return PublishContext(root, commit, tip, known, published, local, git.tag_messages(root))


# --- which versions ---------------------------------------------------------------------------------------------------


def decide(context: PublishContext, tree: Tree, wanted: Iterable[ArtifactId] = ()) -> Decisions:
    """What becomes of the versions of these artifacts, or of all, in `tree`, the context's commit; the oldest first."""
    published = find_tags([name for name, ref in context.published.items() if ref.annotated])
    line = merged_versions.find(context.root, context.main, frozenset(published))
    reached = frozenset(merged_versions.find_places(context.root, context.commit))  # main may be ahead
    merged = {one.tag: known for one in line.versions if (known := _limit(one, reached))}
    chosen = set(wanted) or {*layout.find(tree), *(tag.artifact for tag in merged)}
    with git_trees.Commits(context.root) as commits, git_trees.Revision(context.root, context.main) as tip:
        here, there = artifact_files.list_files(tree), artifact_files.list_files(tip)
        history = _History(context, here, there, commits, merged)
        decided = [one for artifact in sorted(chosen) for one in history.decide(artifact)]
    releases = (one for one in decided if isinstance(one, Release))
    return Decisions(
        tuple(sorted(releases, key=lambda one: (line.places.get(one.commit, len(line.places)), one.tag))),
        tuple(one for one in decided if isinstance(one, Skipped)),
        tuple(one for one in decided if isinstance(one, Failed)),
    )


def _limit(one: MergedVersion, reached: AbstractSet[str]) -> MergedVersion | None:
    """The version as far as these commits have it."""
    commits = tuple(commit for commit in one.commits if commit in reached)
    return replace(one, commits=commits) if commits else None


@dataclass(frozen=True, slots=True)
class _History:
    """The tree to publish, that of main's tip, and the versions without a tag that led there."""

    context: PublishContext
    here: Files
    tip: Files
    commits: git_trees.Commits
    merged: Mapping[Tag, MergedVersion]

    def decide(self, artifact: ArtifactId) -> Iterator[Release | Skipped | Failed]:
        """What becomes of its versions; a fault of one does not stop the others. Raises NotFound for no artifact."""
        files = _read(self.here, artifact)
        reasons = {**_reasons(files), **_reasons(_read(self.tip, artifact))}
        past = sorted(tag for tag in self.merged if tag.artifact == artifact and not _is_version_of(files, tag))
        for tag in past:
            yield from _attempt(tag, partial(self._decide_past, tag, reasons))
        if files or not past:
            yield from _attempt(artifact, partial(self._decide_current, artifact, reasons))

    def _decide_past(self, tag: Tag, reasons: Mapping[Version, str]) -> Release | Skipped | None:
        """A version that main had before its present one; None for one that was never complete."""
        if reason := self._given_up(tag, reasons):
            return Skipped(tag.artifact, reason)
        commit = self._bringing(tag)
        files = artifact_files.list_files(self.commits.tree(commit))
        if _not_made(artifact_files.read_artifact(files, tag.artifact)):
            return None
        earlier = (ref.commit for name, ref in self.context.published.items() if _is_higher(name, tag))
        if any(git.has_object(self.context.root, one) and self._leads(one, commit) for one in earlier):
            return Skipped(tag.artifact, f"{tag.version} came after a higher version that is published")
        return replace(_release(self.context, files, commit, tag.artifact), is_past=True)

    def _decide_current(self, artifact: ArtifactId, reasons: Mapping[Version, str]) -> Release | Skipped:
        files = artifact_files.read_artifact(self.here, artifact)
        if missing := _not_made(files):
            return Skipped(artifact, missing)
        tag = Tag(artifact, files.manifest.require().version)
        if reason := self._given_up(tag, reasons):
            return Skipped(artifact, reason)
        if tag in self.merged:
            _require_ready(self.context, tag)
            commit = self._bringing(tag)
            return _release(self.context, artifact_files.list_files(self.commits.tree(commit)), commit, artifact)
        return _release(self.context, self.here, self.context.commit, artifact)

    def _given_up(self, tag: Tag, reasons: Mapping[Version, str]) -> str:
        """Why main does not stand by a version; empty where it does."""
        if tag.version in reasons:
            return f"{tag.version} is withdrawn: {reasons[tag.version]}"
        given_up = self.merged[tag].given_up if tag in self.merged else ""
        return f"{tag.version} was not published before {given_up}" if given_up else ""

    def _leads(self, commit: str, later: str) -> bool:
        return git.is_ancestor(self.context.root, commit, later)

    def _bringing(self, tag: Tag) -> str:
        """The commit that brought a version: the first with the data of the last. Raises InvalidDocument."""
        *earlier, found = self.merged[tag].commits
        content = self._content(found, tag)
        for commit in reversed(earlier):
            with suppress(*OF_ONE):
                if self._content(commit, tag) == content:
                    found = commit
                    continue
            break
        return found

    def _content(self, commit: str, tag: Tag) -> tuple[Tracked, str]:
        files = artifact_files.list_files(self.commits.tree(commit))
        made = _not_made(artifact_files.read_artifact(files, tag.artifact))
        return inventory.read_tracked(files.tree, tag.artifact), made


def _attempt(
    subject: Tag | ArtifactId, judge: Callable[[], Release | Skipped | None]
) -> Iterator[Release | Skipped | Failed]:
    try:
        if found := judge():
            yield found
    except OF_ONE as error:
        yield Failed(subject, error)


def _read(files: Files, artifact: ArtifactId) -> ArtifactFiles | None:
    is_there = layout.manifest_path(artifact) in files.entries
    return artifact_files.read_artifact(files, artifact) if is_there else None


def _reasons(files: ArtifactFiles | None) -> Mapping[Version, str]:
    """The withdrawn versions that a valid manifest names."""
    return files.manifest.value.withdrawn if files and files.manifest.value else {}


def _is_version_of(files: ArtifactFiles | None, tag: Tag) -> bool:
    return bool(files and files.manifest.value and files.manifest.value.version == tag.version)


def _is_higher(name: str, tag: Tag) -> bool:
    return any(one.artifact == tag.artifact and one > tag for one in find_tags([name]))


def _release(context: PublishContext, tree: Files, commit: str, artifact: ArtifactId) -> Release:
    """The version of a tree. Raises Refused where its tag exists with other data."""
    files = artifact_files.read_artifact(tree, artifact)
    manifest = files.manifest.require()
    tag, content = Tag(artifact, manifest.version), inventory.read_tracked(tree.tree, artifact)
    published, local = context.published.get(str(tag)), context.local.get(str(tag))
    if published:
        fix = f"set a higher version in {layout.manifest_path(artifact)}"
        require_same(context, tag, published, content, fix=fix)
    elif local:
        _require_on_main(context, tag, local)
        require_same(context, tag, local, content, fix=f"git tag -d {tag}: it was never pushed")
    message = _message(files, manifest, content)
    make, push = not (published or local), bool(context.remote and not published)
    return Release(tag, commit, content, message, make=make, push=push, is_own=_has_facts(context, tag, message))


# --- tags -------------------------------------------------------------------------------------------------------------


def _not_made(files: ArtifactFiles) -> str:
    """What a version lacks before it can be published; an empty string where nothing does."""
    if files.prepared or files.lock:
        return ""
    manifest = files.manifest.value
    if not isinstance(manifest, ModelManifest) or manifest.origin is None:
        return f"not {'built' if files.id.kind is Kind.DATASET else 'trained'} yet"
    return "not measured yet" if manifest.is_measured or files.model is None else ""


def _has_facts(context: PublishContext, tag: Tag, message: str) -> bool:
    """Whether the tag has the facts that a publish writes into it; its title may have changed since."""
    ref = context.local.get(str(tag))
    found = context.messages.get(str(tag), "") if ref == context.published.get(str(tag), ref) else ""
    facts = [line for line in message.splitlines() if line.startswith(("artifact: ", "version: ", "md5: "))]
    return set(facts) <= set(found.splitlines())


def facts_of(tag: Tag) -> str:
    """What the message of every tag of a publish has."""
    return f"artifact: {tag.artifact}\nversion: {tag.version}"


def _require_on_main(context: PublishContext, tag: Tag, ref: git.TagRef) -> None:
    if not git.is_ancestor(context.root, ref.commit, context.main):
        fault = f"the local tag {tag} was never pushed, and points to a commit that is not on main"
        raise Refused(fault, fix=f"git tag -d {tag}")


def require_same(context: PublishContext, tag: Tag, ref: git.TagRef, content: Tracked, *, fix: str) -> None:
    """Raise Refused where an existing tag is none of GTO's, or has other data."""
    if not ref.annotated:
        at_remote = f" && git push {context.remote} :refs/tags/{tag}" if context.remote else ""
        fault = f"{tag} is a lightweight tag, which DVC and GTO ignore: it publishes nothing"
        raise Refused(fault, fix=f"delete it: git tag -d {tag}{at_remote}")
    with open_tag(context, tag, ref) as tree:
        tagged = inventory.read_tracked(tree, tag.artifact)
    if tagged != content:
        raise Refused(f"{tag} exists at {ref.commit[:10]} with different data from main", fix=fix)


def open_tag(context: PublishContext, tag: Tag, ref: git.TagRef) -> git_trees.Revision:
    """The tree of a tag of the remote or of this clone."""
    if not git.has_object(context.root, ref.commit):
        git.fetch(context.root, [f"refs/tags/{tag}"], context.remote or ".")
    return git_trees.Revision(context.root, ref.commit)


def _require_ready(context: PublishContext, tag: Tag) -> None:
    highest = latest(context, tag.artifact)
    if highest and tag.version < highest.version:
        path = layout.manifest_path(tag.artifact)
        fault = f"{path}: version is {tag.version}, expected more than the latest published, {highest.version}"
        raise Refused(fault, fix="set a higher version")
    if changed := git.uncommitted_paths(context.root, str(tag.artifact)):
        raise Refused(f"{changed[0]} has uncommitted changes", fix="commit and merge them, or undo them")


def latest(context: PublishContext, artifact: ArtifactId, *, is_own: bool = False) -> Tag | None:
    """The latest published version; with `is_own`, of those that a publish made."""
    annotated = [name for name, ref in context.published.items() if ref.annotated]
    found = (tag for tag in find_tags(annotated) if tag.artifact == artifact)
    return max((tag for tag in found if not is_own or _has_facts(context, tag, facts_of(tag))), default=None)


def _made_from(files: ArtifactFiles, content: Tracked) -> Iterator[str]:
    """The MD5s of what a model was made from; a dataset in parts has the one in the lock, which is of all of them."""
    yield from (one.md5 for one in content.inputs if not is_part(one.path))
    folders = {one.path.rpartition("/")[0].rpartition("/")[0] for one in content.inputs if is_part(one.path)}
    yield from (dep.md5 for dep in (files.lock.require().deps if files.lock else ()) if dep.path in folders)


def _message(files: ArtifactFiles, manifest: Manifest, content: Tracked) -> str:
    """The message of a tag: facts as `key: value` lines below the title."""
    facts: dict[str, object] = {"artifact": manifest.id, "version": manifest.version, "title": manifest.title}
    if files.prepared:
        folder = files.prepared.require()
        facts |= {"md5": folder.md5, "size": folder.size, "files": folder.nfiles}
    for file in files.model_files[:1]:
        facts |= {"md5": file.md5, "size": file.size}
    facts |= {"data": " ".join(_made_from(files, content))} if content.inputs else {}
    if files.prepared and (build := files.prepared.require().build):
        facts |= {"images": build.images}
        facts |= {split: sum(build.counts.get(split, {}).values()) for split in layout.SPLITS}
    lines = "\n".join(f"{key}: {value}" for key, value in facts.items())
    return f"{manifest.id} {manifest.version}: {manifest.title}\n\n{lines}\n"
