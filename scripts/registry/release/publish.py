"""Releasing what has no tag yet, so that a tag exists only when every object that it reaches is in production.

First the objects, each proven on its way from staging; then a look at production itself; then annotated tags; then
their push. Nothing is overwritten or forced, so a run that was killed anywhere is finished by the next one.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.core import layout, manifests
from registry.core.documents import read_yaml
from registry.core.names import find_tags
from registry.core.pointers import object_key, parse_build
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Manifest, Output, Tag
from registry.errors import InvalidData, Refused, ToolFailed
from registry.integrations import git, git_trees
from registry.storage.base import Store
from registry.storage.transfer import Progress, audit, transfer
from registry.sync import inventory
from registry.sync.inventory import Reached

if TYPE_CHECKING:
    import polars

HELD = 5.0  # seconds after which nobody holds the lock of a ref any more


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a release is made: a commit of the main branch, and the tags that are published and that are here."""

    root: Path
    commit: str
    main: str  # the ref that HEAD is on
    remote: str | None
    published: Mapping[str, git.TagRef]
    local: Mapping[str, git.TagRef]


@dataclass(frozen=True, slots=True)
class Release:
    """One artifact's version. `make` says that its tag is still to be made, `push` that it is still to be pushed."""

    tag: Tag
    outputs: tuple[Output, ...]
    inputs: tuple[Output, ...]
    message: str
    make: bool
    push: bool


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What will happen. `copy` and `prove` are rows of `objects.expand`: to bring to production, to read there.

    What is in production already and no version has proven yet is read, because DVC can write there too.
    """

    ground: Ground
    releases: tuple[Release, ...]
    skipped: tuple[tuple[ArtifactId, str], ...]
    found: "polars.DataFrame"
    copy: "polars.DataFrame"
    prove: "polars.DataFrame"

    @property
    def is_empty(self) -> bool:
        """Whether everything is published."""
        return not self.copy.height and not any(release.make or release.push for release in self.releases)

    @property
    def tags(self) -> Mapping[str, git.TagRef]:
        """Every tag that is published when this is done."""
        known, head = self.ground.local, git.TagRef(self.ground.commit, annotated=True)
        ours = {str(release.tag): known.get(str(release.tag), head) for release in self.releases}
        return {**ours, **self.ground.published}

    def __str__(self) -> str:
        lines = [f"{artifact}: {why}" for artifact, why in self.skipped]
        lines += [f"{release.tag}: {self._words(release)}" for release in self.releases]
        return "\n".join(lines or ["there is no artifact here: registry new dataset NAME"])

    def _words(self, release: Release) -> str:
        import polars as pl

        roots = [out.md5 for out in release.outputs]
        count = self.copy.filter(pl.col("root").is_in(roots)).height
        steps = [f"copy {count:,} object{'s' * (count != 1)} to production"] if count else []
        steps += [f"tag {self.ground.commit[:10]}"] if release.make else []
        steps += [f"push the tag to {self.ground.remote}"] if release.push else []
        return ", ".join(steps) or "is published"


# --- what Git says ----------------------------------------------------------------------------------------------------


def survey(root: Path, remote: str = "origin") -> Ground:
    """The place to publish from, as the remote has it now. Raises Refused anywhere but on its main branch."""
    known = remote if git.has_remote(root, remote) else None
    main, branch = git.main_branch(root, known), git.current_branch(root)
    if branch not in {"", main}:
        raise Refused(f"this is the branch {branch}; only {main} is published", fix=f"merge it, then git switch {main}")
    if git.is_shallow(root):
        raise Refused("this clone is shallow, so what was published before is unknown", fix="git fetch --unshallow")
    tip = f"refs/remotes/{known}/{main}" if known else f"refs/heads/{main}"
    if known:
        git.fetch(root, [f"+refs/heads/{main}:{tip}"], known)
    commit = git.resolve_commit(root, "HEAD")
    if not git.is_ancestor(root, commit, tip):
        fix = f"git push {known} {main}" if known else f"git switch {main}"
        raise Refused(f"HEAD ({commit[:10]}) is not on {f'{known}/' if known else ''}{main}", fix=fix)
    local = git.tag_refs(root)
    return Ground(root, commit, tip, known, git.tag_refs(root, known) if known else local, local)


def releases(
    ground: Ground, tree: Tree, wanted: Iterable[ArtifactId]
) -> tuple[tuple[Release, ...], tuple[tuple[ArtifactId, str], ...]]:
    """What of `wanted` is to be published, datasets first, and what is not, each with the reason. Raises Refused."""
    decided = [(artifact, _decide(ground, tree, artifact)) for artifact in sorted(set(wanted))]
    return (
        tuple(release for _, release in decided if isinstance(release, Release)),
        tuple((artifact, why) for artifact, why in decided if isinstance(why, str)),
    )


def _decide(ground: Ground, tree: Tree, artifact: ArtifactId) -> Release | str:
    if not _is_built(tree, artifact):
        manifests.read_document(tree, artifact)  # NotFound where there is no such artifact at all
        return "is not built yet"
    manifest = manifests.load(tree, artifact)
    if reason := manifest.withdrawn.get(manifest.version):
        return f"{manifest.version} is withdrawn: {reason}"
    tag, content = Tag(artifact, manifest.version), _content(tree, artifact)
    there, here = ground.published.get(str(tag)), ground.local.get(str(tag))
    if there:
        _require_same(ground, tag, there, content, fix=f"set a higher version in {layout.manifest_path(artifact)}")
    else:
        _require_ready(ground, tag)
        if here:
            _require_on_main(ground, tag, here)
            _require_same(ground, tag, here, content, fix=f"it was never pushed: git tag -d {tag}")
    message = _message(tree, manifest, *content)
    return Release(tag, *content, message, make=not (there or here), push=bool(ground.remote and not there))


def _is_built(tree: Tree, artifact: ArtifactId) -> bool:
    is_dataset = artifact.kind is Kind.DATASET
    return tree.has(layout.prepared_pointer(artifact) if is_dataset else layout.lock_path(artifact))


def _content(tree: Tree, artifact: ArtifactId) -> tuple[tuple[Output, ...], tuple[Output, ...]]:
    return inventory.outputs(tree, artifact), inventory.inputs(tree, artifact)


def _require_on_main(ground: Ground, tag: Tag, ref: git.TagRef) -> None:
    if not git.is_ancestor(ground.root, ref.commit, ground.main):
        raise Refused(f"the tag {tag} here was never pushed, and leads to no commit of main", fix=f"git tag -d {tag}")


def _require_same(
    ground: Ground, tag: Tag, ref: git.TagRef, content: tuple[tuple[Output, ...], ...], *, fix: str
) -> None:
    if not ref.annotated:
        away = f"; git push {ground.remote} :refs/tags/{tag}" if ground.remote else ""
        fault = f"{tag} is a lightweight tag, which DVC and GTO ignore: it publishes nothing"
        raise Refused(fault, fix=f"delete it: git tag -d {tag}{away}")
    with _tagged(ground, tag, ref) as tree:
        theirs = _content(tree, tag.artifact)
    if theirs != content:
        raise Refused(f"{tag} exists, at {ref.commit[:10]}, with other data than HEAD has", fix=fix)


def _tagged(ground: Ground, tag: Tag, ref: git.TagRef) -> git_trees.Revision:
    if not git.has_object(ground.root, ref.commit):
        git.fetch(ground.root, [f"refs/tags/{tag}"], ground.remote or ".")
    return git_trees.Revision(ground.root, ref.commit)


def _require_ready(ground: Ground, tag: Tag) -> None:
    latest = _latest(ground, tag.artifact)
    if latest and tag.version < latest.version:
        path = layout.manifest_path(tag.artifact)
        raise Refused(
            f"{path}: version {tag.version} is lower than the latest, {latest.version}", fix="set a higher one"
        )
    if changed := git.uncommitted_paths(ground.root, str(tag.artifact)):
        raise Refused(f"{changed[0]} is not as it was committed", fix="commit it and have it merged, or put it back")


def _latest(ground: Ground, artifact: ArtifactId) -> Tag | None:
    annotated = [name for name, ref in ground.published.items() if ref.annotated]
    return max((tag for tag in find_tags(annotated) if tag.artifact == artifact), default=None)


def _message(tree: Tree, manifest: Manifest, outputs: tuple[Output, ...], inputs: tuple[Output, ...]) -> str:
    facts = {"artifact": manifest.id, "version": manifest.version, "title": manifest.title}
    for out in outputs:
        if out.path == layout.product_path(manifest.id):
            facts |= {"md5": out.md5, "size": out.size} | ({"files": out.nfiles} if out.nfiles is not None else {})
    facts |= {"data": " ".join(one.md5 for one in inputs)} if inputs else {}
    path = layout.prepared_pointer(manifest.id)
    if manifest.id.kind is Kind.DATASET and (build := parse_build(read_yaml(tree.read(path), path))):
        facts |= {"images": build.images}
        facts |= {split: sum(build.counts.get(split, {}).values()) for split in layout.SPLITS}
    lines = "\n".join(f"{key}: {value}" for key, value in facts.items())
    return f"{manifest.id} {manifest.version}: {manifest.title}\n\n{lines}\n"


# --- what the stores say ----------------------------------------------------------------------------------------------


def plan(ground: Ground, tree: Tree, wanted: Iterable[ArtifactId], staging: Store, production: Store) -> Plan:
    """What has to be done. Raises Refused, and InvalidData when an object is in neither staging nor production."""
    import polars as pl

    made, skipped = releases(ground, tree, wanted)
    waiting = _waiting(made, production)
    found = inventory.expand(_reached(waiting), [production, staging])
    held = inventory.held(production, found["md5"])
    absent = found.join(held, on="md5", how="anti")
    own = [out.md5 for release in waiting for out in release.outputs]
    copy = absent.filter(pl.col("root").is_in(own)).unique("md5", maintain_order=True)
    _require_published(absent.join(copy, on="md5", how="anti"))
    _require_staged(copy, staging)
    return Plan(ground, made, skipped, found, copy, _unproven(ground, waiting, found, held, production))


def _waiting(made: Sequence[Release], production: Store) -> list[Release]:
    """Those that are not tagged, or were by a hand that moved no objects: a `.dir` comes last, so it tells."""
    import polars as pl

    roots = pl.Series([out.md5 for release in made for out in release.outputs], dtype=pl.String)
    there = set(inventory.held(production, roots)["md5"])
    return [
        release
        for release in made
        if release.make or release.push or not there.issuperset(out.md5 for out in release.outputs)
    ]


def _reached(made: Iterable[Release]) -> Iterator[Reached]:
    for release in made:
        for out in (*release.outputs, *release.inputs):
            yield Reached(release.tag.artifact, out)


def _require_published(orphans: "polars.DataFrame") -> None:
    for model, path in orphans.select("artifact", "path").head(1).rows():
        dataset = layout.owner_of(path)
        raise Refused(
            f"{model} was trained on data of {dataset} that is not published: {path} is not in production",
            fix=f"publish that version of {dataset} first, or train {model} on a published one",
        )


def _require_staged(copy: "polars.DataFrame", staging: Store) -> None:
    lost = copy.join(inventory.held(staging, copy["md5"]), on="md5", how="anti")
    if not lost.height:
        return
    staging.require()
    groups = lost.group_by("artifact", maintain_order=True).agg("path").rows()
    problems = [f"{artifact}: {len(paths):,}, such as {paths[0]}" for artifact, paths in groups]
    raise InvalidData(
        f"objects are neither in staging ({staging.url}) nor in production", problems,
        fix="registry push, on the machine that has them",
    )  # fmt: skip


def _unproven(
    ground: Ground, waiting: Sequence[Release], found: "polars.DataFrame", held: "polars.DataFrame", production: Store
) -> "polars.DataFrame":
    import polars as pl

    unsure = held.filter(pl.col("etag") != pl.col("md5"))  # where they are equal, the store has hashed the bytes
    rows = found.join(unsure, on="md5", how="semi").unique("md5", maintain_order=True)
    owners = {layout.owner_of(one.output.path) for one in _reached(waiting)} if rows.height else set()
    earlier = [tag for owner in sorted(owners) if (tag := _latest(ground, owner))]
    return rows.join(inventory.expand(_released(ground, earlier), [production]), on="md5", how="anti")


def _released(ground: Ground, tags: Iterable[Tag]) -> Iterator[Reached]:
    for tag in tags:
        with _tagged(ground, tag, ground.published[str(tag)]) as tree:
            yield from inventory.reached(tree, tag.artifact)


# --- doing it ---------------------------------------------------------------------------------------------------------


def apply(plan: Plan, staging: Store, production: Store, progress: Progress | None = None) -> int:
    """Copy, prove, look, tag, push; returns the bytes that were read here for it.

    Raises InvalidData when an object is not what its name says: then no tag is made, here or elsewhere.
    """
    import polars as pl

    if any(release.make for release in plan.releases):
        git.require_identity(plan.ground.root)
    moved = 0
    for release in plan.releases:
        rows = plan.copy.filter(pl.col("root").is_in([out.md5 for out in release.outputs]))
        done = transfer(staging, production, rows["md5"], asked=True, progress=progress)
        _require_sound(rows, done, staging, f"{release.tag} cannot be published from staging")
        moved += int(done["size"].sum())
    proven = audit(production, plan.prove["md5"], progress=progress)
    _require_sound(plan.prove, proven, production, "production holds what no version has published, and it is wrong")
    _require_there(plan.found, production)
    for release in plan.releases:
        if release.make:
            _make_tag(plan.ground, release)
    _push(plan.ground, [release for release in plan.releases if release.push])
    return moved


def _require_sound(rows: "polars.DataFrame", done: "polars.DataFrame", store: Store, fault: str) -> None:
    import polars as pl

    words = {"missing": "is gone", "corrupt": "holds other bytes than its name says"}
    bad = done.filter(pl.col("state").is_in(list(words))).select("md5", "state")
    if failed := rows.select("path", "md5").join(bad, on="md5").rows():
        problems = [f"{path}: {store.url}/{object_key(md5)} {words[state]}" for path, md5, state in failed]
        raise InvalidData(fault, problems, fix=f"{inventory.repair(failed[0][1], store)}; then publish again")


def _require_there(found: "polars.DataFrame", production: Store) -> None:
    held = inventory.held(production, found["md5"])
    fault = f"production ({production.url}) is not whole, so nothing was tagged"
    if lost := found.join(held, on="md5", how="anti")["path"].to_list():
        raise InvalidData(fault, [f"{path} is gone" for path in lost], fix="ask who deletes there; then publish again")
    if wrong := tuple(inventory.misfits(found, held, [production])):
        raise InvalidData(fault, wrong, fix="have the right bytes put there by hand; then publish again")


def _free(root: Path, name: str) -> None:
    """Remove a tag's lock that a Git which was killed left behind; one that runs holds it for milliseconds."""
    lock = git.internal_path(root, f"refs/tags/{name}.lock")
    with suppress(FileNotFoundError):
        while time.time() - lock.stat().st_mtime < HELD:
            time.sleep(0.1)
        lock.unlink()


def _make_tag(ground: Ground, release: Release) -> None:
    name = str(release.tag)
    _free(ground.root, name)
    try:
        git.create_tag(ground.root, name, ground.commit, release.message)
    except ToolFailed:
        if git.tag_refs(ground.root).get(name) != git.TagRef(ground.commit, annotated=True):
            raise  # not another publish that was quicker


def _push(ground: Ground, waiting: Sequence[Release]) -> None:
    if not waiting:
        return
    try:
        git.push_tags(ground.root, [str(release.tag) for release in waiting], ground.remote or "")
    except ToolFailed:
        there = git.tag_refs(ground.root, ground.remote or "")
        quicker = [release for release in waiting if str(release.tag) in there]
        if not quicker:
            raise
        for release in quicker:  # another publish, perhaps of a later commit: as good as ours if the data is the same
            content = (release.outputs, release.inputs)
            _require_same(ground, release.tag, there[str(release.tag)], content, fix="set a higher version")
            git.fetch(ground.root, [f"+refs/tags/{release.tag}:refs/tags/{release.tag}"], ground.remote or "")
        _push(ground, [release for release in waiting if release not in quicker])
