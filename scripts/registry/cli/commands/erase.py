"""`registry erase`."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from registry.cli import locating, preparing, proposing, raising
from registry.cli.proposing import Proposal
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import deny_list, digests, documents, item_paths, layout, manifests, settings, tombstones
from registry.core.atomic_write import write_atomically
from registry.core.digests import object_key
from registry.core.escaping import markdown
from registry.core.names import find_tags
from registry.core.tombstones import Reason
from registry.core.values import ArtifactId, DatasetManifest, Kind, Tag
from registry.core.wording import plural
from registry.dataset import perceptual_hash, validation_cache
from registry.errors import Refused, RegistryError
from registry.integrations import git, git_trees, github
from registry.model import feature_memory
from registry.release import erase, stored_shards, withdraw
from registry.release.erase import Deletion, Held
from registry.release.item_index import FOLDER as INDEX
from registry.storage import dvc_config
from registry.storage.base import Store
from registry.storage.cache import SET_ASIDE
from registry.storage.open import open_store
from registry.sync import references

LAKE = "lake"


@click.command()
@click.argument("uuids", metavar="UUID...", nargs=-1, required=True)
@click.option("--case", metavar="ID", required=True, help="Names the case. It stays in Git: nothing personal.")
@click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), default=Reason.CONSENT.value, show_default=True
)
@click.option("--approved-by", metavar="OWNER", default="", help="Who decided: a GitHub user (@ana), team or e-mail.")
@click.option("--propose", is_flag=True, help="Push the result as a branch, and open or update a pull request.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and write nothing.")
@click.option("--delete", "is_deletion", is_flag=True, help="Delete the bytes, once the tombstone is merged.")
def command(
    uuids: tuple[str, ...],
    case: str,
    reason: str,
    approved_by: str,
    *,
    propose: bool,
    dry_run: bool,
    is_deletion: bool,
) -> None:
    """Erase images everywhere, where the law demands it: the one exception to «what is published stays».

    First it writes a tombstone, erased/ID.yaml, which has hashes and nothing personal; the next version of each dataset
    without the images, and the withdrawal of those that have them. When that is merged, --delete deletes the images and
    the tables with rows of them: in the lake, staging, production, every other remote, and the caches of this machine,
    with all versions that a bucket keeps. It asks twice. Log in with a role that may delete first (AWS_PROFILE).

    It can be stopped at any point: the same command finishes it. Every other command knows the tombstone: what was
    erased is not missing, and is not fetched, pushed, restored or published again.
    """
    space, wanted = here(), tuple(dict.fromkeys(map(_parse, uuids)))
    if not re.fullmatch(tombstones.CASE, case):
        raise RegistryError(f"{case!r} is not a case", fix="use letters, digits, . _ and -, at most 64: DSR-2026-041")
    if is_deletion:
        _delete(space, wanted, case, dry_run=dry_run)
    else:
        _write(space, wanted, case, Reason(reason), approved_by, propose=propose, dry_run=dry_run)


def _parse(text: str) -> str:
    if not re.fullmatch(item_paths.UUID, uuid := text.lower()):
        raise RegistryError(f"{text!r} is not a UUID", fix="registry where FILE finds the UUID of an image")
    return uuid


def _find_held(space: Workspace, uuids: tuple[str, ...]) -> Held:
    """What holds the images, in all commits of this repository and its remotes."""
    say("reading every commit and list of files", err=True)
    stores = (*space.stores.caches, space.stores.staging, space.stores.production)
    return erase.find(uuids, references.survey(space.root).md5s, stores)


# --- first: the tombstone ---------------------------------------------------------------------------------------------


def _write(
    space: Workspace,
    uuids: tuple[str, ...],
    case: str,
    reason: Reason,
    approved_by: str,
    *,
    propose: bool,
    dry_run: bool,
) -> None:
    if propose:
        proposing.require_clean(space)
        github.connect(space.root)
    plan = _plan(space, uuids, case, reason, approved_by)
    say(str(plan))
    if dry_run:
        say(preparing.NOT_WRITTEN, err=True)
        return
    tombstone = tombstones.write(plan.tombstone)
    (space.root / tombstones.FOLDER).mkdir(exist_ok=True)
    write_atomically(space.root / plan.tombstone.path, tombstone)
    for uuid in uuids:
        (space.root / deny_list.path_of(uuid)).unlink(missing_ok=True)
    for dataset in plan.datasets:
        _include(space, dataset, uuids)
        say(str(preparing.build(Workspace(space.root), dataset)))
        raising.raise_version(Workspace(space.root), dataset)
    for tag in plan.withdrawn:
        done = withdraw.plan(Workspace(space.root).tree, tag, erase.why(case), [tag])
        withdraw.apply(done, space.root)
    Workspace(space.root).write_generated_files()
    if propose:
        made = proposing.commit(Workspace(space.root), plan.title)
        steps = "".join(f"- {markdown(line)}\n" for line in plan.lines())
        proposal = Proposal(f"erase/{case}", plan.title, f"{steps}\n")
        proposing.open_pull_request(Workspace(space.root), made, proposal)
        return
    say(f"hint: git switch -c erase/{case} && git add --all && git commit -m '{plan.title}'; registry push; "
        "git push -u origin HEAD; then open a pull request")  # fmt: skip


def _plan(space: Workspace, uuids: tuple[str, ...], case: str, reason: Reason, approved_by: str) -> erase.Plan:
    before = space.tombstones.get(case)
    if not before and not approved_by:
        raise RegistryError("who approved the erasure is not given", fix="--approved-by @OWNER")
    held = _find_held(space, uuids)
    tombstone = erase.make_tombstone(case, reason, approved_by, uuids, held, before)
    with locating.search(space) as searched:
        found = searched.find(uuids)
        lost = {place.release.tag for place in found.places}
        lost |= {one.tag for one in searched.releases if one.version and _loses(one.version.content.objects, held)}
    tombstones.write(tombstone)  # raises for an owner that is none, before anything is written
    datasets = tuple(one for one in _datasets(space) if _has(space, one, uuids, lost))
    withdrawn = sorted(tag for tag in lost if tag.artifact.kind is Kind.DATASET and tag.artifact in _datasets(space))
    return erase.Plan(uuids, tombstone, held, datasets, tuple(withdrawn), found)


def _loses(objects: Mapping[str, str], held: Held) -> bool:
    return bool({*objects.values()} & (held.images | held.tables))


def _datasets(space: Workspace) -> list[ArtifactId]:
    return [one for one in layout.find(space.tree) if one.kind is Kind.DATASET]


def _has(space: Workspace, dataset: ArtifactId, uuids: tuple[str, ...], lost: set[Tag]) -> bool:
    """Whether the current state of a dataset has an image, or its current version is one that loses something."""
    if not space.tree.has(layout.raw_pointer(dataset)):
        return False
    manifest = manifests.load_dataset(space.tree, dataset)
    has_rows = preparing.selected(space, manifest)["uuid"].is_in(list(uuids)).any()
    return bool(has_rows or Tag(dataset, manifest.version) in lost or {*uuids} & {*manifest.exclude})


def _include(space: Workspace, dataset: ArtifactId, uuids: tuple[str, ...]) -> None:
    """Take the UUIDs out of `exclude:`: their rows leave the selection instead."""
    manifest, path = manifests.load_dataset(space.tree, dataset), layout.manifest_path(dataset)
    if {*uuids} & {*manifest.exclude}:
        kept = {uuid: why for uuid, why in manifest.exclude.items() if uuid not in uuids}
        write_atomically(space.root / path, documents.edit_yaml(space.tree.read(path), {("exclude",): kept}))


# --- then: the bytes --------------------------------------------------------------------------------------------------


def _delete(space: Workspace, uuids: tuple[str, ...], case: str, *, dry_run: bool) -> None:
    tombstone = erase.require_merged(case, uuids, _merged(space))
    held = _find_held(space, uuids)
    places = dict(_places(space))
    shards = _shard_keys(space, uuids, places)
    deletion = erase.plan_deletion(tombstone, held, _lake_keys(space, uuids), places, {LAKE}, shards)
    say(str(deletion))
    if dry_run:
        say("nothing was deleted (--dry-run)", err=True)
        return
    _confirm(deletion)
    erase.delete(deletion)
    removed = list(_clear_here(space, uuids, tombstones.join([tombstone]).find_objects(held.known)))
    say(f"deleted; {plural(len(removed), 'file')} of working trees removed, and what commands remember of images here")
    for what in erase.NOT_REACHED:
        say(f"not reached: {what}")


def _merged(space: Workspace) -> dict[str, tombstones.Tombstone]:
    """The tombstones of the default branch: the remote's, as it was fetched, where there is one."""
    known = git.known_default_branches(space.root)
    with git_trees.Revision(space.root, known[-1] if known else "HEAD") as tree:
        return tombstones.read(tree)


def _lake_keys(space: Workspace, uuids: tuple[str, ...]) -> list[str]:
    """Every key that an image has in the lake by a manifest of today or of a release."""
    found = [manifests.load_dataset(space.tree, one) for one in _datasets(space)]
    for tag in find_tags(git.tag_names(space.root)):
        with git_trees.Revision(space.root, f"refs/tags/{tag}") as tree:
            if tag.artifact.kind is Kind.DATASET and tree.has(layout.manifest_path(tag.artifact)):
                found.append(manifests.load_dataset(tree, tag.artifact))
    return sorted({key for manifest in found if not manifest.is_adopted for key in _keys(manifest, uuids)})


def _keys(manifest: DatasetManifest, uuids: tuple[str, ...]) -> Iterator[str]:
    keys = manifests.lake_keys(manifest)
    return (keys.format(uuid, extension) for uuid in uuids for extension in item_paths.EXTENSIONS)


def _shard_keys(space: Workspace, uuids: tuple[str, ...], places: Mapping[str, Store]) -> dict[str, list[str]]:
    """The shards of releases that hold the images, by place; of a release whose list no store has, those that could."""
    images: dict[Tag, dict[str, list[str]]] = {}
    with locating.search(space) as searched:
        found = searched.find(uuids)
    for tag in found.absent:
        images[tag] = {split: list(uuids) for split in layout.SPLITS}
    for one in found.places:
        images.setdefault(one.release.tag, {}).setdefault(one.split, []).append(one.uuid)
    return {
        name: sorted(key for tag, asked in images.items() for key in stored_shards.find_holding(store, tag, asked))
        for name, store in places.items()
        if name != LAKE
    }


def _places(space: Workspace) -> Iterator[tuple[str, Store]]:
    """Every place by its name, the nearest first: production and the lake are asked for objects until the end."""
    stores = space.stores
    for number, cache in enumerate(stores.caches, 1):
        yield f"cache {number}", cache
    yield "staging", stores.staging
    named = {*settings.REMOTES, settings.LAKE}
    for name, remote in dvc_config.load(space.root).items():
        if name not in named and not remote.url.startswith(("http://", "https://")):  # a face of another place
            yield name, open_store(remote, space.root)
    yield "production", stores.production
    yield LAKE, stores.lake


def _confirm(deletion: Deletion) -> None:
    """Ask for the case, and for the number of objects. Raises Refused for another answer."""
    for asked, expected in (("the case", deletion.case), ("the number of objects", str(deletion.count))):
        if click.prompt(f"to delete for good, type {asked}", err=True).strip() != expected:
            raise Refused(f"not confirmed: expected {asked}; nothing was deleted", fix="run the command again")


def _clear_here(space: Workspace, uuids: tuple[str, ...], objects: list[str]) -> Iterator[Path]:
    """Remove what working trees and commands of this machine keep of the images."""
    gone, keys = set(objects), {object_key(md5) for md5 in objects}
    for root in git.worktrees(space.root):
        for kind in Kind:
            for path in (root / kind.folder).rglob("*.*"):
                if path.stem in uuids or (path.suffix == ".parquet" and path.is_file() and _md5(path) in gone):
                    path.unlink()
                    yield path
        shutil.rmtree(root / INDEX, ignore_errors=True)
        for memory in (feature_memory.PATH, validation_cache.PATH):
            (root / memory).unlink(missing_ok=True)
    for cache in space.stores.caches:
        (cache.path / perceptual_hash.PATH).unlink(missing_ok=True)
        for path in (cache.path / SET_ASIDE).rglob("*"):
            if path.is_file() and (path.stem in uuids or any(path.as_posix().endswith(key) for key in keys)):
                path.unlink()
                yield path


def _md5(path: Path) -> str:
    return digests.md5(path.read_bytes())
