"""Publishes versions that have no tag yet. A tag exists only if production has every object that it reaches.

In this order: objects are copied from staging and verified; production is listed again; annotated tags are created;
tags are pushed. Nothing is overwritten or forced, so a run that was interrupted is completed by the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars import DataFrame

from registry.core import artifact_files, layout
from registry.core.artifact_files import ArtifactFiles
from registry.core.digests import CHECKSUM_MISMATCH
from registry.core.names import find_tags
from registry.core.pointers import object_key
from registry.core.progress import Progress
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Manifest, ModelManifest, Tag
from registry.core.wording import plural
from registry.errors import InvalidData, Refused, ToolFailed
from registry.integrations import git, git_trees
from registry.storage.base import Store
from registry.storage.results import ObjectState
from registry.storage.transfer import transfer
from registry.storage.verify import audit
from registry.sync import inventory
from registry.sync.inventory import Reached, Tracked


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
    """A version to publish. `make`: its tag does not exist yet; `push`: the remote does not have it yet.

    `is_own`: a publish made the tag, and so has verified its objects; it may have been made by hand, or with GTO.
    """

    tag: Tag
    content: Tracked
    message: str
    make: bool
    push: bool
    is_own: bool

    @property
    def output_md5s(self) -> list[str]:
        """The objects of its own outputs."""
        return [out.md5 for out in self.content.outputs]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An artifact whose version is not published, and why."""

    artifact: ArtifactId
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a publish will do. `copy` and `prove` are rows of `inventory.expand`: to copy to production, to read there.

    Objects that are in production already and belong to no published version are read, because DVC can write there too.
    """

    context: PublishContext
    releases: tuple[Release, ...]
    skipped: tuple[Skipped, ...]
    found: DataFrame
    copy: DataFrame
    prove: DataFrame

    @property
    def is_empty(self) -> bool:
        """Whether everything is published."""
        is_done = not any(release.make or release.push or not release.is_own for release in self.releases)
        return is_done and not self.copy.height

    @property
    def tags(self) -> Mapping[str, git.TagRef]:
        """Every tag that is published once the plan was applied."""
        local, head = self.context.local, git.TagRef(self.context.commit, annotated=True)
        new = {str(release.tag): local.get(str(release.tag), head) for release in self.releases}
        return {**new, **self.context.published}

    def __str__(self) -> str:
        lines = [f"{one.artifact}: {one.reason}" for one in self.skipped]
        lines += [f"{release.tag}: {self._describe(release)}" for release in self.releases]
        return "\n".join(lines or ["there is no artifact yet\n  hint: registry new dataset NAME"])

    def _describe(self, release: Release) -> str:
        count = self.copy.filter(pl.col("root").is_in(release.output_md5s)).height
        steps = [f"copy {plural(count, 'object')} to production"] if count else []
        steps += [f"tag {self.context.commit[:10]}"] if release.make else []
        steps += [f"push the tag to {self.context.remote}"] if release.push else []
        steps += ["verify its objects, as its tag was made by hand"] if not (release.make or release.is_own) else []
        return ", ".join(steps) or "already published"


# --- Git --------------------------------------------------------------------------------------------------------------


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


def _decide(context: PublishContext, tree: Tree, artifact: ArtifactId) -> Release | Skipped:
    files = artifact_files.read_artifact(artifact_files.list_files(tree), artifact)
    if missing := _not_made(files):
        return Skipped(artifact, missing)
    manifest = files.manifest.require()
    if reason := manifest.withdrawn.get(manifest.version):
        return Skipped(artifact, f"{manifest.version} is withdrawn: {reason}")
    tag, content = Tag(artifact, manifest.version), inventory.read_tracked(tree, artifact)
    published, local = context.published.get(str(tag)), context.local.get(str(tag))
    if published:
        fix = f"set a higher version in {layout.manifest_path(artifact)}"
        _require_same(context, tag, published, content, fix=fix)
    else:
        _require_ready(context, tag)
        if local:
            _require_on_main(context, tag, local)
            _require_same(context, tag, local, content, fix=f"git tag -d {tag}: it was never pushed")
    message = _message(files, manifest, content)
    make, push = not (published or local), bool(context.remote and not published)
    return Release(tag, content, message, make=make, push=push, is_own=_is_own(context, tag, message))


def _not_made(files: ArtifactFiles) -> str:
    """What a version lacks before it can be published; an empty string where nothing does."""
    if files.prepared or files.lock:
        return ""
    manifest = files.manifest.value
    if not isinstance(manifest, ModelManifest) or manifest.origin is None:
        return f"not {'built' if files.id.kind is Kind.DATASET else 'trained'} yet"
    return "not measured yet" if manifest.is_measured or files.model is None else ""


def _is_own(context: PublishContext, tag: Tag, message: str) -> bool:
    """Whether the tag has the facts that a publish writes into it; its title may have changed since."""
    ref = context.local.get(str(tag))
    found = context.messages.get(str(tag), "") if ref == context.published.get(str(tag), ref) else ""
    facts = [line for line in message.splitlines() if line.startswith(("artifact: ", "version: ", "md5: "))]
    return set(facts) <= set(found.splitlines())


def _facts(tag: Tag) -> str:
    """What the message of every tag of a publish has."""
    return f"artifact: {tag.artifact}\nversion: {tag.version}"


def _require_on_main(context: PublishContext, tag: Tag, ref: git.TagRef) -> None:
    if not git.is_ancestor(context.root, ref.commit, context.main):
        fault = f"the local tag {tag} was never pushed, and points to a commit that is not on main"
        raise Refused(fault, fix=f"git tag -d {tag}")


def _require_same(context: PublishContext, tag: Tag, ref: git.TagRef, content: Tracked, *, fix: str) -> None:
    if not ref.annotated:
        at_remote = f" && git push {context.remote} :refs/tags/{tag}" if context.remote else ""
        fault = f"{tag} is a lightweight tag, which DVC and GTO ignore: it publishes nothing"
        raise Refused(fault, fix=f"delete it: git tag -d {tag}{at_remote}")
    with _open_tag(context, tag, ref) as tree:
        tagged = inventory.read_tracked(tree, tag.artifact)
    if tagged != content:
        raise Refused(f"{tag} exists at {ref.commit[:10]} with different data from HEAD", fix=fix)


def _open_tag(context: PublishContext, tag: Tag, ref: git.TagRef) -> git_trees.Revision:
    if not git.has_object(context.root, ref.commit):
        git.fetch(context.root, [f"refs/tags/{tag}"], context.remote or ".")
    return git_trees.Revision(context.root, ref.commit)


def _require_ready(context: PublishContext, tag: Tag) -> None:
    latest = _latest(context, tag.artifact)
    if latest and tag.version < latest.version:
        path = layout.manifest_path(tag.artifact)
        fault = f"{path}: version is {tag.version}, expected more than the latest published, {latest.version}"
        raise Refused(fault, fix="set a higher version")
    if changed := git.uncommitted_paths(context.root, str(tag.artifact)):
        raise Refused(f"{changed[0]} has uncommitted changes", fix="commit and merge them, or undo them")


def _latest(context: PublishContext, artifact: ArtifactId, *, is_own: bool = False) -> Tag | None:
    """The latest published version; with `is_own`, of those that a publish made."""
    annotated = [name for name, ref in context.published.items() if ref.annotated]
    found = (tag for tag in find_tags(annotated) if tag.artifact == artifact)
    return max((tag for tag in found if not is_own or _is_own(context, tag, _facts(tag))), default=None)


def _message(files: ArtifactFiles, manifest: Manifest, content: Tracked) -> str:
    """The message of a tag: facts as `key: value` lines below the title."""
    facts: dict[str, object] = {"artifact": manifest.id, "version": manifest.version, "title": manifest.title}
    for out in content.outputs:
        if out.path == layout.product_path(manifest.id):
            facts |= {"md5": out.md5, "size": out.size} | ({"files": out.nfiles} if out.nfiles is not None else {})
    facts |= {"data": " ".join(one.md5 for one in content.inputs)} if content.inputs else {}
    if files.prepared and (build := files.prepared.require().build):
        facts |= {"images": build.images}
        facts |= {split: sum(build.counts.get(split, {}).values()) for split in layout.SPLITS}
    lines = "\n".join(f"{key}: {value}" for key, value in facts.items())
    return f"{manifest.id} {manifest.version}: {manifest.title}\n\n{lines}\n"


# --- stores -----------------------------------------------------------------------------------------------------------


def plan(context: PublishContext, tree: Tree, wanted: Iterable[ArtifactId], staging: Store, production: Store) -> Plan:
    """What has to be done. Raises Refused, and InvalidData when an object is in neither staging nor production."""
    decided = [_decide(context, tree, artifact) for artifact in sorted(set(wanted))]  # datasets first
    releases = tuple(one for one in decided if isinstance(one, Release))
    skipped = tuple(one for one in decided if isinstance(one, Skipped))
    waiting = _incomplete(releases, production)
    found = inventory.expand(_reached(waiting), [production, staging])
    held = inventory.find_stored(production, found["md5"])
    absent = found.join(held, on="md5", how="anti")
    own = [md5 for release in waiting for md5 in release.output_md5s]
    copy = absent.filter(pl.col("root").is_in(own)).unique("md5", maintain_order=True)
    _require_published(absent.join(copy, on="md5", how="anti"))
    _require_staged(copy, staging)
    return Plan(context, releases, skipped, found, copy, _unproven(context, waiting, found, held, production))


def _incomplete(releases: Sequence[Release], production: Store) -> list[Release]:
    """Those without a tag, those with a tag that was made by hand, and those without their objects in production.

    A publish copies a `.dir` last, so it tells whether the objects that it lists are there.
    """
    roots = pl.Series([md5 for release in releases for md5 in release.output_md5s], dtype=pl.String)
    held = set(inventory.find_stored(production, roots)["md5"])
    return [
        release
        for release in releases
        if release.make or release.push or not release.is_own or not held.issuperset(release.output_md5s)
    ]


def _reached(releases: Iterable[Release]) -> Iterator[Reached]:
    for release in releases:
        for out in (*release.content.outputs, *release.content.inputs):
            yield Reached(release.tag.artifact, out)


def _require_published(absent: DataFrame) -> None:
    for model, path in absent.select("artifact", "path").head(1).rows():
        dataset = layout.owner_of(path)
        raise Refused(
            f"{model} was trained on data of {dataset} that is not published: {path} is not in production",
            fix=f"publish that version of {dataset} first, or train {model} on a published one",
        )


def _require_staged(copy: DataFrame, staging: Store) -> None:
    missing = copy.join(inventory.find_stored_surely(staging, copy["md5"]), on="md5", how="anti")
    if not missing.height:
        return
    staging.require_readable()
    groups = missing.group_by("artifact", maintain_order=True).agg("path").rows()
    problems = [f"{artifact}: {plural(len(paths), 'object')}, such as {paths[0]}" for artifact, paths in groups]
    fix = "registry push, on the machine that has them"
    raise InvalidData(f"objects are neither in staging ({staging.url}) nor in production", problems, fix=fix)


def _unproven(
    context: PublishContext, waiting: Sequence[Release], found: DataFrame, held: DataFrame, production: Store
) -> DataFrame:
    """The objects in production whose content no published version and no ETag has proven."""
    unsure = held.filter(pl.col("etag") != pl.col("md5"))  # where they are equal, the store has hashed the bytes
    rows = found.join(unsure, on="md5", how="semi").unique("md5", maintain_order=True)
    owners = {owner for one in _reached(waiting) if (owner := layout.owner_of(one.output.path))}
    earlier = [tag for owner in sorted(owners) if rows.height and (tag := _latest(context, owner, is_own=True))]
    return rows.join(inventory.expand(_released(context, earlier), [production]), on="md5", how="anti")


def _released(context: PublishContext, tags: Iterable[Tag]) -> Iterator[Reached]:
    for tag in tags:
        with _open_tag(context, tag, context.published[str(tag)]) as tree:
            yield from inventory.reached(tree, tag.artifact)


# --- apply ------------------------------------------------------------------------------------------------------------


def apply(plan: Plan, staging: Store, production: Store, progress: Progress | None = None) -> int:
    """Copy and verify objects, list production again, create tags, push them. Returns the bytes read by this machine.

    Raises InvalidData when an object is corrupt or missing: then no tag is created.
    """
    if any(release.make for release in plan.releases):
        git.require_identity(plan.context.root)
    moved = 0
    for release in plan.releases:
        rows = plan.copy.filter(pl.col("root").is_in(release.output_md5s))
        done = transfer(staging, production, rows["md5"], known_absent=True, progress=progress)
        fault = f"{release.tag} cannot be published from staging"
        _require_intact(rows, done, staging, fault, fix=f"{inventory.REPAIR}; then publish again")
        moved += int(done["moved"].sum())
    proven = audit(production, plan.prove["md5"], progress=progress)
    fault = "production has unpublished objects that are corrupt"
    _require_intact(plan.prove, proven, production, fault, fix=_replacement(proven, staging, production))
    _require_complete(plan.found, production)
    for release in plan.releases:
        if release.make:
            _make_tag(plan.context, release)
    _push(plan.context, [release for release in plan.releases if release.push])
    return moved


def _replacement(proven: DataFrame, staging: Store, production: Store) -> str:
    """How corrupt objects of production are replaced; nothing is to be deleted before staging has an intact copy."""
    bad = proven.filter(pl.col("state") == ObjectState.CORRUPT)["md5"]
    if bad.is_empty():
        return "publish again, which copies what is missing from staging"
    is_intact = audit(staging, bad)["state"].eq(ObjectState.PRESENT).all()
    command = production.removal(object_key(bad[0]))
    replace = f"ask an administrator to delete that object ({command}), then publish again: staging's copy replaces it"
    return replace if is_intact else f"{inventory.REPAIR}; then publish again for the next step"


def _require_intact(rows: DataFrame, done: DataFrame, store: Store, fault: str, *, fix: str) -> None:
    faults = {ObjectState.MISSING: "missing", ObjectState.CORRUPT: CHECKSUM_MISMATCH}
    bad = done.filter(pl.col("state").is_in(list(faults))).select("md5", "state")
    if failed := rows.select("path", "md5").join(bad, on="md5").rows():
        problems = [f"{path}: {store.url}/{object_key(md5)}: {faults[state]}" for path, md5, state in failed]
        raise InvalidData(fault, problems, fix=fix)


def _require_complete(found: DataFrame, production: Store) -> None:
    held = inventory.find_stored_surely(production, found["md5"])
    fault = f"production ({production.url}) is incomplete, so no tag was created"
    if missing := found.join(held, on="md5", how="anti")["path"].to_list():
        fix = "check who has delete access to production, then publish again"
        raise InvalidData(fault, [f"{path} is missing" for path in missing], fix=fix)
    if wrong := tuple(inventory.find_size_mismatches(found, held, [production])):
        raise InvalidData(fault, wrong, fix="restore the correct objects, then publish again")


def _make_tag(context: PublishContext, release: Release) -> None:
    name = str(release.tag)
    git.remove_abandoned_lock(context.root, f"refs/tags/{name}")
    try:
        git.create_tag(context.root, name, context.commit, release.message)
    except ToolFailed:
        if git.tag_refs(context.root).get(name) != git.TagRef(context.commit, annotated=True):
            raise  # it was not a concurrent publish that created the same tag


def _push(context: PublishContext, waiting: Sequence[Release]) -> None:
    if not waiting:
        return
    try:
        git.push_tags(context.root, [str(release.tag) for release in waiting], context.remote or "")
    except ToolFailed:
        published = git.tag_refs(context.root, context.remote or "")
        concurrent = [release for release in waiting if str(release.tag) in published]
        if not concurrent:
            raise
        for (
            release
        ) in concurrent:  # a tag of a concurrent publish, perhaps of a later commit: fine if its data is equal
            _require_same(
                context, release.tag, published[str(release.tag)], release.content, fix="set a higher version"
            )
            git.fetch(context.root, [f"+refs/tags/{release.tag}:refs/tags/{release.tag}"], context.remote or "")
        _push(context, [release for release in waiting if release not in concurrent])
