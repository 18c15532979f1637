"""Publishes versions that have no tag yet. A tag exists only if production has every object that it reaches.

In this order: objects are copied from staging and verified, and read for their SHA-256 where no earlier release has it;
production is listed again; release manifests are stored; annotated tags are created, which name them; tags are pushed.
Nothing is overwritten or forced, so a run that was interrupted is completed by the next one. A version whose objects
are missing or corrupt is left out with those that need it; the others are published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl
from polars import DataFrame, Series

from registry.core import layout
from registry.core.digests import CHECKSUM_MISMATCH, object_key
from registry.core.progress import Progress
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Tag
from registry.core.wording import plural
from registry.errors import InvalidData, Refused, RegistryError, ToolFailed
from registry.integrations import git
from registry.release import due_versions, manifest_facts, manifest_files
from registry.release.due_versions import Failed, PublishContext, Release, Skipped
from registry.release.manifest_files import Written
from registry.storage.base import Store
from registry.storage.sha256 import hash_objects
from registry.storage.states import ObjectState
from registry.storage.transfer import transfer
from registry.storage.verify import audit
from registry.sync import inventory
from registry.sync.inventory import Reached

_NONE = Series("md5", [], pl.String)
_FAULTS = {ObjectState.MISSING: "missing", ObjectState.CORRUPT: CHECKSUM_MISMATCH}


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A version with everything that it reaches (rows of `inventory.expand`), and what is to be copied for it (MD5s).

    There are none where production is known to have all of it. `stores` have its lists of files.
    """

    release: Release
    stores: Sequence[Store]
    found: DataFrame
    copy: Series

    def named(self) -> DataFrame:
        """The rows of `found` with artifacts and paths: the lists are read again, as few publishes need them."""
        return _expand_all(self.release, self.stores, named=True)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a publish will do. `prove` are the MD5s of objects to read in production.

    These are in production already and belong to no published version, and DVC can write there too. `hashed` has the
    SHA-256 that earlier releases have (columns md5 and sha256), `unhashed` are the MD5s of files that none has.
    """

    context: PublishContext
    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[Failed, ...]
    prove: Series
    hashed: DataFrame
    unhashed: Series

    @property
    def to_read(self) -> Series:
        """The MD5s of the objects to read in production."""
        return pl.concat([self.prove, self.unhashed]).unique()

    @property
    def copied(self) -> int:
        """The number of objects to copy."""
        return sum(len(step.copy) for step in self.steps)

    @property
    def is_empty(self) -> bool:
        """Whether everything is published that can be."""
        return not any(_is_open(step.release) or len(step.copy) for step in self.steps)

    def __str__(self) -> str:
        lines = [f"{one.artifact}: {one.reason}" for one in self.skipped]
        lines += [f"{step.release.tag}: {self._describe(step)}" for step in self.steps]
        lines += [f"{one.subject}: cannot be published" for one in self.failed]
        return "\n".join(lines or ["there is no artifact yet\n  hint: registry new dataset NAME"])

    def _describe(self, step: Step) -> str:
        release, count = step.release, len(step.copy)
        steps = [f"copy {plural(count, 'object')} to production"] if count else []
        steps += [f"tag {release.commit[:10]}"] if release.make else []
        steps += [f"push the tag to {self.context.remote}"] if release.push else []
        steps += ["verify its objects, as its tag was made by hand"] if not (release.make or release.is_own) else []
        return ", ".join(steps) or "already published"


@dataclass(frozen=True, slots=True)
class Done:
    """What a publish did: the objects that it copied, the bytes that this machine read, and what it left out.

    `hashed` objects were read in production, which have `read` bytes.
    """

    copied: int
    moved: int
    hashed: int
    read: int
    releases: tuple[Release, ...]
    failed: tuple[Failed, ...]


def published_tags(context: PublishContext, releases: Iterable[Release]) -> Mapping[str, git.TagRef]:
    """Every tag that is published, once these releases are."""
    new = {str(one.tag): context.local.get(str(one.tag), git.TagRef(one.commit, annotated=True)) for one in releases}
    return {**new, **context.published}


# --- plan -------------------------------------------------------------------------------------------------------------


def plan(
    context: PublishContext,
    tree: Tree,
    staging: Store,
    production: Store,
    wanted: Iterable[ArtifactId] = (),
    *,
    md5_only: bool = False,
) -> Plan:
    """What has to be done for these artifacts, or for all. Raises StorageFailed, ToolFailed.

    `md5_only`: no object is read for its SHA-256 alone.
    """
    decided = due_versions.decide(context, tree, wanted)
    waiting = _incomplete(decided.releases, production)
    expanded = [_expand(release, production, staging) for release in waiting]
    found = [one for one in expanded if isinstance(one, Step)]
    failed = [*decided.failed, *(one for one in expanded if isinstance(one, Failed))]
    held = inventory.find_stored(production, _md5s(found))
    steps, missing = _plan_copies(found, held, staging)
    prove = _unproven(context, steps, held, production)
    empty = DataFrame(schema=inventory.SCHEMA)
    others = {release.tag: Step(release, (), empty, _NONE) for release in decided.releases if release not in waiting}
    by_tag = {**others, **{step.release.tag: step for step in steps}}
    ordered = [by_tag[one.tag] for one in decided.releases if one.tag in by_tag]
    hashed, unhashed = _plan_hashes(context, steps, production)
    unhashed = unhashed.clear() if md5_only else unhashed
    return Plan(context, tuple(ordered), decided.skipped, (*failed, *missing), prove, hashed, unhashed)


def _is_open(release: Release) -> bool:
    return release.make or release.push or not release.is_own


def _incomplete(releases: Sequence[Release], production: Store) -> list[Release]:
    """Those without a tag, those with a tag that was made by hand, and those without their objects in production.

    A publish copies a `.dir` last, so it tells whether the objects that it lists are there.
    """
    roots = pl.Series([md5 for release in releases for md5 in release.output_md5s], dtype=pl.String)
    held = set(inventory.find_stored(production, roots)["md5"])
    return [one for one in releases if _is_open(one) or not held.issuperset(one.output_md5s)]


def _expand(release: Release, production: Store, staging: Store) -> Step | Failed:
    """The version with everything that it reaches, and nothing to copy yet."""
    stores = (production, staging)
    try:
        step = Step(release, stores, _expand_all(release, stores), _NONE)
    except due_versions.OF_ONE as error:
        return Failed(release.tag, error)
    if step.found["erased"].any():
        if not _is_open(release):
            return replace(step, found=step.found.clear())  # what is left of it is in production
        path = step.named().filter("erased")["path"][0]
        fix = "build and train without it, in the next version"
        return Failed(release.tag, Refused(f"{release.tag} needs {path}, which was erased", fix=fix))
    return step


def _expand_all(release: Release, stores: Sequence[Store], *, named: bool = False) -> DataFrame:
    outputs = (*release.content.outputs, *release.content.inputs)
    return inventory.expand((Reached(release.tag.artifact, out) for out in outputs), stores, named=named)


def _md5s(steps: Iterable[Step]) -> Series:
    return pl.concat([_NONE, *(step.found["md5"] for step in steps)])


def _plan_copies(waiting: Sequence[Step], held: DataFrame, staging: Store) -> tuple[list[Step], list[Failed]]:
    """The versions of which everything is in production, or comes from staging with one of them; and the others."""
    absent = _own_md5s(waiting).join(held, on="md5", how="anti")
    staged = inventory.find_stored_surely(staging, absent["md5"]).select("md5")
    if absent.join(staged, on="md5", how="anti").height:
        staging.require_readable()
    steps, failed = list(waiting), list[Failed]()
    while True:  # what a version lacks, those lack that need it
        coming = pl.concat([held.select("md5"), staged.join(_own_md5s(steps), on="md5", how="semi")])
        faults = [(step, _lack(step, coming, staging)) for step in steps]
        failed += [Failed(step.release.tag, error) for step, error in faults if error]
        steps = [step for step, error in faults if not error]
        if len(steps) == len(faults):
            return list(_share_out(steps, staged["md5"])), failed


def _own_md5s(steps: Iterable[Step]) -> DataFrame:
    """The objects of these versions' own outputs: a column md5."""
    found = (step.found.select("md5", own=pl.col("root").is_in(step.release.output_md5s)) for step in steps)
    return pl.concat([_NONE.to_frame(), *(some.filter("own").select("md5") for some in found)])


def _lack(step: Step, coming: DataFrame, staging: Store) -> RegistryError | None:
    """What a version reaches that will not be in production."""
    absent = step.found.select("md5").join(coming, on="md5", how="anti")
    if not absent.height:
        return None
    absent = step.named().join(absent, on="md5", how="semi", maintain_order="left")
    own = absent.filter(pl.col("root").is_in(step.release.output_md5s))
    if own.height == absent.height:
        fault = f"{step.release.tag}: {plural(own.height, 'object')}, such as {own['path'][0]}"
        fix = f"registry push {step.release.commit[:10]}, on the machine that has them"
        if step.release.is_past:
            tag = step.release.tag
            fix += f"; if they are lost, registry withdraw {tag.artifact} {tag.version} --why TEXT"
        return Refused(f"{fault}: neither in staging ({staging.url}) nor in production", fix=fix)
    return _not_published(step, absent.join(own, on="path", how="anti")["path"][0])


def _not_published(step: Step, path: str) -> Refused:
    model, dataset = step.release.tag.artifact, layout.owner_of(path)
    return Refused(
        f"{model} was trained on data of {dataset} that is not published: {path} is not in production",
        fix=f"publish that version of {dataset} first, or train {model} on a published one",
    )


def _share_out(steps: Iterable[Step], staged: Series) -> Iterator[Step]:
    """Each object that comes from staging is copied for the first version that has it."""
    for step in steps:
        is_own = staged.is_in(_own_md5s([step])["md5"].implode())
        yield replace(step, copy=staged.filter(is_own))
        staged = staged.filter(~is_own)


def _unproven(context: PublishContext, steps: Sequence[Step], held: DataFrame, production: Store) -> Series:
    """The objects in production whose content no published version and no ETag has proven: their MD5s."""
    unsure = held.filter(pl.col("etag") != pl.col("md5"))  # where they are equal, the store has hashed the bytes
    rows = [step.found.select("md5", "root").join(unsure, on="md5", how="semi") for step in steps]
    roots = {root for some in rows for root in some["root"].unique()}
    outputs = (out for step in steps for out in (*step.release.content.outputs, *step.release.content.inputs))
    owners = {owner for out in outputs if out.md5 in roots and (owner := layout.owner_of(out.path))}
    earlier = [tag for owner in sorted(owners) if (tag := due_versions.latest(context, owner, is_own=True))]
    released = inventory.expand(_released(context, earlier), [production], named=False)
    left = (some.join(released, on="md5", how="anti")["md5"] for some in rows)
    return pl.concat([_NONE, *left]).unique()


def _plan_hashes(context: PublishContext, steps: Sequence[Step], production: Store) -> tuple[DataFrame, Series]:
    """The SHA-256 that the latest releases of these artifacts have, and the files of new versions that they lack."""
    new = [step for step in steps if step.release.make]
    earlier = [due_versions.latest(context, step.release.tag.artifact, is_own=True) for step in new]
    messages = [(tag, context.messages.get(str(tag), "")) for tag in dict.fromkeys(earlier) if tag]
    known = manifest_files.known_sha256(production, messages)
    own = _own_md5s(new).filter(~pl.col("md5").str.ends_with(".dir"))
    return known, own.join(known, on="md5", how="anti")["md5"].unique()


def _released(context: PublishContext, tags: Iterable[Tag]) -> Iterator[Reached]:
    for tag in tags:
        with due_versions.open_tag(context, tag, context.published[str(tag)]) as tree:
            yield from inventory.reached(tree, tag.artifact)


# --- apply ------------------------------------------------------------------------------------------------------------


def apply(plan: Plan, staging: Store, production: Store, progress: Progress | None = None) -> Done:
    """Copy and verify objects, list production again, store manifests, create tags, push them.

    A version with an object that is corrupt or missing gets no tag. Raises StorageFailed, ToolFailed.
    """
    if any(step.release.make for step in plan.steps):
        git.require_identity(plan.context.root)
    copied = [transfer(staging, production, step.copy, known_absent=True, progress=progress) for step in plan.steps]
    done = pl.concat(copied) if copied else DataFrame(schema={"md5": pl.String, "moved": pl.Int64, "state": pl.String})
    proven = hash_objects(production, plan.to_read, progress)
    sha256 = pl.concat([plan.hashed, proven.select("md5", "sha256").drop_nulls()]).unique("md5")
    held = inventory.find_stored_surely(production, _md5s(plan.steps))
    intact, failed, manifests = list[Release](), list[Failed](), dict[Tag, Written]()
    for step in plan.steps:
        try:
            _require_intact(
                step, done, staging, "cannot be published from staging", f"{inventory.REPAIR}; then publish again"
            )
            fix = _replacement(step, proven, staging, production)
            _require_intact(step, proven, production, "has objects in production that are corrupt", fix)
            _require_complete(step, held, production)
            if step.release.make:
                made = manifest_facts.write(plan.context, step.release, production, sha256, held)
                manifests[step.release.tag] = made
            intact.append(step.release)
        except due_versions.OF_ONE as error:
            failed.append(Failed(step.release.tag, error))
    for release in intact:
        if release.make:
            manifests[release.tag].store(production)
            _make_tag(plan.context, release, f"{release.message}{manifests[release.tag].line}")
    _push(plan.context, [release for release in intact if release.push])
    lost = done["state"].is_in(list(_FAULTS)).sum()
    read = proven.height, int(proven["moved"].sum())
    return Done(done.height - int(lost), int(done["moved"].sum()), *read, tuple(intact), tuple(failed))


def _replacement(step: Step, proven: DataFrame, staging: Store, production: Store) -> str:
    """How corrupt objects of production are replaced; nothing is to be deleted before staging has an intact copy."""
    bad = proven.join(step.found, on="md5", how="semi").filter(pl.col("state") == ObjectState.CORRUPT)["md5"]
    if bad.is_empty():
        return "publish again, which copies what is missing from staging"
    is_intact = audit(staging, bad)["state"].eq(ObjectState.PRESENT).all()
    command = production.removal(object_key(bad[0]))
    replace = f"ask an administrator to delete that object ({command}), then publish again: staging's copy replaces it"
    return replace if is_intact else f"{inventory.REPAIR}; then publish again for the next step"


def _require_intact(step: Step, done: DataFrame, store: Store, fault: str, fix: str) -> None:
    bad = done.filter(pl.col("state").is_in(list(_FAULTS))).select("md5", "state").unique("md5")
    if step.found.join(bad, on="md5", how="semi").height:
        found = step.named().select("path", "md5")
        failed = found.join(bad, on="md5", maintain_order="left").rows()
        problems = [f"{path}: {store.url}/{object_key(md5)}: {_FAULTS[state]}" for path, md5, state in failed]
        raise InvalidData(f"{step.release.tag} {fault}", problems, fix=fix)


def _require_complete(step: Step, held: DataFrame, production: Store) -> None:
    if not (step.found.join(held, on="md5", how="anti").height or inventory.find_mismatched(step.found, held).height):
        return
    fault, found = f"production ({production.url}) is incomplete, so {step.release.tag} was not created", step.named()
    if missing := found.join(held, on="md5", how="anti")["path"].to_list():
        fix = "check who has delete access to production, then publish again"
        raise InvalidData(fault, [f"{path} is missing" for path in missing], fix=fix)
    if wrong := tuple(inventory.find_size_mismatches(found, held, [production])):
        raise InvalidData(fault, wrong, fix="restore the correct objects, then publish again")


def _make_tag(context: PublishContext, release: Release, message: str) -> None:
    name = str(release.tag)
    git.remove_abandoned_lock(context.root, f"refs/tags/{name}")
    try:
        git.create_tag(context.root, name, release.commit, message)
    except ToolFailed:
        if git.tag_refs(context.root).get(name) != git.TagRef(release.commit, annotated=True):
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
        for release in concurrent:  # its tag may be on another commit: fine if the data is equal
            ref, fix = published[str(release.tag)], "set a higher version"
            due_versions.require_same(context, release.tag, ref, release.content, fix=fix)
            git.fetch(context.root, [f"+refs/tags/{release.tag}:refs/tags/{release.tag}"], context.remote or "")
        _push(context, [release for release in waiting if release not in concurrent])
