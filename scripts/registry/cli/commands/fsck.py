"""`registry fsck`."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from registry.cli import clusters
from registry.cli.workspace import Workspace, here, warn
from registry.console import say
from registry.core import settings
from registry.core.progress import bar, waiting
from registry.core.values import Tag
from registry.core.wording import plural
from registry.errors import LoginEnded, Refused, ServiceFailed
from registry.integrations import github
from registry.release import fsck, fsck_manifests, fsck_output, fsck_shards, fsck_versions, github_assets
from registry.release.fsck_versions import Tagged, TaggedVersion
from registry.storage import dvc_config
from registry.storage.base import Store
from registry.storage.cache import Cache
from registry.storage.open import open_store
from registry.sync import cache_audit


@click.command()
@click.option("--all-tags", is_flag=True, help="Verify every release, not only the latest of each artifact.")
@click.option("--deep", is_flag=True, help="Read and hash every object; without it, names and sizes are compared.")
@click.option("--cache", "of_cache", is_flag=True, help="Verify DVC's caches on this machine instead of production.")
@click.option("--repair", "source", metavar="FROM", help="Restore missing objects from there, each one verified.")
@clusters.option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    source: str | None, scheduler: str | None, form: str, *, all_tags: bool, deep: bool, of_cache: bool
) -> None:
    """Verify that production has every object of every release, and restore missing objects.

    FROM is staging, cache (DVC's caches on this machine), the name of another remote, or a URL or folder in DVC's
    layout. The exit code is 1 if an object is still missing or corrupt, and 4 if the login to a store ended before that
    was known. Production is create-only: for a corrupt object the steps for an administrator are printed. Release
    manifests are objects, too: each has to be the one that its tag names, and to say what the tag's commit and
    production say. One that is lost is made again, where that gives what was published. Shards (registry export) are
    compared with their index, and with --deep byte for byte with their release.

    With --cache, every object in DVC's caches is read and hashed. Damaged ones are named with the files that they are;
    with --repair FROM, they are moved to set-aside/ in the cache, and fetched from there.
    """
    space = clusters.join(here(), scheduler) if deep and not of_cache else here()
    sources = _sources(space, source) if source else ()
    if of_cache:
        if all_tags or deep or form == "json" or source == "cache":
            raise click.UsageError("--cache goes with --repair FROM alone, and FROM is not cache")
        _verify_caches(space, sources)
        return
    tagged = fsck_versions.collect(space.root, every=all_tags)
    if not (tagged.versions or tagged.strays) and form == "text":
        say("no version is published yet: nothing to verify")
        return
    try:
        _verify(space, tagged, sources, source or "", form, deep=deep)
    except LoginEnded as error:
        if form == "json":
            say(json.dumps(fsck_output.as_unfinished_json(space.stores.production, error.message), indent=2))
        raise


def _verify(
    space: Workspace,
    tagged: Tagged,
    sources: Sequence[Store],
    source: str,
    form: str,
    *,
    deep: bool,
) -> None:
    """Verify and repair production; exit 1 if an object is still missing or corrupt."""
    production, versions = space.stores.production, tagged.versions
    inspection = fsck.inspect(versions, production, sources)
    md5s = fsck.suspects(inspection, deep=deep)
    with bar("reading", len(md5s)) as progress:
        found = fsck.read(production, md5s, progress)
    inspection, corrupt = inspection.without(found.absent), found.corrupt
    restored = 0
    if sources and (missing := fsck.find_missing(inspection)).height:
        with bar("restoring", missing.height) as progress:
            restored = fsck.repair(inspection, sources, production, progress)
        say(f"restored {restored:,} of {plural(missing.height, 'missing object')}", err=True)
        inspection = fsck.inspect(versions, production, sources)
        again = fsck.read(production, [*fsck.suspects(inspection, deep=False), *found.absent])
        inspection, corrupt = inspection.without(again.absent), corrupt | again.corrupt
    intact = fsck.intact(inspection, corrupt)
    objects = fsck_manifests.Objects(space.root, production, sources, inspection.objects, intact, found.hashed)
    with waiting("reading release manifests"):
        manifests = fsck_manifests.inspect(versions, objects)
    if sources and (lost := fsck_manifests.count_lost(manifests)):
        with waiting("restoring release manifests"):
            manifests = fsck_manifests.repair(versions, manifests, objects)
        done = lost - fsck_manifests.count_lost(manifests)
        say(f"restored {done:,} of {plural(lost, 'missing release manifest')}", err=True)
        restored += done
    with bar("reading shards", 0) as progress:
        shards = fsck_shards.inspect(versions, inspection.objects, production, deep=deep, progress=progress)
    others = {tag: (*manifests.get(tag, ()), *shards.get(tag, ())) for tag in {*manifests, *shards}}
    results = fsck.evaluate(versions, inspection, corrupt, production, others)
    copies = fsck_manifests.find_copies(versions, manifests, objects)
    copies = {**copies, **fsck.find_intact_copies(results, sources)}
    altered = _find_altered(space.root, versions)
    if form == "json":
        say(json.dumps(fsck_output.as_json(results, production, copies, restored, altered, tagged.strays), indent=2))
    else:
        say(fsck_output.as_text(results, production, copies, source, altered, tagged.strays))
    if altered or not fsck.is_intact(results):
        raise click.exceptions.Exit(1)


def _find_altered(root: Path, versions: Sequence[TaggedVersion]) -> tuple[Tag, ...]:
    """The tags whose release on GitHub has another manifest; none where GitHub cannot be asked, which is told."""
    if not github.find_repository(root):
        return ()
    try:
        named = {version.tag: version.manifest for version in versions if version.manifest}
        return github_assets.find_altered(github.connect(root), named)
    except (ServiceFailed, github.Unreachable) as error:
        warn(f"the copies of release manifests on GitHub were not compared: {error.message}")
        return ()


def _verify_caches(space: Workspace, sources: Sequence[Store]) -> None:
    """Verify and repair DVC's caches; exit 1 if an object is still damaged or was not restored."""
    left = 0
    for folder in space.stores.caches:
        cache = Cache(folder.path, None)
        result = cache_audit.audit(cache, space.tree)
        say(f"{folder.url}: {result}")
        damaged = result.damaged
        for source in sources if damaged else ():
            damaged = cache_audit.repair(cache, damaged, source)
            restored = len(result.damaged) - len(damaged)
            say(f"set aside {plural(len(result.damaged), 'damaged object')} in {cache.aside}, restored {restored:,}")
        left += len(damaged)
    if left:
        fix = "registry fsck --cache --repair FROM (production, staging, a remote): sets them aside and fetches them"
        say(f"hint: {fix if not sources else 'name another source, or build or train that version again'}")
        raise click.exceptions.Exit(1)


def _sources(space: Workspace, name: str) -> tuple[Store, ...]:
    """The stores that missing objects are restored from."""
    if name == "cache":
        return space.stores.caches
    remotes = dvc_config.load(space.root)
    by_url = next((remote for remote in remotes.values() if remote.url == name.rstrip("/")), None)
    remote = remotes.get(name) or by_url or settings.Remote(name if "://" in name else str(Path(name).absolute()))
    store = open_store(remote, space.root)
    if name == "production" or store.url == space.stores.production.url:
        raise Refused("production cannot be repaired from itself", fix="use --repair staging, or another remote")
    store.erased = space.erased
    store.require_readable()
    return (store,)
